"""A connection to an SQLite file.

Many rows go in few steps: each step gives the interpreter lock away and has to win it back, and
with a busy event loop that costs up to 5 ms a step, so that ``executemany`` of 500 rows was
measured at 3.5 s where this takes 0.05 s. Larger chunks lose again: statements above 16 KiB are
not kept prepared.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Final

import apsw

from slipstream.errors import StoreError
from slipstream.store.database import DatabaseFault, Row
from slipstream.store.migrate import check_file, migrate, shipped_steps

_LOGGER: Final = logging.getLogger(__name__)

CHUNK_ROW_COUNT: Final = 96
_BUSY_TIMEOUT_MS: Final = 2_000
_CACHE_KIB: Final = 64 * 1024
_CHECKPOINT_PAGE_COUNT: Final = 1000
_CHECKPOINT_PAGE_COUNT_MAX: Final = 16_384

_UNAVAILABLE: Final = (
    apsw.BusyError,
    apsw.CantOpenError,
    apsw.FullError,
    apsw.IOError,
    apsw.LockedError,
    apsw.ReadOnlyError,
)
"""What says that the database cannot work now, not that it cannot hold a row."""


@lru_cache(maxsize=512)
def values_text(row_count: int, width: int) -> str:
    """Return ``VALUES (?,?), (?,?)`` for rows of a width."""
    row = "(" + ",".join("?" * width) + ")"
    return "VALUES " + ",".join([row] * row_count)


@contextmanager
def faults() -> Iterator[None]:
    """Turn what the library raises into what the store says."""
    try:
        yield
    except (OverflowError, TypeError, UnicodeError) as error:
        raise DatabaseFault(_words(error), is_value=True) from error
    except apsw.Error as error:
        raise DatabaseFault(
            _words(error), is_unavailable=isinstance(error, _UNAVAILABLE)
        ) from error


def _words(error: Exception) -> str:
    return f"{error} ({type(error).__name__})"


class SqliteDatabase:
    """``Database`` on one file. A file is never lost, so it is never opened again."""

    is_lost = False

    def __init__(self, connection: apsw.Connection) -> None:
        """Use ``open`` or ``open_read_only``; tests may hand over what they opened."""
        self.connection = connection
        self._wal_page_count = 0
        connection.set_wal_hook(self._on_wal)

    @classmethod
    def open(cls, path: Path) -> "SqliteDatabase":
        """Open or create a file and bring its schema up to date.

        Raises:
            StoreError: not ours, broken, too new, or not to be opened.
        """
        try:
            # Made here so that nobody else may read it, whatever the umask.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            with faults():
                connection = apsw.Connection(str(path))
        except OSError as error:
            raise StoreError(
                f"database {path}: cannot be opened: {error.strerror}", is_unavailable=True
            ) from error
        try:
            with faults():
                connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
                _prepare(connection)
        except StoreError as error:
            connection.close()
            raise _placed(path, error) from error
        return cls(connection)

    @classmethod
    def open_read_only(cls, path: Path) -> "SqliteDatabase":
        """Open a file for reading, beside the process that writes it.

        Raises:
            StoreError: not there, not ours, broken, too new or empty.
        """
        if not path.is_file():
            raise StoreError(f"database {path}: no such file")
        try:
            with faults():
                connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
                connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
                version = check_file(connection, len(shipped_steps()))
        except StoreError as error:
            raise _placed(path, error) from error
        if version == 0:
            raise StoreError(f"database {path}: empty, nothing was ever recorded in it")
        return cls(connection)

    @property
    def is_tidy_wanted(self) -> bool:
        """Whether the write-ahead log has grown enough for a checkpoint."""
        return self._wal_page_count >= _CHECKPOINT_PAGE_COUNT

    def begin(self) -> None:
        """Take the file's write lock."""
        self.run("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Write the transaction through to the disk."""
        self.run("COMMIT")

    def rollback(self) -> None:
        """Undo the transaction; the library may have done so by itself (full disk)."""
        if self.connection.in_transaction:
            self.run("ROLLBACK")

    def run(self, statement: str, bindings: Sequence[Any] = ()) -> int:
        """Run a statement; return the rows it changed."""
        before = self.connection.total_changes()
        with faults():
            self.connection.execute(statement, tuple(bindings))
        return self.connection.total_changes() - before

    def fetch(self, statement: str, bindings: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of a query."""
        with faults():
            return self.connection.execute(statement, tuple(bindings)).fetchall()

    def run_rows(self, statement: str, kinds: Sequence[str], rows: Sequence[Row]) -> int:
        """Run a statement over rows, a chunk at a time."""
        return sum(
            self.run(_with_rows(statement, part, kinds), tuple(chain.from_iterable(part)))
            for part in _parts(rows)
        )

    def fetch_rows(self, statement: str, kinds: Sequence[str], rows: Sequence[Row]) -> list[Row]:
        """Return what a query finds for rows, a chunk at a time."""
        found: list[Row] = []
        for part in _parts(rows):
            bindings = tuple(chain.from_iterable(part))
            found += self.fetch(_with_rows(statement, part, kinds), bindings)
        return found

    def tidy(self, *, is_idle: bool) -> None:
        """Move the write-ahead log into the file when nothing waits, or when it grew too far."""
        if self._wal_page_count < (
            _CHECKPOINT_PAGE_COUNT if is_idle else _CHECKPOINT_PAGE_COUNT_MAX
        ):
            return
        try:
            self.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error as error:
            _LOGGER.warning("event=checkpoint_failed error=%s", error)
        self._wal_page_count = 0

    def reopen(self) -> None:
        """Do nothing: a file is never lost."""

    def close(self) -> None:
        """Close the file."""
        with faults():
            self.connection.close()

    def _on_wal(self, _connection: apsw.Connection, _name: str, page_count: int) -> int:
        self._wal_page_count = page_count
        return apsw.SQLITE_OK


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


def _placed(path: Path, error: StoreError) -> StoreError:
    return StoreError(f"database {path}: {error}", is_unavailable=error.is_unavailable)


def _parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), CHUNK_ROW_COUNT):
        yield rows[start : start + CHUNK_ROW_COUNT]


def _with_rows(statement: str, part: Sequence[Row], kinds: Sequence[str]) -> str:
    return statement.replace("{rows}", values_text(len(part), len(kinds)))
