"""A token bucket in whole nanoseconds. No I/O, no clock."""

from slipstream.units import TimeNs

__all__ = ["TokenBucket"]


class TokenBucket:
    """``burst`` tokens at once, refilled one every ``interval_ns``.

    Kept as the instant at which the bucket is full again, so that it neither rounds nor drifts.
    """

    __slots__ = ("_full_at_ns", "_interval_ns", "_span_ns")

    def __init__(self, *, burst: int, interval_ns: int) -> None:
        """Start full.

        Raises:
            ValueError: a burst or an interval below one.
        """
        if burst < 1 or interval_ns < 1:
            raise ValueError(f"expected positive burst and interval, found {burst}, {interval_ns}")
        self._interval_ns = interval_ns
        self._span_ns = burst * interval_ns
        self._full_at_ns = 0

    def take(self, count: int, now_ns: TimeNs) -> bool:
        """Take ``count`` tokens, or none and return False."""
        full_at_ns = max(self._full_at_ns, now_ns) + count * self._interval_ns
        if full_at_ns - now_ns > self._span_ns:
            return False
        self._full_at_ns = full_at_ns
        return True

    def wait_ns(self, count: int, now_ns: TimeNs) -> int:
        """Return how long until ``count`` tokens are there; 0 when they are now."""
        full_at_ns = max(self._full_at_ns, now_ns) + count * self._interval_ns
        return max(0, full_at_ns - now_ns - self._span_ns)
