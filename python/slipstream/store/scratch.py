"""A database for one drill, made before it and dropped after it."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from slipstream.errors import StoreError

HOLD_WAIT_MS: Final = 2_000


@asynccontextmanager
async def scratch_database(server: str | None, directory: Path) -> AsyncIterator[str]:
    """Yield the URL of an empty database: a file in ``directory``, or a new one of a server.

    ``server`` is a ``postgresql://`` URL of a role that may create databases; the database it
    names is only connected to.

    Raises:
        StoreError: the server does not make or drop one.
    """
    if server is None:
        yield f"sqlite:///{directory}/drill.db"
        return
    name = f"slipstream_drill_{secrets.token_hex(6)}"
    await asyncio.to_thread(_execute, server, f'CREATE DATABASE "{name}"')
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        await asyncio.to_thread(_execute, server, f'DROP DATABASE "{name}" WITH (FORCE)')


def _execute(server: str, statement: str) -> None:
    """Carry out one statement outside a transaction; the name in it is made here."""
    # Imported here: a drill on SQLite needs no driver.
    import psycopg  # noqa: PLC0415

    try:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(statement.encode())
    except psycopg.Error as error:
        what = " ".join(statement.split()[:2]).lower()
        raise StoreError(f"{what}: {error}") from error


@asynccontextmanager
async def writes_held(url: str) -> AsyncIterator[None]:
    """Let nobody write to a drill's database as long as the block lasts.

    Raises:
        StoreError: the database does not take the lock.
    """
    is_file = url.startswith("sqlite:///")
    holding = await asyncio.to_thread(_hold_file if is_file else _hold_tables, url)
    try:
        yield
    finally:
        await asyncio.to_thread(holding)


def _hold_file(url: str) -> Callable[[], None]:
    """Hold the write lock of a SQLite file; return what lets it go."""
    import apsw  # noqa: PLC0415 - as below: a driver is loaded where it is used

    try:
        connection = apsw.Connection(url.removeprefix("sqlite:///"))
        connection.set_busy_timeout(HOLD_WAIT_MS)
        connection.execute("BEGIN IMMEDIATE")
    except apsw.Error as error:
        raise StoreError(f"hold a drill's database: {error}") from error
    return connection.close


def _hold_tables(url: str) -> Callable[[], None]:
    """Hold the intents of a PostgreSQL database against writing; return what lets them go."""
    import psycopg  # noqa: PLC0415

    try:
        connection = psycopg.connect(url)
        connection.execute("LOCK TABLE slipstream.intent, slipstream.activity IN EXCLUSIVE MODE")
    except psycopg.Error as error:
        raise StoreError(f"hold a drill's database: {error}") from error
    return connection.close
