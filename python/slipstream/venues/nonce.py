"""Replay guards for venues that want a strictly increasing microsecond count.

One source per agent key and process: two processes that share a key would step on each other.
"""

from slipstream.transport.clock import Clock

__all__ = ["NonceSource", "VenueClock"]

_US_PER_MS = 1_000


class VenueClock:
    """How far a venue's clock is ahead of ours; shared by all its nonce sources."""

    __slots__ = ("_clock", "offset_us")

    def __init__(self, clock: Clock) -> None:
        """Start with clocks in step."""
        self._clock = clock
        self.offset_us = 0

    def set_from(self, venue_ms: int, *, sent_wall_us: int, received_wall_us: int) -> None:
        """Take a reading of the venue's clock as made half-way between question and answer."""
        self.offset_us = venue_ms * _US_PER_MS - (sent_wall_us + received_wall_us) // 2

    def now_us(self) -> int:
        """Return the venue's time in microseconds since the epoch, as far as we know."""
        return self._clock.wall_us() + self.offset_us

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
