"""The activity log keeps everything, in order, and shows when it was touched."""

import hashlib
import json
import sqlite3
from pathlib import Path

import pytest

from slipstream.domain.cohort import ActivityRow
from slipstream.domain.ids import FollowerId, LeaderId
from slipstream.errors import StoreError
from slipstream.store.base import ActivityEntry, ActivityFilter
from slipstream.store.reader import ActivityReader
from slipstream.store.sqlite import SqliteStore


def row(index: int) -> ActivityRow:
    return ActivityRow(
        ts_ms=1_000 + index,
        kind="leg" if index % 2 else "intent",
        leader=LeaderId("whale"),
        follower=FollowerId(f"f{index % 3}"),
        reason="DEPTH_SHORT" if index % 5 == 0 else None,
        payload={"qty": "0.1", "index": index, "name": "näme"},
    )


async def listed(store: SqliteStore, **conditions: object) -> list[ActivityEntry]:
    wanted = ActivityFilter(**conditions)  # type: ignore[arg-type]
    return [entry async for entry in store.activity(wanted)]


async def test_rows_come_back_in_order_and_whole(store: SqliteStore) -> None:
    store.log([row(index) for index in range(1_300)])
    await store.flush()
    entries = await listed(store)
    assert [entry.seq for entry in entries] == list(range(1, 1_301))
    assert json.loads(entries[7].payload) == row(7).payload
    assert (entries[7].follower, entries[7].kind, entries[7].ts_ms) == ("f1", "leg", 1_007)
    assert store.stats().journal_pending_count == 0


async def test_conditions_hold_together(store: SqliteStore) -> None:
    rows = [row(index) for index in range(100)]
    store.log(rows)
    await store.flush()
    for conditions, expected in [
        ({"kind": "leg"}, [r for r in rows if r.kind == "leg"]),
        ({"follower": "f2", "reason": "DEPTH_SHORT"}, [rows[i] for i in range(5, 100, 15)]),
        ({"since_ms": 1_010, "until_ms": 1_012}, rows[10:12]),
        ({"limit": 3}, rows[-3:]),
        ({"limit": 2, "follower": "f0"}, [rows[96], rows[99]]),
        ({"after_seq": 98}, rows[98:]),
        ({"after_seq": 10, "limit": 1}, rows[10:11]),
        ({"leader": "shark"}, []),
    ]:
        found = await listed(store, **conditions)
        assert [entry.ts_ms for entry in found] == [each.ts_ms for each in expected]


async def test_the_chain_is_what_the_module_says(store: SqliteStore, path: Path) -> None:
    store.log([row(index) for index in range(3)])
    await store.flush()
    report = await store.verify_chain()
    last = bytes(32)
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as stranger:
        for *columns, prev, found in stranger.execute("SELECT * FROM activity ORDER BY seq"):
            assert prev == last
            text = json.dumps(columns, separators=(",", ":"), ensure_ascii=False)
            last = hashlib.sha256(prev + text.encode()).digest()
            assert found == last
    stranger.close()
    assert (report.row_count, report.broken_seq, report.last_hash) == (3, None, last)


async def test_the_log_goes_on_where_it_ended(url: str) -> None:
    for start in (0, 10):
        store = await SqliteStore.open(url)
        store.log([row(index) for index in range(start, start + 10)])
        await store.close()
    with ActivityReader(url) as reader:
        assert [entry.ts_ms for entry in reader.activity(ActivityFilter())] == [
            1_000 + index for index in range(20)
        ]
        assert reader.verify_chain().broken_seq is None


@pytest.mark.parametrize(
    ("statement", "broken_seq"),
    [
        ("UPDATE activity SET payload = replace(payload, '0.1', '0.2') WHERE seq = 4", 4),
        ("UPDATE activity SET reason = NULL WHERE seq = 6", 6),
        ("DELETE FROM activity WHERE seq = 3", 3),
        ("DELETE FROM activity WHERE seq = 1", 1),
        ("UPDATE activity SET seq = 99 WHERE seq = 10", 10),
    ],
)
async def test_touching_the_log_shows(
    url: str, path: Path, statement: str, broken_seq: int
) -> None:
    store = await SqliteStore.open(url)
    store.log([row(index) for index in range(10)])
    await store.close()
    with sqlite3.connect(path) as intruder:
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            intruder.execute(statement)
        for name in ("activity_is_not_changed", "activity_is_not_deleted"):
            intruder.execute(f"DROP TRIGGER {name}")
        intruder.execute(statement)
    intruder.close()
    with ActivityReader(url) as reader:
        assert reader.verify_chain().broken_seq == broken_seq


async def test_words_a_database_cannot_hold_are_kept_readable(store: SqliteStore) -> None:
    half = "half \ud83d of a pair"
    store.log([ActivityRow(1, "leg", reason=half, payload={"big": 2**90, "half": half, "o": {1}})])
    await store.flush()
    entry = (await listed(store))[0]
    assert entry.reason == "half \\ud83d of a pair"
    assert json.loads(entry.payload) == {"big": 2**90, "half": half, "o": "{1}"}


async def test_a_row_that_cannot_be_written_costs_no_other(store: SqliteStore) -> None:
    store.log([row(0), ActivityRow(2**70, "leg"), row(1)])
    await store.flush()
    assert [entry.ts_ms for entry in await listed(store)] == [1_000, 1_001]
    assert store.stats().journal_lost_count == 1
    assert (await store.verify_chain()).broken_seq is None


async def test_a_full_disk_keeps_the_rows_for_later(store: SqliteStore) -> None:
    await store._writer.submit("pragma", lambda d: d.connection.pragma("max_page_count", 1))
    store.log([row(index) for index in range(5_000)])
    with pytest.raises(StoreError, match="full"):
        await store.flush()
    assert store.stats().journal_pending_count > 0
    await store._writer.submit("pragma", lambda d: d.connection.pragma("max_page_count", 2**31))
    await store.flush()
    assert len(await listed(store)) == 5_000
    assert (await store.verify_chain()).broken_seq is None


async def test_a_refused_commit_does_not_break_the_chain(store: SqliteStore) -> None:
    await store._writer.submit("hook", lambda d: d.connection.set_commit_hook(lambda: True))
    store.log([row(index) for index in range(3)])
    with pytest.raises(StoreError, match="store log"):
        await store.flush()
    await store._writer.submit("hook", lambda d: d.connection.set_commit_hook(None))
    store.log([row(3)])
    await store.flush()
    assert [entry.ts_ms for entry in await listed(store)] == [1_000, 1_001, 1_002, 1_003]
    assert (await store.verify_chain()).broken_seq is None


def test_reading_never_makes_a_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such file"):
        ActivityReader(f"sqlite:///{tmp_path / 'none.db'}")
    assert list(tmp_path.iterdir()) == []
