"""A database that refuses, hangs or is slow, in front of one that works."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from slipstream.domain.cohort import CohortCommit, LegResult
from slipstream.errors import LedgerTakenError, StoreError
from slipstream.store.base import CommitResult, ControlRow, Line, RecordResult, Store


class FaultyStore:
    """Stands in front of a store. ``mode``: ok, refuse, taken, hang, slow; reads always work.

    What is asked while it hangs is done, in order, when ``release`` is called; with
    ``is_taking=False`` it is answered by a refusal instead.
    """

    def __init__(self, inner: Store, *, slow_s: float = 0.0) -> None:
        """Work, until told otherwise."""
        self.inner = inner
        self.mode = "ok"
        self.slow_s = slow_s
        self.asked: list[object] = []
        self._held: list[Callable[..., None]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the store has
        """Hand over what never fails here."""
        return getattr(self.inner, name)

    def as_store(self) -> Store:
        """Return this as what it stands for."""
        return cast("Store", self)

    def commit(
        self, commit: CohortCommit, *, line: Line | None = None
    ) -> asyncio.Future[CommitResult]:
        """Commit, or what the mode says."""
        self.asked.append(commit)
        return self._fault(lambda: self.inner.commit(commit, line=line))

    def record(
        self, results: Sequence[LegResult], *, line: Line | None = None
    ) -> asyncio.Future[RecordResult]:
        """Record, or what the mode says."""
        self.asked.append(tuple(results))
        return self._fault(lambda: self.inner.record(results, line=line))

    async def save_control(self, row: ControlRow) -> None:
        """Save, or what the mode says."""
        self.asked.append(row)
        await self._fault(lambda: asyncio.ensure_future(self.inner.save_control(row)))

    async def flush(self) -> None:
        """Flush, or what the mode says."""
        await self._fault(lambda: asyncio.ensure_future(self.inner.flush()))

    def _fault(self, work: Callable[[], asyncio.Future[Any]]) -> asyncio.Future[Any]:
        if self.mode == "ok":
            return work()
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.mode == "refuse":
            future.set_exception(StoreError("disk full", is_unavailable=True))
            return future
        if self.mode == "taken":
            future.set_exception(LedgerTakenError("somebody else writes it"))
            return future

        def go_on(*, is_taking: bool) -> None:
            task = asyncio.ensure_future(_follow(work, future, is_taking=is_taking))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        if self.mode == "slow":
            asyncio.get_running_loop().call_later(self.slow_s, partial(go_on, is_taking=True))
        else:
            self._held.append(go_on)
        return future

    def release(self, *, is_taking: bool) -> None:
        """Answer everything that hangs, and work again."""
        self.mode = "ok"
        held, self._held = self._held, []
        for go_on in held:
            go_on(is_taking=is_taking)


async def _follow(
    work: Callable[[], asyncio.Future[Any]], future: asyncio.Future[Any], *, is_taking: bool
) -> None:
    try:
        result = await work() if is_taking else None
    except StoreError as error:
        if not future.done():
            future.set_exception(error)
        return
    if future.done():
        return
    if is_taking:
        future.set_result(result)
    else:
        future.set_exception(StoreError("the connection was lost", is_unavailable=True))
