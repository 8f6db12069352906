"""The activity log: append-only rows, each holding the hash of everything before it.

``hash = SHA-256(prev_hash || text)`` where ``text`` is the JSON array (no blanks, UTF-8) of
``seq, ts_ms, kind, leader_id, follower_id, intent_id, reason, payload``, ``payload`` being the
JSON text of the row as a string. The first ``prev_hash`` is 32 zero bytes. A changed, inserted or
removed row breaks the chain from there on; rows cut off at the end do not.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Final

import orjson

from slipstream.domain.cohort import ActivityRow
from slipstream.store.base import CHAIN_START, ActivityEntry, ActivityFilter, ChainReport
from slipstream.store.database import Database

_PAGE_ROW_COUNT: Final = 1024
_COLUMNS: Final = "seq, ts_ms, kind, leader_id, follower_id, intent_id, reason, payload"
_INSERT: Final = f"INSERT INTO activity ({_COLUMNS}, prev_hash, hash) {{rows}}"
_KINDS: Final = (*("bigint",) * 2, *("text",) * 6, *("bytea",) * 2)


def payload_text(payload: dict[str, object]) -> str:
    """Return a payload as JSON text with sorted keys.

    What JSON has no words for is written as its ``repr``: a log must not refuse to be written.
    """
    try:
        return orjson.dumps(payload, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:
        return json.dumps(_plain(payload), sort_keys=True, separators=(",", ":"))


def storable_text(text: str | None) -> str | None:
    """Return text that every database can hold: a venue's words may carry half a surrogate pair,
    or a NUL, which PostgreSQL refuses."""
    if text is None or (text.isascii() and "\0" not in text):
        return text
    return text.replace("\0", "\\x00").encode(errors="backslashreplace").decode()


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    return repr(value)


def link_hash(prev_hash: bytes, columns: Sequence[object]) -> bytes:
    """Return the hash of a row from the one before it and its eight columns."""
    text = json.dumps(list(columns), separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(prev_hash + text.encode()).digest()


class JournalWriter:
    """The end of the chain. Lives on the writer thread; one per database."""

    def __init__(self, database: Database) -> None:
        """Find the end of what is there."""
        self._database = database
        self._seq = 0
        self._hash = CHAIN_START
        self._tried: tuple[int, bytes] | None = None
        self._tried_count = 0
        self.rewind()

    def rewind(self) -> int:
        """Read the end of the chain again, after a transaction that did not succeed.

        Returns:
            How many rows of the last ``append`` are there all the same: all when its commit was
            carried out and only the answer was lost, else 0.
        """
        found = self._database.fetch("SELECT seq, hash FROM activity ORDER BY seq DESC LIMIT 1")
        self._seq, self._hash = (int(found[0][0]), found[0][1]) if found else (0, CHAIN_START)
        # A hash of everything before it: no other rows can have the same.
        is_there = self._tried == (self._seq, self._hash)
        self._tried = None
        return self._tried_count if is_there else 0

    def append(self, rows: Sequence[ActivityRow]) -> None:
        """Add rows inside the caller's transaction; ``written`` or ``rewind`` when it ended."""
        linked: list[tuple[object, ...]] = []
        seq, last = self._seq, self._hash
        for row in rows:
            seq += 1
            columns = (
                seq,
                row.ts_ms,
                str(row.kind),
                storable_text(row.leader),
                storable_text(row.follower),
                storable_text(row.intent_id),
                storable_text(row.reason),
                payload_text(row.payload),
            )
            prev, last = last, link_hash(last, columns)
            linked.append((*columns, prev, last))
        self._tried, self._tried_count = (seq, last), len(linked)
        self._database.run_rows(_INSERT, _KINDS, linked)

    def written(self) -> None:
        """Go on behind what was appended last: its transaction was committed."""
        if self._tried is not None:
            self._seq, self._hash = self._tried
            self._tried = None


def read_page(
    database: Database, wanted: ActivityFilter, *, after_seq: int, row_count: int
) -> list[ActivityEntry]:
    """Return the next matching rows behind a row, oldest first."""
    where, bindings = _conditions(wanted)
    found = database.fetch(
        f"SELECT {_COLUMNS} FROM activity WHERE seq > ?{where} ORDER BY seq LIMIT ?",  # noqa: S608
        (after_seq, *bindings, row_count),
    )
    return [ActivityEntry(*row) for row in found]


def first_seq(database: Database, wanted: ActivityFilter) -> int:
    """Return the row to read on from: ``after_seq``, or just before the newest ``limit`` rows."""
    if wanted.after_seq is not None:
        return wanted.after_seq
    if wanted.limit is None:
        return 0
    where, bindings = _conditions(wanted)
    [(first,)] = database.fetch(
        "SELECT min(seq) FROM (SELECT seq FROM activity WHERE seq > 0"  # noqa: S608
        f"{where} ORDER BY seq DESC LIMIT ?) AS newest",
        (*bindings, wanted.limit),
    )
    return 0 if first is None else int(first) - 1


def _conditions(wanted: ActivityFilter) -> tuple[str, list[str | int]]:
    conditions: dict[str, str | int | None] = {
        "ts_ms >= ?": wanted.since_ms,
        "ts_ms < ?": wanted.until_ms,
        "leader_id = ?": wanted.leader,
        "follower_id = ?": wanted.follower,
        "intent_id = ?": wanted.intent_id,
        "reason = ?": wanted.reason,
        "kind = ?": wanted.kind,
    }
    given = {text: value for text, value in conditions.items() if value is not None}
    return "".join(f" AND {text}" for text in given), list(given.values())


def verify_page(database: Database, report: ChainReport) -> tuple[ChainReport, bool]:
    """Check the next rows of the chain; return what is known now and whether that is all.

    Begin with ``ChainReport(0, None, CHAIN_START)``.
    """
    seq, last = report.row_count, report.last_hash
    found = database.fetch(
        f"SELECT {_COLUMNS}, prev_hash, hash FROM activity WHERE seq > ?"  # noqa: S608
        " ORDER BY seq LIMIT ?",
        (seq, _PAGE_ROW_COUNT),
    )
    for *columns, prev_hash, row_hash in found:
        is_next = columns[0] == seq + 1 and prev_hash == last
        if not is_next or link_hash(last, columns) != row_hash:
            return ChainReport(seq, seq + 1, last), True
        seq, last = seq + 1, row_hash
    return ChainReport(seq, None, last), len(found) < _PAGE_ROW_COUNT
