"""The store on SQLite: one file, one process that writes it, one connection in one thread.

The library is the one bundled with ``apsw``: the system's may be older than 3.51.3, where a race
between two connections resetting the write-ahead log can corrupt the file. Only the writer
thread's connection writes and checkpoints; readers elsewhere open the file read-only.
"""

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from slipstream.errors import StoreError
from slipstream.store.sqlite_database import SqliteDatabase
from slipstream.store.writer import Writer
from slipstream.store.writer_store import WriterStore

_SCHEME: Final = "sqlite:///"


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
        raise StoreError(
            f"database {path}: cannot be opened: {error.strerror}", is_unavailable=True
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise StoreError(
            f"database {path}: another process is writing it", is_unavailable=True
        ) from error
    return lock


class SqliteStore(WriterStore):
    """``Store`` on one SQLite file."""

    def __init__(self, writer: Writer, lock: int) -> None:
        """Use ``open``."""
        super().__init__(writer)
        self._lock = lock

    @classmethod
    async def open(cls, url: str, *, clock_ns: Callable[[], int] = time.perf_counter_ns) -> Self:
        """Open or create a database.

        Raises:
            StoreError: not a URL of SQLite's, not our file, broken, too new, or in use.
        """
        path = database_path(url)
        lock = _take_lock(path)
        writer = Writer(lambda: SqliteDatabase.open(path), clock_ns=clock_ns)
        try:
            await writer.opened
        except StoreError:
            os.close(lock)
            raise
        return cls(writer, lock)

    async def close(self) -> None:
        """Write what is queued and close the file; safe to repeat.

        Raises:
            StoreError: the rest of the log could not be written; the file is closed all the same.
        """
        try:
            await super().close()
        finally:
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1
