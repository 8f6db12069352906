"""One warm HTTP/1.1 connection, callback style, that knows whether bytes left.

What a request came to is a value, never an exception:

* ``NotSent``: no byte of it was handed to the socket.
* ``Unknown``: at least one byte was handed over, and no complete reply came.
* ``Answered``: a complete reply, whatever its status.

Each callback is called exactly once. A request is written inside ``send`` when the connection is
idle; those behind it wait in a bounded queue and leave in order. There is no future and no task
per request.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import Final

import httptools

from slipstream import errors
from slipstream.transport.clock import Clock
from slipstream.transport.origin import Origin
from slipstream.transport.reconnect import Backoff
from slipstream.transport.request import (
    Answered,
    HttpResult,
    NotSent,
    RequestTemplate,
    ResultSink,
    Unknown,
)
from slipstream.units import NS_PER_S, TimeNs

__all__ = [
    "Answered",
    "HttpResult",
    "NotSent",
    "PinnedConnection",
    "RequestTemplate",
    "ResultSink",
    "Unknown",
]

_BODY_SIZE_MAX: Final = 16 * 1024 * 1024
_HEADER_COUNT_MAX: Final = 100
_STATUS_FINAL_MIN: Final = 200
_CONNECT_SECONDS: Final = 10
_KEEPALIVE_IDLE_SECONDS: Final = 20
_SHORT_LIFE_NS: Final = NS_PER_S
"""The second socket in a row that was lost sooner, without an answer, is not dialled at once."""


class _Exchange:
    """A request on its way to its callback."""

    __slots__ = ("deadline_ns", "on_result", "request", "write_by_ns")

    def __init__(
        self, request: bytes, deadline_ns: int, write_by_ns: int, on_result: ResultSink
    ) -> None:
        self.request = request
        self.deadline_ns = deadline_ns
        self.write_by_ns = write_by_ns
        self.on_result = on_result


class _Wire(asyncio.Protocol):
    """One socket: reads replies for its owner, and is forgotten when the owner reconnects."""

    __slots__ = (
        "_body",
        "_fault",
        "_header_count",
        "_headers",
        "_is_complete",
        "_is_kept",
        "_owner",
        "_parser",
        "_size",
        "transport",
    )

    def __init__(self, owner: "PinnedConnection") -> None:
        self._owner = owner
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._header_count = 0
        self._size = 0
        self._is_complete = False
        self._is_kept = True
        self._fault: str | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport) or hasattr(transport, "write"):
            self.transport = transport  # type: ignore[assignment]
        # A high-water mark of zero makes uvloop write inside the call, not at the turn's end.
        transport.set_write_buffer_limits(high=0)  # type: ignore[attr-defined]
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_SECONDS)

    def data_received(self, chunk: bytes) -> None:
        owner = self._owner
        received_ns = owner.clock.now_ns()
        try:
            self._parser.feed_data(chunk)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fault = "the reply is not HTTP"
        if self._fault is not None:
            owner.on_wire_lost(self, self._fault)
        elif self._is_complete:
            status = self._parser.get_status_code()
            answer = Answered(status, self._headers, b"".join(self._body))
            self._headers, self._body = {}, []
            self._header_count = self._size = 0
            self._is_complete = False
            owner.on_wire_answer(self, answer, received_ns, is_kept=self._is_kept)

    def connection_lost(self, exc: Exception | None) -> None:
        reason = "closed by the server" if exc is None else f"lost: {type(exc).__name__}"
        self._owner.on_wire_lost(self, f"connection {reason}")

    # --- called by the parser ---

    def on_message_begin(self) -> None:
        if self._is_complete or not self._owner.is_waiting(self):
            self._fault = "bytes came that belong to no request"

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_count += 1
        if self._header_count > _HEADER_COUNT_MAX:
            self._fault = f"more than {_HEADER_COUNT_MAX} headers"
            return
        lowered = name.lower()
        if lowered in self._owner.headers_wanted:
            self._headers[lowered] = value

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > _BODY_SIZE_MAX:
            self._fault = f"a body above {_BODY_SIZE_MAX} bytes"
            return
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < _STATUS_FINAL_MIN:
            self._headers, self._header_count = {}, 0
            return
        self._is_complete = True
        self._is_kept = self._parser.should_keep_alive()


class PinnedConnection:
    """One socket to one origin.

    A *warm* connection reconnects in the background by itself and answers ``NotSent`` at once
    while a pause between attempts runs; a cold one connects when something is sent.
    """

    __slots__ = (
        "_backoff",
        "_busy",
        "_connect_task",
        "_failure",
        "_is_closed",
        "_is_up",
        "_is_warm",
        "_local_addr",
        "_loop",
        "_origin",
        "_queue",
        "_queue_max",
        "_short_lives",
        "_timer",
        "_timer_at_ns",
        "_up_since_ns",
        "_waiters",
        "_wire",
        "clock",
        "headers_wanted",
    )

    def __init__(
        self,
        origin: Origin,
        *,
        clock: Clock,
        backoff: Backoff,
        is_warm: bool = True,
        queue_max: int = 64,
        headers_wanted: frozenset[bytes] = frozenset(),
        local_addr: str | None = None,
    ) -> None:
        """Open nothing yet. ``headers_wanted``: reply headers to keep, in lower case."""
        self.clock = clock
        self.headers_wanted = headers_wanted
        self._origin = origin
        self._backoff = backoff
        self._is_warm = is_warm
        self._queue_max = queue_max
        self._local_addr = None if local_addr is None else (local_addr, 0)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wire: _Wire | None = None
        self._is_up = False
        self._is_closed = False
        self._short_lives = 0
        self._up_since_ns = 0
        self._busy: _Exchange | None = None
        self._queue: deque[_Exchange] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_ns = 0
        self._connect_task: asyncio.Task[None] | None = None
        self._failure = "not connected"
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def is_up(self) -> bool:
        """Whether a request would be written at once or queued behind one in flight."""
        return self._is_up

    @property
    def queued_count(self) -> int:
        """Requests waiting for the one in flight."""
        return len(self._queue)

    async def start(self) -> None:
        """Connect now.

        Raises:
            NotSent: the first attempt failed; a warm connection goes on trying.
        """
        if self._is_up:
            return
        loop = self._begin()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiters.append(waiter)
        self._connect_soon()
        await waiter

    async def close(self) -> None:
        """Close: what is in flight becomes ``Unknown``, what waits ``NotSent``."""
        self._is_closed = True
        task, self._connect_task = self._connect_task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._drop_wire("closed by us")
        self._flush("connection closed by us")
        self._wake(errors.NotSent("connection closed by us"))

    def send(
        self,
        request: bytes,
        *,
        deadline_ns: int,
        on_result: ResultSink,
        write_by_ns: int | None = None,
    ) -> TimeNs | None:
        """Write a request, or queue it behind the one in flight.

        A request that is still queued at ``write_by_ns`` is ``NotSent``: what it says is of its
        moment. ``None`` = any time before the deadline.

        Returns:
            When it was handed to the socket; ``None`` when it was queued or cannot be sent (the
            callback then comes in a later turn of the loop).
        """
        now_ns = self.clock.now_ns()
        latest_ns = deadline_ns if write_by_ns is None else min(write_by_ns, deadline_ns)
        exchange = _Exchange(request, deadline_ns, latest_ns, on_result)
        if self._is_up and self._busy is None and deadline_ns > now_ns:
            transport = self._wire.transport if self._wire is not None else None
            if transport is not None and not transport.is_closing():
                self._write(transport, exchange, now_ns)
                return now_ns
        self._enqueue(exchange, now_ns)
        return None

    async def fetch(self, request: bytes, *, deadline_ns: int) -> HttpResult:
        """Send and wait: for calls that are rare. A cancelled wait leaves the request running."""
        future: asyncio.Future[HttpResult] = self._begin().create_future()

        def on_result(result: HttpResult, _received_ns: TimeNs) -> None:
            if not future.done():
                future.set_result(result)

        self.send(request, deadline_ns=deadline_ns, on_result=on_result)
        return await future

    def call_soon(self, callback: Callable[[], object]) -> None:
        """Call back in the next turn of the loop."""
        self._begin().call_soon(callback)

    # --- called by the wire ---

    def is_waiting(self, wire: _Wire) -> bool:
        """Whether a reply is due on this socket."""
        return wire is self._wire and self._busy is not None

    def on_wire_answer(
        self, wire: _Wire, answer: Answered, received_ns: TimeNs, *, is_kept: bool
    ) -> None:
        """Hand a reply over and let the next request go."""
        exchange = self._busy
        if wire is not self._wire or exchange is None:
            return
        self._busy = None
        self._short_lives = 0
        self._up_since_ns = 0
        self._backoff.reset()
        if not is_kept:
            self._drop_wire("the server ends the connection after each reply")
            self._reconnect()
        elif self._queue:
            self._promote()
        exchange.on_result(answer, received_ns)

    def on_wire_lost(self, wire: _Wire, reason: str) -> None:
        """The socket ended, or must end."""
        if wire is not self._wire:
            return
        self._drop_wire(reason)
        self._reconnect()

    # --- inside ---

    def _begin(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def _write(self, transport: asyncio.Transport, exchange: _Exchange, now_ns: TimeNs) -> None:
        self._busy = exchange
        transport.write(exchange.request)
        if self._timer is None or exchange.deadline_ns < self._timer_at_ns:
            self._arm(exchange.deadline_ns, now_ns)

    def _enqueue(self, exchange: _Exchange, now_ns: TimeNs) -> None:
        loop = self._begin()
        if self._is_closed:
            reason = "connection closed by us"
        elif exchange.deadline_ns <= now_ns:
            reason = "the deadline had passed"
        elif len(self._queue) >= self._queue_max:
            reason = f"{self._queue_max} requests wait already"
        elif not self._is_up and self._connect_task is not None and self._backoff.failure_count:
            reason = self._failure
        else:
            self._queue.append(exchange)
            if self._timer is None or exchange.write_by_ns < self._timer_at_ns:
                self._arm(exchange.write_by_ns, now_ns)
            if not self._is_up:
                self._connect_soon()
            return
        loop.call_soon(exchange.on_result, NotSent(reason), now_ns)

    def _promote(self) -> None:
        """Write the next request whose deadline has not passed."""
        now_ns = self.clock.now_ns()
        while self._queue and self._busy is None:
            transport = self._wire.transport if self._wire is not None else None
            if transport is None or transport.is_closing():
                return
            exchange = self._queue.popleft()
            if exchange.write_by_ns > now_ns:
                self._write(transport, exchange, now_ns)
            else:
                exchange.on_result(NotSent("its time passed in the queue"), now_ns)

    def _arm(self, deadline_ns: int, now_ns: TimeNs) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at_ns = deadline_ns
        delay = max(0, deadline_ns - now_ns) / NS_PER_S
        self._timer = self._begin().call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now_ns = self.clock.now_ns()
        late = [each for each in self._queue if each.write_by_ns <= now_ns]
        if late:
            self._queue = deque(each for each in self._queue if each.write_by_ns > now_ns)
        if self._busy is not None and self._busy.deadline_ns <= now_ns:
            self._drop_wire("no reply by the deadline")
            self._reconnect()
        for exchange in late:
            exchange.on_result(NotSent("its time passed in the queue"), now_ns)
        pending = [each.write_by_ns for each in self._queue]
        if self._busy is not None:
            pending.append(self._busy.deadline_ns)
        if pending:
            self._arm(min(pending), now_ns)

    def _drop_wire(self, reason: str) -> None:
        """Forget the socket; the request in flight is unknown."""
        if self._is_up and self.clock.now_ns() - self._up_since_ns < _SHORT_LIFE_NS:
            self._short_lives += 1
        wire, self._wire = self._wire, None
        exchange, self._busy = self._busy, None
        self._is_up = False
        self._failure = reason
        if wire is not None and wire.transport is not None:
            wire.transport.abort()
        if exchange is not None:
            exchange.on_result(Unknown(reason), self.clock.now_ns())

    def _flush(self, reason: str) -> None:
        """Everything that waits cannot be sent."""
        waiting, self._queue = self._queue, deque()
        now_ns = self.clock.now_ns()
        for exchange in waiting:
            exchange.on_result(NotSent(reason), now_ns)

    def _wake(self, error: errors.NotSent | None) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)

    def _reconnect(self) -> None:
        if not self._is_closed and (self._is_warm or self._queue):
            self._connect_soon()

    def _connect_soon(self) -> None:
        if self._connect_task is None and not self._is_closed:
            self._connect_task = self._begin().create_task(self._connect())

    async def _connect(self) -> None:
        """Try until connected; a cold connection tries once."""
        if self._short_lives > 1:
            await asyncio.sleep(self._backoff.next_delay_ns() / NS_PER_S)
        while True:
            try:
                wire = await self._dial()
            except (OSError, TimeoutError) as error:
                self._failure = f"cannot connect to {self._origin.authority}: {error or 'timeout'}"
                self._origin.forget_address()
                delay_ns = self._backoff.next_delay_ns()
                self._flush(self._failure)
                self._wake(errors.NotSent(self._failure))
                if not self._is_warm:
                    self._backoff.reset()
                    break
                await asyncio.sleep(delay_ns / NS_PER_S)
                continue
            self._wire, self._is_up = wire, True
            self._up_since_ns = self.clock.now_ns()
            self._wake(None)
            break
        self._connect_task = None
        if self._is_up:
            self._promote()
        elif self._queue:
            self._connect_soon()

    async def _dial(self) -> _Wire:
        loop = self._begin()
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, wire = await loop.create_connection(
                lambda: _Wire(self),
                await self._origin.address(),
                self._origin.port,
                ssl=self._origin.tls,
                server_hostname=self._origin.host if self._origin.is_tls else None,
                local_addr=self._local_addr,
            )
        return wire
