"""PostgreSQL goes away and comes back: what was asked meanwhile fails at once, nothing is written
twice, and the store goes on by itself."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from postgres_parts import PostgresServer, running_postgres
from slipstream.domain.cohort import ActivityRow
from slipstream.errors import LedgerTakenError, StoreError
from slipstream.store.base import ActivityFilter, CommitResult
from slipstream.store.database import Database
from slipstream.store.postgres import PostgresStore
from slipstream.store.postgres_database import PostgresDatabase
from slipstream.store.postgres_schema import migrate, shipped_steps
from slipstream.store.postgres_url import parse_postgres_url
from slipstream.store.reader import ActivityReader
from unit.store.store_rows import LEADER, cohort, fill, result


@pytest_asyncio.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    opened = await PostgresStore.open(postgres_url)
    yield opened
    await opened.close()


async def until_it_works(store: PostgresStore) -> int:
    """Ask until an answer comes; return how often it was refused as unavailable."""
    for refused in range(10_000):
        try:
            await store.controls()
        except StoreError as error:
            if not error.is_unavailable:
                raise
            await asyncio.sleep(0.005)
        else:
            return refused
    raise AssertionError("the database never came back")


async def test_a_cut_session_is_one_error_and_then_all_goes_on(
    store: PostgresStore, postgres_server: PostgresServer, postgres_url: str
) -> None:
    await store.commit(cohort(1, followers=80))
    cut = store._writer.submit("cut", lambda _database: postgres_server.cut(postgres_url))
    store.log([ActivityRow(1, "leg")])
    with pytest.raises(StoreError) as caught:
        await store.commit(cohort(2))
    assert caught.value.is_unavailable
    assert await cut == 1
    await until_it_works(store)
    assert await store.intent_seen([fill(2).id.key]) == {}
    assert (await store.commit(cohort(2))).is_clean
    assert len(await store.open_legs(LEADER)) == 83
    await store.flush()
    assert (await store.verify_chain()).row_count == 1
    with pytest.raises(StoreError, match="another process is writing"):
        await PostgresStore.open(postgres_url)


async def test_a_stopped_server_refuses_at_once_and_is_found_again() -> None:
    with running_postgres() as server:
        url = server.make_database()
        store = await PostgresStore.open(url)
        await store.commit(cohort(1))
        await asyncio.to_thread(server.stop)
        for trade in (2, 3):
            with pytest.raises(StoreError) as caught:
                await store.commit(cohort(trade))
            assert caught.value.is_unavailable
        store.log([ActivityRow(each, "leg") for each in range(300)])
        with pytest.raises(StoreError) as caught:
            await store.flush()
        assert caught.value.is_unavailable
        assert store.stats().journal_pending_count == 300
        await asyncio.to_thread(server.start)
        await until_it_works(store)
        assert (await store.commit(cohort(2))).is_clean
        await store.flush()
        assert (await store.verify_chain()).row_count == 300
        await asyncio.to_thread(server.stop)
        store.log([ActivityRow(1, "leg")])
        with pytest.raises(StoreError) as caught:
            await store.close()
        assert caught.value.is_unavailable
        assert store.stats().journal_lost_count == 1


def before_the_answer(store: PostgresStore, cut: Callable[[], object]) -> None:
    """Carry out the next commit on the server and lose the connection before its answer."""
    database: Any = store._writer._database
    run = database.run

    def run_and_cut(statement: str, bindings: tuple[object, ...] = ()) -> int:
        count: int = run(statement, bindings)
        if statement == "COMMIT":
            database.run = run
            cut()
            return int(run("SELECT 1"))  # fails as the answer would have
        return count

    database.run = run_and_cut


async def test_a_commit_whose_answer_is_lost_is_asked_about(
    store: PostgresStore, postgres_server: PostgresServer, postgres_url: str
) -> None:
    await store.commit(cohort(1))
    before_the_answer(store, lambda: postgres_server.cut(postgres_url))
    assert await store.commit(cohort(2, followers=80)) == CommitResult()
    assert len(await store.open_legs(LEADER)) == 83
    assert (await store.commit(cohort(2))).duplicates == (fill(2).id.key,)


async def test_lines_of_the_log_are_not_written_twice_when_the_answer_stays_lost(
    store: PostgresStore, postgres_server: PostgresServer, postgres_url: str
) -> None:
    await store.commit(cohort(1))
    database: Any = store._writer._database
    database._is_committed_after_all = lambda _fault: False  # nobody could be asked
    before_the_answer(store, lambda: postgres_server.cut(postgres_url))
    store.log([ActivityRow(each, "leg") for each in range(3)])
    with pytest.raises(StoreError):
        await store.flush()
    await until_it_works(store)
    store.log([ActivityRow(3, "leg")])
    await store.flush()
    entries = [entry.ts_ms async for entry in store.activity(ActivityFilter())]
    assert entries == [0, 1, 2, 3]
    assert (await store.verify_chain()).broken_seq is None


async def test_a_transaction_cut_before_its_commit_left_nothing(
    store: PostgresStore, postgres_server: PostgresServer, postgres_url: str
) -> None:
    await store.commit(cohort(1))

    def write_and_cut(database: Database) -> None:
        database.run("INSERT INTO control (ts_ms, action, is_all) VALUES (1, 'pause', 0)")
        postgres_server.cut(postgres_url)

    with pytest.raises(StoreError) as caught:
        await store._writer.submit("cut", write_and_cut, is_transaction=True)
    assert caught.value.is_unavailable
    await until_it_works(store)
    assert await store.controls() == []
    assert await store.record([result(cohort(1).legs[0])]) == await store.record([])


async def test_who_finds_that_another_process_wrote_does_not_go_on(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    mine = PostgresDatabase.open(parse_postgres_url(postgres_url))
    await asyncio.to_thread(postgres_server.cut, postgres_url)
    with pytest.raises(StoreError):
        mine.run("SELECT 1")
    assert mine.is_lost
    other = PostgresDatabase.open(parse_postgres_url(postgres_url))
    for _ in range(2):
        with pytest.raises(LedgerTakenError, match="another process has written it since"):
            mine.reopen()
        other.close()


async def test_a_server_that_answers_no_more_is_lost(store: PostgresStore) -> None:
    def wait(database: Database) -> None:
        session: Any = database
        session._connection.answer_timeout_s = 0.05
        database.run("SELECT pg_sleep(30)")

    with pytest.raises(StoreError, match="no answer within") as caught:
        await store._writer.submit("wait", wait, is_transaction=True)
    assert caught.value.is_unavailable
    await until_it_works(store)
    assert (await store.commit(cohort(1))).is_clean


async def test_a_statement_that_takes_too_long_is_unavailable(store: PostgresStore) -> None:
    def wait(database: Database) -> None:
        database.run("SET LOCAL statement_timeout = 50")
        database.run("SELECT pg_sleep(30)")

    with pytest.raises(StoreError, match="statement timeout") as caught:
        await store._writer.submit("wait", wait, is_transaction=True)
    assert caught.value.is_unavailable
    assert (await store.commit(cohort(1))).is_clean


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter2@h/d",
        "postgresql://h/d?password=hunter2",
        "postgresql://h/d?sslpassword=hunter2",
        "postgresql://u:hunter2@h/d?nonsense=%zz",
    ],
)
async def test_a_password_in_a_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(StoreError) as writing:
        await PostgresStore.open(url)
    with pytest.raises(StoreError) as reading:
        ActivityReader(url)
    for error in (writing.value, reading.value):
        assert "hunter2" not in f"{error!r} {error.__cause__!r} {error.__context__!r}"


async def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"database d at {tmp_path}") as caught:
        await PostgresStore.open(f"postgresql://u@/d?host={tmp_path}")
    assert caught.value.is_unavailable


async def test_a_populated_database_moves_forward_or_stays_as_it_was(postgres_url: str) -> None:
    store = await PostgresStore.open(postgres_url)
    await store.commit(cohort(1, followers=4))
    await store.close()
    step = "ALTER TABLE slipstream.leg ADD COLUMN extra BIGINT NOT NULL DEFAULT 7"
    with psycopg.connect(postgres_url, autocommit=True, cursor_factory=psycopg.RawCursor) as link:
        with pytest.raises(psycopg.Error):
            migrate(link, (*shipped_steps(), f"{step}; {step}"))
        found = link.execute("SELECT version FROM slipstream.about").fetchone()
        assert found == (len(shipped_steps()),)
        assert migrate(link, (*shipped_steps(), step)) == len(shipped_steps()) + 1
        found = link.execute("SELECT count(*), sum(extra) FROM slipstream.leg").fetchone()
        assert found == (4, 28)
    with pytest.raises(StoreError, match="newer Slipstream"):
        await PostgresStore.open(postgres_url)


async def test_a_schema_of_another_program_is_refused(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    postgres_server.run("CREATE SCHEMA slipstream", postgres_url)
    with pytest.raises(StoreError, match="another program"):
        await PostgresStore.open(postgres_url)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE slipstream.activity SET reason = 'x' WHERE seq = 2",
        "DELETE FROM slipstream.activity WHERE seq = 2",
        "TRUNCATE slipstream.activity",
    ],
)
async def test_the_log_is_append_only_and_shows_when_it_was_touched(
    store: PostgresStore, postgres_server: PostgresServer, postgres_url: str, statement: str
) -> None:
    store.log([ActivityRow(each, "leg") for each in range(3)])
    await store.flush()
    with pytest.raises(psycopg.Error, match="append-only"):
        postgres_server.run(statement, postgres_url)
    if statement.startswith("TRUNCATE"):
        return
    postgres_server.run(
        f"ALTER TABLE slipstream.activity DISABLE TRIGGER USER; {statement}", postgres_url
    )
    with ActivityReader(postgres_url) as reader:
        assert reader.verify_chain().broken_seq == 2


async def test_the_log_is_read_beside_the_writer_and_never_written(
    store: PostgresStore, postgres_url: str
) -> None:
    store.log([ActivityRow(each, "leg") for each in range(3)])
    await store.flush()
    with ActivityReader(postgres_url) as reader:
        assert [entry.ts_ms for entry in reader.activity(ActivityFilter(limit=2))] == [1, 2]
        assert reader.verify_chain().row_count == 3
    database = PostgresDatabase.open_read_only(parse_postgres_url(postgres_url))
    with pytest.raises(StoreError, match="read-only"):
        database.run("INSERT INTO control (ts_ms, action, is_all) VALUES (1, 'pause', 0)")
    database.close()


async def test_reading_where_nothing_was_recorded_makes_nothing(postgres_url: str) -> None:
    for _ in range(2):
        with pytest.raises(StoreError, match="nothing was ever recorded"):
            ActivityReader(postgres_url)
