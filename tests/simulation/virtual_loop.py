"""An event loop whose time is virtual and whose network is memory.

Nothing is ever waited for: when no callback is ready, time jumps to the next timer. Time is whole
nanoseconds, timers that are due at one instant run in the order they were made, so that a run
depends on nothing but its inputs. Production code that only uses standard loop calls runs on it
unmodified.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from heapq import heappop, heappush
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from simulation.memory_net import OWNER, MemoryServer, MemoryTransport, Network
from slipstream.units import NS_PER_S, TimeNs

START_NS: Final = 1_000 * NS_PER_S
"""Small, so that seconds as a float still tell nanoseconds apart."""
EPOCH_US: Final = 1_767_225_600_000_000
"""Wall time at the start: 2026-01-01."""
BURY_TIMES: Final = 3
BURY_S: Final = 60.0

_T = TypeVar("_T")


class TimeStoodStillError(RuntimeError):
    """Nothing is ready and no timer is set: whoever waits now would wait for ever."""


class TooLongError(RuntimeError):
    """More callbacks ran than a run may take: something turns in a circle."""


class VirtualLoop(asyncio.BaseEventLoop):
    """A deterministic loop. ``network`` holds every connection made on it.

    What runs for an owner (``memory_net.OWNER`` in its context) stops for ever when the owner is
    killed: not one more callback of its, no ``finally``, as after SIGKILL.
    """

    def __init__(self, network: Network | None = None) -> None:
        """Start at ``START_NS``."""
        self.now_ns = START_NS
        self.step_count = 0
        self.step_count_max: int | None = None
        """Callbacks after which a run is given up."""
        self._order = 0
        self._timers: list[tuple[int, int, asyncio.TimerHandle]] = []
        self._dead: set[int] = set()
        self._owned: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
        self._remains: list[asyncio.Task[Any]] = []
        self.network = network or Network()
        self.faults: list[dict[str, Any]] = []
        """What reached the exception handler: a run without bugs leaves it empty."""
        super().__init__()
        self.network.loop = self
        self.set_exception_handler(lambda _, context: self.faults.append(context))
        self.set_task_factory(self._make_task)

    # --- whose it is ---

    def _make_task(
        self,
        _: asyncio.AbstractEventLoop,
        work: Any,  # noqa: ANN401 - a coroutine of any type
        *,
        context: Context | None = None,
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(work, loop=self, context=context)
        owner = OWNER.get() if context is None else context.get(OWNER)
        if owner is not None:
            self._owned[task] = owner
            if owner in self._dead:  # begun by code that ran when it was killed
                self._remains.append(task)
        return task

    def run_as(
        self, owner: int, work: Coroutine[Any, Any, _T], *, name: str | None = None
    ) -> asyncio.Task[_T]:
        """Run something, and all that it starts, as an owner's."""
        context = copy_context()
        context.run(OWNER.set, owner)
        return self.create_task(work, name=name, context=context)

    def kill(self, owner: int) -> None:
        """Stop everything of an owner, and cut its connections; what it sent stays on its way."""
        self._dead.add(owner)
        self.network.kill(owner)
        # Kept whole until the end: a task that is collected would run what it has in ``finally``.
        self._remains += [task for task, whose in self._owned.items() if whose == owner]

    def bury(self) -> None:
        """End the tasks of the killed, when nothing that they do matters any more."""
        self._dead.clear()
        for _ in range(BURY_TIMES):
            rest = [task for task in self._remains if not task.done()]
            for task in rest:
                task.cancel()
            if rest:
                self.run_until_complete(asyncio.wait(rest, timeout=BURY_S))
        for task in self._remains:
            # One that waits for what will never be, whatever it is told, is left where it is.
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            if task.done() and not task.cancelled():
                task.exception()

    @property
    def living(self) -> set[asyncio.Task[Any]]:
        """Tasks that nobody killed."""
        return asyncio.all_tasks(self) - set(self._remains)

    # --- time ---

    def _run_once(self) -> None:
        """Run what is ready; when nothing is, the next instant that something is due."""
        ready: deque[asyncio.Handle] = self._ready  # type: ignore[attr-defined]
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heappop(timers)
        if not ready:
            if not timers:
                raise TimeStoodStillError("nothing is ready and no timer is set")
            self.now_ns = max(self.now_ns, timers[0][0])
        now_ns = self.now_ns
        while timers and timers[0][0] <= now_ns:
            ready.append(heappop(timers)[2])
        count = len(ready)
        self.step_count += count
        if self.step_count_max is not None and self.step_count > self.step_count_max:
            raise TooLongError(f"more than {self.step_count_max} callbacks")
        dead = self._dead
        for _ in range(count):
            handle = ready.popleft()
            if handle.cancelled():
                continue
            if dead and handle._context.get(OWNER) in dead:  # type: ignore[attr-defined]
                continue
            handle._run()

    def time(self) -> float:
        """Return virtual seconds."""
        return self.now_ns / NS_PER_S

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,  # noqa: ANN401 - the loop's own signature
        context: Any = None,  # noqa: ANN401
    ) -> asyncio.TimerHandle:
        """Call at a virtual instant, rounded to the nanosecond."""
        self._check_closed()  # type: ignore[attr-defined]
        due_ns = round(when * NS_PER_S)
        timer = asyncio.TimerHandle(due_ns / NS_PER_S, callback, args, self, context)
        self._order += 1
        heappush(self._timers, (due_ns, self._order, timer))
        return timer

    def call_after_ns(
        self,
        delay_ns: int,
        callback: Callable[..., object],
        *args: object,
        context: Context | None = None,
    ) -> None:
        """Call after whole nanoseconds."""
        due_ns = self.now_ns + delay_ns
        timer = asyncio.TimerHandle(due_ns / NS_PER_S, callback, args, self, context)
        self._order += 1
        heappush(self._timers, (due_ns, self._order, timer))

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when its time comes."""

    def _process_events(self, event_list: list[object]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps in a selector: there is one thread."""

    def run_in_executor(self, executor: Any, func: Callable[..., _T], *args: Any) -> Any:  # type: ignore[override]  # noqa: ANN401, ARG002
        """Run at once: there are no threads."""
        future: asyncio.Future[_T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - handed to whoever awaits it
            future.set_exception(error)
        return future

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> Any:  # noqa: ANN401
        """Every name is this machine."""
        del host
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.Protocol],
        host: str | None = None,
        port: int | None = None,
        **options: object,
    ) -> tuple[MemoryTransport, Any]:
        """Connect two protocols in memory.

        Raises:
            OSError: nobody listens there.
        """
        if options.get("ssl") or options.get("sock") is not None or host is None or port is None:
            raise NotImplementedError("plain connections to a port only")
        return await self.network.connect(protocol_factory, port)

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.Protocol],
        host: str | None = None,
        port: int = 0,
        **_: object,
    ) -> MemoryServer:
        """Listen in memory."""
        del host
        return self.network.listen(protocol_factory, port)


class VirtualClock:
    """The engine's clock: the loop's instant, and a wall clock in step with it."""

    def __init__(self, loop: VirtualLoop) -> None:
        """Read the loop's time."""
        self._loop = loop

    def now_ns(self) -> TimeNs:
        """Return virtual nanoseconds."""
        return TimeNs(self._loop.now_ns)

    def wall_us(self) -> int:
        """Return virtual microseconds since the epoch."""
        return EPOCH_US + (self._loop.now_ns - START_NS) // 1_000


def run_virtual(
    main: Callable[[VirtualLoop], Coroutine[object, object, _T]],
    *,
    network: Network | None = None,
    step_count_max: int | None = None,
) -> _T:
    """Run to the end on a fresh loop; whatever nobody handled fails the run.

    Raises:
        AssertionError: something reached the loop's exception handler.
        TooLongError: more callbacks ran than allowed.
    """
    loop = VirtualLoop(network)
    loop.step_count_max = step_count_max
    try:
        asyncio.set_event_loop(loop)
        result = loop.run_until_complete(main(loop))
        faults = list(loop.faults)
        loop.step_count_max = None
        loop.bury()
        loop.faults = faults
        _cancel_rest(loop)
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    if loop.faults:
        first = loop.faults[0]
        raise AssertionError(f"nobody handled: {first.get('message')}") from first.get("exception")
    return result


def _cancel_rest(loop: VirtualLoop) -> None:
    rest = loop.living
    for task in rest:
        task.cancel()
    if rest:
        loop.run_until_complete(asyncio.wait(rest, timeout=BURY_S))
    loop.run_until_complete(loop.shutdown_asyncgens())
