"""Streams that fail without saying so: each is found, what it lost is traded, once.

Every test runs the production engine against the simulated venue on virtual time. What the venue
did to its own sockets and keys stands in its log; the engine learns of it the way it would of the
real one.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from simulation.memory_net import Link
from simulation.virtual_loop import VirtualLoop, run_virtual
from simulation.world import Who, World, account_of, follower_name
from slipstream.config.model import Config
from slipstream.units import NS_PER_S
from slipstream.venues.aster import limits
from slipstream.venues.sim.aster import sockets

BTC = "BTCUSDT"


def run(play: Callable[[World], Coroutine[Any, Any, None]]) -> World:
    """Run a play against two followers and return the world it left."""

    async def main(loop: VirtualLoop) -> World:
        world = World(loop, [Who(follower_name(0)), Who(follower_name(1))])
        await world.start()
        await world.until(3)
        await play(world)
        await world.engine.settle()
        await world.stop()
        return world

    return run_virtual(main)


def leader_links(world: World) -> list[Link]:
    """Return the open sockets of the leader's stream."""
    far = {each.transport for each in world.venue.face.users.connections_of(account_of("alpha"))}
    return [link for link in world.loop.network.links if link.far in far and link.is_open]


def leader_opens(world: World) -> int:
    """Return how many sockets of the leader's stream the venue saw."""
    account = account_of("alpha")
    return sum(
        line["kind"] == "stream" and line["event"] == "open" and account in line["accounts"]
        for line in world.venue_lines()
    )


def assert_mirrored_once(world: World, fill_count: int) -> None:
    """Each leader fill is in one intent, and each follower stands where the leader does."""
    keys = Counter(key.split("\x1f")[4].partition("/")[0] for key in world.store.ledger.fills)
    assert len(keys) == fill_count
    leader = world.position("alpha", BTC)
    for who in world.followers:
        held = world.position(who.name, BTC)
        assert (held == 0) is (leader == 0), f"{who.name} holds {held}, the leader {leader}"
        assert held * leader >= 0


def traded_within(world: World, since_ns: int) -> float:
    """Return the seconds from an instant to the first order after it."""
    orders = [at_ns for sent in world.orders().values() for at_ns, _ in sent]
    return min(at_ns for at_ns in orders if at_ns > since_ns) / 1e9 - since_ns / 1e9


def test_a_close_that_the_stream_swallowed_is_traded_within_a_minute() -> None:
    since: list[int] = []

    async def play(world: World) -> None:
        world.trade("alpha", BTC, "BUY", "0.5")
        await world.until(10)
        world.fault("drop_event", "alpha", count=20, duration_ms=2_000)
        since.append(int((world.loop.time() - 1_000) * 1e9))
        world.trade("alpha", BTC, "SELL", "0.5")
        await world.until(80)

    world = run(play)
    assert_mirrored_once(world, 2)
    assert traded_within(world, since[0]) < 30
    assert len(world.incidents("FILL_LOST_BY_STREAM")) == 1
    assert leader_opens(world) == 2


def test_an_increase_that_the_stream_swallowed_is_recorded_as_too_old() -> None:
    async def play(world: World) -> None:
        world.trade("alpha", BTC, "BUY", "0.5")
        await world.until(10)
        world.fault("drop_event", "alpha", count=20, duration_ms=2_000)
        world.trade("alpha", BTC, "BUY", "0.5")
        await world.until(60)

    world = run(play)
    assert_mirrored_once(world, 2)
    assert world.reasons("f00") == [None, "STALE_INTENT"]
    assert len(world.incidents("FILL_LOST_BY_STREAM")) == 1


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_key_deleted_by_somebody_is_found_although_its_socket_stays(*, is_replaced: bool) -> None:
    async def play(world: World) -> None:
        world.trade("alpha", BTC, "BUY", "0.5")
        await world.until(10)
        users = world.venue.face.users
        users.close_key(account_of("alpha"))
        if is_replaced:
            users.open_key(account_of("alpha"), world.venue.clock.now_ns())
        await world.until(11)
        world.trade("alpha", BTC, "SELL", "0.2")
        await world.until(75)
        world.trade("alpha", BTC, "SELL", "0.1")
        await world.until(77)

    world = run(play)
    assert_mirrored_once(world, 3)
    assert world.position("f00", BTC) < Decimal("0.5")
    assert leader_opens(world) == 2


def test_a_key_deleted_while_nothing_happens_is_found_by_asking_for_it() -> None:
    async def play(world: World) -> None:
        world.venue.face.users.close_key(account_of("alpha"))
        await world.until(70)
        world.trade("alpha", BTC, "BUY", "0.5")
        await world.until(72)

    world = run(play)
    assert_mirrored_once(world, 1)
    assert world.incidents("FILL_LOST_BY_STREAM") == []
    assert [each["payload"]["detail"] for each in world.incidents("FEED_DOWN")] == [
        "listen key expired"
    ]


def test_a_venue_that_refuses_the_key_for_minutes_costs_no_fill() -> None:
    async def play(world: World) -> None:
        for route in ("POST /fapi/v3/listenKey", "PUT /fapi/v3/listenKey"):
            world.fault("status_503_before", "alpha", route=route, duration_ms=300_000)
        world.fault("listen_key_expired", "alpha")
        await world.until(20)
        world.trade("alpha", BTC, "BUY", "0.5")
        await world.until(320)

    world = run(play)
    keys = {key.split("\x1f")[4].partition("/")[0] for key in world.store.ledger.fills}
    assert len(keys) == 1
    assert {*world.reasons("f00"), *world.reasons("f01")} == {"LEADER_STALE"}


@pytest.mark.parametrize("how", ["stall", "half_close", "reset"])
def test_a_socket_that_goes_dead_in_any_way_is_replaced_and_nothing_is_lost(how: str) -> None:
    since: list[int] = []

    async def play(world: World) -> None:
        world.trade("alpha", BTC, "BUY", "0.5")
        await world.until(10)
        for link in leader_links(world):
            if how == "stall":
                link.stall()
            elif how == "half_close":
                link.far.write_eof()
            else:
                link.reset()
        await world.until(11)
        since.append(int((world.loop.time() - 1_000) * 1e9))
        world.trade("alpha", BTC, "SELL", "0.5")
        await world.until(60)

    world = run(play)
    assert_mirrored_once(world, 2)
    assert traded_within(world, since[0]) < 30
    assert leader_opens(world) == 2


LIFE_S = 120
REDIAL_S = 100


@pytest.fixture
def short_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the venue end its sockets after two minutes instead of a day, and us know it."""
    redial_ns = REDIAL_S * NS_PER_S
    monkeypatch.setattr(sockets, "LIFE_NS", LIFE_S * NS_PER_S)
    monkeypatch.setattr(limits, "REDIAL_NS", redial_ns)
    for name in ("LEADER_STREAM", "FOLLOWER_STREAM"):
        bounds: limits.StreamBounds = getattr(limits, name)
        monkeypatch.setattr(limits, name, bounds._replace(redial_ns=redial_ns))


@pytest.mark.usefixtures("short_life")
def test_four_forced_disconnects_cost_no_fill_and_no_book() -> None:
    missing: list[float] = []
    oldest_ns: list[int] = [0]
    feeds: list[Any] = []

    def look(world: World) -> None:
        books = world.engine.hubs["aster"].books
        view = books.view(BTC)
        if view is None:
            missing.append(world.loop.time())
        else:
            oldest_ns[0] = max(oldest_ns[0], world.loop.now_ns - view.ts_ns)
        world.loop.call_later(0.01, look, world)

    async def play(world: World) -> None:
        world.trade("alpha", BTC, "BUY", "0.5")
        await world.until(6)
        look(world)
        feeds.append(leader_links(world))
        for second in range(10, 4 * LIFE_S + 10, 5):
            await world.until(second)
            world.trade("alpha", BTC, "BUY" if second % 10 else "SELL", "0.05")
        await world.until(4 * LIFE_S + 20)
        feeds.append(leader_links(world))

    world = run(play)
    assert_mirrored_once(world, 1 + 4 * LIFE_S // 5)
    assert missing == []
    assert oldest_ns[0] < NS_PER_S
    assert world.incidents("FEED_DOWN") == []
    assert world.incidents("FILL_LOST_BY_STREAM") == []
    assert leader_opens(world) == 5
    assert feeds[0] != feeds[1]
    assert [len(each) for each in feeds] == [1, 1]
    assert all(each.is_streaming for each in world.engine.followers.values())


def twin(loop: VirtualLoop, count: int = 2) -> World:
    """Return a world whose leader is followed on several sockets."""
    world = World(loop, [Who(follower_name(0)), Who(follower_name(1))])
    whole = world.config

    def config() -> Config:
        found = whole()
        return replace(found, leaders=tuple(replace(at, streams=count) for at in found.leaders))

    world.config = config  # type: ignore[method-assign]
    return world


def test_of_two_sockets_the_one_that_lost_a_fill_is_dialled_again_and_nobody_waits() -> None:
    """The second socket is stalled: the fill comes on the first one alone."""

    async def main(loop: VirtualLoop) -> World:
        world = twin(loop)
        await world.start()
        await world.until(3)
        assert len(leader_links(world)) == 2
        leader_links(world)[0].stall()
        world.trade("alpha", BTC, "BUY", "0.5")
        await world.until(3.5)
        assert world.position("f00", BTC) > 0
        await world.until(12)
        assert len([link for link in leader_links(world) if not link.near.is_stalled]) == 2
        await world.until(20)
        for link in leader_links(world):
            link.reset()
        await world.until(21)
        world.trade("alpha", BTC, "SELL", "0.5")
        await world.until(25)
        await world.engine.settle()
        await world.stop()
        return world

    world = run_virtual(main)
    assert_mirrored_once(world, 2)
    assert len(world.incidents("FILL_LOST_BY_STREAM")) == 1
    assert len(world.incidents("FEED_DOWN")) == 1
    assert [each["ts_ms"] for each in world.incidents("FEED_DOWN")] > [
        each["ts_ms"] for each in world.incidents("FILL_LOST_BY_STREAM")
    ]


def test_after_all_streams_broke_leaders_are_back_first_and_nobody_exceeds_the_address() -> None:
    """Nothing is left but the reserve of the address: that is for leaders; others wait for it."""
    back: dict[str, float] = {}
    used: list[int] = []

    async def main(loop: VirtualLoop) -> None:
        names = [follower_name(index) for index in range(16)]
        world = World(loop, [Who(name) for name in names])
        await world.start()
        await world.until(62)  # a minute in which nothing was asked yet
        budget = world.engine.budgets["aster"]
        budget.set_window_max(100)
        while budget.take(1, is_urgent=False, now_ns=world.clock.now_ns()) is None:
            pass
        world.fault("disconnect_streams")
        start = loop.time()
        await asyncio.sleep(0.01)
        while len(back) < 17 and loop.time() < start + 400:
            await asyncio.sleep(0.05)
            used.append(budget.used)
            if "alpha" not in back and world.engine.supervisors[0].health.is_live.is_set():
                back["alpha"] = loop.time() - start
            for name in names:
                follower = world.engine.followers[name]
                if follower.is_streaming and not follower.is_reading_wanted:
                    back.setdefault(name, loop.time() - start)
        await world.stop()

    run_virtual(main)
    assert back.pop("alpha") < 2
    assert len(back) == 16
    assert min(back.values()) > 2
    assert max(back.values()) < 200
    assert max(used) <= 100


def follow_book(world: World, ages_ns: list[int | None]) -> None:
    """Note the age of a book each ten milliseconds; ``None`` while there is none."""
    view = world.engine.hubs["aster"].books.view(BTC)
    ages_ns.append(None if view is None else world.loop.now_ns - view.ts_ns)
    world.loop.call_later(0.01, follow_book, world, ages_ns)


def test_a_market_that_stands_still_stays_open_on_the_venue_s_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ages_ns: list[int | None] = []

    async def play(world: World) -> None:
        world.trade("alpha", BTC, "BUY", "0.5")
        await world.until(6)
        monkeypatch.setattr(world.venue.makers[BTC], "step", lambda _: None)
        await world.until(10)
        follow_book(world, ages_ns)
        await world.until(40)
        world.trade("alpha", BTC, "BUY", "0.5")
        await world.until(42)

    world = run(play)
    known = [age for age in ages_ns if age is not None]
    assert len(known) == len(ages_ns)
    assert max(known) < 2 * NS_PER_S
    assert {*world.reasons("f00"), *world.reasons("f01")} == {None}


def test_a_venue_that_shows_an_old_book_as_its_newest_stops_opens() -> None:
    async def play(world: World) -> None:
        world.trade("alpha", BTC, "BUY", "0.5")
        await world.until(6)
        world.fault("stale_book", symbol=BTC)
        await world.until(11)
        world.trade("alpha", BTC, "BUY", "0.5")
        await world.until(13)

    world = run(play)
    assert world.reasons("f00") == world.reasons("f01") == [None, "BOOK_STALE"]


def test_a_book_that_is_always_broken_costs_a_bounded_weight() -> None:
    async def play(world: World) -> None:
        world.trade("alpha", BTC, "BUY", "0.5")
        await world.until(6)
        world.fault("crossed_book", symbol=BTC)
        await world.until(61)
        first = snapshots(world)
        await world.until(121)
        assert 3 < snapshots(world) - first < 14
        assert first < 30
        assert world.engine.hubs["aster"].books.view(BTC) is None

    run(play)


def snapshots(world: World) -> int:
    """Return how often the venue was asked for a whole book."""
    return sum(
        line["kind"] == "request" and line["route"] == "depth" for line in world.venue_lines()
    )
