"""Amounts, frames, streams, faults, ladders and the recorded slice."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream.venues.sim.amounts import AmountError, parse_raw, to_plain, to_text
from slipstream.venues.sim.aster.streams import parse_topic
from slipstream.venues.sim.faults import REQUEST_KINDS, FaultBox, FaultError
from slipstream.venues.sim.instruments import listed_instruments
from slipstream.venues.sim.market import Generator, Maker, MakerSettings, Recording
from slipstream.venues.sim.matching import BUY, SELL
from slipstream.venues.sim.recorded import ladders, leader_fills, notice, symbol_of_coin
from slipstream.venues.sim.websocket import (
    FrameError,
    FrameReader,
    accept_token,
    encode_frame,
)
from unit.venues.sim.venue_parts import NOW_NS, open_account, open_exchange, send, spec_of


@given(st.integers(-(10**20), 10**20))
def test_amounts_print_as_decimals_do(raw: int) -> None:
    exact = Decimal(raw).scaleb(-8)
    assert Decimal(to_plain(raw)) == exact == Decimal(to_text(raw))


@given(st.decimals(-(10**9), 10**9, places=8))
def test_amounts_parse_exactly(value: Decimal) -> None:
    assert parse_raw(f"{value:f}") == int(value.scaleb(8))


@pytest.mark.parametrize("text", ["", "1e5", "nan", "1.000000001", "9" * 18, "1.", " 1"])
def test_bad_amounts_are_refused(text: str) -> None:
    with pytest.raises(AmountError):
        parse_raw(text)


def masked(payload: bytes, opcode: int, mask: bytes) -> bytes:
    body = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    plain = encode_frame(payload, opcode)
    head = plain[: len(plain) - len(payload)]
    return bytes((head[0], head[1] | 0x80)) + head[2:] + mask + body


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4), st.integers(1, 7))
def test_frames_survive_any_split(payload: bytes, mask: bytes, step: int) -> None:
    reader = FrameReader()
    wire = masked(payload, 1, mask) * 2
    heard = [
        message
        for start in range(0, len(wire), step)
        for message in reader.feed(wire[start : start + step])
    ]
    assert heard == [(1, payload)] * 2


@pytest.mark.parametrize("wire", [b"\x81\x01a", b"\xf1\x80\0\0\0\0", b"\x89\xfe\x01\0"])
def test_broken_frames_are_refused(wire: bytes) -> None:
    with pytest.raises(FrameError):
        list(FrameReader().feed(wire))


def test_handshake_matches_the_standard_example() -> None:
    # RFC 6455, section 1.3.
    assert accept_token(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("btcusdt@depth", ("BTCUSDT", "depth", 0, 250)),
        ("btcusdt@depth@100ms", ("BTCUSDT", "depth", 0, 100)),
        ("btcusdt@depth20@500ms", ("BTCUSDT", "depth", 20, 500)),
        ("btcusdt@markPrice@1s", ("BTCUSDT", "markPrice", 0, 1000)),
        ("btcusdt@tradepro", ("BTCUSDT", "tradepro", 0, 0)),
    ],
)
def test_stream_names_are_read(name: str, expected: tuple[str, str, int, int]) -> None:
    topic = parse_topic(name)
    assert topic is not None
    assert topic[1:] == expected


@pytest.mark.parametrize(
    "name", ["btcusdt@depth7", "btcusdt@depth@1s", "BTCUSDT@depth", "x@bookTicker5", ""]
)
def test_other_names_are_no_streams(name: str) -> None:
    assert parse_topic(name) is None


def test_fault_rules_respect_filter_count_and_start() -> None:
    box = FaultBox(1)
    box.add({"kind": "hang", "account": "0xA", "count": 2, "after": 1}, 0)
    other = box.hit(REQUEST_KINDS, {"account": "0xb"}, 1)
    hits = [box.hit(REQUEST_KINDS, {"account": "0xa"}, 1) is not None for _ in range(5)]
    assert other is None
    assert hits == [False, True, True, False, False]


@pytest.mark.parametrize(
    "body", [{}, {"kind": "gremlins"}, {"kind": "hang", "who": 1}, {"kind": "hang", "count": "2"}]
)
def test_bad_faults_are_refused(body: dict[str, object]) -> None:
    with pytest.raises(FaultError):
        FaultBox(1).add(body, 0)


@given(st.integers(0, 2**32))
def test_generated_ladders_never_cross_and_follow_the_seed(seed: int) -> None:
    for symbol in ("BTCUSDT", "PUMPUSDT"):
        item = listed_instruments()[symbol]
        first, again = (Generator(item, seed, MakerSettings()) for _ in range(2))
        for _ in range(3):
            ladder = first.next_ladder()
            assert ladder == again.next_ladder()
            bids = [px for side, px in ladder if side == BUY]
            asks = [px for side, px in ladder if side == SELL]
            assert max(bids) < min(asks)
            assert all(px % item.px_step == 0 for px in bids + asks)
            assert all(qty > 0 and qty % item.qty_step == 0 for qty in ladder.values())


def test_taken_depth_comes_back_only_after_the_delay() -> None:
    exchange, _ = open_exchange()
    account = open_account(exchange, balance="1000000000")
    item = exchange.instruments["BTCUSDT"]
    settings = MakerSettings(walk_ppm=0)
    book = exchange.books["BTCUSDT"]
    for half in (book.bids, book.asks):
        exchange.quote("BTCUSDT", [(half.side, px, 0) for px in list(half.prices)], NOW_NS)
    maker = Maker(exchange, "BTCUSDT", Generator(item, 1, settings), settings)
    exchange.on_taken = lambda _symbol, side, px, now_ns: maker.on_taken(side, px, now_ns)
    maker.step(NOW_NS)
    best_px = book.asks.best_px()
    assert best_px is not None
    level_qty = book.asks.levels[best_px].total
    send(exchange, account, spec_of(BUY, to_plain(level_qty), None))
    maker.step(NOW_NS + settings.replenish_ns - 1)
    assert best_px not in book.asks.levels
    maker.step(NOW_NS + settings.replenish_ns)
    assert best_px in book.asks.levels


def test_recorded_ladders_never_cross_wherever_they_are_moved() -> None:
    frames = ladders()
    assert set(frames) == {"BTCUSDT", "CLUSDT"}
    for symbol, rows in frames.items():
        item = listed_instruments()[symbol]
        recording = Recording(item, rows)
        recording.recentre(item.centre_px * 3 // 4)
        for _ in range(2 * len(rows)):
            ladder = recording.next_ladder()
            bids = [px for side, px in ladder if side == BUY]
            asks = [px for side, px in ladder if side == SELL]
            assert max(bids) < min(asks)


def test_the_recorded_leader_has_no_hole_and_holds_a_flip() -> None:
    held: dict[str, Decimal] = {}
    for row in leader_fills():
        start = Decimal(row["startPosition"])
        assert held.get(row["coin"], start) == start
        signed = Decimal(row["sz"]) * (1 if row["side"] == "B" else -1)
        held[row["coin"]] = start + signed
        assert symbol_of_coin(row["coin"]) in listed_instruments()
    assert any(row["dir"] == "Short > Long" for row in leader_fills())
    assert "MIT" in notice()
