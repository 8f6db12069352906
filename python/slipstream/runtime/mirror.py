"""Carry one cohort through its events: plan, fan out, take outcomes, plan again.

Everything here runs on the event loop and is owned by one leader's pipeline. Planning is
synchronous; between a plan and its claim there is one await (the commit), and what it touched
is already reserved. Outcomes come back one by one through ``on_outcome`` and free their lane,
which may let a waiting target, a flip's opening leg or the rest of a reduction go.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from slipstream._core import SkipReason
from slipstream.domain.ids import FollowerId
from slipstream.domain.intent import MirrorIntent
from slipstream.domain.order import OrderReport
from slipstream.domain.outcome import (
    Accepted,
    Denied,
    LegEnd,
    Limited,
    NotSent,
    Refused,
    RequestOutcome,
    Unknown,
    is_unsent,
)
from slipstream.engine import leg as leg_events
from slipstream.engine.cohort import Cohort, Event, Planned
from slipstream.engine.leglife import Leg
from slipstream.runtime import points
from slipstream.runtime.fanout import FanOut
from slipstream.runtime.follower import Follower
from slipstream.runtime.hub import VenueHub
from slipstream.runtime.journal import Journal
from slipstream.runtime.resolver import Resolver
from slipstream.runtime.waiting import Later, WaitingLanes
from slipstream.transport.clock import Clock
from slipstream.units import TimeNs

STOPPED = "ENGINE_STOPPED"
"""Why a leg ends that still waited when the engine was stopped in order."""

_NOTHING_TO_ORDER: Final = frozenset(
    {SkipReason.BELOW_LOT, SkipReason.NO_CHANGE, SkipReason.DIRECTION}
)


class Mirror:
    """One cohort in motion."""

    def __init__(
        self,
        cohort: Cohort,
        *,
        hub: VenueHub,
        followers: Mapping[FollowerId, Follower],
        fan_out: FanOut,
        clock: Clock,
        journal: Journal,
        later: Later,
        resolver: Resolver,
        at_point: points.AtPoint = points.pass_by,
    ) -> None:
        """Keep the partners and become the one the fan-out and the resolver report to."""
        self.cohort = cohort
        self.hub = hub
        self._followers = followers
        self._fan_out = fan_out
        self._clock = clock
        self._journal = journal
        self._later = later
        self._waiting = WaitingLanes(cohort, hub=hub, clock=clock, journal=journal, later=later)
        self.resolver = resolver
        self._at_point = at_point
        fan_out.bind(self.on_outcome)
        resolver.bind(self.on_resolved)
        self._in_flight: set[Leg] = set()
        self._unclaimed: Event | None = None

    def on_wake(self, wake: Callable[[], None]) -> None:
        """Say who is to be woken when lanes wait to be planned again."""
        self._waiting.on_wake(wake)

    @property
    def has_replans(self) -> bool:
        """Whether lanes wait to be planned again."""
        return self._waiting.has_lanes and self._unclaimed is None

    async def mirror(
        self, intent: MirrorIntent, symbol: str, *, gates: int, cursor: tuple[str, str] | None
    ) -> Planned | None:
        """Mirror a leader's event; ``None`` when the ledger says it was mirrored before."""
        market = self.hub.market(symbol, gates=gates)
        reservation = self.hub.reservation(symbol, market.view)
        now_ns = self._clock.now_ns()
        if reservation is not None and intent.venue == self.hub.traits.venue:
            for fill in intent.fills:
                if fill.is_taker:
                    reservation.take_foreign(fill.side, fill.qty, venue_ts_ms=fill.venue_ts_ms)
        planned = self.cohort.begin(intent, market, reservation, now_ns=now_ns)
        self._unclaimed = planned.event
        self._journal.hold()
        self._at_point(points.COHORT_PLANNED)
        is_new = await self._fan(planned, is_event=True, cursor=cursor)
        if not is_new:
            self._in_flight.difference_update(planned.legs)
            return None
        self._unclaimed = None
        self._let_go()
        self._after_plan(planned)
        return planned

    def _let_go(self) -> None:
        """The ledger took an event: lanes may be planned again and written down, not before."""
        self._journal.release()
        if self._waiting.has_lanes:
            self._waiting.wake()

    async def replan(self) -> None:
        """Plan again whatever became free or due since the last call."""
        wishes = self.cohort.wishes
        while self.has_replans:
            again = self._waiting.take()
            event = again.event
            rows = [
                row
                for row in again.rows
                if wishes.is_wanted((row, event.symbol_index), event, again.leg or 0)
            ]
            if not rows:
                continue
            market = self.hub.market(event.symbol)
            planned = self.cohort.replan(
                event,
                rows,
                market,
                self.hub.reservation(event.symbol, market.view),
                now_ns=self._clock.now_ns(),
                leg=again.leg,
                reductions_only=again.reductions_only,
                exit_since_ns=again.exit_since_ns,
            )
            is_flip = again.leg == 1
            claimed = points.FLIP_OPENING_CLAIMED if is_flip else points.REDUCTION_CLAIMED_AGAIN
            await self._fan(planned, is_event=False, claimed=claimed)
            self._after_plan(planned)

    async def _fan(
        self,
        planned: Planned,
        *,
        is_event: bool,
        cursor: tuple[str, str] | None = None,
        claimed: str = points.CLAIM_DURABLE,
    ) -> bool:
        """Carry one planning pass out; False when its fills were mirrored before."""
        self._journal.give_results()
        self.cohort.take(planned)
        for leg in planned.delayed:
            self._waiting.retry(leg)
        if not planned.rows:
            return True
        return await self._fan_out.run(
            planned, self._take_legs, is_event=is_event, cursor=cursor, claimed=claimed
        )

    def _take_legs(self, planned: Planned, count: int) -> list[Leg]:
        """Make the next legs of a pass; their orders count as out from now on."""
        legs = self.cohort.take_legs(planned, count)
        self._in_flight.update(legs)
        return legs

    def _withdraw(self, leg: Leg) -> None:
        """Undo what planning reserved for an order that does not exist."""
        self._free_lane(leg, 0)
        self._release_depth(leg, None)

    def _free_lane(self, leg: Leg, filled_qty: int) -> None:
        """An order of a lane ended, having filled so much."""
        self._in_flight.discard(leg)
        self.cohort.free(leg, filled_qty)

    def _release_depth(self, leg: Leg, report: OrderReport | None) -> None:
        token = leg.current.plan.depth_token
        event = leg.event
        if token is None or event is None:
            return
        self.hub.release(event.symbol, token, report)

    def _after_plan(self, planned: Planned) -> None:
        for leg in planned.superseded:
            self._supersede(leg)
        for leg in planned.ended:
            self._end(leg)
            # In hedge mode an opening may take the lane from the other side's close; and what is
            # held on the other side of a target is no part of a reduction of the leader's.
            is_left = leg.is_opening or leg.reason in _NOTHING_TO_ORDER
            if is_left and planned.event.number is not None:
                self._waiting.go_on(leg)
            else:
                self._waiting.let_go(leg)

    def _supersede(self, leg: Leg) -> None:
        """A newer event planned the lane: what this leg still wanted is part of that."""
        if not leg.attempts:
            leg.reason = SkipReason.SUPERSEDED
        self._end(leg)

    def on_outcome(self, leg: Leg, outcome: RequestOutcome, at_ns: TimeNs) -> None:
        """Take what became of a leg's newest order. Never raises: a bug stays this leg's own."""
        try:
            self._take_outcome(leg, outcome, at_ns)
        except Exception as error:  # noqa: BLE001 - the leg's bulkhead
            self._contain(leg, error, at_ns)

    def _take_outcome(self, leg: Leg, outcome: RequestOutcome, at_ns: TimeNs) -> None:
        self._at_point(points.ANSWER_ARRIVED)
        attempt = leg.current
        if not is_unsent(outcome):
            # Only now is it known that bytes left: the connection decides.
            attempt.on(leg_events.Sent())
        match outcome:
            case Accepted(report) if report.state.is_final:
                attempt.acked_ns = at_ns
                attempt.on(leg_events.Closed())
                self._settle(leg, report, at_ns)
            case Accepted():
                attempt.acked_ns = at_ns
                attempt.on(leg_events.Acked())
                self._doubt(leg)
            case Unknown():
                self._doubt(leg)
            case _:
                self._on_no_order(leg, outcome, at_ns)

    def _contain(self, leg: Leg, error: Exception, at_ns: TimeNs) -> None:
        """End a leg that met a bug; its lane stays as it is and its follower's opens stop."""
        self._in_flight.discard(leg)
        follower = self._followers[leg.member.follower]
        leg.reason = f"BUG: {type(error).__name__}"
        leg.end = LegEnd.FAILED
        self._journal.incident("LEG_BUG", follower=follower.id, detail=f"{leg.reason}: {error}")
        self._refused(follower, leg.reason, at_ns)
        self._end(leg)

    def _settle(self, leg: Leg, report: OrderReport, at_ns: TimeNs) -> None:
        attempt = leg.current
        if report.filled_qty:
            attempt.filled_ns = at_ns
        leg.on_filled(report.filled_qty, report.average_px)
        self._free_lane(leg, report.filled_qty)
        self._release_depth(leg, report)
        self._followers[leg.member.follower].on_accepted(report.venue_order_id)
        self._at_point(points.ANSWER_SETTLED)
        is_whole = report.filled_qty == attempt.request.qty
        self._record(leg, report, LegEnd.FILLED if is_whole else LegEnd.PARTIAL)
        if self._stays_wanted(leg) and self._waiting.holds_too_much(leg):
            self._waiting.retry(leg)
            return
        self._end(leg)
        self._waiting.go_on(leg)

    def _stays_wanted(self, leg: Leg) -> bool:
        """Whether the rest of a leg is tried again: reductions, until a newer event has come."""
        event = leg.event
        is_over = leg.is_opening or leg.is_counted
        if is_over or event is None or not self.cohort.is_current(event):
            return False
        return not self.cohort.wishes.is_taken((leg.row, leg.symbol_index), event)

    def _doubt(self, leg: Leg) -> None:
        """The order may exist: block increases and find out."""
        plan = leg.current.plan
        leg.current.on(leg_events.Timeout())
        self.cohort.table.mark_unknown(leg.row, leg.symbol_index, plan.position_side)
        self._at_point(points.ORDER_UNKNOWN)
        self.resolver.add(leg)

    def on_resolved(self, leg: Leg, report: OrderReport | None, at_ns: TimeNs) -> None:
        """Take the truth about an unknown order; ``None``: it never came to be. Never raises."""
        try:
            self._take_truth(leg, report, at_ns)
        except Exception as error:  # noqa: BLE001 - the leg's bulkhead
            self._contain(leg, error, at_ns)

    def _take_truth(self, leg: Leg, report: OrderReport | None, at_ns: TimeNs) -> None:
        if report is not None:
            leg.current.on(leg_events.Closed())
            self._settle(leg, report, at_ns)
            return
        leg.current.on(leg_events.Absent())
        self._withdraw(leg)
        leg.reason = "ABSENT"
        self._record(leg, None, LegEnd.FAILED)
        if self._stays_wanted(leg) and self._waiting.holds_too_much(leg):
            self._waiting.retry(leg)
            return
        leg.end = None if leg.filled_qty else LegEnd.FAILED
        self._end(leg)
        self._waiting.go_on(leg)

    def _on_no_order(self, leg: Leg, outcome: RequestOutcome, at_ns: TimeNs) -> None:
        follower = self._followers[leg.member.follower]
        self._withdraw(leg)
        match outcome:
            case NotSent(reason) if reason in SkipReason.__members__:
                # A switch was thrown between the plan and the send.
                leg.current.on(leg_events.Withdrawn())
                leg.reason, end = SkipReason.__members__[reason], LegEnd.SKIPPED
            case NotSent(reason):
                leg.current.on(leg_events.NotSent())
                leg.reason = leg.reason or f"NOT_SENT: {reason}"
                end = LegEnd.FAILED
            case Limited():
                unsent = is_unsent(outcome)
                leg.current.on(leg_events.NotSent() if unsent else leg_events.Refused())
                leg.reason = SkipReason.RATE_LIMITED
                end = LegEnd.SKIPPED
            case Denied(code, reason):
                leg.current.on(leg_events.Refused())
                leg.reason, leg.observed, end = f"DENIED: {reason}", code, LegEnd.REJECTED
                follower.set_gate(SkipReason.FOLLOWER_PAUSED, is_on=True)
                self._journal.incident(
                    "UNAUTHORIZED", follower=follower.id, detail=f"{reason}; follower paused"
                )
            case Refused(code, reason):
                leg.current.on(leg_events.Refused())
                leg.reason, leg.observed, end = f"REFUSED: {reason}", code, LegEnd.REJECTED
                leg.current.acked_ns = at_ns
                self._refused(follower, reason, at_ns)
            case _:
                end = LegEnd.FAILED
        self._record(leg, None, end)
        if self._is_tried_again(leg, outcome):
            self._waiting.retry(leg)
            return
        leg.end = None if leg.filled_qty else end
        self._end(leg)
        self._waiting.let_go(leg)
        # Under a newer event nothing may wait for the lane; not at once, or refusals would race.
        if not isinstance(outcome, Denied) and self._waiting.is_left_over(leg):
            self._waiting.look_again(leg)

    def _is_tried_again(self, leg: Leg, outcome: RequestOutcome) -> bool:
        """Whether a leg whose order came to nothing is planned again: reductions are not given up.

        Without the right to trade nothing is: the operator must act.
        """
        if isinstance(outcome, Denied) or not self._stays_wanted(leg):
            return False
        return isinstance(outcome, NotSent | Limited) or self._waiting.holds_too_much(leg)

    def _refused(self, follower: Follower, reason: str, at_ns: TimeNs) -> None:
        """Count a refusal; when the breaker opens, say so and half open it in time."""
        for incident in follower.on_refused(reason, at_ns):
            self._journal.incident(
                incident.kind.upper(), follower=follower.id, detail=incident.detail
            )
            self._later(follower.breaker_pause_ns(at_ns), follower.half_open)

    def want(self, event: Event, rows: Sequence[int]) -> None:
        """Plan lanes towards targets that somebody else has set, as far as they are reductions."""
        for row in rows:
            for leg in self.cohort.want_reduction(event, row):
                self._supersede(leg)
            self._waiting.queue(event, row, reductions_only=True)

    def tell_lane(self, reason: str, row: int, symbol: str) -> None:
        """Write down that a lane's targets were set beside the leader's events."""
        self._journal.lane(reason, self.cohort, row, symbol)

    @property
    def order_count(self) -> int:
        """Orders that are out."""
        return len(self._in_flight)

    def _record(self, leg: Leg, report: OrderReport | None, end: LegEnd) -> None:
        """Tell the ledger how the newest order ended."""
        if leg.event is not None:
            self._journal.result(leg, leg.event, self.cohort, report, end)

    def _end(self, leg: Leg) -> None:
        """Record a leg's one end."""
        event = leg.event
        if event is None or leg.is_told:
            return
        leg.is_told = True
        leg.finish()
        self._journal.leg(leg, event, self.cohort)

    @property
    def is_busy(self) -> bool:
        """Whether an order is out or of unknown fate, or a lane is to be planned again."""
        is_waiting = bool(self._in_flight or self._waiting.has_lanes or self.cohort.wishes)
        return is_waiting or bool(self.resolver.unresolved())

    def end_unfinished(self) -> None:
        """End every reduction that still waits (the engine is stopping).

        What has an order of unknown fate, and what waits to open, is left to whoever starts next.
        """
        for leg in self.cohort.wishes.clear():
            # What the ledger did not take never was: it is planned again from the leader's history.
            is_claimed = leg.event is not self._unclaimed
            if is_claimed and (leg.attempts or not leg.is_opening):
                leg.reason = leg.reason or STOPPED
                self._end(leg)
        out = {leg.current.request.client_order_id: leg.member.follower for leg in self._in_flight}
        out |= {each.client_order_id: each.follower for each in self.resolver.unresolved()}
        for name, follower in out.items():
            detail = f"{name}: unknown when the engine stopped"
            self._journal.incident("ORDER_UNRESOLVED", follower=follower, detail=detail)
        self._in_flight.clear()

    def take_up(self, leg: Leg) -> None:
        """Go on with a leg that has waited since an earlier process, unless its lane is busy."""
        if leg.event is not None:
            is_tried = bool(leg.attempts)
            self._waiting.queue(leg.event, leg.row, leg=leg.index or None, reductions_only=is_tried)
