"""Where a mirror begins: with the leader's first reading, on the first start and any other."""

import asyncio
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import pytest

from simulation.checkers import judge
from simulation.lives import Lives
from simulation.virtual_loop import VirtualLoop, run_virtual
from simulation.world import Who, World, follower_name
from slipstream.runtime import points

SYMBOL: Final = "BTCUSDT"
NAME: Final = follower_name(0)


@dataclass(slots=True)
class Seen:
    """What the follower held: once started, after the fill that is due, and in the end."""

    first: Decimal
    later: Decimal
    findings: list[str]


class EarlyTrade(Lives):
    """Lets the leader trade when the first engine has read its ledger, but not the leader."""

    is_traded = False

    def on_point(self, number: int, point: str) -> None:
        """Trade once."""
        if point == points.UNTOLD_TOLD and not self.is_traded:
            self.is_traded = True
            self.world.trade("alpha", SYMBOL, "BUY", "0.4")
        Lives.on_point(self, number, point)


async def begin(loop: VirtualLoop, *, is_crash: bool) -> Seen:
    """Let the leader trade while the engine comes up, before its first reading of the leader."""
    world = World(loop, [Who(NAME)], symbols=(SYMBOL,))
    world.open_venue()
    lives = EarlyTrade(world)
    await asyncio.sleep(1)
    await lives.bring_up()
    await world.engine.wait_live()
    if is_crash:
        lives.crash()
        await asyncio.sleep(5)
        assert lives.is_up
    await asyncio.sleep(5)
    assert lives.is_traded
    first = world.position(NAME, SYMBOL)
    world.trade("alpha", SYMBOL, "BUY", "0.4")
    await asyncio.sleep(5)
    later = world.position(NAME, SYMBOL)
    world.trade("alpha", SYMBOL, "SELL", "0.8")
    await asyncio.sleep(10)
    findings = [each for each in judge(world) if not each.startswith("lost: ")]
    assert world.position(NAME, SYMBOL) == 0
    await world.stop()
    return Seen(first, later, findings)


@pytest.mark.parametrize("is_crash", [False, True])
def test_what_the_first_reading_holds_was_before_the_mirror(*, is_crash: bool) -> None:
    seen = run_virtual(lambda loop: begin(loop, is_crash=is_crash))
    assert seen.first == 0
    assert seen.later > 0
    assert seen.findings == []
