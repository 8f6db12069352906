"""Aster's order books and marks for everyone who shares them.

One socket follows up to 66 symbols (three streams each: depth, best bid/offer, mark); more
symbols open more sockets. A book that breaks is rebuilt from a snapshot while the others go on.
Before the venue ends a socket at its age, another one is opened, builds its own books, and takes
over when all of them stand: no book is missing meanwhile.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
from slipstream.venues.base import Best

__all__ = ["AsterBookFeed", "DepthKind"]

DepthKind = Literal["diff", "partial"]

_STREAMS_PER_SYMBOL: Final = 3
_SYMBOLS_PER_SOCKET: Final = limits.STREAMS_PER_SOCKET // _STREAMS_PER_SYMBOL
_SYMBOLS_PER_MESSAGE: Final = 20
_SILENCE_NS: Final = 10 * NS_PER_S
_MESSAGE_SIZE_MAX: Final = 8 * 1024 * 1024
_SNAPSHOT_PAUSE_NS: Final = 100 * NS_PER_MS
_REPAIR_MAX_NS: Final = 10 * NS_PER_S
_STEADY_NS: Final = 30 * NS_PER_S
"""A book that stood this long is repaired at once when it breaks."""

_QUIET_NS: Final = NS_PER_S
_REDIAL_RETRY_NS: Final = 60 * NS_PER_S


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
        redial_ns: int = limits.REDIAL_NS,
    ) -> None:
        """Follow diffs, or the best 20 levels (``partial``).

        ``on_report`` takes what a log should hold: broken books, refused frames. Sockets are
        replaced at ``redial_ns``.
        """
        self._rest = rest
        self._on_report = on_report
        self._terms = _Terms(access, rest, depth, snapshot_levels, redial_ns, self._refuse)
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
        book = self._terms.new_book(symbol)
        self._show(book)
        if not self._shards or self._shards[-1].is_full:
            self._shards.append(_Shard(self._terms, self._show))
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

    def _show(self, book: SymbolBook) -> None:
        """Answer from this book from now on."""
        self._books[book.symbol] = book

    def _refuse(self, what: str) -> None:
        self.refused_count += 1
        self._on_report(what)


@dataclass(frozen=True, slots=True)
class _Terms:
    """What all lines of a feed share."""

    access: AsterAccess
    rest: AsterRest
    depth: DepthKind
    snapshot_levels: int
    redial_ns: int
    on_report: Callable[[str], None]

    def new_book(self, symbol: str) -> SymbolBook:
        """Return an empty book."""
        return SymbolBook(symbol, depth_max=max(self.snapshot_levels, 1_000))


class _Repair:
    """When a broken book may ask for its next snapshot: at once, then less and less often.

    A book that the venue keeps showing broken (crossed, or with holes) would otherwise use up the
    address's budget, 20 of it for each attempt.
    """

    __slots__ = ("_asked_ns", "_backoff", "_next_ns")

    def __init__(self, access: AsterAccess) -> None:
        self._backoff = Backoff(access.random, first_ns=_SNAPSHOT_PAUSE_NS, cap_ns=_REPAIR_MAX_NS)
        self._asked_ns = self._next_ns = 0

    def is_due(self, now_ns: TimeNs) -> bool:
        return now_ns >= self._next_ns

    def on_asked(self, now_ns: TimeNs) -> None:
        if now_ns - self._asked_ns > _STEADY_NS:
            self._backoff.reset()
        self._asked_ns = now_ns
        self._next_ns = now_ns + self._backoff.next_delay_ns()


class _Line:
    """One socket and the books it feeds."""

    def __init__(self, feed: _Terms, books: dict[str, SymbolBook]) -> None:
        self._feed = feed
        self._access = feed.access
        self.books = books
        self._unsent: list[str] = list(books)
        self._asked_ns: dict[str, int] = {}
        self._repairs = {symbol: _Repair(feed.access) for symbol in books}
        self._wake = asyncio.Event()
        self._message_id = 0
        self.has_heard = False

    def is_ready_for(self, old: Mapping[str, SymbolBook]) -> bool:
        """Whether every book and mark that stands there stands here."""
        return all(
            (self.books[name].is_synced or not each.is_synced)
            and (self.books[name].mark_px is not None or each.mark_px is None)
            for name, each in old.items()
        )

    def add(self, book: SymbolBook) -> None:
        """Follow one more symbol."""
        self.books[book.symbol] = book
        self._repairs[book.symbol] = _Repair(self._access)
        self._unsent.append(book.symbol)
        self._wake.set()

    async def run(self) -> None:
        """Dial and follow until the socket ends.

        Raises:
            FeedError: why it ended.
        """
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
        socket.is_held_to_messages = bool(self.books)
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
                now_ns = self._access.clock.now_ns()
                self._asked_ns.update(dict.fromkeys(batch, now_ns))
                socket.is_held_to_messages = True
                await asyncio.sleep(limits.MESSAGE_INTERVAL_NS / NS_PER_S)
            if self._unsent:
                continue
            self._wake.clear()
            await self._wake.wait()

    def _streams(self, symbol: str) -> tuple[str, str, str]:
        name = symbol.lower()
        depth = "depth@100ms" if self._feed.depth == "diff" else "depth20@100ms"
        return f"{name}@{depth}", f"{name}@bookTicker", f"{name}@markPrice@1s"

    async def _repair(self) -> None:
        """Fetch a snapshot for each book that needs one, one after the other."""
        while True:
            waiting = [book for book in self.books.values() if self._is_wanted(book)]
            pause_ns = _SNAPSHOT_PAUSE_NS
            for book in waiting:
                try:
                    await self._snapshot(book)
                except errors.RateLimited as error:
                    self._feed.on_report(f"snapshot of {book.symbol}: {error}")
                    pause_ns = max(pause_ns, error.retry_after_ns or 0)
                    break
                except errors.VenueError as error:
                    self._feed.on_report(f"snapshot of {book.symbol}: {error}")
                    pause_ns = max(pause_ns, 10 * _SNAPSHOT_PAUSE_NS)
            if not waiting or pause_ns > _SNAPSHOT_PAUSE_NS:
                await asyncio.sleep(pause_ns / NS_PER_S)

    def _is_wanted(self, book: SymbolBook) -> bool:
        """Whether a snapshot should be fetched now.

        A book that nothing changes sends no diff: its snapshot is taken when the subscription
        must have come into force, and the first diff shows whether it did.
        """
        now_ns = self._access.clock.now_ns()
        if book.is_synced or not self._repairs[book.symbol].is_due(now_ns):
            return False
        asked_ns = self._asked_ns.get(book.symbol)
        is_quiet = asked_ns is not None and now_ns - asked_ns >= _QUIET_NS
        return book.is_waiting or (self._feed.depth == "diff" and is_quiet)

    async def _snapshot(self, book: SymbolBook) -> None:
        feed = self._feed
        self._repairs[book.symbol].on_asked(self._access.clock.now_ns())
        parameters = (("symbol", book.symbol), ("limit", str(feed.snapshot_levels)))
        weight = limits.depth_weight(feed.snapshot_levels)
        snapshot = await feed.rest.ask(
            Endpoint.DEPTH, market.decode_depth_snapshot, parameters, weight=weight
        )
        if not book.is_synced and not book.on_snapshot(snapshot, self._access.clock.now_ns()):
            feed.on_report(f"snapshot of {book.symbol} does not fit: {book.fault}")

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
                self._feed.on_report(f"book stream: a subscription was refused: {frame.reason}")
            return
        name = frame.s if isinstance(frame, market.DepthUpdate) else frame.symbol
        book = self.books.get(name)
        if book is None:
            raise errors.DecodeError(f"market stream: nobody asked for {name[:40]!r}")
        if isinstance(frame, market.MarkPrice):
            book.mark_px = frame.px
        elif isinstance(frame, market.Ticker):
            book.on_ticker(frame)
        elif self._feed.depth == "partial":
            book.on_partial(frame, received_ns)
        else:
            gaps = book.gap_count
            book.on_diff(frame, received_ns)
            if book.gap_count != gaps:
                self._feed.on_report(f"book of {name} broke: {book.fault}")
        self.has_heard = True

    def _on_refused(self, error: errors.DecodeError) -> None:
        """A frame that cannot be read: a lost diff shows as a gap in the next one."""
        self._feed.on_report(str(error))


class _Shard:
    """Up to 66 symbols, and the line they are followed on: a new one before the old one ends."""

    def __init__(self, terms: _Terms, show: Callable[[SymbolBook], None]) -> None:
        self._terms = terms
        self._show = show
        self._books: dict[str, SymbolBook] = {}
        self._line: _Line | None = None
        self._next: _Line | None = None
        self._backoff = Backoff(terms.access.random, first_ns=50 * NS_PER_MS)

    @property
    def is_full(self) -> bool:
        return len(self._books) >= _SYMBOLS_PER_SOCKET

    def add(self, book: SymbolBook) -> None:
        """Follow one more symbol."""
        self._books[book.symbol] = book
        if self._line is not None:
            self._line.add(book)
        if self._next is not None:
            self._next.add(self._terms.new_book(book.symbol))

    async def run(self) -> None:
        """Dial, follow, and dial again."""
        while True:
            self._line = _Line(self._terms, dict(self._books))
            try:
                await self._follow(self._line)
            except (errors.FeedError, errors.VenueError) as error:
                self._terms.on_report(f"book stream: {error}")
            if self._line.has_heard:
                self._backoff.reset()
            for book in self._books.values():
                book.on_lost()
            await asyncio.sleep(self._backoff.next_delay_ns() / NS_PER_S)

    async def _follow(self, line: _Line) -> None:
        """Follow on one line, and on those that replace it in time, until one ends."""
        running = asyncio.ensure_future(line.run())
        wait_ns = self._terms.redial_ns
        try:
            while True:
                done, _ = await asyncio.wait((running,), timeout=wait_ns / NS_PER_S)
                if done:
                    return running.result()
                fresh = await self._replace(running)
                wait_ns = self._terms.redial_ns if fresh else self._retry_ns
                running = fresh or running
        finally:
            await _end(running)

    async def _replace(self, old: asyncio.Future[None]) -> asyncio.Future[None] | None:
        """Follow everything on a new socket too, and change over once all its books stand.

        Until then nobody sees the new books; the old ones stay in step meanwhile. If the old
        socket ends first, the new one takes over as far as it is. Return the new line's task,
        ``None`` when that failed.
        """
        books = {symbol: self._terms.new_book(symbol) for symbol in self._books}
        line = self._next = _Line(self._terms, books)
        fresh = asyncio.ensure_future(line.run())
        try:
            while not (line.is_ready_for(self._books) or old.done() or fresh.done()):
                await asyncio.wait((old, fresh), timeout=_SNAPSHOT_PAUSE_NS / NS_PER_S)
        except asyncio.CancelledError:
            await _end(fresh)
            raise
        finally:
            self._next = None
        if fresh.done():
            await _end(fresh)
            return None
        self._line = line
        self._books = dict(line.books)
        for book in self._books.values():
            self._show(book)
        await _end(old)
        return fresh

    @property
    def _retry_ns(self) -> int:
        return min(_REDIAL_RETRY_NS, self._terms.redial_ns)


async def _end(task: asyncio.Future[None]) -> None:
    """Cancel a line and wait until its socket is closed; its own failure is no news any more."""
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled():
        error = task.exception()
        if error is not None and not isinstance(error, errors.SlipstreamError):
            raise error
