"""Questions about one lane that several parts of the engine ask."""

from slipstream._core import LaneState
from slipstream.units import TARGET_PER_QTY


def excess_qty(lane: LaneState) -> int:
    """Return how much more is held than wanted, in quantity units; 0 when less is.

    Where a long and a short side are held, each is compared with the targets of its sign: the one
    may have to go although the other makes their sum look right.
    """
    if all(lane.position_qty):
        sides = ((max(0, each), min(0, each)) for each in lane.wanted_target)
        wanted_sides = map(sum, zip(*sides, strict=True))
        return sum(
            max(0, abs(held) - abs(wanted) // TARGET_PER_QTY)
            for held, wanted in zip(lane.position_qty, wanted_sides, strict=True)
        )
    held, wanted = sum(lane.position_qty), sum(lane.wanted_target)
    if any(lane.position_qty) and not any(lane.wanted_target):
        return max(map(abs, lane.position_qty))
    kept = abs(wanted) // TARGET_PER_QTY if held * wanted > 0 else 0
    return max(0, abs(held) - kept)
