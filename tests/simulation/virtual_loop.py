"""An event loop whose time is virtual and whose network is memory.

Nothing is ever waited for: when no callback is ready, time jumps to the next timer. Time is whole
nanoseconds, timers that are due at one instant run in the order they were made, so that a run
depends on nothing but its inputs. Production code that only uses standard loop calls runs on it
unmodified.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from heapq import heappush
from typing import Any, Final, TypeVar

from simulation.memory_net import MemoryServer, MemoryTransport, Network
from slipstream.units import NS_PER_S, TimeNs

START_NS: Final = 1_000 * NS_PER_S
"""Small, so that seconds as a float still tell nanoseconds apart."""
EPOCH_US: Final = 1_767_225_600_000_000
"""Wall time at the start: 2026-01-01."""

_T = TypeVar("_T")


class TimeStoodStillError(RuntimeError):
    """Nothing is ready and no timer is set: whoever waits now would wait for ever."""


class _OrderedTimer(asyncio.TimerHandle):
    """A timer that runs after those of the same instant that were made before it."""

    __slots__ = ("order",)
    order: int

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, _OrderedTimer):
            return NotImplemented
        return (self.when(), self.order) < (other.when(), other.order)


class _Clockwork:
    """What the loop asks for socket events: there are none, but asking moves the clock."""

    def __init__(self, wait: Callable[[float | None], None]) -> None:
        self._wait = wait

    def select(self, timeout: float | None = None) -> list[object]:
        self._wait(timeout)
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """A deterministic loop. ``network`` holds every connection made on it."""

    def __init__(self, network: Network | None = None) -> None:
        """Start at ``START_NS``."""
        self.now_ns = START_NS
        self._order = 0
        self.network = network or Network()
        self.faults: list[dict[str, Any]] = []
        """What reached the exception handler: a run without bugs leaves it empty."""
        super().__init__()
        self._selector = _Clockwork(self._wait)
        self._clock_resolution = 0.5 / NS_PER_S
        self.network.loop = self
        self.set_exception_handler(lambda _, context: self.faults.append(context))

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
        self._order += 1
        exact = round(when * NS_PER_S) / NS_PER_S
        timer = _OrderedTimer(exact, callback, args, self, context)
        timer.order = self._order
        heappush(self._scheduled, timer)  # type: ignore[attr-defined]
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def call_after_ns(self, delay_ns: int, callback: Callable[..., object], *args: object) -> None:
        """Call after whole nanoseconds."""
        self.call_at((self.now_ns + delay_ns) / NS_PER_S, callback, *args)

    def _wait(self, timeout: float | None) -> None:
        if timeout is not None and timeout <= 0:
            return
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        if not scheduled:
            raise TimeStoodStillError("nothing is ready and no timer is set")
        self.now_ns = max(self.now_ns, round(scheduled[0].when() * NS_PER_S))

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
    main: Callable[[VirtualLoop], Coroutine[object, object, _T]], *, network: Network | None = None
) -> _T:
    """Run to the end on a fresh loop; whatever nobody handled fails the run."""
    loop = VirtualLoop(network)
    try:
        asyncio.set_event_loop(loop)
        result = loop.run_until_complete(main(loop))
        _cancel_rest(loop)
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    if loop.faults:
        first = loop.faults[0]
        raise AssertionError(f"nobody handled: {first.get('message')}") from first.get("exception")
    return result


def _cancel_rest(loop: VirtualLoop) -> None:
    rest = asyncio.all_tasks(loop)
    for task in rest:
        task.cancel()
    if rest:
        loop.run_until_complete(asyncio.wait(rest))
    loop.run_until_complete(loop.shutdown_asyncgens())
