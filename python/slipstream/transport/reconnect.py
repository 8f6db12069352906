"""How long to wait before the next attempt. No I/O, no clock."""

import random

from slipstream.units import NS_PER_MS, NS_PER_S

__all__ = ["Backoff"]

_DOUBLINGS_MAX = 20


class Backoff:
    """Exponential backoff with full jitter.

    The n-th delay is uniform between half and the whole of ``first_ns * 2**n``, never more than
    ``cap_ns``: a thousand clients that lost one server do not come back at one instant, and none
    comes back at once.
    """

    __slots__ = ("_cap_ns", "_failure_count", "_first_ns", "_random")

    def __init__(
        self,
        source: random.Random,
        *,
        first_ns: int = 100 * NS_PER_MS,
        cap_ns: int = 10 * NS_PER_S,
    ) -> None:
        """Take the source of jitter: seeded in simulations."""
        self._random = source
        self._first_ns = first_ns
        self._cap_ns = cap_ns
        self._failure_count = 0

    @property
    def failure_count(self) -> int:
        """Failures since the last success."""
        return self._failure_count

    def next_delay_ns(self) -> int:
        """Count a failure and return the pause after it, in nanoseconds."""
        doublings = min(self._failure_count, _DOUBLINGS_MAX)
        self._failure_count += 1
        whole_ns = min(self._first_ns << doublings, self._cap_ns)
        return self._random.randint(whole_ns // 2, whole_ns)

    def reset(self) -> None:
        """Forget past failures: it worked."""
        self._failure_count = 0
