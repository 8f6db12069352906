"""Legs as the ledger knows them, made again: what a restart goes on with.

The ledger keeps of an order what its limit price was bound to and how it ended; instants of an
earlier process mean nothing here and are left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from slipstream._core import PositionSide, ReferenceKind, Side, format_fixed
from slipstream.domain.ids import IntentId, LeaderId, VenueId
from slipstream.domain.intent import IntentKind, LeaderMargin, MirrorIntent
from slipstream.domain.order import OrderRequest
from slipstream.domain.outcome import LegEnd
from slipstream.engine.cohort import Cohort, Event, Member
from slipstream.engine.leg import LegState
from slipstream.engine.leglife import KeptPlan, Leg
from slipstream.store.base import LedgerIntent, LedgerLeg
from slipstream.units import NS_PER_MS, Px, Qty, Quote, TimeNs, VenueMs

POSITION_SIDES: Final = (PositionSide.NET, PositionSide.LONG, PositionSide.SHORT)
"""By value, as the ledger keeps them."""

_REFERENCES: Final[Mapping[int, ReferenceKind]] = {
    int(each.value): each
    for each in (
        ReferenceKind.ARRIVAL_MID,
        ReferenceKind.LEADER_PX,
        ReferenceKind.MID,
        ReferenceKind.BEST,
        ReferenceKind.MARK,
    )
}
_OPENING_KINDS: Final = (IntentKind.OPEN, IntentKind.INCREASE)
_ENDS_WITHOUT_A_FILL: Final = (LegEnd.REJECTED, LegEnd.FAILED, LegEnd.SKIPPED)


@dataclass(frozen=True, slots=True)
class Instants:
    """Now, on the engine's clock and on the leader's venue's."""

    now_ns: TimeNs
    venue_ms: int


def restored_intent(row: LedgerIntent, leg: LedgerLeg, at: Instants) -> MirrorIntent:
    """Return a leader's event as the ledger keeps it, or one that stands beside the leader's.

    Its age is the venue's word; the price of what stands beside is that of its leg's bound.
    """
    venue_ts_ms = row.recorded_ms if row.venue_ts_ms is None else row.venue_ts_ms
    age_ns = max(0, at.venue_ms - venue_ts_ms) * NS_PER_MS
    created_ns = TimeNs(at.now_ns - age_ns)
    before, after = row.before_qty or 0, row.after_qty or 0
    equity, margin = row.leader_equity, row.leader_margin
    return MirrorIntent(
        id=IntentId(row.intent_id),
        leader=LeaderId(row.leader_id),
        venue=VenueId(row.venue or ""),
        account=row.account or "",
        symbol=row.symbol or leg.symbol,
        position_side=POSITION_SIDES[row.position_side or 0],
        kind=IntentKind.FULL_CLOSE if row.kind is None else IntentKind(row.kind),
        side=Side.BUY if after > before else Side.SELL,
        before=Qty(before),
        after=Qty(after),
        qty=Qty(row.qty or 0),
        px=Px(row.px or leg.reference_px or leg.limit_px or 1),
        fills=(),
        margin=None
        if equity is None
        else LeaderMargin(Quote(equity), None if margin is None else Quote(margin)),
        venue_ts_ms=VenueMs(venue_ts_ms),
        received_ns=created_ns,
        decoded_ns=created_ns,
        margin_ns=None,
        created_ns=created_ns,
    )


def restored_event(intent: MirrorIntent, cohort: Cohort, symbol: str, *, is_leaders: bool) -> Event:
    """Return the event that a restored leg belongs to.

    It is current until the leader's next one; what it once was bound to is gone with its process.
    """
    return Event(
        intent=intent,
        symbol=symbol,
        symbol_index=cohort.symbol_index(symbol),
        arrival_px=None,
        arrival_sequence=None,
        rotation=0,
        number=0 if is_leaders else None,
    )


def restored_leg(rows: Sequence[LedgerLeg], event: Event, member: Member) -> Leg:
    """Return one leg from all attempts at it, the newest last.

    When the newest is a claim without an outcome, its order is of unknown fate.
    """
    newest = rows[-1]
    leg = Leg(member, member.row, newest.leg, event.symbol_index)
    leg.event = event
    leg.is_recovered = True
    leg.is_told = newest.is_told
    leg.is_opening = bool(newest.leg) or event.intent.kind in _OPENING_KINDS
    for row in rows:
        leg.attempt = row.attempt
        if row.client_order_id is not None:
            _add_order(leg, row)
        elif not leg.attempts:
            leg.wanted_qty = abs(row.wanted_qty)
    if newest.client_order_id is None and newest.is_reduction is not None:
        leg.is_opening = not newest.is_reduction
    leg.reason = newest.reason
    leg.observed, leg.limit = newest.observed, newest.limit_value
    if newest.leg_end is not None and not leg.filled_qty:
        end = LegEnd(newest.leg_end)
        leg.end = end if end in _ENDS_WITHOUT_A_FILL else None
    return leg


def _add_order(leg: Leg, row: LedgerLeg) -> None:
    side = Side.BUY if (row.side or 0) > 0 else Side.SELL
    qty, limit_px = Qty(row.qty or 0), Px(row.limit_px or 0)
    position_side = POSITION_SIDES[row.position_side]
    plan = KeptPlan(
        side=side,
        position_side=position_side,
        is_opening=not row.is_reduction,
        wanted_qty=row.wanted_qty,
        reference_kind=_REFERENCES.get(-1 if row.reference is None else row.reference),
        reference_px=row.reference_px,
        bound_ppm=row.bound_ppm,
        book_sequence=row.book_sequence,
    )
    request = OrderRequest(
        row.client_order_id or "",  # type: ignore[arg-type]
        row.symbol,
        side,
        position_side,
        qty,
        limit_px,
        bool(row.is_reduction),
        format_fixed(qty),
        format_fixed(limit_px),
    )
    leg.on_order(plan, request, row.reference_sequence, None)
    is_open = row.status == "claimed"
    leg.current.state = LegState.UNKNOWN if is_open else LegState.DONE
    leg.on_filled(row.filled_qty or 0, row.average_px)
