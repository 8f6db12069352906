"""What the writer thread is asked to do, who waits for it, and what a failure of it means."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from slipstream.domain.cohort import LegResult
from slipstream.errors import StoreError
from slipstream.store.base import Line
from slipstream.store.database import Database, DatabaseFault

FAILURES: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    StoreError,
    TypeError,
    ValueError,
)
"""What a job may end with: the database's refusals, and rows it cannot hold."""


@dataclass(slots=True)
class Job:
    """Something to run on the writer thread, and who waits for it."""

    name: str
    run: Callable[[Database], Any] | None
    future: asyncio.Future[Any]
    asked_ns: int
    results: Sequence[LegResult] | None = None
    is_transaction: bool = False
    line: Line | None = None

    @property
    def is_barred(self) -> bool:
        """Whether an earlier commit of its line was refused."""
        return self.line is not None and self.line.is_over

    def end_line(self) -> None:
        """Let nothing of its line be written any more, if it was a commit."""
        if self.line is not None and self.results is None:
            self.line.is_over = True


def as_store_error(name: str, error: BaseException) -> StoreError:
    """Return what a job's caller is told of a failure."""
    if isinstance(error, StoreError) and not isinstance(error, DatabaseFault):
        return error
    is_unavailable = isinstance(error, OSError) or getattr(error, "is_unavailable", False)
    words = str(error) if isinstance(error, DatabaseFault) else f"{error} ({type(error).__name__})"
    wrapped = StoreError(f"store {name}: {words}", is_unavailable=is_unavailable)
    wrapped.__cause__ = error
    return wrapped
