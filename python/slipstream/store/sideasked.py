"""What somebody asks of a store with a side log, and what is answered from there."""

import asyncio
from dataclasses import dataclass
from typing import Any

from slipstream.domain.cohort import CohortCommit, LegResult
from slipstream.store.base import CommitResult, ControlRow, Line, RecordResult


@dataclass(slots=True)
class Asked:
    """Something asked of the store. ``entry`` is ``None`` for who only waits for its turn."""

    entry: CohortCommit | tuple[LegResult, ...] | ControlRow | None
    future: asyncio.Future[Any]
    asked_ns: int
    given_ns: int = 0
    is_alone: bool = False
    is_read: bool = False
    line: Line | None = None

    @property
    def is_barred(self) -> bool:
        """Whether an earlier commit of its line was refused."""
        return self.line is not None and self.line.is_over

    def end_line(self) -> None:
        """Let nothing of its line be written any more, if it was a commit."""
        if self.line is not None and isinstance(self.entry, CohortCommit):
            self.line.is_over = True


def side_result(asked: Asked) -> CommitResult | RecordResult:
    """Return what somebody is told whose write is in the side log."""
    is_commit = isinstance(asked.entry, CohortCommit)
    return CommitResult(is_sidelogged=True) if is_commit else RecordResult()


def ends_of(asked: Asked) -> tuple[LegResult, ...]:
    """Return the ends of legs that something asked wants written: none unless it is about them."""
    entry = asked.entry
    if entry is None or isinstance(entry, CohortCommit | ControlRow):
        return ()
    return entry
