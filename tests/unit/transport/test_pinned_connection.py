"""The pinned connection on scripted sockets: what left, what came, each callback once."""

import asyncio
import random
from collections.abc import Callable

import pytest

from slipstream import errors
from slipstream.transport import http
from slipstream.transport.http import Answered, HttpResult, NotSent, PinnedConnection, Unknown
from slipstream.transport.origin import Origin
from slipstream.transport.reconnect import Backoff
from slipstream.units import TimeNs

ORIGIN = Origin("http://venue.test:8080/base")
OK = b"HTTP/1.1 200 OK\r\nX-Used: 7\r\nOther: 1\r\nContent-Length: 2\r\n\r\nhi"
SOON = 1_000_000_000


class FakeClock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        """Begin a microsecond after zero."""
        self.at_ns = 1_000

    def now_ns(self) -> TimeNs:
        return TimeNs(self.at_ns)

    def wall_us(self) -> int:
        return self.at_ns // 1_000


class FakeTransport(asyncio.Transport):
    """Keeps what was written."""

    def __init__(self) -> None:
        """Begin open and empty."""
        super().__init__()
        self.written: list[bytes] = []
        self.is_aborted = False
        self.is_ending = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == 0
        assert low is None

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.written.append(data)

    def is_closing(self) -> bool:
        return self.is_ending or self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True


class Scripted(PinnedConnection):
    """Dials scripted sockets: an error in the script is a refused connection."""

    def __init__(self, script: list[Exception | None], *, is_warm: bool = True) -> None:
        """Take what each dial comes to: an error, or ``None`` for a socket."""
        self.clock_ns = FakeClock()
        super().__init__(
            ORIGIN,
            clock=self.clock_ns,
            backoff=Backoff(random.Random(1), first_ns=2, cap_ns=2),
            is_warm=is_warm,
            queue_max=2,
            headers_wanted=frozenset({b"x-used"}),
        )
        self.script = script
        self.dial_count = 0

    async def _dial(self) -> http._Wire:
        self.dial_count += 1
        step = self.script.pop(0) if self.script else None
        if step is not None:
            raise step
        wire = http._Wire(self)
        wire.connection_made(FakeTransport())
        return wire

    @property
    def wire(self) -> http._Wire:
        assert self._wire is not None
        return self._wire

    @property
    def socket(self) -> FakeTransport:
        assert isinstance(self.wire.transport, FakeTransport)
        return self.wire.transport


class Results:
    """One list per request of what its callback was called with."""

    def __init__(self) -> None:
        """Begin without requests."""
        self.of: dict[str, list[HttpResult]] = {}

    def sink(self, name: str) -> Callable[[HttpResult, TimeNs], None]:
        self.of[name] = []

        def on_result(result: HttpResult, received_ns: TimeNs) -> None:
            assert received_ns > 0
            self.of[name].append(result)

        return on_result


async def turns(count: int = 5) -> None:
    """Let what is ready run."""
    for _ in range(count):
        await asyncio.sleep(0)


async def connected(script: list[Exception | None] | None = None) -> Scripted:
    connection = Scripted([None] if script is None else script)
    await connection.start()
    return connection


async def test_an_idle_connection_writes_at_once_and_answers_once() -> None:
    connection, results = await connected(), Results()
    sent_ns = connection.send(b"one", deadline_ns=SOON, on_result=results.sink("one"))
    assert sent_ns == 1_000
    assert connection.socket.written == [b"one"]
    for byte in OK:
        connection.wire.data_received(bytes([byte]))
    assert results.of["one"] == [Answered(200, {b"x-used": b"7"}, b"hi")]
    await connection.close()
    assert len(results.of["one"]) == 1


async def test_requests_behind_one_in_flight_leave_in_order_and_the_queue_is_bounded() -> None:
    connection, results = await connected(), Results()
    for name in ("a", "b", "c", "d"):
        connection.send(name.encode(), deadline_ns=SOON, on_result=results.sink(name))
    await turns()
    assert connection.socket.written == [b"a"]
    assert isinstance(results.of["d"][0], NotSent)
    connection.wire.data_received(OK)
    connection.wire.data_received(OK)
    connection.wire.data_received(OK)
    assert connection.socket.written == [b"a", b"b", b"c"]
    assert all(isinstance(results.of[name][0], Answered) for name in "abc")
    await connection.close()
    assert all(len(found) == 1 for found in results.of.values())


@pytest.mark.parametrize(
    "reply",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: nonsense\r\n\r\n",
        OK + OK,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
    ],
)
async def test_a_reply_that_is_none_leaves_the_request_unknown(reply: bytes) -> None:
    connection, results = await connected(), Results()
    connection.send(b"one", deadline_ns=SOON, on_result=results.sink("one"))
    socket = connection.socket
    connection.wire.data_received(reply)
    assert [type(found) for found in results.of["one"]] == [Unknown]
    assert socket.is_aborted
    await turns()
    assert connection.is_up
    assert connection.dial_count == 2
    await connection.close()


async def test_a_lost_socket_makes_the_one_in_flight_unknown_and_sends_the_rest() -> None:
    connection, results = await connected(), Results()
    connection.send(b"one", deadline_ns=SOON, on_result=results.sink("one"))
    connection.send(b"two", deadline_ns=SOON, on_result=results.sink("two"))
    connection.wire.data_received(OK[:30])
    connection.wire.connection_lost(ConnectionResetError())
    assert isinstance(results.of["one"][0], Unknown)
    assert results.of["two"] == []
    await turns()
    assert connection.socket.written == [b"two"]
    connection.wire.data_received(OK)
    assert isinstance(results.of["two"][0], Answered)
    await connection.close()


async def test_a_late_reply_of_a_given_up_socket_is_nobodys() -> None:
    connection, results = await connected(), Results()
    old = connection.wire
    connection.send(b"one", deadline_ns=2_000, on_result=results.sink("one"))
    connection.clock_ns.at_ns = 2_000
    connection._on_timer()
    assert isinstance(results.of["one"][0], Unknown)
    await turns()
    connection.send(b"two", deadline_ns=SOON, on_result=results.sink("two"))
    old.data_received(OK)
    old.connection_lost(None)
    assert results.of["two"] == []
    connection.wire.data_received(OK)
    assert isinstance(results.of["two"][0], Answered)
    assert len(results.of["one"]) == 1
    await connection.close()


async def test_a_deadline_in_the_queue_is_not_sent_and_leaves_the_other_alone() -> None:
    connection, results = await connected(), Results()
    connection.send(b"one", deadline_ns=SOON, on_result=results.sink("one"))
    connection.send(b"two", deadline_ns=2_000, on_result=results.sink("two"))
    connection.clock_ns.at_ns = 2_000
    connection._on_timer()
    assert isinstance(results.of["two"][0], NotSent)
    assert results.of["one"] == []
    connection.wire.data_received(OK)
    assert connection.socket.written == [b"one"]
    await connection.close()


async def test_a_passed_deadline_sends_nothing() -> None:
    connection, results = await connected(), Results()
    assert connection.send(b"one", deadline_ns=999, on_result=results.sink("one")) is None
    assert results.of["one"] == []
    await turns()
    assert isinstance(results.of["one"][0], NotSent)
    assert connection.socket.written == []
    await connection.close()


async def test_a_closing_socket_is_not_written_to() -> None:
    connection, results = await connected(), Results()
    first = connection.wire
    connection.socket.is_ending = True
    connection.send(b"one", deadline_ns=SOON, on_result=results.sink("one"))
    assert isinstance(first.transport, FakeTransport)
    assert first.transport.written == []
    first.connection_lost(None)
    await turns()
    assert connection.socket.written == [b"one"]
    await connection.close()


async def test_a_refused_connection_is_not_sent_and_is_tried_again() -> None:
    connection = Scripted([ConnectionRefusedError("no"), None])
    results = Results()
    connection.send(b"one", deadline_ns=SOON, on_result=results.sink("one"))
    with pytest.raises(errors.NotSent):
        await connection.start()
    assert isinstance(results.of["one"][0], NotSent)
    await connection.start()
    assert connection.is_up
    connection.send(b"two", deadline_ns=SOON, on_result=results.sink("two"))
    assert connection.socket.written == [b"two"]
    await connection.close()
    assert isinstance(results.of["two"][0], Unknown)


async def test_a_server_that_ends_each_connection_gets_a_new_one_for_the_next() -> None:
    connection, results = await connected(), Results()
    connection.send(b"one", deadline_ns=SOON, on_result=results.sink("one"))
    reply = b"HTTP/1.1 503 Down\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    connection.wire.data_received(reply)
    assert results.of["one"] == [Answered(503, {}, b"")]
    await turns()
    assert connection.dial_count == 2
    connection.send(b"two", deadline_ns=SOON, on_result=results.sink("two"))
    assert connection.socket.written == [b"two"]
    await connection.close()


async def test_a_cold_connection_dials_when_something_is_sent_and_not_before() -> None:
    connection, results = Scripted([], is_warm=False), Results()
    await turns()
    assert connection.dial_count == 0
    connection.send(b"one", deadline_ns=SOON, on_result=results.sink("one"))
    await turns()
    connection.wire.data_received(OK)
    connection.wire.connection_lost(None)
    await turns()
    assert connection.dial_count == 1
    assert isinstance(results.of["one"][0], Answered)
    await connection.close()


async def test_closing_ends_everything_once_and_for_good() -> None:
    connection, results = await connected(), Results()
    connection.send(b"one", deadline_ns=SOON, on_result=results.sink("one"))
    connection.send(b"two", deadline_ns=SOON, on_result=results.sink("two"))
    await connection.close()
    connection.send(b"three", deadline_ns=SOON, on_result=results.sink("three"))
    await turns()
    kinds = {name: [type(each) for each in found] for name, found in results.of.items()}
    assert kinds == {"one": [Unknown], "two": [NotSent], "three": [NotSent]}


def test_a_template_makes_whole_requests() -> None:
    template = http.RequestTemplate("POST", "/order", ORIGIN, {"User-Agent": "x"})
    assert template.with_body(b"a=1&b=2") == (
        b"POST /base/order HTTP/1.1\r\nHost: venue.test:8080\r\nUser-Agent: x\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\na=1&b=2"
    )
    get = http.RequestTemplate("GET", "/time", ORIGIN, {})
    assert get.with_query() == b"GET /base/time HTTP/1.1\r\nHost: venue.test:8080\r\n\r\n"
    assert get.with_query(b"a=1").startswith(b"GET /base/time?a=1 HTTP/1.1\r\n")


@pytest.mark.parametrize("url", ["venue.test", "ftp://venue.test", "http://", "http://a:b"])
def test_a_base_url_that_is_none_is_named(url: str) -> None:
    with pytest.raises(errors.ConfigError, match="base URL"):
        Origin(url)
