"""Read the activity log of a database that may be in use, without ever writing to it."""

from collections.abc import Iterator
from types import TracebackType
from typing import Final, Self

from slipstream.errors import StoreError
from slipstream.store import journal
from slipstream.store.base import CHAIN_START, ActivityEntry, ActivityFilter, ChainReport
from slipstream.store.database import Database, DatabaseFault

_PAGE_ROW_COUNT: Final = 500


class ActivityReader:
    """A read-only view of the log; for commands, not for the event loop."""

    def __init__(self, url: str) -> None:
        """Open the database of a URL.

        Raises:
            StoreError: not there, not ours, broken or too new.
        """
        self._where = f"database {url}"
        self._database = _open(url)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the database."""
        self._database.close()

    def activity(self, wanted: ActivityFilter) -> Iterator[ActivityEntry]:
        """Iterate over the matching rows, oldest first.

        Raises:
            StoreError: the database cannot be read.
        """
        try:
            after_seq = journal.first_seq(self._database, wanted)
            left = wanted.limit
            while left is None or left > 0:
                count = _PAGE_ROW_COUNT if left is None else min(left, _PAGE_ROW_COUNT)
                page = journal.read_page(
                    self._database, wanted, after_seq=after_seq, row_count=count
                )
                yield from page
                if len(page) < count:
                    return
                after_seq = page[-1].seq
                left = None if left is None else left - len(page)
        except DatabaseFault as error:
            raise StoreError(f"{self._where}: {error}") from error

    def verify_chain(self) -> ChainReport:
        """Compute the whole log's hash chain again.

        Raises:
            StoreError: the database cannot be read.
        """
        report, is_done = ChainReport(0, None, CHAIN_START), False
        try:
            while not is_done:
                report, is_done = journal.verify_page(self._database, report)
        except DatabaseFault as error:
            raise StoreError(f"{self._where}: {error}") from error
        return report


def database_url(text: str) -> str:
    """Return the URL that a command's option means, which may be a file's name."""
    return text if "://" in text else f"sqlite:///{text}"


def _open(url: str) -> Database:
    # Imported here: a command loads no driver but the one it needs.
    if url.startswith(("postgresql://", "postgres://")):
        from slipstream.store.postgres_database import PostgresDatabase  # noqa: PLC0415
        from slipstream.store.postgres_url import parse_postgres_url  # noqa: PLC0415

        return PostgresDatabase.open_read_only(parse_postgres_url(url))
    from slipstream.store.sqlite import database_path  # noqa: PLC0415
    from slipstream.store.sqlite_database import SqliteDatabase  # noqa: PLC0415

    return SqliteDatabase.open_read_only(database_path(url))
