"""One leader, end to end: its stream, its tracker, and the mirrors of its followers.

Three concurrent parts share only a bounded queue of intents: the account stream (whose sink runs
the tracker inside the socket read), the worker that mirrors intents in order, and the timers.
A pipeline that fails is restarted by its supervisor from the ledger; others do not notice.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from slipstream._core import SkipReason
from slipstream.domain.fill import AccountUpdate, Fill, LeverageUpdate, PositionDoubt
from slipstream.domain.intent import MirrorIntent
from slipstream.engine.effects import (
    Backfill,
    Effect,
    EmitIntent,
    ReadMargin,
    ReadPositions,
    ReportIncident,
)
from slipstream.engine.leader import LeaderTracker
from slipstream.errors import FeedError, InvariantError, VenueError
from slipstream.runtime import points
from slipstream.runtime.attribution import describe, take_stock
from slipstream.runtime.follower import Follower, Membership
from slipstream.runtime.hub import VenueHub, wait_for_books
from slipstream.runtime.journal import Journal
from slipstream.runtime.leaderwatch import LeaderWatch
from slipstream.runtime.mirror import Mirror
from slipstream.runtime.supervisor import Health
from slipstream.transport.clock import Clock
from slipstream.units import NS_PER_MS, NS_PER_S, TimeNs
from slipstream.venues.base import AccountEvent, AccountFeed, FeedDown, FeedUp, OrderGateway

INTENTS_MAX: Final = 10_000
"""More unmirrored intents than this stop the pipeline: it is restarted and resynchronised."""

LATE_NS: Final = NS_PER_S
"""A fill this much older than the venue's clock was found late, not pushed."""

RESYNC_PAUSE_S: Final = 0.5
RESYNC_PAUSE_MAX_S: Final = 30.0

SYNC_WIDTH: Final = 32
SYNC_QUIET_NS: Final = 250 * NS_PER_MS
"""When nobody's leverage was answered for this long, the rest are not waited for."""


SaveCursor = Callable[[str, str], Awaitable[None]]
"""Makes (symbol, cursor) durable without an intent."""


class Pipeline:
    """All tasks of one leader."""

    def __init__(
        self,
        *,
        tracker: LeaderTracker,
        feed: AccountFeed,
        reader: OrderGateway,
        hub: VenueHub,
        mirrors: Sequence[Mirror],
        members: Sequence[tuple[Follower, Membership, Mirror]],
        cursors: Mapping[str, str],
        watched: Sequence[str],
        journal: Journal,
        clock: Clock,
        venue_ms: Callable[[], int],
        save_cursor: SaveCursor,
        health: Health,
        on_begun: Callable[[int], Awaitable[None]] | None = None,
        on_running: Callable[[], Awaitable[None]] | None = None,
        at_point: points.AtPoint = points.pass_by,
        auditor: OrderGateway | None = None,
    ) -> None:
        """Keep the partners. ``reader`` reads the leader's own account; it never trades.

        ``auditor`` makes the readings that can wait, ``None`` = ``reader``.
        ``watched``: symbols whose history is read at every start, traded before or not.
        ``venue_ms``: the venue's clock; with it, what was missed while down is known to be old.
        """
        self._tracker = tracker
        self._feed = feed
        self._reader = reader
        self._hub = hub
        self._mirrors = mirrors
        self._members = members
        self._journal = journal
        self._clock = clock
        self._inbox: deque[EmitIntent] = deque()
        self._parked: dict[str, list[EmitIntent]] = {}
        self._cursors: dict[str, str] = dict(cursors)
        self._prepared: set[str] = set()
        self._wake = asyncio.Event()
        self._replan_wake = asyncio.Event()
        self._replan_count = 0
        self._timer = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None
        self._leverage: dict[str, int] = {}
        self._down_since_ns: TimeNs | None = None
        self._is_mirroring = False
        self._is_running = False
        self._watched = tuple(watched)
        self._venue_ms = venue_ms
        self._save_cursor = save_cursor
        self._health = health
        self._at_point = at_point
        self._on_begun = on_begun
        self._on_running = on_running
        self._synced_ns = TimeNs(0)
        self._resync: asyncio.Task[None] | None = None
        self._auditor = reader if auditor is None else auditor
        self._watch = LeaderWatch(clock, venue_ms)

    @property
    def is_busy(self) -> bool:
        """Whether intents wait to be mirrored."""
        return bool(self._inbox or self._parked or self._is_mirroring or self._replan_count)

    @property
    def is_settled(self) -> bool:
        """Whether no fill waits for the leader's margin, and no position for its repair."""
        symbols = {lane.key.symbol for lane in self._tracker.account.lanes()}
        return all(self._tracker.is_settled(symbol) for symbol in symbols)

    @property
    def is_running(self) -> bool:
        """Whether the worker takes work."""
        return self._is_running

    def wake(self) -> None:
        """Say that lanes wait to be planned again."""
        self._replan_wake.set()

    async def run(self) -> None:
        """Follow the leader until cancelled.

        Raises:
            VenueError: the leader's account cannot be read.
            StoreError: the ledger does not take claims.
            FeedError: more intents are waiting than the queue holds.
        """
        snapshot = await self._reader.account()
        self._leverage = {
            each.symbol: each.leverage for each in snapshot.positions if each.leverage is not None
        }
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._apply(self._tracker.on_snapshot(snapshot, now_ns=self._clock.now_ns()))
            if self._on_begun is not None:
                await self._on_begun(self._tracker.account.floor_ms)
            for symbol in sorted({each.symbol for each in snapshot.positions if each.qty}):
                await self.prepare(symbol)
            tasks.create_task(self._work())
            tasks.create_task(self._replan_work(tasks))
            tasks.create_task(self._tick())
            reread = partial(self._reread, "WATCH", self._auditor, is_audit=True)
            tasks.create_task(self._watch.run(reread, self._distrust))
            tasks.create_task(self._feed.run(self.on_events))
            self._is_running = True
            if self._on_running is not None:
                await self._on_running()

    def on_events(self, events: Sequence[AccountEvent]) -> None:
        """Take what one socket read brought: account updates first, so that fills need not wait."""
        now_ns = self._clock.now_ns()
        fills: list[Fill] = []
        for event in events:
            if isinstance(event, Fill):
                fills.append(event)
            else:
                self._on_event(event, now_ns)
        self._watch.on_heard(fills)
        if fills:
            self._apply(self._tracker.on_fills(fills, now_ns=now_ns))

    def _on_event(self, event: AccountEvent, now_ns: TimeNs) -> None:
        match event:
            case AccountUpdate():
                for symbol in self._prepared:
                    mark = self._hub.books.mark_px(symbol)
                    self._apply(self._tracker.on_mark(symbol, mark, now_ns=now_ns))
                self._apply(self._tracker.on_account_update(event, now_ns=now_ns))
            case LeverageUpdate():
                self._leverage[event.symbol] = event.leverage
                self._spawn(self._sync_leverage(event.symbol))
            case PositionDoubt():
                self._apply(self._tracker.on_doubt(event, now_ns=now_ns))
            case FeedUp():
                self._down_since_ns = None
                self._watch.on_up()
                self._health.up()
                self._at_point(points.FEED_UP)
                self._spawn_resync()
            case FeedDown(reason):
                if self._down_since_ns is None:
                    self._down_since_ns = now_ns
                    self._journal.incident("FEED_DOWN", detail=reason)
                self._watch.on_down()
                self._health.down(reason, now_ns)
            case _:
                pass  # the leader's own order reports say nothing its fills do not

    def _apply(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case EmitIntent():
                    self._accept(effect)
                case ReadMargin(symbol, reason):
                    self._spawn(self._read_margin(f"{symbol}, {reason}"))
                case ReadPositions(reason):
                    self._spawn(self._reread(reason))
                case Backfill(symbol, reason):
                    self._spawn(self._backfill(symbol, reason))
                case ReportIncident(kind, detail):
                    self._journal.incident(kind, detail=detail)
        self._timer.set()

    def _accept(self, emitted: EmitIntent) -> None:
        if len(self._inbox) >= INTENTS_MAX:
            self._spawn(_fail(f"more than {INTENTS_MAX} intents are waiting to be mirrored"))
            return
        self._inbox.append(emitted)
        self._at_point(points.INTENT_ACCEPTED)
        self._wake.set()

    def _spawn(self, work: Coroutine[object, object, object]) -> None:
        if self._tasks is None:
            work.close()
            return
        self._tasks.create_task(work)

    async def _work(self) -> None:
        """Mirror intents in order."""
        while True:
            self._is_mirroring = False
            await self._wake.wait()
            self._wake.clear()
            self._is_mirroring = True
            while self._inbox:
                await self._mirror(self._inbox.popleft())

    async def _replan_work(self, tasks: asyncio.TaskGroup) -> None:
        """Plan lanes again as they become free: each pass for itself, beside the intents.

        A pass is planned, and its commit asked for, without a pause; commits are made in the
        order they were asked for. So passes may wait for the ledger side by side, and a follower
        that tries again and again delays neither the leader's next event nor another's lane.
        """
        while True:
            await self._replan_wake.wait()
            self._replan_wake.clear()
            for mirror in self._mirrors:
                while mirror.has_replans:
                    tasks.create_task(self._replan(mirror))
                    await asyncio.sleep(0)

    async def _replan(self, mirror: Mirror) -> None:
        self._replan_count += 1
        try:
            await mirror.replan()
        finally:
            self._replan_count -= 1

    async def _mirror(self, emitted: EmitIntent) -> None:
        intent = self._aged(emitted.intent)
        if intent.symbol not in self._hub.instruments:
            detail = f"{intent.symbol}: the venue does not list it with rules that fit"
            self._journal.incident("NOT_MIRRORED", detail=detail, fills=intent.fills)
            return
        if intent.symbol not in self._prepared:
            waiting = self._parked.get(intent.symbol)
            if waiting is not None:
                waiting.append(emitted)
                return
            self._parked[intent.symbol] = [emitted]
            self._spawn(self._prepare_parked(intent.symbol))
            return
        gates = 0 if self._down_since_ns is None else SkipReason.LEADER_STALE.mask
        cursor = None
        if emitted.cursor is not None:
            cursor = (intent.symbol, emitted.cursor)
            self._cursors[intent.symbol] = emitted.cursor
        for mirror in self._mirrors:
            symbol = mirror.hub.symbol_for(self._hub.instruments[intent.symbol])
            if symbol is None:
                there = mirror.hub.traits.venue
                self._journal.incident("NOT_MIRRORED", detail=f"no {intent.symbol} on {there}")
                continue
            planned = await mirror.mirror(intent, symbol, gates=gates, cursor=cursor)
            if planned is None:
                # The tracker knows every fill of the ledger, which this process alone writes.
                # Nothing was claimed or sent; the supervisor rebuilds everything from the ledger.
                raise InvariantError(
                    f"intent {intent.id} was planned again although its fills are in the ledger"
                )
        self._journal.intent(intent)

    def _aged(self, intent: MirrorIntent) -> MirrorIntent:
        """Date an intent whose fills were found late back to when they happened."""
        age_ns = (self._venue_ms() - intent.venue_ts_ms) * NS_PER_MS
        created_ns = self._clock.now_ns() - age_ns
        if age_ns < LATE_NS or created_ns >= intent.created_ns:
            return intent
        return replace(intent, created_ns=TimeNs(created_ns))

    async def _prepare_parked(self, symbol: str) -> None:
        await self.prepare(symbol)
        # In front: what waits in the inbox of this symbol came after what waited for its books.
        self._inbox.extendleft(reversed(self._parked.pop(symbol)))
        self._wake.set()

    async def prepare(self, symbol: str) -> None:
        """Subscribe a symbol's books, bring its followers' leverage in step, see what is foreign.

        Harmless when repeated, and for a symbol that the venue does not list.
        """
        if symbol not in self._hub.instruments or symbol in self._prepared:
            return
        self._hub.books.subscribe(symbol)
        books = [
            (mirror.hub.books, theirs)
            for mirror in self._mirrors
            if (theirs := mirror.hub.symbol_for(self._hub.instruments[symbol])) is not None
        ]
        for feed, theirs in books:
            feed.subscribe(theirs)
        if self._tasks is None:
            return
        syncing = self._tasks.create_task(self._sync_leverage(symbol))
        await wait_for_books(books, self._clock)
        await self._wait_synced(syncing)
        self._take_stock(symbol)
        self._prepared.add(symbol)

    async def _wait_synced(self, syncing: asyncio.Task[None]) -> None:
        """Wait for leverage as long as somebody still answers; who hangs stays blocked, alone."""
        while not syncing.done():
            answered_ns = self._synced_ns
            left_ns = answered_ns + SYNC_QUIET_NS - self._clock.now_ns()
            if left_ns <= 0:
                return
            await asyncio.wait((syncing,), timeout=left_ns / NS_PER_S)
        await syncing

    def _take_stock(self, symbol: str) -> None:
        for follower, membership, mirror in self._members:
            theirs = mirror.hub.symbol_for(self._hub.instruments[symbol])
            if theirs is None:
                continue
            for each in take_stock(follower, membership, theirs):
                self._journal.incident(
                    "FOREIGN_POSITION", follower=follower.id, detail=describe(each)
                )

    async def _sync_leverage(self, symbol: str) -> None:
        self._synced_ns = self._clock.now_ns()
        places = asyncio.Semaphore(SYNC_WIDTH)
        instrument = self._hub.instruments[symbol]

        async def sync(follower: Follower, membership: Membership, theirs: str) -> None:
            async with places:
                failure = await follower.sync_leverage(
                    membership, theirs, self._leverage.get(symbol)
                )
            self._synced_ns = self._clock.now_ns()
            if failure is not None and follower.is_ready:
                self._journal.incident("LEVERAGE_SYNC_FAILED", follower=follower.id, detail=failure)

        async with asyncio.TaskGroup() as group:
            for follower, membership, mirror in self._members:
                theirs = mirror.hub.symbol_for(instrument)
                if theirs is not None:
                    group.create_task(sync(follower, membership, theirs))

    async def _read_margin(self, reason: str) -> None:
        try:
            snapshot = await self._reader.account()
        except VenueError as error:
            self._journal.incident("MARGIN_READ_FAILED", detail=f"{reason}: {error}")
            return
        self._apply(self._tracker.on_margin_read(snapshot, now_ns=self._clock.now_ns()))

    def _spawn_resync(self) -> None:
        """Read what was missed while nobody listened; a newer stream replaces an older reading."""
        if self._resync is not None:
            self._resync.cancel()
        if self._tasks is not None:
            self._resync = self._tasks.create_task(self._read_missed())

    async def _read_missed(self) -> None:
        """Read positions and every symbol's fills until all of it was answered."""
        pause_s = RESYNC_PAUSE_S
        is_read = await self._reread("FEED_UP")
        wanted = self._symbols()
        while wanted or not is_read:
            wanted = [each for each in wanted if not await self._backfill(each, "FEED_UP")]
            if wanted or not is_read:
                await asyncio.sleep(pause_s)
                pause_s = min(RESYNC_PAUSE_MAX_S, pause_s * 2)
                is_read = is_read or await self._reread("FEED_UP")
        self._health.is_caught_up = True

    def _symbols(self) -> list[str]:
        """Return every symbol the leader may have traded unseen."""
        tracked = {lane.key.symbol for lane in self._tracker.account.lanes()}
        return sorted(tracked | self._cursors.keys() | self._prepared | set(self._watched))

    async def _reread(
        self, reason: str, reader: OrderGateway | None = None, *, is_audit: bool = False
    ) -> bool:
        """Read the leader's positions; what changed unseen is backfilled by the tracker."""
        self._watch.on_read()
        try:
            snapshot = await (reader or self._reader).account()
        except VenueError as error:
            self._journal.incident("POSITION_READ_FAILED", detail=f"{reason}: {error}")
            return False
        now_ns = self._clock.now_ns()
        self._apply(self._tracker.on_snapshot(snapshot, now_ns=now_ns, is_audit=is_audit))
        self._price_doubted()
        return True

    def _price_doubted(self) -> None:
        """Follow the books of positions that may have fallen and have no price yet."""
        for symbol in self._tracker.unpriced():
            if symbol not in self._hub.instruments:
                continue
            self._hub.books.subscribe(symbol)
            best = self._hub.books.best(symbol)
            if best is not None:
                self._tracker.on_price(symbol, best.mid_px)

    async def _backfill(self, symbol: str, reason: str) -> bool:
        try:
            fills, cursor = await self._reader.fills_since(symbol, self._cursors.get(symbol))
        except VenueError as error:
            self._journal.incident("BACKFILL_FAILED", detail=f"{symbol}, {reason}: {error}")
            return False
        if fills:
            self._at_point(points.FILLS_BACKFILLED)
        lost = self._watch.lost(each for each in fills if not self._tracker.knows(each.id))
        effects = self._tracker.on_backfill(symbol, fills, cursor, now_ns=self._clock.now_ns())
        self._apply(effects)
        if lost is not None:
            self._distrust(lost)
        is_acted_on = any(isinstance(effect, EmitIntent) for effect in effects)
        if cursor is not None and not is_acted_on and self._is_quiet(symbol):
            self._cursors[symbol] = cursor
            await self._save_cursor(symbol, cursor)
            self._at_point(points.CURSOR_SAVED)
        return True

    def _distrust(self, lost: Fill) -> None:
        """Take a stream that lost a fill for one that lost more: all symbols are read anew."""
        detail = f"{lost.symbol}: the stream did not bring trade {lost.id.trade_id}"
        self._journal.incident("FILL_LOST_BY_STREAM", detail=detail)
        self._feed.redial("it lost a fill")

    def _is_quiet(self, symbol: str) -> bool:
        """Whether everything of a symbol up to now is in the ledger: its cursor may move."""
        waiting = any(each.intent.symbol == symbol for each in self._inbox)
        is_busy = waiting or symbol in self._parked or self._is_mirroring
        return not is_busy and self._tracker.is_settled(symbol)

    async def _tick(self) -> None:
        """Call the tracker at its deadlines."""
        while True:
            deadline_ns = self._tracker.next_deadline()
            if deadline_ns is None:
                await self._timer.wait()
            else:
                pause = max(0, deadline_ns - self._clock.now_ns()) / NS_PER_S
                try:
                    async with asyncio.timeout(pause):
                        await self._timer.wait()
                except TimeoutError:
                    self._apply(self._tracker.on_deadline(now_ns=self._clock.now_ns()))
            self._timer.clear()


async def _fail(why: str) -> None:
    """End the pipeline from a place that must not raise itself."""
    raise FeedError(why)


def later(delay_ns: TimeNs, call: Callable[[], None]) -> None:
    """Call something on the running loop after a pause."""
    asyncio.get_running_loop().call_later(delay_ns / NS_PER_S, call)
