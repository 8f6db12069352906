"""The Aster adapter against the simulated venue as a process of its own, over loopback."""

import asyncio
import contextlib
import json
import random
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field

import httpx
import pytest

from slipstream import errors
from slipstream._core import (
    KeyEncryptionKey,
    PositionSide,
    SealedKey,
    Side,
    Signer,
    format_fixed,
    parse_fixed,
    sign_many,
)
from slipstream.domain.fill import AccountUpdate, Fill
from slipstream.domain.ids import ClientOrderId, FillId
from slipstream.domain.order import OrderReport, OrderRequest, OrderState
from slipstream.domain.outcome import (
    Accepted,
    Denied,
    Limited,
    NotSent,
    Refused,
    RequestOutcome,
    Unknown,
)
from slipstream.transport.clock import SystemClock
from slipstream.transport.origin import Origin
from slipstream.transport.websocket import open_websocket
from slipstream.units import NS_PER_S, Px, Qty, TimeNs
from slipstream.venues.aster.adapter import AsterAdapter
from slipstream.venues.aster.feed import AsterAccountFeed
from slipstream.venues.aster.gateway import AsterGateway
from slipstream.venues.aster.limits import StreamBounds
from slipstream.venues.base import AccountEvent, FeedDown, FeedUp

CLOCK = SystemClock()
SYMBOL = "BTCUSDT"


@dataclass
class Venue:
    rest: str
    stream: str
    admin: str

    async def tell(self, route: str, body: object) -> dict[str, object]:
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"{self.admin}/_sim/{route}", json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, object] = answer.json()
        return found

    async def forget_faults(self) -> None:
        await self.tell("faults", {"clear": True})


@pytest.fixture(scope="module")
def venue() -> Iterator[Venue]:
    command = [sys.executable, "-m", "slipstream.venues.sim", "--venues", "aster", "--json"]
    with subprocess.Popen(
        [*command, "--weight-factor", "100"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        ready = json.loads(process.stdout.readline())
        urls = ready["venues"]["aster"]
        yield Venue(urls["rest"], urls["ws"], ready["admin"])
        process.stdin.close()
        process.wait(timeout=10)


@pytest.fixture(scope="module")
def kek() -> KeyEncryptionKey:
    made, _, _ = KeyEncryptionKey.create(
        bytearray(b"only for tests"), salt=b"0" * 16, memory_kib=8192, passes=1, lanes=1
    )
    return made


@dataclass
class Account:
    adapter: AsterAdapter
    address: str
    signer: Signer
    gateway: AsterGateway


def new_signer(kek: KeyEncryptionKey, user: str, purpose: str = "aster-mainnet") -> Signer:
    record = kek.new_key(entry_id="agent", venue="aster", kind="secp256k1")
    sealed = SealedKey(
        entry_id="agent",
        venue="aster",
        kind="secp256k1",
        address=record.address,
        nonce=record.nonce,
        ciphertext=record.ciphertext,
    )
    return Signer.open(sealed, kek, purpose, user=user)


def new_adapter(venue: Venue, rest: str | None = None) -> AsterAdapter:
    return AsterAdapter(
        rest_url=rest or venue.rest,
        stream_url=venue.stream,
        chain="mainnet",
        clock=CLOCK,
        source=random.Random(7),
    )


async def open_account(venue: Venue, kek: KeyEncryptionKey, **extra: object) -> Account:
    owner = kek.new_key(entry_id="owner", venue="aster", kind="secp256k1").address
    signer = new_signer(kek, owner)
    body = {"venue": "aster", "account": owner, "agent": signer.address, "balance": "100000"}
    await venue.tell("accounts", {**body, **extra})
    adapter = new_adapter(venue)
    adapter.budget.set_window_max(100_000)
    return Account(adapter, owner, signer, adapter.make_gateway(owner, signer))


@pytest.fixture
async def account(venue: Venue, kek: KeyEncryptionKey) -> AsyncIterator[Account]:
    opened = await open_account(venue, kek)
    await opened.gateway.start()
    yield opened
    await opened.gateway.close()
    await venue.forget_faults()


def new_order(
    side: Side,
    px: str,
    qty: str = "0.01",
    *,
    lane: PositionSide = PositionSide.NET,
    is_reduction: bool = False,
) -> OrderRequest:
    name = f"t{random.SystemRandom().getrandbits(100):x}"
    return OrderRequest(
        ClientOrderId(name),
        SYMBOL,
        side,
        lane,
        Qty(parse_fixed(qty)),
        Px(parse_fixed(px)),
        is_reduction,
        qty,
        px,
    )


async def place(gateway: AsterGateway, order: OrderRequest, seconds: int = 5) -> RequestOutcome:
    found: asyncio.Future[RequestOutcome] = asyncio.get_running_loop().create_future()

    def on_outcome(outcome: RequestOutcome, received_ns: TimeNs) -> None:
        assert received_ns > 0
        found.set_result(outcome)

    signed = sign_many([gateway.sign_job(order)])[0]
    assert isinstance(signed, bytes), signed
    deadline_ns = TimeNs(CLOCK.now_ns() + seconds * NS_PER_S)
    sent_ns = gateway.transmit(signed, deadline_ns=deadline_ns, on_outcome=on_outcome)
    assert sent_ns <= CLOCK.now_ns()
    return await found


async def band_px(account: Account, side: Side) -> str:
    """Return a limit price that crosses the book, inside the venue's band."""
    async with httpx.AsyncClient(base_url=account.adapter._access.rest.url) as client:
        answer = await client.get("/fapi/v3/premiumIndex", params={"symbol": SYMBOL})
    mark = parse_fixed(answer.json()["markPrice"])
    px = mark * (102 if side == Side.BUY else 98) // 100
    step = parse_fixed("0.1")
    return format_fixed(px // step * step)


@dataclass
class Heard:
    events: list[AccountEvent] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def sink(self, events: Sequence[AccountEvent]) -> None:
        self.events.extend(events)
        self.changed.set()

    def of(self, kind: type) -> list[AccountEvent]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                self.changed.clear()
                await self.changed.wait()


def fill_id(event: AccountEvent) -> FillId:
    assert isinstance(event, Fill)
    return event.id


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what a shared book will show, which tells nobody that it changed."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - a book is looked at, never listened to
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def running(task: Coroutine[None, None, None]) -> AsyncIterator[None]:
    started = asyncio.ensure_future(task)
    try:
        yield
    finally:
        started.cancel()
        await asyncio.wait([started])
        assert started.cancelled()


async def test_an_order_fills_is_found_again_and_shows_in_account_and_trades(
    account: Account,
) -> None:
    gateway = account.gateway
    order = new_order(Side.BUY, await band_px(account, Side.BUY))
    outcome = await place(gateway, order)
    assert isinstance(outcome, Accepted)
    assert outcome.report.state is OrderState.FILLED
    assert outcome.report.filled_qty == order.qty
    assert outcome.report.average_px is not None
    assert await gateway.order(SYMBOL, order.client_order_id) is not None
    snapshot = await gateway.account()
    held = [each for each in snapshot.positions if each.qty]
    assert [(each.symbol, each.qty) for each in held] == [(SYMBOL, order.qty)]
    assert not snapshot.is_hedge
    assert snapshot.available < snapshot.equity
    fills, cursor = await gateway.fills_since(SYMBOL, None)
    names = {await gateway.name_of(SYMBOL, fill.id.order_id) for fill in fills}
    assert names == {order.client_order_id}
    assert sum(fill.signed_qty for fill in fills) == order.qty
    assert {fill.id.order_id for fill in fills} == {outcome.report.venue_order_id}
    again, same = await gateway.fills_since(SYMBOL, cursor)
    assert again == []
    assert same == cursor


async def test_a_history_of_more_than_a_page_is_read_whole_before_its_cursor(
    account: Account, venue: Venue
) -> None:
    count = 1_001
    body = {"account": account.address, "symbol": SYMBOL, "side": "BUY"}
    rows = [["60000", "0.001"]] * count
    await venue.tell("trade", {**body, "fills": rows})
    fills, cursor = await account.gateway.fills_since(SYMBOL, None)
    assert len({fill.id for fill in fills}) == count
    assert cursor == fills[-1].id.trade_id == max((each.id.trade_id for each in fills), key=int)


async def test_an_order_outside_the_book_expires_unfilled(account: Account) -> None:
    px = await band_px(account, Side.SELL)
    outcome = await place(account.gateway, new_order(Side.BUY, px))
    assert isinstance(outcome, Accepted)
    assert outcome.report.state is OrderState.EXPIRED
    assert outcome.report.filled_qty == 0
    assert outcome.report.average_px is None


async def test_a_reduction_without_a_position_is_refused_and_asks_for_a_resync(
    account: Account,
) -> None:
    px = await band_px(account, Side.SELL)
    outcome = await place(account.gateway, new_order(Side.SELL, px, is_reduction=True))
    assert isinstance(outcome, Refused)
    assert outcome.code == -2022
    assert outcome.is_resync


async def test_an_order_beyond_the_margin_may_be_shrunk(account: Account) -> None:
    px = await band_px(account, Side.BUY)
    outcome = await place(account.gateway, new_order(Side.BUY, px, "90"))
    assert isinstance(outcome, Refused)
    assert outcome.code == -2019
    assert outcome.is_shrinkable


async def test_an_unknown_order_is_denied(account: Account) -> None:
    assert await account.gateway.order(SYMBOL, ClientOrderId("never")) is None
    assert await account.gateway.name_of(SYMBOL, "17") is None


async def test_leverage_is_set_twice_without_complaint_and_read_back(account: Account) -> None:
    await account.gateway.set_leverage(SYMBOL, 7)
    await account.gateway.set_leverage(SYMBOL, 7)
    snapshot = await account.gateway.account()
    assert {each.leverage for each in snapshot.positions if each.symbol == SYMBOL} == {7}


async def test_the_agent_is_listed_with_its_permissions(account: Account) -> None:
    agent = await account.gateway.agent()
    assert agent is not None
    assert agent.canPerpTrade
    assert not agent.canWithdraw


async def test_a_hedge_account_names_sides_and_reduces_without_the_flag(
    venue: Venue, kek: KeyEncryptionKey
) -> None:
    account = await open_account(venue, kek, hedge=True)
    await account.gateway.start()
    px = await band_px(account, Side.SELL)
    outcome = await place(account.gateway, new_order(Side.SELL, px, lane=PositionSide.SHORT))
    assert isinstance(outcome, Accepted)
    snapshot = await account.gateway.account()
    assert snapshot.is_hedge
    held = [(each.position_side, each.qty) for each in snapshot.positions if each.qty]
    assert held == [(PositionSide.SHORT, -outcome.report.filled_qty)]
    closing = new_order(
        Side.BUY, await band_px(account, Side.BUY), lane=PositionSide.SHORT, is_reduction=True
    )
    assert isinstance(await place(account.gateway, closing), Accepted)
    assert not [each for each in (await account.gateway.account()).positions if each.qty]
    await account.gateway.close()


@pytest.mark.parametrize("kind", ["lost_ack", "status_503_after", "garbage"])
async def test_an_answer_that_never_came_is_unknown_and_the_order_can_be_found(
    account: Account, venue: Venue, kind: str
) -> None:
    px = await band_px(account, Side.BUY)
    await venue.tell(
        "faults", {"kind": kind, "account": account.address, "count": 1, "executed": True}
    )
    order = new_order(Side.BUY, px)
    outcome = await place(account.gateway, order, seconds=2)
    assert isinstance(outcome, Unknown), outcome
    report = await account.gateway.order(SYMBOL, order.client_order_id)
    assert report is not None
    assert report.filled_qty == order.qty
    # The connection mends itself: the next order goes out.
    assert isinstance(await place(account.gateway, new_order(Side.BUY, px)), Accepted)


async def test_a_hanging_venue_is_unknown_at_the_deadline(account: Account, venue: Venue) -> None:
    px = await band_px(account, Side.BUY)
    await venue.tell("faults", {"kind": "hang", "account": account.address, "count": 1})
    began_ns = CLOCK.now_ns()
    outcome = await place(account.gateway, new_order(Side.BUY, px), seconds=1)
    assert isinstance(outcome, Unknown)
    assert CLOCK.now_ns() - began_ns >= NS_PER_S


async def test_a_refused_connection_is_not_sent(venue: Venue, kek: KeyEncryptionKey) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    adapter = new_adapter(venue, f"http://127.0.0.1:{port}")
    gateway = adapter.make_gateway("0x" + "1" * 40, new_signer(kek, "0x" + "1" * 40))
    with pytest.raises(errors.NotSent):
        await gateway.start()
    outcome = await place(gateway, new_order(Side.BUY, "100"))
    assert isinstance(outcome, NotSent)
    with pytest.raises(errors.NotSent):
        await gateway.account()
    await gateway.close()


async def test_too_many_requests_block_the_address_budget(account: Account, venue: Venue) -> None:
    px = await band_px(account, Side.BUY)
    await venue.tell("faults", {"kind": "status_429", "account": account.address, "count": 1})
    outcome = await place(account.gateway, new_order(Side.BUY, px))
    assert isinstance(outcome, Limited)
    assert outcome.retry_after_ns is not None
    assert account.adapter.budget.blocked_until_ns > CLOCK.now_ns()
    held_back = await place(account.gateway, new_order(Side.BUY, px))
    assert isinstance(held_back, Limited)
    with pytest.raises(errors.RateLimited):
        await account.gateway.account()


async def test_a_revoked_agent_is_denied(account: Account, venue: Venue) -> None:
    px = await band_px(account, Side.BUY)
    await venue.tell("faults", {"kind": "revoke_agent", "agent": account.signer.address})
    assert isinstance(await place(account.gateway, new_order(Side.BUY, px)), Denied)
    with pytest.raises(errors.Unauthorized):
        await account.gateway.account()


async def test_the_reader_lists_instruments_and_follows_the_clock(venue: Venue) -> None:
    adapter = new_adapter(venue)
    reader = adapter.make_reader()
    instruments = await reader.instruments()
    assert SYMBOL in instruments
    assert not [name for name in instruments if name.startswith("TEST")]
    assert adapter.budget.window_max == 240_000
    await venue.tell("faults", {"kind": "clock_skew", "ms": 5_000})
    venue_ms = await reader.venue_time_ms()
    assert abs(adapter.venue_clock.now_ms() - venue_ms) < 1_000
    assert adapter.venue_clock.offset_us > 4_000_000
    await venue.tell("faults", {"kind": "clock_skew", "ms": 0})
    await adapter.close()


async def test_the_account_stream_tells_fills_reports_and_balances(account: Account) -> None:
    heard = Heard()
    feed = account.adapter.make_account_feed(account.address, account.signer)
    async with running(feed.run(heard.sink)):
        await heard.until(lambda: bool(heard.of(FeedUp)))
        order = new_order(Side.BUY, await band_px(account, Side.BUY))
        await place(account.gateway, order)
        await heard.until(lambda: bool(heard.of(AccountUpdate)))
        await heard.until(
            lambda: any(
                isinstance(event, OrderReport) and event.state is OrderState.FILLED
                for event in heard.events
            )
        )
        streamed = [event for event in heard.events if isinstance(event, Fill)]
        read, _ = await account.gateway.fills_since(SYMBOL, None)
        assert [fill.id for fill in streamed] == [fill.id for fill in read]
        assert {fill.client_order_id for fill in streamed} == {order.client_order_id}
        update = heard.of(AccountUpdate)[-1]
        assert isinstance(update, AccountUpdate)
        assert update.venue_ts_ms == streamed[-1].venue_ts_ms
        assert [each.qty for each in update.positions] == [order.qty]


@pytest.mark.parametrize("kind", ["listen_key_expired", "disconnect_streams"])
async def test_the_account_stream_comes_back(account: Account, venue: Venue, kind: str) -> None:
    heard = Heard()
    feed = account.adapter.make_account_feed(account.address, account.signer)
    async with running(feed.run(heard.sink)):
        await heard.until(lambda: len(heard.of(FeedUp)) == 1)
        await venue.tell("faults", {"kind": kind, "account": account.address})
        await heard.until(lambda: len(heard.of(FeedUp)) == 2)
        assert len(heard.of(FeedDown)) == 1
        await place(account.gateway, new_order(Side.BUY, await band_px(account, Side.BUY)))
        await heard.until(lambda: bool(heard.of(Fill)))


async def test_a_connection_is_replaced_without_a_gap(account: Account) -> None:
    heard = Heard()
    feed = AsterAccountFeed(
        account.adapter._access,
        account.adapter._rest(account.signer),
        account=account.address,
        bounds=StreamBounds(
            heartbeat_ns=NS_PER_S,
            silence_ns=5 * NS_PER_S,
            key_check_ns=NS_PER_S // 4,
            redial_ns=NS_PER_S // 2,
            overlap_ns=NS_PER_S // 4,
        ),
    )
    px = await band_px(account, Side.BUY)
    async with running(feed.run(heard.sink)):
        await heard.until(lambda: bool(heard.of(FeedUp)))
        first = next(iter(feed._sessions))
        placed = 0
        while first in feed._sessions:
            placed += isinstance(await place(account.gateway, new_order(Side.BUY, px)), Accepted)
        fills, _ = await account.gateway.fills_since(SYMBOL, None)
        assert placed > 0
        expected = {fill.id for fill in fills}
        await heard.until(lambda: {fill_id(event) for event in heard.of(Fill)} >= expected)
    assert len(heard.of(FeedUp)) == 1
    assert heard.of(FeedDown) == []


@pytest.mark.parametrize("depth", ["diff", "partial"])
async def test_books_come_in_step_and_stay(venue: Venue, depth: str) -> None:
    adapter = new_adapter(venue)
    reports: list[str] = []
    books = adapter.make_book_feed(
        depth="partial" if depth == "partial" else "diff", on_report=reports.append
    )
    books.subscribe(SYMBOL)
    books.subscribe(SYMBOL)
    assert books.view(SYMBOL) is None
    assert books.view("NEVER") is None
    async with running(books.run()):
        await until(lambda: books.view(SYMBOL) is not None and books.mark_px(SYMBOL) is not None)
        first = books.view(SYMBOL)
        assert first is not None
        assert first.best_bid is not None
        assert first.best_ask is not None
        assert first.best_bid[0] < first.best_ask[0]

        def is_newer() -> bool:
            newer = books.view(SYMBOL)
            return newer is not None and newer.sequence > first.sequence

        await until(is_newer)
        await until(lambda: books.best(SYMBOL) is not None)
        best = books.best(SYMBOL)
        assert best is not None
        assert best.bid_px < best.ask_px
        assert not books.is_gapped(SYMBOL)
    assert reports == []


async def test_a_silent_stream_counts_as_dead(venue: Venue) -> None:
    frames: list[bytes] = []
    socket_ = await open_websocket(
        Origin(venue.stream),
        "/ws/btcusdt@markPrice@1s",
        sink=lambda messages, _: frames.extend(messages),
        clock=CLOCK,
        silence_ns=NS_PER_S // 2,
        size_max=100_000,
        user_agent="test",
    )
    socket_.is_held_to_messages = True
    reason = await socket_.wait_lost()
    assert reason.startswith("silent")
    assert not socket_.is_open
    with pytest.raises(errors.FeedError):
        await socket_.send("{}")


async def test_a_gap_is_repaired_from_a_snapshot(venue: Venue) -> None:
    adapter = new_adapter(venue)
    reports: list[str] = []
    books = adapter.make_book_feed(on_report=reports.append)
    books.subscribe(SYMBOL)
    async with running(books.run()):
        await until(lambda: books.view(SYMBOL) is not None)
        await venue.tell("faults", {"kind": "gap_book", "symbol": SYMBOL, "count": 1})
        await until(lambda: bool(reports))
        await until(lambda: books.view(SYMBOL) is not None)
        assert not books.is_gapped(SYMBOL)
    await venue.forget_faults()
