"""Parameter checks and exchange filters of an Aster order (reference, 5 and 6)."""

import re
from typing import Final

from slipstream.venues.sim.amounts import (
    AmountError,
    fraction_digits,
    notional_of,
    parse_raw,
    to_plain,
    to_text,
)
from slipstream.venues.sim.aster.errors import ApiError, illegal, missing
from slipstream.venues.sim.instruments import Instrument
from slipstream.venues.sim.matching import BUY, SELL
from slipstream.venues.sim.orders import OrderSpec, TimeInForce

CLIENT_ID: Final = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}\Z")
SIDES: Final = {"BUY": BUY, "SELL": SELL}
BAND_PPM: Final = 50_000
PPM: Final = 1_000_000


def read_instrument(parameters: dict[str, str], instruments: dict[str, Instrument]) -> Instrument:
    """Return the instrument a request names.

    Raises:
        ApiError: the symbol is missing or not listed.
    """
    symbol = parameters.get("symbol")
    if not symbol:
        raise missing("symbol")
    instrument = instruments.get(symbol)
    if instrument is None:
        raise ApiError(-1121, "Invalid symbol.")
    return instrument


def _read_amount(parameters: dict[str, str], name: str, digits: int) -> int:
    text = parameters.get(name)
    if not text:
        raise missing(name)
    try:
        raw = parse_raw(text)
    except AmountError as error:
        raise illegal(name) from error
    if fraction_digits(text) > digits:
        raise ApiError(-1111, "Precision is over the maximum defined for this asset.")
    return raw


def read_order(
    parameters: dict[str, str],
    instrument: Instrument,
    mark_px: int,
    generated_id: str,
) -> OrderSpec:
    """Return the order that a request asks for, checked against all filters.

    Raises:
        ApiError: a parameter or filter refuses it.
    """
    side = SIDES.get(parameters.get("side", ""))
    if side is None:
        raise _enum_error(parameters, "side")
    kind = parameters.get("type", "")
    if kind not in ("LIMIT", "MARKET"):
        raise _enum_error(parameters, "type")
    position_side = parameters.get("positionSide") or "BOTH"
    if position_side not in ("BOTH", "LONG", "SHORT"):
        raise _enum_error(parameters, "positionSide")
    reduce_text = parameters.get("reduceOnly", "false").lower()
    if reduce_text not in ("true", "false"):
        raise illegal("reduceOnly")
    client_id = parameters.get("newClientOrderId") or generated_id
    if CLIENT_ID.match(client_id) is None:
        raise ApiError(-4015, "Client order id is not valid.")
    is_limit = kind == "LIMIT"
    qty = _read_amount(parameters, "quantity", instrument.qty_digits)
    _check_qty(instrument, qty, is_limit=is_limit)
    limit_px: int | None = None
    time_in_force = TimeInForce.IOC
    if is_limit:
        time_in_force = _read_time_in_force(parameters)
        limit_px = _read_amount(parameters, "price", instrument.px_digits)
        _check_px(instrument, limit_px, side, mark_px)
    elif parameters.get("timeInForce") or parameters.get("price"):
        name = "timeInForce" if parameters.get("timeInForce") else "price"
        raise ApiError(-1106, f"Parameter '{name}' sent when not required.")
    spec = OrderSpec(
        symbol=instrument.symbol,
        side=side,
        qty=qty,
        limit_px=limit_px,
        time_in_force=time_in_force,
        position_side=position_side,
        reduce_only=reduce_text == "true",
        client_order_id=client_id,
    )
    _check_notional(instrument, spec, mark_px)
    return spec


def _enum_error(parameters: dict[str, str], name: str) -> ApiError:
    if not parameters.get(name):
        return missing(name)
    texts = {
        "side": (-1117, "Invalid side."),
        "type": (-1116, "Invalid orderType."),
        "timeInForce": (-1115, "Invalid timeInForce."),
        "positionSide": (-4060, "Invalid position side."),
    }
    code, msg = texts[name]
    return ApiError(code, msg)


def _read_time_in_force(parameters: dict[str, str]) -> TimeInForce:
    text = parameters.get("timeInForce", "")
    if text not in TimeInForce.__members__:
        raise _enum_error(parameters, "timeInForce")
    return TimeInForce(text)


def _check_qty(instrument: Instrument, qty: int, *, is_limit: bool) -> None:
    if qty <= 0:
        raise ApiError(-4003, "Quantity less than or equal to zero.")
    if qty < instrument.qty_min:
        raise ApiError(-4004, "Quantity less than min quantity.")
    if qty > (instrument.qty_max if is_limit else instrument.market_qty_max):
        raise ApiError(-4005, "Quantity greater than max quantity.")
    if (qty - instrument.qty_min) % instrument.qty_step:
        raise ApiError(-4023, "Quantity not increased by step size.")


def _check_px(instrument: Instrument, px: int, side: int, mark_px: int) -> None:
    if px <= 0:
        raise ApiError(-4001, "Price less than 0.")
    if px < instrument.px_min:
        raise ApiError(-4013, "Price less than min price.")
    if px > instrument.px_max:
        raise ApiError(-4002, "Price greater than max price.")
    if (px - instrument.px_min) % instrument.px_step:
        raise ApiError(-4014, "Price not increased by tick size.")
    digits = instrument.px_digits
    if side == BUY:
        cap = mark_px * (PPM + BAND_PPM) // PPM
        if px > cap:
            text = to_text(cap, digits)
            raise ApiError(-4016, f"Limit price can't be higher than {text}.")
    else:
        floor = -(-mark_px * (PPM - BAND_PPM) // PPM)
        if px < floor:
            text = to_text(floor, digits)
            raise ApiError(-4024, f"Limit price can't be lower than {text}.")


def _check_notional(instrument: Instrument, spec: OrderSpec, mark_px: int) -> None:
    closes_hedge = (spec.position_side, spec.side) in (("LONG", SELL), ("SHORT", BUY))
    if spec.reduce_only or closes_hedge:
        return
    px = mark_px if spec.limit_px is None else spec.limit_px
    if notional_of(px, spec.qty) < instrument.notional_min:
        least = to_plain(instrument.notional_min)
        raise ApiError(
            -4164,
            f"Order's notional must be no smaller than {least} (unless you choose reduce only)",
        )
