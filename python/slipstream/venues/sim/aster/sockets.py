"""WebSocket connections of the Aster face: paths, control messages, their lifetime."""

from typing import TYPE_CHECKING, Any, Final

import orjson

from slipstream.venues.sim.aster.streams import (
    STREAMS_MAX,
    StreamState,
    parse_topic,
)
from slipstream.venues.sim.clock import NS_PER_MS
from slipstream.venues.sim.http import Connection, Request
from slipstream.venues.sim.websocket import encode_frame

if TYPE_CHECKING:
    from slipstream.venues.sim.aster.face import AsterFace

MINUTE_NS: Final = 60_000 * NS_PER_MS
PING_EVERY_NS: Final = 5 * MINUTE_NS
PONG_WITHIN_NS: Final = 15 * MINUTE_NS
LIFE_NS: Final = 24 * 60 * MINUTE_NS
METHODS: Final = (
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "LIST_SUBSCRIPTIONS",
    "SET_PROPERTY",
    "GET_PROPERTY",
)


class ControlError(Exception):
    """A control message that is refused; ``code`` as the reference numbers them."""

    def __init__(self, code: int, msg: str) -> None:
        """Keep the code and message of the answer."""
        super().__init__(msg)
        self.code = code
        self.msg = msg


class SocketDesk:
    """Opens, serves, pings and closes the WebSockets of the face."""

    def __init__(self, face: "AsterFace") -> None:
        """Serve the sockets of a face."""
        self._face = face
        self.opened: set[Connection] = set()
        self._next_ping_ns = 0

    def _names_of(self, request: Request) -> list[str] | None:
        path = request.path
        if path == "/ws":
            return []
        if path.startswith("/ws/"):
            return [name for name in path[4:].split("/") if name]
        if path == "/stream":
            for pair in request.query.split("&"):
                key, _, value = pair.partition("=")
                if key == "streams":
                    value = value.replace("%40", "@").replace("%2F", "/")
                    return [name for name in value.split("/") if name]
            return []
        return None

    def may_open(self, request: Request) -> bool:
        """Return whether the path names streams at all."""
        names = self._names_of(request)
        return names is not None and len(names) <= STREAMS_MAX

    def on_open(self, connection: Connection, request: Request) -> None:
        """Subscribe a new socket to what its path names."""
        now_ns = self._face.clock.now_ns()
        state = StreamState(opened_ns=now_ns, last_pong_ns=now_ns)
        state.is_combined = request.path == "/stream"
        connection.state = state
        self.opened.add(connection)
        names = self._names_of(request) or []
        for name in names:
            self._subscribe(connection, name)
        self._log("open", connection, names)

    def on_close(self, connection: Connection) -> None:
        """Take a socket out of everything."""
        state: StreamState = connection.state
        self.opened.discard(connection)
        for name in state.names:
            self._face.markets.unsubscribe(connection, name)
        for key in state.listen_keys:
            self._face.users.detach(connection, key)
        self._log("close", connection, sorted(state.names))

    def _log(self, event: str, connection: Connection, names: list[str]) -> None:
        accounts = [self._face.users.account_of(key) for key in connection.state.listen_keys]
        fields = {
            "event": event,
            "streams": [name for name in names if "@" in name],
            "accounts": [account for account in accounts if account],
        }
        self._face.log.append("stream", self._face.clock.now_ns(), fields)

    def _subscribe(self, connection: Connection, name: str) -> None:
        state: StreamState = connection.state
        topic = parse_topic(name)
        if topic is not None and topic.symbol in self._face.exchange.books:
            if name not in state.names:
                state.names.add(name)
                self._face.markets.subscribe(connection, topic)
        elif self._face.users.has_key(name):
            state.listen_keys.add(name)
            self._face.users.attach(connection, name)
        # As on the venue, a stream that does not exist is accepted and stays silent.

    def _unsubscribe(self, connection: Connection, name: str) -> None:
        state: StreamState = connection.state
        state.names.discard(name)
        self._face.markets.unsubscribe(connection, name)
        if name in state.listen_keys:
            state.listen_keys.discard(name)
            self._face.users.detach(connection, name)

    def on_message(self, connection: Connection, text: bytes) -> None:
        """Answer one control message."""
        state: StreamState = connection.state
        if not state.count_message(self._face.clock.now_ns()):
            connection.close(1008, "Too many requests")
            return
        try:
            answer = self._answer(connection, text)
        except ControlError as error:
            answer = {"code": error.code, "msg": error.msg}
        self._face.send(connection, encode_frame(orjson.dumps(answer)))

    def _answer(self, connection: Connection, text: bytes) -> dict[str, Any]:
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise ControlError(3, "Invalid JSON") from error
        if not isinstance(message, dict) or message.get("method") not in METHODS:
            raise ControlError(2, "Invalid request: unknown method")
        number = message.get("id")
        if type(number) is not int or number < 0:
            raise ControlError(2, "Invalid request: request ID must be an unsigned integer")
        result = self._perform(connection, message["method"], message.get("params"))
        return {"result": result, "id": number}

    def _perform(self, connection: Connection, method: str, parameters: object) -> object:
        state: StreamState = connection.state
        if method == "LIST_SUBSCRIPTIONS":
            return sorted(state.names | state.listen_keys)
        if not isinstance(parameters, list) or not parameters:
            raise ControlError(2, "Invalid request: params must be a list")
        if method in ("SET_PROPERTY", "GET_PROPERTY"):
            return _property(state, method, parameters)
        names = [name for name in parameters if isinstance(name, str)]
        if len(names) != len(parameters):
            raise ControlError(2, "Invalid request: params must be strings")
        is_subscribe = method == "SUBSCRIBE"
        held = len(state.names) + len(state.listen_keys)
        if is_subscribe and held + len(names) > STREAMS_MAX:
            raise ControlError(2, "Invalid request: too many streams")
        act = self._subscribe if is_subscribe else self._unsubscribe
        for name in names:
            act(connection, name)
        self._log(method.lower(), connection, names)
        return None

    def sweep(self, now_ns: int) -> None:
        """Ping every five minutes; close sockets without a pong, or a day old."""
        for connection in list(self.opened):
            state: StreamState = connection.state
            is_old = now_ns - state.opened_ns >= LIFE_NS
            if is_old or now_ns - state.last_pong_ns >= PONG_WITHIN_NS:
                connection.close(1008 if not is_old else 1001, "Connection over")
        if now_ns >= self._next_ping_ns:
            self._next_ping_ns = now_ns + PING_EVERY_NS
            for connection in self.opened:
                connection.ping()


def _property(state: StreamState, method: str, parameters: list[object]) -> object:
    if parameters[0] != "combined":
        raise ControlError(0, "Unknown property")
    if method == "GET_PROPERTY":
        return state.is_combined
    wanted = parameters[-1]
    if len(parameters) != 2 or not isinstance(wanted, bool):  # noqa: PLR2004 - name, value
        raise ControlError(1, "Invalid value type: expected Boolean")
    state.is_combined = wanted
    return None
