"""Aster's REST answers, decoded exactly or refused by name. No I/O.

Numbers that are money are text on the wire and stay exact. A message that is not what the
protocol says raises ``DecodeError``, which tells where, what was expected and what was found;
nothing is filled in. Unknown fields are ignored, repeated keys are refused.
"""

import json
import re
from collections.abc import Callable
from typing import Annotated, Final, Never, TypeVar

import msgspec

from slipstream._core import FixedError, PositionSide, Side, parse_fixed
from slipstream.domain.fill import AccountSnapshot, Fill, PositionState
from slipstream.domain.ids import ClientOrderId, FillId, VenueId
from slipstream.domain.order import OrderReport, OrderState
from slipstream.errors import DecodeError
from slipstream.units import Px, Qty, Quote, TimeNs, VenueMs

__all__ = [
    "VENUE",
    "Count",
    "ErrorBody",
    "amount",
    "checked",
    "decode_account",
    "decode_agents",
    "decode_error_body",
    "decode_leverage",
    "decode_listen_key",
    "decode_order",
    "decode_order_answer",
    "decode_time",
    "decode_trades",
    "number",
    "position",
    "positive",
    "refuse_repeated_keys",
    "require_symbol",
    "side",
]

VENUE: Final = VenueId("aster")
_SHOWN_LENGTH: Final = 24
_SYMBOL_LENGTH_MAX: Final = 40
_LEVERAGE_MAX: Final = 1_000
_KEY_PATTERN: Final = re.compile(rb'"([^"]*)"\s*:')

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""An identity, a time in ms or a count: a JSON integer of at most 63 bits."""

_T = TypeVar("_T")


class ErrorBody(msgspec.Struct):
    """What a refusal looks like."""

    code: int
    msg: str = ""


class _Order(msgspec.Struct):
    clientOrderId: str  # noqa: N815 - the wire's names
    orderId: Count  # noqa: N815
    symbol: str
    status: str
    executedQty: str  # noqa: N815
    avgPrice: str  # noqa: N815
    updateTime: Count  # noqa: N815


class _Asset(msgspec.Struct):
    asset: str
    updateTime: Count = 0  # noqa: N815


class _Position(msgspec.Struct):
    symbol: str
    positionSide: str  # noqa: N815
    positionAmt: str  # noqa: N815
    entryPrice: str  # noqa: N815
    unrealizedProfit: str  # noqa: N815
    initialMargin: str  # noqa: N815
    leverage: str | int
    updateTime: Count = 0  # noqa: N815


class _Account(msgspec.Struct):
    totalWalletBalance: str  # noqa: N815
    totalMarginBalance: str  # noqa: N815
    totalInitialMargin: str  # noqa: N815
    availableBalance: str  # noqa: N815
    positions: list[_Position]
    assets: list[_Asset] = []
    updateTime: Count = 0  # noqa: N815


class _Trade(msgspec.Struct):
    id: Count
    orderId: Count  # noqa: N815
    symbol: str
    side: str
    positionSide: str  # noqa: N815
    price: str
    qty: str
    maker: bool
    time: Count


class _Leverage(msgspec.Struct):
    symbol: str
    leverage: Count


class _ListenKey(msgspec.Struct):
    listenKey: str  # noqa: N815


class _Time(msgspec.Struct):
    serverTime: Count  # noqa: N815


class Agent(msgspec.Struct, frozen=True):
    """An approved agent key of the account and what it may do. ``expired`` in ms."""

    agentAddress: str  # noqa: N815
    expired: Count
    canPerpTrade: bool  # noqa: N815
    canWithdraw: bool  # noqa: N815
    agentName: str = ""  # noqa: N815


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


def _refuse(_text: str) -> Never:
    raise ValueError("a constant that JSON does not have")


def _unique_pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise DecodeError(f"key {shown(key)} appears twice in one object")
            seen.add(key)
    return found


def refuse_repeated_keys(raw: bytes, where: str) -> None:
    """Refuse an object with a repeated key: each parser would keep another one.

    Raises:
        DecodeError: a repeated key, or not JSON.
    """
    keys = _KEY_PATTERN.findall(raw)
    if len(set(keys)) == len(keys) and b"\\" not in raw:
        return
    try:
        json.loads(raw, object_pairs_hook=_unique_pairs, parse_constant=_refuse)
    except DecodeError as error:
        raise DecodeError(f"{where}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"{where}: not JSON") from error


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


_order = msgspec.json.Decoder(_Order).decode
_account = msgspec.json.Decoder(_Account).decode
_trades = msgspec.json.Decoder(list[_Trade]).decode
_leverage = msgspec.json.Decoder(_Leverage).decode
_listen_key = msgspec.json.Decoder(_ListenKey).decode
_time = msgspec.json.Decoder(_Time).decode
_agents = msgspec.json.Decoder(list[Agent]).decode
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


# --- answers ---


def decode_error_body(raw: bytes) -> ErrorBody | None:
    """Return the refusal a body states, ``None`` when it states none."""
    try:
        body = _error(raw)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return body if body.code < 0 else None


def decode_order(raw: bytes) -> OrderReport:
    """Decode an order object (answer of POST with RESULT, or of a query).

    Raises:
        DecodeError: not an order.
    """
    order = checked(_order, raw, "order")
    filled_qty = number(order.executedQty, "order $.executedQty")
    average_px = None
    if filled_qty:
        average_px = Px(positive(order.avgPrice, "order $.avgPrice"))
    return OrderReport(
        ClientOrderId(order.clientOrderId),
        str(order.orderId),
        require_symbol(order.symbol, "order $.symbol"),
        order_state(order.status, "order $.status"),
        Qty(filled_qty),
        average_px,
        VenueMs(order.updateTime),
    )


def decode_order_answer(raw: bytes, client_order_id: str) -> OrderReport:
    """Decode the answer to one order and check that it is about that order.

    Raises:
        DecodeError: not an order, or another one.
    """
    report = decode_order(raw)
    if report.client_order_id != client_order_id:
        found = shown(report.client_order_id)
        raise DecodeError(f"order $.clientOrderId: expected {client_order_id}, found {found}")
    return report


def _position_state(each: _Position, index: int) -> PositionState:
    where = f"account $.positions[{index}]"
    lane = position(each.positionSide, f"{where}.positionSide")
    qty = position_qty(each.positionAmt, lane, f"{where}.positionAmt")
    entry_px = number(each.entryPrice, f"{where}.entryPrice") if qty else 0
    return PositionState(
        symbol=require_symbol(each.symbol, f"{where}.symbol"),
        position_side=lane,
        qty=qty,
        entry_px=Px(entry_px) if entry_px else None,
        unrealised=Quote(amount(each.unrealizedProfit, f"{where}.unrealizedProfit")),
        leverage=leverage_of(each.leverage, f"{where}.leverage"),
        initial_margin=Quote(number(each.initialMargin, f"{where}.initialMargin")),
    )


def decode_account(raw: bytes, *, account: str, received_ns: TimeNs) -> AccountSnapshot:
    """Decode ``accountWithJoinMargin``. Totals count the quote asset only (aster.md, section 7).

    Raises:
        DecodeError: not an account.
    """
    body = checked(_account, raw, "account")
    positions = tuple(_position_state(each, index) for index, each in enumerate(body.positions))
    times = [each.updateTime for each in body.positions]
    times += [each.updateTime for each in body.assets]
    return AccountSnapshot(
        account=account,
        wallet=Quote(amount(body.totalWalletBalance, "account $.totalWalletBalance")),
        equity=Quote(amount(body.totalMarginBalance, "account $.totalMarginBalance")),
        available=Quote(amount(body.availableBalance, "account $.availableBalance")),
        initial_margin=Quote(number(body.totalInitialMargin, "account $.totalInitialMargin")),
        positions=positions,
        is_hedge=any(each.position_side != PositionSide.NET for each in positions),
        venue_ts_ms=VenueMs(max(times, default=body.updateTime)),
        received_ns=received_ns,
    )


def _fill(row: _Trade, where: str, *, account: str, symbol: str, received_ns: TimeNs) -> Fill:
    if row.symbol != symbol:
        raise DecodeError(f"{where}.symbol: expected {symbol}, found {shown(row.symbol)}")
    return Fill(
        id=FillId(VENUE, account, symbol, str(row.orderId), str(row.id), row.time),
        position_side=position(row.positionSide, f"{where}.positionSide"),
        side=side(row.side, f"{where}.side"),
        qty=Qty(positive(row.qty, f"{where}.qty")),
        px=Px(positive(row.price, f"{where}.price")),
        is_taker=not row.maker,
        is_liquidation=False,
        received_ns=received_ns,
        decoded_ns=received_ns,
    )


def decode_trades(
    raw: bytes, *, account: str, symbol: str, received_ns: TimeNs
) -> list[tuple[int, Fill]]:
    """Decode ``userTrades`` of one symbol: (trade id, fill), ids rising.

    Raises:
        DecodeError: not a list of trades of that symbol in rising order.
    """
    rows = checked(_trades, raw, "userTrades")
    fills: list[tuple[int, Fill]] = []
    for index, row in enumerate(rows):
        where = f"userTrades $[{index}]"
        if fills and row.id < fills[-1][0]:
            raise DecodeError(f"{where}.id: expected rising ids, found {row.id}")
        fill = _fill(row, where, account=account, symbol=symbol, received_ns=received_ns)
        fills.append((row.id, fill))
    return fills


def decode_leverage(raw: bytes) -> tuple[str, int]:
    """Decode the answer to a leverage setting: (symbol, leverage).

    Raises:
        DecodeError: not that answer.
    """
    body = checked(_leverage, raw, "leverage")
    return body.symbol, leverage_of(body.leverage, "leverage $.leverage")


def decode_listen_key(raw: bytes) -> str:
    """Decode a listen key. Never part of an error.

    Raises:
        DecodeError: none there, or characters that cannot stand in a URL path.
    """
    try:
        key = _listen_key(raw).listenKey
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise DecodeError("listenKey: expected a listen key") from None
    if not 0 < len(key) <= 256 or not key.isascii() or not key.isalnum():  # noqa: PLR2004
        raise DecodeError("listenKey: expected 1 to 256 letters and digits")
    return key


def decode_time(raw: bytes) -> VenueMs:
    """Decode the venue's clock.

    Raises:
        DecodeError: not that answer.
    """
    return VenueMs(checked(_time, raw, "time").serverTime)


def decode_agents(raw: bytes) -> list[Agent]:
    """Decode the account's agent keys.

    Raises:
        DecodeError: not a list of agents.
    """
    return checked(_agents, raw, "agent")
