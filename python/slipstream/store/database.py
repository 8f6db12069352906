"""One connection as the writer thread sees it, whichever database it leads to.

The ledger's and the log's statements are written once, in the words that SQLite and PostgreSQL
share: ``?`` for a binding, ``{rows}`` for a relation made of rows that are handed over. What they
spell differently is the business of the two implementations, and so is what their libraries
raise: nothing but ``StoreError`` leaves them. No instance ever leaves the writer thread.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol, get_args, get_type_hints

from slipstream.errors import StoreError

Row = tuple[Any, ...]

_KINDS: dict[Any, str] = {int: "bigint", str: "text", bytes: "bytea"}


class DatabaseFault(StoreError):
    """What a database's library said. ``is_value``: a value is at fault that no column holds."""

    def __init__(
        self, message: str, *, is_unavailable: bool = False, is_value: bool = False
    ) -> None:
        """Keep what is to be concluded beside the words."""
        super().__init__(message, is_unavailable=is_unavailable)
        self.is_value = is_value


class Database(Protocol):
    """A connection and its transaction. ``StoreError`` from every method."""

    @property
    def is_lost(self) -> bool:
        """Whether the connection is gone: nothing works before ``reopen``."""

    @property
    def is_tidy_wanted(self) -> bool:
        """Whether ``tidy`` has something to do once there is a pause."""

    def begin(self) -> None:
        """Open a transaction that may write."""

    def commit(self) -> None:
        """Make the open transaction durable.

        Raises:
            StoreError: it is not; or, lost on the way and not to be asked about in time, nobody
                knows. Whoever repeats it finds what is there by its keys.
        """

    def rollback(self) -> None:
        """Undo the open transaction; does nothing when there is none."""

    def run(self, statement: str, bindings: Sequence[Any] = ()) -> int:
        """Run a statement; return the rows it changed."""

    def fetch(self, statement: str, bindings: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of a query."""

    def run_rows(self, statement: str, kinds: Sequence[str], rows: Sequence[Row]) -> int:
        """Run a statement over rows that stand for its ``{rows}``; return the rows it changed.

        ``kinds`` are the columns' types, see ``kinds_of``. Without rows nothing is run.
        """

    def fetch_rows(self, statement: str, kinds: Sequence[str], rows: Sequence[Row]) -> list[Row]:
        """Return what a query finds for the rows that stand for its ``{rows}``."""

    def tidy(self, *, is_idle: bool) -> None:
        """Do what no transaction should pay for; when work waits only what has become urgent."""

    def reopen(self) -> None:
        """Connect again after a loss.

        Raises:
            StoreError: not now.
        """

    def close(self) -> None:
        """Close the connection; safe to repeat."""


@cache
def kinds_of(row_type: type) -> tuple[str, ...]:
    """Return the kinds of a row's columns, from the types of a named tuple."""
    return tuple(_kind(hint) for hint in get_type_hints(row_type).values())


def _kind(hint: Any) -> str:  # noqa: ANN401 - a type, a union or a NewType
    for each in get_args(hint):
        if each is not type(None):
            return _kind(each)
    return _KINDS[getattr(hint, "__supertype__", hint)]
