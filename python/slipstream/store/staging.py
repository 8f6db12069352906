"""A large cohort in one piece: durable as one row, spread over the ledger's tables afterwards.

Five hundred rows of the ledger are two b-trees and an index; before the first byte of an order
leaves, what matters is that they are durable, not where. So the transaction that the orders wait
for keeps them as one MessagePack value, and every later transaction that looks at legs or lanes
folds what is staged first, in the order of the commits. A killed process leaves its staged
cohorts to the next one.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, Final, get_type_hints

import msgspec

from slipstream.domain.cohort import LegRow
from slipstream.domain.ids import LeaderId
from slipstream.errors import StoreError
from slipstream.store.database import Database

STAGED_ROW_COUNT_MIN: Final = 64
"""Smaller cohorts go to the tables at once: two transactions would cost more than one."""
STAGED_COHORT_COUNT_MAX: Final = 16
"""As many cohorts may wait; the next one folds them, so that a restart never finds more."""

_ENCODER: Final = msgspec.msgpack.Encoder()
_INTEGER: Final = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_COLUMN_TYPES: Final[dict[Any, Any]] = {int: _INTEGER, int | None: _INTEGER | None}
_ROW_TYPES: Final = tuple(_COLUMN_TYPES.get(each, each) for each in get_type_hints(LegRow).values())
_SEEN: Final = (
    "SELECT count(*), count(*) FILTER (WHERE intent_id = ?),"
    " EXISTS (SELECT 1 FROM leg WHERE leg.intent_id = ?) FROM staged_cohort"
)


@lru_cache(maxsize=4)
def _decoder(column_count: int) -> msgspec.msgpack.Decoder[Any]:
    """Return what reads rows of the first columns; an earlier version knew fewer of them."""
    row_type: Any = tuple.__class_getitem__(_ROW_TYPES[:column_count])
    return msgspec.msgpack.Decoder(list[row_type])


def can_stage(database: Database, legs: Sequence[LegRow]) -> bool:
    """Return whether no row of a cohort can clash, so that the tables need not be asked row by row:
    all are distinct legs of one intent of which the ledger has none yet."""
    if len(legs) < STAGED_ROW_COUNT_MIN:
        return False
    first = legs[0].intent_id
    if any(row[0] != first for row in legs) or len({row[1:4] for row in legs}) < len(legs):
        return False
    [(waiting_count, same_count, is_known)] = database.fetch(_SEEN, (first, first))
    is_new = not (same_count or is_known)
    return is_new and bool(waiting_count < STAGED_COHORT_COUNT_MAX)


def stage(database: Database, leader: LeaderId, legs: Sequence[LegRow]) -> None:
    """Keep a cohort's rows in one piece, which is read once to be sure that it can be folded.

    Raises:
        StoreError: a row that the tables could not hold.
    """
    value = _ENCODER.encode(legs)
    try:
        _decoder(len(_ROW_TYPES)).decode(value)
    except msgspec.MsgspecError as error:
        raise StoreError(f"the ledger cannot hold a row: {error}") from error
    database.run(
        "INSERT INTO staged_cohort (intent_id, leader_id, legs, column_count) VALUES (?, ?, ?, ?)",
        (legs[0].intent_id, leader, value, len(_ROW_TYPES)),
    )


def take_staged(database: Database) -> list[tuple[LeaderId, list[LegRow]]]:
    """Take out what is staged, oldest first, to be written in the same transaction.

    Raises:
        StoreError: the text is damaged; it stays for somebody to look at.
    """
    found = database.fetch("SELECT leader_id, legs, column_count FROM staged_cohort ORDER BY seq")
    if found:
        database.run("DELETE FROM staged_cohort")
    try:
        return [
            (leader, [LegRow(*row) for row in _decoder(column_count).decode(legs)])
            for leader, legs, column_count in found
        ]
    except msgspec.MsgspecError as error:
        raise StoreError(f"a staged cohort cannot be read: {error}") from error
