"""A connection to a PostgreSQL database.

Rows are handed over as one array per column and taken apart by ``unnest``: one statement whose
text never changes, whatever their number. Text compares by bytes (``COLLATE "C"``), as on SQLite.
The tables live in a schema of their own, so that a shared database is no collision.

The lock that says who writes belongs to the session: it goes when the connection goes, and with
it the ability to write. ``writer_epoch`` counts processes: one that lost its connection, and finds
on its return that another has written meanwhile, does not go on from what it remembers.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus

from slipstream.errors import LedgerTakenError, StoreError
from slipstream.store.database import DatabaseFault, Row
from slipstream.store.postgres_schema import check_epoch, check_recorded, claim_epoch, migrate
from slipstream.store.postgres_url import PostgresUrl

_LOCK_KEY: Final = 0x534C4950
"""``SLIP`` in ASCII: the advisory lock of the process that writes."""
_CONNECT_TIMEOUT_S: Final = 2
_STATEMENT_TIMEOUT_MS: Final = 10_000
_ANSWER_TIMEOUT_S: Final = 15.0
"""Longer than the server's own limit on a statement, which costs only the statement."""
_READ_ANSWER_TIMEOUT_S: Final = 65.0
_WAIT_INTERVAL_S: Final = 0.1
_LOCK_TIMEOUT_MS: Final = 2_000
_READ_TIMEOUT_MS: Final = 60_000
_PREPARE_AFTER: Final = 2
_LOCK_WAIT_S: Final = 2.0
"""A killed process's session may outlive it by a statement."""
_LOCK_PAUSE_S: Final = 0.02
_DOUBT_WAIT_S: Final = 3.0
"""How long a transaction lost in its commit is asked about before its callers are told."""
_DOUBT_PAUSE_S: Final = 0.05

_NETWORK: Final = {
    "connect_timeout": _CONNECT_TIMEOUT_S,
    "keepalives": 1,
    "keepalives_idle": 3,
    "keepalives_interval": 1,
    "keepalives_count": 5,
    "tcp_user_timeout": 8_000,
}
"""A dead peer is noticed in seconds, on either side (see ``_SESSION``)."""
_SESSION: Final = {
    "search_path": "slipstream",
    "synchronous_commit": "on",
    "statement_timeout": _STATEMENT_TIMEOUT_MS,
    "lock_timeout": _LOCK_TIMEOUT_MS,
    # From version 14 on: the lock of a client that went away in mid-statement is free soon.
    "client_connection_check_interval": 500,
    "tcp_keepalives_idle": 3,
    "tcp_keepalives_interval": 1,
    "tcp_keepalives_count": 5,
    "client_min_messages": "warning",
}
_OPEN: Final = (TransactionStatus.INTRANS, TransactionStatus.INERROR)
_TYPES: Final[dict[str, type]] = {"bigint": int, "text": str, "bytea": bytes}


class _Session(psycopg.Connection[Row]):
    """A connection on which nothing is waited for without end: a server that stopped answering,
    while its machine still acknowledges packets, is as lost as one that is not there."""

    answer_timeout_s: float = _ANSWER_TIMEOUT_S

    def wait(
        self, gen: PQGen[Any], interval: float = _WAIT_INTERVAL_S, timeout: float | None = None
    ) -> Any:  # noqa: ANN401 - what the driver's generator returns
        """Wait for an answer; without one in time the connection is closed."""
        deadline = time.monotonic() + self.answer_timeout_s
        try:
            return super().wait(gen, interval, timeout or self.answer_timeout_s)
        except psycopg.Error as error:
            if timeout is None and time.monotonic() >= deadline:
                self.pgconn.finish()
                raise psycopg.OperationalError(
                    f"no answer within {self.answer_timeout_s:g} s"
                ) from error
            raise


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except (OverflowError, TypeError, UnicodeError, psycopg.DataError) as error:
        raise DatabaseFault(_words(error), is_value=True) from error
    except psycopg.Error as error:
        raise DatabaseFault(_words(error), is_unavailable=_is_unavailable(error)) from error


def _is_unavailable(error: psycopg.Error) -> bool:
    """Whether nothing else would have gone better: no connection, no room, no time, read-only."""
    return isinstance(
        error,
        psycopg.OperationalError | psycopg.InterfaceError | psycopg.errors.ReadOnlySqlTransaction,
    )


def _words(error: Exception) -> str:
    return f"{str(error).strip()} ({type(error).__name__})"


class PostgresDatabase:
    """``Database`` on one PostgreSQL session."""

    is_tidy_wanted = False

    def __init__(self, url: PostgresUrl, *, is_read_only: bool = False) -> None:
        """Use ``open`` or ``open_read_only``."""
        self._url = url
        self._is_read_only = is_read_only
        self._connection = self._connect()
        self._epoch: int | None = None
        self._transaction_id = ""

    @classmethod
    def open(cls, url: PostgresUrl) -> "PostgresDatabase":
        """Connect, take the writer's lock and bring the schema up to date.

        Raises:
            StoreError: not reached, in use by another process, not ours or too new.
        """
        database = cls(url)
        try:
            with database._placed():
                database._take_lock()
                migrate(database._connection)
                database._epoch = claim_epoch(database._connection)
        except StoreError:
            database.close()
            raise
        return database

    @classmethod
    def open_read_only(cls, url: PostgresUrl) -> "PostgresDatabase":
        """Connect for reading, beside the process that writes.

        Raises:
            StoreError: not reached, nothing recorded, or too new.
        """
        database = cls(url, is_read_only=True)
        try:
            with database._placed():
                check_recorded(database._connection)
        except StoreError:
            database.close()
            raise
        return database

    @property
    def is_lost(self) -> bool:
        """Whether the session is gone."""
        return self._connection.closed

    def begin(self) -> None:
        """Open a transaction and learn the name it can be asked about by."""
        with _faults():
            cursor = self._connection.execute(b"BEGIN; SELECT pg_current_xact_id()::text")
            cursor.nextset()
            [(self._transaction_id,)] = cursor.fetchall()

    def commit(self) -> None:
        """Commit; a transaction lost on the way is asked about on a new session."""
        try:
            self.run("COMMIT")
        except DatabaseFault as fault:
            if not self.is_lost or not self._is_committed_after_all(fault):
                raise

    def rollback(self) -> None:
        """Undo the transaction; one whose session is gone undoes itself."""
        if self._connection.info.transaction_status in _OPEN:
            self.run("ROLLBACK")

    def run(self, statement: str, bindings: Sequence[Any] = ()) -> int:
        """Run a statement; return the rows it changed."""
        with _faults():
            return max(0, self._connection.execute(_numbered(statement), bindings).rowcount)

    def fetch(self, statement: str, bindings: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of a query."""
        with _faults():
            return self._connection.execute(_numbered(statement), bindings).fetchall()

    def run_rows(self, statement: str, kinds: Sequence[str], rows: Sequence[Row]) -> int:
        """Run a statement over all rows at once."""
        if not rows:
            return 0
        with _faults():
            bindings = _columns(kinds, rows)
            cursor = self._connection.execute(_unnesting(statement, tuple(kinds)), bindings)
            return max(0, cursor.rowcount)

    def fetch_rows(self, statement: str, kinds: Sequence[str], rows: Sequence[Row]) -> list[Row]:
        """Return what a query finds for all rows at once."""
        if not rows:
            return []
        with _faults():
            bindings = _columns(kinds, rows)
            return self._connection.execute(
                _unnesting(statement, tuple(kinds)), bindings
            ).fetchall()

    def tidy(self, *, is_idle: bool) -> None:
        """Do nothing: the server keeps itself tidy."""

    def reopen(self) -> None:
        """Connect again, take the lock again, and see that nobody wrote in between."""
        self.close()
        self._connection = self._connect()
        try:
            with self._placed():
                try:
                    self._take_lock()
                finally:
                    # Who holds the lock may be our own dead session, or somebody else for good.
                    check_epoch(self._connection, self._epoch)
        except StoreError:
            self.close()
            raise

    def close(self) -> None:
        """End the session."""
        with _faults():
            self._connection.close()

    def _connect(self) -> _Session:
        settings: dict[str, Any] = dict(_SESSION)
        extra: dict[str, Any] = {"target_session_attrs": "read-write"}
        if self._is_read_only:
            settings |= {
                "statement_timeout": _READ_TIMEOUT_MS,
                "default_transaction_read_only": "on",
            }
            extra = {}
        options = " ".join(f"-c {name}={value}" for name, value in settings.items())
        wanted = {**_NETWORK, **extra, **self._url.parameters, "options": options}
        with self._placed():
            session = _Session.connect(
                **wanted,
                autocommit=True,
                prepare_threshold=_PREPARE_AFTER,
                cursor_factory=psycopg.RawCursor,
                application_name="slipstream",
                client_encoding="UTF8",
            )
        if self._is_read_only:
            session.answer_timeout_s = _READ_ANSWER_TIMEOUT_S
        return session

    @contextmanager
    def _placed(self) -> Iterator[None]:
        """Say which database it is in front of what is said of it."""
        try:
            with _faults():
                yield
        except LedgerTakenError as error:
            raise LedgerTakenError(f"database {self._url.name}: {error}") from error
        except StoreError as error:
            raise StoreError(
                f"database {self._url.name}: {error}", is_unavailable=error.is_unavailable
            ) from error

    def _take_lock(self) -> None:
        deadline = time.monotonic() + _LOCK_WAIT_S
        while True:
            [(is_ours,)] = self.fetch("SELECT pg_try_advisory_lock(?)", (_LOCK_KEY,))
            if is_ours:
                return
            if time.monotonic() > deadline:
                raise StoreError("another process is writing it", is_unavailable=True)
            time.sleep(_LOCK_PAUSE_S)

    def _is_committed_after_all(self, fault: DatabaseFault) -> bool:
        """Ask a new session what became of the transaction.

        Raises:
            StoreError: the server did not answer that in time.
        """
        deadline = time.monotonic() + _DOUBT_WAIT_S
        while True:
            try:
                if self.is_lost:
                    self.reopen()
                [(status,)] = self.fetch("SELECT pg_xact_status(?::xid8)", (self._transaction_id,))
            except StoreError:
                status = "in progress"
            if status != "in progress" or time.monotonic() > deadline:
                break
            time.sleep(_DOUBT_PAUSE_S)
        if status == "in progress":
            raise DatabaseFault(
                f"{fault}; whether it was committed is not known", is_unavailable=True
            ) from fault
        return bool(status == "committed")


@lru_cache(maxsize=256)
def _numbered(statement: str) -> bytes:
    """Return a statement with bindings as the server counts them, without SQLite's hints."""
    first, *others = statement.replace(" INDEXED BY leg_open", "").split("?")
    return (first + "".join(f"${at}{text}" for at, text in enumerate(others, 1))).encode()


@lru_cache(maxsize=64)
def _unnesting(statement: str, kinds: tuple[str, ...]) -> bytes:
    arrays = ", ".join(f"${at}::{kind}[]" for at, kind in enumerate(kinds, 1))
    return statement.replace("{rows}", f"SELECT * FROM unnest({arrays})").encode()  # noqa: S608


def _columns(kinds: Sequence[str], rows: Sequence[Row]) -> list[list[Any]]:
    """Turn rows into one list per column.

    Raises:
        TypeError: a value is not of its column's kind; the server would convert it in silence.
    """
    return [
        _column(_TYPES[kind], values)
        for kind, values in zip(kinds, zip(*rows, strict=True), strict=True)
    ]


def _column(wanted: type, values: tuple[Any, ...]) -> list[Any]:
    found = set(map(type, values)) - {wanted, type(None)}
    if not found:
        return list(values)
    for each in found:
        if not issubclass(each, wanted) or each is bool:
            raise TypeError(f"expected {wanted.__name__}, found {each.__name__}")
    return [None if value is None else wanted(value) for value in values]
