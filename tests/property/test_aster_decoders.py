"""Mutated Aster frames: each decodes to a valid value or is refused, and nothing else."""

import json
import random
from collections.abc import Callable
from decimal import Decimal, InvalidOperation

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream.domain.fill import AccountSnapshot, AccountUpdate, Fill
from slipstream.domain.order import OrderReport
from slipstream.domain.outcome import Accepted
from slipstream.errors import DecodeError
from slipstream.transport.clock import SystemClock
from slipstream.units import SCALE, TimeNs
from slipstream.venues.aster import answers, faults, market, rules, wire
from slipstream.venues.aster.events import UserEventDecoder

NOW = TimeNs(1)

ORDER = (
    b'{"clientOrderId":"cp-7f3a","cumQty":"0.297","cumQuote":"21884.5935","executedQty":"0.297",'
    b'"orderId":22542179,"avgPrice":"73685.50000","origQty":"0.297","price":"0","side":"BUY",'
    b'"reduceOnly":false,"positionSide":"BOTH","status":"FILLED","symbol":"BTCUSDT",'
    b'"timeInForce":"IOC","type":"LIMIT","updateTime":1773751963079}'
)
TRADE_EVENT = (
    b'{"e":"ORDER_TRADE_UPDATE","E":1773751963081,"T":1773751963079,"o":{"s":"BTCUSDT",'
    b'"c":"cp-7f3a","S":"BUY","o":"LIMIT","f":"IOC","q":"0.297","p":"0","ap":"73685.5","sp":"0",'
    b'"x":"TRADE","X":"PARTIALLY_FILLED","i":22542179,"l":"0.100","z":"0.100","L":"73685.5",'
    b'"N":"USDT","n":"2.57899","T":1773751963079,"t":128884613,"m":false,"R":false,"ps":"BOTH",'
    b'"rp":"0"}}'
)
ACCOUNT_EVENT = (
    b'{"e":"ACCOUNT_UPDATE","E":1773751963082,"T":1773751963079,"a":{"m":"ORDER",'
    b'"B":[{"a":"USDT","wb":"4997.42101","cw":"4997.42101","bc":"0"}],"P":[{"s":"BTCUSDT",'
    b'"pa":"0.100","ep":"73685.5","cr":"0","up":"0","mt":"cross","iw":"0","ps":"BOTH"}]}}'
)
CONFIG_EVENT = b'{"e":"ACCOUNT_CONFIG_UPDATE","E":1,"T":1,"ac":{"s":"BTCUSDT","l":25}}'
ACCOUNT = (
    b'{"updateTime":0,"totalInitialMargin":"1094.23","totalWalletBalance":"5000.0",'
    b'"totalMarginBalance":"5012.5","availableBalance":"3918.27","assets":[{"asset":"USDT",'
    b'"walletBalance":"5000.0","updateTime":1625474304765}],"positions":[{"symbol":"BTCUSDT",'
    b'"initialMargin":"1094.23","unrealizedProfit":"12.5","leverage":"20","entryPrice":"73643.4",'
    b'"positionSide":"BOTH","positionAmt":"0.297","updateTime":1773751963079}]}'
)
TRADES = (
    b'[{"buyer":false,"commission":"0.0027","id":698759,"maker":false,"orderId":25851813,'
    b'"price":"7819.01","qty":"0.002","side":"SELL","positionSide":"SHORT","symbol":"BTCUSDT",'
    b'"time":1569514978020}]'
)
EXCHANGE = (
    b'{"rateLimits":[{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,'
    b'"limit":2400}],"symbols":[{"symbol":"BTCUSDT","contractType":"PERPETUAL",'
    b'"status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[{"filterType":'
    b'"PRICE_FILTER","minPrice":"1","tickSize":"0.1"},{"filterType":"LOT_SIZE","minQty":"0.001",'
    b'"maxQty":"100","stepSize":"0.001"}],"orderTypes":["LIMIT"]}]}'
)
DIFF = (
    b'{"e":"depthUpdate","E":5,"T":4,"s":"BTCUSDT","U":157,"u":160,"pu":149,'
    b'"b":[["0.0024","10"]],"a":[["0.0026","100"]]}'
)
TICKER = (
    b'{"e":"bookTicker","u":400,"E":5,"T":4,"s":"BTCUSDT","b":"25.35","B":"31","a":"25.36","A":"4"}'
)
MARK = b'{"e":"markPriceUpdate","E":5,"s":"BTCUSDT","p":"11794.15","T":9}'
SNAPSHOT = b'{"lastUpdateId":7,"E":1,"T":1,"bids":[["1","2"]],"asks":[["3","4"]]}'


def user_event(raw: bytes) -> object:
    return UserEventDecoder("0xme", SystemClock()).decode(raw, NOW, stream="key")


def trades(raw: bytes) -> object:
    return answers.decode_trades(raw, account="0xme", symbol="BTCUSDT", received_ns=NOW)


def account(raw: bytes) -> object:
    return answers.decode_account(raw, account="0xme", received_ns=NOW)


CASES: list[tuple[Callable[[bytes], object], bytes]] = [
    (user_event, TRADE_EVENT),
    (user_event, ACCOUNT_EVENT),
    (user_event, CONFIG_EVENT),
    (answers.decode_order, ORDER),
    (account, ACCOUNT),
    (trades, TRADES),
    (rules.decode_exchange, EXCHANGE),
    (market.decode_market, DIFF),
    (market.decode_market, TICKER),
    (market.decode_market, MARK),
    (market.decode_depth_snapshot, SNAPSHOT),
]
NAMES = [f"{decode.__name__}-{index}" for index, (decode, _) in enumerate(CASES)]

hostile = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**40), 10**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=50),
    st.sampled_from(
        ["-1", "1e5", "NaN", "Infinity", "9" * 40, "0." + "1" * 40, "+5", "", " 1", "0x10", "1_0"]
    ),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=3),
)


def require_valid(found: object) -> None:
    """What is decoded keeps the domain's own rules."""
    for each in found if isinstance(found, list) else [found]:
        value = each[1] if isinstance(each, tuple) else each
        if isinstance(value, Fill):
            assert value.qty > 0
            assert value.px > 0
            assert value.id.trade_id.isdigit()
            assert value.id.account == "0xme"
        elif isinstance(value, OrderReport):
            assert value.filled_qty >= 0
            assert (value.average_px is None) == (value.filled_qty == 0)
        elif isinstance(value, AccountUpdate | AccountSnapshot):
            for position in value.positions:
                assert position.entry_px is None or position.entry_px > 0
        elif isinstance(value, market.Ticker):
            assert value.bid_px is None or value.ask_px is None or value.bid_px < value.ask_px
        elif isinstance(value, market.MarkPrice):
            assert value.px > 0


def attempt(decode: Callable[[bytes], object], raw: bytes) -> object | None:
    """Decode; a refusal must name something and stay short."""
    try:
        found = decode(raw)
    except DecodeError as error:
        words = str(error)
    else:
        require_valid(found)
        return found
    assert 0 < len(words) < 400
    return None


def paths(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Return the way to each part of a JSON value."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, each in value.items():
            found += paths(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            found += paths(each, (*path, index))
    return found


@pytest.mark.parametrize(("decode", "raw"), CASES, ids=NAMES)
def test_the_unchanged_frame_decodes(decode: Callable[[bytes], object], raw: bytes) -> None:
    assert attempt(decode, raw)


@pytest.mark.parametrize(("decode", "raw"), CASES, ids=NAMES)
@given(value=hostile, seed=st.integers(0, 2**32))
def test_a_value_of_another_kind_is_refused_or_valid(
    decode: Callable[[bytes], object], raw: bytes, value: object, seed: int
) -> None:
    frame = json.loads(raw)
    path = random.Random(seed).choice(paths(frame))
    at = frame
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    attempt(decode, json.dumps(frame).encode())


@pytest.mark.parametrize(("decode", "raw"), CASES, ids=NAMES)
@given(seed=st.integers(0, 2**32), noise=st.binary(max_size=6), cut=st.integers(0, 6))
def test_broken_bytes_are_refused_or_valid(
    decode: Callable[[bytes], object], raw: bytes, seed: int, noise: bytes, cut: int
) -> None:
    at = random.Random(seed).randrange(len(raw) + 1)
    attempt(decode, raw[:at] + noise + raw[at + cut :])


@pytest.mark.parametrize(
    ("decode", "raw"), [case for case in CASES if case[0] is not rules.decode_exchange]
)
@given(seed=st.integers(0, 2**32), blanks=st.sampled_from([b"", b" ", b"\n\t"]))
def test_a_repeated_key_is_refused(
    decode: Callable[[bytes], object], raw: bytes, seed: int, blanks: bytes
) -> None:
    colons = [index for index in range(1, len(raw)) if raw[index - 1 : index + 1] == b'":']
    at = random.Random(seed).choice(colons)
    begin = raw.rindex(b'"', 0, at - 1)
    repeated = raw[:begin] + raw[begin:at] + blanks + b":0," + raw[begin:]
    assert json.loads(repeated) == json.loads(raw)
    assert attempt(decode, repeated) is None


@given(
    text=st.one_of(
        st.text(max_size=45), st.from_regex(r"[+-]?\d{1,12}(\.\d{1,9})?", fullmatch=True)
    )
)
def test_an_amount_is_exact_or_refused(text: str) -> None:
    try:
        found = wire.amount(text, "here")
    except DecodeError as error:
        words = str(error)
    else:
        try:
            assert Decimal(found) == Decimal(text) * SCALE
        except InvalidOperation:
            pytest.fail(f"{text!r} was read as {found}")
        return
    assert words.startswith("here: ")


@given(status=st.integers(100, 599), raw=st.binary(max_size=80), code=st.integers(-9_999, 9_999))
def test_no_refusal_is_ever_taken_for_an_order(status: int, raw: bytes, code: int) -> None:
    for body in (raw, json.dumps({"code": code, "msg": raw.hex()}).encode()):
        outcome = faults.refusal(status, body, pause_ns=None)
        assert not isinstance(outcome, Accepted)
        if status >= 500:
            assert type(outcome).__name__ == "Unknown"
