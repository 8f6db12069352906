"""The databases that a contract of the store is held to."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from slipstream.store import open_store
from slipstream.store.base import Store


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest_asyncio.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    """Open a store on an empty database, closed whatever happens."""
    opened = await open_store(store_url)
    yield opened
    await opened.close()
