"""What of an account's positions is ours: the venue's word compared with our own orders.

A difference that lasts longer than answers and streams may disagree, and that a fresh reading
confirms, is acted on: quantity beyond ours is foreign and stops opens of that symbol; quantity
missing from ours was closed by somebody else, and position and targets shrink to what is left.
A lane with an order out is never judged.
"""

from dataclasses import dataclass
from typing import Final

from slipstream._core import LaneState, PositionSide, format_fixed
from slipstream.runtime.follower import Follower, Membership
from slipstream.units import NS_PER_S, TimeNs

GRACE_NS: Final = 2 * NS_PER_S
"""Answers, streams and readings of one venue may disagree for this long (aster.md, 13)."""

_NET: Final = ((PositionSide.NET, 0),)
_HEDGE: Final = ((PositionSide.LONG, 0), (PositionSide.SHORT, 1))


@dataclass(frozen=True, slots=True)
class Difference:
    """One side of one lane where the venue says something else than our orders add up to.

    Quantities signed at 10**-8. ``foreign_qty`` is what was known to be foreign before.
    """

    membership: Membership
    symbol: str
    symbol_index: int
    side: PositionSide
    held_qty: int
    venue_qty: int
    foreign_qty: int

    @property
    def is_shrunk(self) -> bool:
        """Whether part of what our orders built is gone."""
        same = self.held_qty * self.venue_qty > 0
        return self.held_qty != 0 and (not same or abs(self.venue_qty) < abs(self.held_qty))


def differences(follower: Follower, symbol: str) -> list[Difference]:
    """Compare a symbol's idle lanes with what the venue last stated."""
    found: list[Difference] = []
    for membership in follower.memberships:
        index = membership.cohort.symbols.get(symbol)
        if index is None:
            continue
        lane = membership.cohort.table.lane(membership.row, index)
        if any(lane.in_flight_qty) or any(lane.unknown_qty):
            continue
        for side, slot in _HEDGE if follower.is_hedge else _NET:
            venue_qty = follower.venue_qty(symbol, side.value)
            held, foreign = lane.position_qty[slot], lane.foreign_qty[slot]
            if venue_qty - held != foreign:
                found.append(Difference(membership, symbol, index, side, held, venue_qty, foreign))
    return found


def describe(each: Difference) -> str:
    """Return a difference in words."""
    return (
        f"{each.symbol} {each.side.name}: the venue holds {format_fixed(each.venue_qty)}, "
        f"our orders built {format_fixed(each.held_qty)}"
    )


def is_idle(follower: Follower, symbol: str) -> bool:
    """Whether no order of ours is out on a symbol."""
    for membership in follower.memberships:
        index = membership.cohort.symbols.get(symbol)
        if index is not None:
            lane = membership.cohort.table.lane(membership.row, index)
            if any(lane.in_flight_qty) or any(lane.unknown_qty):
                return False
    return True


def mark_foreign(each: Difference) -> None:
    """Note quantity beyond ours; touches nothing else."""
    each.membership.cohort.table.set_foreign(
        each.membership.row, each.symbol_index, each.side, each.venue_qty - each.held_qty
    )


def shrink(each: Difference) -> LaneState:
    """Take what somebody else closed out of position and targets; return the lane after it."""
    table, row = each.membership.cohort.table, each.membership.row
    lane = table.shrink(row, each.symbol_index, each.side, each.venue_qty)
    slot = 1 if each.side is PositionSide.SHORT else 0
    left = each.venue_qty - lane.position_qty[slot]
    table.set_foreign(row, each.symbol_index, each.side, left)
    return table.lane(row, each.symbol_index)


def take_stock(follower: Follower, membership: Membership, symbol: str) -> list[Difference]:
    """Mark what is foreign on a lane about to be used for the first time; return it.

    What seems to be gone is not judged here: that waits for a reading.
    """
    if follower.config.mode != "live":
        return []
    found = [
        each
        for each in differences(follower, symbol)
        if each.membership is membership and not each.is_shrunk
    ]
    for each in found:
        mark_foreign(each)
    return found


class Doubts:
    """One follower's symbols to be compared, each since when it looks the way it does."""

    def __init__(self) -> None:
        """Start without any."""
        self._since: dict[str, tuple[TimeNs, tuple[tuple[int, int], ...]]] = {}

    def due(self, follower: Follower, now_ns: TimeNs) -> list[str]:
        """Return the symbols whose difference has lasted, and forget those without one."""
        due: list[str] = []
        for symbol in list(follower.doubted):
            look = tuple((each.held_qty, each.venue_qty) for each in differences(follower, symbol))
            if not look and is_idle(follower, symbol):
                follower.doubted.discard(symbol)
                self._since.pop(symbol, None)
                continue
            known = self._since.get(symbol)
            if known is None or known[1] != look:
                self._since[symbol] = (now_ns, look)
            elif look and now_ns - known[0] >= GRACE_NS:
                due.append(symbol)
        return due

    def settle(self, follower: Follower, symbol: str) -> list[Difference]:
        """Return what still differs after a reading, if it is the difference that was due."""
        known = self._since.pop(symbol, None)
        found = differences(follower, symbol)
        look = tuple((each.held_qty, each.venue_qty) for each in found)
        if known is None or known[1] != look:
            return []
        follower.doubted.discard(symbol)
        return found
