"""The only place that reads a clock.

Objects that need the time take a ``Clock``, so that a simulation can hand in a virtual one.
Nanoseconds order and bound things inside this process; wall time is only ever sent to venues or
shown to people.
"""

import time
from typing import Protocol

from slipstream.units import TimeNs

__all__ = ["Clock", "SystemClock", "now_ns", "wall_ms", "wall_us"]


class Clock(Protocol):
    """A source of time."""

    def now_ns(self) -> TimeNs:
        """Return nanoseconds of the monotonic clock."""

    def wall_us(self) -> int:
        """Return microseconds since the epoch."""


def now_ns() -> TimeNs:
    """Return nanoseconds of the monotonic clock."""
    return TimeNs(time.monotonic_ns())


def wall_us() -> int:
    """Return microseconds since the epoch."""
    return time.time_ns() // 1_000


def wall_ms() -> int:
    """Return milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


class SystemClock:
    """The clocks of this machine."""

    __slots__ = ()

    now_ns = staticmethod(now_ns)
    wall_us = staticmethod(wall_us)
