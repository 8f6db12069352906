"""User-data streams of the Aster face: listen keys and the events of an account."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from slipstream.venues.sim.accounts import Account, Position
from slipstream.venues.sim.aster.errors import ApiError
from slipstream.venues.sim.aster.payloads import account_event, order_event
from slipstream.venues.sim.aster.streams import Fanout
from slipstream.venues.sim.clock import NS_PER_MS
from slipstream.venues.sim.exchange import Exchange
from slipstream.venues.sim.faults import FaultBox, FaultRule
from slipstream.venues.sim.http import Connection
from slipstream.venues.sim.orders import Fill, Order

LISTEN_KEY_NS: Final = 60 * 60 * 1000 * NS_PER_MS
_DROP: Final = frozenset({"drop_event", "silent_stream"})
_SHAPE: Final = frozenset({"delay_event", "duplicate_event", "reorder_event"})
_FIRST: Final = frozenset({"account_first"})
Json = dict[str, Any]


@dataclass(slots=True)
class ListenKey:
    """One active key of an account and the sockets that opened it."""

    key: str
    account: str
    expires_ns: int
    connections: set[Connection] = field(default_factory=set)


class UserStreams:
    """Listen keys by key and by account; events gather during a step."""

    def __init__(
        self,
        exchange: Exchange,
        faults: FaultBox,
        send: Callable[[Connection, bytes], None],
    ) -> None:
        """Start without keys; ``send`` writes frames to a connection."""
        self._exchange = exchange
        self._faults = faults
        self._send = send
        self._keys: dict[str, ListenKey] = {}
        self._by_account: dict[str, ListenKey] = {}
        self._pending: dict[str, list[Json]] = {}

    # -- listen keys --------------------------------------------------------------

    def open_key(self, account: str, now_ns: int) -> str:
        """Return the account's active key, extended; a new one if there is none."""
        found = self._by_account.get(account)
        if found is None:
            found = ListenKey(secrets.token_hex(32), account, 0)
            self._keys[found.key] = found
            self._by_account[account] = found
        found.expires_ns = now_ns + LISTEN_KEY_NS
        return found.key

    def extend_key(self, account: str, now_ns: int) -> None:
        """Extend the account's key by its full life.

        Raises:
            ApiError: there is none.
        """
        found = self._by_account.get(account)
        if found is None:
            raise ApiError(-1125, "This listenKey does not exist.")
        found.expires_ns = now_ns + LISTEN_KEY_NS

    def close_key(self, account: str) -> None:
        """Close the account's key, if it has one; its sockets fall silent."""
        found = self._by_account.pop(account, None)
        if found is not None:
            del self._keys[found.key]

    def expire_key(self, account: str) -> bool:
        """Expire a key now: tell its sockets, then nothing more. False: no key."""
        found = self._by_account.get(account)
        if found is None:
            return False
        now_ms = self._exchange.clock.event_ms(self._exchange.clock.now_ns())
        payload = orjson.dumps({"e": "listenKeyExpired", "E": now_ms})
        fanout = Fanout(found.key, payload)
        for connection in found.connections:
            self._send(connection, fanout.frame_for(connection))
        self.close_key(account)
        return True

    def expire_due(self, now_ns: int) -> None:
        """Expire every key that was not kept alive."""
        for found in list(self._keys.values()):
            if found.expires_ns <= now_ns:
                self.expire_key(found.account)

    def has_key(self, key: str) -> bool:
        """Return whether a key is active."""
        return key in self._keys

    def account_of(self, key: str) -> str | None:
        """Return whose key it is, None when it is not active."""
        found = self._keys.get(key)
        return None if found is None else found.account

    def attach(self, connection: Connection, key: str) -> None:
        """Let a socket hear a key's account."""
        self._keys[key].connections.add(connection)

    def detach(self, connection: Connection, key: str) -> None:
        """Forget a socket."""
        found = self._keys.get(key)
        if found is not None:
            found.connections.discard(connection)

    def connections_of(self, account: str) -> list[Connection]:
        """Return the sockets that hear an account."""
        found = self._by_account.get(account)
        return [] if found is None else list(found.connections)

    # -- events -------------------------------------------------------------------

    def on_order(self, account: Account, order: Order, execution: str, fill: Fill | None) -> None:
        """Gather an order event, if someone listens."""
        if self._is_heard(account.address):
            event_ms = order.updated_ms
            event = order_event(order, execution, fill, event_ms)
            self._pending.setdefault(account.address, []).append(event)

    def on_account(
        self, account: Account, reason: str, positions: list[Position], at_ms: int
    ) -> None:
        """Gather a wallet and position event, if someone listens."""
        if self._is_heard(account.address):
            marks = self._exchange.marks
            rows = [(item, marks[item.symbol]) for item in positions]
            event = account_event(account, reason, rows, at_ms, at_ms)
            self._pending.setdefault(account.address, []).append(event)

    def on_config(self, account: Account, body: Json) -> None:
        """Send a configuration event at once; ``body`` is its ``ac`` or ``ai``."""
        now_ms = self._exchange.clock.event_ms(self._exchange.clock.now_ns())
        event = {"e": "ACCOUNT_CONFIG_UPDATE", "E": now_ms, "T": now_ms, **body}
        if self._is_heard(account.address):
            self._pending.setdefault(account.address, []).append(event)
        self.flush()

    def _is_heard(self, account: str) -> bool:
        found = self._by_account.get(account)
        return found is not None and bool(found.connections)

    def flush(self) -> None:
        """Send what gathered: one write per socket."""
        if not self._pending:
            return
        pending, self._pending = self._pending, {}
        for address, events in pending.items():
            found = self._by_account.get(address)
            if found is None:
                continue
            if self._faults.rules:
                self._send_faulty(found, events)
                continue
            self._write(found, events)

    def _write(self, found: ListenKey, events: list[Json]) -> None:
        fanouts = [Fanout(found.key, orjson.dumps(event)) for event in events]
        for connection in found.connections:
            frames = b"".join([item.frame_for(connection) for item in fanouts])
            self._send(connection, frames)

    def _send_faulty(self, found: ListenKey, events: list[Json]) -> None:
        now_ns = self._exchange.clock.now_ns()
        if self._hit(_FIRST, found.account, {}, now_ns) is not None:
            events = sorted(events, key=lambda event: event["e"] != "ACCOUNT_UPDATE")
        for event in events:
            order = event.get("o", {})
            traits = {
                "event": str(event["e"]),
                "symbol": str(order.get("s", "")),
                "client_order_id": str(order.get("c", "")),
            }
            if self._hit(_DROP, found.account, traits, now_ns) is not None:
                continue
            rule = self._hit(_SHAPE, found.account, traits, now_ns)
            if rule is None:
                self._write(found, [event])
                self._release_held(found)
            elif rule.kind == "duplicate_event":
                self._write(found, [event, event])
            elif rule.kind == "delay_event":
                loop = asyncio.get_running_loop()
                loop.call_later(rule.delay_ms / 1000, self._write, found, [event])
            else:
                rule.held.append((found.account, event))

    def _release_held(self, found: ListenKey) -> None:
        """Send events that a reordering held back, after the one that overtook them."""
        for rule in self._faults.rules:
            mine = [event for account, event in rule.held if account == found.account]
            if mine:
                rule.held = [row for row in rule.held if row[0] != found.account]
                self._write(found, mine)

    def _hit(
        self, kinds: frozenset[str], account: str, traits: dict[str, str], now_ns: int
    ) -> FaultRule | None:
        rule = self._faults.hit(kinds, {"account": account, **traits}, now_ns)
        if rule is not None:
            fields = {"rule": rule.rule_id, "fault": rule.kind, "account": account}
            self._exchange.log.append("fault", now_ns, {**fields, **traits})
        return rule
