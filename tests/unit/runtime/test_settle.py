"""An order of unknown fate ends by the operator's word, once, and only as far as it can be true."""

from typing import cast

import pytest

from mirror_parts import LEADER, PX, VENUE, HandStore, Stage, units
from slipstream.domain.ids import FollowerId
from slipstream.domain.outcome import Unknown
from slipstream.runtime.control import (
    ControlAction,
    ControlCommand,
    ControlError,
    Switches,
    parse_command,
)
from slipstream.runtime.resolver import Resolver
from slipstream.runtime.switchboard import Switchboard
from slipstream.store.base import Store
from slipstream.units import NS_PER_MS, NS_PER_S
from slipstream.venues.base import VenueTraits

F1, F2 = FollowerId("f1"), FollowerId("f2")
TRAITS = VenueTraits(venue=VENUE, absent_after_ns=62 * NS_PER_S, lookup_lag_ns=60 * NS_PER_S)


class Doubt:
    """A follower with one open order of four units whose answer never came."""

    async def begin(self) -> None:
        self.stage = stage = Stage(("live", "shadow"))
        self.resolver = Resolver(
            followers=stage.followers,
            traits=TRAITS,
            clock=stage.clock,
            venue_ms=lambda: stage.clock.at_ns // NS_PER_MS,
            journal=stage.journal,
        )
        stage.mirror.resolver = self.resolver
        self.resolver.bind(stage.mirror.on_resolved)
        await stage.move(units(4))
        (self.sent,) = stage.take_sent()
        self.sent.answer(Unknown("read timeout"))
        self.order = self.sent.request.client_order_id
        stage.clock.at_ns += 90 * NS_PER_S


async def doubted() -> Doubt:
    doubt = Doubt()
    await doubt.begin()
    return doubt


async def test_what_the_operator_says_was_filled_is_held_and_told() -> None:
    doubt = await doubted()
    assert doubt.resolver.settle(F1, doubt.order, units(3), 2 * PX) is None
    assert doubt.stage.position() == units(3)
    assert doubt.stage.end_of() == ("partial", "SETTLED")
    result = doubt.stage.store.results[-1]
    assert (result.filled_qty, result.average_px) == (units(3), 2 * PX)
    assert doubt.resolver.unresolved() == []
    await doubt.resolver.close()


async def test_without_a_price_the_limit_counts_and_nothing_has_none() -> None:
    doubt = await doubted()
    assert doubt.resolver.settle(F1, doubt.order, units(4), None) is None
    assert doubt.stage.end_of() == ("filled", "SETTLED")
    assert doubt.stage.store.results[-1].average_px == doubt.sent.request.limit_px
    other = await doubted()
    assert other.resolver.settle(F1, other.order, 0, None) is None
    assert other.stage.end_of() == ("partial", "SETTLED")
    assert other.stage.position() == 0
    assert other.stage.store.results[-1].average_px is None
    # The lane is free again.
    lane = other.stage.cohort.table.lane(0, 0)
    assert not any((*lane.unknown_qty, *lane.in_flight_qty))
    await doubt.resolver.close()
    await other.resolver.close()


async def test_nothing_is_settled_twice_for_somebody_else_or_beyond_the_order() -> None:
    doubt = await doubted()
    beyond = doubt.resolver.settle(F1, doubt.order, units(5), None)
    assert beyond == "--filled: expected 0 to 4, found 5"
    assert doubt.resolver.settle(F2, doubt.order, units(1), None) is not None
    assert doubt.resolver.settle(F1, doubt.order, units(1), None) is None
    assert doubt.resolver.settle(F1, doubt.order, units(1), None) is not None
    assert doubt.stage.position() == units(1)
    await doubt.resolver.close()


async def test_an_unresolved_order_is_listed_with_its_age() -> None:
    doubt = await doubted()
    (each,) = doubt.resolver.unresolved()
    assert (each.follower, each.client_order_id, each.symbol) == (F1, doubt.order, "XUSDT")
    assert each.age_ns >= 89 * NS_PER_S
    await doubt.resolver.close()


async def test_a_mirror_is_busy_with_orders_that_an_earlier_process_sent() -> None:
    doubt = await doubted()
    mirror, lines = doubt.stage.mirror, doubt.stage.store.lines
    for _ in range(2):
        # Nothing is out of this mirror's own from the second time on: as after a restart.
        mirror.end_unfinished()
        told = [row for row in lines if row.reason == "ORDER_UNRESOLVED"]
        assert [row.follower for row in told] == [F1]
        assert doubt.order in str(told[0].payload["detail"])
        assert (mirror.order_count, mirror.is_busy) == (0, True)
        lines.clear()
    assert doubt.resolver.settle(F1, doubt.order, 0, None) is None
    await mirror.replan()
    assert not mirror.is_busy
    await doubt.resolver.close()


class Floor:
    """Notes what it was asked to settle."""

    def __init__(self, store: "OrderStore") -> None:
        """Keep the store, to see what was durable before."""
        self.asked: list[ControlCommand] = []
        self.durable: list[int] = []
        self._store = store

    def is_listed(self, symbol: str) -> bool:
        raise NotImplementedError(symbol)

    async def flatten(self, command: ControlCommand) -> list[str]:
        raise NotImplementedError(command)

    async def catch_up(self, command: ControlCommand) -> list[str]:
        raise NotImplementedError(command)

    def settle_order(self, command: ControlCommand) -> list[str]:
        self.asked.append(command)
        self.durable.append(self._store.flushed_count)
        return []

    def status(self) -> dict[str, object]:
        raise NotImplementedError


class OrderStore(HandStore):
    """A store that counts what was made durable."""

    flushed_count = 0

    async def flush(self) -> None:
        self.flushed_count = len(self.lines)


async def test_the_operators_word_is_journalled_before_it_counts() -> None:
    stage, store = Stage(), OrderStore()
    floor = Floor(store)
    board = Switchboard(
        Switches(),
        store=cast("Store", store),
        followers=stage.followers,
        leaders=[LEADER],
        wall_ms=lambda: 7,
        tell=lambda _: None,
    )
    board.bind(floor)
    line = b'{"action": "settle", "follower": "f1", "order": "s1", "filled": "0.5", "price": "9"}'
    command = parse_command(line)
    assert command.request() == {
        "action": "settle", "follower": "f1", "order": "s1", "filled": "0.5", "price": "9",
    }  # fmt: skip
    assert (await board.carry_out(command)).ok
    assert floor.asked == [command]
    assert floor.durable == [1]
    (row,) = store.lines
    assert (row.kind, row.reason, row.follower) == ("control", "SETTLE", "f1")
    assert row.payload["order"] == "s1"
    with pytest.raises(ControlError, match="expected a follower, an order"):
        await board.carry_out(ControlCommand(ControlAction.SETTLE, F1, order="s1"))
    with pytest.raises(ControlError, match="no follower"):
        await board.carry_out(
            ControlCommand(ControlAction.SETTLE, FollowerId("x"), order="s1", filled="1")
        )
