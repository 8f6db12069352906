"""A clock that stands still until a test moves it."""

from slipstream.units import NS_PER_MS, TimeNs


class HandClock:
    """A clock that the test moves; the venue's is the same."""

    def __init__(self) -> None:
        """Begin at one second."""
        self.at_ns = 1_000_000_000

    def now_ns(self) -> TimeNs:
        return TimeNs(self.at_ns)

    def wall_us(self) -> int:
        return self.at_ns // 1_000

    def venue_ms(self) -> int:
        return self.at_ns // NS_PER_MS
