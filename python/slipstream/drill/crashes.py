"""Plays a crash drill: the daemon is killed as planned while a leader trades, and started again."""

import asyncio
from contextlib import AsyncExitStack
from typing import Final

from slipstream.drill import site
from slipstream.drill.cuts import ORDER_ROUTE
from slipstream.drill.plan import OUTAGE, RANDOM_INSTANT, STARTING, CrashPlan, Stretch
from slipstream.drill.run import Drill
from slipstream.errors import SlipstreamError
from slipstream.store.scratch import writes_held

PATIENCE_TRADES: Final = 10
"""More trades than planned, for a daemon that has not come to its point."""

HELD_FROM: Final = 1
HELD_S: Final = 1.5
"""A database that does not answer within a second counts as down."""

LAST_CHANCE_S: Final = 1.5
START_CHANCE_S: Final = 3.0
LOST_SHARE: Final = 0.15


async def play_crashes(drill: Drill, plan: CrashPlan) -> None:
    """Kill the daemon as planned, let the leader trade on, and leave a daemon that lives."""
    for stretch in plan.stretches:
        await _live(drill, stretch)
        for _ in range(stretch.missed):
            await drill.trade(pause_ms=drill.source.randint(5, 60))
    daemon = await drill.start()
    if not await daemon.wait_ready():
        raise SlipstreamError(f"the daemon did not start: {drill.last_words()}")
    _note_recovery(drill, daemon)
    await drill.close()


async def _live(drill: Drill, stretch: Stretch) -> None:
    """Run one life of the daemon up to its end."""
    kill = stretch.kill
    daemon = await drill.start(kill)
    if await daemon.wait_ready():
        _note_recovery(drill, daemon)
        if kill.point in STARTING:
            await daemon.wait_over(START_CHANCE_S)
        else:
            async with AsyncExitStack() as held:
                await _trade_to_the_end(drill, daemon, stretch, held)
    is_by_itself = daemon.is_over
    await daemon.kill()
    if daemon.process.returncode != site.KILLED:
        raise SlipstreamError(f"the daemon ended by itself: {drill.last_words()}")
    point = kill.point if is_by_itself else RANDOM_INSTANT
    drill.counts.kills += 1
    drill.counts.points[point] += 1
    planned = "" if point == kill.point else f" (not {kill.point} {kill.hit})"
    drill.steps.append(f"{point} {kill.hit}{planned} after {drill.trade_count} trades")
    await drill.calm()


async def _trade_to_the_end(
    drill: Drill, daemon: site.Daemon, stretch: Stretch, held: AsyncExitStack
) -> None:
    """Trade until the daemon comes to its point, or its instant has come."""
    kill = stretch.kill
    if stretch.loses_answers:
        await drill.fault(kind="lost_ack", route=ORDER_ROUTE, probability=LOST_SHARE)
    is_named = kill.point != RANDOM_INSTANT
    for index in range(stretch.trades + (PATIENCE_TRADES if is_named else 0)):
        if stretch.is_thin and index == stretch.trades // 2:
            await site.set_depth(drill.sim, site.THIN_NOTIONAL)
        if daemon.is_over:
            return
        if stretch.holds_ledger and index == HELD_FROM:
            await held.enter_async_context(writes_held(drill.url))
        await drill.trade()
        if stretch.holds_ledger and index == HELD_FROM:
            await daemon.wait_over(HELD_S)
            if kill.point != OUTAGE:
                await held.aclose()  # the database is back, and the daemon must find that out
    if is_named:
        await daemon.wait_over(LAST_CHANCE_S)
    else:
        await asyncio.sleep(kill.after_ms / 1000)


def _note_recovery(drill: Drill, daemon: site.Daemon) -> None:
    """Keep how long a start took, once there was something to recover."""
    if daemon.ready_s is not None and drill.counts.kills:
        drill.counts.recovery_s.append(daemon.ready_s)
