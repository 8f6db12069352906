"""A TCP proxy between a daemon and its venue that cuts, stalls and half-closes connections.

It knows nothing of what passes but whether a connection became a WebSocket: its first bytes say.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import urlsplit

CHUNK: Final = 1 << 16
STREAM_MARK: Final = b"upgrade: websocket"


@dataclass(slots=True, eq=False)
class _Link:
    """One connection of the daemon and the one it is passed on to."""

    daemon: asyncio.StreamWriter
    venue: asyncio.StreamWriter
    is_stream: bool = False
    is_half_closed: bool = False
    """The daemon was told that nothing more comes; what comes is dropped."""
    is_dead: bool = False
    """Open for ever, and nothing passes any more."""
    flowing: asyncio.Event = field(default_factory=asyncio.Event)

    def abort(self) -> None:
        """End both sides at once, whatever was on its way."""
        self.flowing.set()
        for writer in (self.daemon, self.venue):
            writer.transport.abort()


class Proxy:
    """Passes connections on to one venue. ``async with`` listens and closes."""

    def __init__(self, venue: str) -> None:
        """Nothing listens yet; ``venue`` is the venue's URL."""
        parts = urlsplit(venue)
        self._host, self._port = parts.hostname or "", parts.port or 0
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None
        self.is_refusing = False
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._is_stalled: set[bool] = set()

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        """End every connection."""
        if self._server is not None:
            self._server.close()
        for link in list(self._links):
            link.abort()
        await self._is_empty.wait()

    @property
    def address(self) -> str:
        """Host and port to connect to."""
        if self._server is None:
            return ""
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    def cut(self, *, streams: bool, calls: bool) -> None:
        """Reset connections."""
        for link in self._chosen(streams=streams, calls=calls):
            link.abort()

    def stall(self, *, streams: bool, calls: bool) -> None:
        """Hold back whatever comes, both ways; connections stay open."""
        self._is_stalled |= ({True} if streams else set()) | ({False} if calls else set())
        for link in self._chosen(streams=streams, calls=calls):
            link.flowing.clear()

    def deaden(self) -> None:
        """Let nothing pass any more on the streams there are; they stay open."""
        for link in self._chosen(streams=True, calls=False):
            link.is_dead = True
            link.flowing.clear()

    def flow(self) -> None:
        """Let everything pass that was held back."""
        self._is_stalled.clear()
        for link in self._links:
            if not link.is_dead:
                link.flowing.set()

    def half_close(self) -> None:
        """End the daemon's way in of every stream; its way out stays open."""
        for link in self._chosen(streams=True, calls=False):
            if link.daemon.can_write_eof() and not link.daemon.is_closing():
                link.is_half_closed = True
                link.daemon.write_eof()

    def _chosen(self, *, streams: bool, calls: bool) -> list[_Link]:
        return [each for each in self._links if (streams if each.is_stream else calls)]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_refusing:
            writer.transport.abort()
            return
        try:
            venue_reader, venue_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(writer, venue_writer)
        link.flowing.set()
        self._links.add(link)
        self._is_empty.clear()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(link, reader, venue_writer, is_out=True))
                group.create_task(self._pass_on(link, venue_reader, writer, is_out=False))
        except* OSError:
            pass  # one side is gone: so is the other, below
        finally:
            self._links.discard(link)
            link.abort()
            if not self._links:
                self._is_empty.set()

    async def _pass_on(
        self,
        link: _Link,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        is_out: bool,
    ) -> None:
        """Pass one way on until it ends, then end the other."""
        is_first = is_out
        while chunk := await reader.read(CHUNK):
            if is_first:
                is_first = False
                link.is_stream = STREAM_MARK in chunk.lower()
                if link.is_stream in self._is_stalled:
                    link.flowing.clear()
            await link.flowing.wait()
            if is_out or not link.is_half_closed:
                writer.write(chunk)
                await writer.drain()
        link.abort()
