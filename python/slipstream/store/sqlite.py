"""The store on SQLite: one file, one process that writes it, one connection in one thread.

The library is the one bundled with ``apsw``: the system's may be older than 3.51.3, where a race
between two connections resetting the write-ahead log can corrupt the file. Only the writer
thread's connection writes and checkpoints; readers elsewhere open the file read-only.
"""

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Self

import apsw

from slipstream.domain.cohort import ActivityRow, CohortCommit, LegResult
from slipstream.domain.ids import IntentId, LeaderId
from slipstream.errors import StoreError
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
    OpenLeg,
    RecordResult,
    StoreStats,
)
from slipstream.store.history import read_history
from slipstream.store.migrate import check_file, migrate, shipped_steps
from slipstream.store.rows import fetch
from slipstream.store.writer import Writer
from slipstream.units import VenueMs

_SCHEME: Final = "sqlite:///"
_BUSY_TIMEOUT_MS: Final = 2_000
_CACHE_KIB: Final = 64 * 1024
_PAGE_ROW_COUNT: Final = 500


def database_path(url: str) -> Path:
    """Return the file a URL names: ``sqlite:///name`` or ``sqlite:////absolute/name``.

    Raises:
        StoreError: another scheme, or no file name.
    """
    if not url.startswith(_SCHEME) or not url.removeprefix(_SCHEME):
        raise StoreError(f"database URL: expected {_SCHEME}FILE, found {url.rpartition('@')[2]!r}")
    return Path(url.removeprefix(_SCHEME))


def _take_lock(path: Path) -> int:
    """Return the descriptor whose lock says that this process writes the file."""
    try:
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"database {path}: cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise StoreError(f"database {path}: another process is writing it") from error
    return lock


def _connect(path: Path) -> apsw.Connection:
    # Made here so that nobody else may read it, whatever the umask.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = apsw.Connection(str(path))
    try:
        connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
        _prepare(connection)
    except apsw.Error as error:
        connection.close()
        raise StoreError(f"database {path}: {error}") from error
    except StoreError as error:
        connection.close()
        raise StoreError(f"database {path}: {error}") from error
    return connection


def _prepare(connection: apsw.Connection) -> None:
    """Set the pragmas every writing connection needs and bring the schema up to date."""
    check_file(connection, len(shipped_steps()))
    connection.pragma("journal_mode", "WAL")
    migrate(connection)
    for name, value in (
        ("synchronous", "FULL"),
        ("foreign_keys", "ON"),
        ("cache_size", -_CACHE_KIB),
        ("temp_store", "MEMORY"),
    ):
        connection.pragma(name, value)


async def open_store(url: str) -> "SqliteStore":
    """Open or create the database of a URL.

    Raises:
        StoreError: unsupported scheme, or the database cannot be used.
    """
    if url.startswith(("postgres://", "postgresql://")):
        raise StoreError("PostgreSQL is not supported yet: use sqlite:///FILE")
    return await SqliteStore.open(url)


class SqliteStore:
    """``Store`` on one SQLite file."""

    def __init__(self, writer: Writer, lock: int) -> None:
        """Use ``open``."""
        self._writer = writer
        self._lock = lock

    @classmethod
    async def open(cls, url: str, *, clock_ns: Callable[[], int] = time.perf_counter_ns) -> Self:
        """Open or create a database.

        Raises:
            StoreError: not a URL of SQLite's, not our file, broken, too new, or in use.
        """
        path = database_path(url)
        lock = _take_lock(path)
        writer = Writer(lambda: _connect(path), clock_ns=clock_ns)
        try:
            await writer.opened
        except StoreError:
            os.close(lock)
            raise
        return cls(writer, lock)

    def commit(self, commit: CohortCommit) -> asyncio.Future[CommitResult]:
        """Make a cohort durable in one transaction."""
        return self._writer.submit(
            "commit",
            lambda connection: orders.write_cohort(connection, commit),
            is_transaction=True,
        )

    def record(self, results: Sequence[LegResult]) -> asyncio.Future[RecordResult]:
        """Write how legs ended; calls made at about the same time share a transaction."""
        return self._writer.submit_results(results)

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
        """Forget settled intents recorded before a time."""
        return await self._writer.submit(
            "prune", lambda c: orders.prune(c, older_than_ms), is_transaction=True
        )

    def stats(self) -> StoreStats:
        """Return the counters."""
        return self._writer.stats()

    async def close(self) -> None:
        """Write what is queued and close the file.

        Raises:
            StoreError: the rest of the log could not be written; the file is closed all the same.
        """
        try:
            await asyncio.shield(self._writer.close())
        finally:
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1


def _page_reader(
    wanted: ActivityFilter, *, after_seq: int, row_count: int
) -> Callable[[apsw.Connection], list[ActivityEntry]]:
    return lambda connection: journal.read_page(
        connection, wanted, after_seq=after_seq, row_count=row_count
    )


def _verify_page(report: ChainReport, connection: apsw.Connection) -> tuple[ChainReport, bool]:
    return journal.verify_page(connection, report)


def _controls(connection: apsw.Connection) -> list[ControlRow]:
    found = fetch(
        connection,
        "SELECT ts_ms, action, leader_id, follower_id, symbol, is_all FROM control ORDER BY seq",
    )
    return [ControlRow(row[0], row[1], row[2], row[3], row[4], bool(row[5])) for row in found]


def _save_control(connection: apsw.Connection, row: ControlRow) -> None:
    connection.execute(
        "INSERT INTO control (ts_ms, action, leader_id, follower_id, symbol, is_all)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (row.ts_ms, str(row.action), row.leader, row.follower, row.symbol, int(row.is_all)),
    )
