"""What the ledger knows of a leader's legs: those without an outcome, and those never told of.

Lines of the activity log are buffered, so they may die with their process while the claims and
results they tell of are durable. Whoever starts next asks here and tells the rest.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson

from slipstream.domain.ids import FollowerId, IntentId, LeaderId
from slipstream.store.base import LedgerIntent, LedgerLeg, Untold
from slipstream.store.database import Database
from slipstream.store.orders import fold

LOOK_BACK_MS: Final = 60_000
"""Lines may lag behind the ledger by this much."""

_BESIDE_MS: Final = 3_600_000
"""A claim that stands beside the leader's events may be this much older than what was last
written of its intent."""

_INTENT_COLUMNS: Final = ", ".join(f"intent.{name}" for name in LedgerIntent._fields[:-2])
_LEG_COLUMNS: Final = ", ".join(f"leg.{name}" for name in LedgerLeg._fields[:-1])
_HAS_LINE: Final = (
    "EXISTS (SELECT 1 FROM activity WHERE activity.intent_id = intent.intent_id"
    " AND activity.kind = 'intent')"
)
_LINE_COUNT: Final = (
    "(SELECT count(*) FROM activity WHERE activity.intent_id = leg.intent_id"
    " AND activity.follower_id = leg.follower_id AND activity.kind = 'leg')"
)
_LAST_TOLD: Final = (
    # The bound that always holds says that the index is the one to walk.
    "SELECT {column} FROM intent WHERE {column} > 0"  # noqa: S608
    " AND leader_id = ? AND venue IS NOT NULL"
    f" AND {_HAS_LINE} ORDER BY {{column}} DESC LIMIT 1"
)
_SINCE: Final = "intent.leader_id = ? AND (intent.recorded_ms >= ? OR intent.sequence >= ?)"
_RECENT: Final = (
    # A cross join is carried out from left to right: recent intents first, then their legs.
    "SELECT leg.intent_id, leg.follower_id FROM intent CROSS JOIN leg"  # noqa: S608
    " WHERE leg.intent_id = intent.intent_id"
    f" AND {_SINCE}"
    " GROUP BY leg.intent_id, leg.follower_id"
    f" HAVING count(DISTINCT leg.leg) > {_LINE_COUNT}"
)
_WAITED: Final = (
    "SELECT DISTINCT leg.intent_id, leg.follower_id FROM leg JOIN intent USING (intent_id)"  # noqa: S608
    " WHERE leg.status = 'waiting' AND intent.leader_id = ?"
    " AND (SELECT count(DISTINCT every.leg) FROM leg AS every WHERE"
    " every.intent_id = leg.intent_id AND every.follower_id = leg.follower_id)"
    f" > {_LINE_COUNT}"
)
_OPEN: Final = (
    "SELECT DISTINCT leg.intent_id, leg.follower_id FROM leg JOIN intent USING (intent_id)"
    " WHERE leg.status = 'claimed' AND intent.leader_id = ?"
)
_ORDER_IDS: Final = (
    "SELECT leg.follower_id, leg.venue_order_id FROM intent JOIN leg USING (intent_id)"
    " WHERE intent.recorded_ms >= ? AND leg.venue_order_id IS NOT NULL"
)
_OLDEST_FIRST: Final = "ORDER BY intent.sequence, leg.follower_id, leg.leg, leg.attempt"
_UNTOLD_INTENTS: Final = (
    f"SELECT {_INTENT_COLUMNS} FROM intent WHERE {_SINCE}"  # noqa: S608
    f" AND venue IS NOT NULL AND NOT {_HAS_LINE}"
)


def read_untold(database: Database, leader: LeaderId) -> Untold:
    """Return what is durable and not in the log.

    Whoever tells goes by the sequence: of what comes before the last event told of, only what a
    living process left can be missing, and its lines lagged by less than ``LOOK_BACK_MS``.
    """
    since = (
        leader,
        _last_told(database, leader, "recorded_ms") - LOOK_BACK_MS,
        _last_told(database, leader, "sequence"),
    )
    fold(database)
    legs = _legs(database, f"{_RECENT} UNION {_WAITED}", (*since, leader))
    open_keys = {row[:3] for row in legs if row.status == "claimed"}
    legs = [row for row in legs if not row.is_told and row[:3] not in open_keys]
    untold = [
        LedgerIntent._make((*row, False, ())) for row in database.fetch(_UNTOLD_INTENTS, since)
    ]
    keys = _fill_keys(database, untold)
    intents = {row.intent_id: row._replace(fill_keys=keys[row.intent_id]) for row in untold}
    intents = _with_intents_of(database, legs, intents)
    return Untold(_in_order(intents.values()), legs)


def _last_told(database: Database, leader: LeaderId, column: str) -> int:
    found = database.fetch(_LAST_TOLD.format(column=column), (leader,))
    return int(found[0][0]) if found else 0


def read_unsettled(database: Database, leader: LeaderId) -> Untold:
    """Return the legs with an open claim."""
    fold(database)
    legs = _legs(database, _OPEN, (leader,))
    open_keys = {row[:3] for row in legs if row.status == "claimed"}
    legs = [row for row in legs if row[:3] in open_keys]
    intents = _in_order(_with_intents_of(database, legs, {}).values())
    return Untold(intents, legs, _order_ids(database, intents, legs))


def _order_ids(
    database: Database, intents: Sequence[LedgerIntent], legs: Sequence[LedgerLeg]
) -> list[tuple[FollowerId, str]]:
    """Return how the venue named other orders of the same followers since before those claims."""
    if not legs:
        return []
    since_ms = min(
        row.recorded_ms - _BESIDE_MS if row.venue_ts_ms is None else row.venue_ts_ms
        for row in intents
    )
    followers = {row.follower_id for row in legs}
    found = database.fetch(_ORDER_IDS, (since_ms - LOOK_BACK_MS,))
    return [(follower, order_id) for follower, order_id in found if follower in followers]


def _legs(database: Database, pairs: str, bindings: Sequence[Any]) -> list[LedgerLeg]:
    """Return every attempt of the pairs (intent, follower) that a query names."""
    pairs = f"WITH pair (intent_id, follower_id) AS ({pairs})"
    told = {
        (intent_id, follower_id, orjson.loads(payload)["leg"])
        for intent_id, follower_id, payload in database.fetch(
            f"{pairs} SELECT activity.intent_id, activity.follower_id, activity.payload"  # noqa: S608
            " FROM pair JOIN activity ON activity.intent_id = pair.intent_id"
            " AND activity.follower_id = pair.follower_id WHERE activity.kind = 'leg'",
            bindings,
        )
    }
    rows = database.fetch(
        f"{pairs} SELECT {_LEG_COLUMNS} FROM pair"  # noqa: S608
        " JOIN leg ON leg.intent_id = pair.intent_id AND leg.follower_id = pair.follower_id"
        f" JOIN intent ON intent.intent_id = leg.intent_id {_OLDEST_FIRST}",
        bindings,
    )
    return [LedgerLeg._make((*row, tuple(row[:3]) in told)) for row in rows]


def _with_intents_of(
    database: Database, legs: Iterable[LedgerLeg], known: dict[IntentId, LedgerIntent]
) -> dict[IntentId, LedgerIntent]:
    missing = sorted({row.intent_id for row in legs} - known.keys())
    for row in database.fetch_rows(
        f"WITH wanted (name) AS ({{rows}}) SELECT {_INTENT_COLUMNS} FROM wanted"  # noqa: S608
        " JOIN intent ON intent.intent_id = wanted.name",
        ("text",),
        [(each,) for each in missing],
    ):
        intent = LedgerIntent(*row)
        known[intent.intent_id] = intent
    return known


def _fill_keys(
    database: Database, intents: Iterable[LedgerIntent]
) -> dict[IntentId, tuple[str, ...]]:
    keys: dict[IntentId, tuple[str, ...]] = {row.intent_id: () for row in intents}
    for intent_id, key in database.fetch_rows(
        "WITH wanted (name) AS ({rows}) SELECT fill.intent_id, fill.fill_key FROM wanted"
        " JOIN fill ON fill.intent_id = wanted.name ORDER BY fill.fill_key",
        ("text",),
        [(each,) for each in keys],
    ):
        keys[intent_id] += (key,)
    return keys


def _in_order(intents: Iterable[LedgerIntent]) -> list[LedgerIntent]:
    return sorted(intents, key=lambda row: row.sequence)
