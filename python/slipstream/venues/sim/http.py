"""A small HTTP/1.1 server protocol with keep-alive and WebSocket upgrade.

Made for bursts of short requests: no header dictionary unless someone asks for one,
one write per answer. Requests of one connection are answered in order, one at a time.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from slipstream.venues.sim.websocket import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    FrameError,
    FrameReader,
    accept_token,
    encode_close,
    encode_frame,
)

HEAD_BYTES_MAX: Final = 32 * 1024
BODY_BYTES_MAX: Final = 16 * 1024 * 1024
WRITE_BYTES_MAX: Final = 16 * 1024 * 1024
REASONS: Final = {
    200: b"200 OK",
    400: b"400 Bad Request",
    401: b"401 Unauthorized",
    403: b"403 Forbidden",
    404: b"404 Not Found",
    405: b"405 Method Not Allowed",
    408: b"408 Request Timeout",
    411: b"411 Length Required",
    413: b"413 Payload Too Large",
    418: b"418 I'm a teapot",
    429: b"429 Too Many Requests",
    500: b"500 Internal Server Error",
    503: b"503 Service Unavailable",
}


class Request:
    """One request as it came: raw query and body, nothing decoded."""

    __slots__ = ("arrival_ns", "body", "connection", "head", "method", "path", "query")

    def __init__(self, connection: "Connection", method: str, target: str, head: bytes) -> None:
        """Cut the target into path and query; the body follows."""
        self.connection = connection
        self.method = method
        path, _, query = target.partition("?")
        self.path = path
        self.query = query
        self.head = head
        self.body = b""
        self.arrival_ns = 0

    def header(self, name: bytes) -> bytes | None:
        """Return a header's value by its lower-case name."""
        return find_header(self.head.lower(), self.head, name)


class Application(Protocol):
    """What answers requests and hears sockets."""

    def on_connection(self, connection: "Connection") -> bool:
        """Return whether a new connection is accepted."""

    def on_request(self, request: Request) -> None:
        """Answer through ``request.connection``."""

    def on_upgrade(self, request: Request) -> bool:
        """Return whether a WebSocket may open at this path."""

    def on_open(self, connection: "Connection", request: Request) -> None:
        """A WebSocket opened."""

    def on_message(self, connection: "Connection", text: bytes) -> None:
        """A text message came in."""

    def on_pong(self, connection: "Connection") -> None:
        """A pong came in."""

    def on_close(self, connection: "Connection") -> None:
        """The socket is gone."""


def find_header(lowered: bytes, head: bytes, name: bytes) -> bytes | None:
    """Return the value of a header in a raw head, None when it is absent."""
    at = lowered.find(b"\r\n" + name + b":")
    if at < 0:
        return None
    start = at + len(name) + 3
    end = head.find(b"\r\n", start)
    return head[start : end if end >= 0 else len(head)].strip()


def _body_size(lowered: bytes, head: bytes) -> int:
    """Return how many bytes of body follow, or minus the status that refuses them."""
    length = find_header(lowered, head, b"content-length")
    if length is None:
        return -411 if b"\r\ntransfer-encoding:" in lowered else 0
    if not length.isdigit() or len(length) > 10:  # noqa: PLR2004 - digits of 16 MiB
        return -400
    size = int(length)
    return -413 if size > BODY_BYTES_MAX else size


class Connection(asyncio.Protocol):
    """One client socket, HTTP first and perhaps a WebSocket later."""

    def __init__(self, application: Application, clock_ns: Callable[[], int]) -> None:
        """Serve an application; ``clock_ns`` stamps arrivals."""
        self._application = application
        self._clock_ns = clock_ns
        self._buffer = b""
        self._queue: deque[Request] = deque()
        self._busy = False
        self._closing = False
        self._reader: FrameReader | None = None
        self.transport: asyncio.Transport
        self.ip = ""
        self.state: Any = None
        """Whatever the application keeps for this connection."""

    # -- asyncio ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport over."""
        self.transport = transport  # type: ignore[assignment]
        peer = transport.get_extra_info("peername")
        self.ip = peer[0] if peer else ""
        if not self._application.on_connection(self):
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Tell the application that the peer is gone."""
        self._closing = True
        self._application.on_close(self)

    def data_received(self, received: bytes) -> None:
        """Parse what came; answer in order."""
        if self._reader is not None:
            self._feed_frames(self._reader, received)
            return
        self._buffer = self._buffer + received if self._buffer else received
        while self._buffer and not self._closing and self._reader is None:
            if not self._parse_one():
                break
        self._next()

    # -- HTTP ---------------------------------------------------------------------

    def _parse_one(self) -> bool:
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(buffer) > HEAD_BYTES_MAX:
                self._refuse(413)
            return False
        head = buffer[:end]
        lowered = head.lower()
        parts = head.partition(b"\r\n")[0].split(b" ")
        size = _body_size(lowered, head)
        if len(parts) != 3 or not parts[1].isascii() or size < 0:  # noqa: PLR2004
            self._refuse(-size if size < 0 else 400)
            return False
        stop = end + 4 + size
        if len(buffer) < stop:
            return False
        request = Request(self, parts[0].decode("latin-1"), parts[1].decode(), head)
        request.body = buffer[end + 4 : stop]
        request.arrival_ns = self._clock_ns()
        self._buffer = buffer[stop:]
        if b"\r\nupgrade: websocket" in lowered:
            self._upgrade(request, lowered)
        else:
            self._queue.append(request)
        return True

    def _next(self) -> None:
        while self._queue and not self._busy and not self._closing:
            self._busy = True
            self._application.on_request(self._queue.popleft())

    def respond(self, status: int, body: bytes, extra: bytes = b"") -> None:
        """Write one JSON answer; ``extra`` is ready header lines, each with CRLF."""
        self._busy = False
        if self._closing:
            return
        reason = REASONS.get(status) or b"%d Status" % status
        self.transport.write(
            b"HTTP/1.1 %b\r\nContent-Type: application/json;charset=UTF-8\r\n"
            b"Content-Length: %d\r\n%b\r\n%b" % (reason, len(body), extra, body)
        )
        if self._queue:
            self._next()

    def respond_raw(self, status: int, content_type: bytes, body: bytes) -> None:
        """Write one answer of another content type."""
        self._busy = False
        if self._closing:
            return
        reason = REASONS.get(status) or b"%d Status" % status
        self.transport.write(
            b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
            % (reason, content_type, len(body))
        )
        self.transport.write(body)
        self._next()

    def drop(self) -> None:
        """Reset the connection without an answer."""
        self._closing = True
        self.transport.abort()

    def _refuse(self, status: int) -> None:
        self.respond(status, b'{"code":-1100,"msg":"Illegal request."}')
        self._closing = True
        self.transport.close()

    # -- WebSocket ----------------------------------------------------------------

    @property
    def is_websocket(self) -> bool:
        """Whether the connection was upgraded."""
        return self._reader is not None

    def _upgrade(self, request: Request, lowered: bytes) -> None:
        key = find_header(lowered, request.head, b"sec-websocket-key")
        if key is None or not self._application.on_upgrade(request):
            self._refuse(404 if key else 400)
            return
        self._reader = FrameReader()
        self.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n" % accept_token(key)
        )
        self._application.on_open(self, request)
        rest, self._buffer = self._buffer, b""
        self._feed_frames(self._reader, rest)

    def _feed_frames(self, reader: FrameReader, received: bytes) -> None:
        try:
            for opcode, payload in reader.feed(received):
                if not self._closing:
                    self._on_frame(opcode, payload)
        except FrameError as error:
            self.close(error.code, str(error))

    def _on_frame(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self.transport.write(encode_frame(payload, PONG))
        elif opcode == PONG:
            self._application.on_pong(self)
        elif opcode == CLOSE:
            self.transport.write(encode_frame(payload[:2], CLOSE))
            self._closing = True
            self.transport.close()
        elif opcode == BINARY:
            self.close(1003, "text only")
        else:
            self._application.on_message(self, payload)

    def send(self, frames: bytes) -> None:
        """Write ready frames; a reader that is too slow is cut off."""
        if self._closing:
            return
        self.transport.write(frames)
        if self.transport.get_write_buffer_size() > WRITE_BYTES_MAX:
            self.drop()

    def ping(self) -> None:
        """Send a ping."""
        self.send(encode_frame(b"", PING))

    def close(self, code: int, reason: str = "") -> None:
        """Close the WebSocket with a code."""
        if self._closing:
            return
        self.transport.write(encode_close(code, reason))
        self._closing = True
        self.transport.close()
