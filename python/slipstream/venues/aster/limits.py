"""Aster's endpoints, what each weighs, and the venue's published limits.

Weights: aster.md, sections 6, 7 and 9 (the venue's futures V3 document, August 2026).
"""

from enum import Enum
from typing import Final, NamedTuple

from slipstream.units import NS_PER_MS, NS_PER_S

__all__ = [
    "ABSENT_AFTER_NS",
    "FOLLOWER_STREAM",
    "LEADER_STREAM",
    "LOOKUP_LAG_NS",
    "ORDER_BURST",
    "ORDER_INTERVAL_NS",
    "STREAMS_PER_SOCKET",
    "WEIGHT_PER_MINUTE",
    "WEIGHT_RESERVE",
    "Endpoint",
    "StreamBounds",
    "depth_weight",
    "order_bucket",
]

WEIGHT_PER_MINUTE: Final = 2_400
"""Request weight an address may use a minute; exchangeInfo states the current value."""

WEIGHT_RESERVE: Final = 480
"""Part of it that only reductions and the questions about unknown orders may use."""

ORDER_BURST: Final = 300
ORDER_INTERVAL_NS: Final = NS_PER_S * 60 // 900
"""1,200 orders a minute and account: a burst of 300 and 900 a minute stay inside any window."""


def order_bucket(orders_per_minute: int | None) -> dict[str, int]:
    """Return burst and interval of a bucket that never lets more pass in any minute.

    ``None``, or more than the venue allows = what the venue allows.
    """
    if orders_per_minute is None or orders_per_minute >= _ORDERS_PER_MINUTE:
        return {"burst": ORDER_BURST, "interval_ns": ORDER_INTERVAL_NS}
    burst = max(1, orders_per_minute // 4)
    return {"burst": burst, "interval_ns": 60 * NS_PER_S // max(1, orders_per_minute - burst)}


_ORDERS_PER_MINUTE: Final = 1_200
STREAMS_PER_SOCKET: Final = 200
MESSAGE_INTERVAL_NS: Final = 150 * NS_PER_MS
"""Ten control messages a second are allowed; more end the connection."""

SOCKET_LIFE_NS: Final = 24 * 3_600 * NS_PER_S
"""The venue ends each WebSocket at this age (aster.md, sections 8 and 9)."""

REDIAL_NS: Final = SOCKET_LIFE_NS - 1_800 * NS_PER_S
"""A socket is replaced half an hour before, so that a failed attempt can be repeated."""


class StreamBounds(NamedTuple):
    """What one account's stream is held to, in nanoseconds.

    The venue itself pings each five minutes only, so that signs of life are asked for:
    ``heartbeat_ns`` is how often, ``silence_ns`` how long no answer may come. ``key_check_ns`` is
    how often the listen key (valid for an hour) is extended and compared. A socket is replaced at
    ``redial_ns`` and lives ``overlap_ns`` beside its successor.
    """

    heartbeat_ns: int
    silence_ns: int
    key_check_ns: int
    redial_ns: int = REDIAL_NS
    overlap_ns: int = 5 * NS_PER_S


LEADER_STREAM: Final = StreamBounds(5 * NS_PER_S, 15 * NS_PER_S, 60 * NS_PER_S)
FOLLOWER_STREAM: Final = StreamBounds(10 * NS_PER_S, 30 * NS_PER_S, 1_500 * NS_PER_S)
"""Hundreds of followers share one address: their keys are asked for each 25 minutes."""

MARK_AGE_NS: Final = 3 * NS_PER_S
"""A mark is published each second: three that did not come are silence, and what was told last
bounds no order any more."""

ABSENT_AFTER_NS: Final = 62 * NS_PER_S
"""The widest nonce window any text states (60 s) and two seconds of clock skew."""

LOOKUP_LAG_NS: Final = 2 * NS_PER_S
"""Reads may lag the matching engine by seconds (aster.md, section 13)."""


class _Call(NamedTuple):
    method: str
    path: str
    weight: int
    operation: str | None
    """The signer's name for it; ``None`` = public."""


class Endpoint(Enum):
    """Every call we make."""

    ORDER = _Call("POST", "/fapi/v3/order", 1, "order")
    QUERY_ORDER = _Call("GET", "/fapi/v3/order", 1, "query_order")
    NOOP = _Call("POST", "/fapi/v3/noop", 1, "noop")
    LEVERAGE = _Call("POST", "/fapi/v3/leverage", 1, "leverage")
    ACCOUNT = _Call("GET", "/fapi/v3/accountWithJoinMargin", 5, "account")
    TRADES = _Call("GET", "/fapi/v3/userTrades", 5, "user_trades")
    AGENT = _Call("GET", "/fapi/v3/agent", 1, "agents")
    LISTEN_KEY_OPEN = _Call("POST", "/fapi/v3/listenKey", 1, "listen_key")
    EXCHANGE = _Call("GET", "/fapi/v3/exchangeInfo", 1, None)
    DEPTH = _Call("GET", "/fapi/v3/depth", 20, None)
    TIME = _Call("GET", "/fapi/v3/time", 1, None)
    PING = _Call("GET", "/fapi/v3/ping", 1, None)

    @property
    def method(self) -> str:
        """The HTTP method."""
        return self.value.method

    @property
    def path(self) -> str:
        """The path below the base URL."""
        return self.value.path

    @property
    def weight(self) -> int:
        """The request weight."""
        return self.value.weight

    @property
    def operation(self) -> str | None:
        """What the signer calls it; ``None`` for public calls."""
        return self.value.operation


_DEPTH_WEIGHTS: Final = ((50, 2), (100, 5), (500, 10), (1000, 20))


def depth_weight(limit: int) -> int:
    """Return the weight of a depth snapshot of ``limit`` levels.

    Raises:
        ValueError: more levels than the venue gives.
    """
    for levels, weight in _DEPTH_WEIGHTS:
        if limit <= levels:
            return weight
    raise ValueError(f"expected at most 1000 levels, found {limit}")
