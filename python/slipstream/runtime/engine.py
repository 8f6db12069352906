"""The running engine: what is started in which order, and stopped in the reverse.

Books first, then followers, then leaders: a leader's feed is the last thing to start and the
first to stop, so that no fill meets an engine that cannot act on it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from slipstream.domain.cohort import ActivityRow
from slipstream.domain.ids import FollowerId, LeaderId
from slipstream.runtime.follower import Follower, start_all
from slipstream.runtime.hub import VenueHub
from slipstream.runtime.journal import Journal
from slipstream.runtime.mirror import Mirror
from slipstream.runtime.pipeline import Pipeline
from slipstream.runtime.signing import SigningThread
from slipstream.runtime.supervisor import Supervisor
from slipstream.store.base import Store
from slipstream.telemetry.execution import FanOutTimes
from slipstream.telemetry.stages import StageRecorder

DRAIN_STEP_S: Final = 0.02
RESTART_PAUSE_S: Final = 1.0


@dataclass(slots=True)
class LeaderParts:
    """One leader's pipeline as it runs now; replaced when the supervisor restarts it."""

    leader: LeaderId
    pipeline: Pipeline
    mirrors: Sequence[Mirror]
    journal: Journal


@dataclass(slots=True)
class Engine:
    """All parts of a running engine. Built by ``wiring``; owned by one command."""

    store: Store
    signing: SigningThread
    hubs: Mapping[str, VenueHub]
    followers: Mapping[FollowerId, Follower]
    supervisors: Sequence[Supervisor]
    parts: dict[LeaderId, LeaderParts]
    stages: StageRecorder
    times: FanOutTimes
    wall_ms: Callable[[], int]
    _background: set[asyncio.Task[None]] = field(default_factory=set)
    _leader_tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self) -> dict[FollowerId, str]:
        """Start everything; return the followers that stay out, each with its reason."""
        for hub in self.hubs.values():
            self._keep(hub.books.run(), f"books of {hub.traits.venue}")
        failures = await start_all(list(self.followers.values()))
        for follower in self.followers.values():
            if follower.id in failures:
                self._keep(self._start_later(follower), f"follower {follower.id}")
            else:
                self._keep(follower.run_feed(), f"stream of {follower.id}")
        for follower_id, reason in failures.items():
            self.log("incident", "FOLLOWER_NOT_READY", {"detail": reason}, follower=follower_id)
        for supervisor in self.supervisors:
            self._leader_tasks.append(asyncio.create_task(supervisor.run()))
        return failures

    async def wait_live(self) -> None:
        """Return when every leader's stream is up."""
        for supervisor in self.supervisors:
            await supervisor.health.is_live.wait()

    async def _start_later(self, follower: Follower) -> None:
        """Keep trying a follower that could not start; the others trade meanwhile."""
        pause_s = RESTART_PAUSE_S
        while True:
            await asyncio.sleep(pause_s)
            pause_s = min(60.0, pause_s * 2)
            if not await start_all([follower]):
                self.log("incident", "FOLLOWER_READY", {}, follower=follower.id)
                await follower.run_feed()

    def _keep(self, work: Coroutine[object, object, None], name: str) -> None:
        """Run something in the background; an error in it is told and stays its own."""
        task = asyncio.create_task(work, name=name)
        self._background.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            detail = f"{task.get_name()}: {type(error).__name__}: {error}"
            self.log("incident", "TASK_FAILED", {"detail": detail})

    def log(
        self,
        kind: str,
        reason: str | None,
        payload: dict[str, object],
        *,
        follower: FollowerId | None = None,
    ) -> None:
        """Write one line into the activity log."""
        self.store.log(
            [
                ActivityRow(
                    ts_ms=self.wall_ms(),
                    kind=kind,
                    follower=follower,
                    reason=reason,
                    payload=payload,
                )
            ]
        )

    async def drain(self, *, timeout_s: float) -> bool:
        """Wait until nothing is in flight or waiting; return whether that came true in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle()
        except TimeoutError:
            return False
        return True

    async def _idle(self) -> None:
        """Return when no pipeline is busy; looked at every so often, for nothing waits on it."""
        is_busy = True
        while is_busy:
            await asyncio.sleep(DRAIN_STEP_S)
            is_busy = any(
                each.pipeline.is_busy or any(mirror.is_busy for mirror in each.mirrors)
                for each in self.parts.values()
            )

    async def settle(self) -> None:
        """End and tell every leg that still waits: nothing more is going to happen to it."""
        for each in self.parts.values():
            for mirror in each.mirrors:
                await mirror.resolver.close()
                mirror.end_unfinished()
            each.journal.drain()

    async def stop(self, *, drain_s: float = 10.0) -> None:
        """Stop leaders, let what is in flight end, tell the rest, close everything."""
        await _cancel(self._leader_tasks)
        await self.drain(timeout_s=drain_s)
        await self.settle()
        await _cancel(list(self._background))
        async with asyncio.TaskGroup() as group:
            for follower in self.followers.values():
                group.create_task(follower.close())
        self.signing.close()
        await self.store.flush()
        await self.store.close()


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
