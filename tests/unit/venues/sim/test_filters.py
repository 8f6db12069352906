"""Each filter of an order, with its documented code."""

import pytest

from slipstream.venues.sim.amounts import parse_raw
from slipstream.venues.sim.aster.errors import ApiError
from slipstream.venues.sim.aster.filters import read_instrument, read_order
from slipstream.venues.sim.instruments import listed_instruments
from slipstream.venues.sim.orders import OrderSpec

LISTED = listed_instruments()
MARK_PX = parse_raw("66410")
GOOD = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "IOC",
    "quantity": "0.010",
    "price": "66410.0",
}


def read(**changes: str | None) -> OrderSpec:
    merged = {**GOOD, **changes}
    parameters = {name: value for name, value in merged.items() if value is not None}
    return read_order(parameters, LISTED["BTCUSDT"], MARK_PX, "generated")


def test_a_good_order_is_read_exactly() -> None:
    spec = read(newClientOrderId="a.B:/9_-")
    assert (spec.qty, spec.limit_px) == (1_000_000, 6_641_000_000_000)
    assert spec.client_order_id == "a.B:/9_-"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"side": None}, -1102),
        ({"side": "HOLD"}, -1117),
        ({"type": "ICEBERG"}, -1116),
        ({"timeInForce": None}, -1102),
        ({"timeInForce": "GTE"}, -1115),
        ({"quantity": None}, -1102),
        ({"quantity": "1e3"}, -1100),
        ({"quantity": "-1"}, -4003),
        ({"quantity": "0"}, -4003),
        ({"quantity": "0.0001"}, -1111),
        ({"quantity": "9" * 40}, -1100),
        ({"quantity": "100000"}, -4005),
        ({"price": "66410.05"}, -1111),
        ({"price": "0"}, -4001),
        ({"price": "99999999"}, -4002),
        ({"price": "70000"}, -4016),
        ({"side": "SELL", "price": "60000"}, -4024),
        ({"quantity": "0.001", "price": "4000.0"}, -4164),
        ({"reduceOnly": "maybe"}, -1100),
        ({"newClientOrderId": "x" * 37}, -4015),
        ({"newClientOrderId": "a b"}, -4015),
        ({"positionSide": "UP"}, -4060),
        ({"type": "MARKET"}, -1106),
    ],
)
def test_a_bad_order_is_refused_with_its_code(changes: dict[str, str | None], code: int) -> None:
    with pytest.raises(ApiError) as refused:
        read(**changes)
    assert refused.value.code == code


def test_small_reductions_pass_the_notional_filter() -> None:
    assert read(quantity="0.001", price="4000.0", reduceOnly="true").reduce_only
    hedge = read(side="SELL", positionSide="LONG", quantity="0.001", price="66410")
    assert hedge.position_side == "LONG"


def test_unknown_symbols_are_refused() -> None:
    with pytest.raises(ApiError) as refused:
        read_instrument({"symbol": "NOPEUSDT"}, LISTED)
    assert refused.value.code == -1121


def test_every_step_divides_its_listing() -> None:
    for item in LISTED.values():
        assert item.centre_px % item.px_step == 0, item.symbol
        assert item.market_qty_max % item.qty_step == 0, item.symbol
