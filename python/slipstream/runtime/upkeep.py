"""What an engine does between fills: readings that keep its knowledge fresh, and tidying up.

Nothing here is on the way of a fill, and every call draws on the part of the address budget that
reductions do not need. Accounts are read when their own stream has said nothing for long, a few
at a time, so that idle followers stay ready to open.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from slipstream._core import LaneState
from slipstream.domain.cohort import ActivityRow, CohortCommit, LegRow, LegStatus
from slipstream.domain.ids import FillId, FollowerId, IntentId, VenueId, intent_id
from slipstream.errors import StoreError, VenueError
from slipstream.runtime.attribution import Difference, Doubts, describe, mark_foreign, shrink
from slipstream.runtime.follower import Follower
from slipstream.runtime.journal import lane_payload
from slipstream.store.base import Store
from slipstream.transport.clock import Clock
from slipstream.units import NS_PER_MS, NS_PER_S, VenueMs
from slipstream.venues.base import MarketReader

LOOK_S: Final = 0.5
STATE_AGE_NS: Final = 200 * NS_PER_S
"""Older account states are read anew; at 300 s they would stop opens."""

STAGGER_NS: Final = 60 * NS_PER_S
READ_WIDTH: Final = 4
CLOCK_LOOK_S: Final = 0.5
CLOCK_LOOK_COUNT: Final = 120
"""So many looks, and a venue's clock is read whatever they found: every minute."""

RESYNC_PAUSE_S: Final = 1.0
PRUNE_INTERVAL_S: Final = 3_600.0
LEVERAGE_LOOK_COUNT: Final = 60
"""A leverage that could not be set is tried again every so many looks."""

Report = Callable[[str, FollowerId | None, str], None]
"""Takes (kind, follower, detail) of an incident."""


@dataclass(frozen=True, slots=True)
class VenueClockKeeper:
    """Follows one venue's clock: every minute, and when a refusal hints that it ran away or this
    machine's clocks have parted (``is_doubted``)."""

    venue: str
    reader: MarketReader
    is_wanted: asyncio.Event
    report: Report
    is_doubted: Callable[[], bool] = lambda: False

    async def run(self) -> None:
        """Read until cancelled."""
        is_told = False
        while True:
            await self._wait()
            self.is_wanted.clear()
            is_doubted = self.is_doubted()
            if is_doubted and not is_told:
                self.report("CLOCK_STEPPED", None, f"{self.venue}: nothing opens until it is read")
            is_told = is_doubted
            try:
                await self.reader.venue_time_ms()
            except VenueError as error:
                self.report("CLOCK_UNREAD", None, f"{self.venue}: {error}")
            await asyncio.sleep(RESYNC_PAUSE_S)

    async def _wait(self) -> None:
        """Wait for a minute, or for a reason to read sooner."""
        for _ in range(CLOCK_LOOK_COUNT):
            if self.is_doubted():
                return
            try:
                async with asyncio.timeout(CLOCK_LOOK_S):
                    await self.is_wanted.wait()
            except TimeoutError:
                continue
            return


class Upkeep:
    """Keeps followers' states fresh and their attribution true."""

    def __init__(
        self,
        followers: Mapping[FollowerId, Follower],
        *,
        store: Store,
        clock: Clock,
        report: Report,
    ) -> None:
        """Keep the partners."""
        self._followers = followers
        self._store = store
        self._clock = clock
        self._report = report
        self._doubts: dict[FollowerId, Doubts] = {}
        self._places = asyncio.Semaphore(READ_WIDTH)
        self._look_count = 0

    async def run(self) -> None:
        """Look at every follower twice a second until cancelled."""
        spread = {
            each: index * STAGGER_NS // max(1, len(self._followers))
            for index, each in enumerate(self._followers)
        }
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look(spread)

    async def look(self, spread: Mapping[FollowerId, int]) -> None:
        """Look once: read what is old, judge what has differed for long enough."""
        self._look_count += 1
        is_leverage_due = self._look_count % LEVERAGE_LOOK_COUNT == 0
        now_ns = self._clock.now_ns()
        async with asyncio.TaskGroup() as group:
            for follower in self._followers.values():
                if not follower.is_ready:
                    continue
                symbols = self._due(follower)
                age_ns = now_ns - follower.stated_ns + spread.get(follower.id, 0)
                if symbols:
                    group.create_task(self._judge(follower, symbols))
                elif age_ns > STATE_AGE_NS or follower.is_reading_wanted:
                    group.create_task(self._reread(follower))
                if is_leverage_due and any(each.unsynced for each in follower.memberships):
                    group.create_task(self._sync_leverage(follower))

    def _due(self, follower: Follower) -> Sequence[str]:
        if not follower.doubted or follower.config.mode != "live":
            follower.doubted.clear()
            return ()
        doubts = self._doubts.setdefault(follower.id, Doubts())
        return doubts.due(follower, self._clock.now_ns())

    async def _reread(self, follower: Follower) -> bool:
        async with self._places:
            try:
                await follower.reread()
            except VenueError as error:
                if not follower.is_reading_failed:
                    follower.is_reading_failed = True
                    self._report("ACCOUNT_UNREAD", follower.id, str(error))
                return False
        follower.is_reading_failed = False
        return True

    async def _sync_leverage(self, follower: Follower) -> None:
        async with self._places:
            for membership in follower.memberships:
                for symbol, leverage in list(membership.unsynced.items()):
                    await follower.sync_leverage(membership, symbol, leverage)

    async def _judge(self, follower: Follower, symbols: Sequence[str]) -> None:
        if not await self._reread(follower):
            return
        for symbol in symbols:
            for each in self._doubts[follower.id].settle(follower, symbol):
                await self._act(follower, each)

    async def _act(self, follower: Follower, each: Difference) -> None:
        if not each.is_shrunk:
            mark_foreign(each)
            is_over = each.venue_qty == each.held_qty
            kind = "FOREIGN_POSITION_GONE" if is_over else "FOREIGN_POSITION"
            self._report(kind, follower.id, describe(each))
            return
        lane = shrink(each)
        self._report("POSITION_SHRUNK", follower.id, describe(each))
        row = LegRow(
            intent_id=_name(follower, each, self._clock),
            follower_id=follower.id,
            leg=0,
            attempt=0,
            status=LegStatus.SKIPPED,
            symbol=each.symbol,
            position_side=each.side.value,
            lane=lane.encode(),
            wanted_qty=0,
            reason="POSITION_SHRUNK",
        )
        try:
            commit = CohortCommit(each.membership.cohort.leader, None, [row])
            await self._store.commit(commit, line=each.membership.line)
            self._store.log([self._line(row, each, lane)])
        except StoreError as error:
            # The venue still says so after a restart: it is found again.
            self._report("SHRINK_NOT_RECORDED", follower.id, str(error))

    def _line(self, row: LegRow, each: Difference, lane: LaneState) -> ActivityRow:
        """Return what the activity log says of a lane that shrank."""
        cohort = each.membership.cohort
        newest = cohort.newest_intent(each.symbol_index)
        return ActivityRow(
            ts_ms=self._clock.wall_us() // 1_000,
            kind="lane",
            leader=cohort.leader,
            follower=row.follower_id,
            intent_id=row.intent_id,
            reason=row.reason,
            payload=lane_payload(each.symbol, lane, newest),
        )


def _name(follower: Follower, each: Difference, clock: Clock) -> IntentId:
    """Return what this shrinking is called in the ledger."""
    wall_ms = clock.wall_us() // 1_000
    name = FillId(
        VenueId(follower.config.venue),
        follower.config.account,
        each.symbol,
        "shrink",
        f"{each.side.name}:{each.held_qty}>{each.venue_qty}:{clock.now_ns()}",
        wall_ms,
    )
    return intent_id(each.membership.cohort.leader, (name,))


async def prune(
    store: Store, *, retention_ns: int, now_ms: Callable[[], int], report: Report
) -> None:
    """Forget settled rows older than the retention, every hour, until cancelled.

    ``now_ms`` must be safe against clocks that jump ahead.
    """
    while True:
        try:
            await store.prune(VenueMs(now_ms() - retention_ns // NS_PER_MS))
        except StoreError as error:
            report("PRUNE_FAILED", None, str(error))
        await asyncio.sleep(PRUNE_INTERVAL_S)
