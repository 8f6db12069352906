"""Lanes that wait to be planned again: which, towards what, and from when on.

An order that ended frees its lane. What the lane still wants (the rest of a reduction, a flip's
opening leg, a newer target) is queued here at once or after a pause that grows; the mirror takes
the queue and plans it. Nothing here plans, sends or writes down how an order ended.
"""

from collections.abc import Callable
from typing import Final

from slipstream.engine.cohort import Cohort, Event
from slipstream.engine.lane import excess_qty
from slipstream.engine.leglife import Leg
from slipstream.engine.wishes import Replan
from slipstream.runtime.hub import VenueHub
from slipstream.runtime.journal import Journal
from slipstream.runtime.standin import Instant, stand_in
from slipstream.transport.clock import Clock
from slipstream.units import NS_PER_MS, TimeNs

RETRY_FIRST_NS: Final = 200 * NS_PER_MS
RETRY_MAX_NS: Final = 5_000 * NS_PER_MS
_RETRY_DOUBLINGS: Final = 5
_US_PER_MS: Final = 1_000
LATE_FILL: Final = "late-fill"
"""Why a lane is reduced that holds too much although nobody waits for it."""

Later = Callable[[TimeNs, Callable[[], None]], None]
"""Calls something after so many nanoseconds."""


class WaitingLanes:
    """The queue of one cohort's lanes that are to be planned again."""

    def __init__(
        self, cohort: Cohort, *, hub: VenueHub, clock: Clock, journal: Journal, later: Later
    ) -> None:
        """Begin with an empty queue."""
        self._cohort = cohort
        self._hub = hub
        self._clock = clock
        self._journal = journal
        self._later = later
        self._wake: Callable[[], None] | None = None
        self._replans: dict[tuple[int, int | None, bool], Replan] = {}

    def on_wake(self, wake: Callable[[], None]) -> None:
        """Say who is to be woken when lanes are queued."""
        self._wake = wake

    def wake(self) -> None:
        """Wake whoever plans."""
        if self._wake is not None:
            self._wake()

    @property
    def has_lanes(self) -> bool:
        """Whether a lane is queued."""
        return bool(self._replans)

    def take(self) -> Replan:
        """Take the newest group of lanes out of the queue, which must not be empty."""
        return self._replans.popitem()[1]

    def holds_too_much(self, leg: Leg) -> bool:
        """Whether a lot or more is held beyond what the lane wants."""
        event = leg.event
        if event is None:
            return False
        lot = self._hub.instruments[event.symbol].rules.qty_step
        return excess_qty(self._cohort.table.lane(leg.row, leg.symbol_index)) >= lot

    def is_left_over(self, leg: Leg) -> bool:
        """Whether a lane holds more than it wants, and nothing waits to reduce it."""
        wish = self._cohort.wishes.of((leg.row, leg.symbol_index))
        return (wish is None or wish.leg is None) and self.holds_too_much(leg)

    def look_again(self, leg: Leg) -> None:
        """Reduce what is left over once a refusal has had time to pass."""
        self._later(TimeNs(RETRY_FIRST_NS), lambda: self._reduce_left_over(leg))

    def _reduce_left_over(self, leg: Leg) -> None:
        if self.is_left_over(leg):
            self._reduce_first(leg)

    def retry(self, leg: Leg) -> None:
        """A reduction stays wanted: plan it again after a pause that grows."""
        now_ns = self._clock.now_ns()
        if leg.exit_since_ns is None:
            leg.exit_since_ns = now_ns
        event = leg.event
        if event is None:
            return
        lane = (leg.row, leg.symbol_index)
        if leg.index:
            self._cohort.wishes.want_opening(lane, event, leg)
        else:
            self._cohort.wishes.want(lane, event, leg, is_timed=True)
        pause = min(RETRY_MAX_NS, RETRY_FIRST_NS << min(leg.retry_count, _RETRY_DOUBLINGS))
        leg.retry_count += 1
        self._later(TimeNs(pause), lambda: self._retry_due(event, leg))

    def _retry_due(self, event: Event, leg: Leg) -> None:
        wish = self._cohort.wishes.of((leg.row, leg.symbol_index))
        if wish is None:
            return
        if wish.opening is leg and wish.leg is None:
            self.queue(event, leg.row, leg=1)
        elif wish.leg is leg and wish.is_timed:
            # What never had an order may still have its one opening, while it is young enough.
            self.queue(
                event,
                leg.row,
                reductions_only=bool(leg.attempts),
                exit_since_ns=leg.exit_since_ns,
            )

    def go_on(self, leg: Leg) -> None:
        """A lane's order ended: reduce what turned out too much, or let go what waits for it.

        An order of unknown fate may fill after the leader's newer events were planned around it;
        no reduction waits for the lane then, and yet it holds more than is wanted.
        """
        wish = self._cohort.wishes.of((leg.row, leg.symbol_index))
        is_reduced_anyway = wish is not None and wish.leg is not None
        if is_reduced_anyway or not self.holds_too_much(leg) or not self._reduce_first(leg):
            self.let_go(leg)

    def _reduce_first(self, leg: Leg) -> bool:
        """Have a lane reduced that nobody waits for; return whether that is possible now."""
        event = leg.event
        if event is None or any(self._cohort.table.lane(leg.row, leg.symbol_index).in_flight_qty):
            return False
        at = Instant(self._clock.now_ns(), self._clock.wall_us() // _US_PER_MS)
        beside = stand_in(self._cohort, self._hub.market(event.symbol), why=LATE_FILL, at=at)
        if beside is None:
            detail = f"{event.symbol}: more is held than wanted and no price is known"
            self._journal.incident("EXIT_HELD_BACK", follower=leg.member.follower, detail=detail)
            self._later(TimeNs(RETRY_MAX_NS), lambda: self._reduce_left_over(leg))
            return False
        self._cohort.reduce_first(beside, leg.row)
        self.queue(beside, leg.row, reductions_only=True)
        return True

    def let_go(self, leg: Leg) -> None:
        """A lane became free: let go whatever waits for it."""
        wish = self._cohort.wishes.of((leg.row, leg.symbol_index))
        if wish is None:
            return
        if wish.opening is not None and wish.leg is None:
            self.queue(wish.opening.event or wish.event, leg.row, leg=1)
        elif not wish.is_timed:
            self.queue(wish.event, leg.row)

    def queue(
        self,
        event: Event,
        row: int,
        *,
        leg: int | None = None,
        reductions_only: bool = False,
        exit_since_ns: TimeNs | None = None,
    ) -> None:
        """Have one lane of an event planned again, together with others of its kind."""
        # What stands beside the leader's events opens nothing: no price of the leader bounds it.
        reductions_only = reductions_only or event.number is None
        key = (id(event), leg, reductions_only)
        again = self._replans.get(key)
        if again is None:
            again = self._replans[key] = Replan(event, leg, reductions_only, exit_since_ns)
        again.rows[row] = None
        self.wake()
