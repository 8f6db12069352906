"""Ask venues about orders whose fate is unknown, one task per follower that has any.

The rules are ``engine/unknown.py``'s; here is only the asking. A follower whose questions hang
holds up nobody else's.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from slipstream._core import format_fixed
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

_SKEW_MS: Final = 2_000
_NAMES_MAX: Final = 20
"""Orders asked about at a time (weight 1 each); the others follow with the next question."""

OnResolved = Callable[[Leg, OrderReport | None, TimeNs], None]


SETTLED: Final = "SETTLED"
"""The reason of an order whose end the operator stated."""


class Unresolved(NamedTuple):
    """One order whose fate is unknown. ``age_ns``: since it was sent."""

    follower: FollowerId
    client_order_id: ClientOrderId
    symbol: str
    age_ns: int


class Resolver:
    """Unknown orders of one cohort."""

    def __init__(
        self,
        *,
        followers: Mapping[FollowerId, Follower],
        traits: VenueTraits,
        clock: Clock,
        venue_ms: Callable[[], int],
        journal: Journal,
        at_point: points.AtPoint = points.pass_by,
    ) -> None:
        """Keep the partners. ``venue_ms``: the clock of the venue that dates the fills."""
        self._venue_ms = venue_ms
        self._at_point = at_point
        self._followers = followers
        self._traits = traits
        self._clock = clock
        self._journal = journal
        self._on_resolved: OnResolved | None = None
        self._machines: dict[FollowerId, UnknownOrders] = {}
        self._legs: dict[ClientOrderId, Leg] = {}
        self._since_ms: dict[ClientOrderId, VenueMs] = {}
        self._tasks: dict[FollowerId, asyncio.Task[None]] = {}

    def bind(self, on_resolved: OnResolved) -> None:
        """Say who gets the truth: the report, or ``None`` for an absent order."""
        self._on_resolved = on_resolved

    def add(self, leg: Leg, *, since_ms: VenueMs | None = None) -> None:
        """Take over a leg whose newest order is unknown.

        ``since_ms``: an earlier process claimed it, after that time; nobody can have sent it later
        than this process began, which is now at the latest.
        """
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
            is_due=since_ms is not None,
        )
        if since_ms is None:
            # Now, for a venue's clock that is read anew later may have been put right by then.
            age_ms = 0 if attempt.sent_ns is None else (now_ns - attempt.sent_ns) // NS_PER_MS
            since_ms = VenueMs(self._venue_ms() - age_ms)
        self._since_ms.setdefault(attempt.request.client_order_id, since_ms)
        if follower not in self._tasks:
            task = asyncio.create_task(self._run(follower, machine))
            self._tasks[follower] = task
            task.add_done_callback(lambda _: self._tasks.pop(follower, None))

    def unresolved(self) -> list[Unresolved]:
        """Return the orders whose fate is unknown now, the oldest first."""
        now_ns = self._clock.now_ns()
        found = [
            Unresolved(follower, name, symbol, now_ns - sent_ns)
            for follower, machine in self._machines.items()
            for name, symbol, sent_ns in machine.unresolved()
        ]
        return sorted(found, key=lambda each: -each.age_ns)

    def settle(
        self, follower: FollowerId, name: ClientOrderId, filled_qty: int, px: int | None
    ) -> str | None:
        """End an unknown order by the operator's word; return why that cannot be.

        ``filled_qty`` at 10**-8; ``px``: its average price, ``None`` = the order's limit.
        """
        machine, leg = self._machines.get(follower), self._legs.get(name)
        if machine is None or leg is None or leg.member.follower != follower:
            return f"no unresolved order {name} of {follower}"
        request = leg.current.request
        if not 0 <= filled_qty <= request.qty:
            most, found = format_fixed(request.qty), format_fixed(filled_qty)
            return f"--filled: expected 0 to {most}, found {found}"
        machine.drop(name)
        leg.reason = SETTLED
        report = self._report_of_fills(name, filled_qty)
        if not filled_qty:
            report = replace(report, average_px=None)
        elif px is not None:
            report = replace(report, average_px=Px(px))
        self._resolve(name, report)
        return None

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
            unexplained = self._unexplained(follower, fills, question)
            unexplained = await self._named(follower, unexplained, question)
        except (VenueError, FeedError):
            machine.on_failure(name, now_ns=self._clock.now_ns())
            return []
        return machine.on_fills(name, unexplained, now_ns=self._clock.now_ns())

    def _unexplained(
        self, follower: FollowerId, fills: list[Fill], question: ReadOrderFills
    ) -> list[Fill]:
        """Return fills on an order's side since its send that no order we know of accounts for."""
        name = question.client_order_id
        leg = self._legs.get(name)
        if leg is None:
            return []
        since_ms = self._since_ms[name]
        side, known = leg.current.request.side, self._followers[follower].order_ids
        return [
            fill
            for fill in fills
            if (fill.client_order_id == name or fill.venue_ts_ms >= since_ms - _SKEW_MS)
            and fill.side is side
            and fill.id.order_id not in known
        ]

    async def _named(
        self, follower: FollowerId, fills: list[Fill], question: ReadOrderFills
    ) -> list[Fill]:
        """Ask whose the fills are that name no order; return those that are no other order's.

        Trades carry the venue's order id alone, and of orders of an earlier process or of
        somebody else's we may know none. What the venue does not answer for stays unexplained.

        Raises:
            VenueError: the venue did not answer.
        """
        whose = self._followers[follower]
        nameless = dict.fromkeys(fill.id.order_id for fill in fills if not fill.client_order_id)
        names: dict[str, ClientOrderId | None] = {}
        for order_id in list(nameless)[:_NAMES_MAX]:
            found = names[order_id] = await whose.gateway.name_of(question.symbol, order_id)
            if found and found != question.client_order_id:
                whose.order_ids.append(order_id)
        named = [
            replace(fill, client_order_id=names.get(fill.id.order_id) or fill.client_order_id)
            for fill in fills
        ]
        return [fill for fill in named if fill.client_order_id in {"", question.client_order_id}]

    def _report_of_fills(self, name: ClientOrderId, qty: int) -> OrderReport:
        request = self._legs[name].current.request
        return OrderReport(
            client_order_id=name,
            venue_order_id="",
            symbol=request.symbol,
            state=OrderState.EXPIRED,
            filled_qty=Qty(qty),
            average_px=Px(request.limit_px),
            venue_ts_ms=VenueMs(self._venue_ms()),
        )

    def _resolve(self, name: ClientOrderId, report: OrderReport | None) -> None:
        leg = self._legs.pop(name, None)
        self._since_ms.pop(name, None)
        self._at_point(points.ORDER_RESOLVED)
        if leg is not None and self._on_resolved is not None:
            self._on_resolved(leg, report, self._clock.now_ns())
