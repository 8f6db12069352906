"""The operator's side of the simulated venue: accounts, faults, trades, log, summary.

Everything here is under ``/_sim/`` on a port of its own and none of it exists on a
real venue. Bodies are JSON; lists are taken where one would otherwise call many times.
"""

import asyncio
import resource
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

import orjson

from slipstream.venues.sim.amounts import AmountError, parse_raw, to_plain
from slipstream.venues.sim.aster.auth import PERMISSIONS
from slipstream.venues.sim.exchange import new_account
from slipstream.venues.sim.http import Connection, Request
from slipstream.venues.sim.matching import BUY, SELL
from slipstream.venues.sim.orders import OrderSpec, Refused, TimeInForce

if TYPE_CHECKING:
    from slipstream.venues.sim.server import SimulatedVenue

Json = dict[str, Any]
DELAY_MS_MAX: Final = 10_000
SIDES: Final = {"BUY": BUY, "SELL": SELL}


class AdminError(ValueError):
    """An admin request that cannot be understood; the text says which key and why."""


def _text(body: Json, key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        message = f"{key}: expected a non-empty text, found {value!r}"
        raise AdminError(message)
    return value


def _amount(body: Json, key: str) -> int:
    value = body.get(key)
    try:
        return parse_raw(str(value))
    except AmountError as error:
        message = f"{key}: {error}"
        raise AdminError(message) from error


def _object(body: Json, key: str) -> Json:
    value = body.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise AdminError(f"{key}: expected an object, found {value!r}")
    return value


def _integer(body: Json, key: str, default: int) -> int:
    value = body.get(key, default)
    if type(value) is not int:
        raise AdminError(f"{key}: expected an integer, found {value!r}")
    return value


def _permissions(body: Json) -> dict[str, bool]:
    wanted = _object(body, "permissions")
    if not set(wanted) <= set(PERMISSIONS):
        raise AdminError(f"permissions: expected {PERMISSIONS}, found {sorted(wanted)}")
    return {name: bool(value) for name, value in wanted.items()}


def _rows(body: Json, key: str) -> list[tuple[int, int]]:
    value = body.get(key, [])
    try:
        return [(parse_raw(str(px)), parse_raw(str(qty))) for px, qty in value]
    except (AmountError, TypeError, ValueError) as error:
        message = f"{key}: expected a list of [price, quantity], {error}"
        raise AdminError(message) from error


class Admin:
    """Answers ``/_sim/`` requests for one venue."""

    def __init__(self, venue: "SimulatedVenue") -> None:
        """Answer for one venue."""
        self._venue = venue
        self._routes: dict[tuple[str, str], Callable[[object], object]] = {
            ("POST", "/_sim/accounts"): self._each(self._add_account),
            ("GET", "/_sim/accounts"): self._accounts,
            ("POST", "/_sim/agents"): self._each(self._change_agent),
            ("POST", "/_sim/faults"): self._each(self._add_fault),
            ("GET", "/_sim/faults"): self._faults,
            ("DELETE", "/_sim/faults"): self._clear_faults,
            ("POST", "/_sim/trade"): self._each(self._trade_when_due),
            ("POST", "/_sim/book"): self._each(self._set_book),
            ("POST", "/_sim/market"): self._each(self._set_market),
            ("POST", "/_sim/mark"): self._each(self._set_mark),
            ("GET", "/_sim/cpu"): lambda _: {"cpu_s": cpu_seconds()},
        }

    # -- the application side of the HTTP protocol ---------------------------------

    def on_connection(self, connection: Connection) -> bool:  # noqa: ARG002
        """Accept every connection."""
        return True

    def on_request(self, request: Request) -> None:
        """Answer one admin request."""
        connection = request.connection
        if request.path == "/_sim/log" and request.method == "GET":
            self._send_log(request)
            return
        if request.path == "/_sim/summary" and request.method == "GET":
            self._venue.when_verified(
                lambda: connection.respond(200, orjson.dumps(self._venue.summary()))
            )
            return
        route = self._routes.get((request.method, request.path))
        if route is None:
            connection.respond(404, b'{"error":"no such admin route"}')
            return
        try:
            body = orjson.loads(request.body) if request.body else {}
            answer = route(body)
        except orjson.JSONDecodeError as error:
            connection.respond(400, orjson.dumps({"error": f"not JSON: {error}"}))
        except (Refused, ValueError) as error:
            connection.respond(400, orjson.dumps({"error": str(error)}))
        else:
            connection.respond(200, orjson.dumps(answer))

    def on_upgrade(self, request: Request) -> bool:  # noqa: ARG002
        """Refuse WebSockets."""
        return False

    def on_open(self, connection: Connection, request: Request) -> None:
        """Never called: there are no WebSockets here."""

    def on_message(self, connection: Connection, text: bytes) -> None:
        """Never called: there are no WebSockets here."""

    def on_pong(self, connection: Connection) -> None:
        """Never called: there are no WebSockets here."""

    def on_close(self, connection: Connection) -> None:
        """Nothing is kept for a connection."""

    def _each(self, act: Callable[[Json], object]) -> Callable[[object], object]:
        def run(body: object) -> object:
            if isinstance(body, dict):
                return act(body)
            if not isinstance(body, list) or not all(isinstance(row, dict) for row in body):
                raise AdminError("expected an object, or a list of objects")
            return [act(row) for row in body]

        return run

    def _send_log(self, request: Request) -> None:
        query = parse_qs(request.query)
        after = query.get("after", ["0"])[0]
        limit = query.get("limit", [""])[0]
        if not after.isdigit() or (limit and not limit.isdigit()):
            request.connection.respond(400, b'{"error":"after, limit: integers"}')
            return
        lines = self._venue.log.lines_after(int(after), int(limit) if limit else None)
        body = b"".join(line + b"\n" for line in lines)
        request.connection.respond_raw(200, b"application/x-ndjson", body)

    # -- accounts -----------------------------------------------------------------

    def _add_account(self, body: Json) -> Json:
        venue = self._venue
        if body.get("venue", "aster") != "aster":
            message = f"venue: expected 'aster', found {body.get('venue')!r}"
            raise AdminError(message)
        address = _text(body, "account").lower()
        agent = _text(body, "agent").lower()
        account = venue.exchange.accounts.get(address)
        if account is None:
            account = new_account(address, _amount(body, "balance"))
            venue.exchange.accounts[address] = account
        account.hedge = bool(body.get("hedge", account.hedge))
        account.deposited = bool(body.get("deposited", account.deposited))
        account.is_private = bool(body.get("private", account.is_private))
        limits = _object(body, "limits")
        account.order_limit = _integer(limits, "orders_per_minute", account.order_limit)
        self._set_leverage(account.leverages, body.get("leverage"))
        if type(body.get("leverage")) is int:
            account.leverage_default = body["leverage"]
        positions = body.get("positions") or []
        if not isinstance(positions, list) or not all(isinstance(p, dict) for p in positions):
            raise AdminError("positions: expected a list of objects")
        for row in positions:
            symbol = self._symbol(row)
            side = str(row.get("position_side", "BOTH"))
            position = account.position(symbol, side)
            entry_px = _amount(row, "entry_px")
            position.apply(_amount(row, "qty"), entry_px)
            position.updated_ms = venue.clock.event_ms(venue.clock.now_ns())
        record = venue.face.add_agent(address, agent, venue.clock.now_ns())
        record.permissions.update(_permissions(body))
        fields = {
            "event": "account",
            "account": address,
            "agent": agent,
            "balance": to_plain(account.balance),
            "positions": positions,
        }
        venue.log.append("admin", venue.clock.now_ns(), fields)
        venue.exchange.log_account(account)
        return {"account": address, "agent": agent}

    def _set_leverage(self, leverages: dict[str, int], value: object) -> None:
        if value is None or type(value) is int:
            return
        if not isinstance(value, dict) or not all(type(v) is int for v in value.values()):
            message = f"leverage: expected an integer or a map of them, found {value!r}"
            raise AdminError(message)
        leverages.update(value)

    def _symbol(self, body: Json) -> str:
        symbol = _text(body, "symbol")
        if symbol not in self._venue.exchange.books:
            message = f"symbol: {symbol!r} is not listed"
            raise AdminError(message)
        return symbol

    def _accounts(self, _body: object) -> list[Json]:
        return [
            {
                "account": account.address,
                "balance": to_plain(account.balance),
                "positions": [
                    {
                        "symbol": item.symbol,
                        "position_side": item.position_side,
                        "qty": to_plain(item.qty),
                        "entry_px": to_plain(item.entry_px),
                    }
                    for item in account.positions.values()
                    if item.qty
                ],
                "open_orders": len(account.open_orders),
            }
            for account in self._venue.exchange.accounts.values()
        ]

    def _change_agent(self, body: Json) -> Json:
        agent = self._venue.face.agents.get(_text(body, "agent").lower())
        if agent is None:
            message = "agent: not known"
            raise AdminError(message)
        agent.is_revoked = bool(body.get("revoked", agent.is_revoked))
        agent.expired_ms = _integer(body, "expired", agent.expired_ms)
        agent.ip_whitelist = str(body.get("ip_whitelist", agent.ip_whitelist))
        agent.permissions.update(_permissions(body))
        return dict(agent.describe())

    # -- faults -------------------------------------------------------------------

    def _add_fault(self, body: Json) -> Json:
        venue = self._venue
        if "clear" in body:
            wanted = body["clear"]
            rule_id = None if wanted is True else _integer(body, "clear", 0)
            return {"cleared": venue.faults.clear(rule_id)}
        now_ns = venue.clock.now_ns()
        rule = venue.faults.add(body, now_ns)
        account = rule.filters.get("account")
        if rule.kind == "clock_skew":
            venue.clock.skew_ms = rule.ms
        elif rule.kind == "disconnect_streams":
            rule.hits = venue.face.drop_streams(account)
        elif rule.kind == "listen_key_expired":
            rule.hits = int(venue.face.users.expire_key(account or ""))
        elif rule.kind == "revoke_agent":
            agent = venue.face.agents.get(rule.filters.get("agent", ""))
            if agent is not None:
                agent.is_revoked = True
                rule.hits = 1
        fields = {"rule": rule.rule_id, "fault": rule.kind, "event": "added"}
        venue.log.append("fault", now_ns, {**fields, **rule.filters})
        return rule.describe()

    def _faults(self, _body: object) -> list[Json]:
        return [rule.describe() for rule in self._venue.faults.rules]

    def _clear_faults(self, _body: object) -> Json:
        return {"cleared": self._venue.faults.clear()}

    # -- market -------------------------------------------------------------------

    def _trade_when_due(self, body: Json) -> Json:
        """Trade at once, or with ``delay_ms`` a little after this request was answered."""
        delay_ms = body.pop("delay_ms", 0)
        if type(delay_ms) is not int or not 0 <= delay_ms <= DELAY_MS_MAX:
            raise AdminError(f"delay_ms: expected 0 to {DELAY_MS_MAX}, found {delay_ms!r}")
        if not delay_ms:
            return self._trade(body)
        asyncio.get_running_loop().call_later(delay_ms / 1000, self._trade, body)
        return {"due_in_ms": delay_ms}

    def _trade(self, body: Json) -> Json:
        venue = self._venue
        address = _text(body, "account").lower()
        account = venue.exchange.accounts.get(address)
        if account is None:
            message = f"account: {address!r} is not known"
            raise AdminError(message)
        symbol = self._symbol(body)
        side = SIDES.get(_text(body, "side"))
        if side is None:
            message = "side: expected BUY or SELL"
            raise AdminError(message)
        fills = _rows(body, "fills")
        if not fills and body.get("px") is not None:
            fills = [(_amount(body, "px"), _amount(body, "qty"))]
        position_side = str(body.get("position_side", "BOTH"))
        if position_side not in (("LONG", "SHORT") if account.hedge else ("BOTH",)):
            raise AdminError(f"position_side: {position_side!r} is not the account's mode")
        qty = sum(row[1] for row in fills) if fills else _amount(body, "qty")
        if qty <= 0 or any(px <= 0 or size <= 0 for px, size in fills):
            message = "qty, px: expected positive amounts"
            raise AdminError(message)
        spec = OrderSpec(
            symbol=symbol,
            side=side,
            qty=qty,
            limit_px=None,
            time_in_force=TimeInForce.IOC,
            position_side=position_side,
            reduce_only=bool(body.get("reduce_only", False)),
            client_order_id=str(body.get("order_id") or venue.face.generated_client_id()),
        )
        if body.get("move_market") and fills:
            venue.makers[symbol].recentre(fills[-1][0], venue.clock.now_ns())
        now_ns = venue.clock.now_ns()
        if fills:
            order = venue.exchange.print_fills(account, spec, fills, now_ns)
        else:
            order = venue.exchange.accept(account, spec, now_ns)
            venue.exchange.execute(order, now_ns)
        return {
            "order_id": order.order_id,
            "client_order_id": spec.client_order_id,
            "status": order.status.value,
            "filled_qty": to_plain(order.filled_qty),
            "average_px": to_plain(order.average_px),
            "position": to_plain(account.position(symbol, spec.position_side).qty),
            "ns": now_ns,
            "fills": [
                {
                    "trade_id": fill.trade_id,
                    "px": to_plain(fill.px),
                    "qty": to_plain(fill.qty),
                    "at_ms": fill.at_ms,
                    "book_sequence": fill.book_sequence,
                }
                for fill in order.fills
            ],
        }

    def _set_book(self, body: Json) -> Json:
        symbol = self._symbol(body)
        ladder: dict[tuple[int, int], int] = {}
        for side, key in ((BUY, "bids"), (SELL, "asks")):
            for px, qty in _rows(body, key):
                if px <= 0 or qty <= 0:
                    message = f"{key}: expected positive prices and quantities"
                    raise AdminError(message)
                ladder[side, px] = qty
        maker = self._venue.makers[symbol]
        maker.replace(ladder, self._venue.clock.now_ns())
        maker.step(self._venue.clock.now_ns())
        return {"symbol": symbol, "sequence": self._venue.exchange.books[symbol].sequence}

    def _set_market(self, body: Json) -> Json:
        """Change how a symbol's background quotes; keys are all optional but symbol."""
        symbol = self._symbol(body)
        maker = self._venue.makers[symbol]
        settings = maker.settings
        if "level_notional" in body:
            settings.level_notional = _amount(body, "level_notional")
            maker.forget_sizes()
        if "walk_ppm" in body:
            settings.walk_ppm = _integer(body, "walk_ppm", 0)
        if "replenish_ms" in body:
            settings.replenish_ns = _integer(body, "replenish_ms", 0) * 1_000_000
        if "frozen" in body:
            settings.is_frozen = bool(body["frozen"])
        if "px" in body:
            maker.recentre(_amount(body, "px"), self._venue.clock.now_ns())
        return {"symbol": symbol, "sequence": self._venue.exchange.books[symbol].sequence}

    def _set_mark(self, body: Json) -> Json:
        symbol = self._symbol(body)
        px = None if body.get("px") is None else _amount(body, "px")
        self._venue.makers[symbol].pin_mark(px)
        return {"symbol": symbol, "mark": to_plain(self._venue.exchange.marks[symbol])}


def cpu_seconds() -> str:
    """Return the CPU time of this process in seconds, as a decimal text."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return f"{usage.ru_utime + usage.ru_stime:.6f}"
