# ruff: noqa: SLF001 - the parts are measured one by one
"""What one frame, one order and one answer cost on the event loop.

Run: ``pytest benches/python/test_bench_decode.py --benchmark-enable``.
"""

import random
from functools import partial
from typing import Any

from slipstream._core import KeyEncryptionKey, PositionSide, SealedKey, Side, Signer, sign_many
from slipstream.domain.ids import ClientOrderId
from slipstream.domain.order import OrderRequest
from slipstream.domain.outcome import Accepted, RequestOutcome
from slipstream.transport import http
from slipstream.transport.clock import SystemClock
from slipstream.units import Px, Qty, TimeNs
from slipstream.venues.aster import answers, market
from slipstream.venues.aster.adapter import AsterAdapter
from slipstream.venues.aster.events import UserEventDecoder
from slipstream.venues.aster.gateway import AsterGateway

NAME = ClientOrderId("s" + "a" * 24)
ORDER = OrderRequest(
    NAME,
    "BTCUSDT",
    Side.BUY,
    PositionSide.NET,
    Qty(1),
    Px(1),
    is_reduction=False,
    qty_text="0.297",
    limit_px_text="73685.5",
)
ANSWER = (
    b'{"clientOrderId":"%b","cumQty":"0.297","cumQuote":"21884.5935","executedQty":"0.297",'
    b'"orderId":22542179,"avgPrice":"73685.50000","origQty":"0.297","price":"0","side":"BUY",'
    b'"reduceOnly":false,"positionSide":"BOTH","status":"FILLED","stopPrice":"0",'
    b'"closePosition":false,"symbol":"BTCUSDT","timeInForce":"IOC","type":"LIMIT",'
    b'"origType":"LIMIT","updateTime":1773751963079,"workingType":"CONTRACT_PRICE",'
    b'"priceProtect":false}'
) % NAME.encode()
REPLY = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-MBX-USED-WEIGHT-1M: 5\r\n"
    b"X-MBX-ORDER-COUNT-1M: 5\r\nContent-Length: %d\r\n\r\n%b"
) % (len(ANSWER), ANSWER)
TRADE = (
    b'{"e":"ORDER_TRADE_UPDATE","E":1773751963081,"T":1773751963079,"o":{"s":"BTCUSDT",'
    b'"c":"cp-7f3a","S":"BUY","o":"LIMIT","f":"IOC","q":"0.297","p":"0","ap":"73685.5","sp":"0",'
    b'"x":"TRADE","X":"PARTIALLY_FILLED","i":22542179,"l":"0.100","z":"0.100","L":"73685.5",'
    b'"N":"USDT","n":"2.57899","T":1773751963079,"t":128884613,"b":"0","a":"0","m":false,'
    b'"R":false,"wt":"CONTRACT_PRICE","ot":"MARKET","ps":"BOTH","cp":false,"rp":"0"}}'
)
LEVELS = b",".join(b'["%d.5","0.%03d"]' % (73_000 + index, index + 1) for index in range(20))
DEPTH = (
    b'{"e":"depthUpdate","E":1773751963081,"T":1773751963079,"s":"BTCUSDT","U":1,"u":2,"pu":0,'
    b'"b":[%b],"a":[%b]}'
) % (LEVELS, LEVELS)


class NullTransport:
    """Takes bytes and does nothing: the socket's own cost is measured elsewhere."""

    def write(self, request: bytes) -> None:
        """Take a request."""
        assert request

    def is_closing(self) -> bool:
        """Say that it is open."""
        return False

    def abort(self) -> None:
        """Nothing to end."""


def gateway() -> AsterGateway:
    kek, _, _ = KeyEncryptionKey.create(
        bytearray(b"bench"), salt=b"0" * 16, memory_kib=8192, passes=1, lanes=1
    )
    record = kek.new_key(entry_id="a", venue="aster", kind="secp256k1")
    sealed = SealedKey(
        entry_id="a",
        venue="aster",
        kind="secp256k1",
        address=record.address,
        nonce=record.nonce,
        ciphertext=record.ciphertext,
    )
    adapter = AsterAdapter(
        rest_url="http://127.0.0.1:1",
        stream_url="ws://127.0.0.1:1",
        chain="mainnet",
        clock=SystemClock(),
        source=random.Random(1),
    )
    adapter.budget.set_window_max(10**12)
    signer = Signer.open(sealed, kek, "aster-mainnet", user=record.address)
    made = adapter.make_gateway(record.address, signer)
    made._bucket._interval_ns = 0
    connection = made._connection
    wire = http._Wire(connection)
    wire.transport = NullTransport()  # type: ignore[assignment]
    connection._wire, connection._is_up = wire, True
    connection._timer, connection._timer_at_ns = object(), 0  # type: ignore[assignment]
    return made


def ignore(outcome: RequestOutcome, received_ns: TimeNs) -> None:
    assert isinstance(outcome, Accepted)
    assert received_ns


def test_sign_job(benchmark: Any) -> None:  # noqa: ANN401
    signer, values = benchmark(gateway().sign_job, ORDER)
    assert signer.address
    assert values[0] == "order"


def test_transmit(benchmark: Any) -> None:  # noqa: ANN401
    made = gateway()
    signed = sign_many([made.sign_job(ORDER)])[0]
    assert isinstance(signed, bytes)

    def transmit() -> None:
        made._connection._busy = None
        made.transmit(signed, deadline_ns=TimeNs(2**62), on_outcome=ignore)

    benchmark(transmit)
    assert made._connection._busy is not None


def test_answer(benchmark: Any) -> None:  # noqa: ANN401
    made = gateway()
    connection = made._connection
    wire = connection._wire
    assert wire is not None

    def answer() -> None:
        on_result = partial(made._on_result, NAME, ignore)
        connection._busy = http._Exchange(b"", 2**62, 2**62, on_result)
        wire.data_received(REPLY)

    benchmark(answer)
    assert connection._busy is None


def test_order_body(benchmark: Any) -> None:  # noqa: ANN401
    assert benchmark(answers.decode_order_answer, ANSWER, NAME).filled_qty == 29_700_000


def test_trade_event(benchmark: Any) -> None:  # noqa: ANN401
    decoder = UserEventDecoder("0xme", SystemClock())
    assert len(benchmark(decoder.decode, TRADE, TimeNs(1))) == 2


def test_depth_frame(benchmark: Any) -> None:  # noqa: ANN401
    assert len(benchmark(market.decode_market, DEPTH).b) == 20
