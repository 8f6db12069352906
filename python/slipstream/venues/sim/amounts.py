"""Exact decimals of the simulated venue: raw integers at 10**-8, text on the wire.

The venue keeps its own arithmetic, so that it shares no code with what it judges.
Nothing here touches a float.
"""

import re
from functools import lru_cache
from typing import Final

UNIT: Final = 10**8
DIGITS: Final = 8
_DECIMAL: Final = re.compile(r"-?[0-9]{1,17}(?:\.([0-9]{1,18}))?\Z")


class AmountError(ValueError):
    """A decimal text that is malformed, too long or too precise."""


def parse_raw(text: str) -> int:
    """Return a decimal text as a raw integer (10**-8).

    Raises:
        AmountError: not a plain decimal, more than 17 digits before the point, or
            digits other than 0 after the eighth decimal.
    """
    if _DECIMAL.match(text) is None:
        message = f"expected a plain decimal of at most 17 digits, found {text[:40]!r}"
        raise AmountError(message)
    whole, _, fraction = text.partition(".")
    if len(fraction) > DIGITS:
        if fraction[DIGITS:].strip("0"):
            message = f"more than 8 decimals: {text[:40]!r}"
            raise AmountError(message)
        fraction = fraction[:DIGITS]
    return int(whole + fraction.ljust(DIGITS, "0"))


def fraction_digits(text: str) -> int:
    """Return how many decimals a plain decimal text carries, trailing zeros aside."""
    return len(text.partition(".")[2].rstrip("0"))


def to_text(raw: int, digits: int = DIGITS) -> str:
    """Return a raw integer with exactly ``digits`` decimals, cut toward zero."""
    sign = "-" if raw < 0 else ""
    whole, rest = divmod(abs(raw), UNIT)
    if digits == 0:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{rest:08d}"[: len(sign) + len(str(whole)) + 1 + digits]


@lru_cache(maxsize=1 << 16)
def to_plain(raw: int) -> str:
    """Return a raw integer without trailing zeros (``0.001``, ``12``)."""
    whole, rest = divmod(abs(raw), UNIT)
    sign = "-" if raw < 0 else ""
    return f"{sign}{whole}.{rest:08d}".rstrip("0") if rest else f"{sign}{whole}"


def notional_of(px: int, qty: int) -> int:
    """Return price times quantity in raw quote units, rounded toward zero."""
    value = abs(px * qty) // UNIT
    return value if (px < 0) == (qty < 0) else -value
