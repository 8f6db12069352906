"""Account routes of the Aster face: balances, positions, settings, keys, agents."""

from typing import TYPE_CHECKING, Any, Final

from slipstream.venues.sim.accounts import Account, Position
from slipstream.venues.sim.amounts import notional_of, to_plain, to_text
from slipstream.venues.sim.aster.call import Call, Handler, Route
from slipstream.venues.sim.aster.errors import ApiError, illegal, missing
from slipstream.venues.sim.aster.filters import read_instrument
from slipstream.venues.sim.aster.payloads import maintenance_of
from slipstream.venues.sim.aster.routes_order import (
    int_parameter,
    row_limit,
    time_window,
)

if TYPE_CHECKING:
    from slipstream.venues.sim.aster.face import AsterFace

Json = dict[str, Any]
SUCCESS: Final = {"code": 200, "msg": "success"}
MAX_NOTIONAL: Final = "20000000"


def balance(face: "AsterFace", call: Call) -> list[Json]:
    """Answer the wallet."""
    account = call.account
    marks = face.exchange.marks
    wallet = to_text(account.balance)
    free = to_text(account.available(marks))
    return [
        {
            "accountAlias": "SgsR",
            "asset": "USDT",
            "balance": wallet,
            "crossWalletBalance": wallet,
            "crossUnPnl": to_text(account.unrealized(marks)),
            "availableBalance": free,
            "maxWithdrawAmount": free,
            "marginAvailable": True,
            "updateTime": face.clock.event_ms(call.now_ns),
        }
    ]


def listed_positions(face: "AsterFace", account: Account) -> list[Position]:
    """Return every symbol's position: BOTH in one-way mode, LONG and SHORT in hedge."""
    sides = ("LONG", "SHORT") if account.hedge else ("BOTH",)
    found = account.positions
    return [
        found.get((symbol, side)) or Position(symbol, side)
        for symbol in face.exchange.instruments
        for side in sides
    ]


def account_summary(face: "AsterFace", call: Call) -> Json:
    """Answer the full account."""
    account = call.account
    marks = face.exchange.show_marks(account)
    orders = account.order_margin()
    positions = account.position_margin(marks)
    profit = account.unrealized(marks)
    maintenance = sum(
        maintenance_of(notional_of(marks[item.symbol], abs(item.qty)))
        for item in account.positions.values()
    )
    free = to_text(account.available(marks))
    wallet, equity = to_text(account.balance), to_text(account.balance + profit)
    asset = {
        "asset": "USDT",
        "walletBalance": wallet,
        "unrealizedProfit": to_text(profit),
        "marginBalance": equity,
        "maintMargin": to_text(maintenance),
        "initialMargin": to_text(positions + orders),
        "positionInitialMargin": to_text(positions),
        "openOrderInitialMargin": to_text(orders),
        "crossWalletBalance": wallet,
        "crossUnPnl": to_text(profit),
        "availableBalance": free,
        "maxWithdrawAmount": free,
        "marginAvailable": True,
        "updateTime": face.clock.event_ms(call.now_ns),
    }
    return {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": True,
        "updateTime": 0,
        "totalInitialMargin": to_text(positions + orders),
        "totalMaintMargin": to_text(maintenance),
        "totalWalletBalance": wallet,
        "totalUnrealizedProfit": to_text(profit),
        "totalMarginBalance": equity,
        "totalPositionInitialMargin": to_text(positions),
        "totalOpenOrderInitialMargin": to_text(orders),
        "totalCrossWalletBalance": wallet,
        "totalCrossUnPnl": to_text(profit),
        "availableBalance": free,
        "maxWithdrawAmount": free,
        "assets": [asset],
        "positions": [
            _account_position(face, account, item) for item in listed_positions(face, account)
        ],
    }


def _account_position(face: "AsterFace", account: Account, item: Position) -> Json:
    mark_px = face.exchange.marks[item.symbol]
    notional = notional_of(mark_px, abs(item.qty))
    margin = to_text(notional // account.leverage_of(item.symbol))
    return {
        "symbol": item.symbol,
        "initialMargin": margin,
        "maintMargin": to_text(maintenance_of(notional)),
        "unrealizedProfit": to_text(item.unrealized(mark_px)),
        "positionInitialMargin": margin,
        "openOrderInitialMargin": "0",
        "leverage": str(account.leverage_of(item.symbol)),
        "isolated": item.symbol in account.isolated,
        "entryPrice": to_plain(item.entry_px),
        "maxNotional": MAX_NOTIONAL,
        "positionSide": item.position_side,
        "positionAmt": to_plain(item.qty),
        "updateTime": item.updated_ms,
    }


def position_risk(face: "AsterFace", call: Call) -> list[Json]:
    """Answer all positions, or those of one symbol."""
    account = call.account
    wanted = call.parameters.get("symbol")
    if wanted:
        read_instrument(call.parameters, face.exchange.instruments)
    rows: list[Json] = []
    for item in listed_positions(face, account):
        if wanted and item.symbol != wanted:
            continue
        mark_px = face.exchange.marks[item.symbol]
        is_isolated = item.symbol in account.isolated
        rows.append(
            {
                "entryPrice": to_plain(item.entry_px),
                "marginType": "isolated" if is_isolated else "cross",
                "isAutoAddMargin": "false",
                "isolatedMargin": "0.00000000",
                "leverage": str(account.leverage_of(item.symbol)),
                "liquidationPrice": "0",
                "markPrice": to_text(mark_px),
                "maxNotionalValue": MAX_NOTIONAL,
                "positionAmt": to_plain(item.qty),
                "symbol": item.symbol,
                "unRealizedProfit": to_text(item.unrealized(mark_px)),
                "positionSide": item.position_side,
                "updateTime": item.updated_ms,
            }
        )
    return rows


def set_leverage(face: "AsterFace", call: Call) -> Json:
    """Set the leverage of a symbol and tell the user stream."""
    instrument = read_instrument(call.parameters, face.exchange.instruments)
    leverage = int_parameter(call, "leverage", 0)
    if not 1 <= leverage <= instrument.leverage_max:
        raise ApiError(-4028, f"Leverage {leverage} is not valid")
    account = call.account
    if account.leverage_of(instrument.symbol) != leverage:
        account.leverages[instrument.symbol] = leverage
        face.users.on_config(account, {"ac": {"s": instrument.symbol, "l": leverage}})
    account.leverages[instrument.symbol] = leverage
    return {
        "leverage": leverage,
        "maxNotionalValue": MAX_NOTIONAL,
        "symbol": instrument.symbol,
    }


def set_margin_type(face: "AsterFace", call: Call) -> Json:
    """Switch a symbol between cross and isolated."""
    instrument = read_instrument(call.parameters, face.exchange.instruments)
    wanted = call.parameters.get("marginType")
    if wanted not in ("ISOLATED", "CROSSED"):
        raise missing("marginType") if not wanted else illegal("marginType")
    account, symbol = call.account, instrument.symbol
    if (wanted == "ISOLATED") == (symbol in account.isolated):
        raise ApiError(-4046, "No need to change margin type.")
    if any(order.spec.symbol == symbol for order in account.open_orders.values()):
        raise ApiError(-4047, "Margin type cannot be changed if there exists open orders.")
    if any(p.qty for p in account.positions.values() if p.symbol == symbol):
        raise ApiError(-4048, "Margin type cannot be changed if there exists position.")
    if wanted == "ISOLATED":
        account.isolated.add(symbol)
    else:
        account.isolated.discard(symbol)
    return SUCCESS


def _flag(call: Call, name: str) -> bool:
    text = call.parameters.get(name, "").lower()
    if text not in ("true", "false"):
        raise missing(name) if not text else illegal(name)
    return text == "true"


def get_dual(_face: "AsterFace", call: Call) -> Json:
    """Answer the position mode."""
    return {"dualSidePosition": call.account.hedge}


def set_dual(face: "AsterFace", call: Call) -> Json:
    """Switch the position mode and tell the user stream."""
    account = call.account
    wanted = _flag(call, "dualSidePosition")
    if wanted == account.hedge:
        raise ApiError(-4059, "No need to change position side.")
    if account.open_orders:
        raise ApiError(-4067, "Position side cannot be changed if there exists open orders.")
    if any(item.qty for item in account.positions.values()):
        raise ApiError(-4068, "Position side cannot be changed if there exists position.")
    account.hedge = wanted
    face.users.on_config(account, _account_flags(account))
    return SUCCESS


def get_multi_assets(_face: "AsterFace", call: Call) -> Json:
    """Answer the multi-assets mode."""
    return {"multiAssetsMargin": call.account.multi_assets}


def set_multi_assets(face: "AsterFace", call: Call) -> Json:
    """Switch the multi-assets mode and tell the user stream."""
    account = call.account
    account.multi_assets = _flag(call, "multiAssetsMargin")
    face.users.on_config(account, _account_flags(account))
    return SUCCESS


def _account_flags(account: Account) -> Json:
    return {"ai": {"j": account.multi_assets, "f": False, "d": account.hedge}}


def commission_rate(face: "AsterFace", call: Call) -> Json:
    """Answer the fee rates of a symbol."""
    instrument = read_instrument(call.parameters, face.exchange.instruments)
    return {
        "symbol": instrument.symbol,
        "makerCommissionRate": "0.000100",
        "takerCommissionRate": "0.000350",
    }


def income(face: "AsterFace", call: Call) -> list[Json]:
    """Answer commissions and realised profits, oldest first."""
    start_ms, end_ms = time_window(call, face.clock.event_ms(call.now_ns))
    symbol = call.parameters.get("symbol")
    kind = call.parameters.get("incomeType")
    rows = [
        {
            "symbol": row.symbol,
            "incomeType": row.kind,
            "income": to_text(row.amount),
            "asset": "USDT",
            "info": row.kind,
            "time": row.at_ms,
            "tranId": str(row.trade_id),
            "tradeId": str(row.trade_id),
        }
        for row in call.account.incomes
        if start_ms <= row.at_ms <= end_ms
        and symbol in (None, "", row.symbol)
        and kind in (None, "", row.kind)
    ]
    return rows[: row_limit(call)]


def brackets(face: "AsterFace", call: Call) -> Json | list[Json]:
    """Answer the leverage brackets: JSON numbers inside."""
    wanted = call.parameters.get("symbol")
    rows: list[Json] = [
        {
            "symbol": item.symbol,
            "brackets": [
                {
                    "bracket": 1,
                    "initialLeverage": item.leverage_max,
                    "notionalCap": 20000000,
                    "notionalFloor": 0,
                    "maintMarginRatio": 0.004,
                    "cum": 0.0,
                }
            ],
        }
        for item in face.exchange.instruments.values()
        if not wanted or item.symbol == wanted
    ]
    if wanted:
        read_instrument(call.parameters, face.exchange.instruments)
        return rows[0]
    return rows


def agents(face: "AsterFace", call: Call) -> list[Json]:
    """Answer the agents of the account."""
    address = call.account.address
    return [
        agent.describe()
        for agent in face.agents.values()
        if address in agent.accounts and not agent.is_revoked
    ]


def builders(_face: "AsterFace", _call: Call) -> list[Json]:
    """Answer the approved builders: none."""
    return []


def noop(_face: "AsterFace", _call: Call) -> Json:
    """Do nothing; the call's nonce is used up, which is the point."""
    return SUCCESS


def open_listen_key(face: "AsterFace", call: Call) -> Json:
    """Answer the account's listen key."""
    return {"listenKey": face.users.open_key(call.account.address, call.now_ns)}


def extend_listen_key(face: "AsterFace", call: Call) -> Json:
    """Extend the account's listen key."""
    face.users.extend_key(call.account.address, call.now_ns)
    return {}


def close_listen_key(face: "AsterFace", call: Call) -> Json:
    """Close the account's listen key."""
    face.users.close_key(call.account.address)
    return {}


def _signed(name: str, handler: Handler, weight: int, **flags: bool) -> Route:
    return Route(name, handler, weight, is_signed=True, **flags)


ROUTES: Final = {
    ("GET", "/fapi/v3/balance"): _signed("balance", balance, 5),
    ("GET", "/fapi/v3/accountWithJoinMargin"): _signed("account", account_summary, 5),
    ("GET", "/fapi/v3/account"): _signed("account", account_summary, 5),
    ("GET", "/fapi/v3/positionRisk"): _signed("positionRisk", position_risk, 5),
    ("POST", "/fapi/v3/leverage"): _signed("setLeverage", set_leverage, 1, is_trade=True),
    ("POST", "/fapi/v3/marginType"): _signed("setMarginType", set_margin_type, 1, is_trade=True),
    ("GET", "/fapi/v3/positionSide/dual"): _signed("getDual", get_dual, 30),
    ("POST", "/fapi/v3/positionSide/dual"): _signed("setDual", set_dual, 1, is_trade=True),
    ("GET", "/fapi/v3/multiAssetsMargin"): _signed("getMultiAssets", get_multi_assets, 30),
    ("POST", "/fapi/v3/multiAssetsMargin"): _signed(
        "setMultiAssets", set_multi_assets, 1, is_trade=True
    ),
    ("GET", "/fapi/v3/commissionRate"): _signed("commissionRate", commission_rate, 20),
    ("GET", "/fapi/v3/income"): _signed("income", income, 30),
    ("GET", "/fapi/v3/leverageBracket"): _signed("brackets", brackets, 1),
    ("GET", "/fapi/v3/agent"): _signed("agents", agents, 1, needs_deposit=False),
    ("GET", "/fapi/v3/builder"): _signed("builders", builders, 1, needs_deposit=False),
    ("POST", "/fapi/v3/noop"): _signed("noop", noop, 1),
    ("POST", "/fapi/v3/listenKey"): _signed("openListenKey", open_listen_key, 1),
    ("PUT", "/fapi/v3/listenKey"): _signed("extendListenKey", extend_listen_key, 1),
    ("DELETE", "/fapi/v3/listenKey"): _signed("closeListenKey", close_listen_key, 1),
}
