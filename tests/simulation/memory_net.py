"""Connections in memory: two protocols, ordered bytes, and whatever may go wrong between them.

A ``Link`` is one connection. Bytes arrive in order, after the network's latency, as long as
neither direction is stalled. Every write of the connecting side is kept with its instant, so that
a test can compare what left and when.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from simulation.virtual_loop import VirtualLoop

OWNER: ContextVar[int | None] = ContextVar("owner", default=None)
"""Whose a callback is: the number of an engine; ``None`` is the venue and the test."""
FREE_BYTES: Final = 256 * 1024
"""What a socket takes without its writer noticing that nobody reads."""
_END: Final = object()
_RESET: Final = object()


@dataclass(slots=True)
class Network:
    """Who listens where, and every connection so far.

    ``latency_ns`` is one way; ``jitter_ns`` is drawn on top of it from the seed and the number of
    the connection, so that traffic elsewhere never changes it. ``connect_delay_ns`` holds for
    connections made from now on.
    """

    latency_ns: int = 50_000
    jitter_ns: int = 0
    seed: int = 0
    connect_delay_ns: int = 0
    is_refusing: bool = False
    dial_error: OSError | None = None
    """What a dial fails with instead of being accepted."""
    listeners: dict[int, Callable[[], asyncio.Protocol]] = field(default_factory=dict)
    links: list["Link"] = field(default_factory=list)
    dial_count: int = 0
    loop: "VirtualLoop" = field(init=False)
    _contexts: dict[int, Context] = field(default_factory=dict)

    def listen(self, factory: Callable[[], asyncio.Protocol], port: int) -> "MemoryServer":
        """Accept connections to a port.

        Raises:
            OSError: somebody listens there already.
        """
        if port in self.listeners:
            raise OSError(f"port {port} is taken")
        self.listeners[port] = factory
        self._contexts[port] = copy_context()
        return MemoryServer(self, port)

    async def connect(
        self, factory: Callable[[], asyncio.Protocol], port: int
    ) -> tuple["MemoryTransport", asyncio.Protocol]:
        """Connect to a port.

        Raises:
            OSError: nobody listens there.
        """
        self.dial_count += 1
        await asyncio.sleep((2 * self.latency_ns + self.connect_delay_ns) / 1e9)
        accept = self.listeners.get(port)
        if self.dial_error is not None:
            raise self.dial_error
        if accept is None or self.is_refusing:
            raise ConnectionRefusedError(f"port {port} refuses")
        listening = self._contexts[port].copy()
        near, far = factory(), listening.run(accept)
        link = Link(self, port, near, far)
        self.links.append(link)
        link.far.context = listening
        listening.run(far.connection_made, link.far)
        near.connection_made(link.near)
        return link.near, near

    def kill(self, owner: int) -> None:
        """Close every connection of an owner as its kernel does when the process is gone."""
        for link in self.links:
            if link.owner == owner:
                link.near.die()


class MemoryServer:
    """A listening port."""

    def __init__(self, network: Network, port: int) -> None:
        """Use ``Network.listen``."""
        self._network = network
        self.port = port

    def close(self) -> None:
        """Accept nothing more; connections go on."""
        self._network.listeners.pop(self.port, None)


class Link:
    """One connection: ``near`` belongs to the connecting side, ``far`` to the listening one."""

    def __init__(
        self,
        network: Network,
        port: int,
        near: asyncio.Protocol,
        far: asyncio.Protocol,
    ) -> None:
        """Join two protocols; the connecting one belongs to whoever runs now."""
        self.number = number = len(network.links)
        self.owner = OWNER.get()
        self.port = port
        self.sent: list[tuple[int, bytes]] = []
        """(instant, bytes) of every write of the connecting side."""
        self.near = MemoryTransport(network, self, near, 40_000 + number)
        self.far = MemoryTransport(network, self, far, port)
        self.near.peer, self.far.peer = self.far, self.near
        self.near.log = self.sent

    @property
    def is_open(self) -> bool:
        """Whether neither side ended it."""
        return not (self.near.is_closing() or self.far.is_closing())

    def reset(self) -> None:
        """Cut it: both sides lose the connection now."""
        for side in (self.near, self.far):
            side.lose(ConnectionResetError("cut by the test"))

    def stall(self) -> None:
        """Deliver nothing from now on, in both directions; it stays open."""
        self.near.is_stalled = self.far.is_stalled = True

    def resume(self) -> None:
        """Deliver again, what was held back first."""
        for side in (self.near, self.far):
            side.is_stalled = False
            side.deliver_soon()


class MemoryTransport(asyncio.Transport):
    """One side of a connection."""

    def __init__(
        self, network: Network, link: Link, protocol: asyncio.BaseProtocol, port: int
    ) -> None:
        """Belong to a link; ``peer`` is set by it."""
        super().__init__({"peername": ("127.0.0.1", port), "sockname": ("127.0.0.1", port)})
        self._network = network
        self._loop = network.loop
        self._random = Random(f"{network.seed}:{link.number}:{port == link.port}")
        self._protocol: Any = protocol
        self._inbox: deque[object] = deque()
        self._arrived = 0
        self._last_due_ns = 0
        self._pending_size = 0
        self._is_closing = False
        self._is_lost = False
        self._has_sent_end = False
        self._has_got_end = False
        self._is_reading = True
        self._is_writer_paused = False
        self._high = 64 * 1024
        self.context = copy_context()
        """In which the protocol is called: that of its owner."""
        self.peer: MemoryTransport
        self.log: list[tuple[int, bytes]] | None = None
        self.is_stalled = False

    # --- what a protocol calls ---

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return who reads."""
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Let somebody else read."""
        self._protocol = protocol

    def is_closing(self) -> bool:
        """Whether it is closed or being closed."""
        return self._is_closing

    def is_reading(self) -> bool:
        """Whether bytes are handed to the protocol."""
        return self._is_reading

    def pause_reading(self) -> None:
        """Hold back what arrives."""
        self._is_reading = False

    def resume_reading(self) -> None:
        """Hand over what arrived."""
        self._is_reading = True
        self.deliver_soon()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Say above how many unsent bytes the protocol is asked to pause."""
        del low
        self._high = 64 * 1024 if high is None else high

    def get_write_buffer_size(self) -> int:
        """Return the bytes that the connection did not take yet."""
        return max(0, self._pending_size - FREE_BYTES)

    def can_write_eof(self) -> bool:
        """Half-closing works."""
        return True

    def write(self, data: Any) -> None:  # noqa: ANN401 - any buffer
        """Send bytes; they arrive in order."""
        if self._is_closing or self._has_sent_end or not data:
            return
        content = bytes(data)
        if self.log is not None:
            self.log.append((self._loop.now_ns, content))
        self._pending_size += len(content)
        self._send(content)
        if self.get_write_buffer_size() > self._high and not self._is_writer_paused:
            self._is_writer_paused = True
            self._protocol.pause_writing()

    def write_eof(self) -> None:
        """Say that nothing more comes; reading goes on."""
        if not (self._has_sent_end or self._is_closing):
            self._has_sent_end = True
            self._send(_END)

    def close(self) -> None:
        """Close after what was written arrived."""
        if not self._is_closing:
            self.write_eof()
            self._is_closing = True
            self._loop.call_soon(self.lose, None, context=self.context)

    def abort(self) -> None:
        """Close at once; the other side is reset after what is on its way."""
        if not self._is_closing:
            self._send(_RESET)
            self._is_closing = True
            self._loop.call_soon(self.lose, None, context=self.context)

    # --- inside ---

    def _send(self, item: object) -> None:
        network = self._network
        delay_ns = network.latency_ns
        if network.jitter_ns:
            delay_ns += self._random.randint(0, network.jitter_ns)
        due_ns = max(self._loop.now_ns + delay_ns, self._last_due_ns)
        self._last_due_ns = due_ns
        self.peer._inbox.append(item)
        peer = self.peer
        self._loop.call_after_ns(due_ns - self._loop.now_ns, peer._on_due, context=peer.context)

    def _on_due(self) -> None:
        self._arrived += 1
        self.deliver()

    def deliver_soon(self) -> None:
        """Hand over what arrived, in the turn of whoever reads."""
        self._loop.call_soon(self.deliver, context=self.context)

    def deliver(self) -> None:
        """Hand over what arrived, in order; each write is one read."""
        while self._arrived and self._is_reading and not (self.is_stalled or self._is_lost):
            self._arrived -= 1
            self._take(self._inbox.popleft())

    def _take(self, item: object) -> None:
        if item is _RESET:
            self.lose(ConnectionResetError("reset by peer"))
        elif item is _END:
            self._has_got_end = True
            if not self._guarded(self._protocol.eof_received):
                self.close()
        elif isinstance(item, bytes):
            self.peer._on_taken(len(item))
            if not self._is_closing:
                self._guarded(self._protocol.data_received, item)

    def _guarded(self, call: Callable[..., object], *arguments: object) -> object:
        """Call the protocol; as on a real loop, an error of its own ends the connection."""
        try:
            return call(*arguments)
        except Exception as error:  # noqa: BLE001 - told as the real transports tell it
            self._loop.call_exception_handler(
                {"message": f"a protocol failed: {error!r}", "exception": error}
            )
            self.lose(error)
            return None

    def _on_taken(self, size: int) -> None:
        self._pending_size -= size
        if self._is_writer_paused and not self.get_write_buffer_size():
            self._is_writer_paused = False
            self.context.run(self._protocol.resume_writing)

    def lose(self, error: Exception | None) -> None:
        """End this side; the protocol is told once."""
        if self._is_lost:
            return
        if error is not None and not self._is_closing:
            self._send(_RESET)
        self._is_closing = self._is_lost = True
        self._inbox.clear()
        self._arrived = 0
        self._loop.call_soon(self._protocol.connection_lost, error, context=self.context)

    def die(self) -> None:
        """End with the process: what was written is on its way, the protocol is told nothing."""
        if self._is_lost:
            return
        if not self._is_closing:
            self._send(_RESET)
        self._is_closing = self._is_lost = True
        self._inbox.clear()
        self._arrived = 0
