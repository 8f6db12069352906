"""Read the activity log of a database that may be in use, without ever writing to it."""

from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

import apsw

from slipstream.errors import StoreError
from slipstream.store import journal
from slipstream.store.base import CHAIN_START, ActivityEntry, ActivityFilter, ChainReport
from slipstream.store.migrate import check_file, shipped_steps
from slipstream.store.sqlite import database_path

_BUSY_TIMEOUT_MS: Final = 2_000
_PAGE_ROW_COUNT: Final = 500


class ActivityReader:
    """A read-only view of the log; for commands, not for the event loop."""

    def __init__(self, url: str) -> None:
        """Open the file.

        Raises:
            StoreError: not there, not ours, broken or too new.
        """
        path = database_path(url)
        if not path.is_file():
            raise StoreError(f"database {path}: no such file")
        self._where = f"database {path}"
        try:
            self._connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
            self._connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
            version = check_file(self._connection, len(shipped_steps()))
        except (apsw.Error, StoreError) as error:
            raise StoreError(f"{self._where}: {error}") from error
        if version == 0:
            raise StoreError(f"{self._where}: empty, nothing was ever recorded in it")

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._connection.close()

    def activity(self, wanted: ActivityFilter) -> Iterator[ActivityEntry]:
        """Iterate over the matching rows, oldest first.

        Raises:
            StoreError: the file cannot be read.
        """
        try:
            after_seq = journal.first_seq(self._connection, wanted)
            left = wanted.limit
            while left is None or left > 0:
                count = _PAGE_ROW_COUNT if left is None else min(left, _PAGE_ROW_COUNT)
                page = journal.read_page(
                    self._connection, wanted, after_seq=after_seq, row_count=count
                )
                yield from page
                if len(page) < count:
                    return
                after_seq = page[-1].seq
                left = None if left is None else left - len(page)
        except apsw.Error as error:
            raise StoreError(f"{self._where}: {error}") from error

    def verify_chain(self) -> ChainReport:
        """Compute the whole log's hash chain again.

        Raises:
            StoreError: the file cannot be read.
        """
        report, is_done = ChainReport(0, None, CHAIN_START), False
        try:
            while not is_done:
                report, is_done = journal.verify_page(self._connection, report)
        except apsw.Error as error:
            raise StoreError(f"{self._where}: {error}") from error
        return report
