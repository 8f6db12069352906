"""What one address may still ask of one host in the running window. No I/O, no clock.

Senders that share an egress address share one ``AddressBudget``. A part of the window is kept
for calls marked urgent, so that a rush of others cannot keep them out. The host's own count of
used weight corrects ours upwards, and a ban it pronounces stops everything until it ends.
"""

from slipstream.units import NS_PER_MS, NS_PER_S, TimeNs

__all__ = ["AddressBudget"]

_NS_PER_MINUTE = 60 * NS_PER_S


class AddressBudget:
    """Weight per fixed window, whose burst is the window.

    ``window_max`` and ``used`` count request weight. The window follows the host's minutes once
    ``align`` was called.
    """

    __slots__ = (
        "_blocked_until_ns",
        "_refused_count",
        "_reserve",
        "_used",
        "_window_end_ns",
        "_window_max",
        "_window_ns",
    )

    def __init__(self, *, window_max: int, reserve: int, window_ns: int = _NS_PER_MINUTE) -> None:
        """Keep ``reserve`` of ``window_max`` for urgent calls.

        Raises:
            ValueError: a reserve outside the window.
        """
        if not 0 <= reserve < window_max:
            raise ValueError(f"expected a reserve below {window_max}, found {reserve}")
        self._window_max = window_max
        self._reserve = reserve
        self._window_ns = window_ns
        self._window_end_ns = 0
        self._used = 0
        self._blocked_until_ns = 0
        self._refused_count = 0

    @property
    def used(self) -> int:
        """Weight taken in the window last looked at."""
        return self._used

    @property
    def window_max(self) -> int:
        """Weight of a whole window."""
        return self._window_max

    @property
    def refused_count(self) -> int:
        """Calls that were told to wait, since the start."""
        return self._refused_count

    @property
    def blocked_until_ns(self) -> int:
        """End of the host's ban on the monotonic clock; in the past when there is none."""
        return self._blocked_until_ns

    def set_window_max(self, window_max: int) -> None:
        """Take the limit the host itself publishes; the reserve keeps its share.

        Raises:
            ValueError: a limit below one.
        """
        if window_max < 1:
            raise ValueError(f"expected a positive limit, found {window_max}")
        self._reserve = min(self._reserve * window_max // self._window_max, window_max - 1)
        self._window_max = window_max

    def align(self, now_ns: TimeNs, host_ms: int) -> None:
        """Let windows end where those of the host's clock end."""
        window_ms = self._window_ns // NS_PER_MS
        self._window_end_ns = now_ns + (window_ms - host_ms % window_ms) * NS_PER_MS

    def take(self, weight: int, *, is_urgent: bool, now_ns: TimeNs) -> int | None:
        """Take ``weight``; return ``None``, or how many nanoseconds to wait when refused."""
        if now_ns < self._blocked_until_ns:
            self._refused_count += 1
            return self._blocked_until_ns - now_ns
        if now_ns >= self._window_end_ns:
            self._roll(now_ns)
        usable = self._window_max if is_urgent else self._window_max - self._reserve
        if self._used + weight > usable:
            self._refused_count += 1
            return self._window_end_ns - now_ns
        self._used += weight
        return None

    def learn(self, used: int, now_ns: TimeNs) -> None:
        """Take the host's count of used weight where it is above ours."""
        if now_ns >= self._window_end_ns:
            self._roll(now_ns)
        self._used = max(self._used, used)

    def block(self, until_ns: int) -> None:
        """Stop everything until an instant: the host said so."""
        self._blocked_until_ns = max(self._blocked_until_ns, until_ns)

    def room(self, now_ns: TimeNs) -> int:
        """Return the weight that calls which are not urgent may still take in this window."""
        if now_ns < self._blocked_until_ns:
            return 0
        if now_ns >= self._window_end_ns:
            self._roll(now_ns)
        return max(0, self._window_max - self._reserve - self._used)

    def window_left_ns(self, now_ns: TimeNs) -> int:
        """Return the rest of the running window."""
        if now_ns >= self._window_end_ns:
            self._roll(now_ns)
        return self._window_end_ns - now_ns

    def _roll(self, now_ns: TimeNs) -> None:
        """Begin the window that holds ``now_ns``, keeping the phase."""
        self._used = 0
        if self._window_end_ns == 0:
            self._window_end_ns = now_ns + self._window_ns
            return
        passed = (now_ns - self._window_end_ns) // self._window_ns + 1
        self._window_end_ns += passed * self._window_ns
