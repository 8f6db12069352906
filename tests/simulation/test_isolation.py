"""What happens to one follower or leader changes no byte and no instant of the others.

Each run is played twice, without and with the fault, on virtual time. What the other followers
sent (whole signed requests) and when must be equal. Two things are the same by construction, not
by luck:

* the leader's fills carry the same venue numbers, although other accounts' orders shift them
  (``World.trade``), because client order ids are derived from them;
* the book has depth for everybody, what the faulty follower holds reserved included, and what is
  taken comes back before the next trade. Depth is still shared (an intent eats through several
  levels, and the follower that asks for more than there is ends ``DEPTH_SHORT`` in both runs).
  On a book without that slack a missing order must change what the others get: its quantity is
  still resting, or still spoken for while its fate is unknown.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Final

import pytest

from simulation.virtual_loop import START_NS, VirtualLoop, run_virtual
from simulation.world import Who, World, account_of, agent_of, follower_name
from slipstream.domain.ids import LeaderId
from slipstream.units import NS_PER_S

FAULTY: Final = follower_name(4)
WHALE: Final = follower_name(8)
LEVEL_NOTIONAL: Final = 12_000
BEGIN_S: Final = 20
FAULT_S: Final = 22
END_S: Final = 80
ORDER_ROUTE: Final = "POST /fapi/v3/order"
Fault = Callable[[World], None]
Sent = dict[str, list[tuple[int, bytes]]]

PLAY: Final[tuple[tuple[float, str, str, tuple[str, ...]], ...]] = (
    (0, "BTCUSDT", "BUY", ("1",)),  # open
    (4, "BTCUSDT", "BUY", ("0.3", "0.2", "0.1")),  # increase, in three fills
    (8, "ETHUSDT", "SELL", ("12",)),  # open short
    (12, "BTCUSDT", "SELL", ("0.5",)),  # partial close
    (16, "ETHUSDT", "SELL", ("4",)),  # increase
    (20, "BTCUSDT", "SELL", ("3",)),  # flip
    (24, "ETHUSDT", "BUY", ("6",)),  # partial close
    (28, "BTCUSDT", "SELL", ("0.1",)),  # two at once: the second waits for its lane
    (28.001, "BTCUSDT", "BUY", ("0.2",)),
    (32, "BTCUSDT", "BUY", ("1.8",)),  # full close
    (36, "ETHUSDT", "BUY", ("10",)),  # full close
    (40, "BTCUSDT", "BUY", ("0.8",)),  # and again
    (44, "BTCUSDT", "SELL", ("0.3",)),
)


def crowd() -> list[Who]:
    small = [Who(follower_name(i), allocation=1_000 * (1 + i % 4)) for i in range(8)]
    return [*small, Who(WHALE, allocation=1_000_000, balance="10000000")]


def play(
    fault: Fault | None,
    *,
    at_s: float = FAULT_S,
    has_rule: bool = True,
    extra_s: float | None = None,
) -> World:
    """Play the whole score onto nine followers and return the world as it was left.

    ``has_rule``: a fault rule that strikes nobody stands all the time. The venue writes events
    one by one as soon as any rule stands; so it does the same in the runs that are compared.
    ``extra_s``: one more trade, so many seconds after the first.
    """

    async def main(loop: VirtualLoop) -> World:
        world = World(loop, crowd())
        for symbol in world.symbols:
            world.market(symbol, level_notional=LEVEL_NOTIONAL)
        if has_rule:
            world.fault("hang", "nobody")
        if fault is not None:
            loop.call_after_ns(int(at_s * 1e9), fault, world)
        await world.start()
        extra = [] if extra_s is None else [(extra_s, "ETHUSDT", "SELL", ("2",))]
        for second, symbol, side, qtys in sorted([*PLAY, *extra]):
            await world.until(BEGIN_S + second)
            world.trade("alpha", symbol, side, *qtys)
        await world.until(END_S)
        world.sent = world.orders()
        await world.stop()
        return world

    return run_virtual(main)


@cache
def undisturbed(*, has_rule: bool = True) -> World:
    return play(None, has_rule=has_rule)


def assert_others_equal(faulty: Sent, clean: Sent, names: list[str]) -> None:
    for name in names:
        assert [at_ns for at_ns, _ in faulty[name]] == [at_ns for at_ns, _ in clean[name]], name
        assert faulty[name] == clean[name], name


def flood(world: World) -> None:
    """Two thousand account events in each of ten seconds, in bursts of two hundred."""
    account = world.venue.exchange.accounts[account_of(FAULTY)]
    users, loop = world.venue.face.users, world.loop

    def burst(left: int) -> None:
        now_ms = world.venue.clock.wall_ms(world.venue.clock.now_ns())
        for _ in range(200):
            users.on_account(account, "FUNDING_FEE", list(account.positions.values()), now_ms)
        users.flush()
        if left:
            loop.call_later(0.1, burst, left - 1)

    burst(100)


def cut_again_and_again(world: World) -> None:
    """Reset every connection of the follower ten times a second, orders on their way included."""

    def cut(left: int) -> None:
        for link in world.links_of(FAULTY):
            link.reset()
        if left:
            world.loop.call_later(0.1, cut, left - 1)

    world.loop.call_later(0.0015, cut, 200)


def stall(world: World) -> None:
    for link in world.links_of(FAULTY):
        link.stall()


def slow_connect(world: World) -> None:
    """Cut the follower once; nobody else dials, so only its connections take nine seconds."""
    world.loop.network.connect_delay_ns = 9_000_000_000
    for link in world.links_of(FAULTY):
        link.reset()


def never_connects(world: World) -> None:
    world.loop.network.connect_delay_ns = 3_600_000_000_000
    for link in world.links_of(FAULTY):
        link.reset()


def by_venue(kind: str, **more: object) -> Fault:
    return lambda world: world.fault(kind, FAULTY, **more)


def revoked(world: World) -> None:
    world.fault("revoke_agent", agent=agent_of(FAULTY))


REJECTED: Final = {"code": -2019, "msg": "Margin is insufficient.", "status": 400}

FAULTS: Final[dict[str, Fault]] = {
    "hangs on orders": by_venue("hang", route=ORDER_ROUTE),
    "hangs on orders that executed": by_venue("hang", route=ORDER_ROUTE, executed=True),
    "hangs on everything": by_venue("hang"),
    "refuses every order": by_venue("reject", route=ORDER_ROUTE, **REJECTED),
    "refuses everything": by_venue("reject", **REJECTED),
    "floods": flood,
    "is reset again and again": cut_again_and_again,
    "is reset before each order": by_venue("reset_before", route=ORDER_ROUTE),
    "loses acks": by_venue("lost_ack", route=ORDER_ROUTE),
    "loses every answer": by_venue("lost_ack"),
    "answers 503 after executing": by_venue("status_503_after", route=ORDER_ROUTE),
    "answers garbage": by_venue("garbage", route=ORDER_ROUTE),
    "answers three seconds late": by_venue("delay_response", delay_ms=3_000),
    "is served two seconds late": by_venue("delay_request", delay_ms=2_000, route=ORDER_ROUTE),
    "has its key revoked": revoked,
    "stalls": stall,
    "connects slowly": slow_connect,
    "never connects": never_connects,
    "is refused its connections": by_venue("refuse_connect"),
    "has a silent stream": by_venue("silent_stream"),
    "has its stream cut": by_venue("disconnect_streams"),
    "has its listen key deleted": by_venue("listen_key_expired"),
}
NO_ORDER_CHANGES: Final = frozenset(
    {
        "floods",
        "has a silent stream",
        "has its stream cut",
        "has its listen key deleted",
    }
)
"""Faults of the account's stream alone: its own orders need not change either."""


@cache
def undisturbed_leaders() -> World:
    return play_leaders(None)


BETA_PLAY: Final = (
    (1, "BUY", "12"),
    (6, "BUY", "4"),
    (13, "SELL", "20"),
    (27, "SELL", "4"),
    (39, "BUY", "8"),
)


def play_leaders(fault: Fault | None) -> World:
    """Two leaders: alpha trades BTC for four followers, beta ETH for four others."""

    async def main(loop: VirtualLoop) -> World:
        crowds = [
            Who(
                follower_name(i),
                leader="alpha" if i < 4 else "beta",
                allocation=1_000 * (i % 4 + 1),
            )
            for i in range(8)
        ]
        world = World(loop, crowds, leaders=("alpha", "beta"))
        for symbol in world.symbols:
            world.market(symbol, level_notional=LEVEL_NOTIONAL)
        world.fault("hang", "nobody")
        if fault is not None:
            loop.call_after_ns(FAULT_S * 10**9, fault, world)
        await world.start()
        script = [(second, "alpha", side, qtys) for second, at, side, qtys in PLAY if at[0] == "B"]
        script += [(second, "beta", side, (qty,)) for second, side, qty in BETA_PLAY]
        for second, leader, side, qtys in sorted(script):
            await world.until(BEGIN_S + second)
            world.trade(leader, "BTCUSDT" if leader == "alpha" else "ETHUSDT", side, *qtys)
        await world.until(END_S)
        world.sent = world.orders()
        await world.stop()
        return world

    return run_virtual(main)


def on_beta(kind: str, **more: object) -> Fault:
    return lambda world: world.fault(kind, "beta", **more)


def flood_of_fills(world: World) -> None:
    """Thousands of tiny trades of beta's, a hundred every tenth of a second."""

    def burst(left: int) -> None:
        for side in ("BUY", "SELL") * 50:
            body = {"account": account_of("beta"), "symbol": "ETHUSDT", "side": side}
            world.admin("/_sim/trade", {**body, "fills": [[world.px("ETHUSDT"), "0.001"]]})
        if left:
            world.loop.call_later(0.1, burst, left - 1)

    burst(20)


def beta_cut_again_and_again(world: World) -> None:
    def cut(left: int) -> None:
        for link in world.links_of("beta"):
            link.reset()
        if left:
            world.loop.call_later(0.1, cut, left - 1)

    cut(200)


def beta_stalls(world: World) -> None:
    for link in world.links_of("beta"):
        link.stall()


LEADER_FAULTS: Final[dict[str, Fault]] = {
    "hangs": on_beta("hang"),
    "refuses": on_beta("reject", **REJECTED),
    "floods": flood_of_fills,
    "is reset again and again": beta_cut_again_and_again,
    "stalls": beta_stalls,
    "falls silent": on_beta("silent_stream"),
    "sends everything twice": on_beta("duplicate_event"),
    "sends everything out of order": on_beta("reorder_event"),
    "sends everything late": on_beta("delay_event", delay_ms=700),
    "has its key revoked": lambda world: world.fault("revoke_agent", agent=agent_of("beta")),
    "has its listen key deleted": on_beta("listen_key_expired"),
    "loses every answer": on_beta("lost_ack"),
}


def test_the_score_has_every_kind_and_a_depth_that_is_shared() -> None:
    world = undisturbed(has_rule=False)
    kinds = world.engine.parts[LeaderId("alpha")].journal.kinds
    assert set(kinds) == {"open", "increase", "partial_close", "full_close", "flip"}
    assert world.failures == {}
    assert set(world.reasons(WHALE)) >= {"DEPTH_SHORT"}
    for who in crowd()[:8]:
        assert len(world.sent[who.name]) >= len(PLAY)
        assert set(world.reasons(who.name)) == {None}
    level_qty = LEVEL_NOTIONAL * 1.6 / 60_000
    ordered = sum(who.allocation for who in crowd()[:8]) / 40_000
    assert ordered > level_qty  # an intent of 1 BTC never fits the best level


def test_two_runs_without_a_fault_are_equal() -> None:
    again = play(None)
    assert again.sent == undisturbed().sent
    assert [line["kind"] for line in again.venue_lines()] == [
        line["kind"] for line in undisturbed().venue_lines()
    ]


@pytest.mark.parametrize("name", FAULTS)
def test_a_follower_in_trouble_changes_nothing_for_the_others(name: str) -> None:
    world, clean = play(FAULTS[name]), undisturbed()
    others = [who.name for who in crowd() if who.name != FAULTY]
    assert_others_equal(world.sent, clean.sent, others)
    for other in others:
        assert world.reasons(other) == clean.reasons(other)
    if name not in NO_ORDER_CHANGES:
        assert (world.sent[FAULTY], world.reasons(FAULTY)) != (
            clean.sent[FAULTY],
            clean.reasons(FAULTY),
        )


@pytest.mark.parametrize(
    "name", ["hangs on everything", "refuses everything", "has its key revoked"]
)
def test_a_follower_in_trouble_from_the_start_changes_nothing_for_the_others(name: str) -> None:
    world, clean = play(FAULTS[name], at_s=0), undisturbed()
    assert list(world.failures) == [FAULTY]
    assert world.sent[FAULTY] == []
    others = [who.name for who in crowd() if who.name != FAULTY]
    assert_others_equal(world.sent, clean.sent, others)


def test_a_follower_that_hangs_at_the_start_does_not_hold_up_the_others() -> None:
    """Its account is never answered: the others follow their leader at once all the same."""

    async def main(loop: VirtualLoop) -> dict[str, list[tuple[int, bytes]]]:
        world = World(loop, crowd())
        world.market("BTCUSDT", level_notional=LEVEL_NOTIONAL)
        world.fault("hang", FAULTY)
        start = asyncio.create_task(world.start())
        await world.until(5)
        world.trade("alpha", "BTCUSDT", "BUY", "1")
        await world.until(30)
        await start
        sent = world.orders()
        await world.stop()
        return sent

    sent = run_virtual(main)
    assert [name for name, orders in sent.items() if orders] == [
        who.name for who in crowd() if who.name not in (FAULTY, WHALE)
    ]


def test_a_follower_that_hangs_on_its_leverage_does_not_hold_up_the_others() -> None:
    """Before a first open each account's leverage is set: one that does not answer is alone."""

    def play_leverage(fault: Fault | None) -> Sent:
        async def main(loop: VirtualLoop) -> Sent:
            world = World(loop, [replace(who, leverage=20) for who in crowd()])
            world.market("BTCUSDT", level_notional=LEVEL_NOTIONAL)
            world.fault("hang", "nobody")
            if fault is not None:
                fault(world)
            await world.start()
            await world.until(BEGIN_S)
            world.trade("alpha", "BTCUSDT", "BUY", "1")
            await world.until(BEGIN_S + 30)
            sent = world.orders()
            await world.stop()
            return sent

        return run_virtual(main)

    hanging = play_leverage(by_venue("hang", route="POST /fapi/v3/leverage"))
    clean = play_leverage(None)
    assert all(clean[who.name] for who in crowd()[:8])
    others = [who.name for who in crowd() if who.name != FAULTY]
    assert_others_equal(hanging, clean, others)


def test_a_retry_that_meets_a_leader_s_trade_does_not_delay_it() -> None:
    """A follower whose exit cannot be sent tries again and again: each try is a commit."""

    def never_sent(world: World) -> None:
        world.loop.network.is_refusing = True
        for link in world.links_of(FAULTY):
            link.reset()

    alone = [
        at_ns - START_NS
        for at_ns, followers in play(never_sent).store.commits
        if followers == {FAULTY} and at_ns > START_NS + (BEGIN_S + 12) * NS_PER_S
    ]
    # The leader's fill is read in the middle of the third try's commit.
    extra_s = (alone[2] + 400_000) / NS_PER_S - BEGIN_S
    world, clean = play(never_sent, extra_s=extra_s), play(None, extra_s=extra_s)
    others = [who.name for who in crowd() if who.name != FAULTY]
    assert_others_equal(world.sent, clean.sent, others)


@pytest.mark.parametrize("name", LEADER_FAULTS)
def test_a_leader_in_trouble_changes_nothing_for_the_followers_of_another(name: str) -> None:
    world, clean = play_leaders(LEADER_FAULTS[name]), undisturbed_leaders()
    mine = [follower_name(i) for i in range(4)]
    assert all(len(clean.sent[each]) > 5 for each in mine)
    assert all(len(clean.sent[follower_name(i)]) > 4 for i in range(4, 8))
    assert_others_equal(world.sent, clean.sent, mine)
