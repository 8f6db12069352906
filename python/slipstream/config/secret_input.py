"""Secrets from a person or a file descriptor, held in bytearrays that can be zeroed.

Never from arguments or the environment: other processes can read both. A ``str`` or ``bytes``
could not be wiped, so neither is made on the way.
"""

import os
import termios
from typing import Final

from slipstream.errors import ConfigError

LENGTH_MAX: Final = 4096
"""Most bytes of one secret."""

_NEWLINES: Final = b"\r\n"
_NIBBLES: Final = {ord(digit): value for value, digit in enumerate("0123456789abcdef")} | {
    ord(digit): value for value, digit in enumerate("ABCDEF", start=10)
}


def wipe(secret: bytearray) -> None:
    """Overwrite a secret with zeros, in place."""
    for index in range(len(secret)):
        secret[index] = 0


def read_descriptor(descriptor: int, option: str) -> bytearray:
    """Read one line, or up to the end, from an open file descriptor.

    Byte by byte, so that two secrets can follow each other, a line each, in one descriptor.

    Args:
        descriptor: the open file descriptor.
        option: the option that named it, for messages.

    Raises:
        ConfigError: it cannot be read, or holds nothing, or more than ``LENGTH_MAX`` bytes.
    """
    try:
        secret = _read_line(descriptor)
    except OSError as error:
        raise ConfigError(
            f"{option} {descriptor}: expected a readable file descriptor, found: {error.strerror}"
        ) from error
    return _bounded(secret, f"{option} {descriptor}")


def prompt(question: str) -> bytearray:
    """Ask on the controlling terminal; what is typed is not shown.

    Raises:
        ConfigError: there is no terminal, or nothing (or too much) was typed.
    """
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError as error:
        raise ConfigError(
            f"{question}: expected a terminal to ask on, found none; "
            "hand the secret in with --passphrase-fd or --secret-fd"
        ) from error
    try:
        return read_hidden(terminal, question)
    finally:
        os.close(terminal)


def read_hidden(terminal: int, question: str) -> bytearray:
    """Ask on a terminal with its echo off, and switch the echo on again whatever happens.

    Raises:
        ConfigError: nothing, or too much, was typed.
    """
    shown = termios.tcgetattr(terminal)
    hidden = [*shown]
    hidden[3] = shown[3] & ~termios.ECHO
    os.write(terminal, f"{question}: ".encode())
    termios.tcsetattr(terminal, termios.TCSAFLUSH, hidden)
    try:
        secret = _read_line(terminal)
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, shown)
        os.write(terminal, b"\n")
    return _bounded(secret, question)


def decode_key(text: bytearray) -> bytearray:
    """Turn 64 hex digits, ``0x`` in front or not, into a key's 32 bytes; zero ``text`` in place.

    Raises:
        ConfigError: anything else; the text is not repeated.
    """
    start = 2 if text[:2].lower() == b"0x" else 0
    secret = bytearray(32)
    nibbles = [_NIBBLES.get(digit) for digit in text[start:]]
    wipe(text)
    is_hex = len(nibbles) == 2 * len(secret)
    for index, nibble in enumerate(nibbles[: 2 * len(secret)]):
        if nibble is None:
            is_hex = False
            break
        secret[index // 2] |= nibble << (0 if index % 2 else 4)
    if not is_hex:
        wipe(secret)
        raise ConfigError(
            f"key: expected 64 hex digits (0x in front is fine), found {len(nibbles)} characters"
            + ("" if len(nibbles) != 2 * len(secret) else " that are not all hex")
        )
    return secret


def _read_line(descriptor: int) -> bytearray:
    secret = bytearray()
    one = bytearray(1)
    while os.readv(descriptor, [one]) == 1 and one[0] != _NEWLINES[1]:
        secret.append(one[0])
        if len(secret) > LENGTH_MAX:
            break
    one[0] = 0
    if secret and secret[-1] == _NEWLINES[0]:
        del secret[-1]
    return secret


def _bounded(secret: bytearray, source: str) -> bytearray:
    if 1 <= len(secret) <= LENGTH_MAX:
        return secret
    found = "nothing" if not secret else f"more than {LENGTH_MAX} bytes"
    wipe(secret)
    raise ConfigError(f"{source}: expected one line with the secret, found {found}")
