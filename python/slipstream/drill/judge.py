"""What a drill came to, decided from the venue's log and the activity log alone."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson

from slipstream.domain.outcome import LegEnd
from slipstream.store import open_store
from slipstream.store.base import ActivityFilter
from slipstream.telemetry.evidence import Line, lines_of
from slipstream.telemetry.recount import recount
from slipstream.telemetry.venue_record import IGNORED_KINDS

FINDINGS_MAX: Final = 200
VENUE_FILE: Final = "venue.jsonl"
ACTIVITY_FILE: Final = "activity.jsonl"


@dataclass(slots=True)
class DrillCounts:
    """The counts of one run or, added up, of a series."""

    runs: int = 0
    kills: int = 0
    points: Counter[str] = field(default_factory=Counter)
    leader_fills: int = 0
    expected_legs: int = 0
    orders_at_venue: int = 0
    duplicate_orders: int = 0
    lost_fills: int = 0
    outside_bound: int = 0
    unexplained: int = 0
    recovery_s: list[float] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    def add(self, other: "DrillCounts") -> None:
        """Add another run's counts."""
        for name in (
            "runs",
            "kills",
            "leader_fills",
            "expected_legs",
            "orders_at_venue",
            "duplicate_orders",
            "lost_fills",
            "outside_bound",
            "unexplained",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.points += other.points
        self.recovery_s += other.recovery_s
        self.findings += other.findings

    @property
    def is_kept(self) -> bool:
        """Whether every promise was kept and every run could be judged."""
        broken = self.duplicate_orders + self.lost_fills + self.outside_bound + self.unexplained
        return not broken and not self.findings

    def summary(self, names: Iterable[str]) -> dict[str, object]:
        """Return the counts as plain JSON values, with every point of ``names``, hit or not."""
        recovery = sorted(self.recovery_s)
        return {
            "runs": self.runs,
            "kills": self.kills,
            "points": {name: self.points[name] for name in names},
            "leader_fills": self.leader_fills,
            "expected_legs": self.expected_legs,
            "orders_at_venue": self.orders_at_venue,
            "duplicate_orders": self.duplicate_orders,
            "lost_fills": self.lost_fills,
            "outside_bound": self.outside_bound,
            "unexplained": self.unexplained,
            "recovery_s": {
                "p50": round(recovery[len(recovery) // 2], 3) if recovery else None,
                "max": round(recovery[-1], 3) if recovery else None,
            },
        }


async def write_activity(url: str, path: Path) -> None:
    """Write a database's activity log as JSON lines.

    Raises:
        StoreError: the database cannot be read.
    """
    store = await open_store(url)
    try:
        with path.open("wb") as out:
            async for entry in store.activity(ActivityFilter()):
                row = entry._asdict()
                row["payload"] = orjson.loads(entry.payload)
                out.write(orjson.dumps(row) + b"\n")
    finally:
        await store.close()


def judge(directory: Path, counts: DrillCounts, *, leaders: Iterable[str], label: str) -> None:
    """Decide the promises of a run from its two logs and write what was found into ``counts``."""
    venue = list(lines_of(directory / VENUE_FILE, without=IGNORED_KINDS))
    activity = list(lines_of(directory / ACTIVITY_FILE))
    leading = set(leaders)
    counts.leader_fills += sum(
        1 for line in venue if line["kind"] == "fill" and line["account"] in leading
    )
    counts.orders_at_venue += len(
        {
            line["order_id"]
            for line in venue
            if line["kind"] == "order" and line["account"] not in leading and line["order_id"]
        }
    )
    counts.expected_legs += expected_legs(activity)
    try:
        found = recount(venue, activity)
    except (KeyError, ValueError, ArithmeticError) as error:
        counts.findings.append(f"{label}: cannot be judged: {type(error).__name__}: {error}")
        return
    counts.duplicate_orders += found.duplicate_orders
    counts.lost_fills += found.lost_fills
    counts.outside_bound += found.slippage_breaches
    counts.unexplained += found.unexplained
    counts.findings += [f"{label}: {each}" for each in (*found.findings, *unresolved(activity))]


def unresolved(activity: Iterable[Line]) -> list[str]:
    """Return one sentence for each leg that ended with its order's fate not known."""
    return [
        f"unresolved: {line['follower']} {line['intent_id']} leg {line['payload']['leg']}"
        for line in activity
        if line["kind"] == "leg" and line["payload"]["end"] == LegEnd.UNKNOWN.value
    ]


def expected_legs(activity: Iterable[Line]) -> int:
    """Return how many legs must have ended: one per event and follower, two of a flip."""
    mirrors: set[tuple[str, str]] = set()
    legs = 0
    for line in activity:
        if line["kind"] == "session":
            mirrors |= {
                (name, leader)
                for name, each in line["payload"]["followers"].items()
                for leader in each["mirrors"]
            }
        elif line["kind"] == "intent":
            whose = sum(1 for _, leader in mirrors if leader == line["leader"])
            legs += whose * (2 if line["payload"]["kind"] == "flip" else 1)
    return legs
