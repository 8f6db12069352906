"""Order routes of the Aster face: place, query, cancel, batches, trades."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson

from slipstream.venues.sim.aster.call import LATER, Call, Handler, Route, Weight
from slipstream.venues.sim.aster.errors import (
    ApiError,
    illegal,
    missing,
    of_refusal,
    unknown_order,
)
from slipstream.venues.sim.aster.filters import read_instrument, read_order
from slipstream.venues.sim.aster.payloads import order_answer, order_row, trade_row
from slipstream.venues.sim.orders import Order, Refused

if TYPE_CHECKING:
    from slipstream.venues.sim.aster.face import AsterFace

Json = dict[str, Any]
BATCH_MAX: Final = 5
ROWS_DEFAULT: Final = 500
ROWS_MAX: Final = 1000
WEEK_MS: Final = 7 * 24 * 3600 * 1000


def _accept(face: "AsterFace", call: Call, parameters: dict[str, str]) -> Order:
    """Take one order in.

    Raises:
        ApiError: a filter, the rate limit or the account refuses it.
    """
    exchange = face.exchange
    try:
        instrument = read_instrument(parameters, exchange.instruments)
        now_ms = face.clock.true_ms(call.now_ns)
        mark_px = exchange.marks[instrument.symbol]
        generated = face.generated_client_id()
        spec = read_order(parameters, instrument, mark_px, generated)
        account = call.account
        used = face.limits.charge_order(account.address, account.order_limit, now_ms)
        order = exchange.accept(account, spec, call.now_ns)
    except Refused as refused:
        error = of_refusal(refused.why)
        face.log_rejection(call, parameters, error)
        raise error from refused
    except ApiError as error:
        face.log_rejection(call, parameters, error)
        raise
    call.extra = b"X-MBX-ORDER-COUNT-1M: %d\r\n" % used
    return order


def place(face: "AsterFace", call: Call) -> object:
    """Place an order; ACK answers before the match, RESULT after it."""
    kind = call.parameters.get("newOrderRespType", "ACK")
    if kind not in ("ACK", "RESULT"):
        raise illegal("newOrderRespType")
    order = _accept(face, call, call.parameters)
    instrument = face.exchange.instruments[order.spec.symbol]
    if kind == "ACK":
        early = order_answer(order, instrument, as_new=True)
        face.matching.put(face.execute, order)
        return early

    def finish() -> None:
        face.execute(order)
        face.answer(call, order_answer(order, instrument, as_new=False))

    face.matching.put(finish)
    return LATER


def place_batch(face: "AsterFace", call: Call) -> object:
    """Place up to five orders; each element of the answer is an order or an error."""
    text = call.parameters.get("batchOrders")
    if not text:
        raise missing("batchOrders")
    try:
        rows = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise illegal("batchOrders") from error
    is_list = isinstance(rows, list) and 0 < len(rows) <= BATCH_MAX
    if not is_list or not all(isinstance(row, dict) for row in rows):
        raise ApiError(-1130, "Data sent for parameter 'batchOrders' is not valid.")
    answers: list[Json] = []
    for row in rows:
        parameters = {str(key): _form_text(value) for key, value in row.items()}
        try:
            order = _accept(face, call, parameters)
        except ApiError as error:
            answers.append({"code": error.code, "msg": error.msg})
            continue
        wants_result = parameters.get("newOrderRespType") == "RESULT"
        if wants_result:
            face.execute(order)
        else:
            face.matching.put(face.execute, order)
        instrument = face.exchange.instruments[order.spec.symbol]
        answers.append(order_answer(order, instrument, as_new=not wants_result))
    return answers


def _form_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _find(face: "AsterFace", call: Call) -> Order | None:
    """Return the order a call names, by id or by client id; the newest of an id."""
    instrument = read_instrument(call.parameters, face.exchange.instruments)
    account = call.account
    order_id = call.parameters.get("orderId")
    if order_id:
        order = account.orders.get(int_parameter(call, "orderId", 0))
        return order if order and order.spec.symbol == instrument.symbol else None
    client_id = call.parameters.get("origClientOrderId")
    if not client_id:
        raise ApiError(
            -1102,
            "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!",
        )
    return account.latest_by_client.get((instrument.symbol, client_id))


def _row(face: "AsterFace", order: Order) -> Json:
    return order_row(order, face.exchange.instruments[order.spec.symbol])


def query(face: "AsterFace", call: Call) -> Json:
    """Answer one order; unfilled ended orders vanish after seven days."""
    order = _find(face, call)
    now_ms = face.clock.event_ms(call.now_ns)
    if order is None:
        raise unknown_order()
    is_gone = not order.is_open and order.filled_qty == 0
    if is_gone and now_ms - order.updated_ms > WEEK_MS:
        raise unknown_order()
    return _row(face, order)


def query_open(face: "AsterFace", call: Call) -> Json:
    """Answer one open order."""
    order = _find(face, call)
    if order is None or not order.is_open:
        raise unknown_order()
    return _row(face, order)


def open_orders(face: "AsterFace", call: Call) -> list[Json]:
    """Answer the open orders of a symbol, or all."""
    symbol = call.parameters.get("symbol")
    if symbol:
        read_instrument(call.parameters, face.exchange.instruments)
    return [
        _row(face, order)
        for order in call.account.open_orders.values()
        if symbol in (None, "", order.spec.symbol)
    ]


def all_orders(face: "AsterFace", call: Call) -> list[Json]:
    """Answer the order history of a symbol, oldest first."""
    instrument = read_instrument(call.parameters, face.exchange.instruments)
    first = int_parameter(call, "orderId", 0)
    count = row_limit(call)
    rows = [
        order
        for order in call.account.orders.values()
        if order.spec.symbol == instrument.symbol and order.order_id >= first
    ]
    chosen = rows[:count] if first else rows[-count:]
    return [_row(face, order) for order in chosen]


def cancel(face: "AsterFace", call: Call) -> Json:
    """Cancel an open order."""
    order = _find(face, call)
    if order is None or not order.is_open:
        raise ApiError(-2011, "Unknown order sent.")
    face.exchange.cancel(call.account, order, call.now_ns)
    return order_answer(order, face.exchange.instruments[order.spec.symbol], as_new=False)


def cancel_all(face: "AsterFace", call: Call) -> Json:
    """Cancel all open orders of a symbol; the answer's code is a string."""
    instrument = read_instrument(call.parameters, face.exchange.instruments)
    for order in list(call.account.open_orders.values()):
        if order.spec.symbol == instrument.symbol:
            face.exchange.cancel(call.account, order, call.now_ns)
    return {"code": "200", "msg": "The operation of cancel all open order is done."}


def cancel_batch(face: "AsterFace", call: Call) -> list[Json]:
    """Cancel up to ten orders by id or client id."""
    instrument = read_instrument(call.parameters, face.exchange.instruments)
    name = "orderIdList" if call.parameters.get("orderIdList") else None
    name = name or "origClientOrderIdList"
    try:
        wanted = orjson.loads(call.parameters.get(name, ""))
    except orjson.JSONDecodeError as error:
        raise illegal(name) from error
    if not isinstance(wanted, list) or not 0 < len(wanted) <= 2 * BATCH_MAX:
        raise ApiError(-1130, f"Data sent for parameter '{name}' is not valid.")
    answers: list[Json] = []
    account = call.account
    for item in wanted:
        if name == "orderIdList":
            order = account.open_orders.get(item) if type(item) is int else None
        else:
            order = account.open_by_client.get(item) if type(item) is str else None
        if order is None or order.spec.symbol != instrument.symbol:
            answers.append({"code": -2011, "msg": "Unknown order sent."})
            continue
        face.exchange.cancel(account, order, call.now_ns)
        answers.append(order_answer(order, instrument, as_new=False))
    return answers


def user_trades(face: "AsterFace", call: Call) -> list[Json]:
    """Answer the fills of a symbol, oldest first; ``fromId`` is inclusive."""
    instrument = read_instrument(call.parameters, face.exchange.instruments)
    fills = call.account.fills.get(instrument.symbol, [])
    count = row_limit(call)
    order_id = int_parameter(call, "orderId", 0)
    if order_id:
        fills = [fill for fill in fills if fill.order_id == order_id]
    if call.parameters.get("fromId"):
        first = int_parameter(call, "fromId", 0)
        rows = [fill for fill in fills if fill.trade_id >= first][:count]
        return [trade_row(fill) for fill in rows]
    now_ms = face.clock.event_ms(call.now_ns)
    start_ms, end_ms = time_window(call, now_ms)
    rows = [fill for fill in fills if start_ms <= fill.at_ms <= end_ms]
    is_from_start = bool(call.parameters.get("startTime"))
    chosen = rows[:count] if is_from_start else rows[-count:]
    return [trade_row(fill) for fill in chosen]


def int_parameter(call: Call, name: str, default: int) -> int:
    """Return an integer parameter.

    Raises:
        ApiError: it is not an integer.
    """
    text = call.parameters.get(name)
    if not text:
        return default
    if not text.isdigit() or not text.isascii() or len(text) > 18:  # noqa: PLR2004
        raise illegal(name)
    return int(text)


def row_limit(call: Call) -> int:
    """Return how many rows a call wants."""
    return min(int_parameter(call, "limit", ROWS_DEFAULT), ROWS_MAX)


def time_window(call: Call, now_ms: int) -> tuple[int, int]:
    """Return the time window of a history call, at most seven days wide.

    Raises:
        ApiError: it is wider.
    """
    end_ms = int_parameter(call, "endTime", now_ms)
    start_ms = int_parameter(call, "startTime", end_ms - WEEK_MS)
    if end_ms - start_ms > WEEK_MS:
        raise ApiError(-4055, "More than 7 days between startTime and endTime.")
    return start_ms, end_ms


def _open_weight(parameters: Mapping[str, str]) -> int:
    return 1 if parameters.get("symbol") else 40


def _signed(name: str, handler: Handler, weight: Weight = 1, *, trade: bool = False) -> Route:
    return Route(name, handler, weight, is_signed=True, is_trade=trade)


ROUTES: Final = {
    ("POST", "/fapi/v3/order"): Route(
        "placeOrder", place, 1, is_signed=True, is_trade=True, is_order=True
    ),
    ("GET", "/fapi/v3/order"): _signed("queryOrder", query),
    ("DELETE", "/fapi/v3/order"): _signed("cancelOrder", cancel, trade=True),
    ("GET", "/fapi/v3/openOrder"): _signed("openOrder", query_open),
    ("GET", "/fapi/v3/openOrders"): _signed("openOrders", open_orders, _open_weight),
    ("GET", "/fapi/v3/allOrders"): _signed("allOrders", all_orders, 5),
    ("DELETE", "/fapi/v3/allOpenOrders"): _signed("cancelAll", cancel_all, trade=True),
    ("POST", "/fapi/v3/batchOrders"): _signed("batch", place_batch, 5, trade=True),
    ("DELETE", "/fapi/v3/batchOrders"): _signed("cancelBatch", cancel_batch, trade=True),
    ("GET", "/fapi/v3/userTrades"): _signed("userTrades", user_trades, 5),
}
