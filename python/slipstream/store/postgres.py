"""The store on PostgreSQL: one database, one process that writes it, one session in one thread."""

import time
from collections.abc import Callable
from typing import Self

from slipstream.store.postgres_database import PostgresDatabase
from slipstream.store.postgres_url import parse_postgres_url
from slipstream.store.writer import Writer
from slipstream.store.writer_store import WriterStore


class PostgresStore(WriterStore):
    """``Store`` on one PostgreSQL database."""

    @classmethod
    async def open(cls, url: str, *, clock_ns: Callable[[], int] = time.perf_counter_ns) -> Self:
        """Connect to a database that exists; its schema is made or brought up to date.

        Raises:
            StoreError: not a URL of PostgreSQL's, a password in it, not reached, too new or in use.
        """
        wanted = parse_postgres_url(url)
        writer = Writer(lambda: PostgresDatabase.open(wanted), clock_ns=clock_ns)
        await writer.opened
        return cls(writer)
