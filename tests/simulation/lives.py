"""Engines that die and are started again on one ledger.

A crash is what SIGKILL leaves: no callback of the engine runs again, its connections are reset
behind what was written, its store takes nothing more. What was durable stays in the ``Ledger``.
The next engine begins from that and from the venue alone.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field, fields
from typing import Any, Final

from simulation.memory_store import MemoryStore
from simulation.virtual_loop import START_NS
from simulation.world import World
from slipstream.domain.cohort import ActivityRow
from slipstream.errors import SlipstreamError
from slipstream.runtime.wiring import Options
from slipstream.store.journal import payload_text

BOOT_PAUSE_S: Final = 1.0
"""What starts a daemon again waits so long after one that could not start."""


class DyingStore(MemoryStore):
    """A store whose process may end: from then on nothing is done and nobody is told."""

    on_lines: Callable[[Sequence[ActivityRow]], None] = staticmethod(lambda _: None)

    def _carry_out(self, *asked: Any) -> None:  # noqa: ANN401
        if not self.is_dead:
            super()._carry_out(*asked)

    def _submit(self, work: Any, **named: Any) -> asyncio.Future[Any]:  # noqa: ANN401
        if self.is_dead:
            never: asyncio.Future[Any] = self._loop.create_future()
            return never
        return super()._submit(work, **named)

    def log(self, rows: Any) -> None:  # noqa: ANN401
        """Append to the activity log, as long as there is a process."""
        if not self.is_dead:
            super().log(rows)
            self.on_lines(rows)


@dataclass(slots=True)
class Lives:
    """The engines of one world, one after the other. ``number``: the newest one."""

    world: World
    pause: Callable[[], float] = lambda: BOOT_PAUSE_S
    """How many seconds after a crash the next engine begins."""
    number: int = 0
    crash_count: int = 0
    again: tuple[str | None, float] | None = None
    """Where the engine dies once more while it comes back: a point, or so many seconds later."""
    refusal: str | None = None
    delay_ns: int | None = None
    timeline: list[tuple[int, str]] = field(default_factory=list)
    points: Counter[str] = field(default_factory=Counter)
    """How often each named point was passed."""
    crashes: Counter[str] = field(default_factory=Counter)
    """Where engines were killed: named points, or ``any instant``."""
    armed: dict[str, int] = field(default_factory=dict)
    """At which passing of a named point from now on the engine dies."""
    broken: BaseException | None = None
    """What an engine raised as it began that none may raise: no further one begins."""
    _gone: asyncio.Future[None] | None = None
    _bringing: asyncio.Task[None] | None = None
    _context: Context = field(default_factory=copy_context)

    def note(self, text: str) -> None:
        """Keep what happened, and when, for whoever reads one run."""
        self.timeline.append((self.world.loop.now_ns - START_NS, text))

    def arm(self, point: str, passing: int) -> None:
        """Kill the engine at a point, at its n-th passing from now on."""
        self.armed[point] = passing

    def on_point(self, number: int, point: str) -> None:
        """Take note of a point; end the engine there when that is wanted."""
        if number != self.number or self.is_gone:
            return
        self.points[point] += 1
        left = self.armed.get(point)
        if left is None:
            return
        self.armed[point] = left - 1
        if left <= 1:
            self.armed.clear()
            self.crash(point)

    @property
    def is_gone(self) -> bool:
        """Whether no engine runs or begins to."""
        return self._gone is None or self._gone.done()

    @property
    def is_up(self) -> bool:
        """Whether an engine has started and lives."""
        bringing = self._bringing
        return not self.is_gone and (bringing is None or bringing.done())

    def crash(self, where: str = "any instant") -> None:
        """End the engine as SIGKILL does. Code that runs now changes nothing any more."""
        if self.is_gone:
            return
        self.crash_count += 1
        self.crashes[where] += 1
        self.note(f"crash at {where}")
        self._end(self.number, self.world.store)
        # Not in the context of the dead: that would never be called.
        self.world.loop.call_after_ns(int(self.pause() * 1e9), self.begin, context=self._context)

    def lose_lease(self, seconds: float) -> None:
        """Let another engine begin while this one, without its store, runs on for a while."""
        if not self.is_up:
            return
        number, store = self.number, self.world.store
        self.crash_count += 1
        self.crashes["lease lost"] += 1
        self.note("lease lost")
        store.refusal = "another process holds the lease"
        self.world.loop.call_later(seconds, self._end, number, store)
        self.begin()

    def _end(self, number: int, store: MemoryStore) -> None:
        store.is_dead = True  # type: ignore[attr-defined]
        self.world.loop.kill(number)
        if number == self.number and self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    def trouble(self, *, refusal: str | None = None, delay_ns: int | None = None) -> None:
        """Let the database refuse everything, or take its time; without arguments: be well."""
        self.refusal, self.delay_ns = refusal, delay_ns
        self._apply_trouble()

    def _apply_trouble(self) -> None:
        store, delay_ns = self.world.store, self.delay_ns
        if store.refusal is None or "lease" not in store.refusal:
            store.refusal = self.refusal
        store._delay_ns = self.world.commit_ns if delay_ns is None else delay_ns

    def begin(self) -> None:
        """Start an engine in the background, again and again until it runs or is killed."""
        if self.again is not None and self.crash_count:
            (point, seconds), self.again = self.again, None
            if point is not None:
                self.arm(point, 1)
            self.world.loop.call_later(seconds, self._die_again, self.number + 1)
        self._bringing = self.world.loop.create_task(self.bring_up())

    def _die_again(self, number: int) -> None:
        if self.number == number:
            self.crash("while it came back")

    async def bring_up(self) -> None:
        """Start an engine on the ledger; return when it has started, or was killed meanwhile."""
        loop = self.world.loop
        while True:
            self.number += 1
            self.note(f"engine {self.number} begins")
            gone = self._gone = loop.create_future()
            boot = loop.run_as(self.number, self._boot(self.number))
            await asyncio.wait({boot, gone}, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                return
            error = boot.exception()
            if error is None:
                self.note(f"engine {self.number} has started")
                return
            if not isinstance(error, SlipstreamError | OSError):
                self.note(f"engine {self.number} raised {error!r}")
                self.broken = error
                self._end(self.number, self.world.store)
                return
            self.note(f"engine {self.number} cannot start: {error}")
            self._end(self.number, self.world.store)
            await asyncio.sleep(BOOT_PAUSE_S)

    async def _boot(self, number: int) -> None:
        world = self.world
        store = DyingStore(world.loop, world.store.ledger)
        store.on_lines = self._note_lines
        world.store = store
        self._apply_trouble()
        if "at_point" in {each.name for each in fields(Options)}:
            world.options = Options(at_point=lambda name: self.on_point(number, name))
        await world.open_engine()
        world.failures = await world.engine.start()

    def _note_lines(self, rows: Sequence[ActivityRow]) -> None:
        for row in rows:
            what = f"{row.kind} {row.leader} {row.follower} {row.intent_id} {row.reason}"
            self.note(f"log {what} {payload_text(row.payload)[:400]}")
