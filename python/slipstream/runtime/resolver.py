"""Ask venues about orders whose fate is unknown, one task per follower that has any.

The rules are ``engine/unknown.py``'s; here is only the asking. A follower whose questions hang
holds up nobody else's.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from slipstream.domain.fill import Fill
from slipstream.domain.ids import ClientOrderId, FollowerId
from slipstream.domain.order import OrderReport, OrderState
from slipstream.engine.leglife import Leg
from slipstream.engine.unknown import (
    OrderAbsent,
    OrderFilledUnlisted,
    OrderFound,
    OrderUnresolved,
    QueryOrder,
    ReadOrderFills,
    UnknownEffect,
    UnknownOrders,
)
from slipstream.errors import FeedError, VenueError
from slipstream.runtime import points
from slipstream.runtime.follower import Follower
from slipstream.runtime.journal import Journal
from slipstream.transport.clock import Clock
from slipstream.units import NS_PER_MS, NS_PER_S, Px, Qty, TimeNs, VenueMs
from slipstream.venues.base import VenueTraits

_US_PER_MS: Final = 1_000
_SKEW_MS: Final = 2_000

OnResolved = Callable[[Leg, OrderReport | None, TimeNs], None]


class Resolver:
    """Unknown orders of one cohort."""

    def __init__(
        self,
        *,
        followers: Mapping[FollowerId, Follower],
        traits: VenueTraits,
        clock: Clock,
        journal: Journal,
        at_point: points.AtPoint = points.pass_by,
    ) -> None:
        """Keep the partners."""
        self._at_point = at_point
        self._followers = followers
        self._traits = traits
        self._clock = clock
        self._journal = journal
        self._on_resolved: OnResolved | None = None
        self._machines: dict[FollowerId, UnknownOrders] = {}
        self._legs: dict[ClientOrderId, Leg] = {}
        self._tasks: dict[FollowerId, asyncio.Task[None]] = {}

    def bind(self, on_resolved: OnResolved) -> None:
        """Say who gets the truth: the report, or ``None`` for an absent order."""
        self._on_resolved = on_resolved

    def add(self, leg: Leg) -> None:
        """Take over a leg whose newest order is unknown."""
        follower = leg.member.follower
        machine = self._machines.get(follower)
        if machine is None:
            machine = self._machines[follower] = UnknownOrders(
                absent_after_ns=self._traits.absent_after_ns,
                lookup_lag_ns=self._traits.lookup_lag_ns,
            )
        attempt = leg.current
        now_ns = self._clock.now_ns()
        self._legs[attempt.request.client_order_id] = leg
        machine.add(
            attempt.request.client_order_id,
            attempt.request.symbol,
            sent_ns=attempt.sent_ns or now_ns,
            now_ns=now_ns,
        )
        if follower not in self._tasks:
            task = asyncio.create_task(self._run(follower, machine))
            self._tasks[follower] = task
            task.add_done_callback(lambda _: self._tasks.pop(follower, None))

    async def close(self) -> None:
        """Stop asking; what is still unknown stays so in the ledger."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, follower: FollowerId, machine: UnknownOrders) -> None:
        while (deadline_ns := machine.next_deadline()) is not None:
            await asyncio.sleep(max(0, deadline_ns - self._clock.now_ns()) / NS_PER_S)
            effects = machine.on_deadline(now_ns=self._clock.now_ns())
            while effects:
                effects = await self._carry_out(follower, machine, effects)

    async def _carry_out(
        self, follower: FollowerId, machine: UnknownOrders, effects: list[UnknownEffect]
    ) -> list[UnknownEffect]:
        more: list[UnknownEffect] = []
        for effect in effects:
            match effect:
                case QueryOrder() | ReadOrderFills():
                    more += await self._ask(follower, machine, effect)
                case OrderFound(name, report):
                    self._resolve(name, report)
                case OrderFilledUnlisted(name, qty):
                    self._resolve(name, self._report_of_fills(name, qty))
                case OrderAbsent(name):
                    self._resolve(name, None)
                case OrderUnresolved(name, symbol, age_ns):
                    self._journal.incident(
                        "ORDER_UNRESOLVED",
                        follower=follower,
                        detail=f"{symbol} {name} unknown for {age_ns // NS_PER_S} s",
                    )
        return more

    async def _ask(
        self,
        follower: FollowerId,
        machine: UnknownOrders,
        question: QueryOrder | ReadOrderFills,
    ) -> list[UnknownEffect]:
        name = question.client_order_id
        gateway = self._followers[follower].gateway
        self._at_point(points.ORDER_ASKED_ABOUT)
        try:
            if isinstance(question, QueryOrder):
                report = await gateway.order(question.symbol, name)
                return machine.on_report(name, report, now_ns=self._clock.now_ns())
            fills, _ = await gateway.fills_since(question.symbol, None)
        except (VenueError, FeedError):
            machine.on_failure(name, now_ns=self._clock.now_ns())
            return []
        unexplained = self._unexplained(follower, fills, question.sent_ns)
        return machine.on_fills(name, unexplained, now_ns=self._clock.now_ns())

    def _unexplained(self, follower: FollowerId, fills: list[Fill], sent_ns: TimeNs) -> list[Fill]:
        """Return fills since a send that no order we know of accounts for."""
        age_ms = (self._clock.now_ns() - sent_ns) // NS_PER_MS
        since_ms = self._clock.wall_us() // _US_PER_MS - age_ms - _SKEW_MS
        known = self._followers[follower].order_ids
        return [
            fill for fill in fills if fill.venue_ts_ms >= since_ms and fill.id.order_id not in known
        ]

    def _report_of_fills(self, name: ClientOrderId, qty: int) -> OrderReport:
        request = self._legs[name].current.request
        return OrderReport(
            client_order_id=name,
            venue_order_id="",
            symbol=request.symbol,
            state=OrderState.EXPIRED,
            filled_qty=Qty(qty),
            average_px=Px(request.limit_px),
            venue_ts_ms=VenueMs(self._clock.wall_us() // _US_PER_MS),
        )

    def _resolve(self, name: ClientOrderId, report: OrderReport | None) -> None:
        leg = self._legs.pop(name, None)
        self._at_point(points.ORDER_RESOLVED)
        if leg is not None and self._on_resolved is not None:
            self._on_resolved(leg, report, self._clock.now_ns())
