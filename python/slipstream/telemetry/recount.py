"""Judge a run from the venue's own log: what must be zero, counted again.

Reads two files of JSON lines, ``venue.jsonl`` (the simulated venue's complete log) and
``activity.jsonl`` (the engine's activity log), and shares no state and no arithmetic with the
engine. ``docs/evidence.md`` has the files' format and says how each counter is counted:

* breach: a limit or a fill outside the follower's configured bound around the venue's own
  reference at the recorded sequence (for opens also around the leader's price), or that
  sequence superseded for longer than the allowed age when the order arrived;
* duplicate: an order at the venue that no single recorded attempt accounts for;
* overcommit: an order that, with the others that drew on the same book, counted on more than
  the venue's depth inside its limit at that sequence;
* unexplained: a venue position a lot or more from the target, an exact target that is not what
  the leader's events and the follower's settings come to, or something given up that no recorded
  missed quantity covers;
* lost: a leader's fill that is not in exactly one recorded intent, or an intent without exactly
  one recorded outcome for each follower and leg.

What cannot be judged from the two files (a target that depends on the follower's equity) is not
passed over: it is ``unjudged``, with a finding that says why. The log may hold several lives of
the engine.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from pathlib import Path
from typing import Final

from slipstream.telemetry.evidence import Activity, Claim, Line, lines_of
from slipstream.telemetry.leader_fills import lost_fills
from slipstream.telemetry.leader_margin import wrong_margins
from slipstream.telemetry.positions import unexplained
from slipstream.telemetry.shared_depth import overcommits
from slipstream.telemetry.venue_record import (
    IGNORED_KINDS,
    BookState,
    VenueOrder,
    VenueRecord,
)

_PPM: Final = 1_000_000
_DIGITS: Final = 60

_Check = tuple[str, Decimal, int]
"""(name of a reference, its price, the bound around it in ppm)."""
_NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Recount:
    """The counters, what could not be judged, and one sentence for each thing counted."""

    slippage_breaches: int
    duplicate_orders: int
    depth_overcommits: int
    unexplained: int
    lost_fills: int
    unjudged: int
    findings: tuple[str, ...]


def recount(venue: Iterable[Line], activity: Iterable[Line]) -> Recount:
    """Count from both logs.

    Raises:
        KeyError: a line lacks what the counting needs; the evidence is not complete.
    """
    with localcontext(Context(prec=_DIGITS)):
        return _counted(venue, activity)


def _counted(venue: Iterable[Line], activity: Iterable[Line]) -> Recount:
    told = Activity(activity)
    named = {
        (claim.symbol, sequence)
        for claim in told.claims.values()
        for sequence in (claim.reference_sequence, claim.book_sequence)
        if sequence is not None
    }
    seen = VenueRecord(
        venue,
        accounts=told.follower_by_account.keys(),
        leaders={each["account"] for each in told.leaders.values()},
        named=named,
    )
    duplicates = list(_duplicates(told, seen))
    unjudged: list[str] = []
    breaches = [
        finding
        for claim in told.claims.values()
        for finding in _breaches(claim, told, seen, unjudged)
    ]
    overcommitted = list(overcommits(told, seen))
    positions = list(unexplained(told, seen, unjudged))
    positions += wrong_margins(told, seen, unjudged)
    lost = list(lost_fills(told, seen))
    return Recount(
        len(breaches),
        len(duplicates),
        len(overcommitted),
        len(positions),
        len(lost),
        len(unjudged),
        (*breaches, *duplicates, *overcommitted, *positions, *lost, *unjudged),
    )


def recount_files(directory: Path) -> Recount:
    """Count from ``venue.jsonl`` and ``activity.jsonl`` in a directory."""
    return recount(
        lines_of(directory / "venue.jsonl", without=IGNORED_KINDS),
        lines_of(directory / "activity.jsonl"),
    )


def _duplicates(told: Activity, seen: VenueRecord) -> Iterator[str]:
    """Yield one finding for each order too many."""
    for key, order in seen.orders.items():
        what = f"duplicate: {key[0]} {key[1]}"
        for extra in sorted(order.ids)[1:]:
            yield f"{what}: the venue has order {extra} under the same client order id"
        recorded = told.claim_counts.get(key, 0)
        if not recorded:
            yield f"{what}: an order nobody recorded"
            continue
        if recorded != 1:
            yield f"{what}: one order at the venue, {recorded} recorded attempts"
            continue
        claim = told.claims[key]
        asked = (claim.symbol, claim.side, claim.qty, claim.limit_px)
        had = (order.symbol, order.side, order.qty, order.limit_px)
        if asked != had:
            yield f"{what}: recorded as {asked}, at the venue {had}"
        elif claim.was_sent_unclaimed:
            yield f"{what}: sent before its claim was durable"
    yield from _overlaps(told, seen)


def _overlaps(told: Activity, seen: VenueRecord) -> Iterator[str]:
    """Yield the attempts of one leg that reached the venue beside or instead of an earlier one."""
    by_leg: dict[tuple[str, str, int], list[tuple[Claim, VenueOrder]]] = defaultdict(list)
    for key, order in seen.orders.items():
        claim = told.claims.get(key)
        if claim is not None:
            by_leg[claim.follower, claim.intent_id, claim.leg].append((claim, order))
    for orders in by_leg.values():
        orders.sort(key=lambda each: each[1].arrival_ns)
        for place, (claim, order) in enumerate(orders):
            why = _overlap(claim, order, orders[:place])
            if why is not None:
                yield f"duplicate: {claim.key[0]} {claim.key[1]}: {why}"


def _overlap(
    claim: Claim, order: VenueOrder, earlier: list[tuple[Claim, VenueOrder]]
) -> str | None:
    """Return why an attempt should not have been made after those before it."""
    if any(order.arrival_ns < other.ended_ns for _, other in earlier):
        return "an earlier attempt of its leg was live"
    if not all(other.is_done for other, _ in earlier):
        return "an earlier attempt of its leg was at the venue, which its record does not know"
    if not claim.is_reduction and not all(other.is_reduction for other, _ in earlier):
        return "its leg had its one opening order before"
    return None


def _breaches(
    claim: Claim, told: Activity, seen: VenueRecord, unjudged: list[str]
) -> Iterator[str]:
    """Yield what is outside a follower's bounds: one finding for the limit, one for each fill."""
    order = seen.orders.get(claim.key)
    limit_px = claim.limit_px
    if order is not None and order.limit_px is not None:
        limit_px = order.limit_px
    what = f"breach: {claim.key[1]} {claim.side} limit {limit_px}"
    outside = _outside(claim, limit_px, told, seen, unjudged)
    late_ms = None if order is None else _late_ms(claim, order, told, seen, unjudged)
    is_false = seen.was_false(claim, age_ns=told.reference_age_ns_max)
    if outside is not None and is_false:
        unjudged.append(f"unjudged: {claim.key[1]}: the venue had published a false book")
    elif outside is not None:
        yield f"{what} {outside}"
    elif late_ms is not None:
        yield f"{what} left {late_ms} ms after its reference was superseded"
    for px in seen.fill_prices.get(claim.key, ()):
        if _is_beyond(claim.side, px, limit_px):
            yield f"{what} filled at {px}"


def _outside(
    claim: Claim, limit_px: Decimal, told: Activity, seen: VenueRecord, unjudged: list[str]
) -> str | None:
    """Return what the limit is outside of, ``None`` when it is inside all that can be judged."""
    bounds = told.mirrors[claim.follower, claim.leader]
    checks: list[_Check] = []
    for found in (
        _leader_check(claim, told, bounds, unjudged),
        _market_check(claim, told, seen, bounds, unjudged),
    ):
        if isinstance(found, str):
            return found
        if found is not None:
            checks.append(found)
    for name, px, ppm in checks:
        edge = px * ppm / _PPM
        if _is_beyond(claim.side, limit_px, px + edge if claim.side == "BUY" else px - edge):
            return f"is outside {ppm} ppm of the {name}, {px}"
    return None


def _leader_check(
    claim: Claim, told: Activity, bounds: Line, unjudged: list[str]
) -> _Check | str | None:
    """Return the leader's price where it bounds an order, or what is wrong without one."""
    if claim.is_reduction and claim.reference != "LEADER_PX":
        return None
    event = told.events.get(claim.intent_id)
    if event is not None:
        ppm = _exit_ppm(claim, bounds) if claim.is_reduction else bounds["deviation_ppm"]
        return "leader's price", event.px, ppm
    if not claim.is_reduction:
        return "opens without an event of the leader"
    unjudged.append(f"unjudged: {claim.key[1]}: no book and no event of the leader gave its bound")
    return None


def _market_check(
    claim: Claim, told: Activity, seen: VenueRecord, bounds: Line, unjudged: list[str]
) -> _Check | str | None:
    """Return the venue's own reference where it bounds an order, or what is wrong with it."""
    kind = claim.reference if claim.is_reduction else "MID"
    if kind == "LEADER_PX":
        return None
    if kind == "MARK":
        return _mark_check(claim, told, seen, bounds)
    if kind not in {"MID", "BEST"}:
        unjudged.append(f"unjudged: {claim.key[1]}: the venue's log has no {kind}")
        return None
    sequence = claim.reference_sequence
    if kind == "BEST" and sequence is None:
        sequence = claim.book_sequence
    if sequence is None:
        unjudged.append(f"unjudged: {claim.key[1]}: no sequence recorded for its {kind}")
        return None
    book = seen.books.get((claim.symbol, sequence))
    px = None if book is None else _reference(book, kind, claim.side)
    if px is None:
        return f"refers to a {kind} at sequence {sequence} that the venue never had"
    ppm = _exit_ppm(claim, bounds) if claim.is_reduction else bounds["entry_ppm"]
    return f"venue's {kind} at sequence {sequence}", px, ppm


def _mark_check(claim: Claim, told: Activity, seen: VenueRecord, bounds: Line) -> _Check | str:
    """Return the recorded mark, or what is wrong with it: it must be one that the venue told,
    and not superseded for longer than the allowed age when the order arrived."""
    px, order = claim.reference_px, seen.orders.get(claim.key)
    arrival_ns = None if order is None else order.arrival_ns
    late_ns = seen.marks[claim.symbol].superseded_for_ns(px, arrival_ns)
    if late_ns is None:
        return f"refers to a MARK of {px} that the venue never told"
    if late_ns > told.reference_age_ns_max:
        return f"refers to a MARK that was superseded {late_ns // _NS_PER_MS} ms before it arrived"
    return f"venue's MARK of {px}", px, _exit_ppm(claim, bounds)


def _exit_ppm(claim: Claim, bounds: Line) -> int:
    """Return the configured bound of an exit: the emergency's only where it was recorded."""
    is_emergency = claim.bound_ppm == bounds["emergency_ppm"]
    ppm: int = bounds["emergency_ppm" if is_emergency else "exit_ppm"]
    return ppm


def _reference(book: BookState, kind: str, side: str) -> Decimal | None:
    return book.mid() if kind == "MID" else book.best(side)


def _late_ms(
    claim: Claim, order: VenueOrder, told: Activity, seen: VenueRecord, unjudged: list[str]
) -> int | None:
    """Return for how long the reference had been superseded, ``None`` when that is allowed.

    What a network holds back after an order has left is not its decision's age: as much of the
    way as its answer may have taken is allowed for. Without an answer nobody knows when it left.
    """
    if claim.reference_sequence is None:
        return None
    superseded_ns = seen.superseded_ns.get((claim.symbol, claim.reference_sequence))
    if superseded_ns is None:
        return None
    late_ns = order.arrival_ns - superseded_ns
    if late_ns <= told.reference_age_ns_max:
        return None
    if claim.answer_ms is None:
        unjudged.append(
            f"unjudged: {claim.key[1]} arrived {late_ns // _NS_PER_MS} ms after its reference was "
            "superseded, and no answer tells when it left"
        )
        return None
    late_ns -= claim.answer_ms * _NS_PER_MS
    return late_ns // _NS_PER_MS if late_ns > told.reference_age_ns_max else None


def _is_beyond(side: str, px: Decimal, edge_px: Decimal) -> bool:
    """Whether a price is worse than an edge for an order of a side."""
    return px > edge_px if side == "BUY" else px < edge_px
