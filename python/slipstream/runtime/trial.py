"""A whole run on this machine: a simulated venue, a leader that plays, followers that mirror.

The demo, the benches and the tests of isolation are this run with other settings. The venue is a
child process; the engine is the production one, built by ``wiring`` from a configuration file
written for the run, with fresh agent keys in a fresh keystore.
"""

import asyncio
import random
import secrets
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final, Self

import orjson

from slipstream._core import keccak256
from slipstream.config.keystore import Keystore
from slipstream.config.load import load_config
from slipstream.config.model import Config
from slipstream.domain.cohort import ActivityRow
from slipstream.errors import SlipstreamError
from slipstream.runtime.engine import Engine
from slipstream.runtime.interpreter import favour_latency
from slipstream.runtime.opening import open_engine
from slipstream.runtime.play import Score, Trade
from slipstream.runtime.session import session_payload
from slipstream.runtime.simproc import SimProcess, SimSettings
from slipstream.runtime.wiring import Options
from slipstream.store.base import ActivityFilter
from slipstream.telemetry.recount import Recount, recount_files
from slipstream.telemetry.stages import StageRecorder
from slipstream.transport.clock import SystemClock

LEADER: Final = "leader"
LEADER_BALANCE: Final = "40000"
FOLLOWER_BALANCE: Final = "10000"
ALLOCATIONS: Final = ("1000", "2000", "3000", "5000")
TRADE_DELAY_MS: Final = 20
"""The leader trades when this process has read the answer to its request: what an engine does not
do besides must not be in its latency."""

LIVE_TIMEOUT_S: Final = 60
PPM: Final = 1_000_000
_BATCH: Final = 500

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TrialSettings:
    """What is run. ``pause_s``: between the leader's trades. ``level_notional``: quote per book
    level (a thin book makes some legs end DEPTH_SHORT)."""

    followers: int
    score: Score
    seed: int = 1
    pause_s: float = 1.0
    latency_ms: int = 0
    match_ms: int = 0
    level_notional: str = "20000"
    walk_ppm: int = 60
    replenish_ms: int = 400
    is_depth_reserved: bool = True
    evidence: Path | None = None
    mirror_lines: tuple[str, ...] = ()


@dataclass(slots=True)
class TrialResult:
    """What came of it."""

    followers: int
    intents: int
    kinds: dict[str, int]
    legs: int
    ends: dict[str, int]
    skips: dict[str, int]
    latency_ms: dict[str, dict[str, float | None]]
    stages: StageRecorder
    order_counts: list[int]
    recount: Recount
    venue_cpu_s: float
    bad_signatures: int


class Trial:
    """One run. ``async with`` starts the venue and the engine and stops both."""

    def __init__(self, settings: TrialSettings, progress: Progress) -> None:
        """Nothing is started yet."""
        self.settings = settings
        self._progress = progress
        self._directory = tempfile.TemporaryDirectory(prefix="slipstream-")
        self.path = Path(self._directory.name)
        self.keystore: Keystore
        self.sim: SimProcess
        self.engine: Engine

    async def __aenter__(self) -> Self:
        """Start the venue, make keys and accounts, start the engine."""
        favour_latency()
        settings = self.settings
        self.sim = await SimProcess.start(
            SimSettings(
                seed=settings.seed,
                latency_ms=settings.latency_ms,
                match_ms=settings.match_ms,
                weight_factor=self.weight_factor,
            )
        )
        try:
            await self._provision()
            await self._open_engine()
        except BaseException:
            await self.sim.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop the engine, then the venue."""
        try:
            await self.engine.stop()
        finally:
            await self.sim.stop()
            self._directory.cleanup()

    @property
    def weight_factor(self) -> int:
        """By how much the simulated IP weight limit is raised: start-ups alone need it."""
        return max(1, self.settings.followers // 20)

    async def _provision(self) -> None:
        settings = self.settings
        self._progress(f"making {settings.followers + 1} agent keys and accounts")
        passphrase = bytearray(secrets.token_hex(16).encode())
        self.keystore = Keystore.create(self.path / "trial.keys", passphrase)
        names = [LEADER, *follower_names(settings.followers)]
        agents = [entry.address for entry in self.keystore.add_many_new(names, "aster")]
        rows: list[dict[str, object]] = []
        for name, agent in zip(names, agents, strict=True):
            row: dict[str, object] = {
                "venue": "aster",
                "account": account_of(name),
                "agent": agent,
                "balance": LEADER_BALANCE if name == LEADER else FOLLOWER_BALANCE,
                "leverage": 10,
            }
            if name == LEADER:
                row["positions"] = [
                    {"symbol": symbol, "qty": str(qty), "entry_px": px}
                    for symbol, (qty, px) in settings.score.opening.items()
                    if qty
                ]
            rows.append(row)
        for start in range(0, len(rows), _BATCH):
            await self.sim.post("/_sim/accounts", rows[start : start + _BATCH])
        first_px = {each.symbol: each.fills[0][0] for each in reversed(settings.score.trades)}
        for symbol, px in first_px.items():
            await self.sim.post(
                "/_sim/market",
                {
                    "symbol": symbol,
                    "px": px,
                    "level_notional": settings.level_notional,
                    "walk_ppm": settings.walk_ppm,
                    "replenish_ms": settings.replenish_ms,
                },
            )

    async def _open_engine(self) -> None:
        settings = self.settings
        path = self.path / "trial.toml"
        path.write_text(self._config_text(sorted({t.symbol for t in settings.score.trades})))
        config = load_config(path)
        self._progress("starting the engine: connections, accounts, streams")
        self.engine = await open_engine(
            config,
            self.keystore,
            clock=SystemClock(),
            source=random.Random(settings.seed),  # noqa: S311 - jitter, not a secret
            options=Options(is_depth_reserved=settings.is_depth_reserved),
        )
        self.engine.store.log([self._session_row(config)])
        failures = await self.engine.start()
        if failures:
            first = next(iter(failures.items()))
            self._progress(f"{len(failures)} followers did not start; first: {first}")
        try:
            async with asyncio.timeout(LIVE_TIMEOUT_S):
                await self.engine.wait_live()
        except TimeoutError:
            raise SlipstreamError(
                f"trial: the leader's stream did not come up within {LIVE_TIMEOUT_S} s"
            ) from None

    def _config_text(self, symbols: Sequence[str]) -> str:
        settings = self.settings
        lines = [
            "[engine]",
            'mode = "live"',
            f'database = "sqlite:///{self.path}/trial.db"',
            f'keystore = "{self.path}/trial.keys"',
            f'control_socket = "{self.path}/control.sock"',
            "[venue.aster]",
            f'rest = "{self.sim.rest}"',
            f'ws = "{self.sim.ws}"',
            'chain = "mainnet"',
            "[[leader]]",
            f'id = "{LEADER}"',
            'venue = "aster"',
            f'account = "{account_of(LEADER)}"',
            f'key = "{LEADER}"',
        ]
        listed = ", ".join(f'"{symbol}"' for symbol in symbols)
        for index, name in enumerate(follower_names(settings.followers)):
            lines += [
                "[[follower]]",
                f'id = "{name}"',
                'venue = "aster"',
                f'account = "{account_of(name)}"',
                f'key = "{name}"',
                'mode = "live"',
                "[[follower.mirror]]",
                f'leader = "{LEADER}"',
                'mode = "margin"',
                f'allocation = "{ALLOCATIONS[index % len(ALLOCATIONS)]}"',
                f"symbols = {{ allow = [{listed}] }}",
                *settings.mirror_lines,
            ]
        return "\n".join(lines) + "\n"

    def _session_row(self, config: Config) -> ActivityRow:
        return ActivityRow(
            ts_ms=self.engine.wall_ms(),
            kind="session",
            payload=session_payload(config, self.engine.hubs),
        )

    async def play(self, trades: Sequence[Trade]) -> None:
        """Let the leader trade, one event after another."""
        for index, trade in enumerate(trades):
            self._progress(f"leader trade {index + 1}/{len(trades)}: {trade.side} {trade.symbol}")
            market = {"symbol": trade.symbol, "px": trade.fills[0][0]}
            await self.sim.post("/_sim/market", market)
            await asyncio.sleep(self.settings.pause_s / 2)
            await self.trade(trade)
            await asyncio.sleep(self.settings.pause_s / 2)
        await self.engine.drain(timeout_s=20)

    async def trade(self, trade: Trade) -> None:
        """Let the leader trade once, at the recorded prices."""
        await self.sim.post(
            "/_sim/trade",
            {
                "account": account_of(LEADER),
                "symbol": trade.symbol,
                "side": trade.side,
                "fills": [list(fill) for fill in trade.fills],
                "delay_ms": TRADE_DELAY_MS,
            },
        )

    async def result(self) -> TrialResult:
        """Stop trading, collect the evidence, and judge it."""
        settings, engine = self.settings, self.engine
        await engine.settle()
        ends: Counter[str] = Counter()
        skips: Counter[str] = Counter()
        kinds: Counter[str] = Counter()
        for part in engine.parts.values():
            ends += part.journal.ends
            skips += part.journal.skips
            kinds += part.journal.kinds
        await engine.store.flush()
        directory = settings.evidence or self.path
        directory.mkdir(parents=True, exist_ok=True)
        await write_activity(engine, directory / "activity.jsonl")
        summary = await self.sim.get("/_sim/summary")
        await self.sim.save_log(directory / "venue.jsonl")
        cpu = await self.sim.get("/_sim/cpu")
        return TrialResult(
            followers=settings.followers,
            intents=kinds.total(),
            kinds=dict(kinds),
            legs=ends.total(),
            ends=dict(ends),
            skips=dict(skips),
            latency_ms=engine.times.summary_ms(),
            stages=engine.stages,
            order_counts=engine.times.order_counts,
            recount=await asyncio.to_thread(recount_files, directory),
            venue_cpu_s=float(Decimal(cpu["cpu_s"])),
            bad_signatures=summary["bad_signatures"],
        )


def follower_names(count: int) -> list[str]:
    """Return the names of a run's followers."""
    return [f"follower-{index:05d}" for index in range(1, count + 1)]


def allocated_share(count: int, ppm: int) -> Decimal:
    """Return a share of all followers' allocations together (quote)."""
    total = sum((Decimal(ALLOCATIONS[i % len(ALLOCATIONS)]) for i in range(count)), Decimal(0))
    return total * ppm / PPM


def account_of(name: str) -> str:
    """Return a made-up main account address: nobody holds its key."""
    return "0x" + keccak256(f"slipstream trial account {name}".encode())[-20:].hex()


async def write_activity(engine: Engine, path: Path) -> None:
    """Write the activity log as JSON lines."""
    with path.open("wb") as out:
        async for entry in engine.store.activity(ActivityFilter()):
            row = entry._asdict()
            row["payload"] = orjson.loads(entry.payload)
            out.write(orjson.dumps(row) + b"\n")
