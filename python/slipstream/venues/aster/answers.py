"""Aster's REST answers, decoded into domain values. No I/O.

Field sets: aster.md, sections 3, 4, 6 and 7. Unknown fields are ignored, repeated keys refused.
"""

import msgspec

from slipstream._core import PositionSide
from slipstream.domain.fill import AccountSnapshot, Fill, PositionState
from slipstream.domain.ids import ClientOrderId, FillId
from slipstream.domain.order import OrderReport
from slipstream.errors import DecodeError
from slipstream.units import Px, Qty, Quote, TimeNs, VenueMs
from slipstream.venues.aster import wire

__all__ = [
    "Agent",
    "decode_account",
    "decode_agents",
    "decode_leverage",
    "decode_listen_key",
    "decode_order",
    "decode_order_answer",
    "decode_time",
    "decode_trades",
]


class _Order(msgspec.Struct):
    clientOrderId: str  # noqa: N815 - the wire's names
    orderId: wire.Count  # noqa: N815
    symbol: str
    status: str
    executedQty: str  # noqa: N815
    avgPrice: str  # noqa: N815
    updateTime: wire.Count  # noqa: N815


class _Asset(msgspec.Struct):
    asset: str
    updateTime: wire.Count = 0  # noqa: N815


class _Position(msgspec.Struct):
    symbol: str
    positionSide: str  # noqa: N815
    positionAmt: str  # noqa: N815
    entryPrice: str  # noqa: N815
    unrealizedProfit: str  # noqa: N815
    initialMargin: str  # noqa: N815
    leverage: str | int
    updateTime: wire.Count = 0  # noqa: N815


class _Account(msgspec.Struct):
    totalWalletBalance: str  # noqa: N815
    totalMarginBalance: str  # noqa: N815
    totalInitialMargin: str  # noqa: N815
    availableBalance: str  # noqa: N815
    positions: list[_Position]
    assets: list[_Asset] = []
    updateTime: wire.Count = 0  # noqa: N815


class _Trade(msgspec.Struct):
    id: wire.Count
    orderId: wire.Count  # noqa: N815
    symbol: str
    side: str
    positionSide: str  # noqa: N815
    price: str
    qty: str
    maker: bool
    time: wire.Count


class _Leverage(msgspec.Struct):
    symbol: str
    leverage: wire.Count


class _ListenKey(msgspec.Struct):
    listenKey: str  # noqa: N815


class _Time(msgspec.Struct):
    serverTime: wire.Count  # noqa: N815


class Agent(msgspec.Struct, frozen=True):
    """An approved agent key of the account and what it may do. ``expired`` in ms."""

    agentAddress: str  # noqa: N815
    expired: wire.Count
    canPerpTrade: bool  # noqa: N815
    canWithdraw: bool  # noqa: N815
    agentName: str = ""  # noqa: N815


_order = msgspec.json.Decoder(_Order).decode
_account = msgspec.json.Decoder(_Account).decode
_trades = msgspec.json.Decoder(list[_Trade]).decode
_leverage = msgspec.json.Decoder(_Leverage).decode
_listen_key = msgspec.json.Decoder(_ListenKey).decode
_time = msgspec.json.Decoder(_Time).decode
_agents = msgspec.json.Decoder(list[Agent]).decode


def decode_order(raw: bytes) -> OrderReport:
    """Decode an order object (answer of POST with RESULT, or of a query).

    Raises:
        DecodeError: not an order.
    """
    order = wire.checked(_order, raw, "order")
    filled_qty = wire.number(order.executedQty, "order $.executedQty")
    average_px = None
    if filled_qty:
        average_px = Px(wire.positive(order.avgPrice, "order $.avgPrice"))
    return OrderReport(
        ClientOrderId(order.clientOrderId),
        str(order.orderId),
        wire.require_symbol(order.symbol, "order $.symbol"),
        wire.order_state(order.status, "order $.status"),
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
        found = wire.shown(report.client_order_id)
        raise DecodeError(f"order $.clientOrderId: expected {client_order_id}, found {found}")
    return report


def _position_state(each: _Position, index: int) -> PositionState:
    where = f"account $.positions[{index}]"
    lane = wire.position(each.positionSide, f"{where}.positionSide")
    qty = wire.position_qty(each.positionAmt, lane, f"{where}.positionAmt")
    entry_px = wire.number(each.entryPrice, f"{where}.entryPrice") if qty else 0
    return PositionState(
        symbol=wire.require_symbol(each.symbol, f"{where}.symbol"),
        position_side=lane,
        qty=qty,
        entry_px=Px(entry_px) if entry_px else None,
        unrealised=Quote(wire.amount(each.unrealizedProfit, f"{where}.unrealizedProfit")),
        leverage=wire.leverage_of(each.leverage, f"{where}.leverage"),
        initial_margin=Quote(wire.number(each.initialMargin, f"{where}.initialMargin")),
        changed_ms=VenueMs(each.updateTime) if each.updateTime else None,
    )


def decode_account(raw: bytes, *, account: str, received_ns: TimeNs) -> AccountSnapshot:
    """Decode ``accountWithJoinMargin``. Totals count the quote asset only (aster.md, section 7).

    Raises:
        DecodeError: not an account.
    """
    body = wire.checked(_account, raw, "account")
    positions = tuple(_position_state(each, index) for index, each in enumerate(body.positions))
    times = [each.updateTime for each in body.positions]
    times += [each.updateTime for each in body.assets]
    return AccountSnapshot(
        account=account,
        wallet=Quote(wire.amount(body.totalWalletBalance, "account $.totalWalletBalance")),
        equity=Quote(wire.amount(body.totalMarginBalance, "account $.totalMarginBalance")),
        available=Quote(wire.amount(body.availableBalance, "account $.availableBalance")),
        initial_margin=Quote(wire.number(body.totalInitialMargin, "account $.totalInitialMargin")),
        positions=positions,
        is_hedge=any(each.position_side != PositionSide.NET for each in positions),
        venue_ts_ms=VenueMs(max(times, default=body.updateTime)),
        received_ns=received_ns,
    )


def _fill(row: _Trade, where: str, *, account: str, symbol: str, received_ns: TimeNs) -> Fill:
    if row.symbol != symbol:
        raise DecodeError(f"{where}.symbol: expected {symbol}, found {wire.shown(row.symbol)}")
    return Fill(
        id=FillId(wire.VENUE, account, symbol, str(row.orderId), str(row.id), row.time),
        position_side=wire.position(row.positionSide, f"{where}.positionSide"),
        side=wire.side(row.side, f"{where}.side"),
        qty=Qty(wire.positive(row.qty, f"{where}.qty")),
        px=Px(wire.positive(row.price, f"{where}.price")),
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
    rows = wire.checked(_trades, raw, "userTrades")
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
    body = wire.checked(_leverage, raw, "leverage")
    return body.symbol, wire.leverage_of(body.leverage, "leverage $.leverage")


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
    return VenueMs(wire.checked(_time, raw, "time").serverTime)


def decode_agents(raw: bytes) -> list[Agent]:
    """Decode the account's agent keys.

    Raises:
        DecodeError: not a list of agents.
    """
    return wire.checked(_agents, raw, "agent")
