"""Orders beside the leader's events: they reduce, and they leave what waits for the lane alone."""

from mirror_parts import SYMBOL, Stage, units
from slipstream._core import TARGET_SCALE, LaneState, Side
from slipstream.engine.cohort import Event
from slipstream.runtime.standin import Instant, stand_in


def stage_holding(held: int, wanted: int) -> Stage:
    """Return one follower that holds and wants so many units; its leader is where it wants."""
    stage = Stage(("live",))
    stage.leader_qty = units(wanted)
    target = (wanted * TARGET_SCALE, 0)
    lane = LaneState(
        mirrored_target=target,
        exact_target=target,
        wanted_target=target,
        position_qty=(units(held), 0),
        leverage=10,
    )
    stage.cohort.table.restore_lane(0, 0, lane)
    return stage


async def reduce_beside(stage: Stage, why: str = "late-fill") -> Event:
    """Let the lane be reduced by an event that no fill of the leader is behind."""
    at = Instant(stage.clock.now_ns(), 0)
    event = stand_in(stage.cohort, stage.hub.market(SYMBOL), why=why, at=at)
    assert event is not None
    stage.mirror.want(event, [0])
    await stage.mirror.replan()
    return event


async def test_a_stand_in_reduces_to_what_is_wanted() -> None:
    stage = stage_holding(5, 2)
    await reduce_beside(stage)
    (sent,) = stage.take_sent()
    assert (sent.request.side, sent.request.qty, sent.request.is_reduction) == (
        Side.SELL,
        units(3),
        True,
    )
    sent.fill()
    assert stage.position() == units(2)
    assert not stage.mirror.is_busy


async def test_a_stand_in_opens_nothing_that_is_missing() -> None:
    stage = stage_holding(2, 5)
    await reduce_beside(stage)
    await stage.fire()
    assert stage.take_sent() == []
    assert not stage.mirror.is_busy


async def test_a_stand_in_closes_what_is_on_the_wrong_side_and_opens_no_other() -> None:
    stage = stage_holding(4, -3)
    await reduce_beside(stage)
    (sent,) = stage.take_sent()
    assert (sent.request.qty, sent.request.is_reduction) == (units(4), True)
    sent.fill()
    await stage.mirror.replan()
    await stage.fire()
    assert stage.take_sent() == []
    assert stage.position() == 0
    assert not stage.mirror.is_busy
    assert [each[2:] for each in stage.ends()] == [(0, "filled", None)]


async def test_a_stand_in_that_waited_for_its_lane_opens_nothing_either() -> None:
    stage = stage_holding(0, 0)
    await stage.move(units(2))
    (out,) = stage.take_sent()
    await stage.move(units(5))
    await reduce_beside(stage)
    out.fill()
    await stage.mirror.replan()
    assert stage.take_sent() == []
    assert stage.position() == units(2)
    assert not stage.mirror.is_busy


async def test_a_stand_in_that_is_tried_again_still_only_reduces() -> None:
    stage = stage_holding(4, -3)
    await reduce_beside(stage)
    (sent,) = stage.take_sent()
    sent.fill(units(1))
    await stage.fire()
    (again,) = stage.take_sent()
    assert (again.request.qty, again.request.is_reduction) == (units(3), True)
    again.fill()
    await stage.mirror.replan()
    assert stage.take_sent() == []
    assert stage.position() == 0


async def test_a_stand_in_that_ends_unfilled_leaves_the_lane_to_the_leg_that_waits() -> None:
    stage = stage_holding(5, 4)
    beside = await reduce_beside(stage)
    (out,) = stage.take_sent()
    await stage.move(units(1))
    assert stage.take_sent() == []
    out.fill(0)
    await stage.mirror.replan()
    (sent,) = stage.take_sent()
    assert sent.request.qty == units(4)
    sent.fill()
    await stage.fire()
    assert stage.take_sent() == []
    assert stage.position() == units(1)
    assert not stage.mirror.is_busy
    ends = stage.ends()
    assert [each[0] for each in ends] == [beside.intent.id, f"{1:024x}"]
    assert ends[1][3:] == ("filled", None)


async def test_the_opening_leg_of_a_flip_goes_on_waiting_behind_a_stand_in() -> None:
    stage = stage_holding(4, 4)
    await stage.move(units(-3))
    (close,) = stage.take_sent()
    await reduce_beside(stage)
    assert stage.ends() == []
    close.fill()
    await stage.mirror.replan()
    (sent,) = stage.take_sent()
    assert (sent.request.qty, sent.request.is_reduction) == (units(3), False)
    sent.fill()
    assert stage.position() == units(-3)
    assert not stage.mirror.is_busy
    flip = f"{1:024x}"
    assert [each[2:4] for each in stage.ends() if each[0] == flip] == [(0, "filled"), (1, "filled")]


async def test_an_opening_leg_that_waits_ends_when_nothing_is_wanted_any_more() -> None:
    stage = stage_holding(4, 4)
    await stage.move(units(-3))
    (close,) = stage.take_sent()
    lane = stage.cohort.table.lane(0, 0)
    flat = LaneState(
        position_qty=lane.position_qty, in_flight_qty=lane.in_flight_qty, leverage=lane.leverage
    )
    stage.cohort.table.restore_lane(0, 0, flat)
    await reduce_beside(stage)
    assert [each[2:] for each in stage.ends()] == [(1, "skipped", "SUPERSEDED")]
    close.fill()
    await stage.mirror.replan()
    assert stage.take_sent() == []
    assert stage.position() == 0
