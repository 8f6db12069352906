"""A run replays to the same lines of both logs: everything reads the one clock that it is given."""

import asyncio
from typing import Any, Final

from simulation.virtual_loop import VirtualLoop, run_virtual
from simulation.world import Who, World, follower_name
from slipstream.runtime.control import ControlAction, ControlCommand

SYMBOL: Final = "BTCUSDT"
Lines = list[dict[str, Any]]


async def lines_of_a_run(loop: VirtualLoop) -> tuple[Lines, Lines]:
    world = World(loop, [Who(follower_name(0)), Who(follower_name(1))], symbols=(SYMBOL,))
    await world.start()
    world.fault("lost_ack", follower_name(0), route="POST /fapi/v3/order", count=1)
    for side in ("BUY", "SELL", "SELL"):
        world.trade("alpha", SYMBOL, side, "0.4")
        await asyncio.sleep(2)
    await world.engine.switchboard.carry_out(ControlCommand(ControlAction.PAUSE, is_all=True))
    await world.engine.settle()
    await world.stop()
    return world.store.lines(), world.venue_lines()


def test_a_run_replays_to_the_same_lines() -> None:
    first, again = run_virtual(lines_of_a_run), run_virtual(lines_of_a_run)
    assert len(first[0]) > 5
    assert first[0] == again[0]
    assert first[1] == again[1]
