"""Constant delays without a timer per message: one queue, one timer.

What is put in first comes out first. With a delay of zero, calls run at once.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from slipstream.venues.sim.clock import NS_PER_MS, VenueClock

EARLY_NS: Final = 200_000
"""Timers of the loop tick in milliseconds: what is due this soon runs now."""


class DelayLine:
    """Runs callbacks a fixed time after they were put in, in order."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: VenueClock, delay_ms: float) -> None:
        """Start empty; ``delay_ms`` holds for every call."""
        self._loop = loop
        self._clock = clock
        self._delay_ns = int(delay_ms * NS_PER_MS)
        self._queue: deque[tuple[int, Callable[..., object], tuple[object, ...]]] = deque()

    def put(self, callback: Callable[..., object], *arguments: object) -> None:
        """Run a callback after the delay (at once when it is zero)."""
        if self._delay_ns == 0:
            callback(*arguments)
            return
        due_ns = self._clock.now_ns() + self._delay_ns
        self._queue.append((due_ns, callback, arguments))
        if len(self._queue) == 1:
            self._arm(due_ns)

    def _arm(self, due_ns: int) -> None:
        wait_ns = max(due_ns - self._clock.now_ns(), 0)
        self._loop.call_later(wait_ns / 1e9, self._run)

    def _run(self) -> None:
        queue = self._queue
        until_ns = self._clock.now_ns() + EARLY_NS
        try:
            while queue and queue[0][0] <= until_ns:
                _, callback, arguments = queue[0]
                # Left in the queue while it runs: what it puts in arms no second timer.
                try:
                    callback(*arguments)
                finally:
                    queue.popleft()
        finally:
            if queue:
                self._arm(queue[0][0])
