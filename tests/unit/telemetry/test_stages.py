"""Stages: what is counted where, and how it is shown."""

import bisect
import io

import pytest
from rich.console import Console, RenderableType

from slipstream._core import LatencyHistogram
from slipstream.telemetry import tables
from slipstream.telemetry.stages import (
    RANK_BOUNDS,
    LatencySummary,
    Stage,
    StageRecorder,
    milliseconds,
    rank_label,
)


def _text(renderable: RenderableType) -> str:
    text = io.StringIO()
    Console(file=text, width=120).print(renderable)
    return text.getvalue()


@pytest.mark.parametrize(
    ("rank", "label"),
    [(0, "1"), (1, "2-10"), (9, "2-10"), (10, "11-50"), (499, "251-500"), (5_000, "5001-")],
)
def test_ranks_are_counted_from_nought_and_shown_from_one(rank: int, label: str) -> None:
    assert rank_label(bisect.bisect_right(RANK_BOUNDS, rank)) == label


def test_each_rank_lands_in_its_group() -> None:
    recorder = StageRecorder()
    for rank in range(500):
        recorder.on_offsets(rank, {Stage.SENT: (rank + 1) * 10_000})
    counts = {label: summary.count for label, summary in recorder.ranks(Stage.SENT)}
    assert counts == {
        "1": 1,
        "2-10": 9,
        "11-50": 40,
        "51-100": 50,
        "101-250": 150,
        "251-500": 250,
    }
    assert dict(recorder.stages())[Stage.SENT].count == 500


def test_percentiles_are_within_the_histogram_s_precision() -> None:
    recorder = StageRecorder()
    values = [(rank + 1) * 10_000 for rank in range(1_000)]
    for rank, value in enumerate(values):
        recorder.record(Stage.SENT, rank, value)
    summary = dict(recorder.stages())[Stage.SENT]
    assert summary.p50_ns == pytest.approx(values[499], rel=0.002)
    assert summary.p99_ns == pytest.approx(values[989], rel=0.002)
    assert summary.max_ns == pytest.approx(values[-1], rel=0.002)


def test_stages_come_in_the_order_of_the_way() -> None:
    recorder = StageRecorder()
    for stage in reversed(Stage):
        recorder.record(stage, None, 5_000)
    assert [stage for stage, _ in recorder.stages()] == list(Stage)
    assert list(recorder.ranks(Stage.SENT)) == []


def test_an_empty_histogram_has_no_numbers() -> None:
    summary = LatencySummary.of(LatencyHistogram())
    assert summary == LatencySummary(0, None, None, None, None, None)
    assert summary.in_ms()["p50"] is None
    assert milliseconds(None) is None


def test_outcomes_add_up_to_all_legs() -> None:
    text = _text(tables.outcomes({"filled": 6, "skipped": 4}, {"DEPTH_SHORT": 3, "ORDER_CAP": 1}))
    assert "60.0%" in text
    assert text.index("DEPTH_SHORT") < text.index("ORDER_CAP")
    assert [line.split("│")[2].strip() for line in text.splitlines() if "all legs" in line] == [
        "10"
    ]


def test_latency_stands_beside_floor_and_serial_baseline() -> None:
    recorder = StageRecorder()
    recorder.on_offsets(0, {Stage.SENT: 1_500_000})
    text = _text(tables.latency(recorder, floor_ns=10_000_000, serial_ns=20_000_000_000))
    assert "floor" in text
    assert "20000.000" in text
    assert "2-10" not in _text(tables.ranks(recorder, Stage.SENT))
