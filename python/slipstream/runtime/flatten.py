"""Reductions that no leader event asked for: flatten, and exits that were held back.

Both go the way of every order: targets in the table, then plan, exit bound, claim, journal. Only
attributed positions are reduced; what is foreign is never touched.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from slipstream._core import LaneState
from slipstream.domain.ids import FollowerId
from slipstream.engine.lane import excess_qty
from slipstream.runtime.mirror import Mirror
from slipstream.runtime.standin import Instant, stand_in


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
            mirror.tell_lane("FLATTENED", row, symbol)
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
    """Return the rows, by symbol, that hold a lot or more beyond what is wanted, without those that
    are to be planned anyway."""
    found: dict[str, list[int]] = {}
    wishes = mirror.cohort.wishes
    for symbol, index, states in lanes(mirror, scope):
        instrument = mirror.hub.instruments.get(symbol)
        if instrument is None:
            continue
        lot = instrument.rules.qty_step
        rows = [
            row
            for row, lane in states
            if excess_qty(lane) >= lot
            and ((wish := wishes.of((row, index))) is None or wish.leg is None)
        ]
        if rows:
            found[symbol] = rows
    return found


def reduce(mirror: Mirror, symbol: str, rows: list[int], *, why: str, at: Instant) -> str | None:
    """Have lanes planned towards their targets; return why that cannot be, ``None`` when it can.

    The pipeline's worker does the rest; what is not filled inside the exit bound is retried.
    """
    event = stand_in(mirror.cohort, mirror.hub.market(symbol), why=why, at=at)
    if event is None:
        return f"{symbol}: no price is known yet"
    mirror.want(event, rows)
    return None
