"""What becomes of followers while their leader's stream is down: each one's own policy.

Silence is not an exit. Under ``hold`` nothing is done; no event of a stale leader opens anything,
under any policy. ``close_only`` and ``flatten_after`` also open nothing until what was missed has
been read back, and ``flatten_after`` closes what this mirror built once the silence has lasted so
long. A follower that resumes by hand stays close-only after a long silence until the operator
says so; that is in the store and survives a restart.

How long a leader has been silent is known across restarts: the store keeps when its stream was
last seen up, to within ``MARK_NS``.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from slipstream.config.model import ResumePolicy, StalePolicy
from slipstream.domain.cohort import CohortCommit
from slipstream.domain.ids import FollowerId, LeaderId
from slipstream.errors import StoreError
from slipstream.runtime.comeback import BEGAN
from slipstream.runtime.follower import Follower
from slipstream.runtime.supervisor import Health
from slipstream.store.base import Store
from slipstream.units import NS_PER_MS, NS_PER_S, TimeNs

LOOK_S: Final = 1.0
MARK_NS: Final = 10 * NS_PER_S
LIVE_MARK: Final = "(live)"
"""The cursor of no symbol: the wall time, in ms, at which a leader's stream was last seen up."""


def real_cursors(cursors: Mapping[str, str]) -> dict[str, str]:
    """Return the cursors of symbols: without those that stand for a mirror's own instants."""
    return {symbol: at for symbol, at in cursors.items() if symbol not in (BEGAN, LIVE_MARK)}


Latch = Callable[[LeaderId, FollowerId], Awaitable[None]]
"""Stops a follower's opens under a leader, durably, until the operator resumes them."""

Flatten = Callable[[LeaderId, FollowerId], Awaitable[bool]]
"""Closes what a mirror built; ``False``: not possible now, ask again."""

Report = Callable[[str, FollowerId | None, str], None]
"""Takes (kind, follower, detail) of an incident."""


class StaleWatch:
    """Looks once a second at every leader. Owned by the engine."""

    def __init__(
        self,
        healths: Sequence[Health],
        followers: Mapping[FollowerId, Follower],
        *,
        store: Store,
        latch: Latch,
        flatten: Flatten,
        is_busy: Callable[[LeaderId], bool],
        report: Report,
        now_ns: Callable[[], TimeNs],
        wall_ms: Callable[[], int],
    ) -> None:
        """Keep the partners. ``is_busy``: whether a leader's events still wait to be mirrored."""
        self._healths = healths
        self._store = store
        self._latch = latch
        self._flatten = flatten
        self._is_busy = is_busy
        self._report = report
        self._now_ns = now_ns
        self._wall_ms = wall_ms
        self._by_leader: dict[LeaderId, list[Follower]] = {each.leader: [] for each in healths}
        for follower in followers.values():
            for mirror in follower.config.mirrors:
                self._by_leader.setdefault(LeaderId(mirror.leader), []).append(follower)
        self._latched: set[tuple[LeaderId, FollowerId]] = set()
        self._flattened: set[tuple[LeaderId, FollowerId]] = set()
        self._marks: dict[LeaderId, int] = {}
        self._mark_due_ns = now_ns()

    async def begin(self) -> None:
        """Take over how long each leader has been silent; before any leader is followed.

        Raises:
            StoreError: the ledger cannot be read.
        """
        for health in self._healths:
            mark = await self._store.cursor(health.leader, LIVE_MARK)
            if mark is not None and health.down_since_ns is None:
                self._marks[health.leader] = int(mark)
                age_ms = max(0, self._wall_ms() - int(mark))
                health.down_since_ns = TimeNs(self._now_ns() - age_ms * NS_PER_MS)
            health.on_down = self._on_down
            await self._look_at(health)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Look once at every leader."""
        for health in self._healths:
            await self._look_at(health)
        if self._now_ns() >= self._mark_due_ns:
            self._mark_due_ns = TimeNs(self._now_ns() + MARK_NS)
            await self._mark()

    async def _look_at(self, health: Health) -> None:
        if health.down_since_ns is not None:
            await self._on_silence(health.leader, self._now_ns() - health.down_since_ns)
            return
        self._latched = {each for each in self._latched if each[0] != health.leader}
        self._flattened = {each for each in self._flattened if each[0] != health.leader}
        if health.is_caught_up and not self._is_busy(health.leader):
            for follower in self._by_leader[health.leader]:
                follower.set_stale(health.leader, is_on=False)

    def _on_down(self, health: Health) -> None:
        for follower in self._by_leader[health.leader]:
            if follower.config.stale_leader is not StalePolicy.HOLD:
                follower.set_stale(health.leader, is_on=True)

    async def _on_silence(self, leader: LeaderId, silent_ns: int) -> None:
        for follower in self._by_leader[leader]:
            config, key = follower.config, (leader, follower.id)
            is_manual = config.stale_resume is ResumePolicy.MANUAL
            if is_manual and silent_ns >= config.stale_after_ns and key not in self._latched:
                await self._stop_opens(leader, follower, silent_ns)
            limit_ns = config.flatten_after_ns
            if limit_ns is not None and silent_ns >= limit_ns and key not in self._flattened:
                await self._close(leader, follower)

    async def _stop_opens(self, leader: LeaderId, follower: Follower, silent_ns: int) -> None:
        try:
            await self._latch(leader, follower.id)
        except StoreError as error:
            self._report("RESUME_NOT_RECORDED", follower.id, f"leader {leader}: {error}")
            return
        self._latched.add((leader, follower.id))
        detail = (
            f"leader {leader} has been stale for {silent_ns // NS_PER_S} s: "
            "no opens until the operator resumes"
        )
        self._report("RESUME_WANTED", follower.id, detail)

    async def _close(self, leader: LeaderId, follower: Follower) -> None:
        if await self._flatten(leader, follower.id):
            self._flattened.add((leader, follower.id))
            self._report("STALE_LEADER", follower.id, f"leader {leader} is stale: flattened")

    async def _mark(self) -> None:
        """Keep in the store which streams are up.

        A stream that is down is written again as it was: what the ledger has to do at an instant
        does not depend on how a leader fares.
        """
        commits = []
        for health in self._healths:
            if health.is_live.is_set():
                self._marks[health.leader] = self._wall_ms()
            mark = self._marks.get(health.leader)
            if mark is not None:
                commit = CohortCommit(health.leader, None, [], (LIVE_MARK, str(mark)))
                commits.append((health.leader, self._store.commit(commit)))
        for leader, written in commits:
            try:
                await written
            except StoreError as error:
                self._report("STREAM_MARK_FAILED", None, f"leader {leader}: {error}")
