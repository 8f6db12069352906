"""Claims without an outcome: asked about, never sent again, absent only when nothing denies it."""

from typing import cast

from mirror_parts import PX, SYMBOL, VENUE, Stage, report_of, units
from slipstream._core import PositionSide, Side
from slipstream.domain.cohort import LegResult
from slipstream.domain.fill import Fill
from slipstream.domain.ids import ClientOrderId, FillId, FollowerId
from slipstream.domain.order import OrderReport, OrderRequest
from slipstream.errors import UnknownOutcome
from slipstream.runtime.recovery import Claim, Recovery
from slipstream.store.base import OpenLeg
from slipstream.units import Px, Qty, TimeNs
from slipstream.venues.base import OrderGateway

F1 = FollowerId("f1")
ABSENT_AFTER_NS = 62 * 10**9


class Desk:
    """A gateway that says of orders what the test wants."""

    def __init__(self) -> None:
        """Know of nothing."""
        self.report: OrderReport | None = None
        self.fills: list[Fill] = []
        self.is_silent = False

    async def order(self, symbol: str, client_order_id: ClientOrderId) -> OrderReport | None:
        del symbol, client_order_id
        if self.is_silent:
            raise UnknownOutcome("no answer")
        return self.report

    async def fills_since(self, symbol: str, cursor: str | None) -> tuple[list[Fill], str | None]:
        del symbol, cursor
        return self.fills, None


class Case:
    """A restart with one open claim of four units."""

    async def begin(self) -> None:
        stage = Stage(("live",))
        await stage.move(units(4))
        (sent,) = stage.take_sent()
        self.request: OrderRequest = sent.request
        self.stage, self.desk = stage, Desk()
        follower = stage.followers[F1]
        follower.gateway = cast("OrderGateway", self.desk)
        leg = OpenLeg(
            stage.intent(units(4)).id, F1, 0, 0, SYMBOL, 0, self.request.client_order_id,
            1, units(4), PX, 0, None, 5_000,
        )  # fmt: skip
        self.results: list[LegResult] = []
        self.recovery = Recovery(
            [Claim(leg, stage.cohort, 0, follower)],
            record=self.results.extend,
            clock=stage.clock,
            absent_after_ns=ABSENT_AFTER_NS,
            report=lambda *_: None,
        )

    def unknown(self) -> int:
        return self.stage.cohort.table.lane(0, 0).unknown_qty[0]

    def end(self) -> tuple[str, str | None, int]:
        (result,) = self.results
        return result.end, result.reason, result.filled_qty


async def case() -> Case:
    made = Case()
    await made.begin()
    return made


async def test_a_filled_order_is_found_and_counted() -> None:
    at = await case()
    assert at.unknown() == units(4)
    at.desk.report = report_of(at.request, units(3))
    await at.recovery.ask()
    assert at.end() == ("partial", "RECOVERED", units(3))
    assert (at.unknown(), at.stage.position(), at.recovery.open_count) == (0, units(3), 0)


async def test_while_nobody_answers_the_lane_stays_blocked() -> None:
    at = await case()
    at.desk.is_silent = True
    at.stage.clock.at_ns += 10 * ABSENT_AFTER_NS
    await at.recovery.ask()
    assert (at.unknown(), at.recovery.open_count, at.results) == (units(4), 1, [])


async def test_an_order_the_venue_denies_may_still_come_until_its_nonce_is_too_old() -> None:
    at = await case()
    at.stage.clock.at_ns += ABSENT_AFTER_NS - 1
    await at.recovery.ask()
    assert at.recovery.open_count == 1
    at.stage.clock.at_ns += 1
    await at.recovery.ask()
    assert at.end() == ("failed", "ABSENT", 0)
    assert (at.unknown(), at.stage.position()) == (0, 0)


async def test_a_fill_that_nothing_else_explains_speaks_against_absence() -> None:
    at = await case()
    at.stage.clock.at_ns += ABSENT_AFTER_NS
    at.desk.fills = [
        Fill(
            FillId(VENUE, "0x", SYMBOL, "77", "1", 5_001),
            PositionSide.NET,
            Side.BUY,
            Qty(units(4)),
            Px(PX),
            is_taker=True,
            is_liquidation=False,
            received_ns=TimeNs(0),
            decoded_ns=TimeNs(0),
        )
    ]
    await at.recovery.ask()
    assert (at.recovery.open_count, at.unknown()) == (1, units(4))
    at.stage.followers[F1].order_ids.append("77")  # it was another order of ours
    await at.recovery.ask()
    assert at.end() == ("failed", "ABSENT", 0)
