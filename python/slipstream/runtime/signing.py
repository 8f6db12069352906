"""Signatures on one thread of their own, results on the event loop as they come.

libsecp256k1 takes about twenty microseconds a signature and needs no interpreter. The core's queue
signs in chunks without ever asking for the interpreter lock, and makes a descriptor readable;
what is signed is sent while the next chunk is being signed.
"""

import asyncio
import select
from collections.abc import Callable, Collection, Sequence
from typing import Final

from slipstream._core import SignerError, SigningQueue, sign_many
from slipstream.transport.clock import Clock
from slipstream.units import NS_PER_S, TimeNs
from slipstream.venues.base import SignJob

INLINE_MAX: Final = 3
"""So few signatures are made at once: waking the thread costs more."""

Signed = bytes | SignerError
Deliver = Callable[[int, list[Signed], TimeNs], None]
"""Takes (index of the first job, results, when they were taken)."""


class SigningThread:
    """The one thread that signs. Owned by the wiring; closed after the last fan-out."""

    def __init__(self, clock: Clock) -> None:
        """Start the thread."""
        self._clock = clock
        self._queue = SigningQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[int, Deliver] = {}
        self._left: dict[int, int] = {}

    def sign(self, jobs: Sequence[SignJob], deliver: Deliver) -> int | None:
        """Sign all jobs; call ``deliver`` on the running loop for each chunk, in order.

        Returns the number to ``wait`` for, ``None`` when everything is delivered already.
        """
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._queue.fileno(), self._on_ready)
        if len(jobs) <= INLINE_MAX:
            deliver(0, sign_many(jobs), self._clock.now_ns())
            return None
        number = self._queue.submit(jobs)
        self._waiting[number] = deliver
        self._left[number] = len(jobs)
        return number

    def wait(self, numbers: Collection[int], turn_ns: int) -> bool:
        """Deliver what gets signed within ``turn_ns``, holding the loop until the jobs of these
        ``numbers`` are; return whether they are.

        For the burst of a fan-out: its own answers would come before its later orders otherwise.
        What another burst has asked for is delivered when it comes, but not waited for.
        """
        until_ns = self._clock.now_ns() + turn_ns
        self._on_ready()
        while self._is_left(numbers) and (left_ns := until_ns - self._clock.now_ns()) > 0:
            select.select([self._queue.fileno()], [], [], left_ns / NS_PER_S)
            self._on_ready()
        return not self._is_left(numbers)

    def _is_left(self, numbers: Collection[int]) -> bool:
        return any(number in self._left for number in numbers)

    def close(self) -> None:
        """Finish what was begun and end the thread."""
        if self._loop is not None:
            self._loop.remove_reader(self._queue.fileno())
            self._loop = None
        self._queue.close()

    def _on_ready(self) -> None:
        now_ns = self._clock.now_ns()
        for number, start, signed in self._queue.take():
            deliver = self._waiting[number]
            self._left[number] -= len(signed)
            if not self._left[number]:
                del self._waiting[number], self._left[number]
            deliver(start, signed, now_ns)
