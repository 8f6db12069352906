"""Reductions nobody's fill asked for: exactly what is ours, inside the exit bound, once."""

from mirror_parts import SYMBOL, Stage, units
from slipstream._core import PositionSide, Side, SkipReason
from slipstream.domain.ids import FollowerId
from slipstream.runtime.flatten import Scope, give_up_targets, held_back, reduce
from slipstream.runtime.standin import Instant
from slipstream.units import TimeNs

ALL = Scope()
F1 = FollowerId("f1")


async def opened(stage: Stage, qty: int) -> None:
    await stage.move(qty)
    for order in stage.take_sent():
        order.fill()


async def flatten(stage: Stage, scope: Scope = ALL) -> None:
    at = Instant(TimeNs(stage.clock.at_ns), 1)
    for symbol, rows in give_up_targets(stage.mirror, scope).items():
        assert reduce(stage.mirror, symbol, rows, why="flatten", at=at) is None
    await stage.mirror.replan()


async def test_flatten_closes_what_our_orders_built() -> None:
    stage = Stage()
    await opened(stage, units(4))
    await flatten(stage)
    orders = stage.take_sent()
    assert [(each.request.side, each.request.qty) for each in orders] == [
        (Side.SELL, units(4)),
        (Side.SELL, units(4)),
    ]
    assert all(each.request.is_reduction for each in orders)
    for order in orders:
        order.fill()
    assert [stage.position(row) for row in (0, 1)] == [0, 0]
    assert held_back(stage.mirror, ALL) == {}


async def test_flatten_touches_only_whom_it_names_and_never_what_is_foreign() -> None:
    stage = Stage()
    await opened(stage, units(4))
    stage.cohort.table.set_foreign(0, 0, PositionSide.NET, units(9))
    await flatten(stage, Scope(frozenset({F1}), SYMBOL))
    (order,) = stage.take_sent()
    assert order.request.qty == units(4)
    order.fill()
    lane = stage.cohort.table.lane(0, 0)
    assert (lane.position_qty[0], lane.foreign_qty[0]) == (0, units(9))
    assert stage.position(1) == units(4)


async def test_after_a_flatten_only_what_the_leader_adds_is_followed() -> None:
    stage = Stage(("live",))
    await opened(stage, units(4))
    await flatten(stage)
    stage.take_sent()[0].fill()
    await opened(stage, units(5))
    assert stage.position() == units(1)


async def test_a_flatten_waits_for_the_order_that_is_out() -> None:
    stage = Stage(("live",))
    await stage.move(units(4))
    (opening,) = stage.take_sent()
    await flatten(stage)
    assert stage.sent == []
    opening.fill()
    await stage.mirror.replan()
    (closing,) = stage.take_sent()
    assert (closing.request.side, closing.request.qty) == (Side.SELL, units(4))


async def test_an_exit_that_a_freeze_held_back_is_found_and_made_up_for() -> None:
    stage = Stage(("live",))
    await opened(stage, units(4))
    stage.followers[F1].set_gate(SkipReason.FROZEN, is_on=True)
    await stage.move(units(1))
    assert stage.take_sent() == []
    assert stage.position() == units(4)
    stage.followers[F1].set_gate(SkipReason.FROZEN, is_on=False)
    chosen = held_back(stage.mirror, ALL)
    assert chosen == {SYMBOL: [0]}
    at = Instant(TimeNs(stage.clock.at_ns), 1)
    assert reduce(stage.mirror, SYMBOL, chosen[SYMBOL], why="catch-up", at=at) is None
    await stage.mirror.replan()
    (order,) = stage.take_sent()
    assert (order.request.side, order.request.qty) == (Side.SELL, units(3))


async def test_what_is_still_wanted_is_not_held_back() -> None:
    stage = Stage(("live",))
    await opened(stage, -units(4))
    assert held_back(stage.mirror, ALL) == {}
    assert give_up_targets(stage.mirror, Scope(symbol="OTHER")) == {}
