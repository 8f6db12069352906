"""One WebSocket connection whose messages reach a synchronous sink from the socket read itself.

The library's queue of messages is bypassed: all messages that one read brought are handed over
in one call, with the instant of that read. Compression is off, sizes are bounded, and a socket
that is open but silent past its bound counts as dead. Reconnecting is the caller's business.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import Event

from slipstream.errors import FeedError
from slipstream.transport.clock import Clock
from slipstream.transport.origin import Origin
from slipstream.units import NS_PER_S, TimeNs

__all__ = ["MessageSink", "WebSocket", "open_websocket"]

MessageSink = Callable[[Sequence[bytes], TimeNs], None]
"""Takes all messages of one read and when it was made. Must not raise."""

_PING_SECONDS: Final = 15
_PONG_SECONDS: Final = 10
_OPEN_SECONDS: Final = 10
_CLOSE_SECONDS: Final = 1


class _SinkConnection(ClientConnection):
    """Hands messages to a sink instead of queueing them."""

    def __init__(
        self,
        protocol: ClientProtocol,
        *,
        sink: MessageSink,
        clock: Clock,
        **options: Any,  # noqa: ANN401 - the library's own keywords, passed on
    ) -> None:
        super().__init__(protocol, **options)
        self._sink = sink
        self._clock = clock
        self._parts: list[bytes] = []
        self._messages: list[bytes] = []
        self.last_read_ns = clock.now_ns()
        self.last_message_ns = self.last_read_ns

    def data_received(self, chunk: bytes) -> None:
        """Read, then hand over what became complete."""
        self.last_read_ns = self._clock.now_ns()
        super().data_received(chunk)
        if self._messages:
            messages, self._messages = self._messages, []
            self.last_message_ns = self.last_read_ns
            self._sink(messages, self.last_read_ns)

    def process_event(self, event: Event) -> None:
        """Keep data frames here; leave handshake and control frames to the library."""
        if not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
            super().process_event(event)
            return
        if event.fin and not self._parts:
            self._messages.append(bytes(event.data))
            return
        self._parts.append(bytes(event.data))
        if event.fin:
            self._messages.append(b"".join(self._parts))
            self._parts = []


class WebSocket:
    """An open connection.

    ``silence_ns`` bounds the time without a message when ``is_held_to_messages``, else without
    any byte (pongs count).
    """

    def __init__(self, connection: _SinkConnection, *, clock: Clock, silence_ns: int) -> None:
        """Begin to watch for silence. Use ``open_websocket``."""
        self._connection = connection
        self._clock = clock
        self._silence_ns = silence_ns
        self._reason: str | None = None
        self._loop = asyncio.get_running_loop()
        self.is_held_to_messages = False
        self._timer = self._loop.call_later(silence_ns / NS_PER_S, self._on_timer)

    @property
    def is_open(self) -> bool:
        """Whether nothing ended it so far."""
        return not self._connection.connection_lost_waiter.done()

    async def send(self, text: str) -> None:
        """Send one text message.

        Raises:
            FeedError: the connection is closed.
        """
        try:
            await self._connection.send(text)
        except ConnectionClosed as error:
            raise FeedError("the WebSocket is closed") from error

    async def wait_lost(self) -> str:
        """Wait until the connection ended and return why. Safe to cancel."""
        await asyncio.shield(self._connection.connection_lost_waiter)
        self._timer.cancel()
        if self._reason is not None:
            return self._reason
        code, text = self._connection.close_code, self._connection.close_reason
        return f"closed with code {code}" + (f": {text[:80]}" if text else "")

    def abort(self, reason: str) -> None:
        """End it at once, without a closing handshake."""
        if self._reason is None:
            self._reason = reason
        self._timer.cancel()
        self._connection.transport.abort()

    async def close(self) -> None:
        """Close in order, within a second."""
        if self._reason is None:
            self._reason = "closed by us"
        self._timer.cancel()
        await self._connection.close()

    def _on_timer(self) -> None:
        connection = self._connection
        last_ns = (
            connection.last_message_ns if self.is_held_to_messages else connection.last_read_ns
        )
        left_ns = last_ns + self._silence_ns - self._clock.now_ns()
        if left_ns > 0:
            self._timer = self._loop.call_later(left_ns / NS_PER_S, self._on_timer)
        else:
            self.abort(f"silent for {self._silence_ns // NS_PER_S} s")


async def open_websocket(
    origin: Origin,
    path: str,
    *,
    sink: MessageSink,
    clock: Clock,
    silence_ns: int,
    size_max: int,
    user_agent: str,
    local_addr: str | None = None,
) -> WebSocket:
    """Connect to ``path`` of an origin and shake hands.

    Raises:
        FeedError: no connection; names the host, never the path (it may be a secret).
    """
    make = cast("type[ClientConnection]", partial(_SinkConnection, sink=sink, clock=clock))
    try:
        connection = await connect(
            origin.url + path,
            compression=None,
            proxy=None,
            max_size=size_max,
            open_timeout=_OPEN_SECONDS,
            ping_interval=_PING_SECONDS,
            ping_timeout=_PONG_SECONDS,
            close_timeout=_CLOSE_SECONDS,
            user_agent_header=user_agent,
            create_connection=make,
            host=await origin.address(),
            port=origin.port,
            ssl=origin.tls,
            server_hostname=origin.host if origin.is_tls else None,
            local_addr=None if local_addr is None else (local_addr, 0),
        )
    except InvalidStatus as error:
        status = error.response.status_code
        raise FeedError(f"{origin.authority} refused the WebSocket: HTTP {status}") from None
    except (OSError, TimeoutError, WebSocketException) as error:
        # A reset in mid-handshake is a closed connection to the library, not a failed handshake.
        origin.forget_address()
        kind = type(error).__name__
        raise FeedError(f"cannot open a WebSocket to {origin.authority}: {kind}") from error
    if not isinstance(connection, _SinkConnection):
        raise FeedError(f"cannot open a WebSocket to {origin.authority}: wrong connection")
    return WebSocket(connection, clock=clock, silence_ns=silence_ns)
