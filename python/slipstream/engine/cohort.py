"""One leader's followers on one venue: what each of them is to do about an event.

The cohort owns the follower table (targets, positions, limits) and turns a leader's intent into
planned legs and the ledger rows that make them durable. It decides; it never sends, and it
never reads a clock. All arithmetic is the core's (``plan_cohort``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from slipstream._core import (
    BookView,
    CohortIntent,
    CohortPlan,
    DepthReservation,
    FollowerLimits,
    FollowerTable,
    LedgerNames,
    OrderPlan,
    PositionSide,
    SizingRule,
    plan_cohort,
)
from slipstream.domain.cohort import LegRow
from slipstream.domain.ids import ClientOrderId, FollowerId, IntentId, LeaderId, follower_key
from slipstream.domain.instrument import Instrument
from slipstream.domain.intent import MirrorIntent
from slipstream.domain.order import OrderRequest
from slipstream.engine.lane import with_orders
from slipstream.engine.leglife import Leg
from slipstream.engine.wishes import Wishes
from slipstream.units import TARGET_PER_QTY, Px, Qty, TimeNs

INTENT_AGE_NS_MAX: Final = 5_000_000_000
"""As ``FollowerLimits`` has it when nothing else is configured."""

_PPM: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Member:
    """One follower of the cohort, by its row in the table."""

    row: int
    follower: FollowerId
    venue: str
    account: str
    mode: str
    intent_age_ns_max: int = INTENT_AGE_NS_MAX
    """Older intents open nothing; asked again when a claim is durable."""


@dataclass(frozen=True, slots=True)
class Market:
    """What is known of one instrument's market at one instant.

    ``mid_px`` belongs to book sequence ``mid_sequence``, which is newer than the view's when a
    real-time best bid and offer has come since. ``gates`` is a mask of skip reasons that hold for
    everybody (halted, gapped, stale leader).
    """

    instrument: Instrument
    view: BookView | None
    mark_px: Px | None
    mid_px: Px | None = None
    mid_sequence: int | None = None
    gates: int = 0


@dataclass(slots=True)
class Event:
    """One intent on its way through one cohort.

    ``arrival_px`` and ``arrival_sequence`` belong to the book that stood when the intent was
    built; they are never renewed.
    """

    intent: MirrorIntent
    symbol: str
    symbol_index: int
    arrival_px: Px | None
    arrival_sequence: int | None
    rotation: int
    number: int | None = None
    """Counts the leader's events in this cohort; ``None`` for what stands beside them."""
    legs: dict[tuple[int, int], Leg] = field(default_factory=dict)
    """By (row, leg)."""


@dataclass(slots=True)
class Planned:
    """One planning pass: the rows that make it durable, then its legs.

    ``rows`` are there at once, so that the commit can begin; legs are made when they are needed
    (``Cohort.take``, ``Cohort.take_legs``). ``planned_ns``: when the pass was planned.
    """

    event: Event
    plan: CohortPlan
    rows: list[LegRow]
    planned_ns: TimeNs
    legs: list[Leg] = field(default_factory=list)
    """To be sent, in the fair order."""
    ended: list[Leg] = field(default_factory=list)
    delayed: list[Leg] = field(default_factory=list)
    superseded: list[Leg] = field(default_factory=list)


class Cohort:
    """Followers of one leader on one venue. Owned by the leader's pipeline."""

    def __init__(self, leader: LeaderId) -> None:
        """Start empty."""
        self.leader = leader
        self.table = FollowerTable()
        self.members: list[Member] = []
        self._names = LedgerNames()
        self._row_by_follower: dict[FollowerId, int] = {}
        self._symbols: dict[str, int] = {}
        self.wishes = Wishes()
        self._rotation = 0
        self._event_count = 0
        self._newest: dict[int, int] = {}
        self._newest_intent: dict[int, IntentId] = {}

    def add(
        self,
        follower: FollowerId,
        *,
        venue: str,
        account: str,
        mode: str,
        sizing: SizingRule,
        limits: FollowerLimits,
        is_hedge: bool,
        is_dedicated: bool,
        intent_age_ns_max: int = INTENT_AGE_NS_MAX,
    ) -> Member:
        """Add a follower; its row is its place in ``members``."""
        row = self.table.add(
            sizing=sizing, limits=limits, is_hedge=is_hedge, is_dedicated=is_dedicated
        )
        member = Member(row, follower, venue, account, mode, intent_age_ns_max)
        self.members.append(member)
        self._names.add(follower, key=follower_key(follower), claimant=f"{venue}|{account}")
        self._row_by_follower[follower] = row
        return member

    def row_of(self, follower: FollowerId) -> int | None:
        """Return a follower's row, ``None`` when it does not follow this leader here."""
        return self._row_by_follower.get(follower)

    @property
    def symbols(self) -> dict[str, int]:
        """Every symbol seen so far, with its index in the table."""
        return self._symbols

    def symbol_index(self, symbol: str) -> int:
        """Return the table's index of a symbol, giving it one at first sight."""
        return self._symbols.setdefault(symbol, len(self._symbols))

    def is_current(self, event: Event) -> bool:
        """Return whether no newer event has planned the symbol's lanes since."""
        return event.number is None or event.number >= self._newest.get(event.symbol_index, 0)

    def newest_intent(self, symbol_index: int) -> IntentId | None:
        """Return the newest leader event in a symbol's lanes, ``None`` when nobody said yet."""
        return self._newest_intent.get(symbol_index)

    def restore_newest(self, symbol: str, newest: IntentId) -> None:
        """Say which leader event a symbol's lanes ended with in an earlier process."""
        self._newest_intent.setdefault(self.symbol_index(symbol), newest)

    def begin(
        self,
        intent: MirrorIntent,
        market: Market,
        reservation: DepthReservation | None,
        *,
        now_ns: TimeNs,
    ) -> Planned:
        """Apply a leader's event to every follower and plan the orders it asks for."""
        symbol = market.instrument.symbol
        view = market.view
        event = Event(
            intent=intent,
            symbol=symbol,
            symbol_index=self.symbol_index(symbol),
            arrival_px=market.mid_px,
            arrival_sequence=market.mid_sequence,
            rotation=self._rotation,
            number=self._event_count + 1,
        )
        self._event_count += 1
        self._newest[event.symbol_index] = self._event_count
        self._newest_intent[event.symbol_index] = intent.id
        self._rotation = (self._rotation + 1) % max(1, len(self.members))
        before, after = _contract_targets(intent, market.instrument)
        plan = plan_cohort(
            self._core_intent(event, market, before, after),
            self.table,
            view,
            reservation,
            now_ns=now_ns,
        )
        return self._planned(event, plan, market, {}, now_ns)

    def replan(
        self,
        event: Event,
        rows: Sequence[int],
        market: Market,
        reservation: DepthReservation | None,
        *,
        now_ns: TimeNs,
        leg: int | None = None,
        reductions_only: bool = False,
        exit_since_ns: TimeNs | None = None,
    ) -> Planned:
        """Plan lanes again towards the targets they already have."""
        plan = plan_cohort(
            self._core_intent(event, market, 0, 0, exit_since_ns),
            self.table,
            market.view,
            reservation,
            now_ns=now_ns,
            rows=rows,
            leg=leg,
            reductions_only=reductions_only,
        )
        attempts = {
            (row, index): known.attempt + 1
            for row in rows
            for index in (0, 1)
            if (known := event.legs.get((row, index))) is not None
        }
        return self._planned(event, plan, market, attempts, now_ns)

    def _core_intent(
        self,
        event: Event,
        market: Market,
        before: int,
        after: int,
        exit_since_ns: TimeNs | None = None,
    ) -> CohortIntent:
        intent, instrument = event.intent, market.instrument
        band_low, band_high = _band(instrument, market.mark_px)
        margin = intent.margin
        return CohortIntent(
            symbol_index=event.symbol_index,
            rules=instrument.rules,
            leader_before=before,
            leader_after=after,
            leader_px=intent.px * instrument.multiplier,
            created_ns=intent.created_ns,
            track=1 if intent.position_side is PositionSide.SHORT else 0,
            leader_margin=None if margin is None else margin.equity,
            leader_initial_margin=None if margin is None else margin.initial_margin,
            arrival_px=event.arrival_px,
            mid_px=market.mid_px,
            mark_px=market.mark_px,
            band_low_px=band_low,
            band_high_px=band_high,
            gates=market.gates,
            rotation=event.rotation,
            exit_since_ns=exit_since_ns,
        )

    def _planned(
        self,
        event: Event,
        plan: CohortPlan,
        market: Market,
        attempts: dict[tuple[int, int], int],
        now_ns: TimeNs,
    ) -> Planned:
        rows = self._names.rows(
            plan,
            self.table,
            intent_id=event.intent.id,
            symbol=event.symbol,
            symbol_index=event.symbol_index,
            attempts=attempts,
            sequence=market.mid_sequence,
            # An opening's reference is never renewed where there was one.
            opening_sequence=(
                market.mid_sequence if event.arrival_px is None else event.arrival_sequence
            ),
        )
        return Planned(event, plan, list(map(LegRow._make, rows)), now_ns)

    def take(self, planned: Planned) -> None:
        """Note what does not trade, waits or is superseded; the orders are left to ``take_legs``.

        To be called before anything else can happen to the lanes of the pass.
        """
        event, plan = planned.event, planned.plan
        if self.wishes:
            for order in plan.orders:
                self._take_over(planned, order.row, order.leg)
        for skip in plan.skips:
            self._take_over(planned, skip.row, skip.leg)
            leg = self._leg(event, skip.row, skip.leg)
            leg.on_skip(skip)
            (planned.delayed if skip.is_delayed else planned.ended).append(leg)
        for row in plan.waiting_rows:
            self._take_over(planned, row, 0)
            leg = self._leg(event, row, 0)
            self.wishes.want((row, event.symbol_index), event, leg, is_timed=False)
        # What stands beside the leader's events opens nothing: no price of the leader bounds it.
        # Nor does an event of an earlier process that a newer one has superseded: it had its end.
        is_newest = event.number is not None and (
            self.newest_intent(event.symbol_index) in {None, event.intent.id}
        )
        for row in plan.pending_open_rows if is_newest else ():
            leg = event.legs.get((row, 1)) or self._leg(event, row, 1)
            if leg.is_told:
                # It has had its end: what is still wanted there waits for a newer event.
                continue
            leg.is_opening = True
            self.wishes.want_opening((row, event.symbol_index), event, leg)

    def _take_over(self, planned: Planned, row: int, index: int) -> None:
        """A leg is planned: it waits no more, and what older events wanted of its lane ends."""
        lane = (row, planned.event.symbol_index)
        planned.superseded += self.wishes.take_over(lane, planned.event)
        self.wishes.planned(lane, planned.event, index)

    def want_reduction(self, event: Event, row: int) -> list[Leg]:
        """Let a lane be planned down to its target under an event that stands beside the leader's;
        return the legs of others that end by it.

        A flip's opening leg goes on waiting, as long as the lane still wants anything.
        """
        lane = (row, event.symbol_index)
        wish = self.wishes.of(lane)
        is_wanted = any(self.table.lane(*lane).wanted_target)
        if is_wanted and wish is not None and wish.leg is None:
            self.reduce_first(event, row)
            return []
        ended = self.wishes.take_over(lane, event)
        self.wishes.want(lane, event, self._leg(event, row, 0), is_timed=False)
        return ended

    def reduce_first(self, event: Event, row: int) -> None:
        """Let a lane be planned down to its target before a flip's opening leg that waits."""
        leg = self._leg(event, row, 0)
        self.wishes.want((row, event.symbol_index), event, leg, is_timed=False)

    def free(self, leg: Leg, filled_qty: int) -> None:
        """A leg's newest order ended, having filled so much (positive): its lane is free of it."""
        plan, request = leg.current.plan, leg.current.request
        if leg.is_counted:
            return
        lane = self.table.lane(leg.row, leg.symbol_index)
        slot = 1 if plan.position_side is PositionSide.SHORT else 0
        in_flight, unknown = lane.in_flight_qty[slot], lane.unknown_qty[slot]
        qty = request.qty * plan.side.value
        if not plan.is_opening and in_flight != qty == unknown:
            # Of two reductions that are out, the table takes the one in flight for the one that
            # ended: the other is of unknown fate from here on.
            swapped = with_orders(lane, slot, in_flight_qty=unknown, unknown_qty=in_flight)
            self.table.restore_lane(leg.row, leg.symbol_index, swapped)
        self.table.settle(
            leg.row,
            leg.symbol_index,
            plan.position_side,
            filled_qty=filled_qty * plan.side.value,
            is_opening=plan.is_opening,
        )

    def take_legs(self, planned: Planned, count: int) -> list[Leg]:
        """Make the legs of the next ``count`` orders, in the fair order, and return them."""
        start = len(planned.legs)
        orders, rows = planned.plan.orders, planned.rows
        for index in range(start, min(start + count, len(orders))):
            self._take_order(planned, orders[index], rows[index])
        return planned.legs[start:]

    def _take_order(self, planned: Planned, order: OrderPlan, row: LegRow) -> None:
        event = planned.event
        leg = self._leg(event, order.row, order.leg)
        request = OrderRequest(
            ClientOrderId(row.client_order_id or ""),
            event.symbol,
            order.side,
            order.position_side,
            Qty(order.qty),
            Px(order.limit_px),
            not order.is_opening,
            order.qty_text,
            order.limit_px_text,
        )
        leg.on_order(order, request, row.reference_sequence, planned.planned_ns)
        planned.legs.append(leg)

    def _leg(self, event: Event, row: int, index: int) -> Leg:
        """Return the leg of a row; each planning pass has an attempt number of its own."""
        key = (row, index)
        known = event.legs.get(key)
        if known is None:
            known = event.legs[key] = Leg(self.members[row], row, index, event.symbol_index)
            known.event = event
        else:
            known.attempt += 1
        return known


def _contract_targets(intent: MirrorIntent, instrument: Instrument) -> tuple[int, int]:
    """Return the leader's positions in the follower's contracts, at 10**-18."""
    return (
        intent.before * TARGET_PER_QTY // instrument.multiplier,
        intent.after * TARGET_PER_QTY // instrument.multiplier,
    )


def _band(instrument: Instrument, mark_px: Px | None) -> tuple[int | None, int | None]:
    """Return the venue's own price band around the mark, rounded inwards."""
    if mark_px is None:
        return None, None
    low = high = None
    if instrument.band_down_ppm is not None:
        low = -(-mark_px * (_PPM - instrument.band_down_ppm) // _PPM)
    if instrument.band_up_ppm is not None:
        high = mark_px * (_PPM + instrument.band_up_ppm) // _PPM
    return low, high
