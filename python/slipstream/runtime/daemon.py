"""The daemon: an engine from start to a graceful end, with its control socket.

Ends on SIGTERM or SIGINT: no more orders of the operator are taken, leaders stop first, what is
in flight ends, then everything is closed.
"""

import asyncio
import ctypes
import random
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from slipstream.config.keystore import Keystore
from slipstream.config.model import Config
from slipstream.domain.cohort import ActivityRow
from slipstream.runtime.control import ControlServer
from slipstream.runtime.engine import Engine
from slipstream.runtime.interpreter import favour_latency
from slipstream.runtime.opening import open_engine
from slipstream.runtime.session import session_payload
from slipstream.runtime.wiring import Options
from slipstream.transport.clock import SystemClock

DRAIN_S: Final = 10.0
READY: Final = "ready to trade"
"""Said once, when the first follower may send an order."""
READY_LOOK_S: Final = 0.005
_PR_SET_DUMPABLE: Final = 4

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DaemonResult:
    """What a daemon's life came to. ``is_drained``: nothing was in flight at the end."""

    is_drained: bool
    failed_tasks: tuple[str, ...]
    intents: int
    ends: dict[str, int]
    skips: dict[str, int]
    store_errors: int
    lost_lines: int

    @property
    def is_sound(self) -> bool:
        """Whether nothing needs a person's eye."""
        return self.is_drained and not (self.failed_tasks or self.lost_lines)


def harden() -> None:
    """Keep keys out of core files and of other processes' reach; allow many sockets."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


async def run_daemon(
    config: Config,
    keystore: Keystore,
    *,
    tell: Tell,
    options: Options | None = None,
) -> DaemonResult:
    """Run until a signal says to end.

    Raises:
        SlipstreamError: something could not be opened; nothing was traded then.
    """
    favour_latency()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    engine = await open_engine(
        config,
        keystore,
        clock=SystemClock(),
        source=random.Random(),  # noqa: S311 - jitter, not a secret
        options=options,
        tell=tell,
    )
    server = ControlServer(config.engine.control_socket, engine.switchboard.carry_out)
    is_drained = False
    ready = asyncio.create_task(_say_ready(engine, tell))
    try:
        engine.store.log([_session_row(config, engine)])
        await server.start()
        tell(f"control socket: {config.engine.control_socket}")
        await _start(engine, ended)
        if not ended.is_set():
            tell("running")
        await ended.wait()
        tell("stopping: leaders first, then what is in flight")
    finally:
        ready.cancel()
        await server.close()
        is_drained = await engine.stop(drain_s=DRAIN_S)
        tell("stopped" if is_drained else "stopped with orders whose end is not known yet")
    return _result(engine, is_drained=is_drained)


async def _say_ready(engine: Engine, tell: Tell) -> None:
    """Say when orders may leave: every leader's stream is up, and a follower has its account."""
    await engine.wait_live()
    is_ready = False
    while not is_ready:
        is_ready = any(each.is_ready for each in engine.followers.values())
        await asyncio.sleep(0 if is_ready else READY_LOOK_S)
    tell(READY)


async def _start(engine: Engine, ended: asyncio.Event) -> None:
    """Start everything, unless the end comes first."""
    starting = asyncio.ensure_future(engine.start())
    ending = asyncio.ensure_future(ended.wait())
    await asyncio.wait((starting, ending), return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    if not starting.done():
        starting.cancel()
        await asyncio.wait((starting,))
        return
    await starting


def _session_row(config: Config, engine: Engine) -> ActivityRow:
    payload = session_payload(config, engine.hubs)
    return ActivityRow(ts_ms=engine.wall_ms(), kind="session", reason="STARTED", payload=payload)


def _result(engine: Engine, *, is_drained: bool) -> DaemonResult:
    ends: dict[str, int] = {}
    skips: dict[str, int] = {}
    intents = 0
    for parts in engine.parts.values():
        intents += parts.journal.kinds.total()
        for total, counted in ((ends, parts.journal.ends), (skips, parts.journal.skips)):
            for name, count in counted.items():
                total[name] = total.get(name, 0) + count
    stats = engine.store.stats()
    return DaemonResult(
        is_drained=is_drained,
        failed_tasks=tuple(engine.failed_tasks),
        intents=intents,
        ends=ends,
        skips=skips,
        store_errors=stats.error_count,
        lost_lines=stats.journal_lost_count,
    )
