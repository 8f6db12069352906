"""The URL of a PostgreSQL database, which never carries a secret.

``postgresql://user@host:port/name?sslmode=...`` as libpq reads it. Passwords come from where libpq
looks by itself (``~/.pgpass``, or the file that ``passfile=`` names), or are not needed (a Unix
socket with peer authentication, a client certificate).
"""

from dataclasses import dataclass
from typing import Any, Final

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from slipstream.errors import StoreError

SCHEMES: Final = ("postgresql://", "postgres://")
_SECRETS: Final = ("password", "sslpassword")
_OURS: Final = ("options", "application_name", "client_encoding")


@dataclass(frozen=True, slots=True)
class PostgresUrl:
    """``parameters`` as libpq names them; ``name`` is what messages call the database."""

    parameters: dict[str, Any]
    name: str


def parse_postgres_url(url: str) -> PostgresUrl:
    """Return what a URL says.

    Raises:
        StoreError: not a URL of PostgreSQL's, a secret in it, or a setting that is the store's.
    """
    if not url.startswith(SCHEMES):
        raise StoreError(f"database URL: expected {SCHEMES[0]}HOST/NAME")
    try:
        found = conninfo_to_dict(url)
    except ProgrammingError as error:
        # libpq quotes what it could not read, which may be a password.
        raise StoreError(
            f"database URL: expected {SCHEMES[0]}USER@HOST:PORT/NAME, found what cannot be read"
        ) from error.with_traceback(None)
    for name in _SECRETS:
        if found.get(name):
            raise StoreError(
                f"database URL: a {name} does not belong in it: use ~/.pgpass, passfile=FILE, or "
                "a Unix socket with peer authentication"
            )
    for name in _OURS:
        if name in found:
            raise StoreError(f"database URL: {name} is set by the store itself")
    kept = {key: value for key, value in found.items() if key not in _SECRETS}
    host = kept.get("host") or kept.get("hostaddr") or "local"
    return PostgresUrl(kept, f"{kept.get('dbname') or 'of the user'} at {host}")
