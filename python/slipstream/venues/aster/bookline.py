"""One WebSocket and the order books it feeds: subscriptions, snapshots, signs of life.

How it is known that a book is current: each diff names the one before it; a book that says
nothing is asked for its sequence; a book that broke gets a snapshot, less and less often while it
keeps breaking.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from slipstream import errors
from slipstream.transport.reconnect import Backoff
from slipstream.transport.websocket import WebSocket, open_websocket
from slipstream.units import NS_PER_MS, NS_PER_S, TimeNs
from slipstream.venues.aster import limits, market
from slipstream.venues.aster.depth import SymbolBook
from slipstream.venues.aster.limits import Endpoint
from slipstream.venues.aster.rest import HEADERS, AsterAccess, AsterRest

__all__ = ["BookLine", "DepthKind", "Terms"]

DepthKind = Literal["diff", "partial"]

_SYMBOLS_PER_MESSAGE: Final = 20
_SILENCE_NS: Final = 10 * NS_PER_S
_MESSAGE_SIZE_MAX: Final = 8 * 1024 * 1024
_SNAPSHOT_PAUSE_NS: Final = 100 * NS_PER_MS
_REPAIR_MAX_NS: Final = 10 * NS_PER_S
_STEADY_NS: Final = 30 * NS_PER_S
"""A book that stood this long is repaired at once when it breaks."""

_QUIET_NS: Final = NS_PER_S
_CONFIRM_PAUSE_NS: Final = 500 * NS_PER_MS
_CONFIRM_LEVELS: Final = 5
"""Two calls of weight 2 a second and socket keep two silent symbols below the two seconds above
which nobody opens; of more than that, some are too old now and then."""

_CLOCK_DOUBT_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Terms:
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


class BookLine:
    """One socket and the books it feeds."""

    def __init__(self, feed: Terms, books: dict[str, SymbolBook]) -> None:
        """Feed these books, and those that are added, once ``run`` is called."""
        self._feed = feed
        self._access = feed.access
        self.books = books
        self._unsent: list[str] = list(books)
        self._asked_ns: dict[str, int] = {}
        self._repairs = {symbol: _Repair(feed.access) for symbol in books}
        self._wake = asyncio.Event()
        self._message_id = 0

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
                    group.create_task(self._confirm()),
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

    async def _confirm(self) -> None:
        """Ask the venue for the sequence of books that say nothing, the oldest one first."""
        while True:
            await asyncio.sleep(_CONFIRM_PAUSE_NS / NS_PER_S)
            now_ns = self._access.clock.now_ns()
            silent = [
                (view.ts_ns, name)
                for name, book in self.books.items()
                if (view := book.view()) is not None and now_ns - view.ts_ns >= _QUIET_NS
            ]
            if not silent or self._feed.depth != "diff":
                continue
            try:
                await self._ask_sequence(self.books[min(silent)[1]])
            except errors.RateLimited as error:
                await asyncio.sleep((error.retry_after_ns or 0) / NS_PER_S)
            except errors.VenueError:
                continue  # it stays as old as it is

    async def _ask_sequence(self, book: SymbolBook) -> None:
        """Let a book be as young as the venue's word for its sequence.

        An answer that the venue made long ago (a cache, a part of it that stands still) is none.
        """
        access = self._access
        asked_ns, asked_ms = access.clock.now_ns(), access.venue_clock.now_ms()
        parameters = (("symbol", book.symbol), ("limit", str(_CONFIRM_LEVELS)))
        answer = await self._feed.rest.ask(
            Endpoint.DEPTH,
            market.decode_depth_snapshot,
            parameters,
            weight=limits.depth_weight(_CONFIRM_LEVELS),
        )
        if asked_ms - _CLOCK_DOUBT_MS > answer.E:
            return
        if not book.confirm(answer.lastUpdateId, asked_ns):
            book.on_gap(f"the stream is behind: the venue is at {answer.lastUpdateId}")
            self._feed.on_report(f"book of {book.symbol} broke: {book.fault}")

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
            book.on_mark(frame.px, received_ns)
        elif isinstance(frame, market.Ticker):
            book.on_ticker(frame)
        elif self._feed.depth == "partial":
            book.on_partial(frame, received_ns)
        else:
            gaps = book.gap_count
            book.on_diff(frame, received_ns)
            if book.gap_count != gaps:
                self._feed.on_report(f"book of {name} broke: {book.fault}")

    def _on_refused(self, error: errors.DecodeError) -> None:
        """A frame that cannot be read: a lost diff shows as a gap in the next one."""
        self._feed.on_report(str(error))
