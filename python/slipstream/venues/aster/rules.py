"""Aster's exchangeInfo, decoded into instruments. No I/O.

An instrument whose rules do not fit is left out and named with the reason. Symbols that begin
with TEST are the venue's own and are never traded. Filter rules: aster.md, section 5.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from slipstream._core import CoreError, InstrumentRules
from slipstream.domain.instrument import Instrument
from slipstream.errors import DecodeError
from slipstream.units import SCALE
from slipstream.venues.aster import wire

__all__ = ["ExchangeRules", "decode_exchange"]

_PPM: Final = 1_000_000
_MULTIPLIER_MAX: Final = 1_000_000


class _Filter(msgspec.Struct):
    filterType: str  # noqa: N815 - the wire's names
    minPrice: str = "0"  # noqa: N815
    tickSize: str = "0"  # noqa: N815
    minQty: str = "0"  # noqa: N815
    maxQty: str = "0"  # noqa: N815
    stepSize: str = "0"  # noqa: N815
    notional: str = "0"
    multiplierUp: str = "0"  # noqa: N815
    multiplierDown: str = "0"  # noqa: N815


class _Symbol(msgspec.Struct):
    symbol: str
    status: str
    baseAsset: str  # noqa: N815
    quoteAsset: str  # noqa: N815
    filters: list[msgspec.Raw]
    contractType: str = "PERPETUAL"  # noqa: N815
    orderTypes: list[str] | None = None  # noqa: N815
    OrderType: list[str] | None = None
    timeInForce: list[str] | None = None  # noqa: N815


class _RateLimit(msgspec.Struct):
    rateLimitType: str  # noqa: N815
    interval: str
    intervalNum: wire.Count  # noqa: N815
    limit: wire.Count


class _Exchange(msgspec.Struct):
    symbols: list[msgspec.Raw]
    rateLimits: list[_RateLimit] = []  # noqa: N815


@dataclass(frozen=True, slots=True)
class ExchangeRules:
    """What exchangeInfo says. ``unfit``: symbol and why it was left out. Limits are per minute,
    ``None`` when the venue states none."""

    instruments: Mapping[str, Instrument]
    unfit: Mapping[str, str]
    weight_max: int | None
    order_count_max: int | None


_exchange = msgspec.json.Decoder(_Exchange).decode
_symbol = msgspec.json.Decoder(_Symbol).decode
_filter = msgspec.json.Decoder(_Filter).decode


def decode_exchange(raw: bytes) -> ExchangeRules:
    """Decode exchangeInfo.

    Raises:
        DecodeError: not an exchangeInfo at all; a single bad symbol is only left out.
    """
    body = wire.checked(_exchange, raw, "exchangeInfo", is_unique=False)
    instruments: dict[str, Instrument] = {}
    unfit: dict[str, str] = {}
    for index, each in enumerate(body.symbols):
        where = f"exchangeInfo $.symbols[{index}]"
        try:
            symbol = wire.checked(_symbol, bytes(each), where)
            name = wire.require_symbol(symbol.symbol, f"{where}.symbol")
        except DecodeError as error:
            unfit[where] = str(error)
            continue
        if name.startswith("TEST") or symbol.contractType != "PERPETUAL":
            continue
        if name in instruments:
            del instruments[name]
            unfit[name] = f"{where}: {name} is listed twice"
        elif name not in unfit:
            try:
                instruments[name] = _instrument(symbol, where)
            except (DecodeError, CoreError) as error:
                unfit[name] = str(error)
    if not instruments and unfit:
        first = next(iter(unfit.values()))
        raise DecodeError(f"exchangeInfo: no instrument fits; first: {first}")
    return ExchangeRules(
        instruments,
        unfit,
        _limit(body.rateLimits, "REQUEST_WEIGHT"),
        _limit(body.rateLimits, "ORDERS"),
    )


def _limit(limits: list[_RateLimit], kind: str) -> int | None:
    for each in limits:
        is_minute = each.interval == "MINUTE" and each.intervalNum == 1
        if each.rateLimitType == kind and is_minute and each.limit > 0:
            return each.limit
    return None


def _filters(symbol: _Symbol, where: str) -> dict[str, _Filter]:
    found: dict[str, _Filter] = {}
    for index, raw in enumerate(symbol.filters):
        each = wire.checked(_filter, bytes(raw), f"{where}.filters[{index}]")
        if each.filterType in found:
            raise DecodeError(f"{where}.filters[{index}]: {each.filterType} is listed twice")
        found[each.filterType] = each
    return found


def _instrument(symbol: _Symbol, where: str) -> Instrument:
    filters = _filters(symbol, where)
    for kind in ("PRICE_FILTER", "LOT_SIZE"):
        if kind not in filters:
            raise DecodeError(f"{where}.filters: expected {kind}")
    price, lot = filters["PRICE_FILTER"], filters["LOT_SIZE"]
    market, floor = filters.get("MARKET_LOT_SIZE"), filters.get("MIN_NOTIONAL")
    px_step = wire.positive(price.tickSize, f"{where} PRICE_FILTER.tickSize")
    qty_step = wire.positive(lot.stepSize, f"{where} LOT_SIZE.stepSize")
    _require_on_grid(price.minPrice, px_step, f"{where} PRICE_FILTER.minPrice")
    _require_on_grid(lot.minQty, qty_step, f"{where} LOT_SIZE.minQty")
    _require_order_kinds(symbol, where)
    qty_max = wire.number(lot.maxQty, f"{where} LOT_SIZE.maxQty")
    rules = InstrumentRules(
        px_step=px_step,
        qty_step=qty_step,
        qty_min=max(wire.number(lot.minQty, f"{where} LOT_SIZE.minQty"), qty_step),
        qty_max=qty_max or None,
        notional_min=0 if floor is None else wire.number(floor.notional, f"{where} MIN_NOTIONAL"),
        is_reduction_exempt=True,
    )
    band = filters.get("PERCENT_PRICE")
    market_max = 0 if market is None else wire.number(market.maxQty, f"{where} MARKET_LOT_SIZE")
    return Instrument(
        venue=wire.VENUE,
        symbol=symbol.symbol,
        base=symbol.baseAsset,
        quote=symbol.quoteAsset,
        rules=rules,
        is_trading=symbol.status == "TRADING",
        multiplier=_multiplier(symbol.baseAsset),
        band_up_ppm=None if band is None else _ppm(band.multiplierUp, where, up=True),
        band_down_ppm=None if band is None else _ppm(band.multiplierDown, where, up=False),
        market_qty_max=market_max or None,
    )


def _require_on_grid(text: str, step: int, where: str) -> None:
    """Steps count from the minimum (aster.md, section 5): it must lie on the grid from zero."""
    if wire.number(text, where) % step:
        raise DecodeError(f"{where}: expected a multiple of the step, found {wire.shown(text)}")


def _require_order_kinds(symbol: _Symbol, where: str) -> None:
    """The document prints ``OrderType``, the live answer ``orderTypes``."""
    kinds = symbol.orderTypes if symbol.orderTypes is not None else symbol.OrderType
    if kinds is not None and "LIMIT" not in kinds:
        raise DecodeError(f"{where}.orderTypes: expected LIMIT among them")
    if symbol.timeInForce is not None and "IOC" not in symbol.timeInForce:
        raise DecodeError(f"{where}.timeInForce: expected IOC among them")


def _ppm(text: str, where: str, *, up: bool) -> int | None:
    """Return a PERCENT_PRICE bound as a distance from the mark, ``None`` when it is off."""
    multiplier = wire.number(text, f"{where} PERCENT_PRICE")
    if multiplier == 0:
        return None
    distance = multiplier - SCALE if up else SCALE - multiplier
    if distance < 0:
        raise DecodeError(f"{where} PERCENT_PRICE: the bound {wire.shown(text)} excludes the mark")
    return distance * _PPM // SCALE


def _multiplier(base: str) -> int:
    """Return the units one contract unit stands for: ``1000PEPE`` is a thousand PEPE."""
    digits = base[: len(base) - len(base.lstrip("0123456789"))]
    if len(digits) < 4 or len(digits) == len(base) or digits.strip("0") != "1":  # noqa: PLR2004
        return 1
    multiplier = int(digits)
    return multiplier if multiplier <= _MULTIPLIER_MAX else 1
