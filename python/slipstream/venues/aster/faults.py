"""What Aster's refusals mean: one table, from status and code to an outcome or an error.

Source: aster.md, section 11. Whatever may have reached the matching engine without an answer we
can read is *unknown*: 5xx, 408, the codes -1001, -1006 and -1007, an answer that cannot be
decoded, and a duplicate client order id (ours names one order: it is there).
"""

import re
from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from slipstream import errors
from slipstream.domain import outcome
from slipstream.units import NS_PER_MS, NS_PER_S
from slipstream.venues.aster import wire

__all__ = [
    "IS_ABSENT_CODE",
    "IS_LISTEN_KEY_GONE",
    "IS_SETTLED_CODES",
    "error_of",
    "is_limited",
    "pause_of",
    "refusal",
]


class _Meaning(Enum):
    UNKNOWN = auto()
    LIMITED = auto()
    DENIED = auto()
    REFUSED = auto()
    RESYNC = auto()
    SHRINK = auto()


IS_ABSENT_CODE: Final = -2013
"""Order does not exist."""

IS_SETTLED_CODES: Final = frozenset({-4046, -4059})
"""No need to change: what was asked for holds already."""

IS_LISTEN_KEY_GONE: Final = -1125

_MEANINGS: Final[Mapping[int, _Meaning]] = {
    -1001: _Meaning.UNKNOWN,
    -1003: _Meaning.LIMITED,
    -1006: _Meaning.UNKNOWN,
    -1007: _Meaning.UNKNOWN,
    -1015: _Meaning.LIMITED,
    -1021: _Meaning.RESYNC,
    -1022: _Meaning.DENIED,
    -2014: _Meaning.DENIED,
    -2015: _Meaning.DENIED,
    -2018: _Meaning.SHRINK,
    -2019: _Meaning.SHRINK,
    -2022: _Meaning.RESYNC,
    -2023: _Meaning.RESYNC,
    -2024: _Meaning.RESYNC,
    -2027: _Meaning.SHRINK,
    -2028: _Meaning.SHRINK,
    -4005: _Meaning.SHRINK,
    -4061: _Meaning.RESYNC,
    -4062: _Meaning.RESYNC,
    -4116: _Meaning.UNKNOWN,
    -4118: _Meaning.RESYNC,
    -4225: _Meaning.RESYNC,
    -5050: _Meaning.DENIED,
}
_DENIED_WORDS: Final = ("no agent found", "signature check failed")
_BANNED_UNTIL: Final = re.compile(r"until\s+(\d{13})")
_UNKNOWN_STATUS_MIN: Final = 500
_TIMEOUT_STATUS: Final = 408
_LIMITED_STATUSES: Final = frozenset({418, 429})
_OK: Final = 200
_REASON_LENGTH: Final = 160
_PAUSE_MAX_NS: Final = 3 * 24 * 3_600 * NS_PER_S


def _meaning(body: wire.ErrorBody) -> _Meaning:
    if body.code == -1000:  # noqa: PLR2004 - the words tell
        is_denied = body.msg.strip().lower().startswith(_DENIED_WORDS)
        return _Meaning.DENIED if is_denied else _Meaning.UNKNOWN
    return _MEANINGS.get(body.code, _Meaning.REFUSED)


def pause_of(
    status: int, headers: Mapping[bytes, bytes], raw: bytes, *, venue_ms: int, window_left_ns: int
) -> int:
    """Return for how long the venue wants silence, in nanoseconds.

    ``Retry-After`` when it is there, else the end of a ban the message names, else the next full
    minute (two minutes after a 418, the shortest ban).
    """
    after = headers.get(b"retry-after", b"")
    if after.isdigit() and len(after) <= 6:  # noqa: PLR2004 - three days are 259200 s
        return min(int(after) * NS_PER_S, _PAUSE_MAX_NS)
    body = wire.decode_error_body(raw)
    found = None if body is None else _BANNED_UNTIL.search(body.msg)
    if found is not None:
        left_ns = (int(found.group(1)) - venue_ms) * NS_PER_MS
        return min(max(left_ns, 0), _PAUSE_MAX_NS)
    return 120 * NS_PER_S if status == 418 else window_left_ns  # noqa: PLR2004


def is_limited(status: int, raw: bytes) -> bool:
    """Whether an answer means *later*."""
    if status in _LIMITED_STATUSES:
        return True
    if status == _OK:
        return False
    body = wire.decode_error_body(raw)
    return body is not None and _meaning(body) is _Meaning.LIMITED


def refusal(status: int, raw: bytes, *, pause_ns: int | None) -> outcome.RequestOutcome:
    """Return what an answer that is no order means for the order it answers.

    ``pause_ns``: what ``pause_of`` said, when the answer is a limit.
    """
    body = wire.decode_error_body(raw)
    text = f"HTTP {status}" if body is None else f"{body.code} {body.msg[:_REASON_LENGTH]}"
    if status >= _UNKNOWN_STATUS_MIN or status == _TIMEOUT_STATUS:
        return outcome.Unknown(text)
    if status in _LIMITED_STATUSES:
        return outcome.Limited(text, pause_ns)
    if body is None:
        return outcome.Unknown(f"{text} without a readable answer")
    meaning = _meaning(body)
    if meaning is _Meaning.UNKNOWN:
        return outcome.Unknown(text)
    if meaning is _Meaning.LIMITED:
        return outcome.Limited(text, pause_ns)
    return _final(meaning, body.code, text)


def _final(meaning: _Meaning, code: int, text: str) -> outcome.Denied | outcome.Refused:
    if meaning is _Meaning.DENIED:
        return outcome.Denied(code, text)
    return outcome.Refused(
        code,
        text,
        is_resync=meaning is _Meaning.RESYNC,
        is_shrinkable=meaning is _Meaning.SHRINK,
    )


def error_of(what: str, status: int, raw: bytes, *, pause_ns: int | None) -> errors.VenueError:
    """Return the error for a caller who asked ``what`` and was not answered with it."""
    found = refusal(status, raw, pause_ns=pause_ns)
    if isinstance(found, outcome.Limited):
        return errors.RateLimited(f"{what}: {found.reason}", retry_after_ns=found.retry_after_ns)
    if isinstance(found, outcome.Denied):
        return errors.Unauthorized(f"{what}: {found.reason}")
    if isinstance(found, outcome.Refused):
        return errors.Rejected(f"{what}: {found.reason}", code=found.code)
    if isinstance(found, outcome.Unknown):
        return errors.UnknownOutcome(f"{what}: {found.reason}")
    return errors.UnknownOutcome(f"{what}: HTTP {status}")
