"""The venue's clocks: monotonic nanoseconds for order, wall milliseconds for the wire."""

import time
from typing import Final

NS_PER_MS: Final = 1_000_000
NS_PER_US: Final = 1_000


class VenueClock:
    """Reads CLOCK_MONOTONIC, shared by all processes of a machine, and a skewable wall.

    ``skew_ms`` steps the wall clock: what ``/time`` says and how nonces are judged. The times
    of trades, orders and messages (``event_ms``) follow it forwards only: when it goes back,
    they stand still until it has caught up, as a matching engine's do.
    """

    _skew_ms = 0
    _floor_ms = 0

    def __init__(self) -> None:
        """Fix the distance between the monotonic and the wall clock."""
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    @property
    def skew_ms(self) -> int:
        """Return by how many milliseconds the wall clock is wrong."""
        return self._skew_ms

    @skew_ms.setter
    def skew_ms(self, skew_ms: int) -> None:
        self._floor_ms = self.event_ms(self.now_ns())
        self._skew_ms = skew_ms

    def now_ns(self) -> int:
        """Return monotonic nanoseconds."""
        return time.monotonic_ns()

    def wall_ms(self, now_ns: int) -> int:
        """Return the venue's Unix time in milliseconds at a monotonic instant."""
        return (now_ns + self._offset_ns) // NS_PER_MS + self.skew_ms

    def event_ms(self, now_ns: int) -> int:
        """Return the Unix milliseconds that something of a monotonic instant is stamped with."""
        return max(self.wall_ms(now_ns), self._floor_ms)

    def wall_us(self, now_ns: int) -> int:
        """Return the venue's Unix time in microseconds at a monotonic instant."""
        return (now_ns + self._offset_ns) // NS_PER_US + self.skew_ms * 1000

    def true_ms(self, now_ns: int) -> int:
        """Return Unix milliseconds without the skew; rate windows count in these."""
        return (now_ns + self._offset_ns) // NS_PER_MS
