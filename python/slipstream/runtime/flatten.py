"""Reductions that no leader event asked for: flatten, and exits that were held back.

Both go the way of every order: targets in the table, then plan, exit bound, claim, journal. Only
attributed positions are reduced; what is foreign is never touched.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from slipstream._core import LaneState, PositionSide, Side
from slipstream.domain.ids import FillId, FollowerId, LeaderId, VenueId, intent_id
from slipstream.domain.instrument import Instrument
from slipstream.domain.intent import IntentKind, MirrorIntent
from slipstream.engine.cohort import Event
from slipstream.engine.lane import excess_qty
from slipstream.runtime.mirror import Mirror
from slipstream.units import Px, Qty, TimeNs, VenueMs

ORDER_ID: Final = "operator"
"""Stands where a fill names its order: no fill caused this."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose lanes, of which symbol; ``None`` = all."""

    followers: frozenset[FollowerId] | None = None
    symbol: str | None = None

    def holds(self, follower: FollowerId, symbol: str) -> bool:
        """Whether a lane is meant."""
        return (self.followers is None or follower in self.followers) and (
            self.symbol in (None, symbol)
        )


@dataclass(frozen=True, slots=True)
class Instant:
    """When, on both clocks."""

    now_ns: TimeNs
    wall_ms: int


def lanes(mirror: Mirror, scope: Scope) -> Iterator[tuple[str, int, list[tuple[int, LaneState]]]]:
    """Yield each symbol with its index and its lanes (row, state) that are meant."""
    cohort = mirror.cohort
    for symbol, index in list(cohort.symbols.items()):
        found = [
            (member.row, cohort.table.lane(member.row, index))
            for member in cohort.members
            if scope.holds(member.follower, symbol)
        ]
        if found:
            yield symbol, index, found


def give_up_targets(mirror: Mirror, scope: Scope) -> dict[str, list[int]]:
    """Set the targets of lanes to nothing; return the rows that hold something, by symbol.

    From then on a lane is as if the mirror had begun now: it follows what the leader adds.
    """
    found: dict[str, list[int]] = {}
    for symbol, index, states in lanes(mirror, scope):
        for row, lane in states:
            is_idle = not any((*lane.in_flight_qty, *lane.unknown_qty))
            if is_idle and not any((*lane.position_qty, *lane.wanted_target)):
                continue
            mirror.cohort.table.restore_lane(row, index, _without_targets(lane))
            found.setdefault(symbol, []).append(row)
    return found


def _without_targets(lane: LaneState) -> LaneState:
    return LaneState(
        position_qty=lane.position_qty,
        in_flight_qty=lane.in_flight_qty,
        unknown_qty=lane.unknown_qty,
        foreign_qty=lane.foreign_qty,
        leverage=lane.leverage,
        gates=lane.gates,
    )


def held_back(mirror: Mirror, scope: Scope) -> dict[str, list[int]]:
    """Return the rows, by symbol, that hold a lot or more beyond what is wanted."""
    found: dict[str, list[int]] = {}
    for symbol, _, states in lanes(mirror, scope):
        instrument = mirror.hub.instruments.get(symbol)
        if instrument is None:
            continue
        lot = instrument.rules.qty_step
        rows = [row for row, lane in states if excess_qty(lane) >= lot]
        if rows:
            found[symbol] = rows
    return found


def reduce(mirror: Mirror, symbol: str, rows: list[int], *, why: str, at: Instant) -> str | None:
    """Have lanes planned towards their targets; return why that cannot be, ``None`` when it can.

    The pipeline's worker does the rest; what is not filled inside the exit bound is retried.
    """
    market = mirror.hub.market(symbol)
    px = market.mark_px or market.mid_px
    if px is None:
        return f"{symbol}: no price is known yet"
    intent = _stand_in(mirror.cohort.leader, market.instrument, px, why=why, at=at)
    event = Event(
        intent=intent,
        symbol=symbol,
        symbol_index=mirror.cohort.symbol_index(symbol),
        arrival_px=market.mid_px,
        arrival_sequence=market.mid_sequence,
        rotation=0,
    )
    mirror.want(event, rows)
    return None


def _stand_in(
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
