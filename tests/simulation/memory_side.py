"""The side log in memory: the records a file would hold, durable after a virtual delay."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from slipstream.errors import StoreError

if TYPE_CHECKING:
    from simulation.virtual_loop import VirtualLoop

SYNC_NS: Final = 300_000
SIZE: Final = 16 * 1024 * 1024
_T = TypeVar("_T")


@dataclass(slots=True)
class SideDisk:
    """What is durable: survives the engine, as a file survives a process."""

    records: list[tuple[int, bytes]] = field(default_factory=list)
    following: int = 1
    done: int = 1
    append_count: int = 0
    """How many appends there ever were."""


class Owner(Protocol):
    """The store beside which a side log stands: one process has both."""

    is_dead: bool
    refusal: str | None


class MemorySide:
    """``Side`` on a disk in memory, in the order of the calls."""

    def __init__(self, loop: "VirtualLoop", disk: SideDisk, owner: Owner) -> None:
        """Read what was left. ``owner``: with its process, this ends."""
        self._loop = loop
        self._disk = disk
        self._owner = owner
        self._left_over = [each for each in disk.records if each[0] >= disk.done]

    @property
    def free_size(self) -> int:
        """Bytes that records may still take."""
        return SIZE - sum(len(text) for _, text in self._disk.records)

    def take_left_over(self) -> list[tuple[int, bytes]]:
        """Return what an earlier process left, once."""
        left_over, self._left_over = self._left_over, []
        return left_over

    def append(self, texts: Sequence[bytes]) -> asyncio.Future[int]:
        """Make records durable together."""
        return self._later(lambda: self._append(texts))

    def _append(self, texts: Sequence[bytes]) -> int:
        disk, first = self._disk, self._disk.following
        disk.records += enumerate(texts, first)
        disk.following += len(texts)
        disk.append_count += 1
        return first

    def mark_done(self, sequence: int) -> asyncio.Future[None]:
        """Note what is replayed."""

        def mark() -> None:
            self._disk.done = sequence + 1

        return self._later(mark)

    def reset(self) -> asyncio.Future[None]:
        """Begin anew."""

        def begin() -> None:
            self._disk.records.clear()
            self._disk.done = self._disk.following

        return self._later(begin)

    async def close(self) -> None:
        """There is nothing to let go of."""

    def _later(self, work: Callable[[], _T]) -> asyncio.Future[_T]:
        future: asyncio.Future[_T] = self._loop.create_future()
        self._loop.call_after_ns(SYNC_NS, self._carry_out, work, future)
        return future

    def _carry_out(self, work: Callable[[], _T], future: asyncio.Future[_T]) -> None:
        if self._owner.is_dead or future.done():
            return
        if "lease" in (self._owner.refusal or ""):
            future.set_exception(StoreError("another process writes the side log"))
            future.exception()
            return
        future.set_result(work())
