"""Carry what the side log holds over into the database, each record once.

The newest record replayed may have reached the database without that being noted, and a commit
that the database did not answer may have been taken after all. Both are recognised: commits by
their fills and claims, ends of legs by being ends, lines and the operator's orders by standing at
the end of what is there.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from slipstream.domain.cohort import ActivityRow, CohortCommit, LegResult
from slipstream.store.base import ActivityFilter, ControlRow, Store
from slipstream.store.journal import payload_text
from slipstream.store.sidecodec import Entry, Lines

_LOGGER: Final = logging.getLogger("slipstream.store")


@dataclass(slots=True)
class Kept:
    """A record of the side log. ``is_doubtful``: an earlier process may have replayed it."""

    sequence: int
    entry: Entry
    is_doubtful: bool = False
    is_logged: bool = False
    """Its lines are in the hands of the database's writer and only their end is waited for."""


class Replayer:
    """Writes records into a database. ``alarm`` takes (kind, detail) of what does not fit."""

    def __init__(self, inner: Store, alarm: Callable[[str, str], None]) -> None:
        """Keep the partners."""
        self._inner = inner
        self._alarm = alarm

    async def replay(self, kept: Kept) -> None:
        """Write one record.

        Raises:
            StoreError: the database refuses it, now or for good.
        """
        match kept.entry:
            case CohortCommit() as commit:
                await self._commit(commit)
            case ControlRow() as row:
                if (await self._inner.controls())[-1:] != [row]:
                    await self._inner.save_control(row)
            case entry:
                ends = [each for each in entry if isinstance(each, LegResult)]
                lines = tuple(each for each in entry if isinstance(each, ActivityRow))
                if ends:
                    await self._ends(ends)
                if lines:
                    await self._lines(kept, lines)

    async def _commit(self, commit: CohortCommit) -> None:
        result = await self._inner.commit(commit)
        intent = commit.intent
        if result.duplicates and intent is not None:
            seen = await self._inner.intent_seen([fill.id.key for fill in intent.fills])
            others = sorted({each for each in seen.values() if each != intent.id})
            if others:
                self._alarm(
                    "REPLAY_CONFLICT",
                    f"fills of intent {intent.id} belong to {', '.join(others)}",
                )
            # The database took it after all, or an order went out under it: its legs count.
            result = await self._inner.commit(replace(commit, intent=None))
        for key in result.conflicts:
            self._alarm("REPLAY_CONFLICT", f"another claim of {'/'.join(map(str, key))}")

    async def _ends(self, ends: list[LegResult]) -> None:
        result = await self._inner.record(ends)
        for key in result.missing:
            self._alarm("REPLAY_MISSING", f"an end of {'/'.join(map(str, key))}")

    async def _lines(self, kept: Kept, lines: Lines) -> None:
        if not kept.is_logged:
            start = await self._known_count(lines) if kept.is_doubtful else 0
            self._inner.log(lines[start:])
            kept.is_logged = True
        await self._inner.flush()

    async def _known_count(self, lines: Lines) -> int:
        """Return how many of the lines stand at the end of the log already."""
        newest = [
            (row.ts_ms, row.kind, row.leader, row.follower, row.intent_id, row.reason, row.payload)
            async for row in self._inner.activity(ActivityFilter(limit=len(lines)))
        ]
        wanted = [_columns(line) for line in lines]
        for count in range(min(len(newest), len(wanted)), 0, -1):
            if newest[-count:] == wanted[:count]:
                _LOGGER.warning("event=lines_known count=%d", count)
                return count
        return 0


def _columns(row: ActivityRow) -> tuple[object, ...]:
    return (
        row.ts_ms,
        str(row.kind),
        row.leader,
        row.follower,
        row.intent_id,
        row.reason,
        payload_text(row.payload),
    )
