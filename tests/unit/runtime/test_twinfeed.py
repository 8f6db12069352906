"""Several sockets of one stream: everything passes, only the last one down is down."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from hand_clock import HandClock
from slipstream._core import SCALE, PositionSide, Side
from slipstream.domain.fill import Fill
from slipstream.domain.ids import FillId, VenueId
from slipstream.runtime import twinfeed
from slipstream.runtime.twinfeed import LATE_NS, TwinFeed, side_by_side
from slipstream.units import Px, Qty, TimeNs
from slipstream.venues.base import AccountEvent, AccountFeed, AccountSink, FeedDown, FeedUp

UP, DOWN = FeedUp(TimeNs(1)), FeedDown("cut", TimeNs(1))


class Spoken:
    """A feed that the test speaks on."""

    def __init__(self) -> None:
        """Wait for a listener."""
        self.sink: AccountSink = lambda _: None
        self.redials: list[str] = []

    async def run(self, sink: AccountSink) -> None:
        self.sink = sink
        await asyncio.Event().wait()

    def redial(self, reason: str) -> None:
        self.redials.append(reason)


class Pair:
    """Two spoken feeds as one, and what came out of it."""

    def __init__(self) -> None:
        """Run nothing yet."""
        self.clock = HandClock()
        self.first, self.second = Spoken(), Spoken()
        self.reports: list[str] = []
        self.heard: list[AccountEvent] = []
        self.twin = TwinFeed(
            [self.first, self.second],
            clock=self.clock,
            report=lambda kind, _: self.reports.append(kind),
        )

    def on_events(self, events: Sequence[AccountEvent]) -> None:
        self.heard.extend(events)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.twin.run(self.on_events))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        yield
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled()

    async def wait(self, pause_ns: int) -> None:
        """Let time pass, and the sockets be compared."""
        self.clock.at_ns += pause_ns
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twinfeed, "LOOK_S", 0)


def fill(number: int) -> Fill:
    return Fill(
        FillId(VenueId("aster"), "0xwhale", "BTCUSDT", "1", str(number), number),
        PositionSide.NET,
        Side.BUY,
        Qty(SCALE),
        Px(SCALE),
        is_taker=True,
        is_liquidation=False,
        received_ns=TimeNs(1),
        decoded_ns=TimeNs(1),
    )


async def test_the_stream_is_down_when_both_are_and_each_coming_up_is_told() -> None:
    pair = Pair()
    async with pair.running():
        pair.first.sink([UP])
        pair.second.sink([UP])
        pair.first.sink([DOWN])
        assert pair.heard == [UP, UP]
        pair.second.sink([DOWN])
        assert pair.heard == [UP, UP, DOWN]
        pair.first.sink([UP])
        assert pair.heard == [UP, UP, DOWN, UP]


async def test_whoever_lost_a_fill_is_dialled_again_once() -> None:
    pair = Pair()
    async with pair.running():
        pair.first.sink([UP])
        pair.second.sink([UP])
        await pair.wait(1)
        pair.first.sink([fill(1), fill(2)])
        pair.second.sink([fill(2)])
        await pair.wait(LATE_NS - 1)
        assert pair.second.redials == []
        await pair.wait(1)
        assert len(pair.second.redials) == 1
        assert pair.first.redials == []
        assert pair.reports == ["FILL_LOST_BY_STREAM"]
        pair.first.sink([fill(3)])
        await pair.wait(LATE_NS)
        assert len(pair.second.redials) == 1


async def test_a_repetition_long_after_accuses_nobody() -> None:
    pair = Pair()
    async with pair.running():
        pair.first.sink([UP])
        pair.second.sink([UP])
        await pair.wait(1)
        pair.first.sink([fill(1)])
        pair.second.sink([fill(1)])
        await pair.wait(LATE_NS)
        pair.second.sink([fill(1)])
        await pair.wait(LATE_NS)
        assert pair.first.redials == pair.second.redials == []


async def test_a_socket_that_was_not_up_lost_nothing() -> None:
    pair = Pair()
    async with pair.running():
        pair.first.sink([UP])
        await pair.wait(1)
        pair.first.sink([fill(1)])
        pair.second.sink([UP])
        await pair.wait(LATE_NS)
        assert pair.second.redials == []


async def test_what_nobody_brought_dials_all_of_them_again() -> None:
    pair = Pair()
    pair.twin.redial("a reading brought it")
    assert pair.first.redials == pair.second.redials == ["a reading brought it"]


def test_one_socket_is_the_feed_itself() -> None:
    made: list[AccountFeed] = []

    def make() -> AccountFeed:
        made.append(Spoken())
        return made[-1]

    clock = HandClock()
    assert side_by_side(make, 1, clock=clock, report=lambda *_: None) is made[0]
    assert isinstance(side_by_side(make, 3, clock=clock, report=lambda *_: None), TwinFeed)
    assert len(made) == 4
