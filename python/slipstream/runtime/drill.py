"""Drills: a leader trades while the daemon is killed, or its sockets fail, again and again.

Real processes: the simulated venue, the production daemon and its database. What came of it is
decided from the venue's own log when everything has settled (``drilljudge``).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

from slipstream.errors import SlipstreamError
from slipstream.runtime import drillsite as site
from slipstream.runtime.drillcuts import DEAD, ORDER_ROUTE, CutPlan, Site, disrupt, restore
from slipstream.runtime.drilljudge import (
    ACTIVITY_FILE,
    VENUE_FILE,
    DrillCounts,
    judge,
    write_activity,
)
from slipstream.runtime.drillplan import (
    OUTAGE,
    RANDOM_INSTANT,
    STARTING,
    CrashPlan,
    Kill,
    LeaderTrade,
    Stretch,
    trades,
)
from slipstream.runtime.drillproxy import Proxy
from slipstream.runtime.simproc import SimProcess, SimSettings
from slipstream.runtime.trial import account_of
from slipstream.store.scratch import scratch_database, writes_held

TRADES_MIN: Final = 24
PATIENCE_TRADES: Final = 10
"""More trades than planned, for a daemon that has not come to its point."""

HELD_FROM: Final = 1
HELD_S: Final = 1.5
"""A database that does not answer within a second counts as down."""

LAST_CHANCE_S: Final = 1.5
START_CHANCE_S: Final = 3.0
LAST_TRADES: Final = 4
SETTLE_S: Final = 40.0
NOTICE_S: Final = 30.0
"""A silent stream is given up within 15 s and dialled again."""

SETTLE_LOOK_S: Final = 0.1
SETTLED_LOOKS: Final = 5
LOST_SHARE: Final = 0.15
ENTRY: Final = "slipstream.runtime.drill_daemon"

Progress = Callable[[DrillCounts], None]


@dataclass(frozen=True, slots=True)
class DrillSettings:
    """What all runs of a series share. ``database``: ``None`` = a SQLite file of each run's own.
    ``entry``: the module that is the daemon. ``keep``: where logs of runs with findings go."""

    seed: int
    database: str | None = None
    jobs: int = 2
    entry: str = ENTRY
    keep: Path | None = None


class Drill:
    """One run: its processes, its trades, and what it has counted so far."""

    def __init__(
        self, settings: DrillSettings, keys: site.Keys, *, seed: str, leaders: int, path: Path
    ) -> None:
        """Nothing is started yet; ``path`` is the run's own directory."""
        self.settings = settings
        self.keys = keys
        self.leaders = leaders
        self.path = path
        self.label = f"run {seed}"
        self.counts = DrillCounts(runs=1)
        self.source = Random(f"drill {seed}")  # noqa: S311 - a drill, repeated by seed
        self.trades: Iterator[LeaderTrade] = trades(seed, leaders)
        self.trade_count = 0
        self.steps: list[str] = []
        self.sim: SimProcess
        self.daemon: site.Daemon | None = None
        self._seed = seed
        self.url = ""

    @property
    def config(self) -> Path:
        """The daemon's configuration file."""
        return self.path / "drill.toml"

    async def run(self, play: Callable[["Drill"], Awaitable[None]]) -> DrillCounts:
        """Start the venue, play, settle, and judge; processes are gone afterwards."""
        venue_seed = self.source.randrange(1 << 30)
        self.sim = await SimProcess.start(
            SimSettings(
                seed=venue_seed,
                latency_ms=site.LATENCY_MS,
                match_ms=site.MATCH_MS,
                weight_factor=site.WEIGHT_FACTOR,
                extra=("--window-ms", str(site.WINDOW_MS)),
            )
        )
        try:
            await site.provision(self.sim, self.keys, self.leaders)
            async with scratch_database(self.settings.database, self.path) as url:
                self.url = url
                self.reach(self.sim.rest, self.sim.ws)
                try:
                    await play(self)
                except SlipstreamError as error:
                    self.find(f"{type(error).__name__}: {error}")
                finally:
                    if self.daemon is not None:
                        await self.daemon.kill()
                await self._judge(url)
        finally:
            await self.sim.stop()
        return self.counts

    def reach(self, rest: str, ws: str) -> None:
        """Write the daemon's configuration: where it reaches its venue."""
        text = site.config_text(
            self.path, self.keys, rest=rest, ws=ws, leaders=self.leaders, url=self.url
        )
        self.config.write_text(text)

    def find(self, what: str) -> None:
        """Keep a finding of the drill itself."""
        self.counts.findings.append(f"{self.label}: {what}")

    async def start(self, kill: Kill | None = None) -> site.Daemon:
        """Start a daemon that kills itself as told."""
        point = None if kill is None or kill.point == RANDOM_INSTANT else kill.point
        self.daemon = await site.Daemon.start(
            self.settings.entry,
            self.config,
            errors=self.path / "daemon.err",
            point=point,
            hit=1 if kill is None else kill.hit,
        )
        return self.daemon

    async def trade(self, pause_ms: int | None = None) -> None:
        """Let a leader trade once, after its pause."""
        trade = next(self.trades)
        await asyncio.sleep((trade.pause_ms if pause_ms is None else pause_ms) / 1000)
        await site.lead(self.sim, trade, self.leaders)
        self.trade_count += 1

    async def fault(self, **rule: object) -> None:
        """Switch a fault of the venue on."""
        await self.sim.post("/_sim/faults", rule)

    async def calm(self) -> None:
        """Switch all faults off and make the books deep again."""
        await self.sim.post("/_sim/faults", {"clear": True})
        await site.set_depth(self.sim, site.LEVEL_NOTIONAL)

    async def settle(self) -> None:
        """Let what is on its way end, and stop the daemon in order."""
        daemon = self.daemon
        if daemon is None or daemon.is_over:
            self.find(f"no daemon is left to settle: {self.last_words()}")
            return
        await self.calm()
        quiet = 0
        try:
            async with asyncio.timeout(SETTLE_S):
                while quiet < SETTLED_LOOKS:
                    await asyncio.sleep(SETTLE_LOOK_S)
                    quiet = quiet + 1 if await self._is_quiet() else 0
        except TimeoutError:
            self.find(f"did not settle in {SETTLE_S:g} s: {await site.status(self.path)}")
        if not await daemon.stop():
            self.find(f"did not end in order: {self.last_words()}")

    async def _is_quiet(self) -> bool:
        shown = await site.status(self.path)
        if shown is None or shown["unresolved"] or shown["ledger_down"]:
            return False
        return all(
            each["live"] and each["idle"] and not each["orders_out"] for each in shown["leaders"]
        )

    def last_words(self) -> str:
        """Return the end of what the daemon said."""
        errors = self.path / "daemon.err"
        text = errors.read_text(errors="replace").strip() if errors.exists() else ""
        said = [] if self.daemon is None else list(self.daemon.said)
        code = None if self.daemon is None else self.daemon.process.returncode
        return f"status {code}; {'; '.join(said[-3:])}; {text[-400:]}"

    async def _judge(self, url: str) -> None:
        await self.sim.save_log(self.path / VENUE_FILE)
        await write_activity(url, self.path / ACTIVITY_FILE)
        leading = [account_of(name) for name in site.leader_names(self.leaders)]
        await asyncio.to_thread(judge, self.path, self.counts, leaders=leading, label=self.label)
        summary = await self.sim.get("/_sim/summary")
        if summary["bad_signatures"]:
            self.find(f"{summary['bad_signatures']} bad signatures")
        if self.counts.findings:
            self.counts.findings.append(f"{self.label}: done: {', '.join(self.steps)}")
            self._keep_logs()

    def _keep_logs(self) -> None:
        """Copy the run's files to where a person can look at them."""
        if self.settings.keep is None:
            return
        directory = self.settings.keep / self._seed.replace(":", "-")
        directory.mkdir(parents=True, exist_ok=True)
        for path in self.path.iterdir():
            if path.is_file():
                (directory / path.name).write_bytes(path.read_bytes())


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
    for _ in range(max(LAST_TRADES, TRADES_MIN - drill.trade_count)):
        await drill.trade()
    await drill.settle()


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
        # What a stream lost in silence is found at the next event.
        for _ in range(max(LAST_TRADES, TRADES_MIN - drill.trade_count)):
            await drill.trade()
        await drill.settle()
        drill.counts.recovery_s += daemon.back_s


async def run_cuts(
    plans: Sequence[CutPlan], settings: DrillSettings, progress: Progress
) -> DrillCounts:
    """Run a series of disconnect drills, some side by side; return its counts."""

    async def one(keys: site.Keys, plan: CutPlan) -> DrillCounts:
        with site.scratch() as path:
            drill = Drill(settings, keys, seed=plan.seed, leaders=plan.leaders, path=Path(path))
            return await drill.run(lambda each: play_cuts(each, plan))

    return await series([partial(one, plan=plan) for plan in plans], settings, progress)


async def run_crashes(
    plans: Sequence[CrashPlan], settings: DrillSettings, progress: Progress
) -> DrillCounts:
    """Run a series of crash drills, some side by side; return its counts."""

    async def one(keys: site.Keys, plan: CrashPlan) -> DrillCounts:
        with site.scratch() as path:
            drill = Drill(settings, keys, seed=plan.seed, leaders=plan.leaders, path=Path(path))
            return await drill.run(lambda each: play_crashes(each, plan))

    return await series([partial(one, plan=plan) for plan in plans], settings, progress)


Run = Callable[[site.Keys], Awaitable[DrillCounts]]


async def series(runs: Sequence[Run], settings: DrillSettings, progress: Progress) -> DrillCounts:
    """Carry runs out, ``jobs`` at a time, with one keystore for all; add up their counts."""
    total = DrillCounts()
    places = asyncio.Semaphore(settings.jobs)

    async def one(run: Run, keys: site.Keys) -> None:
        async with places:
            total.add(await run(keys))
            progress(total)

    with site.scratch() as path:
        keys = site.Keys.make(Path(path))
        async with asyncio.TaskGroup() as group:
            for run in runs:
                group.create_task(one(run, keys))
    return total
