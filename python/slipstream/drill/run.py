"""Drills: a leader trades while the daemon is killed, or its sockets fail, again and again.

Real processes: the simulated venue, the production daemon and its database. What came of it is
decided from the venue's own log when everything has settled (``judge``).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final, Protocol, TypeVar

from slipstream.drill import site
from slipstream.drill.judge import (
    ACTIVITY_FILE,
    VENUE_FILE,
    DrillCounts,
    judge,
    write_activity,
)
from slipstream.drill.plan import RANDOM_INSTANT, Kill, LeaderTrade, trades
from slipstream.errors import SlipstreamError
from slipstream.runtime.simproc import SimProcess, SimSettings
from slipstream.runtime.trial import account_of
from slipstream.store.scratch import scratch_database

TRADES_MIN: Final = 24
LAST_TRADES: Final = 4
SETTLE_S: Final = 40.0
SETTLE_LOOK_S: Final = 0.1
SETTLED_LOOKS: Final = 5
ENTRY: Final = "slipstream.drill.daemon"

Progress = Callable[[DrillCounts], None]


class Plan(Protocol):
    """What every plan of a drill says; the rest is its player's."""

    @property
    def seed(self) -> str:
        """Names the drill, and repeats its trades."""

    @property
    def leaders(self) -> int:
        """How many leaders trade."""


AnyPlan = TypeVar("AnyPlan", bound=Plan)


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

    async def close(self) -> None:
        """Trade for the last time, at least as often as a drill must, and settle.

        What a stream lost in silence is found at its next event.
        """
        for _ in range(max(LAST_TRADES, TRADES_MIN - self.trade_count)):
            await self.trade()
        await self.settle()

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


Play = Callable[[Drill, AnyPlan], Awaitable[None]]


async def run_drills(
    plans: Sequence[AnyPlan], play: Play[AnyPlan], settings: DrillSettings, progress: Progress
) -> DrillCounts:
    """Play drills, ``jobs`` at a time, with one keystore for all; add up their counts."""
    total = DrillCounts()
    places = asyncio.Semaphore(settings.jobs)

    async def one(plan: AnyPlan, keys: site.Keys) -> None:
        async with places:
            with site.scratch() as path:
                drill = Drill(settings, keys, seed=plan.seed, leaders=plan.leaders, path=Path(path))
                total.add(await drill.run(lambda each: play(each, plan)))
            progress(total)

    with site.scratch() as path:
        keys = site.Keys.make(Path(path))
        async with asyncio.TaskGroup() as group:
            for plan in plans:
                group.create_task(one(plan, keys))
    return total
