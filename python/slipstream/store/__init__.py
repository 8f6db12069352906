"""The durable side: order ledger, activity log and the operator's orders, behind one port."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slipstream.store.base import Store


async def open_store(url: str) -> "Store":
    """Open the database of a URL: ``sqlite:///FILE`` (made when missing) or ``postgresql://...``.

    Raises:
        StoreError: unsupported scheme, or the database cannot be used.
    """
    # Imported here: a command that needs no database loads no driver, and no driver but its own.
    if url.startswith(("postgresql://", "postgres://")):
        from slipstream.store.postgres import PostgresStore  # noqa: PLC0415

        return await PostgresStore.open(url)
    from slipstream.store.sqlite import SqliteStore  # noqa: PLC0415

    return await SqliteStore.open(url)
