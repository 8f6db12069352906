"""Reads JSON objects of unknown origin field by field, and says where what was wrong.

Every refusal is a ``ConfigError`` of one form: place, field, found, expected. Nothing is
converted: a number is not text, a truth value is not a number, a key may not come twice.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn, TypeVar

from slipstream._core import FixedError, key_fault, parse_fixed
from slipstream.errors import ConfigError

FOUND_LENGTH_MAX: Final = 60
INT_MAX: Final = 2**63 - 1

Wanted = TypeVar("Wanted")


def _shown(found: object) -> str:
    text = repr(found)
    return text if len(text) <= FOUND_LENGTH_MAX else text[:FOUND_LENGTH_MAX] + "..."


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def parse_json(text: bytes, place: str) -> object:
    """Parse one JSON value.

    Raises:
        ConfigError: not UTF-8, not JSON, a key twice, NaN or infinity, nested or long past reason.
    """
    fault = key_fault(text)
    if fault is not None:
        raise ConfigError(f"{place}: {fault}, expected JSON")
    try:
        return json.loads(text.decode("utf-8"), parse_constant=_no_constant)
    except ValueError as error:
        found = _shown(text.decode("utf-8", "replace"))
        raise ConfigError(f"{place}: found {found}, expected JSON ({error})") from error


@dataclass(frozen=True, slots=True)
class StrictObject:
    """The fields of one JSON object and where it stands."""

    fields: dict[str, object]
    place: str

    @classmethod
    def of(cls, found: object, place: str) -> "StrictObject":
        """Take a parsed value that must be an object.

        Raises:
            ConfigError: it is something else.
        """
        if not isinstance(found, dict):
            raise ConfigError(f"{place}: found {_shown(found)}, expected a JSON object")
        return cls(found, place)

    def refuse(self, name: str, expected: str) -> NoReturn:
        """Say what is wrong with a field.

        Raises:
            ConfigError: always.
        """
        found = _shown(self.fields[name]) if name in self.fields else "nothing"
        raise ConfigError(f"{self.place}: field {name}: found {found}, expected {expected}")

    def text(self, name: str, *, length_max: int = 64) -> str:
        """Return a text of 1 to ``length_max`` printable characters."""
        found = self.fields.get(name)
        if (
            not isinstance(found, str)
            or not 0 < len(found) <= length_max
            or not found.isprintable()
        ):
            self.refuse(name, f"text of 1 to {length_max} printable characters")
        return found

    def integer(self, name: str, *, least: int, most: int = INT_MAX) -> int:
        """Return a whole number inside bounds."""
        found = self.fields.get(name)
        if type(found) is not int or not least <= found <= most:
            self.refuse(name, f"a whole number from {least} to {most}")
        return found

    def truth(self, name: str, *, default: bool) -> bool:
        """Return a truth value, ``default`` where the field is missing."""
        found = self.fields.get(name, default)
        if not isinstance(found, bool):
            self.refuse(name, "true or false")
        return found

    def decimal(self, name: str, *, is_positive: bool) -> int:
        """Return decimal text as an integer at 10**-8."""
        expected = f"{'positive ' if is_positive else ''}decimal text, at most 8 decimals"
        found = self.fields.get(name)
        if not isinstance(found, str):
            self.refuse(name, expected)
        try:
            value = parse_fixed(found)
        except FixedError:
            self.refuse(name, expected)
        if is_positive and value <= 0:
            self.refuse(name, expected)
        return value

    def checked(self, name: str, expected: str, accept: Callable[[object], bool]) -> None:
        """Refuse a field unless ``accept`` takes it."""
        if not accept(self.fields.get(name)):
            self.refuse(name, expected)
