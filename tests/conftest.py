"""What all tests share: two event loops, and property tests that do not watch the wall clock."""

import asyncio
from collections.abc import Callable, Iterator, Mapping

import hypothesis
import pytest
import uvloop

from postgres_parts import PostgresServer, running_postgres

hypothesis.settings.register_profile("slipstream", deadline=None, print_blob=True)
hypothesis.settings.load_profile("slipstream")


def _debugging_loop() -> asyncio.AbstractEventLoop:
    """Return the standard loop, which in debug mode refuses calls from a wrong thread."""
    loop = asyncio.new_event_loop()
    loop.set_debug(True)
    return loop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every async test on both loops that the product may run on."""
    del config, item
    return {"asyncio": _debugging_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Run one PostgreSQL server for all tests that ask for it."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """Return the URL of an empty database."""
    return postgres_server.emptied_database()
