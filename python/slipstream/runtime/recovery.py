"""Claims that an earlier process left without an outcome.

A claim is durable before the first byte leaves, so a claim without an outcome may be an order at
the venue. It is asked about by its client order id; until the venue says how it ended the lane
stays unknown and blocks increases. It is never sent again.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from slipstream._core import PositionSide
from slipstream.domain.cohort import LegResult
from slipstream.domain.ids import FollowerId
from slipstream.domain.order import OrderReport
from slipstream.domain.outcome import LegEnd
from slipstream.engine.cohort import Cohort
from slipstream.errors import FeedError, VenueError
from slipstream.runtime.follower import Follower
from slipstream.store.base import OpenLeg
from slipstream.transport.clock import Clock

POSITION_SIDES: Final = (PositionSide.NET, PositionSide.LONG, PositionSide.SHORT)
"""By value, as the ledger keeps them."""

REASON: Final = "RECOVERED"
ABSENT: Final = "ABSENT"
ASK_PAUSE_S: Final = 2.0
ASK_PAUSE_MAX_S: Final = 60.0
SKEW_MS: Final = 2_000

Report = Callable[[str, FollowerId, str], None]
"""Takes (kind, follower, detail) of an incident."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim and the lane it belongs to."""

    leg: OpenLeg
    cohort: Cohort
    row: int
    follower: Follower

    @property
    def symbol_index(self) -> int:
        """The table's index of its symbol."""
        return self.cohort.symbol_index(self.leg.symbol)

    @property
    def side(self) -> PositionSide:
        """The side of the position it was to change."""
        return POSITION_SIDES[self.leg.position_side]


class Recovery:
    """Finds out what became of one leader's open claims, side by side for its followers."""

    def __init__(
        self,
        claims: Sequence[Claim],
        *,
        record: Callable[[Sequence[LegResult]], object],
        clock: Clock,
        absent_after_ns: int,
        report: Report,
    ) -> None:
        """Block every lane with an open claim: its order may be at the venue."""
        self._claims = list(claims)
        self._record = record
        self._clock = clock
        self._absent_at_ns = clock.now_ns() + absent_after_ns
        self._report = report
        for claim in claims:
            claim.cohort.table.mark_unknown(claim.row, claim.symbol_index, claim.side)

    @property
    def open_count(self) -> int:
        """Claims whose fate is still unknown."""
        return len(self._claims)

    async def run(self) -> None:
        """Ask until every claim is explained."""
        pause_s = ASK_PAUSE_S
        await self.ask()
        while self._claims:
            for claim in self._claims:
                detail = f"{claim.leg.symbol} {claim.leg.client_order_id}: not explained yet"
                self._report("CLAIM_UNRESOLVED", claim.leg.follower_id, detail)
            await asyncio.sleep(pause_s)
            pause_s = min(ASK_PAUSE_MAX_S, pause_s * 2)
            await self.ask()

    async def ask(self) -> None:
        """Ask about every open claim once."""
        claims, self._claims = self._claims, []
        left: list[Claim] = []

        async def ask(claim: Claim) -> None:
            if not await self._settle(claim):
                left.append(claim)

        async with asyncio.TaskGroup() as group:
            for claim in claims:
                group.create_task(ask(claim))
        self._claims = left

    async def _settle(self, claim: Claim) -> bool:
        gateway, leg = claim.follower.gateway, claim.leg
        try:
            report = await gateway.order(leg.symbol, leg.client_order_id)
            if report is None:
                if not await self._is_absent(claim):
                    return False
            elif not report.state.is_final:
                return False
        except (VenueError, FeedError):
            return False
        self._take(claim, report)
        return True

    async def _is_absent(self, claim: Claim) -> bool:
        """Whether the order can no longer come to be and no fill tells of it."""
        if self._clock.now_ns() < self._absent_at_ns or claim.leg.venue_ts_ms is None:
            return False
        fills, _ = await claim.follower.gateway.fills_since(claim.leg.symbol, None)
        since_ms = claim.leg.venue_ts_ms - SKEW_MS
        known = claim.follower.order_ids
        return not any(
            fill.venue_ts_ms >= since_ms
            and fill.side.value == claim.leg.side
            and fill.id.order_id not in known
            for fill in fills
        )

    def _take(self, claim: Claim, report: OrderReport | None) -> None:
        leg = claim.leg
        filled_qty = 0 if report is None else report.filled_qty
        lane = claim.cohort.table.settle(
            claim.row,
            claim.symbol_index,
            claim.side,
            filled_qty=filled_qty * leg.side,
            is_opening=not leg.is_reduction,
        )
        end = LegEnd.FAILED if report is None else LegEnd.PARTIAL
        if filled_qty == leg.qty:
            end = LegEnd.FILLED
        self._record(
            [
                LegResult(
                    leg.intent_id,
                    leg.follower_id,
                    leg.leg,
                    leg.attempt,
                    end.value,
                    ABSENT if report is None else REASON,
                    filled_qty,
                    None if report is None else report.average_px,
                    None if report is None else report.venue_order_id,
                    lane.encode(),
                )
            ]
        )
