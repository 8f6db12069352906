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


def with_orders(lane: LaneState, slot: int, *, in_flight_qty: int, unknown_qty: int) -> LaneState:
    """Return a lane with other orders out on one of its sides (signed quantities)."""
    in_flight, unknown = list(lane.in_flight_qty), list(lane.unknown_qty)
    in_flight[slot], unknown[slot] = in_flight_qty, unknown_qty
    return LaneState(
        mirrored_target=lane.mirrored_target,
        exact_target=lane.exact_target,
        wanted_target=lane.wanted_target,
        peak_target=lane.peak_target,
        frozen_leader_margin=lane.frozen_leader_margin,
        position_qty=lane.position_qty,
        in_flight_qty=(in_flight[0], in_flight[1]),
        unknown_qty=(unknown[0], unknown[1]),
        foreign_qty=lane.foreign_qty,
        leverage=lane.leverage,
        gates=lane.gates,
    )
