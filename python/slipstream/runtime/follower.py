"""One follower: its own connection, account state, switches and breaker.

A bulkhead. Whatever happens in here (a refused key, a hanging socket, a flood of events) is this
follower's alone; what others see of it is the rows of the tables it belongs to.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from slipstream._core import Rounding, SkipReason, mul_div
from slipstream.config.model import FollowerConfig, StalePolicy
from slipstream.domain.fill import (
    AccountSnapshot,
    AccountUpdate,
    LeverageUpdate,
    PositionDoubt,
)
from slipstream.domain.ids import FollowerId, LeaderId
from slipstream.engine.breaker import Breaker
from slipstream.engine.cohort import Cohort
from slipstream.engine.effects import ReportIncident
from slipstream.errors import CoreError, UnknownOutcome, VenueError
from slipstream.runtime.holdings import Holdings
from slipstream.runtime.hub import VenueHub
from slipstream.store.base import Line
from slipstream.transport.clock import Clock
from slipstream.units import TimeNs
from slipstream.venues.base import AccountEvent, AccountFeed, FeedDown, FeedUp, OrderGateway

_PPM: Final = 1_000_000
_US_PER_DAY: Final = 86_400_000_000
ORDER_IDS_MAX: Final = 512
"""Venue order ids remembered per follower: what a lookup of fills is compared with."""

GATES: Final = (
    SkipReason.KILL_SWITCH,
    SkipReason.FROZEN,
    SkipReason.FOLLOWER_PAUSED,
    SkipReason.CLOSE_ONLY,
    SkipReason.OPEN_ONLY,
    SkipReason.BREAKER_OPEN,
    SkipReason.LEADER_STALE,
)
"""What may be switched for a whole follower, in order of precedence."""

OPEN_STOPPERS: Final = (
    SkipReason.KILL_SWITCH.mask
    | SkipReason.FROZEN.mask
    | SkipReason.FOLLOWER_PAUSED.mask
    | SkipReason.CLOSE_ONLY.mask
    | SkipReason.BREAKER_OPEN.mask
    | SkipReason.LEADER_STALE.mask
)
REDUCTION_STOPPERS: Final = SkipReason.FROZEN.mask | SkipReason.OPEN_ONLY.mask


@dataclass(slots=True)
class Membership:
    """A follower's place in one cohort."""

    cohort: Cohort
    row: int
    leverage_max: int | None
    allows: frozenset[str]
    denies: frozenset[str]
    gates: int = 0
    """What the operator switched on for this follower under this leader, as a mask."""
    symbol_gates: dict[str, int] = field(default_factory=dict)
    """The same for single symbols."""
    unsynced: dict[str, int | None] = field(default_factory=dict)
    """Symbols whose leverage could not be set, each with the leader's leverage."""

    is_stale: bool = False
    """Whether the follower's stale-leader policy stops opens now."""
    line: Line = field(default_factory=Line)
    """What is written of the cohort's lanes."""

    @property
    def mask(self) -> int:
        """What is switched on for the whole mirror."""
        return self.gates | (SkipReason.LEADER_STALE.mask if self.is_stale else 0)

    def is_allowed(self, symbol: str, base: str) -> bool:
        """Whether the mirror may open a symbol: named as listed, or by what it is a contract on."""
        names = {symbol.upper(), base.upper()}
        return not names & self.denies and (not self.allows or bool(names & self.allows))


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
        venue_us: Callable[[], int] | None = None,
    ) -> None:
        """Keep the partners; nothing is opened yet. ``venue_us``: the venue's clock, which says
        when a day begins; ``None`` = our wall clock."""
        self._venue_us = venue_us or clock.wall_us
        self.config = config
        self.id = FollowerId(config.id)
        self.gateway = gateway
        self.breaker = Breaker()
        self.memberships: list[Membership] = []
        self.gates = 0
        self.is_ready = False
        self.is_streaming = False
        self._was_streaming = False
        self._feed = feed
        self._hub = hub
        self._clock = clock
        self._holdings = Holdings()
        self.doubted: set[str] = set()
        """Symbols whose position the venue stated anew: to be compared with ours."""
        self.stated_ns = TimeNs(0)
        """When the venue last stated the account."""
        self.is_reading_wanted = False
        self.is_reading_failed = False
        self.is_hedge = False
        self.order_ids: deque[str] = deque(maxlen=ORDER_IDS_MAX)
        self._day = -1
        self._day_start_equity = 0
        self._peak_equity = 0

    async def start(self) -> AccountSnapshot:
        """Open the connection and take over the account as it stands.

        Raises:
            VenueError: the venue cannot be reached or refused the key.
        """
        await self.gateway.start()
        snapshot = await self.gateway.account()
        self._believe(snapshot)
        self.is_ready = True
        return snapshot

    async def run_feed(self) -> None:
        """Follow the account's stream until cancelled."""
        await self._feed.run(self.on_events)

    async def close(self) -> None:
        """Close the connection."""
        await self.gateway.close()

    async def reread(self) -> None:
        """Read the whole account anew.

        Raises:
            VenueError: the venue did not answer.
        """
        self.is_reading_wanted = False
        self._believe(await self.gateway.account())

    def _believe(self, snapshot: AccountSnapshot) -> None:
        try:
            self.on_snapshot(snapshot)
        except (CoreError, OverflowError) as error:
            raise UnknownOutcome(f"the account's numbers do not fit: {error}") from error

    def on_snapshot(self, snapshot: AccountSnapshot) -> None:
        """Replace what is known by a whole reading."""
        self.doubted |= self._holdings.replace(snapshot)
        if self.is_hedge != snapshot.is_hedge:
            self.is_hedge = snapshot.is_hedge
            for membership in self.memberships:
                membership.cohort.table.set_mode(membership.row, is_hedge=self.is_hedge)
        self.stated_ns = snapshot.received_ns
        self._publish(snapshot.received_ns, equity=snapshot.equity, free=snapshot.available)
        if self.gates & SkipReason.FOLLOWER_STATE_STALE.mask:
            self.set_gate(SkipReason.FOLLOWER_STATE_STALE, is_on=False)

    def join(self, membership: Membership) -> None:
        """Take a place in a cohort, instead of an earlier one under the same leader."""
        leader = membership.cohort.leader
        self.memberships = [each for each in self.memberships if each.cohort.leader != leader]
        self.memberships.append(membership)
        # What was missed meanwhile is read before such a follower opens anything.
        membership.is_stale = self.config.stale_leader is not StalePolicy.HOLD
        membership.cohort.table.set_mode(membership.row, is_hedge=self.is_hedge)
        self._set_row_gates(membership)
        self.doubted |= self._holdings.held_symbols() | set(membership.cohort.symbols)
        if self.is_ready:
            self._publish(self.stated_ns)

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
        """Take what the stream brought. Fills are ours: the order's own answer tells of them.

        Never raises: numbers that do not fit are not believed, the account is read instead, and
        until that worked this follower does not open.
        """
        for event in events:
            try:
                self._on_event(event)
            except (CoreError, OverflowError):
                self.is_reading_wanted = True
                self.set_gate(SkipReason.FOLLOWER_STATE_STALE, is_on=True)

    def _on_event(self, event: AccountEvent) -> None:
        if isinstance(event, AccountUpdate):
            self._on_account_update(event)
        elif isinstance(event, LeverageUpdate):
            self._on_leverage(event)
        elif isinstance(event, FeedUp):
            # What happened while nobody listened is read.
            self.is_reading_wanted = self.is_reading_wanted or self._was_streaming
            self.is_streaming = self._was_streaming = True
        elif isinstance(event, FeedDown):
            self.is_streaming = False
        elif isinstance(event, PositionDoubt):
            self.is_reading_wanted = True

    def _on_account_update(self, update: AccountUpdate) -> None:
        self.doubted |= self._holdings.update(update)
        self.stated_ns = update.received_ns
        self._publish(update.received_ns)

    def _on_leverage(self, update: LeverageUpdate) -> None:
        self._holdings.set_leverage(update.symbol, update.leverage)
        for membership in self.memberships:
            index = membership.cohort.symbols.get(update.symbol)
            if index is not None:
                membership.cohort.table.set_leverage(membership.row, index, update.leverage)

    def venue_qty(self, symbol: str, side: int) -> int:
        """Return the position the venue last stated (signed, 10**-8)."""
        return self._holdings.qty(symbol, side)

    def _publish(
        self, now_ns: TimeNs, *, equity: int | None = None, free: int | None = None
    ) -> None:
        """Write equity and free margin into this follower's rows."""
        if equity is None:
            equity, used = self._holdings.value(self._hub.books.mark_px)
            free = equity - used
        self._peak_equity = max(self._peak_equity, equity)
        day = self._venue_us() // _US_PER_DAY
        # A clock that steps back must not begin a day, and its loss cap, a second time.
        if day > self._day:
            self._day, self._day_start_equity = day, equity
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

    def set_gate(self, reason: SkipReason, *, is_on: bool) -> None:
        """Switch one of this follower's gates."""
        self.gates = self.gates | reason.mask if is_on else self.gates & ~reason.mask
        for membership in self.memberships:
            self._set_row_gates(membership)

    def _set_row_gates(self, membership: Membership) -> None:
        membership.cohort.table.set_gates(membership.row, self.gates | membership.mask)

    def set_stale(self, leader: LeaderId, *, is_on: bool) -> None:
        """Stop opens under a leader, or let them pass again, as the stale-leader policy says."""
        for membership in self.memberships:
            if membership.cohort.leader == leader and membership.is_stale != is_on:
                membership.is_stale = is_on
                self._set_row_gates(membership)

    def set_switches(
        self, membership: Membership, gates: int, symbol_gates: dict[str, int]
    ) -> None:
        """Put what the operator switched on into force, for a cohort and for single symbols."""
        touched = set(membership.symbol_gates) | set(symbol_gates)
        membership.gates, membership.symbol_gates = gates, symbol_gates
        self._set_row_gates(membership)
        for symbol in touched:
            if symbol in membership.cohort.symbols:
                self._set_lane_gates(membership, symbol)

    def refusal(self, leader: LeaderId, symbol: str, *, is_opening: bool) -> str | None:
        """Return why nothing may be sent for this follower now, ``None`` when it may."""
        gates = self.gates
        for membership in self.memberships:
            if membership.cohort.leader == leader:
                gates |= membership.mask | membership.symbol_gates.get(symbol, 0)
        mask = gates & (OPEN_STOPPERS if is_opening else REDUCTION_STOPPERS)
        if not mask:
            return None
        return next(reason.code for reason in GATES if reason.mask & mask)

    async def sync_leverage(
        self, membership: Membership, symbol: str, leader_leverage: int | None
    ) -> str | None:
        """Bring the account's leverage to min(leader's, cap); return what went wrong, if anything.

        Off the way of a fill. An open on a symbol whose sync failed is blocked, a close never.
        """
        index = membership.cohort.symbol_index(symbol)
        current = self._holdings.leverage(symbol)
        wanted = leader_leverage or current
        if wanted is not None and membership.leverage_max is not None:
            wanted = min(wanted, membership.leverage_max)
        failure: str | None = None
        if wanted not in (None, current) and self.config.mode == "live":
            # Blocked from here on, so that one who does not answer holds up nobody else.
            membership.unsynced[symbol] = leader_leverage
            self._set_lane_gates(membership, symbol)
            failure = await self._set_leverage(symbol, wanted)
        membership.cohort.table.set_leverage(membership.row, index, current if failure else wanted)
        if failure is None:
            membership.unsynced.pop(symbol, None)
        self._set_lane_gates(membership, symbol)
        return failure

    async def _set_leverage(self, symbol: str, leverage: int) -> str | None:
        if not self.is_ready:
            return "the account is not ready"
        try:
            await self.gateway.set_leverage(symbol, leverage)
        except VenueError as error:
            return str(error)
        return None

    def _set_lane_gates(self, membership: Membership, symbol: str) -> None:
        gates = membership.symbol_gates.get(symbol, 0)
        if symbol in membership.unsynced:
            gates |= SkipReason.LEVERAGE_SYNC_FAILED.mask
        if not membership.is_allowed(symbol, self._hub.instruments[symbol].base):
            gates |= SkipReason.SYMBOL_DENIED.mask
        index = membership.cohort.symbol_index(symbol)
        membership.cohort.table.set_lane_gates(membership.row, index, gates)
