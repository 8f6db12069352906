"""One poisoned follower, book or frame among many is its own outcome alone; nothing crashes.

The venue's answers and frames are spoilt on their way, after the simulated venue wrote them: what
the engine gets no honest venue would send. A failure that reaches the event loop fails the run.
"""

import json
from collections.abc import Callable
from typing import Any, Final

import pytest

from simulation.test_isolation import (
    BEGIN_S,
    END_S,
    FAULT_S,
    FAULTY,
    LEVEL_NOTIONAL,
    PLAY,
    Fault,
    assert_others_equal,
    crowd,
    play,
    undisturbed,
)
from simulation.virtual_loop import VirtualLoop, run_virtual
from simulation.world import Who, World, account_of, follower_name
from slipstream.venues.sim.aster.streams import Fanout
from slipstream.venues.sim.websocket import encode_frame

FORTY_DIGITS: Final = "1234567890" * 4
ACCOUNT_ROUTE: Final = "accountWithJoinMargin"
Spoil = Callable[[Any], None]


def frames_to_follower(world: World, *frames: bytes) -> None:
    """Write raw frames into the follower's own stream."""
    for connection in world.venue.face.users.connections_of(account_of(FAULTY)):
        for frame in frames:
            connection.send(encode_frame(frame))


def account_update(world: World, *, wallet: object, position: dict[str, object]) -> bytes:
    now_ms = world.venue.clock.wall_ms(world.venue.clock.now_ns())
    body = {
        "e": "ACCOUNT_UPDATE",
        "E": now_ms,
        "T": now_ms,
        "a": {
            "m": "ORDER",
            "B": [{"a": "USDT", "wb": wallet, "cw": wallet, "bc": "0"}],
            "P": [
                {
                    "s": "BTCUSDT",
                    "pa": "0.1",
                    "ep": "66000",
                    "cr": "0",
                    "up": "0",
                    "mt": "cross",
                    "iw": "0",
                    "ps": "BOTH",
                    **position,
                }
            ],
        },
    }
    return json.dumps(body).encode()


def poison_with(wallet: object, **position: object) -> Fault:
    def act(world: World) -> None:
        frames_to_follower(world, account_update(world, wallet=wallet, position=dict(position)))

    return act


def raw(*frames: bytes) -> Fault:
    return lambda world: frames_to_follower(world, *frames)


def other_account(world: World) -> None:
    """The frames of another account's stream come on this one, with that account's key."""
    neighbour = account_of(follower_name(0))
    account = world.venue.exchange.accounts[neighbour]
    key = world.venue.face.users.open_key(neighbour, world.venue.clock.now_ns())
    row = json.loads(account_update(world, wallet="1", position={"pa": "9"}))
    for connection in world.venue.face.users.connections_of(account_of(FAULTY)):
        connection.send(Fanout(key, json.dumps(row).encode()).frame_for(connection))
    assert account.address == neighbour


POISONS: Final[dict[str, Fault]] = {
    "a wallet of 40 digits": poison_with(FORTY_DIGITS),
    "a wallet at the edge of 64 bits": poison_with("92233720368.54775807"),
    "a wallet below zero": poison_with("-5000000000"),
    "a wallet that is no text": poison_with(1.5),
    "a wallet of another type": poison_with({"x": []}),
    "a position of 40 digits": poison_with("100000", pa=FORTY_DIGITS),
    "a position at the edge": poison_with("100000", pa="92233720368.54775807"),
    "an entry price at the edge": poison_with("100000", pa="-92233720368", ep="92233720368"),
    "an entry price below zero": poison_with("100000", ep="-1"),
    "an unknown symbol": poison_with("100000", s="NOSUCHUSDT"),
    "an unknown side": poison_with("100000", ps="SIDEWAYS"),
    "no JSON": raw(b"\x00\xff{{{"),
    "half a frame": raw(b'{"e":"ACCOUNT_UPDATE","E":1'),
    "a deep nest": raw(b"[" * 20_000),
    "duplicate keys": raw(b'{"e":"ACCOUNT_UPDATE","e":"listenKeyExpired","E":1,"T":2}'),
    "an unknown event": raw(b'{"e":"SURPRISE","E":1}'),
    "a list": raw(b"[1,2,3]"),
    "an empty frame": raw(b"", b"null", b"0", b'""'),
    "a leverage of ten million": raw(
        b'{"e":"ACCOUNT_CONFIG_UPDATE","E":1,"T":1,"ac":{"s":"BTCUSDT","l":10000000}}'
    ),
    "a leverage of 40 digits": raw(
        b'{"e":"ACCOUNT_CONFIG_UPDATE","E":1,"T":1,"ac":{"s":"BTCUSDT","l":%b}}'
        % FORTY_DIGITS.encode()
    ),
    "a leverage of zero": raw(
        b'{"e":"ACCOUNT_CONFIG_UPDATE","E":1,"T":1,"ac":{"s":"BTCUSDT","l":0}}'
    ),
    "a leverage below zero": raw(
        b'{"e":"ACCOUNT_CONFIG_UPDATE","E":1,"T":1,"ac":{"s":"BTCUSDT","l":-3}}'
    ),
    "another account's events": other_account,
}


@pytest.mark.parametrize("name", POISONS)
def test_a_poisoned_account_stream_is_that_follower_s_outcome_alone(name: str) -> None:
    world, clean = play(POISONS[name]), undisturbed()
    others = [who.name for who in crowd() if who.name != FAULTY]
    assert_others_equal(world.sent, clean.sent, others)
    legs = len(clean.reasons(FAULTY))
    assert len(world.reasons(FAULTY)) == legs  # one outcome for each leg, whatever it is


@pytest.mark.parametrize(
    "balance",
    ["0", "0.00000001", "1000000000000"],
)
def test_an_account_of_an_absurd_size_is_that_follower_s_outcome_alone(balance: str) -> None:
    """From the start: one account with nothing, or with all there is."""

    async def main(loop: VirtualLoop) -> World:
        followers = [
            Who(who.name, allocation=who.allocation, balance=balance) if who.name == FAULTY else who
            for who in crowd()
        ]
        world = World(loop, followers)
        for symbol in world.symbols:
            world.market(symbol, level_notional=LEVEL_NOTIONAL)
        world.fault("hang", "nobody")
        await world.start()
        for second, symbol, side, qtys in PLAY:
            await world.until(BEGIN_S + second)
            world.trade("alpha", symbol, side, *qtys)
        await world.until(END_S)
        world.sent = world.orders()
        await world.stop()
        return world

    world, clean = run_virtual(main), undisturbed()
    others = [who.name for who in crowd() if who.name != FAULTY]
    assert_others_equal(world.sent, clean.sent, others)
    assert len(world.reasons(FAULTY)) >= len(PLAY)


def ladder(bids: list[list[object]], asks: list[list[object]], **more: object) -> bytes:
    body = {"e": "depthUpdate", "E": 1, "T": 1, "s": "ETHUSDT", "U": 1, "u": 2, "pu": 0}
    return json.dumps({**body, "b": bids, "a": asks, **more}).encode()


def ticker(**fields: object) -> bytes:
    body = {"e": "bookTicker", "u": 10**15, "s": "ETHUSDT", "T": 1, "E": 1}
    quote = {"b": "3480", "B": "1", "a": "3481", "A": "1"}
    return json.dumps({**body, **quote, **fields}).encode()


BOOK_FRAMES: Final[dict[str, tuple[bytes, ...]]] = {
    "crossed": (ladder([["9999", "1"]], [["1", "1"]]), ticker(b="3500", a="3400")),
    "empty": (ladder([], []), ticker(b="0", B="0", a="0", A="0")),
    "negative": (ladder([["-1", "1"]], [["3480", "-1"]]), ticker(b="-1")),
    "of 40 digits": (ladder([[FORTY_DIGITS, "1"]], []), ticker(a=FORTY_DIGITS)),
    "of other types": (ladder([[1, None]], [["x"]]), ticker(b=None), ticker(u="x")),
    "of a stranger": (ladder([], [], s="NOSUCHUSDT"), ticker(s="")),
    "with absurd sequences": (ladder([], [], U=-1, u=2**63, pu=2**70), ticker(u=2**64)),
    "no JSON": (b"\xff\xfe", b"{", b"[" * 20_000, b"null", b""),
}


@pytest.mark.parametrize("name", BOOK_FRAMES)
def test_a_poisoned_book_is_that_symbol_s_outcome_alone(name: str) -> None:
    """Spoilt frames of ETH's book come every second; BTC trades as if nothing were."""

    def spoil(world: World) -> None:
        def send(left: int) -> None:
            for connection in list(world.venue.face.sockets.opened):
                if any("ethusdt@depth" in each for each in connection.state.names):
                    for frame in BOOK_FRAMES[name]:
                        connection.send(encode_frame(frame))
            if left:
                world.loop.call_later(1, send, left - 1)

        send(50)

    world, clean = play(spoil), undisturbed()
    for who in crowd():
        mine = [row for row in world.sent[who.name] if b"symbol=BTCUSDT" in row[1]]
        theirs = [row for row in clean.sent[who.name] if b"symbol=BTCUSDT" in row[1]]
        assert mine == theirs, who.name
        assert len(world.reasons(who.name)) == len(clean.reasons(who.name))


@pytest.mark.parametrize("kind", ["crossed_book", "empty_book", "stale_book", "gap_book"])
def test_a_book_that_misbehaves_costs_outcomes_and_no_crash(kind: str) -> None:
    """The whole book of one symbol is shown wrong for half a minute."""

    def spoil(world: World) -> None:
        world.fault(kind, symbol="ETHUSDT", duration_ms=30_000)

    world, clean = play(spoil), undisturbed()
    for who in crowd():
        mine = [row for row in world.sent[who.name] if b"symbol=BTCUSDT" in row[1]]
        theirs = [row for row in clean.sent[who.name] if b"symbol=BTCUSDT" in row[1]]
        assert mine == theirs, who.name
    assert world.engine.supervisors[0].health.restart_count == 0


def test_the_score_reaches_past_the_poison() -> None:
    assert BEGIN_S < FAULT_S < BEGIN_S + 8 < END_S
