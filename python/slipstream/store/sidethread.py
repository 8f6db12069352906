"""The thread that writes the side log: a disk that is slow must not hold up the event loop."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, Self, TypeVar

from slipstream.store.sidefile import SIDE_FILE_SIZE, SideFile

_T = TypeVar("_T")


class Side(Protocol):
    """A side log as its store uses it. Futures end with ``StoreError`` when it refuses."""

    @property
    def free_size(self) -> int:
        """Bytes that records may still take."""

    def take_left_over(self) -> list[tuple[int, bytes]]:
        """Return (sequence, text) of what an earlier process left, once."""

    def append(self, texts: Sequence[bytes]) -> asyncio.Future[int]:
        """Make records durable together; return the sequence of the first."""

    def mark_done(self, sequence: int) -> asyncio.Future[None]:
        """Note durably that records up to and including one are replayed."""

    def reset(self) -> asyncio.Future[None]:
        """Begin anew: everything is replayed."""

    async def close(self) -> None:
        """Finish what was asked and let go; safe to repeat."""


class SideThread:
    """``Side`` on a file, in the order of the calls."""

    def __init__(self, file: SideFile, executor: ThreadPoolExecutor) -> None:
        """Use ``open``."""
        self._file = file
        self._executor = executor

    @classmethod
    async def open(cls, path: Path, *, size: int = SIDE_FILE_SIZE) -> Self:
        """Open or make a side log.

        Raises:
            StoreError: as ``SideFile.open``.
        """
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="slipstream-side")
        loop = asyncio.get_running_loop()
        try:
            file = await loop.run_in_executor(executor, lambda: SideFile.open(path, size=size))
        except BaseException:
            executor.shutdown(wait=False)
            raise
        return cls(file, executor)

    @property
    def free_size(self) -> int:
        """Bytes that records may still take."""
        return self._file.free_size

    def take_left_over(self) -> list[tuple[int, bytes]]:
        """Return what an earlier process left, once."""
        left_over, self._file.left_over = self._file.left_over, []
        return left_over

    def append(self, texts: Sequence[bytes]) -> asyncio.Future[int]:
        """Make records durable together."""
        return self._run(lambda: self._file.append(texts))

    def mark_done(self, sequence: int) -> asyncio.Future[None]:
        """Note what is replayed."""
        return self._run(lambda: self._file.mark_done(sequence))

    def reset(self) -> asyncio.Future[None]:
        """Begin anew."""
        return self._run(self._file.reset)

    async def close(self) -> None:
        """Finish what was asked, close the file, end the thread."""
        await self._run(self._file.close)
        self._executor.shutdown()

    def _run(self, work: Callable[[], _T]) -> asyncio.Future[_T]:
        return asyncio.get_running_loop().run_in_executor(self._executor, work)
