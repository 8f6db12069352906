"""What a WebSocket connection of the Aster face subscribes to, and stream names."""

import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import orjson

from slipstream.venues.sim.clock import NS_PER_MS
from slipstream.venues.sim.http import Connection
from slipstream.venues.sim.websocket import encode_frame

STREAMS_MAX: Final = 200
MESSAGES_PER_SECOND: Final = 10
SECOND_NS: Final = 1000 * NS_PER_MS
_STREAM: Final = re.compile(
    r"(?P<symbol>[a-z0-9]+)@(?P<kind>depth|bookTicker|aggTrade|markPrice|tradepro)"
    r"(?P<levels>5|10|20)?(?:@(?P<speed>100ms|250ms|500ms|1s))?\Z"
)
_SPEED_MS: Final = {"100ms": 100, "250ms": 250, "500ms": 500, "1s": 1000}
_DEFAULT_MS: Final = {
    "depth": 250,
    "bookTicker": 0,
    "aggTrade": 100,
    "markPrice": 3000,
    "tradepro": 0,
}


class Topic(NamedTuple):
    """A market stream. ``cadence_ms`` 0 is real time; ``levels`` 0 is the diff."""

    name: str
    symbol: str
    kind: str
    levels: int
    cadence_ms: int


@dataclass(slots=True)
class StreamState:
    """What the venue keeps for one WebSocket connection."""

    opened_ns: int
    last_pong_ns: int
    is_combined: bool = False
    names: set[str] = field(default_factory=set)
    listen_keys: set[str] = field(default_factory=set)
    second_start_ns: int = 0
    second_count: int = 0

    def count_message(self, now_ns: int) -> bool:
        """Count an incoming message; False when there were too many this second."""
        if now_ns - self.second_start_ns >= SECOND_NS:
            self.second_start_ns = now_ns
            self.second_count = 0
        self.second_count += 1
        return self.second_count <= MESSAGES_PER_SECOND


def parse_topic(name: str) -> Topic | None:
    """Return the market stream of a name, None when there is no such stream."""
    found = _STREAM.match(name)
    if found is None:
        return None
    kind, levels, speed = found["kind"], found["levels"], found["speed"]
    if levels and kind != "depth":
        return None
    if speed is not None:
        legal = ("1s",) if kind == "markPrice" else ("100ms", "250ms", "500ms")
        if kind not in ("depth", "markPrice") or speed not in legal:
            return None
    cadence_ms = _DEFAULT_MS[kind] if speed is None else _SPEED_MS[speed]
    symbol = found["symbol"].upper()
    return Topic(name, symbol, kind, int(levels or 0), cadence_ms)


class Fanout:
    """One payload for many connections: each form is encoded at most once."""

    __slots__ = ("_combined", "_name", "_payload", "_raw")

    def __init__(self, name: str, payload: bytes) -> None:
        """Hold an encoded payload and the stream it belongs to."""
        self._name = name
        self._payload = payload
        self._raw: bytes | None = None
        self._combined: bytes | None = None

    def frame_for(self, connection: Connection) -> bytes:
        """Return the frame in the form that a connection asked for."""
        if connection.state.is_combined:
            if self._combined is None:
                name = orjson.dumps(self._name)
                wrapped = b'{"stream":%b,"data":%b}' % (name, self._payload)
                self._combined = encode_frame(wrapped)
            return self._combined
        if self._raw is None:
            self._raw = encode_frame(self._payload)
        return self._raw
