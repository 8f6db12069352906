"""Public market routes of the Aster face."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from slipstream.venues.sim.amounts import to_plain
from slipstream.venues.sim.aster.call import Call, Route
from slipstream.venues.sim.aster.errors import ApiError
from slipstream.venues.sim.aster.filters import read_instrument
from slipstream.venues.sim.aster.limits import ORDERS_PER_MINUTE
from slipstream.venues.sim.aster.payloads import symbol_row

if TYPE_CHECKING:
    from slipstream.venues.sim.aster.face import AsterFace

Json = dict[str, Any]
DEPTH_WEIGHTS: Final = {
    "5": 2,
    "10": 2,
    "20": 2,
    "50": 2,
    "100": 5,
    "500": 10,
    "1000": 20,
}


def _depth_weight(parameters: Mapping[str, str]) -> int:
    limit = parameters.get("limit", "500")
    return DEPTH_WEIGHTS.get(limit, 20)


def _by_symbol_weight(parameters: Mapping[str, str]) -> int:
    return 1 if parameters.get("symbol") else 2


def ping(_face: "AsterFace", _call: Call) -> Json:
    """Answer nothing."""
    return {}


def server_time(face: "AsterFace", call: Call) -> Json:
    """Answer the venue's clock."""
    return {"serverTime": face.clock.wall_ms(call.now_ns)}


def exchange_info(face: "AsterFace", call: Call) -> Json:
    """Answer instruments, filters and limits."""
    minute = {"interval": "MINUTE", "intervalNum": 1}
    return {
        "timezone": "UTC",
        "serverTime": face.clock.wall_ms(call.now_ns),
        "futuresType": "U_MARGINED",
        "rateLimits": [
            {
                "rateLimitType": "REQUEST_WEIGHT",
                **minute,
                "limit": face.limits.weight_limit,
            },
            {"rateLimitType": "ORDERS", **minute, "limit": ORDERS_PER_MINUTE},
        ],
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
        "symbols": [symbol_row(item) for item in face.exchange.instruments.values()],
    }


def spot_exchange_info(face: "AsterFace", call: Call) -> Json:
    """Answer the spot listing, which is empty: clients load it beside the futures."""
    return {
        "timezone": "UTC",
        "serverTime": face.clock.wall_ms(call.now_ns),
        "rateLimits": [],
        "exchangeFilters": [],
        "assets": [{"asset": "USDT"}],
        "symbols": [],
    }


def depth(face: "AsterFace", call: Call) -> Json:
    """Answer a book snapshot."""
    instrument = read_instrument(call.parameters, face.exchange.instruments)
    limit = call.parameters.get("limit", "500")
    if limit not in DEPTH_WEIGHTS:
        raise ApiError(-4021, "Invalid depth limit.")
    return face.markets.depth_answer(instrument.symbol, int(limit))


def _symbols(face: "AsterFace", call: Call) -> tuple[list[str], bool]:
    if call.parameters.get("symbol"):
        item = read_instrument(call.parameters, face.exchange.instruments)
        return [item.symbol], True
    return list(face.exchange.instruments), False


def _one_or_all(rows: list[Json], *, is_one: bool) -> Json | list[Json]:
    return rows[0] if is_one else rows


def premium_index(face: "AsterFace", call: Call) -> Json | list[Json]:
    """Answer mark prices."""
    symbols, is_one = _symbols(face, call)
    at_ms = face.clock.event_ms(call.now_ns)
    rows: list[Json] = []
    for symbol in symbols:
        mark = to_plain(face.exchange.show_mark(symbol))
        rows.append(
            {
                "symbol": symbol,
                "markPrice": mark,
                "indexPrice": mark,
                "estimatedSettlePrice": mark,
                "lastFundingRate": "0.00010000",
                "interestRate": "0.00010000",
                "nextFundingTime": (at_ms // 28_800_000 + 1) * 28_800_000,
                "time": at_ms,
            }
        )
    return _one_or_all(rows, is_one=is_one)


def book_ticker(face: "AsterFace", call: Call) -> Json | list[Json]:
    """Answer best quotes."""
    symbols, is_one = _symbols(face, call)
    rows: list[Json] = []
    for symbol in symbols:
        row = face.markets.ticker_row(symbol)
        rows.append(
            {
                "symbol": symbol,
                "bidPrice": row["b"],
                "bidQty": row["B"],
                "askPrice": row["a"],
                "askQty": row["A"],
                "time": row["T"],
            }
        )
    return _one_or_all(rows, is_one=is_one)


def price_ticker(face: "AsterFace", call: Call) -> Json | list[Json]:
    """Answer last prices; the mark stands in before the first trade."""
    symbols, is_one = _symbols(face, call)
    at_ms = face.clock.event_ms(call.now_ns)
    rows: list[Json] = [
        {
            "symbol": symbol,
            "price": to_plain(face.last_px(symbol)),
            "time": at_ms,
        }
        for symbol in symbols
    ]
    return _one_or_all(rows, is_one=is_one)


ROUTES: Final = {
    ("GET", "/fapi/v3/ping"): Route("ping", ping, 1),
    ("GET", "/fapi/v3/time"): Route("time", server_time, 1),
    ("GET", "/fapi/v3/exchangeInfo"): Route("exchangeInfo", exchange_info, 1),
    ("GET", "/api/v3/time"): Route("spotTime", server_time, 1),
    ("GET", "/api/v3/exchangeInfo"): Route("spotInfo", spot_exchange_info, 1),
    ("GET", "/fapi/v3/depth"): Route("depth", depth, _depth_weight),
    ("GET", "/fapi/v3/premiumIndex"): Route("premiumIndex", premium_index, 1),
    ("GET", "/fapi/v3/ticker/bookTicker"): Route("bookTicker", book_ticker, _by_symbol_weight),
    ("GET", "/fapi/v3/ticker/price"): Route("tickerPrice", price_ticker, _by_symbol_weight),
}
