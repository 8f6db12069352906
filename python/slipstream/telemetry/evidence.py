"""What a run's activity log claims, read for the recount.

Everything here is read from ``activity.jsonl`` alone, into plain values: decimals and text. No
arithmetic of the engine is used, and nothing is judged; ``docs/evidence.md`` has the format.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

Line = dict[str, Any]
Lane = tuple[str, str]
"""(follower, symbol)."""
OrderKey = tuple[str, str]
"""(account, client order id)."""

_NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class LeaderEvent:
    """One event of the leader. ``seq``: its place in the log."""

    seq: int
    leader: str
    symbol: str
    kind: str
    px: Decimal
    before: Decimal
    after: Decimal

    @property
    def kept(self) -> Decimal:
        """The share of its position the leader kept: below 1 for reductions, 0 for closes."""
        if self.kind not in {"partial_close", "full_close", "flip"} or not self.before:
            return Decimal(1)
        if self.kind != "partial_close":
            return Decimal(0)
        return self.after / self.before


@dataclass(frozen=True, slots=True)
class Claim:
    """One recorded order: what was asked for, and what it was decided on."""

    key: OrderKey
    follower: str
    intent_id: str
    leg: int
    attempt: int
    rank: int
    symbol: str
    side: str
    is_reduction: bool
    qty: Decimal
    limit_px: Decimal
    reference: str
    reference_sequence: int | None
    book_sequence: int | None
    bound_ppm: int
    has_depth: bool
    was_sent_unclaimed: bool

    @property
    def planned_with(self) -> tuple[str, int, int]:
        """The planning pass: orders of one pass were decided together."""
        return (self.intent_id, self.leg, self.attempt)


@dataclass(frozen=True, slots=True)
class LegEndLine:
    """How one leg ended, as recorded."""

    seq: int
    intent_id: str
    leg: int
    is_opening: bool
    exact_target: Decimal
    target: Decimal
    position: Decimal
    missed_qty: Decimal


class Activity:
    """The activity log of one run."""

    def __init__(self, lines: Iterable[Line]) -> None:
        """Read the log once.

        Raises:
            KeyError: a line lacks what the counting needs; the evidence is not complete.
        """
        self.followers: dict[str, Line] = {}
        self.lots: dict[str, Decimal] = {}
        self.reference_age_ns_max = 0
        self.claims: dict[OrderKey, Claim] = {}
        self.claim_counts: Counter[OrderKey] = Counter()
        self.lanes: dict[Lane, list[LegEndLine]] = defaultdict(list)
        self.events: dict[str, LeaderEvent] = {}
        self.outcomes: Counter[tuple[str, str, int]] = Counter()
        for line in lines:
            match line["kind"]:
                case "session":
                    self._take_session(line["payload"])
                case "intent":
                    self._take_event(line)
                case "leg":
                    self._take_leg(line)
        self.follower_by_account = {each["account"]: name for name, each in self.followers.items()}

    def _take_session(self, payload: Line) -> None:
        self.followers.update(payload["followers"])
        self.lots.update({symbol: Decimal(lot) for symbol, lot in payload["lots"].items()})
        self.reference_age_ns_max = payload["limits"]["reference_age_ms_max"] * _NS_PER_MS

    def _take_event(self, line: Line) -> None:
        payload = line["payload"]
        self.events[line["intent_id"]] = LeaderEvent(
            line["seq"],
            line["leader"],
            payload["symbol"],
            payload["kind"],
            Decimal(payload["px"]),
            Decimal(payload["before"]),
            Decimal(payload["after"]),
        )

    def _take_leg(self, line: Line) -> None:
        payload, follower, intent_id = line["payload"], line["follower"], line["intent_id"]
        self.outcomes[intent_id, follower, payload["leg"]] += 1
        self.lanes[follower, payload["symbol"]].append(
            LegEndLine(
                line["seq"],
                intent_id,
                payload["leg"],
                payload["is_opening"],
                Decimal(payload["exact_target"]),
                Decimal(payload["target"]),
                Decimal(payload["position"]),
                Decimal(payload["missed_qty"]),
            )
        )
        for index, order in enumerate(payload.get("orders", ())):
            self._take_order(line, order, is_first=index == 0)

    def _take_order(self, line: Line, order: Line, *, is_first: bool) -> None:
        payload, follower = line["payload"], line["follower"]
        key = (self.followers[follower]["account"], order["client_order_id"])
        stages = payload["stages"] if is_first else {}
        sent, claimed = stages.get("sent"), stages.get("claimed")
        is_live = self.followers[follower]["mode"] == "live"
        self.claim_counts[key] += 1
        self.claims[key] = Claim(
            key=key,
            follower=follower,
            intent_id=line["intent_id"],
            leg=payload["leg"],
            attempt=order["attempt"],
            rank=payload["rank"],
            symbol=payload["symbol"],
            side=payload["side"],
            is_reduction=order["is_reduction"],
            qty=Decimal(order["qty"]),
            limit_px=Decimal(order["limit_px"]),
            reference=order["reference"],
            reference_sequence=order["reference_sequence"],
            book_sequence=order["book_sequence"],
            bound_ppm=order["bound_ppm"],
            has_depth=order["has_depth"],
            was_sent_unclaimed=is_live and sent is not None and (claimed is None or claimed > sent),
        )


def lines_of(path: Path, *, without: tuple[str, ...] = ()) -> Iterator[Line]:
    """Read JSON lines one by one, leaving out kinds that nobody asks for."""
    marks = tuple(f'"kind":"{kind}"' for kind in without)
    with path.open() as lines:
        for line in lines:
            head = line[:40]
            if not any(mark in head for mark in marks):
                yield json.loads(line)
