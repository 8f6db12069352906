"""The pieces Aster's messages are made of, decoded exactly or refused by name. No I/O.

Numbers that are money are text on the wire and stay exact. A message that is not what the
protocol says raises ``DecodeError``, which tells where, what was expected and what was found;
nothing is filled in. Unknown fields are ignored, repeated keys are refused.
"""

from collections.abc import Callable
from typing import Annotated, Final, TypeVar

import msgspec

from slipstream._core import FixedError, PositionSide, Side, key_fault, parse_fixed
from slipstream.domain.ids import VenueId
from slipstream.domain.order import OrderState
from slipstream.errors import DecodeError
from slipstream.units import Qty

__all__ = [
    "VENUE",
    "Count",
    "ErrorBody",
    "amount",
    "checked",
    "decode_error_body",
    "leverage_of",
    "number",
    "order_state",
    "position",
    "position_qty",
    "positive",
    "refuse_repeated_keys",
    "require_symbol",
    "shown",
    "side",
]

VENUE: Final = VenueId("aster")
_SHOWN_LENGTH: Final = 24
_SYMBOL_LENGTH_MAX: Final = 40
_LEVERAGE_MAX: Final = 1_000

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""An identity, a time in ms or a count: a JSON integer of at most 63 bits."""

_T = TypeVar("_T")


class ErrorBody(msgspec.Struct):
    """What a refusal looks like."""

    code: int
    msg: str = ""


# --- shared pieces ---


def shown(value: object) -> str:
    """Return a value as it may stand in an error: short."""
    text = repr(value)
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}… ({len(text)} long)"


def amount(text: str, where: str) -> int:
    """Parse decimal text exactly, at 10**-8; any sign.

    Raises:
        DecodeError: not a plain decimal of at most 8 decimals, or too large.
    """
    try:
        return parse_fixed(text)
    except FixedError as error:
        raise DecodeError(f"{where}: expected a decimal, found {shown(text)}") from error


def number(text: str, where: str) -> int:
    """Parse decimal text that is zero or more, at 10**-8.

    Raises:
        DecodeError: negative, or as ``amount``.
    """
    value = amount(text, where)
    if value < 0:
        raise DecodeError(f"{where}: expected zero or more, found {shown(text)}")
    return value


def positive(text: str, where: str) -> int:
    """Parse decimal text above zero, at 10**-8.

    Raises:
        DecodeError: zero or negative, or as ``amount``.
    """
    value = amount(text, where)
    if value <= 0:
        raise DecodeError(f"{where}: expected more than zero, found {shown(text)}")
    return value


def side(text: str, where: str) -> Side:
    """Decode BUY or SELL.

    Raises:
        DecodeError: anything else.
    """
    if text == "BUY":
        return Side.BUY
    if text == "SELL":
        return Side.SELL
    raise DecodeError(f"{where}: expected BUY or SELL, found {shown(text)}")


def position(text: str, where: str) -> PositionSide:
    """Decode BOTH, LONG or SHORT.

    Raises:
        DecodeError: anything else.
    """
    if text == "BOTH":
        return PositionSide.NET
    if text == "LONG":
        return PositionSide.LONG
    if text == "SHORT":
        return PositionSide.SHORT
    raise DecodeError(f"{where}: expected BOTH, LONG or SHORT, found {shown(text)}")


def position_qty(text: str, of: PositionSide, where: str) -> Qty:
    """Decode a position's quantity; a short side is negative whatever sign the venue writes.

    Raises:
        DecodeError: a negative long side, or as ``amount``.
    """
    qty = amount(text, where)
    if of == PositionSide.SHORT:
        return Qty(-abs(qty))
    if of == PositionSide.LONG and qty < 0:
        raise DecodeError(f"{where}: expected zero or more for LONG, found {shown(text)}")
    return Qty(qty)


def require_symbol(text: str, where: str) -> str:
    """Return a symbol that can be one: short, printable, without blanks.

    Raises:
        DecodeError: otherwise.
    """
    if 0 < len(text) <= _SYMBOL_LENGTH_MAX and text.isprintable() and " " not in text:
        return text
    raise DecodeError(f"{where}: expected a symbol, found {shown(text)}")


def leverage_of(value: str | int, where: str) -> int:
    """Decode a leverage, written as text or as a number.

    Raises:
        DecodeError: not a whole number between 1 and 1000.
    """
    text = str(value)
    if text.isascii() and text.isdigit() and len(text) <= 4:  # noqa: PLR2004 - digits of 1000
        leverage = int(text)
        if 1 <= leverage <= _LEVERAGE_MAX:
            return leverage
    raise DecodeError(f"{where}: expected a leverage of 1 to {_LEVERAGE_MAX}, found {shown(value)}")


def refuse_repeated_keys(raw: bytes, where: str) -> None:
    """Refuse an object with a repeated key: each parser would keep another one.

    Raises:
        DecodeError: names the key.
    """
    fault = key_fault(raw)
    if fault is not None:
        raise DecodeError(f"{where}: {fault[:160]}")


def checked(
    decoder: Callable[[bytes], _T], raw: bytes, where: str, *, is_unique: bool = True
) -> _T:
    """Decode JSON by a typed decoder; ``is_unique`` also refuses repeated keys.

    Raises:
        DecodeError: names the place in the message and the expectation.
    """
    try:
        found = decoder(raw)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise DecodeError(f"{where}: {str(error)[:160]}") from error
    if is_unique:
        refuse_repeated_keys(raw, where)
    return found


_error = msgspec.json.Decoder(ErrorBody).decode

ORDER_STATES: Final[dict[str, OrderState]] = {
    "NEW": OrderState.NEW,
    "PARTIALLY_FILLED": OrderState.PARTLY_FILLED,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELED,
    "EXPIRED": OrderState.EXPIRED,
    "REJECTED": OrderState.REJECTED,
    "NEW_INSURANCE": OrderState.NEW,
    "NEW_ADL": OrderState.NEW,
}


def order_state(text: str, where: str) -> OrderState:
    """Decode an order's status.

    Raises:
        DecodeError: a status the protocol does not list.
    """
    state = ORDER_STATES.get(text)
    if state is None:
        raise DecodeError(f"{where}: expected an order status, found {shown(text)}")
    return state


def decode_error_body(raw: bytes) -> ErrorBody | None:
    """Return the refusal a body states, ``None`` when it states none."""
    try:
        body = _error(raw)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return body if body.code < 0 else None
