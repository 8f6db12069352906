"""Insert many rows with few steps of the database.

Each step gives the interpreter lock away and has to win it back; with a busy event loop that
costs up to 5 ms a step, so that ``executemany`` of 500 rows was measured at 3.5 s where this
takes 0.05 s. Larger chunks lose again: statements above 16 KiB are not kept prepared.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final

import apsw

CHUNK_ROW_COUNT: Final = 96


@lru_cache(maxsize=512)
def values_text(row_count: int, width: int, skipped: int | None = None) -> str:
    """Return ``(?1, ?2), (?3, ?4)`` for rows of a width, without the skipped column."""
    columns = [column for column in range(width) if column != skipped]
    return ",".join(
        "(" + ",".join(f"?{row * width + column + 1}" for column in columns) + ")"
        for row in range(row_count)
    )


def insert_rows(
    connection: apsw.Connection,
    head: str,
    rows: Sequence[tuple[object, ...]],
    *,
    tail: str = "",
    skipped: int | None = None,
) -> int:
    """Run ``head VALUES (...), (...) tail`` over equally wide rows; return the rows changed.

    ``skipped`` is the index of a column that is in the rows and not in the statement (never
    the last one).
    """
    changed = 0
    for start in range(0, len(rows), CHUNK_ROW_COUNT):
        part = rows[start : start + CHUNK_ROW_COUNT]
        values = values_text(len(part), len(part[0]), skipped)
        changed += run(connection, f"{head} VALUES {values} {tail}", part)
    return changed


def run(connection: apsw.Connection, statement: str, rows: Sequence[tuple[object, ...]]) -> int:
    """Run a statement whose bindings are all columns of all rows; return the rows changed."""
    bindings: tuple[Any, ...] = tuple(chain.from_iterable(rows))
    before = connection.total_changes()
    connection.execute(statement, bindings)
    return connection.total_changes() - before


def fetch(
    connection: apsw.Connection, statement: str, bindings: Sequence[Any] = ()
) -> list[tuple[Any, ...]]:
    """Return all rows of a query, as they come from the database."""
    return connection.execute(statement, tuple(bindings)).fetchall()
