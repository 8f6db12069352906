"""Signatures on one thread of their own, results on the event loop as they come.

libsecp256k1 takes about twenty microseconds a signature and needs no interpreter. The core's queue
signs in chunks without ever asking for the interpreter lock, and makes a descriptor readable;
what is signed is sent while the next chunk is being signed.
"""

import asyncio
import select
from collections.abc import Callable, Sequence
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

    def sign(self, jobs: Sequence[SignJob], deliver: Deliver) -> None:
        """Sign all jobs; call ``deliver`` on the running loop for each chunk, in order."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._queue.fileno(), self._on_ready)
        if len(jobs) <= INLINE_MAX:
            deliver(0, sign_many(jobs), self._clock.now_ns())
        else:
            number = self._queue.submit(jobs)
            self._waiting[number] = deliver
            self._left[number] = len(jobs)

    def wait(self, turn_ns: int) -> bool:
        """Deliver what gets signed within ``turn_ns``, holding the loop; return whether all is.

        For the burst of a fan-out: its own answers would come before its later orders otherwise.
        """
        until_ns = self._clock.now_ns() + turn_ns
        self._on_ready()
        while self._left and (left_ns := until_ns - self._clock.now_ns()) > 0:
            select.select([self._queue.fileno()], [], [], left_ns / NS_PER_S)
            self._on_ready()
        return not self._left

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
