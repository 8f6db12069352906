"""Aster's order books and marks for everyone who shares them.

One socket follows up to 66 symbols (three streams each: depth, best bid/offer, mark); more
symbols open more sockets. A book that breaks is rebuilt from a snapshot while the others go on.
Before the venue ends a socket at its age, another one is opened, builds its own books, and takes
over when all of them stand: no book is missing meanwhile.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from slipstream import errors
from slipstream._core import BookView
from slipstream.transport.reconnect import Backoff
from slipstream.units import NS_PER_MS, NS_PER_S, Px
from slipstream.venues.aster import limits
from slipstream.venues.aster.bookline import BookLine, DepthKind, Terms
from slipstream.venues.aster.depth import SymbolBook
from slipstream.venues.aster.rest import AsterAccess, AsterRest
from slipstream.venues.base import Best

__all__ = ["AsterBookFeed", "DepthKind"]

_STREAMS_PER_SYMBOL: Final = 3
_SYMBOLS_PER_SOCKET: Final = limits.STREAMS_PER_SOCKET // _STREAMS_PER_SYMBOL
_LOOK_NS: Final = 100 * NS_PER_MS
_REDIAL_RETRY_NS: Final = 60 * NS_PER_S
_STEADY_NS: Final = 10 * NS_PER_S
"""Sockets that live shorter are dialled less and less often: each one costs snapshots."""


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
        self._terms = Terms(access, rest, depth, snapshot_levels, redial_ns, self._refuse)
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
        return None if book is None or book.is_outrun else book.view()

    def best(self, symbol: str) -> Best | None:
        """Return the real-time best bid/offer, ``None`` while unknown or one-sided."""
        book = self._books.get(symbol)
        return None if book is None else book.best

    def mark_px(self, symbol: str) -> Px | None:
        """Return the newest mark price, ``None`` while unknown or too old to be relied on."""
        book = self._books.get(symbol)
        if book is None:
            return None
        now_ns = self._terms.access.clock.now_ns()
        return book.fresh_mark_px(now_ns, age_ns_max=limits.MARK_AGE_NS)

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


class _Shard:
    """Up to 66 symbols, and the line they are followed on: a new one before the old one ends."""

    def __init__(self, terms: Terms, show: Callable[[SymbolBook], None]) -> None:
        self._terms = terms
        self._show = show
        self._books: dict[str, SymbolBook] = {}
        self._line: BookLine | None = None
        self._next: BookLine | None = None
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
        clock = self._terms.access.clock
        while True:
            self._line = BookLine(self._terms, dict(self._books))
            began_ns = clock.now_ns()
            try:
                await self._follow(self._line)
            except (errors.FeedError, errors.VenueError) as error:
                self._terms.on_report(f"book stream: {error}")
            if clock.now_ns() - began_ns >= _STEADY_NS:
                self._backoff.reset()
            for book in self._books.values():
                book.on_lost()
            await asyncio.sleep(self._backoff.next_delay_ns() / NS_PER_S)

    async def _follow(self, line: BookLine) -> None:
        """Follow on one line, and on those that replace it in time, until one ends."""
        running = asyncio.create_task(line.run())
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

    async def _replace(self, old: asyncio.Task[None]) -> asyncio.Task[None] | None:
        """Follow everything on a new socket too, and change over once all its books stand.

        Until then nobody sees the new books; the old ones stay in step meanwhile. If the old
        socket ends first, the new one takes over as far as it is. Return the new line's task,
        ``None`` when that failed.
        """
        books = {symbol: self._terms.new_book(symbol) for symbol in self._books}
        line = self._next = BookLine(self._terms, books)
        fresh = asyncio.create_task(line.run())
        try:
            while not (line.is_ready_for(self._books) or old.done() or fresh.done()):
                await asyncio.wait((old, fresh), timeout=_LOOK_NS / NS_PER_S)
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


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel a line and wait until its socket is closed; its own failure is no news any more."""
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled():
        error = task.exception()
        if error is not None and not isinstance(error, errors.SlipstreamError):
            raise error
