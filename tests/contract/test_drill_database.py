"""What a drill does to a database: nobody writes to it for a while."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from postgres_parts import PostgresServer
from slipstream.store import open_store
from slipstream.store.scratch import writes_held
from unit.store.store_rows import cohort


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/drill.db"
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        yield server.make_database()


async def test_a_commit_waits_as_long_as_writes_are_held(url: str) -> None:
    store = await open_store(url)
    try:
        async with writes_held(url):
            asked = store.commit(cohort(1))
            await asyncio.sleep(0.05)
            assert not asked.done()
        assert (await asked).is_clean
    finally:
        await store.close()
