"""The durable side: order ledger, activity log and the operator's orders, behind one port."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slipstream.store.base import Store


async def open_store(url: str) -> "Store":
    """Open or create the database of a URL: ``sqlite:///FILE``.

    Raises:
        StoreError: unsupported scheme, or the database cannot be used.
    """
    # Imported here: a command that needs no database loads no driver.
    from slipstream.store.sqlite import SqliteStore  # noqa: PLC0415

    return await SqliteStore.open(url)
