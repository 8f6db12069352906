"""A file is brought up to date, or refused as it is."""

import sqlite3
from pathlib import Path

import apsw
import pytest

from slipstream.errors import StoreError
from slipstream.store.migrate import migrate, shipped_steps
from slipstream.store.sqlite import SqliteStore, database_path, open_store
from unit.store.store_rows import LEADER, cohort


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


async def test_postgresql_is_not_supported_yet() -> None:
    with pytest.raises(StoreError, match="not supported yet") as caught:
        await open_store("postgresql://user:secret@host/name")
    assert "secret" not in str(caught.value)


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
