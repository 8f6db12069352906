"""Plays a disconnect drill: the daemon's connections are disrupted as planned, and restored."""

import asyncio
from typing import Final

from slipstream.drill.cuts import DEAD, UNHEARD, CutPlan, Site, disrupt, restore
from slipstream.drill.proxy import Proxy
from slipstream.drill.run import Drill
from slipstream.errors import SlipstreamError

NOTICE_S: Final = 30.0
"""A silent stream is given up within 15 s and dialled again."""
AUDIT_S: Final = 26.0
"""A leader's positions are read every 20 s, and what changed unheard is looked for 5 s later."""


async def play_cuts(drill: Drill, plan: CutPlan) -> None:
    """Disrupt the daemon's connections as planned while the leader trades, and restore them."""
    async with Proxy(drill.sim.rest) as proxy:
        address = proxy.address
        drill.reach(f"http://{address}", f"ws://{address}")
        at = Site(drill.sim, proxy, drill.leaders)
        daemon = await drill.start()
        if not await daemon.wait_ready():
            raise SlipstreamError(f"the daemon did not start: {drill.last_words()}")
        await drill.trade()
        for step in plan.steps:
            await drill.trade()
            await disrupt(at, step)
            drill.counts.points[step.name] += 1
            drill.steps.append(f"{step.name} after {drill.trade_count} trades")
            for _ in range(step.trades):
                await drill.trade()
            if step.name == DEAD and not await daemon.wait_back(drill.leaders, NOTICE_S):
                drill.find(f"a dead stream of a leader was not replaced in {NOTICE_S:g} s")
            await restore(at)
            await drill.trade()
        if any(step.name in UNHEARD for step in plan.steps):
            await asyncio.sleep(AUDIT_S)
        await drill.close()
        drill.counts.recovery_s += daemon.back_s
