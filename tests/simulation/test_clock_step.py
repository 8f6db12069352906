"""The machine's wall clock steps while leaders trade: orders go on, opens wait for one reading."""

from typing import Final

import pytest

from simulation.virtual_loop import VirtualClock, VirtualLoop, run_virtual
from simulation.world import LEADERS, Who, World, follower_name

BEGIN_S: Final = 20
STEP_S: Final = 25
NAME: Final = follower_name(0)


class SteppingClock(VirtualClock):
    """A wall clock that can be set."""

    step_us = 0

    def wall_us(self) -> int:
        return super().wall_us() + self.step_us


@pytest.mark.parametrize("step_us", [-7_200_000_000, 86_400_000_000])
def test_a_step_stops_opens_until_the_venues_clock_is_read(step_us: int) -> None:
    async def main(loop: VirtualLoop) -> None:
        world = World(loop, [Who(NAME), Who(follower_name(1))])
        world.clock = clock = SteppingClock(loop)
        await world.start()
        for symbol in world.symbols:
            world.market(symbol, level_notional=100_000)
        await world.until(BEGIN_S)
        world.trade(LEADERS[0], "BTCUSDT", "BUY", "1")
        world.trade(LEADERS[0], "ETHUSDT", "BUY", "4")
        await world.until(STEP_S)
        held = {symbol: world.position(NAME, symbol) for symbol in world.symbols}
        assert min(held.values()) > 0
        clock.step_us = step_us
        world.trade(LEADERS[0], "BTCUSDT", "BUY", "1")
        world.trade(LEADERS[0], "ETHUSDT", "SELL", "2")
        await world.until(STEP_S + 1)
        assert "CLOCK_SKEW" in world.reasons(NAME)
        assert world.position(NAME, "BTCUSDT") == held["BTCUSDT"]
        assert 0 < world.position(NAME, "ETHUSDT") < held["ETHUSDT"]
        await world.until(STEP_S + 15)
        assert world.incidents("CLOCK_STEPPED")
        skewed = world.reasons(NAME).count("CLOCK_SKEW")
        world.trade(LEADERS[0], "BTCUSDT", "BUY", "1")
        await world.until(STEP_S + 20)
        assert world.position(NAME, "BTCUSDT") > held["BTCUSDT"]
        assert world.reasons(NAME).count("CLOCK_SKEW") == skewed
        await world.stop()
        assert loop.faults == []

    run_virtual(main)
