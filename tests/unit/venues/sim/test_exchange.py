"""Order life cycles, margin and modes of the matching core."""

import orjson
import pytest

from slipstream.venues.sim.amounts import parse_raw
from slipstream.venues.sim.matching import BUY, SELL
from slipstream.venues.sim.orders import Refused, Status, TimeInForce, Why
from unit.venues.sim.venue_parts import NOW_NS, open_account, open_exchange, send, spec_of


def test_partly_filled_ioc_expires_with_what_it_got() -> None:
    exchange, notes = open_exchange()
    account = open_account(exchange)
    order = send(exchange, account, spec_of(BUY, "2.5", "100.2"))
    assert (order.status, order.filled_qty) == (Status.EXPIRED, parse_raw("2"))
    kinds = [(execution, status) for _, execution, status, _ in notes.orders]
    assert kinds == [
        ("NEW", "NEW"),
        ("TRADE", "PARTIALLY_FILLED"),
        ("TRADE", "PARTIALLY_FILLED"),
        ("EXPIRED", "EXPIRED"),
    ]
    assert account.open_orders == {}


def test_all_fills_of_one_match_share_their_time_with_the_account_event() -> None:
    exchange, notes = open_exchange()
    account = open_account(exchange)
    order = send(exchange, account, spec_of(BUY, "2", None))
    times = {fill.at_ms for fill in order.fills} | {row[2] for row in notes.accounts}
    assert len(times) == 1
    assert notes.accounts == [("0xa", {"BOTH": parse_raw("2")}, times.pop())]


def test_fok_takes_all_or_nothing() -> None:
    exchange, _ = open_exchange()
    account = open_account(exchange)
    fok = {"time_in_force": TimeInForce.FOK}
    short = send(exchange, account, spec_of(BUY, "2.1", "100.2", **fok))
    assert (short.status, short.filled_qty) == (Status.EXPIRED, 0)
    full = send(exchange, account, spec_of(BUY, "2", "100.2", **fok))
    assert full.status is Status.FILLED


def test_post_only_rests_and_expires_when_it_would_cross() -> None:
    exchange, _ = open_exchange()
    account = open_account(exchange)
    gtx = {"time_in_force": TimeInForce.GTX}
    crossing = send(exchange, account, spec_of(BUY, "1", "100.1", **gtx))
    assert (crossing.status, crossing.filled_qty) == (Status.EXPIRED, 0)
    resting = send(exchange, account, spec_of(BUY, "1", "100", **gtx))
    assert resting.status is Status.NEW
    assert exchange.books["BTCUSDT"].bids.best_px() == parse_raw("100")


def test_a_crossing_background_quote_fills_a_resting_order() -> None:
    exchange, notes = open_exchange()
    account = open_account(exchange)
    gtc = {"time_in_force": TimeInForce.GTC}
    order = send(exchange, account, spec_of(BUY, "1", "100", **gtc))
    exchange.quote("BTCUSDT", [(SELL, parse_raw("100"), parse_raw("3"))], NOW_NS)
    assert order.status is Status.FILLED
    assert order.fills[0].is_maker
    assert exchange.books["BTCUSDT"].asks.top(1) == [(parse_raw("100"), parse_raw("2"))]
    assert notes.accounts[-1][1] == {"BOTH": parse_raw("1")}


def test_both_sides_of_a_trade_share_its_id() -> None:
    exchange, _ = open_exchange()
    maker, taker = open_account(exchange, "0xm"), open_account(exchange, "0xt")
    gtc = {"time_in_force": TimeInForce.GTC}
    resting = send(exchange, maker, spec_of(SELL, "1", "100", **gtc))
    taking = send(exchange, taker, spec_of(BUY, "1.5", None))
    assert taking.fills[0].trade_id == resting.fills[0].trade_id
    assert taking.fills[1].trade_id != taking.fills[0].trade_id


def test_reduce_only_stops_at_flat_and_is_refused_when_flat() -> None:
    exchange, _ = open_exchange()
    account = open_account(exchange)
    send(exchange, account, spec_of(BUY, "1", None))
    closing = send(exchange, account, spec_of(SELL, "2", None, reduce_only=True))
    assert (closing.status, closing.filled_qty) == (Status.EXPIRED, parse_raw("1"))
    with pytest.raises(Refused) as refused:
        send(exchange, account, spec_of(SELL, "1", None, reduce_only=True))
    assert refused.value.why is Why.REDUCE_ONLY


def test_hedge_mode_keeps_two_positions_and_demands_a_side() -> None:
    exchange, _ = open_exchange()
    account = open_account(exchange)
    account.hedge = True
    send(exchange, account, spec_of(BUY, "1", None, position_side="LONG"))
    send(exchange, account, spec_of(SELL, "0.5", None, position_side="SHORT"))
    held = {side: item.qty for (_, side), item in account.positions.items()}
    assert held == {"LONG": parse_raw("1"), "SHORT": -parse_raw("0.5")}
    cases = [
        (spec_of(BUY, "1", None), Why.POSITION_SIDE),
        (spec_of(SELL, "2", None, position_side="LONG"), Why.REDUCE_ONLY),
        (
            spec_of(SELL, "1", None, position_side="LONG", reduce_only=True),
            Why.REDUCE_ONLY_VALUE,
        ),
    ]
    for spec, why in cases:
        with pytest.raises(Refused) as refused:
            send(exchange, account, spec)
        assert refused.value.why is why


def test_margin_counts_leverage_and_open_orders_and_spares_reductions() -> None:
    exchange, _ = open_exchange()
    account = open_account(exchange, balance="10")
    account.leverages["BTCUSDT"] = 10
    gtc = {"time_in_force": TimeInForce.GTC}
    send(exchange, account, spec_of(BUY, "0.9", "99", client_order_id="rest", **gtc))
    with pytest.raises(Refused) as refused:
        send(exchange, account, spec_of(BUY, "0.2", None))
    assert refused.value.why is Why.MARGIN
    send(exchange, account, spec_of(BUY, "0.1", None))
    account.balance = 0
    assert send(exchange, account, spec_of(SELL, "0.1", None)).status is Status.FILLED


def test_client_ids_are_unique_only_among_open_orders() -> None:
    exchange, _ = open_exchange()
    account = open_account(exchange)
    send(exchange, account, spec_of(BUY, "0.1", None))
    send(exchange, account, spec_of(BUY, "0.1", None))
    gtc = {"time_in_force": TimeInForce.GTC}
    resting = send(exchange, account, spec_of(BUY, "0.1", "99", **gtc))
    with pytest.raises(Refused) as refused:
        send(exchange, account, spec_of(BUY, "0.1", None))
    assert refused.value.why is Why.DUPLICATE_ID
    exchange.cancel(account, resting, NOW_NS)
    assert send(exchange, account, spec_of(BUY, "0.1", None)).status is Status.FILLED


def test_printed_fills_leave_the_book_alone() -> None:
    exchange, notes = open_exchange()
    account = open_account(exchange)
    sequence = exchange.books["BTCUSDT"].sequence
    rows = [(parse_raw("77"), parse_raw("1")), (parse_raw("78"), parse_raw("2"))]
    spec = spec_of(SELL, "3", None)
    order = exchange.print_fills(account, spec, rows, NOW_NS)
    assert order.status is Status.FILLED
    assert exchange.books["BTCUSDT"].sequence == sequence
    assert account.position("BTCUSDT", "BOTH").qty == -parse_raw("3")
    assert [status for _, _, status, _ in notes.orders] == [
        "NEW",
        "PARTIALLY_FILLED",
        "FILLED",
    ]


def test_the_log_rebuilds_the_book_and_places_each_fill() -> None:
    exchange, _ = open_exchange()
    account = open_account(exchange)
    book = exchange.books["BTCUSDT"]
    order = send(exchange, account, spec_of(BUY, "1.5", "100.2"))
    halves: dict[str, dict[str, str]] = {"bids": {}, "asks": {}}
    fills = []
    for line in map(orjson.loads, exchange.log.lines_after(0)):
        if line["kind"] == "book":
            for name, levels in halves.items():
                levels.update(line[name])
        elif line["kind"] == "fill":
            fills.append(line)
    left = {px: qty for px, qty in halves["asks"].items() if qty != "0"}
    assert left == {"100.2": "0.5", "100.3": "1"}
    assert {row["book_sequence"] for row in fills} == {book.sequence}
    assert order.arrival_sequence == book.sequence - 1
    assert sum(parse_raw(row["qty"]) for row in fills) == parse_raw("1.5")
