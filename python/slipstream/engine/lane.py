"""Questions about one lane that several parts of the engine ask."""

from slipstream._core import LaneState
from slipstream.units import TARGET_PER_QTY


def excess_qty(lane: LaneState) -> int:
    """Return how much more is held than wanted, in quantity units; 0 when less is."""
    held, wanted = sum(lane.position_qty), sum(lane.wanted_target)
    if any(lane.position_qty) and not any(lane.wanted_target):
        return max(map(abs, lane.position_qty))
    kept = abs(wanted) // TARGET_PER_QTY if held * wanted > 0 else 0
    return max(0, abs(held) - kept)
