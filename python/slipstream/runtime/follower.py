"""One follower: its own connection, account state, switches and breaker.

A bulkhead. Whatever happens in here (a refused key, a hanging socket, a flood of events) is this
follower's alone; what others see of it is the rows of the tables it belongs to.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from slipstream._core import Rounding, SkipReason, mul_div, quote_value
from slipstream.config.model import FollowerConfig
from slipstream.domain.fill import AccountSnapshot, AccountUpdate, LeverageUpdate
from slipstream.domain.ids import FollowerId
from slipstream.engine.breaker import Breaker
from slipstream.engine.cohort import Cohort
from slipstream.engine.effects import ReportIncident
from slipstream.errors import SlipstreamError, VenueError
from slipstream.runtime.hub import VenueHub
from slipstream.transport.clock import Clock
from slipstream.units import Quote, TimeNs
from slipstream.venues.base import AccountEvent, AccountFeed, OrderGateway

_PPM: Final = 1_000_000
ORDER_IDS_MAX: Final = 512
"""Venue order ids remembered per follower: what a lookup of fills is compared with."""

OPEN_STOPPERS: Final = (
    SkipReason.KILL_SWITCH.mask
    | SkipReason.FROZEN.mask
    | SkipReason.FOLLOWER_PAUSED.mask
    | SkipReason.CLOSE_ONLY.mask
    | SkipReason.BREAKER_OPEN.mask
)
REDUCTION_STOPPERS: Final = SkipReason.FROZEN.mask | SkipReason.OPEN_ONLY.mask


@dataclass(slots=True)
class _Holding:
    """One position as the venue last stated it."""

    qty: int = 0
    entry_px: int | None = None
    leverage: int | None = None


@dataclass(slots=True)
class Membership:
    """A follower's place in one cohort."""

    cohort: Cohort
    row: int
    leverage_max: int | None
    allows: frozenset[str]
    denies: frozenset[str]
    synced: set[str] = field(default_factory=set)


class Follower:
    """A follower as the running engine knows it."""

    def __init__(
        self,
        config: FollowerConfig,
        *,
        gateway: OrderGateway,
        feed: AccountFeed,
        hub: VenueHub,
        clock: Clock,
    ) -> None:
        """Keep the partners; nothing is opened yet."""
        self.config = config
        self.id = FollowerId(config.id)
        self.gateway = gateway
        self.breaker = Breaker()
        self.memberships: list[Membership] = []
        self.gates = 0
        self.is_ready = False
        self._feed = feed
        self._hub = hub
        self._clock = clock
        self._wallet = 0
        self._holdings: dict[tuple[str, int], _Holding] = {}
        self.is_hedge = False
        self.order_ids: deque[str] = deque(maxlen=ORDER_IDS_MAX)
        self._day_start_equity: int | None = None
        self._peak_equity = 0

    async def start(self) -> AccountSnapshot:
        """Open the connection and take over the account as it stands.

        Raises:
            VenueError: the venue cannot be reached or refused the key.
        """
        await self.gateway.start()
        snapshot = await self.gateway.account()
        self.on_snapshot(snapshot)
        self.is_ready = True
        return snapshot

    async def run_feed(self) -> None:
        """Follow the account's stream until cancelled."""
        await self._feed.run(self.on_events)

    async def close(self) -> None:
        """Close the connection."""
        await self.gateway.close()

    def on_snapshot(self, snapshot: AccountSnapshot) -> None:
        """Replace what is known by a whole reading."""
        self._wallet = snapshot.wallet
        for position in snapshot.positions:
            self._holdings[position.symbol, position.position_side.value] = _Holding(
                position.qty, position.entry_px, position.leverage
            )
        self.is_hedge = snapshot.is_hedge
        self._publish(snapshot.received_ns, equity=snapshot.equity, free=snapshot.available)

    def join(self, membership: Membership) -> None:
        """Take a place in a cohort, instead of an earlier one under the same leader."""
        leader = membership.cohort.leader
        self.memberships = [each for each in self.memberships if each.cohort.leader != leader]
        self.memberships.append(membership)
        membership.cohort.table.set_mode(membership.row, is_hedge=self.is_hedge)
        membership.cohort.table.set_gates(membership.row, self.gates)
        if self.is_ready:
            self._publish(self._clock.now_ns())

    def on_accepted(self, venue_order_id: str) -> None:
        """The venue took an order."""
        self.order_ids.append(venue_order_id)
        self.breaker.on_accepted()
        if self.gates & SkipReason.BREAKER_OPEN.mask:
            self.half_open()

    def on_refused(self, reason: str, now_ns: TimeNs) -> list[ReportIncident]:
        """The venue refused an order: enough of them in a row stop this follower's opens."""
        effects = self.breaker.on_refused(reason, now_ns=now_ns)
        incidents = [each for each in effects if isinstance(each, ReportIncident)]
        if incidents:
            self.set_gate(SkipReason.BREAKER_OPEN, is_on=True)
        return incidents

    def breaker_pause_ns(self, now_ns: TimeNs) -> TimeNs:
        """Return how long the breaker stays open from now."""
        until_ns = self.breaker.next_deadline(now_ns=now_ns)
        return TimeNs(0 if until_ns is None else until_ns - now_ns)

    def half_open(self) -> None:
        """Let opens pass again: the next answer decides."""
        self.set_gate(SkipReason.BREAKER_OPEN, is_on=False)

    def on_events(self, events: Sequence[AccountEvent]) -> None:
        """Take what the stream brought. Fills are ours: the order's own answer tells of them."""
        for event in events:
            if isinstance(event, AccountUpdate):
                self._on_account_update(event)
            elif isinstance(event, LeverageUpdate):
                self._on_leverage(event)

    def _on_account_update(self, update: AccountUpdate) -> None:
        if update.wallet is not None:
            self._wallet = update.wallet
        for position in update.positions:
            key = (position.symbol, position.position_side.value)
            holding = self._holdings.setdefault(key, _Holding())
            holding.qty = position.qty
            holding.entry_px = position.entry_px
        self._publish(update.received_ns)

    def _on_leverage(self, update: LeverageUpdate) -> None:
        for key, holding in self._holdings.items():
            if key[0] == update.symbol:
                holding.leverage = update.leverage
        for membership in self.memberships:
            index = membership.cohort.symbols.get(update.symbol)
            if index is not None:
                membership.cohort.table.set_leverage(membership.row, index, update.leverage)

    def venue_qty(self, symbol: str, side: int) -> int:
        """Return the position the venue last stated (signed, 10**-8)."""
        holding = self._holdings.get((symbol, side))
        return 0 if holding is None else holding.qty

    def _publish(
        self, now_ns: TimeNs, *, equity: int | None = None, free: int | None = None
    ) -> None:
        """Write equity and free margin into this follower's rows."""
        if equity is None:
            equity, used = self._value()
            free = equity - used
        self._peak_equity = max(self._peak_equity, equity)
        if self._day_start_equity is None:
            self._day_start_equity = equity
        drawdown = 0
        if self._peak_equity > 0:
            lost = self._peak_equity - equity
            drawdown = mul_div(lost, _PPM, self._peak_equity, Rounding.UP)
        for membership in self.memberships:
            membership.cohort.table.set_account(
                membership.row,
                equity=equity,
                free_margin=max(0, free or 0),
                day_pnl=equity - self._day_start_equity,
                drawdown_ppm=drawdown,
                ts_ns=now_ns,
            )

    def _value(self) -> tuple[Quote, Quote]:
        """Return equity at mark and an estimate of the margin in use between two readings."""
        equity, used = self._wallet, 0
        for (symbol, _), holding in self._holdings.items():
            if not holding.qty:
                continue
            mark = self._hub.books.mark_px(symbol) or holding.entry_px
            if mark is None:
                continue
            if holding.entry_px is not None:
                equity += quote_value(mark - holding.entry_px, holding.qty, Rounding.FLOOR)
            value = quote_value(mark, abs(holding.qty), Rounding.UP)
            used += mul_div(value, 1, holding.leverage or 1, Rounding.UP)
        return Quote(equity), Quote(used)

    def set_gate(self, reason: SkipReason, *, is_on: bool) -> None:
        """Switch one of this follower's gates."""
        self.gates = self.gates | reason.mask if is_on else self.gates & ~reason.mask
        for membership in self.memberships:
            membership.cohort.table.set_gates(membership.row, self.gates)

    def refusal(self, *, is_opening: bool) -> str | None:
        """Return why nothing may be sent for this follower now, ``None`` when it may."""
        mask = self.gates & (OPEN_STOPPERS if is_opening else REDUCTION_STOPPERS)
        if not mask:
            return None
        return next(reason.code for reason in SkipReason if reason.mask & mask)

    async def sync_leverage(
        self, membership: Membership, symbol: str, leader_leverage: int | None
    ) -> str | None:
        """Bring the account's leverage to min(leader's, cap); return what went wrong, if anything.

        Off the way of a fill. An open on a symbol whose sync failed is blocked, a close never.
        """
        table, row = membership.cohort.table, membership.row
        index = membership.cohort.symbol_index(symbol)
        current = self._leverage_of(symbol)
        wanted = leader_leverage or current
        if wanted is None:
            return None
        if membership.leverage_max is not None:
            wanted = min(wanted, membership.leverage_max)
        failure: str | None = None
        if wanted != current and self.config.mode == "live":
            try:
                await self.gateway.set_leverage(symbol, wanted)
            except VenueError as error:
                failure = str(error)
        table.set_leverage(row, index, current if failure else wanted)
        table.set_lane_gates(row, index, self._lane_gates(membership, symbol, failure))
        if failure is None:
            membership.synced.add(symbol)
        return failure

    def _leverage_of(self, symbol: str) -> int | None:
        for key, holding in self._holdings.items():
            if key[0] == symbol and holding.leverage is not None:
                return holding.leverage
        return None

    @staticmethod
    def _lane_gates(membership: Membership, symbol: str, failure: str | None) -> int:
        gates = SkipReason.LEVERAGE_SYNC_FAILED.mask if failure else 0
        is_allowed = not membership.allows or symbol in membership.allows
        if symbol in membership.denies or not is_allowed:
            gates |= SkipReason.SYMBOL_DENIED.mask
        return gates


async def start_all(followers: Sequence[Follower], *, width: int = 32) -> dict[FollowerId, str]:
    """Start followers side by side; return what kept each of the failed ones out."""
    places = asyncio.Semaphore(width)
    failures: dict[FollowerId, str] = {}

    async def start(follower: Follower) -> None:
        async with places:
            try:
                await follower.start()
            except SlipstreamError as error:
                failures[follower.id] = f"{type(error).__name__}: {error}"

    async with asyncio.TaskGroup() as group:
        for follower in followers:
            group.create_task(start(follower))
    return failures
