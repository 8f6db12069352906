"""The statements of the order ledger: one cohort's transaction, the ends of legs, and reads.

Every function works inside the transaction its caller opened. A row of the ledger is never
overwritten by another claim: same key and same claim is "already", same key and another claim is
a conflict for the caller to raise the alarm about. What touches legs or lanes folds what is
staged first, so that nobody sees the difference.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Final

from slipstream._core import PositionSide
from slipstream.domain.cohort import CohortCommit, LegResult, LegRow, LegStatus
from slipstream.domain.ids import IntentId, LeaderId
from slipstream.domain.intent import MirrorIntent
from slipstream.errors import StoreError
from slipstream.store.base import CommitResult, LaneRow, LegKey, OpenLeg, RecordResult
from slipstream.store.database import Database, Row, kinds_of
from slipstream.store.journal import storable_text
from slipstream.store.staging import can_stage, stage, take_staged

_LANE_INDEX: Final = LegRow._fields.index("lane")
_LEG_PLACES: Final = tuple(each for each in range(len(LegRow._fields)) if each != _LANE_INDEX)
_without_lane: Final = itemgetter(*_LEG_PLACES)
_LEG_KINDS: Final = _without_lane(kinds_of(LegRow))
_INSERT_LEG: Final = (
    f"INSERT INTO leg ({', '.join(_without_lane(LegRow._fields))}) {{rows}} ON CONFLICT DO NOTHING"
)
_LANE_KINDS: Final = ("text",) * 5
_INSERT_LANE: Final = "INSERT INTO lane (leader_id, symbol, follower_id, intent_id, lane)"
_KEEP_NEWEST: Final = (
    "ON CONFLICT (leader_id, symbol, follower_id)"
    " DO UPDATE SET intent_id = excluded.intent_id, lane = excluded.lane"
)
_RESULT_COLUMNS: Final = tuple(f"r_{name}" for name in LegResult._fields)
_RESULT_KINDS: Final = kinds_of(LegResult)
_SAME_LEG: Final = " AND ".join(
    f"leg.{name} = r_{name}" for name in ("intent_id", "follower_id", "leg", "attempt")
)
_LEG_KEY: Final = "intent_id = ? AND follower_id = ? AND leg = ? AND attempt = ?"
_RESULT_ROWS: Final = f"WITH result ({', '.join(_RESULT_COLUMNS)}) AS ({{rows}})"
_UPDATE_LEGS: Final = (
    f"{_RESULT_ROWS} UPDATE leg SET"  # noqa: S608
    " status = CASE WHEN result.r_end = 'unknown' THEN 'claimed' ELSE 'ended' END,"
    " leg_end = r_end, reason = r_reason, filled_qty = r_filled_qty,"
    " average_px = r_average_px, venue_order_id = r_venue_order_id FROM result WHERE "
    + _SAME_LEG
    + " AND leg.status IN ('claimed', 'waiting')"
)
_LANE_OF_KEY: Final = (
    "SELECT (SELECT leader_id FROM intent WHERE intent.intent_id = r_intent_id),"  # noqa: S608
    f" (SELECT symbol FROM leg WHERE {_SAME_LEG}), r_follower_id, r_intent_id, r_lane"
)
_LANES_OF_RESULTS: Final = f"{_RESULT_ROWS} {_LANE_OF_KEY} FROM result"
_CLAIM_FIELDS: Final = tuple(
    LegRow._fields.index(name) for name in ("status", "reason", "claim_hash")
)
_LAST_SEQUENCE: Final = "SELECT coalesce(max(sequence), 0) FROM intent"
_POSITION_SIDES: Final = (PositionSide.NET, PositionSide.LONG, PositionSide.SHORT)


def write_cohort(database: Database, commit: CohortCommit) -> CommitResult:
    """Write a cohort, or nothing of it when one of its fills already has an intent."""
    intent = commit.intent
    if intent is not None:
        keys = [fill.id.key for fill in intent.fills]
        seen = fills_seen(database, keys)
        if seen:
            return CommitResult(duplicates=tuple(seen))
        _write_intent(database, commit.leader, intent)
        database.run_rows(
            "INSERT INTO fill (fill_key, intent_id) {rows}",
            ("text", "text"),
            [(key, intent.id) for key in dict.fromkeys(keys)],
        )
    if commit.cursor is not None:
        database.run(
            "INSERT INTO cursor (leader_id, symbol, cursor) VALUES (?, ?, ?)"
            " ON CONFLICT (leader_id, symbol) DO UPDATE SET cursor = excluded.cursor",
            (commit.leader, *commit.cursor),
        )
    return _write_legs(database, commit)


def _write_intent(database: Database, leader: LeaderId, intent: MirrorIntent) -> None:
    margin = intent.margin
    database.run(
        "INSERT INTO intent (intent_id, leader_id, venue, account, symbol, position_side, kind,"  # noqa: S608
        " side, before_qty, after_qty, qty, px, leader_equity, leader_margin, venue_ts_ms,"
        " sequence)"
        f" VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,({_LAST_SEQUENCE}) + 1) ON CONFLICT DO NOTHING",
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


def _write_legs(database: Database, commit: CohortCommit) -> CommitResult:
    legs = commit.legs
    known = None if commit.intent is None else commit.intent.id
    nameless = {row[0] for row in legs} - {known}
    if nameless:
        _touch(database, {(intent_id, commit.leader) for intent_id in nameless})
    if can_stage(database, legs):
        stage(database, commit.leader, legs)
        return CommitResult()
    fold(database)
    result = CommitResult()
    database.run("SAVEPOINT legs")
    if _insert_legs(database, legs) < len(legs):
        database.run("ROLLBACK TO SAVEPOINT legs")
        legs, result = _write_legs_one_by_one(database, legs)
    database.run("RELEASE SAVEPOINT legs")
    _write_lanes(database, commit.leader, legs)
    return result


def _touch(database: Database, intents: Iterable[Row]) -> None:
    """Note that (intent, leader) is worked on now: its rows are kept for a whole window more, and
    its lines in the log may still be missing."""
    database.run_rows(
        "WITH worked_on (intent_id, leader_id) AS ({rows})"  # noqa: S608
        " INSERT INTO intent (intent_id, leader_id, sequence) SELECT intent_id, leader_id,"
        f" ({_LAST_SEQUENCE}) + row_number() OVER (ORDER BY intent_id) FROM worked_on WHERE true"
        " ON CONFLICT (intent_id) DO UPDATE SET recorded_ms = excluded.recorded_ms",
        ("text", "text"),
        sorted(intents),
    )


def _insert_legs(database: Database, legs: Iterable[LegRow]) -> int:
    """Write the rows whose keys are free; return how many that were."""
    return database.run_rows(_INSERT_LEG, _LEG_KINDS, list(map(_without_lane, legs)))


def fold(database: Database) -> None:
    """Spread staged cohorts over the tables. No row can be there yet: ``can_stage`` asked.

    Raises:
        StoreError: a row is there all the same; the cohort stays for somebody to look at.
    """
    for leader, legs in take_staged(database):
        if _insert_legs(database, legs) < len(legs):
            raise StoreError("a staged cohort cannot be folded: the ledger has a row of it")
        _write_lanes(database, leader, legs)


def _write_lanes(database: Database, leader: LeaderId, legs: Sequence[LegRow]) -> None:
    _move_lanes(database, [(leader, row[5], row[1], row[0], row[_LANE_INDEX]) for row in legs])


def _move_lanes(database: Database, lanes: Iterable[Row]) -> None:
    # Of two rows of one lane the later one counts, and one statement may see each lane once.
    newest = {lane[:3]: lane for lane in lanes}
    database.run_rows(f"{_INSERT_LANE} {{rows}} {_KEEP_NEWEST}", _LANE_KINDS, list(newest.values()))


def _write_legs_one_by_one(
    database: Database, legs: Iterable[LegRow]
) -> tuple[list[LegRow], CommitResult]:
    written: list[LegRow] = []
    already: list[LegKey] = []
    conflicts: list[LegKey] = []
    for row in legs:
        key = LegKey(row.intent_id, row.follower_id, row.leg, row.attempt)
        rows = database.fetch(
            f"SELECT status, reason, claim_hash FROM leg WHERE {_LEG_KEY}",  # noqa: S608
            key,
        )
        if rows:
            found = rows[0]
            if found[0] == LegStatus.WAITING and row.status != LegStatus.WAITING:
                # What waited is decided now: the same leg, not a second one.
                database.run(f"DELETE FROM leg WHERE {_LEG_KEY}", key)  # noqa: S608
            elif _is_same_claim(found, row):
                already.append(key)
                continue
            else:
                conflicts.append(key)
                continue
        _insert_legs(database, [row])
        written.append(row)
    return written, CommitResult(already=tuple(already), conflicts=tuple(conflicts))


def _is_same_claim(found: Sequence[object], row: LegRow) -> bool:
    if row.claim_hash is not None or found[2] is not None:
        return found[2] == row.claim_hash
    return tuple(found) == tuple(row[index] for index in _CLAIM_FIELDS)


def write_groups(database: Database, groups: Sequence[Sequence[LegResult]]) -> list[RecordResult]:
    """Write the ends that several callers reported, as one; or one by one, so that each is told
    what became of its own."""
    if len(groups) > 1:
        database.run("SAVEPOINT groups")
        outcome = write_results(database, list(chain.from_iterable(groups)))
        is_clean = outcome == RecordResult()
        if not is_clean:
            database.run("ROLLBACK TO SAVEPOINT groups")
        database.run("RELEASE SAVEPOINT groups")
        if is_clean:
            return [outcome] * len(groups)
    return [write_results(database, group) for group in groups]


def write_results(database: Database, results: Sequence[LegResult]) -> RecordResult:
    """Write the ends of legs; an end other than ``unknown`` is written once."""
    fold(database)
    database.run("SAVEPOINT results")
    rows = [_storable(result) for result in results]
    is_complete = True
    for part in _distinct_parts(rows):
        is_complete = _update_legs(database, part) == len(part) and is_complete
    outcome = RecordResult()
    if not is_complete:
        database.run("ROLLBACK TO SAVEPOINT results")
        outcome = _write_results_one_by_one(database, rows)
    database.run("RELEASE SAVEPOINT results")
    found = database.fetch_rows(_LANES_OF_RESULTS, _RESULT_KINDS, rows)
    known = [lane for lane in found if None not in lane]
    _move_lanes(database, known)
    _touch(database, {(intent_id, leader) for leader, _, _, intent_id, _ in known})
    return outcome


def _storable(result: LegResult) -> LegResult:
    """Return a result whose words, which may be a venue's, any database can hold."""
    return result._replace(
        reason=storable_text(result.reason), venue_order_id=storable_text(result.venue_order_id)
    )


def _write_results_one_by_one(database: Database, results: Sequence[LegResult]) -> RecordResult:
    repeated: list[LegKey] = []
    missing: list[LegKey] = []
    for result in results:
        if _update_legs(database, [result]) == 0:
            key = LegKey(*result[:4])
            found = database.fetch(f"SELECT 1 FROM leg WHERE {_LEG_KEY}", key)  # noqa: S608
            (repeated if found else missing).append(key)
    return RecordResult(repeated=tuple(repeated), missing=tuple(missing))


def _distinct_parts(results: Sequence[LegResult]) -> list[list[LegResult]]:
    """Cut where a leg comes a second time: one statement sees each leg once."""
    parts: list[list[LegResult]] = []
    keys: set[tuple[object, ...]] = set()
    for result in results:
        key = result[:4]
        if not parts or key in keys:
            parts.append([])
            keys.clear()
        parts[-1].append(result)
        keys.add(key)
    return parts


def _update_legs(database: Database, part: Sequence[LegResult]) -> int:
    return database.run_rows(_UPDATE_LEGS, _RESULT_KINDS, part)


def fills_seen(database: Database, keys: Sequence[str]) -> dict[str, IntentId]:
    """Return the intents that fills already belong to."""
    found = database.fetch_rows(
        "SELECT fill_key, intent_id FROM fill WHERE fill_key IN ({rows})",
        ("text",),
        [(key,) for key in keys],
    )
    return {str(key): IntentId(str(intent_id)) for key, intent_id in found}


def open_legs(database: Database, leader: LeaderId) -> list[OpenLeg]:
    """Return a leader's claims without a known outcome, oldest intent first."""
    fold(database)
    found = database.fetch(
        "SELECT leg.intent_id, follower_id, leg, attempt, leg.symbol, leg.position_side,"
        " client_order_id, leg.side, leg.qty, limit_px, is_reduction, leg_end, venue_ts_ms"
        " FROM leg INDEXED BY leg_open JOIN intent USING (intent_id)"
        " WHERE leg.status = 'claimed' AND intent.leader_id = ?"
        " ORDER BY venue_ts_ms NULLS FIRST, leg.intent_id, follower_id, leg, attempt",
        (leader,),
    )
    return [OpenLeg(*row) for row in found]


def lanes(database: Database, leader: LeaderId) -> list[LaneRow]:
    """Return the newest state of each of a leader's lanes."""
    fold(database)
    found = database.fetch(
        "SELECT follower_id, symbol, intent_id, lane FROM lane WHERE leader_id = ?",
        (leader,),
    )
    return [LaneRow(*row) for row in found]


def cursor(database: Database, leader: LeaderId, symbol: str) -> str | None:
    """Return how far a leader's history was read."""
    found = database.fetch(
        "SELECT cursor FROM cursor WHERE leader_id = ? AND symbol = ?", (leader, symbol)
    )
    return str(found[0][0]) if found else None


def prune(database: Database, older_than_ms: int, *, count_max: int) -> int:
    """Forget the oldest settled intents recorded before a time; return how many.

    A claim without a known outcome keeps its whole intent.
    """
    fold(database)
    database.run("CREATE TEMP TABLE IF NOT EXISTS settled (intent_id TEXT PRIMARY KEY)")
    database.run("DELETE FROM settled")
    database.run(
        "INSERT INTO settled SELECT intent_id FROM intent WHERE recorded_ms < ?"
        " AND intent_id NOT IN (SELECT intent_id FROM leg WHERE status = 'claimed')"
        " ORDER BY recorded_ms LIMIT ?",
        (older_than_ms, count_max),
    )
    counts = [
        database.run(
            f"DELETE FROM {table} WHERE intent_id IN (SELECT intent_id FROM settled)"  # noqa: S608
        )
        for table in ("fill", "leg", "intent")
    ]
    return counts[-1]
