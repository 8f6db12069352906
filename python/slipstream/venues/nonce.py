"""Replay guards for venues that want a strictly increasing microsecond count.

One source per agent key and process: two processes that share a key would step on each other.
"""

from slipstream.transport.clock import Clock
from slipstream.units import TimeNs

__all__ = ["NonceSource", "VenueClock"]

DRIFT_MAX_US = 500_000
"""A clock that is off by more stops opens (FIELD I8)."""

_US_PER_MS = 1_000
_NS_PER_US = 1_000


class VenueClock:
    """A venue's clock, carried on by our monotonic one; shared by all its nonce sources.

    A wall clock that steps moves nothing here. It is only watched: when it and the monotonic
    clock part by more than ``DRIFT_MAX_US`` since the last reading, the machine may have slept,
    which the monotonic clock does not count, and the venue has to be asked again.
    """

    __slots__ = ("_ahead_us", "_clock", "_wall_ahead_us")

    def __init__(self, clock: Clock) -> None:
        """Start with the venue's clock in step with our wall clock."""
        self._clock = clock
        self._ahead_us = self._wall_ahead_us = clock.wall_us() - self._monotonic_us()

    def _monotonic_us(self) -> int:
        return self._clock.now_ns() // _NS_PER_US

    def set_from(self, venue_ms: int, *, sent_ns: TimeNs, received_ns: TimeNs) -> None:
        """Take a reading of the venue's clock as made half-way between question and answer."""
        read_us = (sent_ns + received_ns) // 2 // _NS_PER_US
        self._ahead_us = venue_ms * _US_PER_MS - read_us
        self._wall_ahead_us = self._clock.wall_us() - self._monotonic_us()

    @property
    def offset_us(self) -> int:
        """How far the venue's clock is ahead of our wall clock."""
        return self.now_us() - self._clock.wall_us()

    @property
    def is_doubted(self) -> bool:
        """Whether our clocks have parted since the venue's was read: nothing may open."""
        wall_ahead_us = self._clock.wall_us() - self._monotonic_us()
        return abs(wall_ahead_us - self._wall_ahead_us) > DRIFT_MAX_US

    def now_us(self) -> int:
        """Return the venue's time in microseconds since the epoch, as far as we know."""
        return self._monotonic_us() + self._ahead_us

    def now_ms(self) -> int:
        """Return the venue's time in milliseconds since the epoch, as far as we know."""
        return self.now_us() // _US_PER_MS


class NonceSource:
    """Nonces of one agent key: ``max(venue time, last + 1)``, also when a clock steps back."""

    __slots__ = ("_last", "_venue_clock")

    def __init__(self, venue_clock: VenueClock) -> None:
        """Follow a venue's clock."""
        self._venue_clock = venue_clock
        self._last = 0

    def take(self) -> int:
        """Return the next nonce, in microseconds."""
        nonce = max(self._venue_clock.now_us(), self._last + 1)
        self._last = nonce
        return nonce
