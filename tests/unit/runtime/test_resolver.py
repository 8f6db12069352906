"""What counts as a fill of an order of unknown fate is dated by the venue's clock, not by ours."""

import asyncio
from collections.abc import Callable

from mirror_parts import PX, SYMBOL, VENUE, DeskGateway, Sent, Stage, report_of, units
from slipstream._core import PositionSide, Side
from slipstream.domain.fill import Fill
from slipstream.domain.ids import ClientOrderId, FillId
from slipstream.domain.order import OrderReport
from slipstream.domain.outcome import Unknown
from slipstream.runtime.resolver import Resolver
from slipstream.units import NS_PER_MS, NS_PER_S, Px, Qty, TimeNs
from slipstream.venues.base import OutcomeSink, VenueTraits

TRAITS = VenueTraits(venue=VENUE, absent_after_ns=1, lookup_lag_ns=NS_PER_MS)
WALL_STEP_US = 3_600 * 1_000_000
VENUE_AHEAD_MS = 250
SENT_MS = 1_500
DENIALS = 5
OURS = ClientOrderId("the order that is asked about")


class SteppedClock:
    """A monotonic clock beside a wall clock that was put on by an hour."""

    def __init__(self, at_ns: Callable[[], int]) -> None:
        """Follow another clock."""
        self._at_ns = at_ns

    def now_ns(self) -> TimeNs:
        return TimeNs(self._at_ns())

    def wall_us(self) -> int:
        return self._at_ns() // 1_000 + WALL_STEP_US


class Venue(DeskGateway):
    """Denies an order several times, shows fills that name no order, and lists it in the end."""

    def __init__(self, stage: Stage, fill_ms: int, *, is_named: bool, is_listed: bool) -> None:
        """Know whether the order exists, and when its fill was."""
        super().__init__(stage.sent, 1)
        self._stage = stage
        self._fill_ms = fill_ms
        self._is_named = is_named
        self._is_listed = is_listed
        self.question_count = 0
        self.placed: Sent | None = None
        self.whose: ClientOrderId | None = None

    def transmit(self, signed: bytes, *, deadline_ns: TimeNs, on_outcome: OutcomeSink) -> TimeNs:
        at_ns = super().transmit(signed, deadline_ns=deadline_ns, on_outcome=on_outcome)
        self.placed = self._stage.sent[-1]
        return at_ns

    async def order(self, symbol: str, client_order_id: ClientOrderId) -> OrderReport | None:
        assert self.placed is not None
        assert (symbol, client_order_id) == (SYMBOL, self.placed.request.client_order_id)
        self.question_count += 1
        if self._is_listed and self.question_count > DENIALS:
            return report_of(self.placed.request, self.placed.request.qty)
        return None

    async def name_of(self, symbol: str, venue_order_id: str) -> ClientOrderId | None:
        assert (symbol, venue_order_id) == (SYMBOL, "91")
        assert self.placed is not None
        return self.placed.request.client_order_id if self.whose == OURS else self.whose

    async def fills_since(self, symbol: str, cursor: str | None) -> tuple[list[Fill], str | None]:
        assert (symbol, cursor) == (SYMBOL, None)
        assert self.placed is not None
        name = self.placed.request.client_order_id if self._is_named else ""
        return [fill_at(self._fill_ms, name=name)], None


def fill_at(venue_ts_ms: int, *, name: str) -> Fill:
    return Fill(
        FillId(VENUE, "0x0", SYMBOL, "91", "17", venue_ts_ms),
        PositionSide.NET,
        Side.BUY,
        Qty(units(4)),
        Px(PX),
        is_taker=True,
        is_liquidation=False,
        received_ns=TimeNs(0),
        decoded_ns=TimeNs(0),
        client_order_id=name,
    )


async def resolved(
    fill_ms: int, *, is_listed: bool, is_named: bool = False, whose: ClientOrderId | None = None
) -> tuple[Stage, Venue]:
    """Send one order, lose its answer, and ask until its fate is known.

    ``whose``: what the venue says when asked for the name of the fill's order.
    """
    stage = Stage(("live",))
    venue = Venue(stage, fill_ms, is_named=is_named, is_listed=is_listed)
    venue.whose = whose
    follower = next(iter(stage.followers.values()))
    follower.gateway = stage.gateways[follower.id] = venue
    resolver = Resolver(
        followers=stage.followers,
        traits=TRAITS,
        clock=SteppedClock(lambda: stage.clock.at_ns),
        venue_ms=lambda: stage.clock.at_ns // NS_PER_MS + VENUE_AHEAD_MS,
        journal=stage.journal,
    )
    stage.mirror.resolver = resolver
    resolver.bind(stage.mirror.on_resolved)
    await stage.move(units(4))
    (sent,) = stage.take_sent()
    stage.clock.at_ns = 12 * NS_PER_S
    sent.answer(Unknown("read timeout"))
    for _ in range(5_000):
        if not resolver.unresolved():
            break
        stage.clock.at_ns += 10 * NS_PER_MS
        await asyncio.sleep(0.001)
    await resolver.close()
    return stage, venue


async def test_a_step_of_our_clock_makes_no_fill_too_old() -> None:
    stage, venue = await resolved(SENT_MS + VENUE_AHEAD_MS + 20, is_listed=True)
    assert venue.question_count > DENIALS
    assert stage.position() == units(4)
    assert stage.end_of()[0] == "filled"


async def test_fills_of_before_the_order_do_not_keep_it_alive() -> None:
    stage, venue = await resolved(SENT_MS + VENUE_AHEAD_MS - 2_500, is_listed=False)
    assert venue.question_count == 2
    assert stage.position() == 0
    assert stage.end_of() == ("failed", "ABSENT")


async def test_a_fill_that_names_the_order_counts_whenever_it_was() -> None:
    stage, venue = await resolved(SENT_MS - 60_000, is_named=True, is_listed=False)
    assert venue.question_count == 1
    assert stage.position() == units(4)
    assert stage.end_of()[0] == "filled"


async def test_a_fill_of_another_order_keeps_nothing_alive_whoever_sent_that() -> None:
    other = ClientOrderId("of-another-life")
    stage, venue = await resolved(SENT_MS + VENUE_AHEAD_MS + 20, is_listed=False, whose=other)
    assert venue.question_count == 2
    assert stage.position() == 0
    assert stage.end_of() == ("failed", "ABSENT")


async def test_a_fill_whose_order_the_venue_names_as_ours_proves_it() -> None:
    stage, venue = await resolved(SENT_MS + VENUE_AHEAD_MS + 20, is_listed=False, whose=OURS)
    assert venue.question_count == 1
    assert stage.position() == units(4)
    assert stage.end_of()[0] == "filled"
