"""One leader's pipeline: what was missed is found, dated to when it was, and mirrored once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import pytest

from mirror_parts import LEADER, PX, SYMBOL, VENUE, FixedBooks, Stage, units
from slipstream._core import SCALE, PositionSide, Side
from slipstream.domain.fill import AccountSnapshot, Fill, PositionState
from slipstream.domain.ids import FillId, FollowerId
from slipstream.engine.leader import LeaderTracker
from slipstream.engine.position import LaneKey
from slipstream.errors import UnknownOutcome
from slipstream.runtime import pipeline as pipeline_module
from slipstream.runtime.pipeline import Pipeline
from slipstream.runtime.supervisor import Health
from slipstream.units import Px, Qty, Quote, TimeNs, VenueMs
from slipstream.venues.base import AccountSink, BookFeed, FeedDown, FeedUp, OrderGateway

ACCOUNT = "0xwhale"
NOW_MS = 1_000_000


class Books(FixedBooks):
    """Books that may be subscribed."""

    def subscribe(self, symbol: str) -> None:
        assert symbol == SYMBOL


class Feed:
    """A stream that the test speaks on."""

    def __init__(self) -> None:
        """Wait for a listener."""
        self.redials: list[str] = []
        self.sink: asyncio.Future[AccountSink] = asyncio.get_running_loop().create_future()

    async def run(self, sink: AccountSink) -> None:
        self.sink.set_result(sink)
        await asyncio.Event().wait()

    def redial(self, reason: str) -> None:
        self.redials.append(reason)


class Reader:
    """The leader's account as the test wants it to be."""

    def __init__(self, qty: int, *fills: Fill) -> None:
        """Hold a position, and remember fills."""
        self.qty = qty
        self.fills = list(fills)
        self.failures = 0
        self.asked: list[str] = []

    async def account(self) -> AccountSnapshot:
        position = PositionState(SYMBOL, PositionSide.NET, Qty(self.qty), Px(PX))
        return AccountSnapshot(
            ACCOUNT, Quote(SCALE), Quote(SCALE), Quote(SCALE), Quote(0), (position,),
            is_hedge=False, venue_ts_ms=VenueMs(NOW_MS), received_ns=TimeNs(1),
        )  # fmt: skip

    async def fills_since(self, symbol: str, cursor: str | None) -> tuple[list[Fill], str | None]:
        del cursor
        self.asked.append(symbol)
        if self.failures:
            self.failures -= 1
            raise UnknownOutcome("no answer")
        return [each for each in self.fills if each.symbol == symbol], "9"


def fill(side: Side, qty: int, *, at_ms: int = NOW_MS - 60_000, symbol: str = SYMBOL) -> Fill:
    return Fill(
        FillId(VENUE, ACCOUNT, symbol, "1", str(at_ms), at_ms),
        PositionSide.NET,
        side,
        Qty(qty),
        Px(PX),
        is_taker=False,
        is_liquidation=False,
        received_ns=TimeNs(1),
        decoded_ns=TimeNs(1),
    )


async def settled(holds: Callable[[], bool]) -> None:
    for _ in range(200):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to be")


class World:
    """A stage whose followers hold four units, and a pipeline that goes on from there."""

    def __init__(self, reader: Reader, *, watched: tuple[str, ...] = ()) -> None:
        """Build nothing that awaits."""
        self.reader = reader
        self.watched = watched
        self.stage = Stage(("live",))
        self.stage.books = Books()
        self.stage.hub.books = cast("BookFeed", self.stage.books)
        self.said: list[str] = []
        self.saved: list[tuple[str, str]] = []
        self.health = Health(LEADER, self.said.append)

        self.needs_margin = False
        self.pipelines: list[Pipeline] = []

    async def open(self) -> None:
        await self.stage.move(units(4))
        for order in self.stage.take_sent():
            order.fill()

    async def save(self, symbol: str, cursor: str) -> None:
        self.saved.append((symbol, cursor))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[AccountSink]:
        stage, feed = self.stage, Feed()
        tracker = LeaderTracker(LEADER, VENUE, ACCOUNT, needs_margin=self.needs_margin)
        tracker.account.floor_ms = NOW_MS - 3_600_000
        tracker.restore({LaneKey(SYMBOL, PositionSide.NET): units(4)}, [])
        follower = stage.followers[FollowerId("f1")]
        pipeline = Pipeline(
            tracker=tracker,
            feed=feed,
            reader=cast("OrderGateway", self.reader),
            hub=stage.hub,
            mirrors=[stage.mirror],
            members=[(follower, follower.memberships[0], stage.mirror)],
            cursors={},
            watched=self.watched,
            journal=stage.journal,
            clock=stage.clock,
            venue_ms=lambda: NOW_MS,
            save_cursor=self.save,
            health=self.health,
        )
        self.pipelines.append(pipeline)
        stage.mirror.on_wake(pipeline.wake)
        task = asyncio.create_task(pipeline.run())
        try:
            yield await feed.sink
            assert not task.done(), task
        finally:
            task.cancel()
            await asyncio.wait((task,))


async def test_a_reduction_missed_while_down_is_mirrored() -> None:
    world = World(Reader(units(2), fill(Side.SELL, units(2))))
    await world.open()
    async with world.running() as tell:
        tell([FeedUp(TimeNs(1))])
        await settled(lambda: bool(world.stage.sent))
        (order,) = world.stage.take_sent()
        assert (order.request.side, order.request.qty) == (Side.SELL, units(2))
        assert world.said == ["leader whale: live"]


async def test_an_increase_missed_while_down_is_too_old() -> None:
    world = World(Reader(units(6), fill(Side.BUY, units(2))))
    await world.open()
    async with world.running() as tell:
        tell([FeedUp(TimeNs(1))])
        await settled(lambda: len(world.stage.ends()) > 1)
        assert world.stage.end_of() == ("skipped", "STALE_INTENT")
        assert world.stage.sent == []


async def test_the_same_fill_live_and_read_is_one_intent() -> None:
    live = fill(Side.SELL, units(1), at_ms=NOW_MS - 10)
    world = World(Reader(units(4)))
    await world.open()
    async with world.running() as tell:
        tell([live])
        world.reader.qty, world.reader.fills = units(3), [live]
        tell([FeedUp(TimeNs(1))])
        await settled(lambda: world.reader.asked == [SYMBOL] and bool(world.stage.sent))
        await asyncio.sleep(0)
        (order,) = world.stage.take_sent()
        assert order.request.qty == units(1)
        assert world.stage.journal.kinds.total() == 2


async def test_a_fill_that_waits_for_margin_is_nobody_s_intent_yet_and_not_settled() -> None:
    world = World(Reader(units(4)))
    world.needs_margin = True
    await world.open()
    async with world.running() as tell:
        (pipeline,) = world.pipelines
        assert pipeline.is_settled
        tell([fill(Side.BUY, units(1), at_ms=NOW_MS + 10)])
        assert (pipeline.is_busy, pipeline.is_settled) == (False, False)
        tell([fill(Side.SELL, units(5), at_ms=NOW_MS + 20)])
        assert pipeline.is_settled


async def test_every_symbol_somebody_named_is_read_and_its_cursor_kept() -> None:
    world = World(Reader(units(4)), watched=("OTHER",))
    async with world.running() as tell:
        tell([FeedUp(TimeNs(1))])
        await settled(lambda: len(world.saved) == 2)
        assert world.reader.asked == ["OTHER", SYMBOL]
        assert world.saved == [("OTHER", "9"), (SYMBOL, "9")]


async def test_what_could_not_be_read_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline_module, "RESYNC_PAUSE_S", 0)
    monkeypatch.setattr(pipeline_module, "RESYNC_PAUSE_MAX_S", 0)
    world = World(Reader(units(4)))
    world.reader.failures = 3
    async with world.running() as tell:
        tell([FeedUp(TimeNs(1))])
        await settled(lambda: bool(world.saved))
        assert world.reader.asked == [SYMBOL] * 4


async def test_only_while_the_stream_is_down_are_opens_stopped_as_stale() -> None:
    world = World(Reader(units(4)))
    await world.open()
    async with world.running() as tell:
        tell([FeedUp(TimeNs(1))])
        await settled(lambda: bool(world.saved))
        tell([FeedDown("cut", TimeNs(2))])
        tell([fill(Side.BUY, units(1), at_ms=NOW_MS - 3)])
        await settled(lambda: len(world.stage.ends()) > 1)
        assert world.stage.end_of() == ("skipped", "LEADER_STALE")
        assert not world.health.is_live.is_set()
        tell([FeedUp(TimeNs(3))])
        tell([fill(Side.BUY, units(1), at_ms=NOW_MS - 2)])
        await settled(lambda: bool(world.stage.sent))


async def test_a_symbol_the_venue_does_not_list_is_told_and_ends_nothing() -> None:
    world = World(Reader(units(4)))
    async with world.running() as tell:
        tell([FeedUp(TimeNs(1))])
        tell([fill(Side.BUY, units(1), at_ms=NOW_MS - 3, symbol="NEWUSDT")])
        await settled(lambda: ("NOT_MIRRORED", None) in world.stage.incidents())
