"""The side log's file: a fixed size from the start, records appended one behind another.

A full disk must not stop it, so its blocks are allocated when it is made. Two header slots are
written in turn, each with its checksum: a write that is torn leaves the other one. A record is
magic, length, sequence, CRC-32 and text; sequences never repeat, so that what an earlier filling
left behind the end is not taken for records. Only the owning process may write (lock, mode 0600).
"""

import fcntl
import logging
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self

from slipstream.errors import StoreError

SIDE_FILE_SIZE: Final = 16 * 1024 * 1024
"""Bytes. A cohort of 500 takes about 0.2 MiB, a line of the activity log about 1 KiB."""

_LOGGER: Final = logging.getLogger("slipstream.store")
_FILE_MAGIC: Final = b"SLPSIDE1"
_RECORD_MAGIC: Final = b"\xf5SLR"
_HEADER: Final = struct.Struct("<8sQQQI")
_RECORD: Final = struct.Struct("<4sIQI")
_SLOT_SIZE: Final = 512
"""A header slot fits a sector of any disk."""

_START: Final = 4096
_CRC_SIZE: Final = 4


class _Header(NamedTuple):
    """``first``: sequence of the record at the start. ``done``: sequences below are replayed."""

    generation: int
    first: int
    done: int

    def pack(self) -> bytes:
        body = _HEADER.pack(_FILE_MAGIC, *self, 0)[:-_CRC_SIZE]
        return body + zlib.crc32(body).to_bytes(_CRC_SIZE, "little")


class SideFile:
    """An open side log. Every method blocks; one thread at a time may use it."""

    def __init__(self, path: Path, descriptor: int, size: int) -> None:
        """Use ``open``."""
        self._path = path
        self._descriptor = descriptor
        self._size = size
        self._header = _Header(1, 1, 1)
        self._end = _START
        self._next = 1
        self.left_over: list[tuple[int, bytes]] = []
        """(sequence, text) of what an earlier process left unreplayed; emptied by its reader."""

    @classmethod
    def open(cls, path: Path, *, size: int = SIDE_FILE_SIZE) -> Self:
        """Open or make a side log and read what was left in it.

        Raises:
            StoreError: no place for it, in use, or damaged before its end.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"side log {path}: cannot be opened: {error.strerror}") from error
        try:
            return cls._prepare(path, descriptor, size)
        except OSError as error:
            os.close(descriptor)
            raise StoreError(f"side log {path}: {error.strerror}") from error
        except StoreError:
            os.close(descriptor)
            raise

    @classmethod
    def _prepare(cls, path: Path, descriptor: int, size: int) -> Self:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StoreError(f"side log {path}: another process is writing it") from error
        os.fchmod(descriptor, 0o600)
        found = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        size = max(size, len(found))
        os.posix_fallocate(descriptor, 0, size)
        os.fsync(descriptor)
        _sync_directory(path.parent)
        opened = cls(path, descriptor, size)
        if any(found):
            opened._read(found)
        else:
            opened._write_header(opened._header)
        return opened

    @property
    def used_size(self) -> int:
        """Bytes taken."""
        return self._end - _START

    @property
    def free_size(self) -> int:
        """Bytes that records may still take."""
        return self._size - self._end

    def append(self, texts: Sequence[bytes]) -> int:
        """Make records durable with one sync; return the sequence of the first.

        Raises:
            StoreError: full, or the disk refused; none of them counts then.
        """
        first = self._next
        frames = b"".join(_frame(first + index, text) for index, text in enumerate(texts))
        if len(frames) > self.free_size:
            raise StoreError(
                f"side log {self._path}: full: {len(frames)} bytes wanted, {self.free_size} left",
                is_unavailable=True,
            )
        try:
            self._write(frames, self._end)
            os.fdatasync(self._descriptor)
        except OSError as error:
            self._wipe(len(frames))
            raise self._refused(error) from error
        self._end += len(frames)
        self._next += len(texts)
        return first

    def mark_done(self, sequence: int) -> None:
        """Note durably that records up to and including one are replayed.

        Raises:
            StoreError: the disk refused.
        """
        self._change(self._header.first, sequence + 1)

    def reset(self) -> None:
        """Begin anew at the start of the file: everything is replayed.

        Raises:
            StoreError: the disk refused; what is there stays.
        """
        self._change(self._next, self._next)
        self._end = _START

    def close(self) -> None:
        """Let go of the file; safe to repeat."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _change(self, first: int, done: int) -> None:
        header = _Header(self._header.generation + 1, first, done)
        try:
            self._write_header(header)
        except OSError as error:
            raise self._refused(error) from error
        self._header = header

    def _write_header(self, header: _Header) -> None:
        self._write(header.pack(), header.generation % 2 * _SLOT_SIZE)
        os.fdatasync(self._descriptor)

    def _write(self, text: bytes, offset: int) -> None:
        view = memoryview(text)
        while view:
            count = os.pwrite(self._descriptor, view, offset)
            view, offset = view[count:], offset + count

    def _wipe(self, size: int) -> None:
        """Take back what may have reached the disk of an append that was refused."""
        try:
            self._write(bytes(size), self._end)
        except OSError as error:
            # The next append writes over it; a restart would replay claims that were never sent.
            _LOGGER.warning("event=sidelog_not_wiped offset=%d error=%s", self._end, error)

    def _refused(self, error: OSError) -> StoreError:
        return StoreError(f"side log {self._path}: {error.strerror}", is_unavailable=True)

    # --- what an earlier process left ---

    def _read(self, found: bytes) -> None:
        headers = [
            header
            for slot in (0, 1)
            if (header := _parse_header(found, slot * _SLOT_SIZE)) is not None
        ]
        if not headers:
            raise StoreError(f"side log {self._path}: no header at offset 0")
        self._header = max(headers)
        self._next = self._header.first
        while (text := _parse_record(found, self._end, self._next)) is not None:
            if self._next >= self._header.done:
                self.left_over.append((self._next, text))
            self._end += _RECORD.size + len(text)
            self._next += 1
        self._check_end(found)
        self._next = max(self._next, self._header.done)

    def _check_end(self, found: bytes) -> None:
        """Be sure that nothing follows: an append that was cut off has no successor."""
        if self._next < self._header.done:
            raise self._damaged()
        offset = found.find(_RECORD_MAGIC, self._end)
        while offset >= 0:
            sequence = _sequence_at(found, offset)
            if offset == self._end and sequence == self._next:
                _LOGGER.warning(
                    "event=sidelog_tail_dropped file=%s offset=%d sequence=%d",
                    self._path,
                    offset,
                    sequence,
                )
            elif sequence >= self._next and _parse_record(found, offset, sequence) is not None:
                raise self._damaged()
            offset = found.find(_RECORD_MAGIC, offset + 1)

    def _damaged(self) -> StoreError:
        return StoreError(
            f"side log {self._path}: damaged at offset {self._end}: expected record {self._next},"
            " found records behind it"
        )


def _frame(sequence: int, text: bytes) -> bytes:
    return _RECORD.pack(_RECORD_MAGIC, len(text), sequence, _checksum(sequence, text)) + text


def _checksum(sequence: int, text: bytes) -> int:
    return zlib.crc32(text, zlib.crc32(struct.pack("<QI", sequence, len(text))))


def _sequence_at(found: bytes, offset: int) -> int:
    if offset + _RECORD.size > len(found):
        return 0
    return int(_RECORD.unpack_from(found, offset)[2])


def _parse_record(found: bytes, offset: int, sequence: int) -> bytes | None:
    """Return the text of a whole record with this sequence, ``None`` when there is none."""
    start = offset + _RECORD.size
    if start > len(found):
        return None
    magic, length, number, checksum = _RECORD.unpack_from(found, offset)
    if magic != _RECORD_MAGIC or number != sequence or start + length > len(found):
        return None
    text = found[start : start + length]
    return text if _checksum(sequence, text) == checksum else None


def _parse_header(found: bytes, offset: int) -> _Header | None:
    if len(found) < offset + _HEADER.size:
        return None
    magic, generation, first, done, checksum = _HEADER.unpack_from(found, offset)
    body = found[offset : offset + _HEADER.size - _CRC_SIZE]
    is_whole = magic == _FILE_MAGIC and zlib.crc32(body) == checksum
    return _Header(generation, first, done) if is_whole else None


def _sync_directory(path: Path) -> None:
    """Make a new file's name durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
