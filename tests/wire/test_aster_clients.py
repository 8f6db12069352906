"""The simulated Aster judged by public clients: ccxt for REST, websockets for streams."""

import asyncio
import json
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import ccxt
import httpx
import pytest
import websockets
from eth_account import Account
from eth_account.messages import encode_typed_data
from websockets.asyncio.client import ClientConnection

from wire.conftest import FOLLOWER_KEY, LEADER_KEY, SimProcess, SimStarter

Connect = Callable[[SimProcess, str], ccxt.aster]
BTC = "BTC/USDT:USDT"


async def hear(socket: ClientConnection, event: str) -> dict[str, Any]:
    """Return the next event of a kind."""
    async with asyncio.timeout(10):
        while True:
            message = json.loads(await socket.recv())
            body = message.get("data", message)
            if body.get("e") == event:
                return dict(body)


def sign(text: str, key: str = FOLLOWER_KEY, chain: int = 1666) -> str:
    """Return a parameter text with its signature, made by eth-account."""
    domain = {
        "name": "AsterSignTransaction",
        "version": "1",
        "chainId": chain,
        "verifyingContract": "0x" + "00" * 20,
    }
    types = {"Message": [{"name": "msg", "type": "string"}]}
    message = encode_typed_data(domain, types, {"msg": text})
    return f"{text}&signature={Account.sign_message(message, key).signature.hex()}"


def now_us() -> int:
    return time.time_ns() // 1000


def test_ccxt_reads_the_market(sim: SimProcess, connect: Connect) -> None:
    client = connect(sim, FOLLOWER_KEY)
    sim.add_account(FOLLOWER_KEY)
    markets = client.load_markets()
    market = markets[BTC]
    assert (market["precision"]["price"], market["precision"]["amount"]) == (0.1, 0.001)
    assert market["limits"]["cost"]["min"] == 5.0
    book = client.fetch_order_book(BTC, 20)
    assert len(book["bids"]) == len(book["asks"]) == 20
    assert book["bids"][0][0] < book["asks"][0][0]
    assert abs(client.fetch_time() - time.time_ns() // 1_000_000) < 5_000


def test_ccxt_trades_and_sees_what_it_did(sim: SimProcess, connect: Connect) -> None:
    client = connect(sim, FOLLOWER_KEY)
    sim.add_account(FOLLOWER_KEY)
    client.load_markets()
    assert client.fetch_balance()["USDT"]["total"] == 100000
    client.set_leverage(7, BTC)
    placed = client.create_order(BTC, "market", "buy", 0.01, None, {"newOrderRespType": "RESULT"})
    assert (placed["status"], placed["filled"]) == ("closed", 0.01)
    (position,) = client.fetch_positions([BTC])
    assert (position["contracts"], position["hedged"]) == (0.01, False)
    risk = client.fapiPrivateGetV3PositionRisk({"symbol": "BTCUSDT"})
    assert risk[0]["leverage"] == "7"
    (trade,) = client.fetch_my_trades(BTC)
    assert (trade["amount"], trade["order"]) == (0.01, placed["id"])
    resting = client.create_order(BTC, "limit", "buy", 0.01, 65000, {"clientOrderId": "rest-1"})
    assert [row["id"] for row in client.fetch_open_orders(BTC)] == [resting["id"]]
    found = client.fetch_order(None, BTC, {"clientOrderId": "rest-1"})
    assert found["id"] == resting["id"]
    client.cancel_order(resting["id"], BTC)
    assert client.fetch_open_orders(BTC) == []
    closing = client.create_order(BTC, "market", "sell", 0.01, None, {"reduceOnly": True})
    assert client.fetch_order(closing["id"], BTC)["status"] == "closed"
    assert client.fapiPrivateGetV3PositionRisk({"symbol": "BTCUSDT"})[0]["positionAmt"] == "0"


def test_ccxt_hears_the_documented_refusals(sim: SimProcess, connect: Connect) -> None:
    client = connect(sim, FOLLOWER_KEY)
    with pytest.raises(ccxt.ExchangeError, match="No agent found"):
        client.fapiPrivateGetV3Balance()
    sim.add_account(FOLLOWER_KEY, balance="10")
    client.load_markets()
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"}
    cases = [
        (order, "-2019"),
        ({**order, "reduceOnly": "true"}, "-2022"),
        ({**order, "positionSide": "LONG"}, "-4061"),
        ({**order, "symbol": "NOPEUSDT"}, "-1121"),
    ]
    for parameters, code in cases:
        with pytest.raises(ccxt.ExchangeError, match=code):
            client.fapiPrivatePostV3Order(parameters)
    with pytest.raises(ccxt.ExchangeError, match="-2013"):
        client.fapiPrivateGetV3Order({"symbol": "BTCUSDT", "origClientOrderId": "nobody"})
    wrong = connect(sim, FOLLOWER_KEY)
    wrong.options["v3ChainId"] = 56
    with pytest.raises(ccxt.ExchangeError, match="Signature check failed"):
        wrong.fapiPrivateGetV3Balance()
    assert sim.admin("GET", "/_sim/summary")["failed"]


async def test_user_stream_tells_orders_positions_and_settings(
    sim: SimProcess, connect: Connect
) -> None:
    client = connect(sim, FOLLOWER_KEY)
    sim.add_account(FOLLOWER_KEY)
    await asyncio.to_thread(client.load_markets)
    key = (await asyncio.to_thread(client.fapiPrivatePostV3ListenKey))["listenKey"]
    async with websockets.connect(f"{sim.ws}/ws/{key}") as socket:
        await asyncio.to_thread(client.set_leverage, 9, BTC)
        config = await hear(socket, "ACCOUNT_CONFIG_UPDATE")
        assert config["ac"] == {"s": "BTCUSDT", "l": 9}
        await asyncio.to_thread(client.create_order, BTC, "market", "buy", 0.01)
        created = await hear(socket, "ORDER_TRADE_UPDATE")
        assert (created["o"]["x"], created["o"]["X"]) == ("NEW", "NEW")
        filled = await hear(socket, "ORDER_TRADE_UPDATE")
        account = await hear(socket, "ACCOUNT_UPDATE")
        assert (filled["o"]["X"], filled["o"]["z"]) == ("FILLED", "0.01")
        assert account["T"] == filled["T"]
        assert account["a"]["P"][0]["pa"] == "0.01"
        again = (await asyncio.to_thread(client.fapiPrivatePostV3ListenKey))["listenKey"]
        assert again == key
        fault = {"kind": "listen_key_expired", "account": client.walletAddress}
        await asyncio.to_thread(sim.admin, "POST", "/_sim/faults", fault)
        await hear(socket, "listenKeyExpired")
        with pytest.raises(ccxt.ExchangeError, match="-1125"):
            await asyncio.to_thread(client.fapiPrivatePutV3ListenKey)


async def test_diff_depth_rebuilds_the_book_that_the_log_tells(
    sim: SimProcess, connect: Connect
) -> None:
    client = connect(sim, FOLLOWER_KEY)
    sim.add_account(FOLLOWER_KEY)
    await asyncio.to_thread(client.load_markets)
    async with websockets.connect(f"{sim.ws}/stream?streams=btcusdt@depth@100ms") as socket:
        await hear(socket, "depthUpdate")
        async with httpx.AsyncClient() as http:
            answer = await http.get(f"{sim.rest}/fapi/v3/depth?symbol=BTCUSDT&limit=1000")
        snapshot = answer.json()
        halves = {name: dict(snapshot[name]) for name in ("bids", "asks")}
        last = snapshot["lastUpdateId"]
        await asyncio.to_thread(client.create_order, BTC, "market", "buy", 0.5)
        seen = 0
        while seen < 4:
            event = await hear(socket, "depthUpdate")
            if event["u"] <= last:
                continue
            assert event["pu"] <= last if seen == 0 else event["pu"] == last
            for name, key in (("bids", "b"), ("asks", "a")):
                halves[name].update(event[key])
            last, seen = event["u"], seen + 1
    told: dict[str, dict[str, str]] = {"bids": {}, "asks": {}}
    for line in await asyncio.to_thread(sim.log, "book"):
        if line["symbol"] == "BTCUSDT" and line["sequence"] <= last:
            for name, levels in told.items():
                if line.get("snapshot"):
                    levels.clear()
                levels.update(line[name])
    for name, levels in told.items():
        mine = {px: qty for px, qty in halves[name].items() if qty != "0"}
        assert mine == {px: qty for px, qty in levels.items() if qty != "0"}


async def test_market_streams_answer_control_messages(sim: SimProcess) -> None:
    async with websockets.connect(f"{sim.ws}/ws") as socket:

        async def ask(**message: object) -> dict[str, Any]:
            await socket.send(json.dumps(message))
            while "e" in (answer := json.loads(await socket.recv())):
                pass
            return dict(answer)

        names = ["btcusdt@bookTicker", "btcusdt@depth5@100ms", "btcusdt@markPrice@1s"]
        subscribed = await ask(method="SUBSCRIBE", params=names, id=1)
        assert subscribed == {"result": None, "id": 1}
        listed = await ask(method="LIST_SUBSCRIPTIONS", id=2)
        assert listed["result"] == sorted(names)
        assert (await ask(method="SUBSCRIBE", params=names, id="x"))["code"] == 2
        ticker = await hear(socket, "bookTicker")
        assert Decimal(ticker["b"]) < Decimal(ticker["a"])
        depth = await hear(socket, "depthUpdate")
        assert len(depth["b"]) == len(depth["a"]) == 5
        assert (await hear(socket, "markPriceUpdate"))["s"] == "BTCUSDT"
        await ask(method="UNSUBSCRIBE", params=names, id=3)
        assert (await ask(method="LIST_SUBSCRIPTIONS", id=4))["result"] == []


async def test_raw_requests_nonces_headers_and_ack_forms(sim: SimProcess) -> None:
    address = await asyncio.to_thread(sim.add_account, FOLLOWER_KEY)
    nonce = now_us()
    order = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=IOC&quantity=0.01&price=66800"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with httpx.AsyncClient(base_url=sim.rest, headers=headers) as http:

        async def send(text: str) -> httpx.Response:
            return await http.post("/fapi/v3/order", content=sign(text))

        text = f"{order}&nonce={nonce}&signer={address}"
        first = await send(text)
        assert first.status_code == 200
        assert (first.json()["status"], first.json()["executedQty"]) == ("NEW", "0")
        assert first.headers["X-MBX-ORDER-COUNT-1M"] == "1"
        assert int(first.headers["X-MBX-USED-WEIGHT-1M"]) == 1
        assert (await send(text)).json() == {"code": -4225, "msg": "Nonce Expired"}
        early = f"{order}&nonce={nonce - 11_000_000}&signer={address}"
        assert (await send(early)).json()["code"] == -4225
        result = f"{order}&newOrderRespType=RESULT&nonce={nonce + 1}&signer={address}"
        done = (await send(result)).json()
        assert (done["status"], done["executedQty"]) == ("FILLED", "0.01")
        forged = sign(f"{order}&nonce={nonce + 2}&signer={address}", LEADER_KEY)
        refused = await http.post("/fapi/v3/order", content=forged)
        assert (refused.status_code, refused.json()["msg"]) == (400, "Signature check failed")


def test_a_bad_deferred_signature_fails_the_run(start_sim: SimStarter) -> None:
    sim = start_sim("--verify", "deferred")
    address = sim.add_account(FOLLOWER_KEY)
    order = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.01"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    url = f"{sim.rest}/fapi/v3/order"
    good = sign(f"{order}&nonce={now_us()}&signer={address}")
    assert httpx.post(url, content=good, headers=headers).status_code == 200
    assert not sim.admin("GET", "/_sim/summary")["failed"]
    forged = sign(f"{order}&nonce={now_us()}&signer={address}", LEADER_KEY)
    assert httpx.post(url, content=forged, headers=headers).status_code == 200
    summary = sim.admin("GET", "/_sim/summary")
    assert (summary["failed"], summary["bad_signatures"], summary["unverified"]) == (True, 1, 0)
    later = sign(f"{order}&nonce={now_us()}&signer={address}")
    assert httpx.post(url, content=later, headers=headers).json()["msg"] == "No agent found"


async def test_a_printed_leader_trade_reaches_stream_and_history(
    sim: SimProcess, connect: Connect
) -> None:
    client = connect(sim, LEADER_KEY)
    held = [{"symbol": "CLUSDT", "qty": "-100", "entry_px": "84"}]
    await asyncio.to_thread(sim.add_account, LEADER_KEY, positions=held)
    await asyncio.to_thread(client.load_markets)
    key = (await asyncio.to_thread(client.fapiPrivatePostV3ListenKey))["listenKey"]
    trade = {
        "account": client.walletAddress,
        "symbol": "CLUSDT",
        "side": "BUY",
        "fills": [["84.9", "60"], ["84.91", "60"]],
        "move_market": True,
    }
    async with websockets.connect(f"{sim.ws}/ws/{key}") as socket:
        done = await asyncio.to_thread(sim.admin, "POST", "/_sim/trade", trade)
        update = await hear(socket, "ACCOUNT_UPDATE")
    assert done["position"] == update["a"]["P"][0]["pa"] == "20"
    rows = await asyncio.to_thread(client.fapiPrivateGetV3UserTrades, {"symbol": "CLUSDT"})
    assert [(row["price"], row["qty"]) for row in rows] == [("84.9", "60"), ("84.91", "60")]
