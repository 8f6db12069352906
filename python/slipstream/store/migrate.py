"""Bring a database file to the schema this program speaks, forward only.

A file is recognised by SQLite's application id and its version by ``user_version``. A file that
is foreign, broken or newer is refused untouched.
"""

from collections.abc import Sequence
from importlib import resources
from typing import Final

import apsw

from slipstream.errors import StoreError

APPLICATION_ID: Final = 0x534C4950
"""``SLIP`` in ASCII."""

_STEPS: Final = ("schema.sql", "schema_2.sql")
"""Files that lead from each version to the next, in order; never edited once released."""


def shipped_steps() -> tuple[str, ...]:
    """Return the text of every migration, oldest first."""
    package = resources.files("slipstream.store")
    return tuple(package.joinpath(name).read_text(encoding="utf-8") for name in _STEPS)


def check_file(connection: apsw.Connection, latest: int) -> int:
    """Return the version of an existing file, 0 for an empty one.

    Raises:
        StoreError: another program's database, or one of a newer Slipstream.
        apsw.Error: not a database, or not readable.
    """
    application_id = int(connection.pragma("application_id"))
    version = int(connection.pragma("user_version"))
    table_count = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if application_id == 0 and table_count == 0:
        return 0
    if application_id != APPLICATION_ID:
        raise StoreError(
            "this SQLite file belongs to another program: expected application id "
            f"{APPLICATION_ID:#x}, found {application_id:#x}"
        )
    if not 1 <= version <= latest:
        raise StoreError(
            f"this database has schema version {version}, this program knows 1 to {latest}: "
            "it was made by a newer Slipstream"
        )
    return version


def migrate(connection: apsw.Connection, steps: Sequence[str] | None = None) -> int:
    """Run the missing steps in one transaction; return the version reached.

    Raises:
        StoreError: see ``check_file``.
        apsw.Error: a step failed; the file is as it was.
    """
    texts = shipped_steps() if steps is None else tuple(steps)
    with connection:
        version = check_file(connection, len(texts))
        for text in texts[version:]:
            connection.execute(text)
        if version < len(texts):
            connection.pragma("application_id", APPLICATION_ID)
            connection.pragma("user_version", len(texts))
    if version < len(texts):
        connection.pragma("wal_checkpoint(TRUNCATE)")
    return len(texts)
