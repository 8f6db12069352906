"""The stages of a fill's way and how long each took, overall and per follower rank.

Every duration counts from ``received``, the instant the socket read brought the leader's fill,
on one monotonic clock. A follower's rank is its place in the fan-out, the first is 0.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from slipstream._core import LatencyHistogram
from slipstream.domain.intent import MirrorIntent
from slipstream.units import NS_PER_MS, TimeNs

RANK_BOUNDS: Final = (1, 10, 50, 100, 250, 500, 1_000, 2_500, 5_000)
"""Ranks are grouped as 0, 1-9, 10-49 and so on: a curve per rank would be 500 curves."""


class Stage(StrEnum):
    """The stages in the order in which an order passes them."""

    RECEIVED = "received"
    DECODED = "decoded"
    MARGIN = "margin"
    INTENT = "intent"
    PLANNED = "planned"
    CLAIMED = "claimed"
    SIGNED = "signed"
    SENT = "sent"
    ACKED = "acked"
    FILLED = "filled"


class AttemptStamps(Protocol):
    """When what happened to one order; ``None`` = it did not happen."""

    planned_ns: TimeNs | None
    claimed_ns: TimeNs | None
    signed_ns: TimeNs | None
    sent_ns: TimeNs | None
    acked_ns: TimeNs | None
    filled_ns: TimeNs | None


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """The percentiles of one histogram, in nanoseconds; all ``None`` when nothing was counted."""

    count: int
    p50_ns: int | None
    p90_ns: int | None
    p99_ns: int | None
    p999_ns: int | None
    max_ns: int | None

    @classmethod
    def of(cls, histogram: LatencyHistogram) -> "LatencySummary":
        """Read the percentiles that reports give."""
        return cls(
            count=histogram.count,
            p50_ns=histogram.percentile("50"),
            p90_ns=histogram.percentile("90"),
            p99_ns=histogram.percentile("99"),
            p999_ns=histogram.percentile("99.9"),
            max_ns=histogram.max,
        )

    def in_ms(self) -> dict[str, float | int | None]:
        """Return the summary as reports print it: milliseconds to the microsecond."""
        return {
            "p50": milliseconds(self.p50_ns),
            "p90": milliseconds(self.p90_ns),
            "p99": milliseconds(self.p99_ns),
            "p99.9": milliseconds(self.p999_ns),
            "max": milliseconds(self.max_ns),
            "count": self.count,
        }


def milliseconds(value_ns: int | None) -> float | None:
    """Return nanoseconds as milliseconds, to the microsecond; for readers only."""
    return None if value_ns is None else round(value_ns / NS_PER_MS, 3)


def rank_label(bucket: int) -> str:
    """Return how a group of ranks is written, counted from 1 as readers do."""
    low = RANK_BOUNDS[bucket - 1] + 1 if bucket else 1
    if bucket == len(RANK_BOUNDS):
        return f"{low}-"
    high = RANK_BOUNDS[bucket]
    return str(high) if low == high else f"{low}-{high}"


class StageRecorder:
    """Counts durations per stage, and per stage and group of ranks. Fed from one thread."""

    def __init__(self) -> None:
        """Begin empty."""
        self._by_stage: dict[Stage, LatencyHistogram] = {}
        self._by_rank: dict[tuple[Stage, int], LatencyHistogram] = {}

    def on_leg(self, rank: int, intent: MirrorIntent, attempt: AttemptStamps) -> None:
        """Count one order's stages from the instants it carries."""
        received_ns = intent.received_ns
        instants: tuple[tuple[Stage, TimeNs | None], ...] = (
            (Stage.DECODED, intent.decoded_ns),
            (Stage.MARGIN, intent.margin_ns),
            (Stage.INTENT, intent.created_ns),
            (Stage.PLANNED, attempt.planned_ns),
            (Stage.CLAIMED, attempt.claimed_ns),
            (Stage.SIGNED, attempt.signed_ns),
            (Stage.SENT, attempt.sent_ns),
            (Stage.ACKED, attempt.acked_ns),
            (Stage.FILLED, attempt.filled_ns),
        )
        for stage, at_ns in instants:
            # The intent of fills that were found late is dated back to before they were read.
            if at_ns is not None and at_ns >= received_ns:
                self.record(stage, rank, at_ns - received_ns)

    def on_offsets(self, rank: int, offsets_ns: Mapping[Stage, int]) -> None:
        """Count one order's stages from nanoseconds since ``received``."""
        for stage, offset_ns in offsets_ns.items():
            self.record(stage, rank, offset_ns)

    def record(self, stage: Stage, rank: int | None, offset_ns: int) -> None:
        """Count one duration; ``rank`` is ``None`` for what happens once per leader event."""
        histogram = self._by_stage.get(stage)
        if histogram is None:
            histogram = self._by_stage[stage] = LatencyHistogram()
        histogram.record(offset_ns)
        if rank is None:
            return
        key = (stage, bisect_right(RANK_BOUNDS, rank))
        histogram = self._by_rank.get(key)
        if histogram is None:
            histogram = self._by_rank[key] = LatencyHistogram()
        histogram.record(offset_ns)

    def stages(self) -> Iterator[tuple[Stage, LatencySummary]]:
        """Yield each stage that was counted, in the order of the way."""
        for stage in Stage:
            histogram = self._by_stage.get(stage)
            if histogram is not None:
                yield stage, LatencySummary.of(histogram)

    def ranks(self, stage: Stage) -> Iterator[tuple[str, LatencySummary]]:
        """Yield each group of ranks that reached a stage, first to last."""
        for bucket in range(len(RANK_BOUNDS) + 1):
            histogram = self._by_rank.get((stage, bucket))
            if histogram is not None:
                yield rank_label(bucket), LatencySummary.of(histogram)

    def in_ms(self) -> dict[str, object]:
        """Return everything as plain JSON values, in milliseconds since ``received``."""
        return {
            "stages": {stage.value: summary.in_ms() for stage, summary in self.stages()},
            "ranks": {
                stage.value: {label: summary.in_ms() for label, summary in self.ranks(stage)}
                for stage, _ in self.stages()
                if any(self.ranks(stage))
            },
        }
