"""Bring a PostgreSQL database to the schema this program speaks, forward only.

Everything lives in the schema ``slipstream``; its table ``about`` has one row: the version, and
how many processes have opened it to write. The caller holds the writer's lock, so that no two
processes migrate at once; each run is one transaction, so that a step that fails leaves nothing.
"""

from collections.abc import Sequence
from importlib import resources
from typing import Any, Final

import psycopg

from slipstream.errors import LedgerTakenError, StoreError

_STEPS: Final = ("postgres_1.sql",)
"""Files that lead from each version to the next, in order; never edited once released."""
_MIGRATE_TIMEOUT: Final = b"SET LOCAL statement_timeout = 0"
"""A step over a large ledger takes as long as it takes; nobody trades before it is done."""


def shipped_steps() -> tuple[str, ...]:
    """Return the text of every migration, oldest first."""
    package = resources.files("slipstream.store")
    return tuple(package.joinpath(name).read_text(encoding="utf-8") for name in _STEPS)


def read_version(connection: psycopg.Connection[Any], latest: int = len(_STEPS)) -> int:
    """Return the version of a database, 0 when Slipstream never wrote to it.

    Raises:
        StoreError: its schema of our name is not ours, or of a newer Slipstream.
        psycopg.Error: not to be read.
    """
    [(has_schema, has_about)] = connection.execute(
        b"SELECT to_regnamespace('slipstream') IS NOT NULL,"
        b" to_regclass('slipstream.about') IS NOT NULL"
    ).fetchall()
    if not has_schema:
        return 0
    if not has_about:
        raise StoreError("its schema slipstream belongs to another program")
    [(version,)] = connection.execute(b"SELECT version FROM slipstream.about").fetchall()
    if not 1 <= version <= latest:
        raise StoreError(
            f"this database has schema version {version}, this program knows 1 to {latest}: "
            "it was made by a newer Slipstream"
        )
    return int(version)


def migrate(connection: psycopg.Connection[Any], steps: Sequence[str] | None = None) -> int:
    """Run the missing steps in one transaction; return the version reached.

    Raises:
        StoreError: see ``read_version``.
        psycopg.Error: a step failed; the database is as it was.
    """
    texts = shipped_steps() if steps is None else tuple(steps)
    with connection.transaction():
        version = read_version(connection, len(texts))
        if version == len(texts):
            return version
        connection.execute(_MIGRATE_TIMEOUT)
        if version == 0:
            connection.execute(b"CREATE SCHEMA slipstream")
        for text in texts[version:]:
            connection.execute(text.encode())
        connection.execute(b"UPDATE slipstream.about SET version = $1", (len(texts),))
    return len(texts)


def claim_epoch(connection: psycopg.Connection[Any]) -> int:
    """Count this process as the one that writes from now on; return its number."""
    [(epoch,)] = connection.execute(
        b"UPDATE slipstream.about SET writer_epoch = writer_epoch + 1 RETURNING writer_epoch"
    ).fetchall()
    return int(epoch)


def check_epoch(connection: psycopg.Connection[Any], ours: int | None) -> None:
    """See that no other process has opened the database to write since this one did.

    Raises:
        LedgerTakenError: one has, so what this process remembers is old.
    """
    [(epoch,)] = connection.execute(b"SELECT writer_epoch FROM slipstream.about").fetchall()
    if epoch != ours:
        raise LedgerTakenError(
            "another process has written it since: what this one knows is old, start it again"
        )


def check_recorded(connection: psycopg.Connection[Any]) -> None:
    """See that there is something to read.

    Raises:
        StoreError: nothing, or see ``read_version``.
    """
    if read_version(connection) == 0:
        raise StoreError("empty, nothing was ever recorded in it")
