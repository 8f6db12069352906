"""The running engine: what is started in which order, and stopped in the reverse.

Books first, then followers, then leaders: a leader's feed is the last thing to start and the
first to stop, so that no fill meets an engine that cannot act on it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from slipstream._core import parse_fixed
from slipstream.domain.cohort import ActivityRow
from slipstream.domain.ids import ClientOrderId, FollowerId, LeaderId
from slipstream.errors import FixedError, StoreError
from slipstream.runtime.attribution import describe, take_stock
from slipstream.runtime.control import ControlCommand
from slipstream.runtime.flatten import Scope, give_up_targets, held_back, reduce
from slipstream.runtime.follower import Follower, Membership
from slipstream.runtime.hub import VenueHub
from slipstream.runtime.interpreter import spare_what_stands
from slipstream.runtime.journal import Journal
from slipstream.runtime.mirror import Mirror
from slipstream.runtime.pipeline import Pipeline
from slipstream.runtime.signing import SigningThread
from slipstream.runtime.stale import StaleWatch
from slipstream.runtime.standin import Instant
from slipstream.runtime.startup import BOOKS_ROOM, StartLine, exposed
from slipstream.runtime.status import engine_status
from slipstream.runtime.supervisor import Supervisor
from slipstream.runtime.switchboard import Switchboard
from slipstream.store.base import Store
from slipstream.telemetry.execution import FanOutTimes
from slipstream.telemetry.stages import StageRecorder
from slipstream.transport.budget import AddressBudget
from slipstream.units import NS_PER_S, TimeNs

DRAIN_STEP_S: Final = 0.02
LEADERS_WAIT_S: Final = 2.0
"""How long leaders wait for followers at a start: an increase found then is still young enough."""


def _say_nothing(_: str) -> None:
    """Keep changes of state to ourselves."""


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
    now_ns: Callable[[], TimeNs]
    switchboard: Switchboard
    chores: Sequence[tuple[str, Callable[[], Coroutine[object, object, None]]]]
    """Name and work of what is kept running beside the trading."""
    budgets: Mapping[str, AddressBudget]
    tell: Callable[[str], None] = _say_nothing
    close_venues: Sequence[Callable[[], Awaitable[None]]] = ()
    failed_tasks: list[str] = field(default_factory=list)
    _background: set[asyncio.Task[None]] = field(default_factory=set)
    _leader_tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self) -> dict[FollowerId, str]:
        """Start everything; return the followers that stay out, each with its reason."""
        self.switchboard.bind(self)
        for hub in self.hubs.values():
            self._keep(hub.books.run(), f"books of {hub.traits.venue}")
        for name, work in self.chores:
            self._keep(work(), name)
        followers = list(self.followers.values())
        line = StartLine(followers, await self._exposed(), self._on_ready, self._start_pause)
        self._keep(line.run(), "start of followers")
        await line.wait_first_pass(LEADERS_WAIT_S)
        stale = self._stale_watch()
        await stale.begin()
        self._keep(stale.run(), "stale leaders")
        for supervisor in self.supervisors:
            task = asyncio.create_task(supervisor.run(), name=f"leader {supervisor.health.leader}")
            task.add_done_callback(self._on_done)
            self._leader_tasks.append(task)
        await line.first_pass.wait()
        self._tell_started(line.failures)
        spare_what_stands()
        return dict(line.failures)

    async def _exposed(self) -> set[FollowerId]:
        """Return who is to be started first; without a ledger that can be read, nobody is."""
        try:
            return await exposed(self.store, [each.health.leader for each in self.supervisors])
        except StoreError as error:
            self.log("incident", "EXPOSURE_UNREAD", {"detail": str(error)})
            return set()

    def _start_pause(self, follower: Follower) -> int | None:
        """Return how long a follower without exposure waits, to leave weight to the books."""
        budget = self.budgets.get(follower.config.venue)
        now_ns = self.now_ns()
        if budget is None or budget.room(now_ns) > BOOKS_ROOM:
            return None
        return budget.window_left_ns(now_ns)

    def _on_ready(self, follower: Follower, is_late: bool) -> None:  # noqa: FBT001 - a callback
        """A follower is ready: see what is foreign to us, bring leverage in step, listen."""
        for membership in follower.memberships:
            for symbol in list(membership.cohort.symbols):
                for each in take_stock(follower, membership, symbol):
                    detail: dict[str, object] = {"detail": describe(each)}
                    self.log("incident", "FOREIGN_POSITION", detail, follower=follower.id)
            if membership.unsynced:
                self._keep(self._sync(follower, membership), f"leverage of {follower.id}")
        self._keep(follower.run_feed(), f"stream of {follower.id}")
        if is_late:
            self.log("incident", "FOLLOWER_READY", {}, follower=follower.id)
            self.tell(f"follower {follower.id}: ready")

    async def _sync(self, follower: Follower, membership: Membership) -> None:
        for symbol, leverage in list(membership.unsynced.items()):
            await follower.sync_leverage(membership, symbol, leverage)

    def _tell_started(self, failures: Mapping[FollowerId, str]) -> None:
        for follower_id, reason in failures.items():
            self.log("incident", "FOLLOWER_NOT_READY", {"detail": reason}, follower=follower_id)
            self.tell(f"follower {follower_id}: not ready: {reason}")
        ready_count = sum(each.is_ready for each in self.followers.values())
        self.tell(f"followers: {ready_count} of {len(self.followers)} ready")

    def _stale_watch(self) -> StaleWatch:
        def report(kind: str, follower: FollowerId | None, detail: str) -> None:
            self.log("incident", kind, {"detail": detail}, follower=follower)

        return StaleWatch(
            [each.health for each in self.supervisors],
            self.followers,
            store=self.store,
            latch=self.switchboard.latch,
            flatten=self._flatten_stale,
            is_busy=self._is_busy,
            report=report,
            now_ns=self.now_ns,
            wall_ms=self.wall_ms,
        )

    def _is_busy(self, leader: LeaderId) -> bool:
        parts = self.parts.get(leader)
        return parts is None or parts.pipeline.is_busy

    async def _flatten_stale(self, leader: LeaderId, follower: FollowerId) -> bool:
        """Close what one mirror built; False while its pipeline takes no work."""
        parts = self.parts.get(leader)
        if parts is None or not parts.pipeline.is_running:
            return False
        scope = Scope(frozenset({follower}))
        problems = await self.reduce(parts, scope, give_up_targets, why="stale-leader")
        for problem in problems:
            self.log("incident", "EXIT_HELD_BACK", {"detail": problem}, follower=follower)
        return not problems

    async def wait_live(self) -> None:
        """Return when every leader's stream is up."""
        for supervisor in self.supervisors:
            await supervisor.health.is_live.wait()

    def _keep(self, work: Coroutine[object, object, None], name: str) -> None:
        """Run something in the background; an error in it is told and stays its own."""
        task = asyncio.create_task(work, name=name)
        self._background.add(task)
        task.add_done_callback(self._on_done)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            detail = f"{task.get_name()}: {type(error).__name__}: {error}"
            self.failed_tasks.append(detail)
            self.log("incident", "TASK_FAILED", {"detail": detail})
            self.tell(f"failed: {detail}")

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
            await each.journal.finish()

    # --- the operator's floor ---

    def is_listed(self, symbol: str) -> bool:
        """Whether any venue lists a symbol."""
        return any(symbol in hub.instruments for hub in self.hubs.values())

    async def flatten(self, command: ControlCommand) -> list[str]:
        """Close what our orders built for those an order names; return what could not be done."""
        return await self._reduce(command, give_up_targets, why="flatten")

    def settle_order(self, command: ControlCommand) -> list[str]:
        """End an order of unknown fate by the operator's word; return why that cannot be."""
        follower, name = command.follower, command.order
        if follower is None or name is None:
            return ["expected a follower and an order"]
        try:
            filled_qty = parse_fixed(command.filled or "")
            px = None if command.price is None else parse_fixed(command.price)
        except FixedError as error:
            return [str(error)]
        problem: str | None = f"no unresolved order {name} of {follower}"
        for parts in self.parts.values():
            for mirror in parts.mirrors:
                if any(each.client_order_id == name for each in mirror.resolver.unresolved()):
                    order = ClientOrderId(name)
                    problem = mirror.resolver.settle(follower, order, filled_qty, px)
        return [] if problem is None else [problem]

    async def catch_up(self, command: ControlCommand) -> list[str]:
        """Plan again the reductions that were held back."""
        return await self._reduce(command, held_back, why="catch-up")

    async def _reduce(
        self,
        command: ControlCommand,
        choose: Callable[[Mirror, Scope], dict[str, list[int]]],
        *,
        why: str,
    ) -> list[str]:
        problems: list[str] = []
        followers = None if command.follower is None else frozenset({command.follower})
        scope = Scope(followers, command.symbol)
        for supervisor in self.supervisors:
            leader = supervisor.health.leader
            if command.leader not in (None, leader):
                continue
            parts = self.parts.get(leader)
            if parts is None or not parts.pipeline.is_running:
                problems.append(f"{why} under leader {leader} is not possible: not running now")
                continue
            problems += await self.reduce(parts, scope, choose, why=why)
        return problems

    async def reduce(
        self,
        parts: LeaderParts,
        scope: Scope,
        choose: Callable[[Mirror, Scope], dict[str, list[int]]],
        *,
        why: str,
    ) -> list[str]:
        """Have one leader's lanes reduced; return what could not be done."""
        problems: list[str] = []
        for mirror in parts.mirrors:
            chosen = choose(mirror, scope)
            for symbol in chosen:
                await parts.pipeline.prepare(symbol)
            at = Instant(self.now_ns(), self.wall_ms())
            for symbol, rows in chosen.items():
                problem = reduce(mirror, symbol, rows, why=why, at=at)
                if problem is not None:
                    problems.append(problem)
        return problems

    def status(self) -> dict[str, object]:
        """Return how everything stands, as plain JSON values."""
        return engine_status(self)

    async def stop(self, *, drain_s: float = 10.0) -> bool:
        """Stop leaders, let what is in flight end, tell the rest, close everything.

        Returns whether nothing was left in flight. Reductions that wait for their next attempt
        are not waited for: the ledger knows what is wanted.
        """
        await _cancel(self._leader_tasks)
        is_drained = await self._ended(timeout_s=drain_s)
        await self.settle()
        await _cancel(list(self._background))
        async with asyncio.TaskGroup() as group:
            for follower in self.followers.values():
                group.create_task(follower.close())
        for close in self.close_venues:
            await close()
        self.signing.close()
        await self.store.flush()
        await self.store.close()
        return is_drained

    async def _ended(self, *, timeout_s: float) -> bool:
        """Wait until no order is out; return whether that came true in time."""
        deadline_ns = self.now_ns() + int(timeout_s * NS_PER_S)
        count = self._order_count()
        while count and self.now_ns() < deadline_ns:
            await asyncio.sleep(DRAIN_STEP_S)
            count = self._order_count()
        return not count

    def _order_count(self) -> int:
        return sum(mirror.order_count for parts in self.parts.values() for mirror in parts.mirrors)


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
