"""Aster's order books and marks for everyone who shares them.

One socket follows up to 66 symbols (three streams each: depth, best bid/offer, mark); more
symbols open more sockets. A book that breaks is rebuilt from a snapshot while the others go on.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Final, Literal

from slipstream import errors
from slipstream._core import BookView
from slipstream.transport.reconnect import Backoff
from slipstream.transport.websocket import WebSocket, open_websocket
from slipstream.units import NS_PER_MS, NS_PER_S, Px, TimeNs
from slipstream.venues.aster import limits, market
from slipstream.venues.aster.depth import SymbolBook
from slipstream.venues.aster.limits import Endpoint
from slipstream.venues.aster.rest import HEADERS, AsterAccess, AsterRest

__all__ = ["AsterBookFeed", "DepthKind"]

DepthKind = Literal["diff", "partial"]

_STREAMS_PER_SYMBOL: Final = 3
_SYMBOLS_PER_SOCKET: Final = limits.STREAMS_PER_SOCKET // _STREAMS_PER_SYMBOL
_SYMBOLS_PER_MESSAGE: Final = 20
_SILENCE_NS: Final = 10 * NS_PER_S
_MESSAGE_SIZE_MAX: Final = 8 * 1024 * 1024
_SNAPSHOT_PAUSE_NS: Final = 100 * NS_PER_MS


def _report_nothing(_what: str) -> None:
    """Drop a report: whoever wants them hands in a reporter."""


class AsterBookFeed:
    """Implements ``BookFeed``."""

    def __init__(
        self,
        access: AsterAccess,
        rest: AsterRest,
        *,
        depth: DepthKind = "diff",
        snapshot_levels: int = 1_000,
        on_report: Callable[[str], None] = _report_nothing,
    ) -> None:
        """Follow diffs, or the best 20 levels (``partial``).

        ``on_report`` takes what a log should hold: broken books, refused frames.
        """
        self._access = access
        self._rest = rest
        self._depth: DepthKind = depth
        self._snapshot_levels = snapshot_levels
        self._on_report = on_report
        self._books: dict[str, SymbolBook] = {}
        self._shards: list[_Shard] = []
        self._has_work = asyncio.Event()
        self.refused_count = 0

    async def run(self) -> None:
        """Keep all subscribed books in step; return only when cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                started = 0
                while True:
                    self._has_work.clear()
                    for shard in self._shards[started:]:
                        group.create_task(shard.run())
                    started = len(self._shards)
                    await self._has_work.wait()
        finally:
            await self._rest.close()

    def subscribe(self, symbol: str) -> None:
        """Start following a symbol; harmless when repeated."""
        if symbol in self._books:
            return
        book = SymbolBook(symbol, depth_max=max(self._snapshot_levels, 1_000))
        self._books[symbol] = book
        if not self._shards or self._shards[-1].is_full:
            self._shards.append(
                _Shard(self._access, self._rest, self._depth, self._snapshot_levels, self._refuse)
            )
            self._has_work.set()
        self._shards[-1].add(book)

    def view(self, symbol: str) -> BookView | None:
        """Return the newest consistent book, ``None`` while there is none."""
        book = self._books.get(symbol)
        return None if book is None else book.view()

    def best(self, symbol: str) -> Best | None:
        """Return the real-time best bid/offer, ``None`` while unknown or one-sided."""
        book = self._books.get(symbol)
        return None if book is None else book.best

    def mark_px(self, symbol: str) -> Px | None:
        """Return the newest mark price, ``None`` while unknown."""
        book = self._books.get(symbol)
        return None if book is None else book.mark_px

    def is_gapped(self, symbol: str) -> bool:
        """Whether a sequence gap is being repaired."""
        book = self._books.get(symbol)
        return book is not None and book.is_gapped

    def _refuse(self, what: str) -> None:
        self.refused_count += 1
        self._on_report(what)


class _Shard:
    """One socket and the books on it."""

    def __init__(
        self,
        access: AsterAccess,
        rest: AsterRest,
        depth: DepthKind,
        snapshot_levels: int,
        on_report: Callable[[str], None],
    ) -> None:
        self._access = access
        self._rest = rest
        self._depth: DepthKind = depth
        self._snapshot_levels = snapshot_levels
        self._on_report = on_report
        self._books: dict[str, SymbolBook] = {}
        self._unsent: list[str] = []
        self._wake = asyncio.Event()
        self._backoff = Backoff(access.random, first_ns=50 * NS_PER_MS)
        self._message_id = 0

    @property
    def is_full(self) -> bool:
        return len(self._books) >= _SYMBOLS_PER_SOCKET

    def add(self, book: SymbolBook) -> None:
        """Follow one more symbol."""
        self._books[book.symbol] = book
        self._unsent.append(book.symbol)
        self._wake.set()

    async def run(self) -> None:
        """Dial, follow, and dial again."""
        while True:
            try:
                await self._follow()
            except (errors.FeedError, errors.VenueError) as error:
                self._on_report(f"book stream: {error}")
            for book in self._books.values():
                book.on_lost()
            await asyncio.sleep(self._backoff.next_delay_ns() / NS_PER_S)

    async def _follow(self) -> None:
        """Follow on one socket until it ends."""
        self._unsent = list(self._books)
        socket = await open_websocket(
            self._access.stream,
            "/ws",
            sink=self._on_messages,
            clock=self._access.clock,
            silence_ns=_SILENCE_NS,
            size_max=_MESSAGE_SIZE_MAX,
            user_agent=HEADERS["User-Agent"],
            local_addr=self._access.local_addr,
        )
        socket.is_held_to_messages = bool(self._books)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._send_subscriptions(socket)),
                    group.create_task(self._repair()),
                ]
                reason = await socket.wait_lost()
                for task in tasks:
                    task.cancel()
        finally:
            socket.abort("closed by us")
        raise errors.FeedError(reason)

    async def _send_subscriptions(self, socket: WebSocket) -> None:
        """Subscribe to what was added, a few messages a second."""
        while True:
            while self._unsent:
                batch = self._unsent[:_SYMBOLS_PER_MESSAGE]
                del self._unsent[:_SYMBOLS_PER_MESSAGE]
                self._message_id += 1
                streams = [name for symbol in batch for name in self._streams(symbol)]
                message = {"method": "SUBSCRIBE", "params": streams, "id": self._message_id}
                try:
                    await socket.send(json.dumps(message))
                except errors.FeedError:
                    return  # noticed where the socket is awaited
                socket.is_held_to_messages = True
                await asyncio.sleep(limits.MESSAGE_INTERVAL_NS / NS_PER_S)
            if self._unsent:
                continue
            self._wake.clear()
            await self._wake.wait()

    def _streams(self, symbol: str) -> tuple[str, str, str]:
        name = symbol.lower()
        depth = "depth@100ms" if self._depth == "diff" else "depth20@100ms"
        return f"{name}@{depth}", f"{name}@bookTicker", f"{name}@markPrice@1s"

    async def _repair(self) -> None:
        """Fetch a snapshot for each book that needs one, one after the other."""
        while True:
            waiting = [book for book in self._books.values() if book.is_waiting]
            pause_ns = _SNAPSHOT_PAUSE_NS
            for book in waiting:
                try:
                    await self._snapshot(book)
                except errors.RateLimited as error:
                    self._on_report(f"snapshot of {book.symbol}: {error}")
                    pause_ns = max(pause_ns, error.retry_after_ns or 0)
                    break
                except errors.VenueError as error:
                    self._on_report(f"snapshot of {book.symbol}: {error}")
                    pause_ns = max(pause_ns, 10 * _SNAPSHOT_PAUSE_NS)
            if not waiting or pause_ns > _SNAPSHOT_PAUSE_NS:
                await asyncio.sleep(pause_ns / NS_PER_S)

    async def _snapshot(self, book: SymbolBook) -> None:
        parameters = (("symbol", book.symbol), ("limit", str(self._snapshot_levels)))
        weight = limits.depth_weight(self._snapshot_levels)
        snapshot = await self._rest.ask(
            Endpoint.DEPTH, market.decode_depth_snapshot, parameters, weight=weight
        )
        if book.is_waiting and not book.on_snapshot(snapshot, self._access.clock.now_ns()):
            self._on_report(f"snapshot of {book.symbol} does not fit: {book.fault}")
            await asyncio.sleep(_SNAPSHOT_PAUSE_NS / NS_PER_S)

    def _on_messages(self, messages: Sequence[bytes], received_ns: TimeNs) -> None:
        for raw in messages:
            try:
                self._on_frame(market.decode_market(raw), received_ns)
            except errors.DecodeError as error:
                self._on_refused(error)

    def _on_frame(self, frame: market.MarketFrame, received_ns: TimeNs) -> None:
        if frame is None:
            return
        if isinstance(frame, market.ControlReply):
            if frame.reason is not None:
                self._on_report(f"book stream: a subscription was refused: {frame.reason}")
            return
        name = frame.s if isinstance(frame, market.DepthUpdate) else frame.symbol
        book = self._books.get(name)
        if book is None:
            raise errors.DecodeError(f"market stream: nobody asked for {name[:40]!r}")
        if isinstance(frame, market.MarkPrice):
            book.mark_px = frame.px
        elif isinstance(frame, market.Ticker):
            book.on_ticker(frame)
        elif self._depth == "partial":
            book.on_partial(frame, received_ns)
        else:
            gaps = book.gap_count
            book.on_diff(frame, received_ns)
            if book.gap_count != gaps:
                self._on_report(f"book of {name} broke: {book.fault}")
        self._backoff.reset()

    def _on_refused(self, error: errors.DecodeError) -> None:
        """A frame that cannot be read: a lost diff shows as a gap in the next one."""
        self._on_report(str(error))
