"""What lanes still want: the one place that says what happens when a lane becomes free.

A lane has one order in flight. A target that arrives meanwhile waits; a reduction that could not
be filled stays wanted and is tried again; the opening leg of a flip waits for its close. All of
it belongs to one event, the newest that planned the lane: an older event's wishes end when a
newer one takes the lane over, because the newer target includes them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from slipstream.engine.leglife import Leg

if TYPE_CHECKING:
    from slipstream.engine.cohort import Event
    from slipstream.units import TimeNs

LaneKey = tuple[int, int]
"""(row, symbol index)."""


@dataclass(slots=True)
class Wish:
    """What one event still wants of one lane.

    ``leg``: to be planned when the lane is free, or, with ``is_timed``, when its pause is over.
    ``opening``: a flip's second leg, to be planned after that. It may belong to an older event
    when ``leg`` stands beside the leader's events and only makes the lane flat for it.
    """

    event: "Event"
    leg: Leg | None = None
    is_timed: bool = False
    opening: Leg | None = None

    def is_only_opening_of(self, event: "Event") -> bool:
        """Whether nothing but an event's opening leg waits."""
        return self.leg is None and self.opening is not None and self.opening.event is event

    def legs(self) -> list[Leg]:
        """Return the legs that wait."""
        return [leg for leg in (self.leg, self.opening) if leg is not None]


@dataclass(slots=True)
class Replan:
    """Rows of one event to plan again together."""

    event: "Event"
    leg: int | None
    reductions_only: bool
    exit_since_ns: "TimeNs | None"
    rows: dict[int, None] = field(default_factory=dict)


class Wishes:
    """The wishes of one cohort's lanes. No I/O, no clock."""

    def __init__(self) -> None:
        """Nothing waits."""
        self._by_lane: dict[LaneKey, Wish] = {}

    def __bool__(self) -> bool:
        """Return whether anything waits."""
        return bool(self._by_lane)

    def of(self, lane: LaneKey) -> Wish | None:
        """Return what a lane still wants."""
        return self._by_lane.get(lane)

    def take_over(self, lane: LaneKey, event: "Event") -> list[Leg]:
        """An event plans a lane: return the legs of an older one, which end now."""
        wish = self._by_lane.get(lane)
        if wish is None or wish.event is event or wish.is_only_opening_of(event):
            return []
        del self._by_lane[lane]
        return wish.legs()

    def planned(self, lane: LaneKey, event: "Event", index: int) -> None:
        """A leg of an event is being planned: it waits no longer."""
        wish = self._by_lane.get(lane)
        if wish is None:
            return
        if index and wish.opening is not None and wish.opening.event is event:
            wish.opening = None
        elif not index and wish.event is event:
            wish.leg = None
        if wish.leg is None and wish.opening is None:
            del self._by_lane[lane]

    def want(self, lane: LaneKey, event: "Event", leg: Leg, *, is_timed: bool) -> None:
        """Let a leg wait for its lane, or for the end of a pause; a flip's opening leg that waits
        already goes after it."""
        wish = self._by_lane.get(lane)
        if wish is None or (wish.event is not event and wish.leg is not None):
            wish = self._by_lane[lane] = Wish(event)
        wish.event, wish.leg, wish.is_timed = event, leg, is_timed

    def want_opening(self, lane: LaneKey, event: "Event", leg: Leg) -> None:
        """Let a flip's opening leg wait for its close."""
        self._of_event(lane, event).opening = leg

    def _of_event(self, lane: LaneKey, event: "Event") -> Wish:
        wish = self._by_lane.get(lane)
        if wish is None or wish.event is not event:
            wish = self._by_lane[lane] = Wish(event)
        return wish

    def is_wanted(self, lane: LaneKey, event: "Event", index: int) -> bool:
        """Return whether it is a leg's turn: it still waits, an opening leg for nothing but itself.

        What an opening leg waits for goes first, also where it stands beside the leader's events.
        """
        wish = self._by_lane.get(lane)
        if wish is None:
            return False
        if index:
            return wish.is_only_opening_of(event)
        return wish.event is event and wish.leg is not None

    def is_taken(self, lane: LaneKey, event: "Event") -> bool:
        """Return whether a leg of another event waits for a lane: it includes this event's."""
        wish = self._by_lane.get(lane)
        return wish is not None and wish.event is not event and wish.leg is not None

    def clear(self) -> Iterator[Leg]:
        """Forget all wishes; yield their legs."""
        wishes = list(self._by_lane.values())
        self._by_lane.clear()
        for wish in wishes:
            yield from wish.legs()
