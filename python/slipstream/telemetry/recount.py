"""Judge a run from the venue's own log: the four counters of a demo, counted again.

Reads two files of JSON lines, ``venue.jsonl`` (the simulated venue's complete log) and
``activity.jsonl`` (the engine's activity log), and shares no state and no arithmetic with the
engine: quantities are ``Decimal``, books are dictionaries rebuilt from the venue's own changes.

* breach: a limit or a fill outside the follower's configured bound around the venue's mid at the
  recorded sequence (and, for opens, around the leader's price), or that sequence superseded for
  longer than the allowed age when the order arrived;
* duplicate: an order at the venue that no single recorded attempt accounts for;
* overcommit: an order that, with the orders before it on the same book, counted on more than the
  venue's depth inside its limit at that sequence;
* unexplained: a venue position a lot or more from the exact target that recorded missed
  quantities do not cover.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

_PPM: Final = Decimal(1_000_000)
_NS_PER_MS: Final = 1_000_000
_REDUCTIONS: Final = {"partial_close", "full_close"}

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Recount:
    """The four counters, and one sentence for each thing counted."""

    slippage_breaches: int
    duplicate_orders: int
    depth_overcommits: int
    unexplained: int
    findings: tuple[str, ...]


@dataclass(slots=True)
class _Book:
    """One symbol's book as the venue's changes make it, sequence by sequence."""

    bids: dict[Decimal, Decimal] = field(default_factory=dict)
    asks: dict[Decimal, Decimal] = field(default_factory=dict)

    def change(self, line: Line) -> None:
        if line.get("snapshot"):
            self.bids.clear()
            self.asks.clear()
        for half, rows in ((self.bids, line["bids"]), (self.asks, line["asks"])):
            for px_text, qty_text in rows:
                px, qty = Decimal(px_text), Decimal(qty_text)
                if qty:
                    half[px] = qty
                else:
                    half.pop(px, None)

    def mid(self) -> Decimal | None:
        if not self.bids or not self.asks:
            return None
        return (max(self.bids) + min(self.asks)) / 2

    def depth(self, side: str, limit_px: Decimal) -> Decimal:
        if side == "BUY":
            return sum((q for px, q in self.asks.items() if px <= limit_px), Decimal(0))
        return sum((q for px, q in self.bids.items() if px >= limit_px), Decimal(0))


@dataclass(slots=True)
class _Sent:
    """One recorded attempt: what the engine says it asked for, and why."""

    follower: str
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
    leader_px: Decimal
    seq: int


class _Evidence:
    """Both logs, read once."""

    def __init__(self, venue: Iterable[Line], activity: Iterable[Line]) -> None:
        self.followers: dict[str, Line] = {}
        self.lots: dict[str, Decimal] = {}
        self.limits: Line = {}
        self.sent: dict[str, _Sent] = {}
        self.repeated_ids: Counter[str] = Counter()
        self.legs: dict[tuple[str, str], list[Line]] = defaultdict(list)
        self.orders: dict[tuple[str, str], Line] = {}
        self.order_ids: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.fills: list[Line] = []
        self.books: list[Line] = []
        intents: dict[str, Line] = {}
        for line in activity:
            self._take_activity(line, intents)
        self.accounts = {each["account"]: name for name, each in self.followers.items()}
        for line in venue:
            self._take_venue(line)

    def _take_activity(self, line: Line, intents: dict[str, Line]) -> None:
        payload = line["payload"]
        match line["kind"]:
            case "session":
                self.followers.update(payload["followers"])
                self.lots.update({k: Decimal(v) for k, v in payload["lots"].items()})
                self.limits = payload["limits"]
            case "intent":
                intents[line["intent_id"]] = payload
            case "leg":
                key = (line["follower"], payload["symbol"])
                self.legs[key].append(line)
                for order in payload.get("orders", ()):
                    self._take_order(line, payload, order, intents)

    def _take_order(
        self, line: Line, payload: Line, order: Line, intents: Mapping[str, Line]
    ) -> None:
        name = order["client_order_id"]
        self.repeated_ids[name] += 1
        self.sent[name] = _Sent(
            follower=line["follower"],
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
            leader_px=Decimal(intents[line["intent_id"]]["px"]),
            seq=line["seq"],
        )

    def _take_venue(self, line: Line) -> None:
        match line["kind"]:
            case "order" if line["account"] in self.accounts:
                key = (line["account"], line["client_order_id"])
                self.orders[key] = line
                self.order_ids[key].add(str(line["order_id"]))
            case "fill" if line["account"] in self.accounts:
                self.fills.append(line)
            case "book":
                self.books.append(line)


def recount(venue: Iterable[Line], activity: Iterable[Line]) -> Recount:
    """Count the four counters from both logs.

    Raises:
        KeyError: a line lacks what the counting needs; the evidence is not complete.
    """
    evidence = _Evidence(venue, activity)
    findings: list[str] = []
    duplicates = _duplicates(evidence, findings)
    breaches, overcommits = _walk_books(evidence, findings)
    breaches += _fill_breaches(evidence, findings)
    unexplained = _unexplained(evidence, findings)
    return Recount(breaches, duplicates, overcommits, unexplained, tuple(findings))


def recount_files(directory: Path) -> Recount:
    """Count from ``venue.jsonl`` and ``activity.jsonl`` in a directory."""
    return recount(_lines(directory / "venue.jsonl"), _lines(directory / "activity.jsonl"))


def _lines(path: Path) -> Iterator[Line]:
    with path.open() as lines:
        for line in lines:
            yield json.loads(line)


def _duplicates(evidence: _Evidence, findings: list[str]) -> int:
    count = 0
    for (account, name), ids in evidence.order_ids.items():
        extra = len(ids) - 1
        recorded = evidence.repeated_ids.get(name, 0)
        if recorded != 1:
            extra += 1
        if extra:
            count += extra
            findings.append(
                f"duplicate: {account} {name}: {len(ids)} orders at the venue, "
                f"{recorded} recorded attempts"
            )
    return count


def _walk_books(evidence: _Evidence, findings: list[str]) -> tuple[int, int]:
    """Rebuild every book change by change; judge each order at the sequences it names."""
    by_reference: dict[tuple[str, int], list[str]] = defaultdict(list)
    by_depth: dict[tuple[str, int], list[str]] = defaultdict(list)
    for name, sent in evidence.sent.items():
        if sent.reference_sequence is not None:
            by_reference[sent.symbol, sent.reference_sequence].append(name)
        if sent.book_sequence is not None and sent.has_depth:
            by_depth[sent.symbol, sent.book_sequence].append(name)
    arrivals = {name: line["arrival_ns"] for (_, name), line in evidence.orders.items()}
    books: dict[str, _Book] = defaultdict(_Book)
    newest: dict[str, int] = {}
    breaches = overcommits = 0
    for line in evidence.books:
        symbol, sequence = line["symbol"], line["sequence"]
        before = newest.get(symbol)
        if before is not None and sequence != before:
            breaches += _too_old(
                by_reference.get((symbol, before), ()), line["ns"], arrivals, evidence, findings
            )
        book = books[symbol]
        book.change(line)
        newest[symbol] = sequence
        if line.get("snapshot") and before == sequence:
            continue
        for name in by_reference.get((symbol, sequence), ()):
            breaches += _bound_breach(name, evidence, book, findings)
        overcommits += _overcommits(by_depth.get((symbol, sequence), ()), evidence, book, findings)
    return breaches, overcommits


def _too_old(
    names: Iterable[str],
    superseded_ns: int,
    arrivals: Mapping[str, int],
    evidence: _Evidence,
    findings: list[str],
) -> int:
    allowed_ns = evidence.limits["reference_age_ms_max"] * _NS_PER_MS
    count = 0
    for name in names:
        arrival_ns = arrivals.get(name)
        if arrival_ns is not None and arrival_ns - superseded_ns > allowed_ns:
            count += 1
            findings.append(
                f"breach: {name} arrived {(arrival_ns - superseded_ns) // _NS_PER_MS} ms after "
                f"its reference was superseded"
            )
    return count


def _bound_breach(name: str, evidence: _Evidence, book: _Book, findings: list[str]) -> int:
    sent = evidence.sent[name]
    mid = book.mid()
    if mid is None:
        return 0
    bounds = evidence.followers[sent.follower]
    checks: list[tuple[str, Decimal, int]] = []
    if sent.is_reduction:
        widest = "emergency_ppm" if sent.bound_ppm == bounds["emergency_ppm"] else "exit_ppm"
        if sent.reference == "MID":
            checks.append(("mid", mid, bounds[widest]))
    else:
        checks.append(("mid", mid, bounds["entry_ppm"]))
        checks.append(("leader", sent.leader_px, bounds["deviation_ppm"]))
    for what, reference, ppm in checks:
        edge = reference * Decimal(ppm) / _PPM
        is_outside = (
            sent.limit_px > reference + edge
            if sent.side == "BUY"
            else sent.limit_px < reference - edge
        )
        if is_outside:
            findings.append(
                f"breach: {name} {sent.side} limit {sent.limit_px} outside {ppm} ppm "
                f"of the {what} {reference}"
            )
            return 1
    return 0


def _overcommits(
    names: Iterable[str], evidence: _Evidence, book: _Book, findings: list[str]
) -> int:
    """Take the orders of one book at one sequence in the order they were planned."""
    count = 0
    by_side: dict[str, list[_Sent]] = defaultdict(list)
    for name in names:
        by_side[evidence.sent[name].side].append(evidence.sent[name])
    for side, orders in by_side.items():
        for limit_px in {each.limit_px for each in orders}:
            inside = [
                each
                for each in orders
                if (each.limit_px <= limit_px if side == "BUY" else each.limit_px >= limit_px)
            ]
            depth = book.depth(side, limit_px)
            taken = Decimal(0)
            for each in inside:
                taken += each.qty
                if taken > depth and each.limit_px == limit_px:
                    count += 1
                    findings.append(
                        f"overcommit: {each.follower} {side} {each.qty} of {each.symbol} brings "
                        f"the cohort to {taken} where the venue had {depth} inside {limit_px}"
                    )
    return count


def _fill_breaches(evidence: _Evidence, findings: list[str]) -> int:
    count = 0
    for fill in evidence.fills:
        sent = evidence.sent.get(fill["client_order_id"])
        if sent is None:
            continue
        px = Decimal(fill["px"])
        if px > sent.limit_px if sent.side == "BUY" else px < sent.limit_px:
            count += 1
            findings.append(f"breach: fill of {fill['client_order_id']} at {px}")
    return count


def _unexplained(evidence: _Evidence, findings: list[str]) -> int:
    held: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for fill in evidence.fills:
        key = (evidence.accounts[fill["account"]], fill["symbol"])
        qty = Decimal(fill["qty"])
        held[key] += qty if fill["side"] == "BUY" else -qty
    count = 0
    for key in held.keys() | evidence.legs.keys():
        follower, symbol = key
        lines = evidence.legs.get(key, [])
        exact = Decimal(lines[-1]["payload"]["exact_target"]) if lines else Decimal(0)
        missed = Decimal(0)
        for line in lines:
            payload = line["payload"]
            if payload["kind"] in _REDUCTIONS and not Decimal(payload["exact_target"]):
                missed = Decimal(0)
            missed += Decimal(payload["missed_qty"])
        gap = abs(held[key] - exact)
        lot = evidence.lots[symbol]
        if gap >= lot and gap - missed >= lot:
            count += 1
            findings.append(
                f"unexplained: {follower} {symbol} holds {held[key]}, exact target {exact}, "
                f"recorded as missed {missed}"
            )
    return count
