"""Whose a position is: ours, or not, and what becomes of ours when somebody closes it."""

from mirror_parts import SYMBOL, Stage, units
from slipstream._core import PositionSide
from slipstream.domain.fill import AccountUpdate, PositionState
from slipstream.domain.ids import FollowerId
from slipstream.runtime.attribution import (
    GRACE_NS,
    Doubts,
    differences,
    mark_foreign,
    shrink,
    take_stock,
)
from slipstream.runtime.follower import Follower
from slipstream.units import Px, Qty, TimeNs, VenueMs

PX = 100 * 10**8


def states(follower: Follower, qty: int) -> None:
    """Let the venue state a position."""
    position = PositionState(SYMBOL, PositionSide.NET, Qty(qty), Px(PX))
    update = AccountUpdate("0x", VenueMs(1), "ORDER", None, (position,), TimeNs(1))
    follower.on_events([update])


async def held(qty: int) -> tuple[Stage, Follower]:
    """Return a follower whose orders built a position."""
    stage = Stage(("live",))
    await stage.move(qty)
    for order in stage.take_sent():
        order.fill()
    return stage, stage.followers[FollowerId("f1")]


async def test_what_the_venue_confirms_is_no_difference() -> None:
    _, follower = await held(units(4))
    states(follower, units(4))
    assert differences(follower, SYMBOL) == []


async def test_quantity_beyond_ours_is_foreign_and_stops_opens() -> None:
    stage, follower = await held(units(4))
    states(follower, units(7))
    (each,) = differences(follower, SYMBOL)
    assert not each.is_shrunk
    mark_foreign(each)
    lane = stage.cohort.table.lane(0, 0)
    assert (lane.position_qty[0], lane.foreign_qty[0]) == (units(4), units(3))
    assert differences(follower, SYMBOL) == []
    await stage.move(units(5))
    assert stage.take_sent() == []
    assert stage.end_of() == ("skipped", "FOREIGN_POSITION")


async def test_what_somebody_else_closed_is_not_rebuilt() -> None:
    stage, follower = await held(units(4))
    states(follower, units(1))
    (each,) = differences(follower, SYMBOL)
    assert each.is_shrunk
    lane = shrink(each)
    assert (lane.position_qty[0], lane.foreign_qty[0]) == (units(1), 0)
    assert differences(follower, SYMBOL) == []
    await stage.move(units(2))  # the leader halves: so does what is left
    (order,) = stage.take_sent()
    assert order.request.qty == units(1) // 2


async def test_a_position_turned_around_by_hand_is_theirs_alone() -> None:
    stage, follower = await held(units(4))
    states(follower, -units(2))
    (each,) = differences(follower, SYMBOL)
    assert each.is_shrunk
    lane = shrink(each)
    assert (lane.position_qty[0], lane.foreign_qty[0]) == (0, -units(2))
    assert stage.position() == 0


async def test_a_lane_with_an_order_out_is_not_judged() -> None:
    stage = Stage(("live",))
    follower = stage.followers[FollowerId("f1")]
    await stage.move(units(4))
    states(follower, units(4))
    assert differences(follower, SYMBOL) == []
    assert Doubts().due(follower, TimeNs(0)) == []
    assert follower.doubted == {SYMBOL}


async def test_only_a_difference_that_lasts_unchanged_is_due() -> None:
    _, follower = await held(units(4))
    doubts = Doubts()
    states(follower, units(7))
    assert doubts.due(follower, TimeNs(0)) == []
    states(follower, units(8))
    assert doubts.due(follower, TimeNs(GRACE_NS)) == []
    assert doubts.due(follower, TimeNs(2 * GRACE_NS - 1)) == []
    assert doubts.due(follower, TimeNs(2 * GRACE_NS)) == [SYMBOL]
    states(follower, units(4))  # the reading says that all is well
    assert doubts.settle(follower, SYMBOL) == []
    assert doubts.due(follower, TimeNs(3 * GRACE_NS)) == []
    assert follower.doubted == set()


async def test_a_reading_that_agrees_settles_the_difference() -> None:
    _, follower = await held(units(4))
    doubts = Doubts()
    states(follower, units(7))
    doubts.due(follower, TimeNs(0))
    assert doubts.due(follower, TimeNs(GRACE_NS)) == [SYMBOL]
    assert [each.venue_qty for each in doubts.settle(follower, SYMBOL)] == [units(7)]


async def test_stock_is_taken_before_the_first_open_and_judges_no_loss() -> None:
    stage = Stage(("live", "shadow"))
    live, shadow = stage.followers.values()
    for follower in (live, shadow):
        states(follower, units(2))
    assert len(take_stock(live, live.memberships[0], SYMBOL)) == 1
    assert take_stock(shadow, shadow.memberships[0], SYMBOL) == []
    assert stage.cohort.table.lane(0, 0).foreign_qty[0] == units(2)
    _, losing = await held(units(4))
    assert take_stock(losing, losing.memberships[0], SYMBOL) == []
