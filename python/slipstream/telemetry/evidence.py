"""What a run's activity log claims, read for the recount.

Everything here is read from ``activity.jsonl`` alone, into plain values: decimals and text. No
arithmetic of the engine is used, and nothing is judged; ``docs/evidence.md`` has the format. A log
may hold several lives of the engine: the last word on a follower's settings counts.
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
FillName = tuple[str, str, str]
"""(account, symbol, trade id as listed: whole, or one of its parts)."""
LegKey = tuple[str, str, int]
"""(intent, follower, leg)."""

_NS_PER_MS: Final = 1_000_000
_ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class LeaderEvent:
    """One event of a leader. ``index``: its place among the events of its leader and symbol."""

    intent_id: str
    index: int
    leader: str
    symbol: str
    is_net: bool
    px: Decimal
    before: Decimal
    after: Decimal
    margin: Decimal | None
    fills: tuple[FillName, ...]
    reads: tuple[tuple[str, int], ...]
    """(what a reading of positions told, its venue time in ms), for changes without a fill."""

    life: int
    """Which life of the engine told of it first."""

    @property
    def is_flip(self) -> bool:
        """Whether the leader went through zero."""
        return self.before * self.after < 0

    @property
    def kept(self) -> Decimal:
        """The share of its position the leader kept: below 1 for reductions, 0 through zero."""
        if self.before * self.after < 0:
            return _ZERO
        if abs(self.after) >= abs(self.before):
            return Decimal(1)
        return self.after / self.before

    @property
    def grown(self) -> Decimal:
        """What the leader added, signed: all that is left of it after zero."""
        if self.before * self.after < 0:
            return self.after
        return self.after - self.before if abs(self.after) > abs(self.before) else _ZERO


@dataclass(frozen=True, slots=True)
class Claim:
    """One recorded order: what was asked for, and what it was decided on."""

    key: OrderKey
    follower: str
    leader: str
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
    reference_px: Decimal
    reference_sequence: int | None
    book_sequence: int | None
    bound_ppm: int
    has_depth: bool
    is_done: bool
    """Whether the venue's last word on it was known when its leg was told."""
    was_sent_unclaimed: bool
    answer_ms: int | None
    """From its way onto the socket to its answer; ``None`` when that is not known."""

    @property
    def planned_with(self) -> tuple[str, int, int]:
        """The planning pass: orders of one pass were decided together."""
        return (self.intent_id, self.leg, self.attempt)


@dataclass(frozen=True, slots=True)
class LaneLine:
    """One lane's numbers, as the end of a leg or a change beside the leader recorded them.

    ``had_order``: whether the leg ever asked for something. ``missed_qty``: what it did not build
    or close. ``raised_qty``: by how much its opening order was more than wanted. ``is_reset``:
    targets were set beside the leader's events. ``newest``: the event the numbers include, ``None``
    before there was one. ``life``: which life of the engine wrote it.
    """

    seq: int
    intent_id: str
    reason: str | None
    is_opening: bool
    had_order: bool
    exact_target: Decimal
    target: Decimal
    position: Decimal
    missed_qty: Decimal
    raised_qty: Decimal
    newest: str | None
    is_recovered: bool
    is_unknown: bool
    is_reset: bool
    life: int


class Activity:
    """The activity log of one run."""

    def __init__(self, lines: Iterable[Line]) -> None:
        """Read the log once.

        Raises:
            KeyError: a line lacks what the counting needs; the evidence is not complete.
        """
        self.followers: dict[str, Line] = {}
        self.mirrors: dict[tuple[str, str], Line] = {}
        """The settings of each (follower, leader)."""
        self.leaders: dict[str, Line] = {}
        self.since_ms: dict[str, int] = {}
        """By leader: later fills of it are to be mirrored."""
        self.lots: dict[str, Decimal] = {}
        self.reference_age_ns_max = 0
        self.claims: dict[OrderKey, Claim] = {}
        self.claim_counts: Counter[OrderKey] = Counter()
        self.lanes: dict[Lane, list[LaneLine]] = defaultdict(list)
        self.events: dict[str, LeaderEvent] = {}
        self.event_counts: Counter[str] = Counter()
        self.chains: dict[tuple[str, str], list[LeaderEvent]] = defaultdict(list)
        """The events of each (leader, symbol), in their order."""
        self.outcomes: Counter[LegKey] = Counter()
        self.overflows: set[tuple[str, str]] = set()
        """(intent, follower) that a number too large kept as they were."""
        self.unmirrored: set[FillName] = set()
        self.events_before_loss: dict[str, int] = {}
        """By leader: how many were told when a fill that its stream lost was found last."""
        self._life = 0
        self._unknown: dict[LegKey, set[OrderKey]] = {}
        self._leader_by_lane: dict[Lane, str] = {}
        for line in lines:
            match line["kind"]:
                case "session":
                    self._take_session(line["payload"])
                case "leader":
                    since_ms = line["payload"]["since_ms"]
                    known_ms = self.since_ms.get(line["leader"], since_ms)
                    self.since_ms[line["leader"]] = min(known_ms, since_ms)
                case "intent":
                    self._take_event(line)
                case "leg":
                    self._take_leg(line)
                case "lane":
                    self._take_lane(line)
                case "incident" if line["reason"] == "NOT_MIRRORED":
                    names = line["payload"].get("fills", ())
                    self.unmirrored.update(_fill_name(each) for each in names)
                case "incident" if line["reason"] == "FILL_LOST_BY_STREAM":
                    self.events_before_loss[line["leader"]] = len(self.events)
        self.follower_by_account = {each["account"]: name for name, each in self.followers.items()}

    def chain_of(self, lane: Lane) -> list[LeaderEvent]:
        """Return the events that a lane mirrors, in their order."""
        return self.chains.get((self.leader_of(lane), lane[1]), [])

    def leader_of(self, lane: Lane) -> str:
        """Return the leader whose lane it is; the only one, or the first that traded the symbol,
        where no line tells."""
        told = self._leader_by_lane.get(lane)
        if told is not None:
            return told
        leaders = [leader for follower, leader in self.mirrors if follower == lane[0]]
        return next((each for each in leaders if (each, lane[1]) in self.chains), leaders[0])

    def _take_session(self, payload: Line) -> None:
        self._life += 1
        self.followers.update(payload["followers"])
        for follower, each in payload["followers"].items():
            for leader, settings in each["mirrors"].items():
                self.mirrors[follower, leader] = settings
        self.leaders.update(payload["leaders"])
        self.lots.update({symbol: Decimal(lot) for symbol, lot in payload["lots"].items()})
        self.reference_age_ns_max = payload["limits"]["reference_age_ms_max"] * _NS_PER_MS

    def _take_event(self, line: Line) -> None:
        payload, intent_id = line["payload"], line["intent_id"]
        self.event_counts[intent_id] += 1
        if intent_id in self.events:
            return
        chain = self.chains[line["leader"], payload["symbol"]]
        margin, names = payload["leader_margin"], payload["fills"]
        event = LeaderEvent(
            intent_id,
            len(chain),
            line["leader"],
            payload["symbol"],
            payload["position_side"] == "NET",
            Decimal(payload["px"]),
            Decimal(payload["before"]),
            Decimal(payload["after"]),
            None if margin is None else Decimal(margin),
            tuple(_fill_name(each) for each in names if each[3] != "position-read"),
            tuple((each[4], int(each[5])) for each in names if each[3] == "position-read"),
            self._life,
        )
        self.events[intent_id] = event
        chain.append(event)

    def _take_leg(self, line: Line) -> None:
        payload, follower, intent_id = line["payload"], line["follower"], line["intent_id"]
        key = (intent_id, follower, payload["leg"])
        self._leader_by_lane[follower, payload["symbol"]] = line["leader"]
        orders = payload.get("orders", ())
        is_recovered = payload.get("recovered", False)
        told_before = self._unknown.pop(key, None) if is_recovered else None
        if told_before is None:
            self.outcomes[key] += 1
        if line["reason"] == "OVERFLOW":
            self.overflows.add((intent_id, follower))
        is_opening = payload["is_opening"]
        missed, raised = Decimal(payload["missed_qty"]), _ZERO
        if is_opening and orders:
            asked = max(Decimal(order["qty"]) for order in orders)
            raised = max(_ZERO, asked - Decimal(payload["wanted_qty"]))
            missed = max(missed, asked - Decimal(payload["filled_qty"]))
        self.lanes[follower, payload["symbol"]].append(
            self._lane_line(
                line,
                is_opening=is_opening,
                had_order=bool(orders),
                missed_qty=missed,
                raised_qty=raised,
                is_reset=line["reason"] == "POSITION_SHRUNK",
            )
        )
        keys = [
            self._take_order(line, order, is_first=index == 0) for index, order in enumerate(orders)
        ]
        self.claim_counts.update(each for each in keys if each not in (told_before or ()))
        if payload["end"] == "unknown":
            self._unknown[key] = set(keys)

    def _take_lane(self, line: Line) -> None:
        lane = (line["follower"], line["payload"]["symbol"])
        self._leader_by_lane[lane] = line["leader"]
        self.lanes[lane].append(self._lane_line(line, is_reset=True))

    def _lane_line(
        self,
        line: Line,
        *,
        is_reset: bool,
        is_opening: bool = False,
        had_order: bool = False,
        missed_qty: Decimal = _ZERO,
        raised_qty: Decimal = _ZERO,
    ) -> LaneLine:
        payload = line["payload"]
        newest = payload["newest"]
        if newest is None:
            # Nothing came since the engine began: the newest event is the last one told before.
            chain = self.chain_of((line["follower"], payload["symbol"]))
            newest = chain[-1].intent_id if chain else None
        return LaneLine(
            line["seq"],
            line["intent_id"] or "",
            line["reason"],
            is_opening,
            had_order,
            Decimal(payload["exact_target"]),
            Decimal(payload["target"]),
            Decimal(payload["position"]),
            missed_qty,
            raised_qty,
            newest,
            payload.get("recovered", False),
            payload.get("end") == "unknown",
            is_reset,
            self._life,
        )

    def _take_order(self, line: Line, order: Line, *, is_first: bool) -> OrderKey:
        payload, follower = line["payload"], line["follower"]
        key = (self.followers[follower]["account"], order["client_order_id"])
        stages = payload.get("stages", {}) if is_first else {}
        sent, claimed = stages.get("sent"), stages.get("claimed")
        is_live = self.followers[follower]["mode"] == "live"
        self.claims[key] = Claim(
            key=key,
            follower=follower,
            leader=line["leader"],
            intent_id=line["intent_id"],
            leg=payload["leg"],
            attempt=order["attempt"],
            rank=payload.get("rank", 0),
            symbol=payload["symbol"],
            side=order.get("side", payload["side"]),
            is_reduction=order["is_reduction"],
            qty=Decimal(order["qty"]),
            limit_px=Decimal(order["limit_px"]),
            reference=order["reference"],
            reference_px=Decimal(order["reference_px"]),
            reference_sequence=order["reference_sequence"],
            book_sequence=order["book_sequence"],
            bound_ppm=order["bound_ppm"],
            has_depth=order["has_depth"],
            is_done=order["state"] == "done",
            was_sent_unclaimed=is_live and sent is not None and (claimed is None or claimed > sent),
            answer_ms=order.get("answer_ms"),
        )
        return key


def _fill_name(parts: list[str]) -> FillName:
    _, account, symbol, _, trade_id, _ = parts
    return account.lower(), symbol, trade_id


def lines_of(path: Path, *, without: tuple[str, ...] = ()) -> Iterator[Line]:
    """Read JSON lines one by one, leaving out kinds that nobody asks for."""
    marks = tuple(f'"kind":"{kind}"' for kind in without)
    with path.open() as lines:
        for line in lines:
            head = line[:40]
            if not any(mark in head for mark in marks):
                yield json.loads(line)
