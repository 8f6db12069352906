"""The JSON shapes of Aster's answers and events (reference, sections 5 to 9)."""

from typing import Any

from slipstream.venues.sim.accounts import Account, Position
from slipstream.venues.sim.amounts import notional_of, to_plain, to_text
from slipstream.venues.sim.instruments import Instrument
from slipstream.venues.sim.orders import Fill, Order, Status

Json = dict[str, Any]
MAINTENANCE_PPM = 4_000


def order_type(order: Order) -> str:
    """LIMIT or MARKET."""
    return "MARKET" if order.spec.limit_px is None else "LIMIT"


def time_in_force(order: Order) -> str:
    """What the venue prints as time in force: GTC for a market order."""
    is_market = order.spec.limit_px is None
    return "GTC" if is_market else order.spec.time_in_force.value


def order_answer(order: Order, instrument: Instrument, *, as_new: bool) -> Json:
    """Return the answer to a placement; ``as_new`` is the early ACK form."""
    spec = order.spec
    filled = 0 if as_new else order.filled_qty
    average = 0 if as_new else order.average_px
    cost = 0 if as_new else order.filled_cost // 10**8
    return {
        "clientOrderId": spec.client_order_id,
        "cumQty": to_plain(filled),
        "cumQuote": to_plain(cost),
        "executedQty": to_plain(filled),
        "orderId": order.order_id,
        "avgPrice": to_text(average, min(instrument.px_digits + 4, 8)),
        "origQty": to_plain(order.orig_qty),
        "price": to_plain(spec.limit_px or 0),
        "reduceOnly": spec.reduce_only,
        "side": order.side_text,
        "positionSide": spec.position_side,
        "status": Status.NEW.value if as_new else order.status.value,
        "stopPrice": "0",
        "closePosition": False,
        "symbol": spec.symbol,
        "timeInForce": time_in_force(order),
        "type": order_type(order),
        "origType": order_type(order),
        "updateTime": order.created_ms if as_new else order.updated_ms,
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
    }


def order_row(order: Order, instrument: Instrument) -> Json:
    """Return a queried order: with ``time``, without ``cumQty``."""
    row = order_answer(order, instrument, as_new=False)
    del row["cumQty"]
    row["time"] = order.created_ms
    return row


def trade_row(fill: Fill, maker_asset: str = "USDT") -> Json:
    """Return a row of ``userTrades``."""
    is_buyer = fill.side > 0
    return {
        "buyer": is_buyer,
        "commission": to_text(fill.commission),
        "commissionAsset": maker_asset,
        "id": fill.trade_id,
        "maker": fill.is_maker,
        "orderId": fill.order_id,
        "price": to_plain(fill.px),
        "qty": to_plain(fill.qty),
        "quoteQty": to_plain(notional_of(fill.px, fill.qty)),
        "realizedPnl": to_text(fill.realized),
        "side": "BUY" if is_buyer else "SELL",
        "positionSide": fill.position_side,
        "symbol": fill.symbol,
        "time": fill.at_ms,
    }


def order_event(order: Order, execution: str, fill: Fill | None, event_ms: int) -> Json:
    """Return ORDER_TRADE_UPDATE for an order as it stands now."""
    spec = order.spec
    body: Json = {
        "s": spec.symbol,
        "c": spec.client_order_id,
        "S": order.side_text,
        "o": order_type(order),
        "f": time_in_force(order),
        "q": to_plain(order.orig_qty),
        "p": to_plain(spec.limit_px or 0),
        "ap": to_plain(order.average_px),
        "sp": "0",
        "x": execution,
        "X": order.status.value,
        "i": order.order_id,
        "l": "0" if fill is None else to_plain(fill.qty),
        "z": to_plain(order.filled_qty),
        "L": "0" if fill is None else to_plain(fill.px),
        "T": order.updated_ms if fill is None else fill.at_ms,
        "t": 0 if fill is None else fill.trade_id,
        "b": "0",
        "a": "0",
        "m": False if fill is None else fill.is_maker,
        "R": spec.reduce_only,
        "wt": "CONTRACT_PRICE",
        "ot": order_type(order),
        "ps": spec.position_side,
        "cp": False,
        "rp": "0" if fill is None else to_plain(fill.realized),
    }
    if fill is not None:
        body["N"] = "USDT"
        body["n"] = to_plain(fill.commission)
    return {"e": "ORDER_TRADE_UPDATE", "E": event_ms, "T": body["T"], "o": body}


def account_event(
    account: Account,
    reason: str,
    positions: list[tuple[Position, int]],
    at_ms: int,
    event_ms: int,
) -> Json:
    """Return ACCOUNT_UPDATE; each position comes with its mark price."""
    wallet = to_text(account.balance)
    rows = [
        {
            "s": item.symbol,
            "pa": to_plain(item.qty),
            "ep": to_text(item.entry_px, 5),
            "cr": to_plain(item.realized),
            "up": to_plain(item.unrealized(mark_px)),
            "mt": "isolated" if item.symbol in account.isolated else "cross",
            "iw": "0",
            "ps": item.position_side,
        }
        for item, mark_px in positions
    ]
    return {
        "e": "ACCOUNT_UPDATE",
        "E": event_ms,
        "T": at_ms,
        "a": {
            "m": reason,
            "B": [{"a": "USDT", "wb": wallet, "cw": wallet, "bc": "0"}],
            "P": rows,
        },
    }


def maintenance_of(notional: int) -> int:
    """Return the maintenance margin of a notional (one flat bracket, 0.4 %)."""
    return notional * MAINTENANCE_PPM // 1_000_000


def filters_of(item: Instrument) -> list[Json]:
    """Return the exchange filters of an instrument."""
    lot = {"minQty": to_plain(item.qty_min), "stepSize": to_plain(item.qty_step)}
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": to_plain(item.px_min),
            "maxPrice": to_plain(item.px_max),
            "tickSize": to_plain(item.px_step),
        },
        {"filterType": "LOT_SIZE", "maxQty": to_plain(item.qty_max), **lot},
        {
            "filterType": "MARKET_LOT_SIZE",
            "maxQty": to_plain(item.market_qty_max),
            **lot,
        },
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 100},
        {"filterType": "MIN_NOTIONAL", "notional": to_plain(item.notional_min)},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": "1.0500",
            "multiplierDown": "0.9500",
            "multiplierDecimal": "4",
        },
    ]


def symbol_row(item: Instrument) -> Json:
    """Return a symbol of ``exchangeInfo``."""
    return {
        "symbol": item.symbol,
        "pair": item.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": 1627628400000,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": item.base,
        "quoteAsset": "USDT",
        "marginAsset": "USDT",
        "pricePrecision": item.px_digits,
        "quantityPrecision": item.qty_digits,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "settlePlan": 0,
        "triggerProtect": "0.0500",
        "liquidationFee": "0.025000",
        "marketTakeBound": "0.05",
        "symbolType": 0,
        "tradingMode": 0,
        "filters": filters_of(item),
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }
