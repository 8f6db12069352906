"""The venue's clocks: monotonic nanoseconds for order, wall milliseconds for the wire."""

import time
from typing import Final

NS_PER_MS: Final = 1_000_000
NS_PER_US: Final = 1_000


class VenueClock:
    """Reads CLOCK_MONOTONIC, shared by all processes of a machine, and a skewable wall.

    ``skew_ms`` shifts only what the venue says on the wire and how it judges nonces.
    """

    def __init__(self) -> None:
        """Fix the distance between the monotonic and the wall clock."""
        self._offset_ns = time.time_ns() - time.monotonic_ns()
        self.skew_ms = 0

    def now_ns(self) -> int:
        """Return monotonic nanoseconds."""
        return time.monotonic_ns()

    def wall_ms(self, now_ns: int) -> int:
        """Return the venue's Unix time in milliseconds at a monotonic instant."""
        return (now_ns + self._offset_ns) // NS_PER_MS + self.skew_ms

    def wall_us(self, now_ns: int) -> int:
        """Return the venue's Unix time in microseconds at a monotonic instant."""
        return (now_ns + self._offset_ns) // NS_PER_US + self.skew_ms * 1000

    def true_ms(self, now_ns: int) -> int:
        """Return Unix milliseconds without the skew; rate windows count in these."""
        return (now_ns + self._offset_ns) // NS_PER_MS
