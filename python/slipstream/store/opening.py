"""Choose the store a database URL names."""

from slipstream.errors import StoreError
from slipstream.store.base import Store
from slipstream.store.sqlite import SqliteStore


async def open_store(url: str) -> Store:
    """Open or create the database of a URL.

    Raises:
        StoreError: unsupported scheme, or the database cannot be used.
    """
    if url.startswith(("postgres://", "postgresql://")):
        raise StoreError("PostgreSQL is not supported yet: use sqlite:///FILE")
    return await SqliteStore.open(url)
