"""Read single values of a configuration exactly, or say what is wrong with them.

A reader takes a TOML value and returns the engine's, or raises ``ValueError`` with what was
expected. ``Section`` knows where the value stands and turns that into a ``ConfigError``. TOML
floats are never money: they have lost digits before anybody can look at them.
"""

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from enum import StrEnum
from typing import Final, TypeVar
from urllib.parse import urlsplit

from slipstream._core import parse_fixed
from slipstream.config.model import redact_url
from slipstream.errors import ConfigError, FixedError
from slipstream.units import NS_PER_MS, NS_PER_S, SCALE

_T = TypeVar("_T")
_E = TypeVar("_E", bound=StrEnum)

_FOUND_LENGTH_MAX: Final = 80
_TEXT_LENGTH_MAX: Final = 400
_INTEGER_MAX: Final = 2**63 - 1
_SECRET: Final = re.compile(r"(?:0x)?[0-9a-fA-F]{64}")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_SYMBOL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./:-]{0,39}")
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_DURATION: Final = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)")
_UNIT_NS: Final = {
    "ms": NS_PER_MS,
    "s": NS_PER_S,
    "m": 60 * NS_PER_S,
    "h": 3_600 * NS_PER_S,
    "d": 86_400 * NS_PER_S,
}
_PERCENT_RAW_PER_PPM: Final = SCALE // 10_000
_BPS_RAW_PER_PPM: Final = SCALE // 100
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


def shown(value: object) -> str:
    """Return a value as an error may quote it: short, without what might be a secret."""
    if isinstance(value, str):
        if _SECRET.search(value):
            return "(64 hexadecimal digits, not shown)"
        text = repr(redact_url(value) if "://" in value else value)
    elif isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, int):
        text = str(value) if value.bit_length() <= 256 else "an integer of over 77 digits"  # noqa: PLR2004
    elif isinstance(value, float):
        text = repr(value)
    elif isinstance(value, Mapping):
        return "a table"
    elif isinstance(value, list):
        return f"a list of {len(value)}"
    else:
        text = f"a {type(value).__name__}"
    return text if len(text) <= _FOUND_LENGTH_MAX else f"{text[:_FOUND_LENGTH_MAX]}..."


class Section:
    """One table of the file: hands out its values once each and names what is left."""

    def __init__(self, file: str, path: str, table: object) -> None:
        """Take a table that stands at a dotted path.

        Raises:
            ConfigError: it is no table.
        """
        self.file = file
        self.path = path
        if not isinstance(table, dict):
            raise ConfigError(f"{file}: {path}: expected a table, found {shown(table)}")
        self._table: dict[str, object] = table
        self._known: list[str] = []

    def fail(self, key: str, expected: str) -> ConfigError:
        """Return the error for a key: where, what was expected, what was found."""
        found = shown(self._table[key]) if key in self._table else "nothing"
        return ConfigError(f"{self.file}: {self.at(key)}: expected {expected}, found {found}")

    def at(self, key: str) -> str:
        """Return the dotted path of a key."""
        return f"{self.path}.{key}" if self.path else key

    def has(self, key: str) -> bool:
        """Whether a key is given."""
        return key in self._table

    def need(self, key: str, reader: Callable[[object], _T]) -> _T:
        """Return a value that must be given.

        Raises:
            ConfigError: missing, or not what the reader expects.
        """
        self._known.append(key)
        if key not in self._table:
            try:
                reader(None)
            except ValueError as error:
                raise self.fail(key, str(error)) from None
            raise self.fail(key, "a value")
        try:
            return reader(self._table[key])
        except ValueError as error:
            raise self.fail(key, str(error)) from None

    def take(self, key: str, reader: Callable[[object], _T], default: _T) -> _T:
        """Return a value, or the default when it is not given."""
        if key not in self._table:
            self._known.append(key)
            return default
        return self.need(key, reader)

    def section(self, key: str) -> "Section":
        """Return a table inside this one, empty when not given."""
        self._known.append(key)
        return Section(self.file, self.at(key), self._table.get(key, {}))

    def sections(self, key: str) -> list["Section"]:
        """Return the tables of a list, each named by its index and its id."""
        self._known.append(key)
        found = self._table.get(key, [])
        if not isinstance(found, list):
            raise ConfigError(
                f"{self.file}: {self.at(key)}: expected [[{self.at(key)}]] tables, "
                f"found {shown(found)}"
            )
        return [
            Section(self.file, f"{self.at(key)}[{index}]{_name_of(table)}", table)
            for index, table in enumerate(found)
        ]

    def keys(self) -> list[str]:
        """Return the keys that are given."""
        return list(self._table)

    def finish(self) -> None:
        """Refuse keys that nobody asked for.

        Raises:
            ConfigError: there is one.
        """
        for key in self._table:
            if key not in self._known:
                close = get_close_matches(key, self._known, n=1)
                hint = f" (did you mean {close[0]!r}?)" if close else ""
                expected = ", ".join(sorted(set(self._known)))
                raise ConfigError(
                    f"{self.file}: {self.at(shown(key)[1:-1])}: unknown key{hint}; "
                    f"expected one of {expected}"
                )


def _name_of(table: object) -> str:
    if isinstance(table, dict) and isinstance(table.get("id"), str):
        return f" ({shown(table['id'])[1:-1]})"
    return ""


def text(value: object) -> str:
    """Read plain text in one line."""
    if not isinstance(value, str) or not 0 < len(value) <= _TEXT_LENGTH_MAX:
        raise ValueError("text in quotes")
    if not value.isprintable():
        raise ValueError("text in one line")
    return value


def name(value: object) -> str:
    """Read an id: letters, digits, dot, dash and underscore."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError("a name of up to 64 letters, digits, dots, dashes and underscores")
    return value


def key_name(value: object) -> str:
    """Read the name of a keystore entry; a key itself is refused."""
    if isinstance(value, str) and _SECRET.search(value):
        raise ValueError("the name of an entry in the keystore, never a private key")
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError("the name of an entry in the keystore")
    return value


def address(value: object) -> str:
    """Read an account's address."""
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        raise ValueError("an address: 0x and 40 hexadecimal digits")
    return value


def symbols(value: object) -> tuple[str, ...]:
    """Read a list of symbols."""
    expected = 'a list of symbols, like ["BTCUSDT"]'
    if not isinstance(value, list):
        raise ValueError(expected)  # noqa: TRY004 - a reader's way of saying so
    for symbol in value:
        if not isinstance(symbol, str) or not _SYMBOL.fullmatch(symbol):
            raise ValueError(expected)
    return tuple(dict.fromkeys(value))


def flag(value: object) -> bool:
    """Read a switch."""
    if not isinstance(value, bool):
        raise ValueError("true or false")  # noqa: TRY004
    return value


def choice(kind: type[_E]) -> Callable[[object], _E]:
    """Return the reader of one of a few words."""
    expected = "one of " + ", ".join(kind)

    def read(value: object) -> _E:
        if not isinstance(value, str) or value not in set(kind):
            raise ValueError(expected)
        return kind(value)

    return read


def whole(low: int, high: int) -> Callable[[object], int]:
    """Return the reader of an integer between two, both included."""
    expected = f"an integer from {low} to {high}"

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(expected)
        return value

    return read


def optional(reader: Callable[[object], _T]) -> Callable[[object], _T | None]:
    """Return a reader that also takes ``"none"``: no such bound."""

    def read(value: object) -> _T | None:
        if value == "none":
            return None
        try:
            return reader(value)
        except ValueError as error:
            raise ValueError(f'{error}, or "none"') from None

    return read


def decimal(value: object, expected: str) -> int:
    """Read an exact decimal, at 10**-8, from quoted text or an integer."""
    if isinstance(value, float):
        raise ValueError(f'{expected} in quotes, like "{value:.10g}" (a bare number with a point'  # noqa: TRY004
                         " is not exact)")  # fmt: skip
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(expected)  # noqa: TRY004
    if isinstance(value, int):
        raw = value * SCALE
    else:
        try:
            raw = parse_fixed(value)
        except FixedError:
            raise ValueError(f"{expected} with at most 8 decimals") from None
    if abs(raw) > _INTEGER_MAX:
        raise ValueError(f"{expected} below 92233720368")
    return raw


def positive(what: str) -> Callable[[object], int]:
    """Return the reader of a decimal above zero, at 10**-8."""

    def read(value: object) -> int:
        raw = decimal(value, what)
        if raw <= 0:
            raise ValueError(f"{what} above 0")
        return raw

    return read


def amount(value: object) -> int:
    """Read an amount of quote currency above zero, at 10**-8."""
    return positive('an amount of quote currency, like "2500"')(value)


def not_negative(value: object) -> int:
    """Read an amount of quote currency that may be zero, at 10**-8."""
    raw = decimal(value, 'an amount of quote currency, like "10"')
    if raw < 0:
        raise ValueError("an amount of quote currency, 0 or more")
    return raw


def _share(value: object, expected: str, raw_per_ppm: int) -> int:
    raw = decimal(value, expected)
    if raw % raw_per_ppm:
        raise ValueError(f"{expected}, exact to one part per million")
    return raw // raw_per_ppm


def percent(value: object) -> int:
    """Read a percentage such as ``"40%"``, above 0 and at most 100, in ppm."""
    expected = 'a percentage in quotes, like "40%"'
    if not isinstance(value, str) or not value.endswith("%"):
        raise ValueError(expected)
    ppm = _share(value.removesuffix("%"), expected, _PERCENT_RAW_PER_PPM)
    if not 0 < ppm <= 1_000_000:  # noqa: PLR2004 - the whole
        raise ValueError('a percentage above 0 and at most "100%"')
    return ppm


def bps(value: object) -> int:
    """Read basis points above 0 and below 10,000, in ppm."""
    ppm = _share(value, "basis points, like 50", _BPS_RAW_PER_PPM)
    if not 0 < ppm < 1_000_000:  # noqa: PLR2004 - the whole
        raise ValueError("basis points above 0 and below 10000")
    return ppm


def duration(low_ns: int, high_ns: int) -> Callable[[object], int]:
    """Return the reader of a time span such as ``"250ms"``, in nanoseconds."""
    expected = f'a time like "5s", from {_span(low_ns)} to {_span(high_ns)}'

    def read(value: object) -> int:
        found = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise ValueError(expected)
        span = int(found[1]) * _UNIT_NS[found[2]]
        if not low_ns <= span <= high_ns:
            raise ValueError(expected)
        return span

    return read


def _span(span_ns: int) -> str:
    for unit in ("d", "h", "m", "s"):
        if span_ns % _UNIT_NS[unit] == 0:
            return f"{span_ns // _UNIT_NS[unit]}{unit}"
    return f"{span_ns // NS_PER_MS}ms"


def url(plain: str, secure: str) -> Callable[[object], str]:
    """Return the reader of a URL: encrypted, or plain on this machine only."""
    expected = f"{secure}://HOST (or {plain}:// on this machine)"

    def read(value: object) -> str:
        if not isinstance(value, str) or not value.isprintable() or " " in value:
            raise ValueError(expected)
        try:
            parts = urlsplit(value)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ValueError(expected) from None
        is_local = host in _LOOPBACK
        is_allowed = parts.scheme == secure or (parts.scheme == plain and is_local)
        if not host or not is_allowed or parts.username or parts.query or port == 0:
            raise ValueError(expected)
        return value.rstrip("/")

    return read
