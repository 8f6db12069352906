"""exchangeInfo, market frames, nonces, parameters and books of Aster."""

import json
from typing import Any

import pytest

from slipstream._core import PositionSide, Side
from slipstream.domain.ids import ClientOrderId
from slipstream.domain.order import OrderRequest
from slipstream.errors import ConfigError, DecodeError
from slipstream.units import Px, Qty, TimeNs
from slipstream.venues.aster import market
from slipstream.venues.aster.auth import order_parameters, purpose
from slipstream.venues.aster.depth import SymbolBook
from slipstream.venues.aster.rules import decode_exchange
from slipstream.venues.base import Best
from slipstream.venues.nonce import NonceSource, VenueClock


def symbol(name: str = "BTCUSDT", **fields: object) -> dict[str, Any]:
    return {
        "symbol": name,
        "contractType": "PERPETUAL",
        "status": "TRADING",
        "baseAsset": name.removesuffix("USDT"),
        "quoteAsset": "USDT",
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "1", "maxPrice": "9", "tickSize": "0.1"},
            {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "100", "stepSize": "0.001"},
            {"filterType": "MARKET_LOT_SIZE", "minQty": "0.001", "maxQty": "10", "stepSize": "1"},
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
            {"filterType": "PERCENT_PRICE", "multiplierUp": "1.05", "multiplierDown": "0.93"},
        ],
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC"],
        **fields,
    }


def exchange(*symbols: dict[str, Any]) -> bytes:
    limits = [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400},
        {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
    ]
    return json.dumps({"rateLimits": limits, "symbols": symbols}).encode()


def test_an_instrument_takes_its_rules_from_the_filters() -> None:
    rules = decode_exchange(exchange(symbol()))
    found = rules.instruments["BTCUSDT"]
    assert (found.base, found.quote, found.multiplier) == ("BTC", "USDT", 1)
    assert (found.rules.px_step, found.rules.qty_step) == (10_000_000, 100_000)
    assert (found.rules.qty_min, found.rules.qty_max) == (100_000, 10_000_000_000)
    assert found.rules.notional_min == 500_000_000
    assert found.market_qty_max == 1_000_000_000
    assert (found.band_up_ppm, found.band_down_ppm) == (50_000, 70_000)
    assert found.is_trading
    assert (rules.weight_max, rules.order_count_max) == (2400, 1200)
    assert rules.unfit == {}


def test_both_spellings_of_the_order_kinds_are_read() -> None:
    old = symbol(OrderType=["MARKET"])
    del old["orderTypes"]
    rules = decode_exchange(exchange(symbol("AUSDT"), old))
    assert list(rules.instruments) == ["AUSDT"]
    assert "LIMIT" in rules.unfit["BTCUSDT"]


def test_internal_and_dated_contracts_are_left_out_silently() -> None:
    rules = decode_exchange(
        exchange(symbol(), symbol("TESTUSDT"), symbol("ETHUSDT", contractType="NEXT_QUARTER"))
    )
    assert list(rules.instruments) == ["BTCUSDT"]
    assert rules.unfit == {}


def test_a_closed_instrument_is_listed_and_does_not_trade() -> None:
    rules = decode_exchange(exchange(symbol(status="SETTLING")))
    assert not rules.instruments["BTCUSDT"].is_trading


@pytest.mark.parametrize(
    ("name", "multiplier"), [("1000PEPEUSDT", 1000), ("1INCHUSDT", 1), ("1000000MOGUSDT", 10**6)]
)
def test_a_multiplier_is_read_from_the_name(name: str, multiplier: int) -> None:
    assert decode_exchange(exchange(symbol(name))).instruments[name].multiplier == multiplier


@pytest.mark.parametrize(
    ("index", "fields", "words"),
    [
        (0, {"tickSize": "0"}, "tickSize"),
        (0, {"tickSize": "0.000000001"}, "tickSize"),
        (0, {"tickSize": "9" * 40}, "tickSize"),
        (0, {"tickSize": 0.1}, "tickSize"),
        (0, {"minPrice": "1.05"}, "minPrice"),
        (1, {"stepSize": "-1"}, "stepSize"),
        (1, {"filterType": "PRICE_FILTER"}, "twice"),
        (1, {"filterType": "OTHER"}, "LOT_SIZE"),
        (5, {"multiplierUp": "0.9"}, "PERCENT_PRICE"),
    ],
)
def test_an_instrument_that_does_not_fit_is_left_out_by_name(
    index: int, fields: dict[str, object], words: str
) -> None:
    bad = symbol("BADUSDT")
    bad["filters"][index].update(fields)
    rules = decode_exchange(exchange(symbol(), bad))
    assert list(rules.instruments) == ["BTCUSDT"]
    assert words in rules.unfit["BADUSDT"]


def test_an_instrument_listed_twice_is_not_trusted() -> None:
    rules = decode_exchange(exchange(symbol(), symbol("AUSDT"), symbol(), symbol()))
    assert list(rules.instruments) == ["AUSDT"]
    assert "twice" in rules.unfit["BTCUSDT"]


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b'{"symbols":3}', exchange(symbol("X Y"))])
def test_what_is_no_exchange_info_is_refused(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_exchange(raw)


DIFF = b'{"e":"depthUpdate","E":5,"T":4,"s":"BTCUSDT","U":157,"u":160,"pu":149,"b":[["0.0024","10"]],"a":[["0.0026","100"]]}'  # noqa: E501
TICKER = (
    b'{"e":"bookTicker","u":400,"E":5,"T":4,"s":"BTCUSDT","b":"25.35","B":"31","a":"25.36","A":"4"}'
)
MARK = b'{"e":"markPriceUpdate","E":5,"s":"BTCUSDT","p":"11794.15","i":"1","P":"1","r":"0","T":9}'


def test_market_frames_are_read() -> None:
    diff = market.decode_market(DIFF)
    assert isinstance(diff, market.DepthUpdate)
    assert (diff.U, diff.u, diff.pu, diff.b) == (157, 160, 149, [("0.0024", "10")])
    ticker = market.Ticker("BTCUSDT", 400, Px(2_535_000_000), Px(2_536_000_000))
    assert market.decode_market(TICKER) == ticker
    assert market.decode_market(b'{"stream":"x","data":' + TICKER + b"}") == ticker
    assert market.decode_market(MARK) == market.MarkPrice("BTCUSDT", Px(1_179_415_000_000))
    assert market.decode_market(b'{"result":null,"id":1}') == market.ControlReply(1)
    refused = market.decode_market(b'{"code":2,"msg":"no such stream"}')
    assert isinstance(refused, market.ControlReply)
    assert refused.reason is not None
    assert market.decode_market(b'{"e":"aggTrade"}') is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        DIFF.replace(b'"u":160', b'"u":150'),
        DIFF.replace(b'"u":160', b'"u":160,"u":161'),
        DIFF.replace(b'"u":160', b'"u" :160,"u": 161'),
        DIFF.replace(b'"10"', b"10"),
        DIFF.replace(b'["0.0024","10"]', b'["0.0024"]'),
        TICKER.replace(b'"b":"25.35"', b'"b":"-1"'),
        TICKER.replace(b'"b":"25.35"', b'"b":"26"'),
        TICKER.replace(b'"b":"25.35"', b'"b":"1","b":"25.35"'),
        MARK.replace(b'"p":"11794.15"', b'"p":"0"'),
        MARK.replace(b'"p":"11794.15"', b'"p":' + b'"' + b"9" * 40 + b'"'),
        DIFF.replace(b"BTCUSDT", b"\xff\xfe"),
    ],
)
def test_hostile_market_frames_are_refused(raw: bytes) -> None:
    with pytest.raises(DecodeError):
        market.decode_market(raw)


def diff(first: int, last: int, previous: int, px: str = "99") -> market.DepthUpdate:
    return market.DepthUpdate(
        E=last, T=last, s="BTCUSDT", U=first, u=last, pu=previous, b=[(px, "1")], a=[]
    )


def snapshot(sequence: int) -> market.DepthSnapshot:
    return market.DepthSnapshot(
        lastUpdateId=sequence, bids=[("98", "1")], asks=[("101", "1")], T=sequence
    )


def test_a_book_waits_for_its_snapshot_and_replays_what_was_buffered() -> None:
    book = SymbolBook("BTCUSDT", depth_max=100)
    book.on_diff(diff(1, 5, 0), TimeNs(1))
    book.on_diff(diff(6, 9, 5, "100"), TimeNs(2))
    assert book.is_waiting
    assert book.view() is None
    assert book.on_snapshot(snapshot(7), TimeNs(3))
    view = book.view()
    assert view is not None
    assert view.sequence == 9
    assert view.best_bid == (100 * 10**8, 10**8)
    assert not book.is_gapped


def test_a_book_without_a_diff_asks_for_no_snapshot() -> None:
    assert not SymbolBook("BTCUSDT", depth_max=100).is_waiting


def test_a_snapshot_older_than_the_buffer_is_not_enough() -> None:
    book = SymbolBook("BTCUSDT", depth_max=100)
    book.on_diff(diff(6, 9, 5), TimeNs(1))
    assert not book.on_snapshot(snapshot(3), TimeNs(2))
    assert book.view() is None
    assert book.is_waiting
    assert book.on_snapshot(snapshot(8), TimeNs(3))
    assert not book.is_waiting


def test_a_missing_diff_takes_the_book_away_until_the_next_snapshot() -> None:
    book = SymbolBook("BTCUSDT", depth_max=100)
    book.on_diff(diff(6, 9, 5), TimeNs(1))
    assert book.on_snapshot(snapshot(8), TimeNs(2))
    book.on_diff(diff(12, 14, 11), TimeNs(3))
    assert book.view() is None
    assert book.is_gapped
    assert book.is_waiting
    assert book.on_snapshot(snapshot(13), TimeNs(4))
    assert book.view() is not None
    assert book.gap_count == 1


def test_a_newer_best_bid_drops_the_levels_it_leaves_behind() -> None:
    book = SymbolBook("BTCUSDT", depth_max=100)
    book.on_diff(diff(6, 9, 5, "100"), TimeNs(1))
    assert book.on_snapshot(snapshot(8), TimeNs(2))
    hundred = 100 * 10**8
    book.on_ticker(market.Ticker("BTCUSDT", 9, Px(99 * 10**8), Px(101 * 10**8)))
    view = book.view()
    assert view is not None
    assert view.best_bid == (hundred, 10**8)
    book.on_ticker(market.Ticker("BTCUSDT", 10, Px(99 * 10**8), Px(101 * 10**8)))
    view = book.view()
    assert view is not None
    assert view.best_bid == (98 * 10**8, 10**8)
    assert book.best == Best(Px(99 * 10**8), Px(101 * 10**8), 10)


def test_a_lost_socket_leaves_nothing_known() -> None:
    book = SymbolBook("BTCUSDT", depth_max=100)
    book.on_diff(diff(6, 9, 5), TimeNs(1))
    assert book.on_snapshot(snapshot(8), TimeNs(2))
    book.on_mark(Px(1), TimeNs(0))
    book.on_lost()
    assert book.view() is None
    assert book.best is None
    assert book.mark_px is None


def test_a_mark_that_was_told_too_long_ago_is_none() -> None:
    book = SymbolBook("BTCUSDT", depth_max=100)
    assert book.fresh_mark_px(TimeNs(5), age_ns_max=10) is None
    book.on_mark(Px(7), TimeNs(5))
    assert book.fresh_mark_px(TimeNs(15), age_ns_max=10) == Px(7)
    assert book.fresh_mark_px(TimeNs(16), age_ns_max=10) is None


class SteppingClock:
    """A monotonic clock that moves on by hand, and a wall clock that steps; in microseconds."""

    def __init__(self, wall_us: int) -> None:
        """Begin some time after the machine's start."""
        self.monotonic_us = 7_000
        self.step_us = wall_us - self.monotonic_us

    def now_ns(self) -> TimeNs:
        return TimeNs(self.monotonic_us * 1_000)

    def wall_us(self) -> int:
        return self.monotonic_us + self.step_us


@pytest.mark.parametrize("step_us", [-86_400_000_000, -600, 600, 3_600_000_000])
def test_nonces_rise_with_the_monotonic_clock_whatever_the_wall_clock_does(step_us: int) -> None:
    clock = SteppingClock(10**15)
    source = NonceSource(VenueClock(clock))
    assert [source.take(), source.take()] == [10**15, 10**15 + 1]
    clock.step_us += step_us
    clock.monotonic_us += 50
    assert [source.take(), source.take()] == [10**15 + 50, 10**15 + 51]


def test_nonces_follow_the_venues_clock_and_never_fall() -> None:
    clock = SteppingClock(10_000)
    venue_clock = VenueClock(clock)
    source = NonceSource(venue_clock)
    venue_clock.set_from(13, sent_ns=TimeNs(6_000_000), received_ns=TimeNs(8_000_000))
    assert source.take() == 13_000
    assert venue_clock.offset_us == 3_000
    venue_clock.set_from(5, sent_ns=TimeNs(6_000_000), received_ns=TimeNs(8_000_000))
    assert source.take() == 13_001


@pytest.mark.parametrize("step_us", [-7_200_000_000, -500_001, 500_001, 60_000_000])
def test_a_clock_that_stepped_is_doubted_until_the_venues_is_read(step_us: int) -> None:
    clock = SteppingClock(10**15)
    venue_clock = VenueClock(clock)
    assert not venue_clock.is_doubted
    clock.step_us += step_us
    assert venue_clock.is_doubted
    venue_clock.set_from(10**12, sent_ns=clock.now_ns(), received_ns=clock.now_ns())
    assert not venue_clock.is_doubted
    assert venue_clock.now_ms() == 10**12


@pytest.mark.parametrize("step_us", [-500_000, 500_000])
def test_a_clock_that_is_slewed_a_little_is_trusted(step_us: int) -> None:
    clock = SteppingClock(10**15)
    venue_clock = VenueClock(clock)
    clock.step_us += step_us
    assert not venue_clock.is_doubted


def order(lane: PositionSide, *, is_reduction: bool) -> OrderRequest:
    return OrderRequest(
        ClientOrderId("sabc"), "BTCUSDT", Side.SELL, lane, Qty(1), Px(1), is_reduction, "0.1", "7"
    )


@pytest.mark.parametrize(
    ("wanted", "extra"),
    [
        (order(PositionSide.NET, is_reduction=False), {}),
        (order(PositionSide.NET, is_reduction=True), {"reduceOnly": "true"}),
        (order(PositionSide.LONG, is_reduction=True), {"positionSide": "LONG"}),
        (order(PositionSide.SHORT, is_reduction=False), {"positionSide": "SHORT"}),
    ],
)
def test_an_order_says_what_its_mode_wants_and_no_more(
    wanted: OrderRequest, extra: dict[str, str]
) -> None:
    parameters = order_parameters(wanted, 17)
    assert parameters[0] == ("newClientOrderId", "sabc")
    assert parameters[-1] == ("nonce", "17")
    assert dict(parameters) == {
        "newClientOrderId": "sabc",
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "LIMIT",
        "timeInForce": "IOC",
        "quantity": "0.1",
        "price": "7",
        "newOrderRespType": "RESULT",
        "nonce": "17",
        **extra,
    }
    assert len(dict(parameters)) == len(parameters)


def test_a_purpose_is_of_a_chain_we_know() -> None:
    assert purpose("testnet") == "aster-testnet"
    with pytest.raises(ConfigError, match="mainnet or testnet"):
        purpose("moon")
