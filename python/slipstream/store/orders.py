"""The statements of the order ledger: one cohort's transaction, the ends of legs, and reads.

Every function works inside the transaction its caller opened. A row of the ledger is never
overwritten by another claim: same key and same claim is "already", same key and another claim is
a conflict for the caller to raise the alarm about. What touches legs or lanes folds what is
staged first, so that nobody sees the difference.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import apsw

from slipstream._core import PositionSide
from slipstream.domain.cohort import CohortCommit, LegResult, LegRow, LegStatus
from slipstream.domain.ids import IntentId, LeaderId
from slipstream.domain.intent import MirrorIntent
from slipstream.store.base import CommitResult, LaneRow, LegKey, OpenLeg, RecordResult
from slipstream.store.rows import CHUNK_ROW_COUNT, fetch, insert_rows, run, values_text
from slipstream.store.staging import can_stage, stage, take_staged

_LANE_INDEX: Final = LegRow._fields.index("lane")
_LEG_COLUMNS: Final = ", ".join(name for name in LegRow._fields if name != "lane")
_INSERT_LEG: Final = f"INSERT INTO leg ({_LEG_COLUMNS})"
_INSERT_LANE: Final = "INSERT INTO lane (leader_id, symbol, follower_id, intent_id, lane)"
_KEEP_NEWEST: Final = (
    "ON CONFLICT DO UPDATE SET intent_id = excluded.intent_id, lane = excluded.lane"
)
_RESULT_COLUMNS: Final = tuple(f"r_{name}" for name in LegResult._fields)
_SAME_LEG: Final = " AND ".join(
    f"leg.{name} = r_{name}" for name in ("intent_id", "follower_id", "leg", "attempt")
)
_LEG_KEY: Final = "intent_id = ? AND follower_id = ? AND leg = ? AND attempt = ?"
_RESULT_WIDTH: Final = len(LegResult._fields)
_RESULT_ROWS: Final = f"WITH result ({', '.join(_RESULT_COLUMNS)}) AS (VALUES {{values}})"
_UPDATE_LEGS: Final = (
    "UPDATE leg SET status = iif(result.r_end = 'unknown', 'claimed', 'ended'),"  # noqa: S608
    " leg_end = r_end, reason = r_reason, filled_qty = r_filled_qty,"
    " average_px = r_average_px, venue_order_id = r_venue_order_id FROM result WHERE "
    + _SAME_LEG
    + " AND leg.status IN ('claimed', 'waiting')"
)
_LANES_OF_RESULTS: Final = (
    "SELECT intent.leader_id, leg.symbol, leg.follower_id, leg.intent_id, r_lane"  # noqa: S608
    " FROM result CROSS JOIN leg ON "
    + _SAME_LEG
    + " CROSS JOIN intent ON intent.intent_id = leg.intent_id WHERE true"
)
_CLAIM_FIELDS: Final = tuple(
    LegRow._fields.index(name) for name in ("status", "reason", "claim_hash")
)
_POSITION_SIDES: Final = (PositionSide.NET, PositionSide.LONG, PositionSide.SHORT)


def write_cohort(connection: apsw.Connection, commit: CohortCommit) -> CommitResult:
    """Write a cohort, or nothing of it when one of its fills already has an intent."""
    intent = commit.intent
    if intent is not None:
        keys = [fill.id.key for fill in intent.fills]
        seen = fills_seen(connection, keys)
        if seen:
            return CommitResult(duplicates=tuple(seen))
        _write_intent(connection, commit.leader, intent)
        insert_rows(
            connection,
            "INSERT INTO fill (fill_key, intent_id)",
            [(key, intent.id) for key in dict.fromkeys(keys)],
        )
    if commit.cursor is not None:
        connection.execute(
            "INSERT INTO cursor (leader_id, symbol, cursor) VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET cursor = excluded.cursor",
            (commit.leader, *commit.cursor),
        )
    return _write_legs(connection, commit)


def _write_intent(connection: apsw.Connection, leader: LeaderId, intent: MirrorIntent) -> None:
    margin = intent.margin
    connection.execute(
        "INSERT INTO intent (intent_id, leader_id, venue, account, symbol, position_side, kind,"
        " side, before_qty, after_qty, qty, px, leader_equity, leader_margin, venue_ts_ms)"
        " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
        (
            intent.id,
            leader,
            intent.venue,
            intent.account,
            intent.symbol,
            _POSITION_SIDES.index(intent.position_side),
            str(intent.kind),
            1 if intent.after > intent.before else -1,
            intent.before,
            intent.after,
            intent.qty,
            intent.px,
            None if margin is None else margin.equity,
            None if margin is None else margin.initial_margin,
            intent.venue_ts_ms,
        ),
    )


def _write_legs(connection: apsw.Connection, commit: CohortCommit) -> CommitResult:
    legs = commit.legs
    known = None if commit.intent is None else commit.intent.id
    nameless = {row[0] for row in legs} - {known}
    if nameless:
        insert_rows(
            connection,
            "INSERT INTO intent (intent_id, leader_id)",
            [(intent_id, commit.leader) for intent_id in sorted(nameless)],
            # Worked on again: its rows are kept for a whole window more.
            tail="ON CONFLICT DO UPDATE SET recorded_ms = excluded.recorded_ms",
        )
    if can_stage(connection, legs):
        stage(connection, commit.leader, legs)
        return CommitResult()
    fold(connection)
    result = CommitResult()
    connection.execute("SAVEPOINT legs")
    try:
        insert_rows(connection, _INSERT_LEG, legs, skipped=_LANE_INDEX)
    except apsw.ConstraintError as error:
        if getattr(error, "extendedresult", None) != apsw.SQLITE_CONSTRAINT_PRIMARYKEY:
            raise
        connection.execute("ROLLBACK TO legs")
        legs, result = _write_legs_one_by_one(connection, legs)
    connection.execute("RELEASE legs")
    _write_lanes(connection, commit.leader, legs)
    return result


def fold(connection: apsw.Connection) -> None:
    """Spread staged cohorts over the tables. No row can be there yet: ``can_stage`` asked."""
    for leader, legs in take_staged(connection):
        insert_rows(connection, _INSERT_LEG, legs, skipped=_LANE_INDEX)
        _write_lanes(connection, leader, legs)


def _write_lanes(connection: apsw.Connection, leader: LeaderId, legs: Sequence[LegRow]) -> None:
    # Of two rows of one lane the later one counts.
    insert_rows(
        connection,
        _INSERT_LANE,
        [(leader, row[5], row[1], row[0], row[_LANE_INDEX]) for row in legs],
        tail=_KEEP_NEWEST,
    )


def _write_legs_one_by_one(
    connection: apsw.Connection, legs: Iterable[LegRow]
) -> tuple[list[LegRow], CommitResult]:
    written: list[LegRow] = []
    already: list[LegKey] = []
    conflicts: list[LegKey] = []
    for row in legs:
        key = LegKey(row.intent_id, row.follower_id, row.leg, row.attempt)
        found = connection.execute(
            f"SELECT status, reason, claim_hash FROM leg WHERE {_LEG_KEY}",  # noqa: S608
            key,
        ).fetchone()
        if found is not None:
            if found[0] == LegStatus.WAITING and row.status != LegStatus.WAITING:
                # What waited is decided now: the same leg, not a second one.
                connection.execute(f"DELETE FROM leg WHERE {_LEG_KEY}", key)  # noqa: S608
            elif _is_same_claim(found, row):
                already.append(key)
                continue
            else:
                conflicts.append(key)
                continue
        insert_rows(connection, _INSERT_LEG, [row], skipped=_LANE_INDEX)
        written.append(row)
    return written, CommitResult(already=tuple(already), conflicts=tuple(conflicts))


def _is_same_claim(found: Sequence[object], row: LegRow) -> bool:
    if row.claim_hash is not None or found[2] is not None:
        return found[2] == row.claim_hash
    return tuple(found) == tuple(row[index] for index in _CLAIM_FIELDS)


def write_results(connection: apsw.Connection, results: Sequence[LegResult]) -> RecordResult:
    """Write the ends of legs; an end other than ``unknown`` is written once."""
    fold(connection)
    connection.execute("SAVEPOINT results")
    is_complete = True
    for part in _distinct_parts(results):
        is_complete = _update_legs(connection, part) == len(part) and is_complete
    outcome = RecordResult()
    if not is_complete:
        connection.execute("ROLLBACK TO results")
        outcome = _write_results_one_by_one(connection, results)
    connection.execute("RELEASE results")
    for start in range(0, len(results), CHUNK_ROW_COUNT):
        _move_lanes(connection, results[start : start + CHUNK_ROW_COUNT])
    return outcome


def _write_results_one_by_one(
    connection: apsw.Connection, results: Sequence[LegResult]
) -> RecordResult:
    repeated: list[LegKey] = []
    missing: list[LegKey] = []
    for result in results:
        if _update_legs(connection, [result]) == 0:
            key = LegKey(*result[:4])
            found = connection.execute(f"SELECT 1 FROM leg WHERE {_LEG_KEY}", key)  # noqa: S608
            (missing if found.fetchone() is None else repeated).append(key)
    return RecordResult(repeated=tuple(repeated), missing=tuple(missing))


def _distinct_parts(results: Sequence[LegResult]) -> list[list[LegResult]]:
    """Cut where a leg comes a second time: one statement sees each leg once."""
    parts: list[list[LegResult]] = []
    keys: set[tuple[object, ...]] = set()
    for result in results:
        key = result[:4]
        if not parts or key in keys or len(parts[-1]) == CHUNK_ROW_COUNT:
            parts.append([])
            keys.clear()
        parts[-1].append(result)
        keys.add(key)
    return parts


def _update_legs(connection: apsw.Connection, part: Sequence[LegResult]) -> int:
    values = values_text(len(part), _RESULT_WIDTH)
    return run(connection, f"{_RESULT_ROWS.format(values=values)} {_UPDATE_LEGS}", part)


def _move_lanes(connection: apsw.Connection, part: Sequence[LegResult]) -> None:
    values = values_text(len(part), _RESULT_WIDTH)
    statement = f"{_RESULT_ROWS.format(values=values)} {_INSERT_LANE} {_LANES_OF_RESULTS}"
    run(connection, f"{statement} {_KEEP_NEWEST}", part)


def fills_seen(connection: apsw.Connection, keys: Sequence[str]) -> dict[str, IntentId]:
    """Return the intents that fills already belong to."""
    seen: dict[str, IntentId] = {}
    for start in range(0, len(keys), CHUNK_ROW_COUNT):
        part = tuple(keys[start : start + CHUNK_ROW_COUNT])
        found = connection.execute(
            "SELECT fill_key, intent_id FROM fill WHERE fill_key IN"  # noqa: S608
            f" (VALUES {values_text(len(part), 1)})",
            part,
        )
        seen.update((str(key), IntentId(str(intent_id))) for key, intent_id in found)
    return seen


def open_legs(connection: apsw.Connection, leader: LeaderId) -> list[OpenLeg]:
    """Return a leader's claims without a known outcome, oldest intent first."""
    fold(connection)
    found = fetch(
        connection,
        "SELECT leg.intent_id, follower_id, leg, attempt, leg.symbol, leg.position_side,"
        " client_order_id, leg.side, leg.qty, limit_px, is_reduction, leg_end, venue_ts_ms"
        " FROM leg INDEXED BY leg_open JOIN intent USING (intent_id)"
        " WHERE leg.status = 'claimed' AND intent.leader_id = ?"
        " ORDER BY venue_ts_ms, leg.intent_id, follower_id, leg, attempt",
        (leader,),
    )
    return [OpenLeg(*row) for row in found]


def lanes(connection: apsw.Connection, leader: LeaderId) -> list[LaneRow]:
    """Return the newest state of each of a leader's lanes."""
    fold(connection)
    found = fetch(
        connection,
        "SELECT follower_id, symbol, intent_id, lane FROM lane WHERE leader_id = ?",
        (leader,),
    )
    return [LaneRow(*row) for row in found]


def cursor(connection: apsw.Connection, leader: LeaderId, symbol: str) -> str | None:
    """Return how far a leader's history was read."""
    found = connection.execute(
        "SELECT cursor FROM cursor WHERE leader_id = ? AND symbol = ?", (leader, symbol)
    ).fetchone()
    return None if found is None else str(found[0])


def prune(connection: apsw.Connection, older_than_ms: int) -> int:
    """Forget settled intents recorded before a time; return how many.

    A claim without a known outcome keeps its whole intent.
    """
    fold(connection)
    connection.execute(
        "CREATE TEMP TABLE IF NOT EXISTS settled (intent_id TEXT PRIMARY KEY) WITHOUT ROWID"
    )
    connection.execute("DELETE FROM settled")
    connection.execute(
        "INSERT INTO settled SELECT intent_id FROM intent WHERE recorded_ms < ?"
        " AND intent_id NOT IN (SELECT intent_id FROM leg WHERE status = 'claimed')",
        (older_than_ms,),
    )
    for table in ("fill", "leg", "intent"):
        connection.execute(
            f"DELETE FROM {table} WHERE intent_id IN (SELECT intent_id FROM settled)"  # noqa: S608
        )
    return connection.changes()
