"""The keystore: one file with all agent keys, sealed under one passphrase.

Never holds, logs or returns a plaintext key: keys are made, sealed and opened inside the core.

The file, version 1, is JSON in UTF-8; bytes are standard base64::

    {"version": 1,
     "kdf": {"name": "argon2id", "memory_kib": 65536, "passes": 3, "lanes": 4, "salt": B},
     "wrapped_master": B, "wrap_nonce": B,
     "entries": [{"id": T, "venue": T, "kind": "secp256k1", "address": T, "nonce": B,
                  "ciphertext": B, "created": T, "rotated": T or null}]}

- Argon2id (version 0x13, 32 bytes) of the passphrase wraps a random master key of 32 bytes with
  AES-256-GCM; its associated data names the format and all parameters of the derivation.
- An entry's key is HKDF-SHA256 of the master key and the entry's id, so that nonces of different
  entries never meet under one key. The entry is sealed with AES-256-GCM; its associated data is
  format version, id, venue, kind and address, so an entry cannot be altered, renamed or swapped.
- A ciphertext is 32 bytes and a tag of 16. ``created`` and ``rotated`` are UTC times such as
  ``2026-11-21T09:00:00Z``; they inform, and are the only fields without authentication.

Invariants: the file is mode 0600; it is replaced as a whole (written beside, flushed, renamed) and
only when it still is what was read; nothing unreadable is ever overwritten; ids are unique.
"""

import fcntl
import json
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NoReturn, Self

import msgspec

from slipstream._core import KeyEncryptionKey, SealedKey, SealedKeyRecord, Signer, key_fault
from slipstream.config.secret_input import wipe
from slipstream.errors import ConfigError, KeystoreError, SignerError
from slipstream.transport import clock

VERSION: Final = 1
KIND: Final = "secp256k1"
MODE: Final = 0o600
SIZE_MAX: Final = 64 * 1024 * 1024
"""Most bytes of a file that is read."""
MEMORY_KIB: Final = 64 * 1024
PASSES: Final = 3
LANES: Final = 4
SALT_LENGTH: Final = 24
"""Bytes; a multiple of three, so that its base64 has one spelling only."""

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VENUE: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class KeystoreEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One sealed key as stored. Safe to show."""

    id: str
    venue: str
    kind: str
    address: str
    nonce: bytes
    ciphertext: bytes
    created: str
    rotated: str | None


class _Derivation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    memory_kib: int
    passes: int
    lanes: int
    salt: bytes


class _Contents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    kdf: _Derivation
    wrapped_master: bytes
    wrap_nonce: bytes
    entries: tuple[KeystoreEntry, ...]


class Keystore:
    """An open keystore: adds keys and hands out signers."""

    def __init__(
        self, path: Path, contents: _Contents, written: bytes, kek: KeyEncryptionKey
    ) -> None:
        """Keep what was read; use ``create`` or ``open`` instead."""
        self._path = path
        self._contents = contents
        self._written = written
        self._kek = kek

    @classmethod
    def create(cls, path: Path, passphrase: bytearray) -> Self:
        """Make a new, empty keystore; zero ``passphrase`` in place.

        Raises:
            ConfigError: the file exists already, or cannot be written.
        """
        if path.exists():
            wipe(passphrase)
            raise ConfigError(f"{path}: expected no file here yet, found one")
        salt = secrets.token_bytes(SALT_LENGTH)
        with _named(path):
            kek, wrapped, wrap_nonce = KeyEncryptionKey.create(
                passphrase, salt=salt, memory_kib=MEMORY_KIB, passes=PASSES, lanes=LANES
            )
        kdf = _Derivation("argon2id", MEMORY_KIB, PASSES, LANES, salt)
        contents = _Contents(VERSION, kdf, wrapped, wrap_nonce, ())
        written = _encode(contents)
        _write(path, written, expected=None)
        return cls(path, contents, written, kek)

    @classmethod
    def open(cls, path: Path, passphrase: bytearray) -> Self:
        """Read and unlock a keystore; zero ``passphrase`` in place. Takes about 0.2 s.

        Raises:
            ConfigError: the file cannot be used, or the passphrase is wrong.
        """
        try:
            written = _read(path)
            contents = _decode(path, written)
            with _named(path):
                kek = KeyEncryptionKey.from_passphrase(
                    passphrase,
                    salt=contents.kdf.salt,
                    memory_kib=contents.kdf.memory_kib,
                    passes=contents.kdf.passes,
                    lanes=contents.kdf.lanes,
                    wrapped=contents.wrapped_master,
                    wrap_nonce=contents.wrap_nonce,
                )
        finally:
            wipe(passphrase)
        return cls(path, contents, written, kek)

    def entries(self) -> tuple[KeystoreEntry, ...]:
        """Return the entries in the order they were added."""
        return self._contents.entries

    def add_new(self, entry_id: str, venue: str) -> KeystoreEntry:
        """Make a fresh key inside the core, seal it and store it.

        Raises:
            ConfigError: the id is taken or malformed, or the file cannot be replaced.
        """
        return self.add_many_new([entry_id], venue)[0]

    def add_many_new(self, entry_ids: Sequence[str], venue: str) -> list[KeystoreEntry]:
        """Make a fresh key for each id and store all of them in one write.

        Raises:
            ConfigError: as in ``add_new``; nothing is stored then.
        """
        for entry_id in entry_ids:
            self._check_new(entry_id, venue)
        if len(set(entry_ids)) != len(entry_ids):
            _refuse(self._path, "expected ids that differ, found one twice")
        with _named(self._path):
            entries = [
                _entry(
                    entry_id,
                    venue,
                    self._kek.new_key(entry_id=entry_id, venue=venue, kind=KIND),
                )
                for entry_id in entry_ids
            ]
        self._add(entries)
        return entries

    def add_imported(self, entry_id: str, venue: str, secret: bytearray) -> KeystoreEntry:
        """Seal and store a key of 32 bytes; zero ``secret`` in place, also on failure.

        Raises:
            ConfigError: as in ``add_new``, or the bytes are no key.
        """
        try:
            self._check_new(entry_id, venue)
            with _named(self._path):
                record = self._kek.seal_key(secret, entry_id=entry_id, venue=venue, kind=KIND)
        finally:
            wipe(secret)
        entry = _entry(entry_id, venue, record)
        self._add([entry])
        return entry

    def signer(self, entry_id: str, purpose: str, user: str | None = None) -> Signer:
        """Open a live signer: see ``Signer.open`` for ``purpose`` and ``user``.

        Raises:
            ConfigError: no such entry, one that was changed, or one for another venue.
        """
        entry = next((entry for entry in self.entries() if entry.id == entry_id), None)
        if entry is None:
            _refuse(self._path, f"expected an entry {entry_id!r}, found none of that name")
        sealed = SealedKey(
            entry_id=entry.id,
            venue=entry.venue,
            kind=entry.kind,
            address=entry.address,
            nonce=entry.nonce,
            ciphertext=entry.ciphertext,
        )
        with _named(self._path):
            return Signer.open(sealed, self._kek, purpose, user=user)

    def _check_new(self, entry_id: str, venue: str) -> None:
        if _ID.fullmatch(entry_id) is None:
            _refuse(
                self._path,
                f"id {entry_id!r}: expected 1 to 64 letters, digits or . _ -, no sign in front",
            )
        if _VENUE.fullmatch(venue) is None:
            _refuse(self._path, f"venue {venue!r}: expected lower-case letters, digits or -")
        if any(entry.id == entry_id for entry in self.entries()):
            _refuse(self._path, f"entry {entry_id!r}: expected a new id, found it taken")

    def _add(self, added: Sequence[KeystoreEntry]) -> None:
        contents = msgspec.structs.replace(self._contents, entries=(*self.entries(), *added))
        written = _encode(contents)
        _write(self._path, written, expected=self._written)
        self._contents, self._written = contents, written


def _entry(entry_id: str, venue: str, record: SealedKeyRecord) -> KeystoreEntry:
    return KeystoreEntry(
        id=entry_id,
        venue=venue,
        kind=KIND,
        address=record.address,
        nonce=record.nonce,
        ciphertext=record.ciphertext,
        created=_now_text(),
        rotated=None,
    )


def list_entries(path: Path) -> tuple[KeystoreEntry, ...]:
    """Read a keystore's entries without unlocking it.

    Raises:
        ConfigError: the file cannot be used.
    """
    return _decode(path, _read(path)).entries


def _refuse(path: Path, problem: str) -> NoReturn:
    raise ConfigError(f"{path}: {problem}")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Add the file's name to what the core refuses."""
    try:
        yield
    except (KeystoreError, SignerError) as error:
        raise ConfigError(f"{path}: {error}") from error


def _now_text() -> str:
    now = datetime.fromtimestamp(clock.wall_ms() // 1000, tz=UTC)
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def _encode(contents: _Contents) -> bytes:
    return msgspec.json.format(msgspec.json.encode(contents), indent=1) + b"\n"


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                _refuse(path, "expected a keystore file, found something else")
            mode = stat.S_IMODE(status.st_mode)
            if mode & 0o077:
                _refuse(path, f"expected mode 0600, found {mode:04o}; run: chmod 600 {path}")
            written = file.read(SIZE_MAX + 1)
    except OSError as error:
        raise ConfigError(f"{path}: expected a keystore file, found: {error.strerror}") from error
    if len(written) > SIZE_MAX:
        _refuse(path, f"expected at most {SIZE_MAX} bytes, found more")
    return written


def _decode(path: Path, written: bytes) -> _Contents:
    # Also guards the parser's stack: its own guard is the interpreter's recursion limit, which
    # other libraries raise until the C stack no longer suffices.
    fault = key_fault(written)
    if fault is not None:
        _refuse(path, f"expected a whole JSON document, found: {fault}")
    try:
        raw = json.loads(written)
    except ValueError as error:
        raise ConfigError(f"{path}: expected a whole JSON document, found: {error}") from error
    version = raw.get("version") if isinstance(raw, dict) else None
    if type(version) is not int or version != VERSION:
        _refuse(path, f"version: expected {VERSION}, found {version!r}")
    try:
        contents = msgspec.convert(raw, _Contents)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}") from error
    if contents.kdf.name != "argon2id":
        _refuse(path, f"kdf.name: expected 'argon2id', found {contents.kdf.name!r}")
    if not all(
        0 <= n < 2**32 for n in (contents.kdf.memory_kib, contents.kdf.passes, contents.kdf.lanes)
    ):
        _refuse(path, "kdf: expected memory_kib, passes and lanes of at most 32 bits")
    _check_entries(path, contents.entries)
    return contents


def _check_entries(path: Path, entries: Iterable[KeystoreEntry]) -> None:
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        if _ID.fullmatch(entry.id) is None:
            _refuse(path, f"entries[{index}].id: expected letters, digits or . _ -")
        if entry.id in seen:
            _refuse(path, f"entry {entry.id!r}: expected each id once, found it twice")
        seen.add(entry.id)
        for time_text in filter(None, (entry.created, entry.rotated)):
            if _TIME.fullmatch(time_text) is None:
                _refuse(path, f"entry {entry.id!r}: expected a time like 2026-11-21T09:00:00Z")


def _write(path: Path, written: bytes, *, expected: bytes | None) -> None:
    """Replace the file as a whole, or make it when ``expected`` is ``None``.

    Raises:
        ConfigError: it cannot be written, exists already, or is not what was read.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            _write_beside(beside, written)
            if expected is None:
                os.link(beside, path)
            elif _read(path) != expected:
                _refuse(path, "expected the file as it was read, found it changed meanwhile")
            else:
                beside.replace(path)
            os.fsync(directory)
        finally:
            with suppress(FileNotFoundError):
                beside.unlink()
            os.close(directory)
    except FileExistsError as error:
        raise ConfigError(f"{path}: expected no file here yet, found one") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error


def _write_beside(beside: Path, written: bytes) -> None:
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(written)
        file.flush()
        os.fsync(file.fileno())
