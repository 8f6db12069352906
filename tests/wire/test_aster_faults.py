"""Misbehaviour on demand, rate limits and delays of the simulated Aster."""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Callable

import ccxt
import httpx
import pytest
import websockets
from websockets.asyncio.client import ClientConnection

from wire.conftest import FOLLOWER_KEY, SimProcess, SimStarter

Connect = Callable[[SimProcess, str], ccxt.aster]
ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}


@pytest.fixture
def client(sim: SimProcess, connect: Connect) -> ccxt.aster:
    """A registered client with its markets loaded."""
    sim.add_account(FOLLOWER_KEY)
    made = connect(sim, FOLLOWER_KEY)
    made.load_markets()
    return made


@pytest.mark.parametrize(
    ("fault", "error", "is_executed"),
    [
        ({"kind": "lost_ack"}, ccxt.NetworkError, True),
        ({"kind": "reset_before"}, ccxt.NetworkError, False),
        ({"kind": "status_503_after"}, ccxt.BaseError, True),
        ({"kind": "status_503_before"}, ccxt.BaseError, False),
        ({"kind": "status_429"}, ccxt.RateLimitExceeded, False),
        ({"kind": "garbage"}, ccxt.BaseError, True),
        ({"kind": "reject", "code": -2019, "msg": "no"}, ccxt.InsufficientFunds, False),
    ],
)
def test_request_faults_strike_once_and_execute_or_not(
    sim: SimProcess,
    client: ccxt.aster,
    fault: dict[str, object],
    error: type[Exception],
    *,
    is_executed: bool,
) -> None:
    body = {**fault, "route": "POST /fapi/v3/order", "count": 1, "account": client.walletAddress}
    assert sim.admin("POST", "/_sim/faults", body)["id"] == 1
    # An HTML page with status 200 is not an error to every client.
    if fault["kind"] == "garbage":
        assert "html" in str(client.fapiPrivatePostV3Order(ORDER))
    else:
        with pytest.raises(error):
            client.fapiPrivatePostV3Order(ORDER)
    (risk,) = client.fapiPrivateGetV3PositionRisk({"symbol": "BTCUSDT"})
    assert risk["positionAmt"] == ("0.01" if is_executed else "0")
    assert client.fapiPrivatePostV3Order(ORDER)["symbol"] == "BTCUSDT"
    assert [line["fault"] for line in sim.log("fault")][-1] == fault["kind"]


def test_unknown_faults_are_refused_with_the_reason(sim: SimProcess) -> None:
    assert "expected one of" in sim.admin("POST", "/_sim/faults", {"kind": "x"})["error"]


def test_skew_revocation_and_deposit_are_told_apart(sim: SimProcess, client: ccxt.aster) -> None:
    sim.admin("POST", "/_sim/faults", {"kind": "clock_skew", "ms": 60_000})
    with pytest.raises(ccxt.ExchangeError, match="-4225"):
        client.fapiPrivateGetV3Balance()
    sim.admin("POST", "/_sim/faults", {"kind": "clock_skew", "ms": 0})
    sim.add_account(FOLLOWER_KEY, deposited=False)
    with pytest.raises(ccxt.ExchangeError, match="-5050"):
        client.fapiPrivateGetV3Balance()
    assert len(client.fapiPrivateGetV3Agent()) == 1
    sim.admin("POST", "/_sim/agents", {"agent": client.walletAddress, "revoked": True})
    with pytest.raises(ccxt.ExchangeError, match="No agent found"):
        client.fapiPrivateGetV3Balance()


async def events_of(sim: SimProcess, client: ccxt.aster, fault: dict[str, object]) -> list[str]:
    """Return what the user stream shows of one market order under a fault."""
    key = (await asyncio.to_thread(client.fapiPrivatePostV3ListenKey))["listenKey"]
    await asyncio.to_thread(sim.admin, "POST", "/_sim/faults", fault)
    heard: list[str] = []
    async with websockets.connect(f"{sim.ws}/ws/{key}") as socket:
        await asyncio.to_thread(client.fapiPrivatePostV3Order, ORDER)
        # The change of leverage comes last and marks the end.
        leverage = {"symbol": "BTCUSDT", "leverage": "3"}
        await asyncio.to_thread(client.fapiPrivatePostV3Leverage, leverage)
        async with asyncio.timeout(10):
            while (event := json.loads(await socket.recv()))["e"] != "ACCOUNT_CONFIG_UPDATE":
                heard.append(event.get("o", {}).get("x", event["e"]))
    return heard


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"kind": "drop_event", "count": 1}, ["TRADE", "ACCOUNT_UPDATE"]),
        ({"kind": "duplicate_event", "count": 1}, ["NEW", "NEW", "TRADE", "ACCOUNT_UPDATE"]),
        ({"kind": "reorder_event", "count": 1}, ["TRADE", "NEW", "ACCOUNT_UPDATE"]),
        ({"kind": "account_first"}, ["ACCOUNT_UPDATE", "NEW", "TRADE"]),
        (
            {"kind": "silent_stream", "event": "ORDER_TRADE_UPDATE"},
            ["ACCOUNT_UPDATE"],
        ),
    ],
)
async def test_event_faults_shape_the_user_stream(
    sim: SimProcess, client: ccxt.aster, fault: dict[str, object], expected: list[str]
) -> None:
    assert await events_of(sim, client, fault) == expected


@pytest.mark.parametrize("kind", ["crossed_book", "gap_book", "empty_book"])
async def test_book_faults_show_on_the_depth_stream(sim: SimProcess, kind: str) -> None:
    last = 0
    async with websockets.connect(f"{sim.ws}/ws/btcusdt@depth@100ms") as socket:
        fault = {"kind": kind, "symbol": "BTCUSDT", "after": 1, "count": 1}
        await asyncio.to_thread(sim.admin, "POST", "/_sim/faults", fault)
        async with asyncio.timeout(10):
            while True:
                event = json.loads(await socket.recv())
                bids = [float(px) for px, _ in event["b"]]
                asks = [float(px) for px, _ in event["a"]]
                symptoms = {
                    "gap_book": last not in (0, event["pu"]),
                    "empty_book": not bids and not asks,
                    "crossed_book": bool(bids and asks) and max(bids) > min(asks),
                }
                if symptoms[kind]:
                    break
                last = event["u"]


async def test_forced_disconnects_reset_the_stream(sim: SimProcess) -> None:
    async with websockets.connect(f"{sim.ws}/ws/btcusdt@depth@100ms") as socket:
        await asyncio.to_thread(sim.admin, "POST", "/_sim/faults", {"kind": "disconnect_streams"})
        with pytest.raises(websockets.ConnectionClosed):
            await asyncio.wait_for(drain(socket), 10)


async def drain(socket: ClientConnection) -> None:
    """Receive until the connection is gone."""
    while True:
        await socket.recv()


async def test_the_real_weight_limit_ends_in_429_then_418(sim: SimProcess) -> None:
    statuses: list[int] = []
    async with httpx.AsyncClient(base_url=sim.rest) as http:
        for _ in range(140):
            answer = await http.get("/fapi/v3/depth?symbol=BTCUSDT&limit=1000")
            statuses.append(answer.status_code)
            if answer.status_code == 418:
                break
    assert statuses[-1] == 418
    assert statuses.count(429) == 5
    assert answer.json()["code"] == -1003
    assert "banned until" in answer.json()["msg"]


def test_a_raised_weight_limit_is_printed(start_sim: SimStarter) -> None:
    sim = start_sim("--weight-factor", "7")
    assert sim.ready["weight_factor"] == 7
    limits = httpx.get(f"{sim.rest}/fapi/v3/exchangeInfo").json()["rateLimits"]
    assert limits[0]["limit"] == 7 * 2400


def test_latency_and_matching_delay_are_at_least_what_was_asked(
    start_sim: SimStarter, connect: Connect
) -> None:
    sim = start_sim("--latency-ms", "40", "--match-ms", "30")
    sim.add_account(FOLLOWER_KEY)
    client = connect(sim, FOLLOWER_KEY)
    client.load_markets()
    started_ns = time.monotonic_ns()
    client.fapiPrivatePostV3Order({**ORDER, "newOrderRespType": "RESULT"})
    assert time.monotonic_ns() - started_ns >= 68_000_000
    (fill,) = sim.log("fill")
    (order,) = sim.log("order")
    (request,) = [line for line in sim.log("request") if line["route"] == "placeOrder"]
    assert order["arrival_ns"] - request["socket_ns"] >= 18_000_000
    assert fill["ns"] - order["arrival_ns"] >= 28_000_000


def test_seeded_books_agree_and_recorded_books_open(start_sim: SimStarter) -> None:
    first, again = (start_sim("--seed", "5", "--book", "recorded") for _ in range(2))
    opening = [
        [line for line in sim.log("book") if line.get("snapshot")][:19] for sim in (first, again)
    ]
    books = [[(row["symbol"], row["bids"], row["asks"]) for row in rows] for rows in opening]
    assert books[0] == books[1]
    assert len({row[0] for row in books[0]}) == 19


def test_sigterm_ends_cleanly(start_sim: SimStarter) -> None:
    sim = start_sim()
    sim.process.terminate()
    assert sim.process.wait(10) == 0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/_sim/accounts", {"account": "0xa"}),
        ("/_sim/accounts", {"account": "0xa", "agent": "0xb", "balance": "1e9"}),
        ("/_sim/accounts", [1]),
        ("/_sim/agents", {"agent": "0xnobody"}),
        ("/_sim/trade", {"account": "0xnobody"}),
        ("/_sim/book", {"symbol": "NOPE"}),
        ("/_sim/book", {"symbol": "BTCUSDT", "bids": [["-1", "1"]]}),
        ("/_sim/market", {"symbol": "BTCUSDT", "walk_ppm": "1"}),
        ("/_sim/mark", {"symbol": "BTCUSDT", "px": "x"}),
    ],
)
def test_bad_admin_requests_are_refused_with_the_reason(
    sim: SimProcess, path: str, body: object
) -> None:
    assert sim.admin("POST", path, body)["error"]


def test_a_set_book_and_mark_hold(sim: SimProcess) -> None:
    body = {"symbol": "BTCUSDT", "bids": [["100", "1"]], "asks": [["101", "2"]]}
    sim.admin("POST", "/_sim/book", body)
    sim.admin("POST", "/_sim/mark", {"symbol": "BTCUSDT", "px": "100.5"})
    depth = httpx.get(f"{sim.rest}/fapi/v3/depth?symbol=BTCUSDT&limit=5").json()
    assert (depth["bids"], depth["asks"]) == ([["100", "1"]], [["101", "2"]])
    mark = httpx.get(f"{sim.rest}/fapi/v3/premiumIndex?symbol=BTCUSDT").json()
    assert mark["markPrice"] == "100.5"


async def test_noise_on_the_wire_breaks_nothing(sim: SimProcess) -> None:
    chance = random.Random(7)
    seeds = [
        b"GET /fapi/v3/depth?symbol=BTCUSDT&limit=%C2%B2 HTTP/1.1\r\n\r\n",
        b"POST /fapi/v3/order HTTP/1.1\r\nContent-Length: 9\r\n\r\nsigner=\xff\xfe",
        b"POST /fapi/v3/noop HTTP/1.1\r\nContent-Length: 29\r\n\r\nsignature=1&signer=2&nonce=\xb2",
        b"GET /ws/x HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n\x81\x85",
    ]
    for turn in range(80):
        noise = bytearray(chance.choice(seeds))
        for _ in range(turn % 4):
            noise[chance.randrange(len(noise))] = chance.randrange(256)
        host, _, port = sim.rest.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(noise)
        writer.write_eof()
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), 10)
        writer.close()
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"{sim.rest}/fapi/v3/ping")).json() == {}
