"""Where a drill takes place: a simulated venue and a daemon, each a process of its own.

Keys are made once for a whole series; accounts, configuration, database and books belong to one
run. No key, account or passphrase here is worth anything.
"""

import asyncio
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from slipstream.config.keystore import Keystore
from slipstream.drill.plan import LEADER_PX, LeaderTrade
from slipstream.errors import SlipstreamError
from slipstream.runtime.control import ControlAction, ControlCommand, send_command
from slipstream.runtime.daemon import READY
from slipstream.runtime.simproc import SimProcess
from slipstream.runtime.trial import account_of, follower_names

PASSPHRASE: Final = "worth nothing"  # noqa: S105 - seals keys of made-up accounts
FOLLOWERS: Final = 20
LEADERS_MAX: Final = 2
WEIGHT_FACTOR: Final = 100
"""By how much the simulated weight limit is raised: a drill starts its followers several times a
minute."""

WINDOW_MS: Final = 2_000
"""How old a nonce the simulated venue takes; the real one states up to a minute."""
ABSENT_AFTER_MS: Final = 3_000
LOOKUP_LAG_MS: Final = 400
LATENCY_MS: Final = 4
MATCH_MS: Final = 2
LEVEL_NOTIONAL: Final = "200000"
THIN_NOTIONAL: Final = "60"
"""Quote per level: a cohort's reductions do not find enough inside their bound."""

READY_S: Final = 30.0
END_S: Final = 20.0
LOOK_S: Final = 0.05
KILLED: Final = -signal.SIGKILL


@dataclass(frozen=True, slots=True)
class Keys:
    """One keystore for a whole series, and the agents in it by name."""

    path: Path
    agents: Mapping[str, str]

    @classmethod
    def make(cls, directory: Path) -> "Keys":
        """Make a key for every account of a drill."""
        path = directory / "drill.keys"
        names = [*leader_names(LEADERS_MAX), *follower_names(FOLLOWERS)]
        keystore = Keystore.create(path, bytearray(PASSPHRASE.encode()))
        entries = keystore.add_many_new(names, "aster")
        return cls(path, {name: entry.address for name, entry in zip(names, entries, strict=True)})


def leader_names(count: int) -> list[str]:
    """Return the names of a run's leaders."""
    return [f"leader-{index}" for index in range(1, count + 1)]


async def provision(sim: SimProcess, keys: Keys, leaders: int) -> None:
    """Open the accounts of a run and set its books."""
    names = [*leader_names(leaders), *follower_names(FOLLOWERS)]
    rows = [
        {
            "venue": "aster",
            "account": account_of(name),
            "agent": keys.agents[name],
            "balance": "200000" if name in leader_names(leaders) else "20000",
            "leverage": 10,
        }
        for name in names
    ]
    await sim.post("/_sim/accounts", rows)
    await set_depth(sim, LEVEL_NOTIONAL)


async def set_depth(sim: SimProcess, level_notional: str) -> None:
    """Quote every traded symbol anew around its price, so deep."""
    for symbol, px in LEADER_PX.items():
        market = {"symbol": symbol, "px": px, "level_notional": level_notional}
        await sim.post("/_sim/market", {**market, "walk_ppm": 20, "replenish_ms": 300})


async def lead(sim: SimProcess, trade: LeaderTrade, leaders: int) -> None:
    """Let a leader trade."""
    await sim.post(
        "/_sim/trade",
        {
            "account": account_of(leader_names(leaders)[trade.leader]),
            "symbol": trade.symbol,
            "side": trade.side,
            "fills": [list(fill) for fill in trade.fills],
        },
    )


_SIZINGS: Final = (
    ('mode = "ratio"', 'ratio = "0.02"'),
    ('mode = "margin"', 'allocation = "4000"'),
    ('mode = "ratio"', 'ratio = "0.0137"', "reverse = true"),
    ('mode = "margin"', 'allocation = "2500"', 'missed = "catch_up"'),
)


def config_text(directory: Path, keys: Keys, *, rest: str, ws: str, leaders: int, url: str) -> str:
    """Return the daemon's configuration."""
    lines = [
        "[engine]",
        'mode = "live"',
        f'database = "{url}"',
        f'keystore = "{keys.path}"',
        f'control_socket = "{directory}/control/c.sock"',
        "[venue.aster]",
        f'rest = "{rest}"',
        f'ws = "{ws}"',
    ]
    for name in leader_names(leaders):
        lines += ["[[leader]]", f'id = "{name}"', 'venue = "aster"']
        lines += [f'account = "{account_of(name)}"', f'key = "{name}"']
    listed = ", ".join(f'"{symbol}"' for symbol in LEADER_PX)
    for index, name in enumerate(follower_names(FOLLOWERS)):
        lines += [
            "[[follower]]",
            f'id = "{name}"',
            'venue = "aster"',
            f'account = "{account_of(name)}"',
            f'key = "{name}"',
            'mode = "live"',
            "[[follower.mirror]]",
            f'leader = "{leader_names(leaders)[index % leaders]}"',
            *_SIZINGS[index // leaders % len(_SIZINGS)],
            'max_intent_age = "1s"',
            f"symbols = {{ allow = [{listed}] }}",
        ]
    return "\n".join(lines) + "\n"


@dataclass(slots=True)
class Daemon:
    """One life of the daemon."""

    process: asyncio.subprocess.Process
    started_s: float
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    ready_s: float | None = None
    """From process start to the first order a follower may send."""
    back_s: list[float] = field(default_factory=list)
    """From each loss of a leader's stream to its being live again."""
    said: deque[str] = field(default_factory=lambda: deque(maxlen=50))
    _reading: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls, entry: str, config: Path, *, errors: Path, point: str | None, hit: int
    ) -> "Daemon":
        """Start the daemon; it kills itself at the ``hit``-th visit of ``point``."""
        started_s = time.monotonic()
        with errors.open("ab") as err:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                entry,
                str(config),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=err,
            )
        daemon = cls(process, started_s)
        instructions = {
            "passphrase": PASSPHRASE,
            "absent_after_ms": ABSENT_AFTER_MS,
            "lookup_lag_ms": LOOKUP_LAG_MS,
            "point": point,
            "hit": hit,
        }
        if process.stdin is None:
            raise SlipstreamError("the daemon has no standard input")
        process.stdin.write(orjson.dumps(instructions) + b"\n")
        daemon._reading = asyncio.create_task(daemon._read())
        return daemon

    async def _read(self) -> None:
        """Take its lines until it ends."""
        if self.process.stdout is None:
            return
        down_s: dict[str, float] = {}
        async for line in self.process.stdout:
            text = line.decode().rstrip()
            self.said.append(text)
            whose, _, what = text.partition(": ")
            if what.startswith("stream down"):
                down_s.setdefault(whose, time.monotonic())
            elif what == "live" and whose in down_s:
                self.back_s.append(time.monotonic() - down_s.pop(whose))
            if text == READY:
                self.ready_s = time.monotonic() - self.started_s
                self.ready.set()
        await self.process.wait()
        self.ready.set()

    @property
    def is_over(self) -> bool:
        """Whether the process has ended."""
        return self.process.returncode is not None

    async def wait_ready(self) -> bool:
        """Wait until it may trade; return False when it ended first.

        Raises:
            SlipstreamError: neither came true in time.
        """
        try:
            async with asyncio.timeout(READY_S):
                await self.ready.wait()
        except TimeoutError:
            raise SlipstreamError(f"the daemon was not ready in {READY_S:g} s") from None
        return not self.is_over

    async def wait_back(self, count: int, timeout_s: float) -> bool:
        """Wait until so many streams more were lost and came back; return whether in time."""
        wanted = len(self.back_s) + count
        deadline_s = time.monotonic() + timeout_s
        while len(self.back_s) < wanted and time.monotonic() < deadline_s:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)
        return len(self.back_s) >= wanted

    async def wait_over(self, timeout_s: float) -> bool:
        """Wait for its end; return whether it came in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.process.wait()
        except TimeoutError:
            return False
        return True

    async def kill(self) -> None:
        """End it as a power cut would."""
        if not self.is_over:
            self.process.kill()
        await self._collect()

    async def stop(self) -> bool:
        """End it in order; return whether it did."""
        if not self.is_over:
            self.process.terminate()
        in_order = await self.wait_over(END_S)
        if not in_order:
            self.process.kill()
        await self._collect()
        return in_order and self.process.returncode == 0

    async def _collect(self) -> None:
        await self.process.wait()
        if self._reading is not None:
            await self._reading


async def status(directory: Path) -> dict[str, Any] | None:
    """Ask a daemon how it stands; ``None`` when nobody answers."""
    command = ControlCommand(ControlAction.STATUS, None, None, None, is_all=False)
    try:
        reply = await asyncio.to_thread(send_command, directory / "control" / "c.sock", command)
    except SlipstreamError:
        return None
    return dict(reply.payload)


def scratch() -> tempfile.TemporaryDirectory[str]:
    """Return a directory of one's own, short enough for a socket's path."""
    return tempfile.TemporaryDirectory(prefix="drill-")
