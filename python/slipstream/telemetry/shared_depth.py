"""Whether orders that drew on one book together counted on more than was there.

A *pass* is one planning of one event: its orders were decided together on one book sequence.
Claims whose order never reached the venue's book took nothing from it and are left out.
What earlier passes still had out at that sequence is taken from the venue's book first (an order
that had ended when the pass's first order arrived counts with what it filled, any other with its
whole quantity); what is left must hold the pass. For every limit in it, the orders at that limit
or a tighter one must fit into the depth at that limit or better.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from slipstream.telemetry.evidence import Activity, Claim
from slipstream.telemetry.venue_record import VenueRecord

_NEVER = 1 << 63

Levels = list[tuple[Decimal, Decimal]]


@dataclass(slots=True)
class _Pass:
    """Orders decided together on one book sequence, in the order they were decided."""

    sequence: int
    claims: list[Claim]
    first_arrival_ns: int


def overcommits(told: Activity, seen: VenueRecord) -> Iterator[str]:
    """Yield one finding for each order that counted on depth that was not there."""
    sides: dict[tuple[str, str], dict[tuple[object, ...], list[Claim]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for claim in told.claims.values():
        order = seen.orders.get(claim.key)
        if order is None or seen.was_false(claim, age_ns=told.reference_age_ns_max):
            continue
        if claim.has_depth:
            group = (*claim.planned_with, claim.book_sequence)
            sides[claim.symbol, claim.side][group].append(claim)
    for (symbol, side), groups in sides.items():
        passes = sorted(
            (_made(claims, seen) for claims in groups.values()),
            key=lambda each: (each.sequence, each.first_arrival_ns),
        )
        for index, each in enumerate(passes):
            yield from _judge(each, passes[:index], symbol, side, seen)


def _made(claims: list[Claim], seen: VenueRecord) -> _Pass:
    arrivals = [seen.orders[each.key].arrival_ns for each in claims if each.key in seen.orders]
    claims.sort(key=lambda each: each.rank)
    sequence = claims[0].book_sequence
    return _Pass(-1 if sequence is None else sequence, claims, min(arrivals, default=_NEVER))


def _judge(
    judged: _Pass, earlier: Sequence[_Pass], symbol: str, side: str, seen: VenueRecord
) -> Iterator[str]:
    book = seen.books.get((symbol, judged.sequence))
    levels = [] if book is None else book.levels(side)
    for before in earlier:
        for claim in before.claims:
            qty = _still_out(claim, judged, seen)
            if qty:
                _take(levels, qty, claim.limit_px, side)
    tightest_first = sorted(judged.claims, key=lambda each: each.limit_px, reverse=side == "SELL")
    wanted = depth = Decimal(0)
    at = 0
    for claim in tightest_first:
        while at < len(levels) and _is_inside(levels[at][0], claim.limit_px, side):
            depth += levels[at][1]
            at += 1
        wanted += claim.qty
        if wanted > depth:
            yield (
                f"overcommit: {claim.key[1]} {side} {claim.qty} of {symbol} brings what counts on "
                f"the book of sequence {judged.sequence} to {wanted}, of {depth} inside "
                f"{claim.limit_px}"
            )


def _still_out(claim: Claim, judged: _Pass, seen: VenueRecord) -> Decimal:
    """Return what an earlier order takes from the book of a later pass."""
    order = seen.orders.get(claim.key)
    if order is None or order.executed_on_sequence < judged.sequence:
        return Decimal(0)
    return order.filled_qty if order.ended_ns <= judged.first_arrival_ns else claim.qty


def _take(levels: Levels, qty: Decimal, limit_px: Decimal, side: str) -> None:
    """Take a quantity from the best levels inside a limit, as far as they go."""
    while qty and levels and _is_inside(levels[0][0], limit_px, side):
        px, there = levels[0]
        if there > qty:
            levels[0] = (px, there - qty)
            return
        qty -= there
        del levels[0]


def _is_inside(px: Decimal, limit_px: Decimal, side: str) -> bool:
    return px <= limit_px if side == "BUY" else px >= limit_px
