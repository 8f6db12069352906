"""A database for one drill, made before it and dropped after it."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from slipstream.errors import StoreError


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
