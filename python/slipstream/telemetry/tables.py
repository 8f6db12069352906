"""The tables that people read: outcomes by reason, latency by stage and by rank."""

from collections.abc import Mapping
from typing import Final

from rich.table import Table

from slipstream.domain.outcome import LegEnd
from slipstream.telemetry.reasons import REASONS
from slipstream.telemetry.stages import LatencySummary, Stage, StageRecorder, milliseconds

_OUTCOMES: Final[Mapping[LegEnd, str]] = {
    LegEnd.FILLED: "filled as planned",
    LegEnd.PARTIAL: "less filled than planned; the rest is recorded",
    LegEnd.REJECTED: "the venue refused the order",
    LegEnd.UNKNOWN: "the order's fate is not known yet",
    LegEnd.FAILED: "no order left, or a bug was contained",
}
_PERCENTILES: Final = ("p50", "p90", "p99", "p99.9", "max")


def outcomes(ends: Mapping[str, int], skips: Mapping[str, int]) -> Table:
    """Return the table of legs by outcome; ``skips`` counts the skipped ones by reason.

    Every leg is in exactly one row, so the shares add up to all of them.
    """
    skipped = sum(skips.values())
    total = sum(ends.get(end.value, 0) for end in _OUTCOMES) + skipped
    table = Table(title="Outcomes", title_justify="left")
    table.add_column("outcome")
    table.add_column("legs", justify="right")
    table.add_column("share", justify="right")
    table.add_column("what it means")
    for end, meaning in _OUTCOMES.items():
        count = ends.get(end.value, 0)
        table.add_row(end.value, str(count), _share(count, total), meaning)
    table.add_row("skipped", str(skipped), _share(skipped, total), "not traded, for these reasons:")
    for reason, count in sorted(skips.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(f"  {reason}", str(count), _share(count, total), REASONS.get(reason, ""))
    table.add_section()
    table.add_row("all legs", str(total), _share(total, total), "")
    return table


def latency(
    recorder: StageRecorder, *, floor_ns: int | None = None, serial_ns: int | None = None
) -> Table:
    """Return the table of stages, in milliseconds since the fill was read from its socket.

    ``floor_ns`` and ``serial_ns`` are for a whole fan-out: the bare signatures and socket writes
    of the same run, and the same orders sent one after another. ``None`` leaves the row out.
    """
    table = _latency_table("Latency by stage, ms since the leader's fill was read", "stage")
    for stage, summary in recorder.stages():
        _add_summary(table, stage.value, summary)
    if floor_ns is not None or serial_ns is not None:
        table.add_section()
    for label, value_ns in (
        ("floor: bare signatures and writes", floor_ns),
        ("serial baseline, last fill", serial_ns),
    ):
        if value_ns is not None:
            table.add_row(label, "", *("" for _ in _PERCENTILES[:-1]), _cell(value_ns))
    return table


def ranks(recorder: StageRecorder, stage: Stage) -> Table:
    """Return the table of one stage by follower rank: how much later the k-th order is."""
    table = _latency_table(f"Latency of '{stage.value}' by follower rank, ms", "rank")
    for label, summary in recorder.ranks(stage):
        _add_summary(table, label, summary)
    return table


def _latency_table(title: str, first: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first)
    table.add_column("count", justify="right")
    for name in _PERCENTILES:
        table.add_column(name, justify="right")
    return table


def _add_summary(table: Table, label: str, summary: LatencySummary) -> None:
    values = (summary.p50_ns, summary.p90_ns, summary.p99_ns, summary.p999_ns, summary.max_ns)
    table.add_row(label, str(summary.count), *map(_cell, values))


def _cell(value_ns: int | None) -> str:
    value = milliseconds(value_ns)
    return "-" if value is None else f"{value:.3f}"


def _share(count: int, total: int) -> str:
    return f"{100 * count / total:.1f}%" if total else "-"
