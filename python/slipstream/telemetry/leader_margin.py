"""Whether the margin of a leader that an event was sized by is one that the venue confirmed.

The leader's margin is its wallet and what its positions are worth at the mark. The venue's log has
the wallet and the position after every fill, and every mark that anybody was told; which of them
the engine had just heard is not in the log. So the margin must lie between the least and the most
that they come to from the newest fill on that went the event's way, until the first order it led
to arrived. A confirmation names a millisecond: the venue's fills of one are not told apart.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from slipstream.telemetry.evidence import Activity, LeaderEvent
from slipstream.telemetry.leader_fills import cut
from slipstream.telemetry.venue_record import LeaderAccount, LeaderFill, VenueRecord

_ENTRY_STEP: Final = Decimal("0.00001")
"""Streams tell an entry price with five decimals."""

_RAW: Final = Decimal("0.00000001")


@dataclass(frozen=True, slots=True)
class _Moment:
    """When an event was sized: until ``end_ns``, by what was heard up to ``age_ns`` late.
    ``unheard``: by symbol, since when fills of its leader had not been heard of."""

    end_ns: int
    age_ns: int
    unheard: Mapping[str, int]


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
    for place, (intent_id, event) in enumerate(told.events.items()):
        if event.margin is None:
            continue
        is_deaf = place < told.events_before_loss.get(event.leader, 0)
        unheard = _unheard(place, told, seen, event.leader) if is_deaf else {}
        what = f"{event.leader} {intent_id}: margin {event.margin}"
        end_ns = ends_ns.get(intent_id, seen.last_ns)
        moment = _Moment(end_ns, told.reference_age_ns_max, unheard)
        found = _judged(event, seen, fills, moment)
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


def _unheard(place: int, told: Activity, seen: VenueRecord, leader: str) -> dict[str, int]:
    """Return by symbol when the first fill was that only later events name: the stream lost some,
    and nobody knew of it yet."""
    heard = {
        (account, symbol, cut(name)[0])
        for event in list(told.events.values())[: place + 1]
        for account, symbol, name in event.fills
    }
    account = told.leaders[leader]["account"]
    found: dict[str, int] = {}
    for fill in seen.leader_fills:
        is_due = fill.account == account and fill.at_ms > told.since_ms.get(leader, 0)
        if is_due and (account, fill.symbol, fill.trade_id) not in heard:
            found.setdefault(fill.symbol, fill.ns)
    return found


def _judged(
    event: LeaderEvent,
    seen: VenueRecord,
    fills: dict[tuple[str, str, str], LeaderFill],
    moment: _Moment,
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
    # A later fill the other way, heard first, shrank what is sized here; it is not sized itself.
    moved = event.after - event.before
    newest = max(
        (each for each in known if each.qty * moved > 0), key=lambda each: each.ns, default=None
    )
    if newest is None:
        return "none of its fills goes the way that its position went"
    if newest.ns in account.behind_ns:
        return "the venue's clock had stepped back, and its wallets cannot be told apart by time"
    return _worth(account, event.symbol, seen, account.first_ns[newest.at_ms], moment)


def _worth(
    account: LeaderAccount,
    own_symbol: str,
    seen: VenueRecord,
    first_ns: int,
    moment: _Moment,
) -> _Range | str:
    """Return what an account was worth in a span; positions and marks may be heard late."""
    last_ns, age_ns = moment.end_ns, moment.age_ns
    wallets = [each for ns, each in account.wallets if first_ns <= ns <= last_ns]
    worth = _Range(min(wallets), max(wallets))
    for symbol, steps in account.lanes.items():
        since_ns = min(first_ns - age_ns, moment.unheard.get(symbol, first_ns))
        begin = max(bisect_left(steps, (since_ns,)) - 1, 0)
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
