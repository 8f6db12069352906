"""What only a file does: a full disk, its lock, its mode, and a log that shows it was touched."""

import asyncio
import hashlib
import json
import sqlite3
from pathlib import Path

import pytest

from contract.test_store_log import listed, row
from slipstream.errors import StoreError
from slipstream.store.reader import ActivityReader
from slipstream.store.sqlite import SqliteStore
from unit.store.store_rows import LEADER, cohort, fill


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_a_full_disk_is_an_error_and_passes(store: SqliteStore) -> None:
    def set_pages(count: int) -> asyncio.Future[object]:
        return store._writer.submit(
            "pragma", lambda d: d.connection.pragma("max_page_count", count)
        )

    await store.commit(cohort(1))
    await set_pages(1)  # as few as are in use
    with pytest.raises(StoreError, match="full") as caught:
        await store.commit(cohort(2, followers=2_000))
    assert caught.value.is_unavailable
    assert await store.intent_seen([fill(2).id.key]) == {}
    assert len(await store.open_legs(LEADER)) == 3
    await set_pages(2**31)
    assert (await store.commit(cohort(2, followers=2_000))).is_clean


async def test_one_process_writes_a_file(store: SqliteStore, url: str, path: Path) -> None:
    with pytest.raises(StoreError, match="another process is writing"):
        await SqliteStore.open(url)
    assert store.stats().error_count == 0
    assert mode_of(path) == 0o600


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


def test_reading_never_makes_a_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such file"):
        ActivityReader(f"sqlite:///{tmp_path / 'none.db'}")
    assert list(tmp_path.iterdir()) == []
