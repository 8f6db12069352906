"""Signatures in chunks on one thread of their own, results on the event loop as they come.

libsecp256k1 takes about twenty microseconds a signature and needs no interpreter: the core
releases the interpreter lock for each chunk, so that the loop sends what is signed while the
next chunk is being signed. Below ``INLINE_MAX`` jobs the hop costs more than it saves.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from slipstream._core import SignerError, sign_many
from slipstream.transport.clock import Clock
from slipstream.units import TimeNs
from slipstream.venues.base import SignJob

INLINE_MAX: Final = 3
FIRST_CHUNK: Final = 4
CHUNK: Final = 32

Signed = bytes | SignerError
Deliver = Callable[[int, list[Signed], TimeNs], None]
"""Takes (index of the first job, results, when they were ready)."""


class SigningThread:
    """The one thread that signs. Owned by the wiring; closed after the last fan-out."""

    def __init__(self, clock: Clock) -> None:
        """Start no thread yet: the first job does."""
        self._clock = clock
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="signing")

    def close(self) -> None:
        """Finish what was begun and end the thread."""
        self._executor.shutdown(wait=True)

    def sign(self, jobs: Sequence[SignJob], deliver: Deliver) -> None:
        """Sign all jobs; call ``deliver`` on the running loop for each chunk, in order."""
        if len(jobs) <= INLINE_MAX:
            deliver(0, sign_many(jobs), self._clock.now_ns())
            return
        loop = asyncio.get_running_loop()
        self._executor.submit(self._sign_all, jobs, deliver, loop)

    def _sign_all(
        self, jobs: Sequence[SignJob], deliver: Deliver, loop: asyncio.AbstractEventLoop
    ) -> None:
        start, size = 0, FIRST_CHUNK
        while start < len(jobs):
            signed = sign_many(jobs[start : start + size])
            loop.call_soon_threadsafe(deliver, start, signed, self._clock.now_ns())
            start += size
            size = CHUNK
