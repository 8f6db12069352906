"""Events beside the leader's: what names an order that no fill of the leader asked for.

A flatten of the operator's, an exit that was held back, a fill that became known late: each goes
the way of every order and needs an intent in the ledger to be unique under.
"""

from dataclasses import dataclass
from typing import Final

from slipstream._core import PositionSide, Side
from slipstream.domain.ids import FillId, LeaderId, VenueId, intent_id
from slipstream.domain.instrument import Instrument
from slipstream.domain.intent import IntentKind, MirrorIntent
from slipstream.engine.cohort import Cohort, Event, Market
from slipstream.units import Px, Qty, TimeNs, VenueMs

ORDER_ID: Final = "operator"
"""Stands where a fill names its order: no fill caused this."""


@dataclass(frozen=True, slots=True)
class Instant:
    """When, on both clocks."""

    now_ns: TimeNs
    wall_ms: int


def stand_in(cohort: Cohort, market: Market, *, why: str, at: Instant) -> Event | None:
    """Return an event that stands beside the leader's; ``None`` while no price is known.

    ``why`` and the instant make it unique in the ledger.
    """
    px = market.mark_px or market.mid_px
    if px is None:
        return None
    symbol = market.instrument.symbol
    return Event(
        intent=_intent(cohort.leader, market.instrument, px, why=why, at=at),
        symbol=symbol,
        symbol_index=cohort.symbol_index(symbol),
        arrival_px=market.mid_px,
        arrival_sequence=market.mid_sequence,
        rotation=0,
    )


def _intent(
    leader: LeaderId, instrument: Instrument, px: Px, *, why: str, at: Instant
) -> MirrorIntent:
    """Return the intent that names these orders in the ledger; no leader event is behind it."""
    venue = VenueId(instrument.venue)
    name = FillId(venue, "", instrument.symbol, ORDER_ID, f"{why}:{at.now_ns}", at.wall_ms)
    return MirrorIntent(
        id=intent_id(leader, (name,)),
        leader=leader,
        venue=venue,
        account="",
        symbol=instrument.symbol,
        position_side=PositionSide.NET,
        kind=IntentKind.FULL_CLOSE,
        side=Side.SELL,
        before=Qty(0),
        after=Qty(0),
        qty=Qty(0),
        px=px,
        fills=(),
        margin=None,
        venue_ts_ms=VenueMs(at.wall_ms),
        received_ns=at.now_ns,
        decoded_ns=at.now_ns,
        margin_ns=None,
        created_ns=at.now_ns,
    )
