"""The port of the store on any database: each method is a job for the writer thread.

What differs between databases is how they are opened, and their adapters of ``Database``.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import Final

from slipstream.domain.cohort import ActivityRow, CohortCommit, LegResult
from slipstream.domain.ids import IntentId, LeaderId
from slipstream.store import journal, orders
from slipstream.store.base import (
    CHAIN_START,
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
    StoreStats,
    Untold,
)
from slipstream.store.database import Database
from slipstream.store.history import read_history
from slipstream.store.untold import read_unsettled, read_untold
from slipstream.store.writer import Writer
from slipstream.units import VenueMs

_PAGE_ROW_COUNT: Final = 500
_PRUNE_INTENT_COUNT: Final = 50
"""With 500 followers each, some ten thousand rows."""


class WriterStore:
    """``Store`` over a writer that is open."""

    def __init__(self, writer: Writer) -> None:
        """Use ``open`` of a store on a database."""
        self._writer = writer

    def commit(
        self, commit: CohortCommit, *, line: Line | None = None
    ) -> asyncio.Future[CommitResult]:
        """Make a cohort durable in one transaction."""
        return self._writer.submit(
            "commit",
            lambda database: orders.write_cohort(database, commit),
            is_transaction=True,
            line=line,
        )

    def record(
        self, results: Sequence[LegResult], *, line: Line | None = None
    ) -> asyncio.Future[RecordResult]:
        """Write how legs ended; calls made at about the same time share a transaction."""
        return self._writer.submit_results(results, line=line)

    def log(self, rows: Sequence[ActivityRow]) -> None:
        """Append to the activity log within 50 ms."""
        self._writer.append(rows)

    async def flush(self) -> None:
        """Return when everything logged so far is durable."""
        await self._writer.flush()

    async def open_legs(self, leader: LeaderId) -> list[OpenLeg]:
        """Return the claims of a leader's legs that have no known outcome."""
        return await self._writer.submit(
            "open_legs", lambda c: orders.open_legs(c, leader), is_transaction=True
        )

    async def unsettled(self, leader: LeaderId) -> Untold:
        """Return the legs that have a claim without a known outcome, with every attempt at them."""
        return await self._writer.submit(
            "unsettled", lambda c: read_unsettled(c, leader), is_transaction=True
        )

    async def untold(self, leader: LeaderId) -> Untold:
        """Return what the ledger knows and the activity log does not."""
        await self._writer.flush()
        return await self._writer.submit(
            "untold", lambda c: read_untold(c, leader), is_transaction=True
        )

    async def lanes(self, leader: LeaderId) -> list[LaneRow]:
        """Return the newest state of every lane a leader ever moved."""
        return await self._writer.submit(
            "lanes", lambda c: orders.lanes(c, leader), is_transaction=True
        )

    async def intent_seen(self, fill_keys: Sequence[str]) -> Mapping[str, IntentId]:
        """Return the intents that fills already belong to."""
        keys = tuple(fill_keys)
        return await self._writer.submit("intent_seen", lambda c: orders.fills_seen(c, keys))

    async def cursor(self, leader: LeaderId, symbol: str) -> str | None:
        """Return how far a leader's history was read."""
        return await self._writer.submit("cursor", lambda c: orders.cursor(c, leader, symbol))

    async def history(self, leader: LeaderId, *, fill_count_max: int) -> LeaderHistory:
        """Return where a leader's tracker is to go on."""
        return await self._writer.submit(
            "history", lambda c: read_history(c, leader, fill_count_max=fill_count_max)
        )

    async def controls(self) -> list[ControlRow]:
        """Return the operator's orders, oldest first."""
        return await self._writer.submit("controls", _controls)

    async def save_control(self, row: ControlRow) -> None:
        """Make one order of the operator's durable."""
        await self._writer.submit(
            "save_control", lambda c: _save_control(c, row), is_transaction=True
        )

    async def activity(self, wanted: ActivityFilter) -> AsyncIterator[ActivityEntry]:
        """Iterate over the log, oldest first; other work goes on between the pages."""
        after_seq = await self._writer.submit("activity", lambda c: journal.first_seq(c, wanted))
        left = wanted.limit
        while left is None or left > 0:
            count = _PAGE_ROW_COUNT if left is None else min(left, _PAGE_ROW_COUNT)
            page = await self._writer.submit(
                "activity", _page_reader(wanted, after_seq=after_seq, row_count=count)
            )
            for entry in page:
                yield entry
            if len(page) < count:
                return
            after_seq = page[-1].seq
            left = None if left is None else left - len(page)

    async def verify_chain(self) -> ChainReport:
        """Compute the whole log's hash chain again, page by page."""
        report, is_done = ChainReport(0, None, CHAIN_START), False
        while not is_done:
            report, is_done = await self._writer.submit(
                "verify_chain", partial(_verify_page, report)
            )
        return report

    async def prune(self, older_than_ms: VenueMs) -> int:
        """Forget settled intents recorded before a time, some at once: other work goes on
        between the transactions."""
        total = 0
        while True:
            count = await self._writer.submit(
                "prune",
                lambda d: orders.prune(d, older_than_ms, count_max=_PRUNE_INTENT_COUNT),
                is_transaction=True,
            )
            total += count
            if count < _PRUNE_INTENT_COUNT:
                return total

    def stats(self) -> StoreStats:
        """Return the counters."""
        return self._writer.stats()

    async def close(self) -> None:
        """Write what is queued and close the database; safe to repeat.

        Raises:
            StoreError: the rest of the log could not be written; it is closed all the same.
        """
        await asyncio.shield(self._writer.close())


def _page_reader(
    wanted: ActivityFilter, *, after_seq: int, row_count: int
) -> Callable[[Database], list[ActivityEntry]]:
    return lambda database: journal.read_page(
        database, wanted, after_seq=after_seq, row_count=row_count
    )


def _verify_page(report: ChainReport, database: Database) -> tuple[ChainReport, bool]:
    return journal.verify_page(database, report)


def _controls(database: Database) -> list[ControlRow]:
    found = database.fetch(
        "SELECT ts_ms, action, leader_id, follower_id, symbol, is_all FROM control ORDER BY seq",
    )
    return [ControlRow(row[0], row[1], row[2], row[3], row[4], bool(row[5])) for row in found]


def _save_control(database: Database, row: ControlRow) -> None:
    database.run(
        "INSERT INTO control (ts_ms, action, leader_id, follower_id, symbol, is_all)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (row.ts_ms, str(row.action), row.leader, row.follower, row.symbol, int(row.is_all)),
    )
