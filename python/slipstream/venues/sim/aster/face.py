"""The Aster face: REST calls and WebSockets of one simulated venue.

A call goes: way in, limits, faults, authentication, handler, way out. The face holds
what belongs to the wire (agents, limits, streams); everything else is the core's.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from slipstream.venues.sim.accounts import Account, Position
from slipstream.venues.sim.aster import routes_account, routes_market, routes_order
from slipstream.venues.sim.aster.auth import (
    Agent,
    cut_signature,
    parse_parameters,
    read_nonce,
)
from slipstream.venues.sim.aster.call import LATER, Call, Route
from slipstream.venues.sim.aster.errors import (
    ApiError,
    bad_signature,
    missing,
    no_agent,
    nonce_expired,
)
from slipstream.venues.sim.aster.limits import RateLimits
from slipstream.venues.sim.aster.marketdata import MarketStreams
from slipstream.venues.sim.aster.sockets import SocketDesk
from slipstream.venues.sim.aster.userstream import UserStreams
from slipstream.venues.sim.delays import DelayLine
from slipstream.venues.sim.exchange import Exchange
from slipstream.venues.sim.faults import REQUEST_KINDS, FaultBox, FaultRule
from slipstream.venues.sim.http import Connection, Request
from slipstream.venues.sim.matching import Change
from slipstream.venues.sim.orders import Fill, Order
from slipstream.venues.sim.verify import (
    ASTER_MAINNET,
    DeferredVerifier,
    is_signed_by,
)

ROUTES: Final[dict[tuple[str, str], Route]] = {
    **routes_market.ROUTES,
    **routes_order.ROUTES,
    **routes_account.ROUTES,
}
DEFERRED_ROUTES: Final = frozenset({"placeOrder"})
_AFTER: Final = frozenset({"lost_ack", "status_503_after", "delay_response", "garbage"})
_CONNECT: Final = frozenset({"refuse_connect"})
_BEFORE: Final = REQUEST_KINDS - _CONNECT


@dataclass(frozen=True, slots=True)
class FaceSettings:
    """How the face behaves. Delays in milliseconds; ``window_ms`` judges nonces."""

    latency_ms: float = 0.0
    match_ms: float = 0.0
    weight_factor: int = 1
    window_ms: int = 10_000
    chain_id: int = ASTER_MAINNET


class AsterFace:
    """One simulated Aster venue on the wire."""

    def __init__(
        self,
        exchange: Exchange,
        faults: FaultBox,
        settings: FaceSettings,
        verifier: DeferredVerifier | None,
    ) -> None:
        """Put the face before a core; must run inside the event loop."""
        loop = asyncio.get_running_loop()
        self.exchange = exchange
        self.clock = exchange.clock
        self.log = exchange.log
        self.faults = faults
        self.settings = settings
        self.verifier = verifier
        self.agents: dict[str, Agent] = {}
        self.limits = RateLimits(settings.weight_factor)
        half_ms = settings.latency_ms / 2
        self._inbound = DelayLine(loop, self.clock, half_ms)
        self.outbound = DelayLine(loop, self.clock, half_ms)
        self.matching = DelayLine(loop, self.clock, settings.match_ms)
        self.users = UserStreams(exchange, faults, self.send)
        self.markets = MarketStreams(exchange, faults, self.send)
        self.sockets = SocketDesk(self)
        self.bad_signatures = 0
        self.good_signatures = 0
        self._checks: dict[int, tuple[str, str]] = {}
        self._check_token = 0
        self._client_id = 0
        self._last_px: dict[str, int] = {}
        exchange.listener = self

    # -- requests -----------------------------------------------------------------

    def on_connection(self, connection: Connection) -> bool:
        """Accept a connection unless a fault refuses its address."""
        if not self.faults.rules:
            return True
        traits = {"ip": connection.ip}
        return self._hit(_CONNECT, traits, self.clock.now_ns()) is None

    def on_request(self, request: Request) -> None:
        """Take a request in; it is served when it has travelled."""
        self._inbound.put(self._serve, request)

    def _serve(self, request: Request) -> None:
        now_ns = self.clock.now_ns()
        route = ROUTES.get((request.method, request.path))
        if route is None:
            body = b'{"code":-5000,"msg":"Path %b, Method %b is invalid"}'
            path, method = request.path.encode(), request.method.encode()
            request.connection.respond(404, body % (path, method))
            return
        call = Call(request, route, now_ns)
        try:
            self._run(call)
        except ApiError as error:
            self.refuse(call, error)

    def _run(self, call: Call) -> None:
        request, route = call.request, call.route
        raw = request.body.decode("ascii", "replace") if request.body else request.query
        parameters = call.parameters = parse_parameters(raw)
        if request.body and request.query:
            parameters.update(parse_parameters(request.query))
        weight = route.weight_of(parameters)
        now_ms = self.clock.true_ms(call.now_ns)
        used = self.limits.charge_weight(request.connection.ip, weight, now_ms)
        call.extra = b"X-MBX-USED-WEIGHT-1M: %d\r\n" % used
        if self.faults.rules and not self._may_go_on(call):
            return
        self.dispatch(call, raw)

    def dispatch(self, call: Call, raw: str) -> None:
        """Authenticate a call and run its handler."""
        route = call.route
        if route.is_signed:
            self._authenticate(call, raw)
        before = call.extra
        answer = route.handler(self, call)
        if call.extra is not before:
            call.extra = before + call.extra
        if answer is not LATER:
            self.answer(call, answer)

    def answer(self, call: Call, answer: object) -> None:
        """Send a good answer on its way."""
        self._finish(call, 200, orjson.dumps(answer), 0)

    def refuse(self, call: Call, error: ApiError) -> None:
        """Send an error on its way."""
        body = orjson.dumps({"code": error.code, "msg": error.msg})
        self._finish(call, error.status, body, error.code)

    def _finish(self, call: Call, status: int, body: bytes, code: int) -> None:
        if call.is_answered:
            return
        call.is_answered = True
        account = call.signed_account
        fields = {
            "route": call.route.name,
            "account": "" if account is None else account.address,
            "agent": "" if call.agent is None else call.agent.address,
            "ip": call.request.connection.ip,
            "socket_ns": call.request.arrival_ns,
            "arrival_ns": call.now_ns,
            "status": status,
            "code": code,
            "client_order_id": call.parameters.get("newClientOrderId")
            or call.parameters.get("origClientOrderId"),
        }
        self.log.append("request", self.clock.now_ns(), fields)
        connection = call.request.connection
        if call.fault is not None:
            self._finish_faulty(call, call.fault, status, body)
        else:
            self.outbound.put(connection.respond, status, body, call.extra)

    # -- faults -------------------------------------------------------------------

    def _hit(
        self, kinds: frozenset[str], traits: Mapping[str, str], now_ns: int
    ) -> FaultRule | None:
        rule = self.faults.hit(kinds, traits, now_ns)
        if rule is not None:
            fields = {"rule": rule.rule_id, "fault": rule.kind, **traits}
            self.log.append("fault", now_ns, fields)
        return rule

    def _may_go_on(self, call: Call) -> bool:
        """Apply a request fault; False when the call ends or goes on later."""
        parameters = call.parameters
        agent = self.agents.get(parameters.get("signer", "").lower())
        user = parameters.get("user") or (agent.accounts[0] if agent else "")
        request = call.request
        traits = {
            "route": f"{request.method} {request.path}",
            "agent": parameters.get("signer", ""),
            "account": user,
            "ip": request.connection.ip,
            "symbol": parameters.get("symbol", ""),
            "client_order_id": parameters.get("newClientOrderId", ""),
        }
        if self._hit(_CONNECT, traits, call.now_ns) is not None:
            request.connection.drop()
            return False
        rule = self._hit(_BEFORE, traits, call.now_ns)
        if rule is None:
            return True
        if rule.kind in _AFTER or (rule.kind == "hang" and rule.is_executed):
            call.fault = rule
            return True
        self._refuse_faulty(call, rule)
        return False

    def _refuse_faulty(self, call: Call, rule: FaultRule) -> None:
        request = call.request
        if rule.kind == "delay_request":
            raw = request.body.decode("ascii", "replace") or request.query
            loop = asyncio.get_running_loop()
            loop.call_later(rule.delay_ms / 1000, self._resume, call, raw)
        elif rule.kind == "reset_before":
            request.connection.drop()
        elif rule.kind == "status_503_before":
            self.refuse(call, ApiError(-1001, "Service Unavailable.", 503))
        elif rule.kind == "status_429":
            self.refuse(call, ApiError(-1003, "Too many requests.", 429))
        elif rule.kind == "status_418":
            now_ms = self.clock.true_ms(call.now_ns)
            ip = request.connection.ip
            self.limits.ban(ip, now_ms, rule.ms or None)
            try:
                self.limits.charge_weight(ip, 0, now_ms)
            except ApiError as error:
                self.refuse(call, error)
        elif rule.kind == "waf_403":
            self.outbound.put(request.connection.respond_raw, 403, b"text/html", b"<html></html>")
        elif rule.kind == "reject":
            self.refuse(call, ApiError(rule.code, rule.msg, rule.status))
        # What is left is "hang": the request is never answered and never executed.

    def _resume(self, call: Call, raw: str) -> None:
        call.now_ns = self.clock.now_ns()
        try:
            self.dispatch(call, raw)
        except ApiError as error:
            self.refuse(call, error)

    def _finish_faulty(self, call: Call, rule: FaultRule, status: int, body: bytes) -> None:
        connection = call.request.connection
        if rule.kind == "lost_ack":
            connection.drop()
        elif rule.kind == "status_503_after":
            late = b'{"code":-1007,"msg":"Timeout; execution status unknown."}'
            self.outbound.put(connection.respond, 503, late, call.extra)
        elif rule.kind == "garbage":
            self.outbound.put(connection.respond_raw, 200, b"text/html", b"<html>oops</html>")
        elif rule.kind == "delay_response":
            loop = asyncio.get_running_loop()
            loop.call_later(rule.delay_ms / 1000, connection.respond, status, body, call.extra)
        # What is left is "hang" after execution: no answer at all.

    # -- authentication -----------------------------------------------------------

    def _authenticate(self, call: Call, raw: str) -> None:
        parameters = call.parameters
        signed_text, signature = cut_signature(raw)
        signer = parameters.get("signer", "").lower()
        if not signer:
            raise missing("signer")
        nonce = read_nonce(parameters)
        agent = self.agents.get(signer)
        now_ms = self.clock.wall_ms(call.now_ns)
        if agent is None or agent.is_revoked or agent.expired_ms <= now_ms:
            raise no_agent()
        user = parameters.get("user", "").lower() or agent.accounts[0]
        if user not in agent.accounts:
            raise no_agent()
        call.agent = agent
        account = call.signed_account = self.exchange.accounts[user]
        self._check_signature(call, signed_text.encode(), signature, agent)
        window_us = self.settings.window_ms * 1000
        now_us = self.clock.wall_us(call.now_ns)
        if not agent.nonces.accept(nonce, now_us, window_us):
            raise nonce_expired()
        ip = call.request.connection.ip
        allowed = agent.ip_whitelist.replace(",", " ").split()
        needed = "canPerpTrade" if call.route.is_trade else "canRead"
        if (allowed and ip not in allowed) or not agent.permissions.get(needed, False):
            raise ApiError(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        if call.route.needs_deposit and not account.deposited:
            raise ApiError(-5050, "DEPOSIT_REQUIRED", 403)

    def _check_signature(self, call: Call, text: bytes, signature: str, agent: Agent) -> None:
        chain = self.settings.chain_id
        is_deferred = call.route.name in DEFERRED_ROUTES
        if self.verifier is not None and is_deferred and not self.verifier.is_broken:
            self._check_token += 1
            self._checks[self._check_token] = (agent.address, text.decode())
            token = self._check_token
            self.verifier.put(token, text, signature, agent.address, chain)
        elif not is_signed_by(text, signature, agent.address, chain):
            self._note_bad(agent.address, "inline")
            raise bad_signature()
        else:
            self.good_signatures += 1

    def on_verdict(self, token: int, is_good: bool) -> None:  # noqa: FBT001 - a callback
        """Take a deferred verdict; a bad one revokes the agent and fails the run."""
        address, _ = self._checks.pop(token)
        if is_good:
            self.good_signatures += 1
        else:
            self.agents[address].is_revoked = True
            self._note_bad(address, "deferred")

    def _note_bad(self, agent: str, where: str) -> None:
        self.bad_signatures += 1
        fields = {"agent": agent, "good": False, "where": where}
        self.log.append("signature", self.clock.now_ns(), fields)

    # -- orders -------------------------------------------------------------------

    def execute(self, order: Order) -> None:
        """Match an accepted order now."""
        self.exchange.execute(order, self.clock.now_ns())

    def generated_client_id(self) -> str:
        """Return a client id for an order that brought none."""
        self._client_id += 1
        return f"web_{self._client_id:020d}"

    def last_px(self, symbol: str) -> int:
        """Return the last traded price, the mark before the first trade."""
        return self._last_px.get(symbol) or self.exchange.marks[symbol]

    def log_rejection(self, call: Call, parameters: Mapping[str, str], error: ApiError) -> None:
        """Write a refused order into the log."""
        symbol = parameters.get("symbol", "")
        book = self.exchange.books.get(symbol)
        fields = {
            "account": call.account.address,
            "order_id": None,
            "client_order_id": parameters.get("newClientOrderId"),
            "symbol": symbol,
            "side": parameters.get("side"),
            "position_side": parameters.get("positionSide") or "BOTH",
            "reduce_only": parameters.get("reduceOnly") == "true",
            "time_in_force": parameters.get("timeInForce"),
            "qty": parameters.get("quantity"),
            "limit_px": parameters.get("price"),
            "arrival_ns": call.now_ns,
            "arrival_sequence": None if book is None else book.sequence,
            "status": "REJECTED",
            "code": error.code,
            "filled_qty": "0",
        }
        self.log.append("order", call.now_ns, fields)

    # -- what the core tells ------------------------------------------------------

    def on_order(self, account: Account, order: Order, execution: str, fill: Fill | None) -> None:
        """Pass an order event to the user stream."""
        self.users.on_order(account, order, execution, fill)

    def on_account(
        self, account: Account, reason: str, positions: list[Position], at_ms: int
    ) -> None:
        """Pass an account event to the user stream."""
        self.users.on_account(account, reason, positions, at_ms)

    def on_change(self, symbol: str, change: Change, now_ns: int) -> None:
        """Pass a book change to the market streams."""
        self.markets.on_change(symbol, change, now_ns)

    def on_print(self, fill: Fill, taker: str, maker: str) -> None:
        """Pass a trade to the market streams, addresses hidden where private."""
        self._last_px[fill.symbol] = fill.px
        names = tuple(self._shown(address) for address in (taker, maker))
        self.markets.on_print(fill, (names[0], names[1]))

    def _shown(self, address: str) -> str:
        account = self.exchange.accounts.get(address)
        return "hidden" if account is None or account.is_private else address

    def on_settled(self) -> None:
        """Send what the step gathered."""
        self.users.flush()

    # -- sockets ------------------------------------------------------------------

    def send(self, connection: Connection, frames: bytes) -> None:
        """Send ready frames on their way."""
        self.outbound.put(connection.send, frames)

    def on_upgrade(self, request: Request) -> bool:
        """Decide whether a WebSocket may open."""
        return self.sockets.may_open(request)

    def on_open(self, connection: Connection, request: Request) -> None:
        """Set a new WebSocket up."""
        self.sockets.on_open(connection, request)

    def on_message(self, connection: Connection, text: bytes) -> None:
        """Take a control message in when it has travelled."""
        self._inbound.put(self.sockets.on_message, connection, text)

    def on_pong(self, connection: Connection) -> None:
        """Note that a socket lives."""
        if connection.state is not None:
            connection.state.last_pong_ns = self.clock.now_ns()

    def on_close(self, connection: Connection) -> None:
        """Forget a socket."""
        if connection.state is not None:
            self.sockets.on_close(connection)

    def drop_streams(self, account: str | None) -> int:
        """Reset the user streams of an account, or every WebSocket; return how many."""
        if account is None:
            targets = list(self.sockets.opened)
        else:
            targets = self.users.connections_of(account)
        for connection in targets:
            connection.drop()
        return len(targets)

    def sweep(self) -> None:
        """Expire listen keys, ping sockets, close those that are too old or dead."""
        now_ns = self.clock.now_ns()
        self.users.expire_due(now_ns)
        self.sockets.sweep(now_ns)

    def add_agent(self, account: str, agent: str, now_ns: int) -> Agent:
        """Attach an agent (lower-case addresses) to an account."""
        found = self.agents.get(agent)
        if found is None:
            expired_ms = self.clock.wall_ms(now_ns) + 365 * 24 * 3600 * 1000
            found = Agent(agent, [account], expired_ms=expired_ms)
            self.agents[agent] = found
        elif account not in found.accounts:
            found.accounts.append(account)
        return found
