"""The order in which followers come up, and the pace the venue's weight limit sets.

Whoever has exposure comes first: a position that our orders built, or a claim without an outcome.
Each follower trades as soon as it is ready itself. One that cannot be reached is tried again for
itself; when the address's budget is used up everybody waits for the next window, in order, so
that starting many never earns a ban.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from heapq import heappop, heappush
from typing import Final

from slipstream._core import LaneState
from slipstream.domain.ids import FollowerId, LeaderId
from slipstream.errors import RateLimited, SlipstreamError
from slipstream.runtime.follower import Follower
from slipstream.store.base import Store
from slipstream.units import NS_PER_S

WIDTH: Final = 32
"""Followers that are being started at one time."""

START_S: Final = 4.0
"""An account that cannot be opened and read in this time is tried again later."""

RETRY_FIRST_S: Final = 1.0
RETRY_MAX_S: Final = 60.0
PAUSE_MIN_S: Final = 0.001
LIMITED_S: Final = 1.0
"""The pause when a limit does not say for how long."""

BOOKS_ROOM: Final = 240
"""Weight a window that followers without exposure leave to books and leaders: a dozen snapshots."""

PauseOf = Callable[[Follower], int | None]
"""Returns how many nanoseconds a follower that is not urgent should wait, ``None``: none."""

OnReady = Callable[[Follower, bool], None]
"""Takes a follower that is ready, and whether it had been told late before."""


async def exposed(store: Store, leaders: Iterable[LeaderId]) -> set[FollowerId]:
    """Return the followers that hold something of ours, or may.

    Raises:
        StoreError: the ledger cannot be read.
    """
    found: set[FollowerId] = set()
    for leader in leaders:
        for row in await store.lanes(leader):
            if any(LaneState.decode(row.lane).position_qty):
                found.add(row.follower_id)
        found |= {leg.follower_id for leg in await store.open_legs(leader)}
    return found


class StartLine:
    """Starts followers in their order until all are ready. Owned by the engine."""

    def __init__(
        self,
        followers: Sequence[Follower],
        first: set[FollowerId],
        on_ready: OnReady,
        pause_of: PauseOf = lambda _: None,
    ) -> None:
        """Put those named in ``first`` at the head of the line; the others leave room in the
        budget, which ``pause_of`` knows."""
        self._first = first
        self._pause_of = pause_of
        self._on_ready = on_ready
        self._line = sorted(followers, key=lambda each: each.id not in first)
        self._waiting = list(range(len(self._line)))
        self._left = set(range(len(self._line)))
        self._unheard = set(range(len(self._line)))
        self._changed = asyncio.Event()
        self._pauses: dict[int, float] = {}
        self._limited_until_s = 0.0
        self.failures: dict[FollowerId, str] = {}
        """What kept each one out the first time."""
        self.first_pass = asyncio.Event()
        """Set when everybody was tried once."""

    async def run(self) -> None:
        """Return when everybody is ready."""
        if not self._unheard:
            self.first_pass.set()
        async with asyncio.TaskGroup() as group:
            for _ in range(min(WIDTH, len(self._line))):
                group.create_task(self._work(group))

    async def _work(self, group: asyncio.TaskGroup) -> None:
        """Start whoever is next, again and again, until nobody is left."""
        loop = asyncio.get_running_loop()
        while self._left:
            pause_s = self._limited_until_s - loop.time()
            if pause_s > 0:
                await asyncio.sleep(max(pause_s, PAUSE_MIN_S))
            elif self._waiting:
                place = heappop(self._waiting)
                if not self._makes_room(place):
                    await self._start(place, group)
                self._changed.set()
            else:
                self._changed.clear()
                await self._changed.wait()

    def _makes_room(self, place: int) -> bool:
        """Whether a follower without exposure waits so that books can be read."""
        follower = self._line[place]
        pause_ns = None if follower.id in self._first else self._pause_of(follower)
        if pause_ns is None:
            return False
        self._limit(place, pause_ns, "waits for the address's next window")
        return True

    def _limit(self, place: int, pause_ns: int | None, reason: str) -> None:
        """The address's budget is used up: everybody waits, this one at its place in the line."""
        pause_s = LIMITED_S if pause_ns is None else pause_ns / NS_PER_S
        until_s = asyncio.get_running_loop().time() + pause_s
        self._limited_until_s = max(self._limited_until_s, until_s)
        heappush(self._waiting, place)
        for each in sorted(self._unheard):
            self._tried(each, reason)

    async def _start(self, place: int, group: asyncio.TaskGroup) -> None:
        follower = self._line[place]
        try:
            async with asyncio.timeout(START_S):
                await follower.start()
        except RateLimited as error:
            self._limit(place, error.retry_after_ns, str(error))
        except TimeoutError:
            self._again(place, f"no answer in {START_S:g} s", group)
        except SlipstreamError as error:
            self._again(place, f"{type(error).__name__}: {error}", group)
        else:
            self._left.discard(place)
            self._on_ready(follower, follower.id in self.failures)
            self._tried(place, None)

    def _again(self, place: int, reason: str, group: asyncio.TaskGroup) -> None:
        """Let one follower wait for itself, longer each time."""
        self._tried(place, reason)
        pause_s = self._pauses.get(place, RETRY_FIRST_S)
        self._pauses[place] = min(RETRY_MAX_S, pause_s * 2)
        group.create_task(self._back_in_line(place, pause_s))

    async def _back_in_line(self, place: int, pause_s: float) -> None:
        await asyncio.sleep(pause_s)
        heappush(self._waiting, place)
        self._changed.set()

    def _tried(self, place: int, reason: str | None) -> None:
        if place not in self._unheard:
            return
        self._unheard.discard(place)
        if reason is not None:
            self.failures[self._line[place].id] = reason
        if not self._unheard:
            self.first_pass.set()

    async def wait_first_pass(self, timeout_s: float) -> None:
        """Return when everybody was tried once, or after so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.first_pass.wait()
