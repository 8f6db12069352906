"""A store that goes on without its database: a durable log beside it, until the database is back.

While the database takes everything, this only hands over: one write at a time, in the order asked
for. When it cannot work, or does not answer within a bound, everything goes to the side log
instead, is durable there, and says so (``CommitResult.is_sidelogged``): nothing of it may open.
A task replays the side log in order; when all of it is in the database, that is asked again.
Opening replays what a dead process left, before anything is read.

Nothing is read while records wait: half a ledger is no ledger to build a pipeline from.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from slipstream.domain.cohort import ActivityRow, CohortCommit, LegResult
from slipstream.domain.ids import IntentId, LeaderId
from slipstream.errors import StoreError
from slipstream.store.base import (
    ActivityEntry,
    ActivityFilter,
    ChainReport,
    CommitResult,
    ControlRow,
    LaneRow,
    LeaderHistory,
    Line,
    OpenLeg,
    RecordResult,
    Store,
    StoreStats,
    Untold,
)
from slipstream.store.sidefile import SIDE_FILE_SIZE
from slipstream.store.sidequeue import SideQueue
from slipstream.store.sidesettings import SideSettings
from slipstream.store.sidethread import Side, SideThread
from slipstream.units import VenueMs

_SQLITE: Final = "sqlite:///"


def side_path(url: str, state: Path) -> Path:
    """Return where a database's side log is: beside an SQLite file, else in a state directory."""
    if url.startswith(_SQLITE):
        return Path(f"{url.removeprefix(_SQLITE)}.side")
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    return state / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.side"


def _ignore(_kind: str, _detail: str) -> None:
    """Tell nobody but the activity log."""


class SidelogStore:
    """``Store`` on another store and a side log. Used on one event loop; one process owns it."""

    def __init__(
        self,
        inner: Store,
        side: Side,
        *,
        wall_ms: Callable[[], int],
        tell: Callable[[str, str], None] = _ignore,
        settings: SideSettings | None = None,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        """Keep the partners; ``carry_over`` replays what was left. ``tell`` takes (kind, detail).
        ``clock_ns`` bounds nothing: it says how long things took."""
        self._inner = inner
        self._side = side
        self._settings = settings or SideSettings()
        self._queue = SideQueue(
            inner, side, wall_ms=wall_ms, tell=tell, settings=self._settings, clock_ns=clock_ns
        )

    @classmethod
    async def open(
        cls,
        inner: Store,
        path: Path,
        *,
        wall_ms: Callable[[], int],
        tell: Callable[[str, str], None] = _ignore,
        settings: SideSettings | None = None,
        size: int = SIDE_FILE_SIZE,
    ) -> Self:
        """Open a side log beside a store and carry over what it holds.

        Raises:
            StoreError: the side log cannot be used, or the database does not take what it holds.
        """
        side = await SideThread.open(path, size=size)
        store = cls(inner, side, wall_ms=wall_ms, tell=tell, settings=settings)
        try:
            await store.carry_over()
        except BaseException:
            await side.close()
            raise
        return store

    async def carry_over(self) -> None:
        """Replay what an earlier process left; once, before anything is asked.

        Raises:
            StoreError: the database does not take it.
        """
        await self._queue.carry_over()

    @property
    def is_down(self) -> bool:
        """Whether the database takes no claims: nothing may open."""
        return self._queue.is_down

    # --- what is written ---

    def commit(
        self, commit: CohortCommit, *, line: Line | None = None
    ) -> asyncio.Future[CommitResult]:
        """Make a cohort durable, in the database or beside it."""
        return self._queue.ask(commit, line=line)

    def record(
        self, results: Sequence[LegResult], *, line: Line | None = None
    ) -> asyncio.Future[RecordResult]:
        """Write how legs ended; what is asked while another write is out goes together."""
        if not results:
            return self._queue.ask(None)
        return self._queue.ask(tuple(results), line=line)

    async def save_control(self, row: ControlRow) -> None:
        """Make one order of the operator's durable, in the database or beside it."""
        await self._queue.ask(row)

    def log(self, rows: Sequence[ActivityRow]) -> None:
        """Append to the activity log within 50 ms."""
        self._queue.log(rows)

    async def flush(self) -> None:
        """Return when everything logged so far is durable."""
        await self._queue.write_lines()

    # --- what is read ---

    async def open_legs(self, leader: LeaderId) -> list[OpenLeg]:
        """Return the claims of a leader's legs that have no known outcome."""
        await self._queue.turn()
        return await self._inner.open_legs(leader)

    async def lanes(self, leader: LeaderId) -> list[LaneRow]:
        """Return the newest state of every lane a leader ever moved."""
        await self._queue.turn()
        return await self._inner.lanes(leader)

    async def unsettled(self, leader: LeaderId) -> Untold:
        """Return the claims of a leader's legs that have no known outcome, with their intents."""
        await self._queue.turn()
        return await self._inner.unsettled(leader)

    async def untold(self, leader: LeaderId) -> Untold:
        """Return what the ledger knows of a leader and the activity log does not."""
        await self._queue.turn()
        return await self._inner.untold(leader)

    async def intent_seen(self, fill_keys: Sequence[str]) -> Mapping[str, IntentId]:
        """Return the intents that fills already belong to."""
        await self._queue.turn()
        return await self._inner.intent_seen(fill_keys)

    async def cursor(self, leader: LeaderId, symbol: str) -> str | None:
        """Return how far a leader's history was read."""
        await self._queue.turn()
        return await self._inner.cursor(leader, symbol)

    async def history(self, leader: LeaderId, *, fill_count_max: int) -> LeaderHistory:
        """Return where a leader's tracker is to go on."""
        await self._queue.turn()
        return await self._inner.history(leader, fill_count_max=fill_count_max)

    async def controls(self) -> list[ControlRow]:
        """Return the operator's orders, oldest first."""
        await self._queue.turn()
        return await self._inner.controls()

    async def activity(self, wanted: ActivityFilter) -> AsyncIterator[ActivityEntry]:
        """Iterate over the log, oldest first."""
        await self._queue.turn()
        async for entry in self._inner.activity(wanted):
            yield entry

    async def verify_chain(self) -> ChainReport:
        """Compute the whole log's hash chain again."""
        await self._queue.turn()
        return await self._inner.verify_chain()

    async def prune(self, older_than_ms: VenueMs) -> int:
        """Forget settled intents recorded before a time."""
        await self._queue.turn()
        return await self._inner.prune(older_than_ms)

    def stats(self) -> StoreStats:
        """Return the counters, those of waiting in front of the database included."""
        return self._queue.stats()

    async def close(self) -> None:
        """Make durable what is queued, in the database or beside it, and close both.

        Raises:
            StoreError: as the database's own ``close``; everything is closed all the same.
        """
        if not await self._queue.close():
            return
        try:
            async with asyncio.timeout(self._settings.close_s):
                await self._inner.close()
        except TimeoutError as error:
            raise StoreError("the database did not close", is_unavailable=True) from error
        finally:
            await self._side.close()
