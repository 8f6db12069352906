"""How much more a lane holds than it wants, on one side and on two."""

import pytest

from slipstream._core import LaneState
from slipstream.engine.lane import excess_qty
from slipstream.units import TARGET_PER_QTY


@pytest.mark.parametrize(
    ("position", "wanted", "excess"),
    [
        ((7, 0), (5, 0), 2),
        ((7, 0), (9, 0), 0),
        ((7, 0), (-3, 0), 7),
        ((-7, 0), (0, 0), 7),
        # A long side that is to go, beside a short one that is wanted: their sum looks right.
        ((7, -20), (-20, 0), 7),
        ((7, -20), (7, -20), 0),
        ((7, -20), (5, -10), 12),
    ],
)
def test_the_excess_of_a_lane(
    position: tuple[int, int], wanted: tuple[int, int], excess: int
) -> None:
    targets = (wanted[0] * TARGET_PER_QTY, wanted[1] * TARGET_PER_QTY)
    lane = LaneState(position_qty=position, wanted_target=targets)
    assert excess_qty(lane) == excess
