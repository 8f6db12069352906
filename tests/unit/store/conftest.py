"""A store on a fresh file, closed whatever happens."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from slipstream.store.sqlite import SqliteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest_asyncio.fixture
async def store(url: str) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(url)
    yield opened
    await opened.close()
