"""A follower's breaker: repeated refusals of its venue stop its opens for a while.

Closed: everything passes. Open: opens are blocked until a timer. Half open (the timer ran out):
opens pass again, the first success closes the breaker, the first refusal opens it for twice as
long, bounded. Reductions always pass: the breaker is never asked about them.
"""

from enum import StrEnum
from typing import Final

from slipstream.engine.effects import Effect, ReportIncident
from slipstream.units import NS_PER_S, TimeNs

REFUSAL_COUNT_MAX: Final = 5
PAUSE_MIN_NS: Final = 30 * NS_PER_S
PAUSE_MAX_NS: Final = 480 * NS_PER_S


class BreakerState(StrEnum):
    """What a breaker lets through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """One follower's breaker. Refusals count in a row; any accepted order begins anew."""

    def __init__(
        self,
        *,
        refusal_count_max: int = REFUSAL_COUNT_MAX,
        pause_min_ns: int = PAUSE_MIN_NS,
        pause_max_ns: int = PAUSE_MAX_NS,
    ) -> None:
        """Open after ``refusal_count_max`` refusals in a row, first for ``pause_min_ns``."""
        self._refusal_count_max = refusal_count_max
        self._pause_min_ns = pause_min_ns
        self._pause_max_ns = pause_max_ns
        self._pause_ns = pause_min_ns
        self._refusal_count = 0
        self._until_ns: TimeNs | None = None

    def state(self, *, now_ns: TimeNs) -> BreakerState:
        """Return the state at an instant."""
        if self._until_ns is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now_ns < self._until_ns else BreakerState.HALF_OPEN

    def blocks_opens(self, *, now_ns: TimeNs) -> bool:
        """Whether BREAKER_OPEN holds for opens; it never holds for reductions."""
        return self.state(now_ns=now_ns) is BreakerState.OPEN

    def next_deadline(self, *, now_ns: TimeNs) -> TimeNs | None:
        """Return when an open breaker half opens, ``None`` when it is not open."""
        return self._until_ns if self.blocks_opens(now_ns=now_ns) else None

    def on_accepted(self) -> None:
        """The venue took an order."""
        self._refusal_count = 0
        self._until_ns = None
        self._pause_ns = self._pause_min_ns

    def on_refused(self, reason: str, *, now_ns: TimeNs) -> list[Effect]:
        """The venue refused an order, or a leg met a bug."""
        match self.state(now_ns=now_ns):
            case BreakerState.OPEN:
                return []  # an order sent before it opened
            case BreakerState.HALF_OPEN:
                self._pause_ns = min(2 * self._pause_ns, self._pause_max_ns)
            case BreakerState.CLOSED:
                self._refusal_count += 1
                if self._refusal_count < self._refusal_count_max:
                    return []
        self._until_ns = TimeNs(now_ns + self._pause_ns)
        detail = f"opens pause for {self._pause_ns // NS_PER_S} s, last refusal: {reason}"
        return [ReportIncident("breaker_open", detail)]
