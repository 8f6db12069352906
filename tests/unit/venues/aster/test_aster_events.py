"""User-data frames of aster.md, section 8, and what hostile ones end in."""

import json
from typing import Any

import pytest

from slipstream._core import PositionSide, Side
from slipstream.domain.fill import AccountUpdate, Fill, LeverageUpdate, PositionDoubt
from slipstream.domain.order import OrderReport, OrderState
from slipstream.errors import DecodeError
from slipstream.transport.clock import SystemClock
from slipstream.units import TimeNs
from slipstream.venues.aster.events import (
    HeartbeatReply,
    ListenKeyExpired,
    ModeChanged,
    UserEventDecoder,
)

TRADE = (
    '{"e":"ORDER_TRADE_UPDATE","E":1773751963081,"T":1773751963079,"o":{"s":"BTCUSDT",'
    '"c":"cp-7f3a-000123","S":"BUY","o":"MARKET","f":"GTC","q":"0.297","p":"0","ap":"73685.5",'
    '"sp":"0","x":"TRADE","X":"PARTIALLY_FILLED","i":22542179,"l":"0.100","z":"0.100",'
    '"L":"73685.5","N":"USDT","n":"2.57899","T":1773751963079,"t":128884613,"b":"0","a":"0",'
    '"m":false,"R":false,"wt":"CONTRACT_PRICE","ot":"MARKET","ps":"BOTH","cp":false,"rp":"0"}}'
)
ACCOUNT = (
    '{"e":"ACCOUNT_UPDATE","E":1773751963082,"T":1773751963079,"a":{"m":"ORDER",'
    '"B":[{"a":"USDT","wb":"4997.42101","cw":"4997.42101","bc":"0"}],'
    '"P":[{"s":"BTCUSDT","pa":"0.100","ep":"73685.50000","cr":"0","up":"-1.5","mt":"cross",'
    '"iw":"0","ps":"BOTH"}]}}'
)
NOW = TimeNs(77)


def decode(text: str, stream: str | None = None) -> list[object]:
    decoder = UserEventDecoder("0xme", SystemClock())
    return list(decoder.decode(text.encode(), NOW, stream=stream))


def changed(text: str, part: str, **fields: object) -> str:
    frame: dict[str, Any] = json.loads(text)
    frame[part].update(fields)
    return json.dumps(frame)


def test_a_trade_is_a_fill_and_a_report() -> None:
    fill, report = decode(TRADE)
    assert isinstance(fill, Fill)
    assert fill.id == ("aster", "0xme", "BTCUSDT", "22542179", "128884613", 1773751963079)
    assert (fill.side, fill.position_side) == (Side.BUY, PositionSide.NET)
    assert (fill.qty, fill.px) == (10_000_000, 7_368_550_000_000)
    assert fill.is_taker
    assert not fill.is_liquidation
    assert fill.client_order_id == "cp-7f3a-000123"
    assert fill.received_ns == NOW
    assert isinstance(report, OrderReport)
    assert (report.state, report.filled_qty) == (OrderState.PARTLY_FILLED, 10_000_000)
    assert report.average_px == 7_368_550_000_000


def test_a_new_order_is_a_report_alone() -> None:
    fields = {"x": "NEW", "X": "NEW", "l": "0", "z": "0", "L": "0", "ap": "0.0000", "t": 0}
    (report,) = decode(changed(TRADE, "o", **fields))
    assert isinstance(report, OrderReport)
    assert report.average_px is None


@pytest.mark.parametrize(
    ("fields", "kinds"),
    [
        ({"c": "autoclose-1", "x": "CALCULATED"}, [Fill, OrderReport, PositionDoubt]),
        ({"c": "autoclose-1", "x": "CALCULATED", "t": 0}, [OrderReport, PositionDoubt]),
        ({"c": "autoclose-1", "x": "CALCULATED", "l": "0"}, [OrderReport, PositionDoubt]),
        ({"c": "adl_autoclose", "X": "NEW_ADL"}, [Fill, OrderReport, PositionDoubt]),
        ({"t": 0}, [OrderReport, PositionDoubt]),
        ({"x": "EXPIRED", "X": "EXPIRED"}, [OrderReport]),
    ],
)
def test_a_liquidation_or_a_nameless_execution_asks_for_the_position(
    fields: dict[str, object], kinds: list[type]
) -> None:
    events = decode(changed(TRADE, "o", **fields))
    assert [type(event) for event in events] == kinds
    for event in events:
        if isinstance(event, Fill):
            assert event.is_liquidation


def test_an_account_update_carries_wallet_and_positions() -> None:
    (update,) = decode(ACCOUNT)
    assert isinstance(update, AccountUpdate)
    assert update.wallet == 499_742_101_000
    assert update.venue_ts_ms == 1773751963079
    assert update.reason == "ORDER"
    (position,) = update.positions
    assert (position.qty, position.unrealised) == (10_000_000, -150_000_000)
    assert position.leverage is None
    assert position.initial_margin is None


def test_funding_has_no_positions_and_another_asset_no_wallet() -> None:
    frame = {"m": "FUNDING_FEE", "B": [{"a": "USD1", "wb": "1"}]}
    (update,) = decode(json.dumps({"e": "ACCOUNT_UPDATE", "E": 1, "T": 1, "a": frame}))
    assert isinstance(update, AccountUpdate)
    assert update.wallet is None
    assert update.positions == ()


@pytest.mark.parametrize("text", ["0.5", "-0.5"])
def test_a_short_side_is_negative_whatever_its_sign(text: str) -> None:
    frame = json.loads(ACCOUNT)
    frame["a"]["P"][0].update(ps="SHORT", pa=text)
    (update,) = decode(json.dumps(frame))
    assert isinstance(update, AccountUpdate)
    assert update.positions[0].qty == -50_000_000


def test_settings_expiry_and_control_answers() -> None:
    (leverage,) = decode('{"e":"ACCOUNT_CONFIG_UPDATE","E":1,"T":1,"ac":{"s":"BTCUSDT","l":25}}')
    assert leverage == LeverageUpdate("0xme", "BTCUSDT", 25, NOW)
    (mode,) = decode('{"e":"ACCOUNT_CONFIG_UPDATE","E":1,"T":1,"ai":{"j":true,"d":true}}')
    assert isinstance(mode, ModeChanged)
    (expired,) = decode('{"e":"listenKeyExpired","E":1576653824250}')
    assert isinstance(expired, ListenKeyExpired)
    for reply in ('{"result":["x"],"id":3}', '{"code":2,"msg":"no"}'):
        assert [type(event) for event in decode(reply)] == [HeartbeatReply]
    assert decode('{"e":"announcement","anything":[1,{}]}') == []


def test_a_wrapped_event_must_be_of_this_stream() -> None:
    wrapped = f'{{"stream":"mine","data":{TRADE}}}'
    assert len(decode(wrapped, stream="mine")) == 2
    with pytest.raises(DecodeError, match="this account's stream"):
        decode(wrapped, stream="other")


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"l": 0.1}, r"\$\.o\.l"),
        ({"l": "-0.1"}, r"\$\.o\.l"),
        ({"L": "-73685.5"}, r"\$\.o\.L"),
        ({"L": "0"}, r"\$\.o\.L"),
        ({"L": "1" * 40}, r"\$\.o\.L.*40|\$\.o\.L"),
        ({"L": "1e5"}, r"\$\.o\.L"),
        ({"L": "NaN"}, r"\$\.o\.L"),
        ({"L": "0.000000001"}, r"\$\.o\.L"),
        ({"z": "\u0661"}, r"\$\.o\.z"),
        ({"S": "HOLD"}, r"\$\.o\.S"),
        ({"ps": "NONE"}, r"\$\.o\.ps"),
        ({"X": "MAYBE"}, r"\$\.o\.X"),
        ({"t": -1}, r"\$\.o\.t"),
        ({"t": 10**40}, r"\$\.o\.t|range"),
        ({"i": "22542179"}, r"\$\.o\.i"),
        ({"s": ""}, r"\$\.o\.s"),
        ({"s": "BTC USDT\n"}, r"\$\.o\.s"),
        ({"m": "false"}, r"\$\.o\.m"),
        ({"ap": "0"}, r"\$\.o\.ap"),
    ],
)
def test_a_hostile_trade_is_refused_and_names_the_place(
    fields: dict[str, object], place: str
) -> None:
    with pytest.raises(DecodeError, match=place):
        decode(changed(TRADE, "o", **fields))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "3",
        "{",
        "{}",
        '{"e":null}',
        '{"e":"ORDER_TRADE_UPDATE"}',
        TRADE.replace('"l":"0.100"', '"l":"0.100","l":"9"'),
        TRADE.replace('"T":1773751963079,"o"', '"T":1,"T":1773751963079,"o"'),
        ACCOUNT.replace('"wb":"4997.42101"', '"wb":"1","wb":"4997.42101"'),
        ACCOUNT.replace('"wb":"4997.42101"', '"wb":NaN'),
        "[" * 100_000,
    ],
)
def test_what_is_no_event_or_says_things_twice_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        decode(text)
