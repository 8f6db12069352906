"""The database refuses, or takes its time: nothing opens, what closes goes, and all is told after.

The ledger has its side log here, as the daemon's has.
"""

from decimal import Decimal
from functools import cache
from typing import Final

import pytest

from simulation.lives import Lives
from simulation.virtual_loop import VirtualLoop, run_virtual
from simulation.world import LEADERS, Who, World, account_of, follower_name
from slipstream.telemetry.recount import recount

LEADER: Final = LEADERS[0]
NAMES: Final = tuple(map(follower_name, range(3)))
DOWN_S: Final = 25
REFUSING: Final = "refuses"
SLOW: Final = "slow"
CRASHED: Final = "refuses, and the engine is killed"
CASES: Final = (REFUSING, SLOW, CRASHED)


class OutageWorld(World):
    """A world with a side log. ``seen``: positions by instant and name; BTCUSDT, ETHUSDT."""

    seen: dict[str, dict[str, tuple[Decimal, Decimal]]]

    def look(self, when: str) -> None:
        self.seen[when] = {
            name: (self.position(name, "BTCUSDT"), self.position(name, "ETHUSDT")) for name in NAMES
        }


@cache
def played(case: str) -> OutageWorld:
    """Open two; then, with no database, increase one and halve the other; back; increase again."""

    async def main(loop: VirtualLoop) -> OutageWorld:
        world = OutageWorld(loop, [Who(name) for name in NAMES])
        world.seen = {}
        world.has_side_log = True
        lives = Lives(world)
        world.open_venue()
        for symbol in world.symbols:
            world.market(symbol, level_notional=100_000, walk_ppm=0)
        await lives.bring_up()
        await world.until(15)
        world.trade(LEADER, "BTCUSDT", "BUY", "1")
        world.trade(LEADER, "ETHUSDT", "BUY", "8")
        await world.until(DOWN_S)
        world.look("before")
        lives.trouble(
            refusal=None if case == SLOW else "database or disk is full",
            delay_ns=3_000_000_000 if case == SLOW else None,
        )
        world.trade(LEADER, "BTCUSDT", "BUY", "1")
        await world.until(DOWN_S + 2)
        world.trade(LEADER, "ETHUSDT", "SELL", "4")
        await world.until(DOWN_S + 4)
        world.look("down")
        if case == CRASHED:
            lives.crash()
        lives.trouble()
        await world.until(DOWN_S + 40)
        world.look("back")
        world.trade(LEADER, "BTCUSDT", "BUY", "1")
        await world.until(DOWN_S + 50)
        world.look("after")
        await world.stop()
        assert loop.faults == []
        return world

    return run_virtual(main)


@pytest.mark.parametrize("case", CASES)
def test_nothing_opens_and_what_closes_goes(case: str) -> None:
    seen = played(case).seen
    for name in NAMES:
        (btc, eth), (btc_down, eth_down) = seen["before"][name], seen["down"][name]
        assert btc > 0
        assert btc_down == btc
        assert 0 < eth_down < eth


@pytest.mark.parametrize("case", CASES)
def test_it_trades_again_by_itself(case: str) -> None:
    world = played(case)
    for name in NAMES:
        btc, eth = world.seen["back"][name]
        assert (btc, eth) == world.seen["down"][name]
        assert world.seen["after"][name][0] > btc
        assert world.seen["after"][name][1] == eth
        assert "LEDGER_DOWN" in world.reasons(name)
    assert [line["reason"] for line in world.store.lines() if "LEDGER" in (line["reason"] or "")]


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_lost_or_done_twice(case: str) -> None:
    world = played(case)
    found = recount(world.venue_lines(), world.store.lines())
    assert found.findings == ()
    assert (found.duplicate_orders, found.lost_fills, found.unexplained) == (0, 0, 0)
    orders = [
        line["client_order_id"]
        for line in world.venue_lines()
        if line["kind"] == "order" and line["account"] != account_of(LEADER).lower()
    ]
    assert len(orders) == len(set(orders)) == 4 * len(NAMES)
