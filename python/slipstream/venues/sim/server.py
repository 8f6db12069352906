"""The simulated venue as a process: sockets, timers, the ready line, the clean end."""

import asyncio
import contextlib
import gc
import itertools
import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson
import uvloop

from slipstream.venues.sim.admin import Admin, cpu_seconds
from slipstream.venues.sim.aster.face import AsterFace, FaceSettings
from slipstream.venues.sim.clock import VenueClock
from slipstream.venues.sim.exchange import Exchange
from slipstream.venues.sim.faults import FaultBox
from slipstream.venues.sim.http import Application, Connection
from slipstream.venues.sim.instruments import listed_instruments
from slipstream.venues.sim.log import EventLog
from slipstream.venues.sim.market import (
    NORMAL_NOTIONAL,
    THIN_NOTIONAL,
    Generator,
    Maker,
    MakerSettings,
    Recording,
)
from slipstream.venues.sim.recorded import ladders
from slipstream.venues.sim.verify import DeferredVerifier

VENUES: Final = ("aster",)
STEP_SECONDS: Final = 0.2
SWEEP_SECONDS: Final = 1.0
QUIET_TURNS: Final = 5
BACKLOG: Final = 8192
STDIN: Final = 0


@dataclass(frozen=True, slots=True)
class SimSettings:
    """What the command line sets. Times in milliseconds."""

    venues: tuple[str, ...] = VENUES
    seed: int = 1
    latency_ms: float = 0.0
    match_ms: float = 0.0
    weight_factor: int = 1
    book: str = "generated"
    depth: str = "normal"
    verify: str = "inline"
    window_ms: int = 10_000
    host: str = "127.0.0.1"

    def check(self) -> None:
        """Raise ValueError, naming the setting, when one is out of range."""
        checks = (
            (bool(self.venues) and set(self.venues) <= set(VENUES), "venues", VENUES),
            (self.book in ("generated", "recorded"), "book", "generated or recorded"),
            (self.depth in ("normal", "thin"), "depth", "normal or thin"),
            (self.verify in ("inline", "deferred"), "verify", "inline or deferred"),
            (self.latency_ms >= 0 and self.match_ms >= 0, "delays", "not negative"),
            (self.weight_factor >= 1, "weight-factor", "1 or more"),
        )
        for is_good, name, expected in checks:
            if not is_good:
                message = f"{name}: expected {expected}"
                raise ValueError(message)


class SimulatedVenue:
    """One venue with its books, accounts, face and admin side."""

    def __init__(self, settings: SimSettings, clock: VenueClock | None = None) -> None:
        """Build a venue; must run inside the event loop. ``clock``: a virtual one, or real time."""
        self.settings = settings
        self.clock = clock or VenueClock()
        self.log = EventLog(self.clock)
        self.faults = FaultBox(settings.seed)
        self.exchange = Exchange(listed_instruments(), self.clock, self.log)
        self.makers = self._build_makers()
        self.exchange.on_taken = self._on_taken
        self.verifier: DeferredVerifier | None = None
        if settings.verify == "deferred":
            self.verifier = DeferredVerifier(self._on_verdict)
        face_settings = FaceSettings(
            latency_ms=settings.latency_ms,
            match_ms=settings.match_ms,
            weight_factor=settings.weight_factor,
            window_ms=settings.window_ms,
        )
        self.face = AsterFace(self.exchange, self.faults, face_settings, self.verifier)
        self._waiting: set[asyncio.Task[None]] = set()

    def _build_makers(self) -> dict[str, Maker]:
        settings = self.settings
        recorded = ladders() if settings.book == "recorded" else {}
        notional = THIN_NOTIONAL if settings.depth == "thin" else NORMAL_NOTIONAL
        makers: dict[str, Maker] = {}
        for symbol, instrument in self.exchange.instruments.items():
            quoting = MakerSettings(level_notional=notional)
            frames = recorded.get(symbol)
            source: Generator | Recording
            if frames:
                source = Recording(instrument, frames)
            else:
                source = Generator(instrument, settings.seed, quoting)
            makers[symbol] = Maker(self.exchange, symbol, source, quoting)
        return makers

    def _on_taken(self, symbol: str, side: int, px: int, now_ns: int) -> None:
        self.makers[symbol].on_taken(side, px, now_ns)

    def _on_verdict(self, token: int, is_good: bool) -> None:  # noqa: FBT001 - a callback
        self.face.on_verdict(token, is_good)

    def open_books(self) -> None:
        """Quote every book once and log the first snapshots."""
        now_ns = self.clock.now_ns()
        for symbol, maker in self.makers.items():
            maker.step(now_ns)
            self.exchange.log_snapshot(self.exchange.books[symbol], now_ns)

    async def run_makers(self) -> None:
        """Step the makers for ever, one after the other across the interval.

        Symbols that nobody watches or trades step once in a few rounds.
        """
        pause = STEP_SECONDS / len(self.makers)
        for turn in itertools.count():
            for symbol, maker in self.makers.items():
                if turn % QUIET_TURNS == 0 or self._is_lively(symbol, maker):
                    maker.restore_due(self.clock.now_ns())
                    maker.step(self.clock.now_ns())
                await asyncio.sleep(pause)

    def _is_lively(self, symbol: str, maker: Maker) -> bool:
        return maker.has_taken or self.face.markets.is_watched(symbol)

    async def run_sweeps(self) -> None:
        """Expire and ping for ever."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.face.sweep()

    def when_verified(self, act: Callable[[], None]) -> None:
        """Call back when every queued signature has its verdict."""

        async def wait() -> None:
            if self.verifier is not None:
                await self.verifier.drain()
            act()

        task = asyncio.get_running_loop().create_task(wait())
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    def summary(self) -> dict[str, Any]:
        """Return the counts of the run; ``failed`` when a signature was bad."""
        verifier = self.verifier
        pending = 0 if verifier is None else verifier.queued - verifier.settled
        return {
            "counts": dict(self.log.counts),
            "lines": len(self.log),
            "bad_signatures": self.face.bad_signatures,
            "good_signatures": self.face.good_signatures,
            "unverified": pending,
            "failed": self.face.bad_signatures > 0 or pending > 0,
            "weight_factor": self.settings.weight_factor,
            "accounts": len(self.exchange.accounts),
            "cpu_s": cpu_seconds(),
        }


def raise_descriptor_limit() -> None:
    """Allow as many sockets as the system lets this process have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _listen(application: Application, venue: SimulatedVenue) -> tuple[asyncio.Server, int]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(application, venue.clock.now_ns),
        venue.settings.host,
        0,
        backlog=BACKLOG,
    )
    return server, server.sockets[0].getsockname()[1]


def _watch_for_end(stop: asyncio.Event) -> None:
    """Set ``stop`` on SIGTERM, SIGINT or the end of standard input."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def on_input() -> None:
        if not os.read(STDIN, 4096):
            loop.remove_reader(STDIN)
            stop.set()

    # A plain file or the null device cannot be watched: then only a signal ends the run.
    with contextlib.suppress(OSError):
        loop.add_reader(STDIN, on_input)


async def serve(settings: SimSettings, on_ready: Callable[[dict[str, Any]], None]) -> None:
    """Run the venue until it is told to end; ``on_ready`` gets the ready line."""
    venue = SimulatedVenue(settings)
    if venue.verifier is not None:
        await venue.verifier.start()
    venue.open_books()
    face_server, port = await _listen(venue.face, venue)
    admin_server, admin_port = await _listen(Admin(venue), venue)
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(venue.run_makers()), loop.create_task(venue.run_sweeps())]
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    host = settings.host
    stop = asyncio.Event()
    for task in tasks:
        task.add_done_callback(lambda _: stop.set())
    _watch_for_end(stop)  # before anyone knows that there is something to end
    on_ready(
        {
            "venues": {"aster": {"rest": f"http://{host}:{port}", "ws": f"ws://{host}:{port}"}},
            "admin": f"http://{host}:{admin_port}",
            "weight_factor": settings.weight_factor,
        }
    )
    try:
        await stop.wait()
    finally:
        with contextlib.suppress(OSError):
            loop.remove_reader(STDIN)
        broken = [error for task in tasks if task.done() and (error := task.exception())]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        face_server.close()
        admin_server.close()
        if venue.verifier is not None:
            await venue.verifier.stop()
    if broken:
        raise broken[0]


def run(settings: SimSettings, on_ready: Callable[[dict[str, Any]], None]) -> None:
    """Run the venue in this process until it is told to end.

    Raises:
        ValueError: a setting is out of range.
    """
    settings.check()
    raise_descriptor_limit()
    if sys.stdin is None:
        # Closed by the caller: keep the number taken, or a socket would get it.
        os.open(os.devnull, os.O_RDONLY)
    uvloop.run(serve(settings, on_ready))


def print_ready(line: dict[str, Any]) -> None:
    """Print the ready line for whoever started the process."""
    sys.stdout.write(orjson.dumps(line).decode() + "\n")
    sys.stdout.flush()
