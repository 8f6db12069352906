"""A file is brought up to date, or refused as it is."""

import sqlite3
from pathlib import Path

import apsw
import msgspec
import pytest

from slipstream.domain.cohort import ActivityRow, CohortCommit
from slipstream.errors import StoreError
from slipstream.store.journal import JournalWriter
from slipstream.store.migrate import migrate, shipped_steps
from slipstream.store.sqlite import SqliteStore, database_path
from slipstream.store.sqlite_database import SqliteDatabase
from unit.store.store_rows import LEADER, cohort, fill, intent

VERSION_1_WIDTH = 18


def content(path: Path) -> bytes:
    return path.read_bytes()


def fill_with(path: Path, bytes_: bytes) -> None:
    path.write_bytes(bytes_)


async def refusal(path: Path) -> str:
    before = content(path)
    with pytest.raises(StoreError) as caught:
        await SqliteStore.open(f"sqlite:///{path}")
    assert content(path) == before
    return str(caught.value)


async def open_and_read(url: str) -> None:
    store = await SqliteStore.open(url)
    try:
        await store.open_legs(LEADER)
    finally:
        await store.close()


async def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    fill_with(path, b"certainly not a database" * 100)
    assert "not a database" in await refusal(path)


async def test_the_database_of_another_program_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as theirs:
        theirs.execute("CREATE TABLE bookmarks (url)")
    theirs.close()
    assert "belongs to another program" in await refusal(path)


async def test_a_newer_database_is_refused(url: str, path: Path) -> None:
    await (await SqliteStore.open(url)).close()
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()
    assert "newer Slipstream" in await refusal(path)


async def test_a_damaged_database_is_an_error(url: str, path: Path) -> None:
    store = await SqliteStore.open(url)
    await store.commit(cohort(1, followers=500))
    await store.close()
    whole = content(path)
    fill_with(path, whole[:4_096] + b"\xff" * (len(whole) - 4_096))
    with pytest.raises(StoreError):
        await open_and_read(url)


async def test_a_directory_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        await SqliteStore.open(f"sqlite:///{tmp_path}/none/ledger.db")


@pytest.mark.parametrize("url", ["", "ledger.db", "sqlite:///", "mysql://h/d", "sqlite://x"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(StoreError, match="expected sqlite:///FILE"):
        database_path(url)


async def test_a_populated_database_moves_forward_and_keeps_its_rows(url: str, path: Path) -> None:
    store = await SqliteStore.open(url)
    await store.commit(cohort(1, followers=4))
    await store.close()
    connection = apsw.Connection(str(path))
    steps = (*shipped_steps(), "ALTER TABLE leg ADD COLUMN extra INTEGER NOT NULL DEFAULT 7")
    assert migrate(connection, steps) == len(steps)
    assert migrate(connection, steps) == len(steps)
    assert connection.execute("SELECT count(*), sum(extra) FROM leg").fetchone() == (4, 28)
    connection.close()


def version_1(path: Path) -> None:
    """Write a file as version 1 left it: a row in every table, one cohort still staged."""
    connection = apsw.Connection(str(path))
    migrate(connection, shipped_steps()[:1])
    name = intent(1).id
    old_legs = [tuple(row)[:VERSION_1_WIDTH] for row in cohort(2, followers=64).legs]
    claimed = ("f0000", 0, 0, "claimed", "BTCUSDT", 0, 5, None, None, None)
    claimed += ("s1", b"h", 1, 5, 10, 0)
    for table, values in (
        ("intent (intent_id, leader_id, venue, venue_ts_ms)", (name, LEADER, "aster", 1)),
        ("fill", (fill(1).id.key, name)),
        ("cursor", (LEADER, "BTCUSDT", "7")),
        ("lane", (LEADER, "BTCUSDT", "f0000", name, "lane-1")),
        ("leg", (name, *claimed, *(None,) * 4)),
        (
            "staged_cohort (intent_id, leader_id, legs)",
            (intent(2).id, LEADER, msgspec.msgpack.encode(old_legs)),
        ),
        ("intent (intent_id, leader_id, venue, venue_ts_ms)", (intent(2).id, LEADER, "aster", 2)),
        ("control (ts_ms, action, is_all)", (1, "pause", 1)),
    ):
        places = ",".join("?" * len(values))
        connection.execute(f"INSERT INTO {table} VALUES ({places})", values)  # noqa: S608
    with connection:
        JournalWriter(SqliteDatabase(connection)).append([ActivityRow(1, "session")])
    assert connection.pragma("user_version") == 1
    connection.close()


async def test_a_populated_file_of_version_1_is_read_and_written_by_this_version(
    url: str, path: Path
) -> None:
    version_1(path)
    store = await SqliteStore.open(url)
    try:
        claims = await store.open_legs(LEADER)
        assert [leg.follower_id for leg in claims if leg.intent_id == intent(1).id] == ["f0000"]
        assert len(claims) == 1 + 64
        assert len(await store.lanes(LEADER)) == 64
        assert await store.cursor(LEADER, "BTCUSDT") == "7"
        assert list(await store.intent_seen([fill(1).id.key])) == [fill(1).id.key]
        assert [row.action for row in await store.controls()] == ["pause"]
        assert (await store.verify_chain()).row_count == 1
        assert [name for _, name in (await store.history(LEADER, fill_count_max=9)).newest]
        unsettled = await store.unsettled(LEADER)
        assert [(row.intent_id, row.sequence) for row in unsettled.intents] == [
            (intent(1).id, 1),
            (intent(2).id, 2),
        ]
        again = cohort(2, followers=64).legs
        assert len((await store.commit(CohortCommit(LEADER, None, again))).already) == 64
        assert (await store.commit(cohort(3, followers=64))).is_clean
        assert len(await store.open_legs(LEADER)) == 1 + 128
    finally:
        await store.close()
    connection = apsw.Connection(str(path))
    assert connection.pragma("user_version") == len(shipped_steps())
    found = connection.execute(
        "SELECT count(*), count(reference), min(reference_sequence) FROM leg"
    ).fetchone()
    connection.close()
    assert found == (1 + 128, 64, 71)


def test_a_step_that_fails_leaves_the_file_as_it_was(path: Path) -> None:
    connection = apsw.Connection(str(path))
    migrate(connection)
    bad = "CREATE TABLE half (x); CREATE TABLE half (x)"
    with pytest.raises(apsw.Error):
        migrate(connection, (*shipped_steps(), bad))
    assert connection.pragma("user_version") == len(shipped_steps())
    found = connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'half'")
    assert found.fetchone() == (0,)
    connection.close()
