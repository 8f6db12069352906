"""Misbehaviour on demand: rules that match requests, events, streams and books.

A rule applies to what its filters name, from its ``after``-th match on, ``count`` times
(for ever when absent), with a probability drawn from the seed, until it expires.

Requests (filters account, agent, route, symbol, ip, client_order_id):
    delay_request, delay_response   ``delay_ms`` before serving, or before answering
    lost_ack                        executed, then the connection is reset
    reset_before                    reset without executing
    hang                            never answered; executed only with ``executed``
    status_503_before, _after       503 before or after execution
    status_429, status_418          refused; 418 bans the address for ``ms``
    waf_403, garbage                an HTML page, before or after execution
    reject                          ``code``, ``msg``, ``status``
    refuse_connect                  connections of an address or an account are reset
User events (filters account, event, symbol, client_order_id):
    drop_event, silent_stream       never sent
    delay_event                     sent ``delay_ms`` late
    duplicate_event                 sent twice
    reorder_event                   sent after the next event
    account_first                   ACCOUNT_UPDATE before the orders of its step
Books (filter symbol):
    stale_book                      streams stand still, the snapshot stays old
    crossed_book, empty_book        shown so, in streams and snapshot
    gap_book                        one diff event is lost
At once:
    clock_skew (``ms``), disconnect_streams (account, or all), listen_key_expired
    (account), revoke_agent (agent)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from slipstream.venues.sim.clock import NS_PER_MS

REQUEST_KINDS: Final = frozenset(
    {
        "delay_request",
        "delay_response",
        "lost_ack",
        "reset_before",
        "hang",
        "status_503_before",
        "status_503_after",
        "status_429",
        "status_418",
        "waf_403",
        "reject",
        "garbage",
        "refuse_connect",
    }
)
EVENT_KINDS: Final = frozenset(
    {
        "drop_event",
        "delay_event",
        "duplicate_event",
        "reorder_event",
        "silent_stream",
        "account_first",
    }
)
BOOK_KINDS: Final = frozenset({"stale_book", "crossed_book", "gap_book", "empty_book"})
INSTANT_KINDS: Final = frozenset(
    {"clock_skew", "disconnect_streams", "listen_key_expired", "revoke_agent"}
)
ALL_KINDS: Final = REQUEST_KINDS | EVENT_KINDS | BOOK_KINDS | INSTANT_KINDS
_FILTERS: Final = (
    "account",
    "agent",
    "route",
    "symbol",
    "event",
    "ip",
    "client_order_id",
)
_NUMBERS: Final = ("count", "after", "delay_ms", "duration_ms", "code", "status", "ms")
_OTHERS: Final = frozenset({"kind", "probability", "msg", "executed", "venue"})


class FaultError(ValueError):
    """A fault description that cannot be understood."""


@dataclass(slots=True)
class FaultRule:
    """One active rule. ``delay_ms`` and ``duration_ms`` are milliseconds."""

    rule_id: int
    kind: str
    filters: dict[str, str]
    count: int | None = None
    after: int = 0
    probability: float = 1.0
    expires_ns: int | None = None
    delay_ms: int = 0
    ms: int = 0
    code: int = -1000
    status: int = 400
    msg: str = "Rejected by a fault rule."
    is_executed: bool = False
    matched: int = 0
    hits: int = 0
    held: list[Any] = field(default_factory=list)

    def describe(self) -> dict[str, Any]:
        """Return what an operator sees."""
        return {
            "id": self.rule_id,
            "kind": self.kind,
            **self.filters,
            "count": self.count,
            "hits": self.hits,
        }


class FaultBox:
    """All active rules of one venue."""

    def __init__(self, seed: int) -> None:
        """Start without rules; probabilities draw from the seed."""
        self._random = Random(f"{seed}:faults")  # noqa: S311 - a simulation, replayed by seed
        self._next_id = 1
        self.rules: list[FaultRule] = []

    def add(self, description: Mapping[str, Any], now_ns: int) -> FaultRule:
        """Add a rule.

        Raises:
            FaultError: unknown kind or key, or a value of the wrong type.
        """
        kind = description.get("kind")
        if kind not in ALL_KINDS:
            message = f"kind: expected one of {sorted(ALL_KINDS)}, found {kind!r}"
            raise FaultError(message)
        unknown = set(description) - _OTHERS - set(_FILTERS) - set(_NUMBERS)
        if unknown:
            message = f"unknown keys {sorted(unknown)}"
            raise FaultError(message)
        for key in _NUMBERS:
            if key in description and type(description[key]) is not int:
                message = f"{key}: expected an integer, found {description[key]!r}"
                raise FaultError(message)
        filters = {key: str(description[key]).lower() for key in _FILTERS if key in description}
        duration_ms = description.get("duration_ms")
        rule = FaultRule(
            rule_id=self._next_id,
            kind=str(kind),
            filters=filters,
            count=description.get("count"),
            after=description.get("after", 0),
            probability=float(description.get("probability", 1.0)),
            expires_ns=None if duration_ms is None else now_ns + duration_ms * NS_PER_MS,
            delay_ms=description.get("delay_ms", 0),
            ms=description.get("ms", 0),
            code=description.get("code", -1000),
            status=description.get("status", 400),
            msg=str(description.get("msg", "Rejected by a fault rule.")),
            is_executed=bool(description.get("executed", False)),
        )
        self._next_id += 1
        if kind not in INSTANT_KINDS:
            self.rules.append(rule)
        return rule

    def clear(self, rule_id: int | None = None) -> int:
        """Remove one rule, or all; return how many went."""
        before = len(self.rules)
        self.rules = [rule for rule in self.rules if rule_id not in (None, rule.rule_id)]
        return before - len(self.rules)

    def hit(
        self, kinds: frozenset[str], traits: Mapping[str, str], now_ns: int
    ) -> FaultRule | None:
        """Return the first rule of these kinds that strikes, and count the hit."""
        for rule in self.rules:
            if rule.kind in kinds and self._strikes(rule, traits, now_ns):
                return rule
        return None

    def _strikes(self, rule: FaultRule, traits: Mapping[str, str], now_ns: int) -> bool:
        if rule.expires_ns is not None and now_ns >= rule.expires_ns:
            return False
        for key, wanted in rule.filters.items():
            if traits.get(key, "").lower() != wanted:
                return False
        rule.matched += 1
        if rule.matched <= rule.after:
            return False
        if rule.count is not None and rule.hits >= rule.count:
            return False
        if rule.probability < 1.0 and self._random.random() >= rule.probability:
            return False
        rule.hits += 1
        return True
