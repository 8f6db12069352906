"""Whether the margin of a leader that an event was sized by is one that the venue confirmed.

The leader's margin is its wallet and what its positions are worth at the mark. The venue's log has
the wallet and the position after every fill, and every mark that anybody was told; which of them
the engine had just heard is not in the log. So the margin must lie between the least and the most
that they come to from the event's newest fill on, until the first order it led to arrived.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from slipstream.telemetry.evidence import Activity, LeaderEvent
from slipstream.telemetry.leader_fills import cut
from slipstream.telemetry.venue_record import LeaderAccount, LeaderFill, VenueRecord

_ENTRY_STEP: Final = Decimal("0.00001")
"""Streams tell an entry price with five decimals."""

_RAW: Final = Decimal("0.00000001")
_MS: Final = 1_000_000

_Span = tuple[int, int]
"""(first, last) nanosecond."""


@dataclass(frozen=True, slots=True)
class _Range:
    """What a number was, at least and at most."""

    least: Decimal
    most: Decimal

    def plus(self, other: "_Range") -> "_Range":
        return _Range(self.least + other.least, self.most + other.most)

    def times(self, other: "_Range") -> "_Range":
        corners = [a * b for a in (self.least, self.most) for b in (other.least, other.most)]
        return _Range(min(corners), max(corners))


def wrong_margins(told: Activity, seen: VenueRecord, unjudged: list[str]) -> Iterator[str]:
    """Yield one finding for each event whose margin the venue did not confirm."""
    ends_ns = _first_arrivals(told, seen)
    fills = {(each.account, each.symbol, each.trade_id): each for each in seen.leader_fills}
    for intent_id, event in told.events.items():
        if event.margin is None:
            continue
        what = f"{event.leader} {intent_id}: margin {event.margin}"
        found = _judged(event, told, seen, fills, ends_ns.get(intent_id, seen.last_ns))
        if isinstance(found, str):
            unjudged.append(f"unjudged: {what}: {found}")
        elif not found.least <= event.margin <= found.most:
            yield f"unexplained: {what} is not from {found.least} to {found.most}"


def _first_arrivals(told: Activity, seen: VenueRecord) -> dict[str, int]:
    """Return when the first order of each event came to the venue."""
    found: dict[str, int] = {}
    for key, claim in told.claims.items():
        order = seen.orders.get(key)
        if order is not None:
            known_ns = found.get(claim.intent_id, order.arrival_ns)
            found[claim.intent_id] = min(known_ns, order.arrival_ns)
    return found


def _judged(
    event: LeaderEvent,
    told: Activity,
    seen: VenueRecord,
    fills: dict[tuple[str, str, str], LeaderFill],
    end_ns: int,
) -> _Range | str:
    """Return what the margin may be, or why that cannot be told."""
    named = [(account, symbol, cut(name)[0]) for account, symbol, name in event.fills]
    known = [fills[name] for name in named if name in fills]
    if not event.is_net:
        return "the leader holds a long and a short side apart"
    if event.reads or not known or len(known) != len(named):
        return "not all of its fills are in the venue's log"
    account = seen.leader_accounts.get(known[0].account)
    if account is None or not account.is_whole:
        return "the venue's log does not tell of the leader's wallet"
    newest = max(known, key=lambda each: each.ns)
    if newest.ns in account.behind_ns:
        return "the venue's clock had stepped back, and its wallets cannot be told apart by time"
    span = (newest.ns, end_ns)
    return _worth(account, event.symbol, seen, span, told.reference_age_ns_max)


def _worth(
    account: LeaderAccount, own_symbol: str, seen: VenueRecord, span: _Span, age_ns: int
) -> _Range | str:
    """Return what an account was worth in a span; positions and marks may be heard late."""
    first_ns, last_ns = span
    # Fills of one instant are one to the venue: the wallet may be that after any of them.
    wallets = [each for ns, each in account.wallets if first_ns - _MS <= ns <= last_ns]
    worth = _Range(min(wallets), max(wallets))
    for symbol, steps in account.lanes.items():
        begin = max(bisect_left(steps, (first_ns - age_ns,)) - 1, 0)
        held = [step for step in steps[begin:] if step[0] <= last_ns]
        # The event's own fill is counted in its margin; others may not have been heard of yet.
        since_ns = first_ns if symbol == own_symbol else 0
        sizes = [qty for ns, qty, _ in held if ns >= since_ns]
        if not any(sizes):
            continue
        marks = seen.marks[symbol].within(first_ns - age_ns, last_ns)
        if not marks:
            return f"the venue's log has no mark of {symbol} until then"
        entries = [px for _, qty, px in held if qty]
        gained = _Range(
            min(marks) - max(entries) - _ENTRY_STEP, max(marks) - min(entries) + _ENTRY_STEP
        )
        worth = worth.plus(gained.times(_Range(min(sizes), max(sizes)))).plus(_Range(-_RAW, _RAW))
    return worth.plus(_Range(-_RAW, _RAW))
