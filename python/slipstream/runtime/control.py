"""The operator's way into a running daemon: one JSON object per line over a Unix socket.

The socket is its owner's alone (mode 0600, in a directory nobody else may write to, the peer's
user id compared). A request is ``{"action": "pause", "follower": "alice"}`` with optional
``leader``, ``follower``, ``symbol`` and ``all`` (``settle``: ``order``, ``filled``, ``price``); the
reply is ``{"ok": true, "message": "...",
"payload": {...}}``. What an order means is the handler's business; ``Switches`` keeps what is in
force and is rebuilt from the store after a restart.
"""

import asyncio
import json
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from slipstream.domain.ids import FollowerId, LeaderId
from slipstream.errors import ConfigError, SlipstreamError
from slipstream.store.base import ControlRow

_LINE_LENGTH_MAX: Final = 64 * 1024
_NAME_LENGTH_MAX: Final = 64
_PATH_LENGTH_MAX: Final = 107
"""``sun_path`` holds 108 bytes on Linux, the last one zero."""
_CONNECTION_COUNT_MAX: Final = 16
_IDLE_S: Final = 60.0
_PEER_FORMAT: Final = "3i"
_NAMES: Final = ("follower", "leader", "symbol", "order", "filled", "price")
_KEYS: Final = ("action", *_NAMES, "all")


class ControlError(SlipstreamError):
    """No daemon answered, or not as agreed."""


class ControlAction(StrEnum):
    """What an operator may ask for."""

    PAUSE = "pause"
    RESUME = "resume"
    CLOSE_ONLY = "close_only"
    OPEN_ONLY = "open_only"
    FREEZE = "freeze"
    UNFREEZE = "unfreeze"
    FLATTEN = "flatten"
    KILL = "kill"
    SETTLE = "settle"
    STATUS = "status"
    LEADER_STALE = "leader_stale"
    """Set by the engine itself for a follower that resumes by hand; ``resume`` takes it back."""


@dataclass(frozen=True, slots=True)
class ControlCommand:
    """One order of the operator's. ``None`` = not restricted to one."""

    action: ControlAction
    follower: FollowerId | None = None
    leader: LeaderId | None = None
    symbol: str | None = None
    is_all: bool = False
    order: str | None = None
    """With ``settle``: the client order id of an order whose fate is unknown."""
    filled: str | None = None
    """With ``settle``: what of it was executed, as decimal text."""
    price: str | None = None
    """With ``settle``: at which average price, as decimal text."""

    def row(self, ts_ms: int) -> ControlRow:
        """Return the order as the store keeps it."""
        return ControlRow(
            ts_ms, str(self.action), self.leader, self.follower, self.symbol, self.is_all
        )

    def request(self) -> dict[str, object]:
        """Return the order as it goes over the socket."""
        wanted: dict[str, object] = {"action": str(self.action)}
        for key in _NAMES:
            if getattr(self, key) is not None:
                wanted[key] = getattr(self, key)
        return wanted | ({"all": True} if self.is_all else {})


@dataclass(frozen=True, slots=True)
class ControlReply:
    """What came of an order. ``payload`` holds plain JSON values."""

    ok: bool
    message: str
    payload: dict[str, Any] = field(default_factory=dict)


ControlHandler = Callable[[ControlCommand], ControlReply | Awaitable[ControlReply]]
"""Carries out an order, durably first, and says what came of it."""


def command_of(row: ControlRow) -> ControlCommand:
    """Return the order a row of the store holds.

    Raises:
        ControlError: an action this program does not know.
    """
    try:
        action = ControlAction(row.action)
    except ValueError:
        raise ControlError(f"control {row.action!r}: expected one of {_actions()}") from None
    return ControlCommand(action, row.follower, row.leader, row.symbol, row.is_all)


def parse_command(line: bytes) -> ControlCommand:
    """Read one request.

    Raises:
        ControlError: not one JSON object with known keys and plain values.
    """
    try:
        wanted = json.loads(line)
    except (ValueError, RecursionError):
        raise ControlError("expected one JSON object in a line") from None
    if not isinstance(wanted, dict):
        raise ControlError("expected one JSON object in a line")
    for key in wanted:
        if key not in _KEYS:
            raise ControlError(f"unknown key {key[:40]!r}: expected {', '.join(_KEYS)}")
    is_all = wanted.get("all", False)
    if not isinstance(is_all, bool):
        raise ControlError("all: expected true or false")
    names: dict[str, str | None] = {}
    for key in _NAMES:
        name = wanted.get(key)
        if name is not None and not (isinstance(name, str) and 0 < len(name) <= _NAME_LENGTH_MAX):
            raise ControlError(f"{key}: expected a name of up to {_NAME_LENGTH_MAX} characters")
        names[key] = name
    row = ControlRow(
        0,
        str(wanted.get("action"))[:_NAME_LENGTH_MAX],
        None if names["leader"] is None else LeaderId(names["leader"]),
        None if names["follower"] is None else FollowerId(names["follower"]),
        names["symbol"],
        is_all,
    )
    plain = command_of(row)
    return replace(plain, order=names["order"], filled=names["filled"], price=names["price"])


def _actions() -> str:
    return ", ".join(ControlAction)


Scope = tuple[FollowerId | None, LeaderId | None, str | None]

_SETTING: Final = frozenset(
    {
        ControlAction.PAUSE,
        ControlAction.CLOSE_ONLY,
        ControlAction.OPEN_ONLY,
        ControlAction.FREEZE,
        ControlAction.KILL,
        ControlAction.LEADER_STALE,
    }
)


class Switches:
    """What the operator has switched on, and for whom. Rebuilt by replaying the orders.

    ``kill`` with ``all`` counts as ``kill`` and ``freeze`` (DESIGN 8). ``resume`` takes back
    everything set for its scope and for narrower ones, ``unfreeze`` only ``freeze``; what was set
    for a wider scope stays in force.
    """

    def __init__(self, commands: Iterable[ControlCommand] = ()) -> None:
        """Replay orders, oldest first."""
        self._set: dict[Scope, set[ControlAction]] = {}
        for command in commands:
            self.apply(command)

    def apply(self, command: ControlCommand) -> None:
        """Take one order into account; ``flatten``, ``settle`` and ``status`` change no switch."""
        scope = (command.follower, command.leader, command.symbol)
        action = command.action
        if action in _SETTING:
            found = self._set.setdefault(scope, set())
            found.add(action)
            if action is ControlAction.CLOSE_ONLY:
                found.discard(ControlAction.OPEN_ONLY)
            if action is ControlAction.OPEN_ONLY:
                found.discard(ControlAction.CLOSE_ONLY)
            if action is ControlAction.KILL and command.is_all:
                found.add(ControlAction.FREEZE)
        elif action in (ControlAction.RESUME, ControlAction.UNFREEZE):
            for other, actions in list(self._set.items()):
                if _covers(scope, other):
                    kept = actions - {ControlAction.FREEZE}
                    self._set[other] = kept if action is ControlAction.UNFREEZE else set()

    def active(
        self,
        *,
        follower: FollowerId | None = None,
        leader: LeaderId | None = None,
        symbol: str | None = None,
    ) -> frozenset[ControlAction]:
        """Return what is in force for one follower, leader and symbol."""
        wanted = (follower, leader, symbol)
        found = [actions for scope, actions in self._set.items() if _covers(scope, wanted)]
        return frozenset().union(*found)

    def listed(self) -> list[tuple[Scope, frozenset[ControlAction]]]:
        """Return every scope for which something is switched on."""
        return [(scope, frozenset(actions)) for scope, actions in self._set.items() if actions]


def _covers(scope: Scope, other: Scope) -> bool:
    return all(mine in (None, theirs) for mine, theirs in zip(scope, other, strict=True))


class ControlServer:
    """Listens for orders until closed. Built and used on one event loop."""

    def __init__(self, path: str | Path, handler: ControlHandler) -> None:
        """Keep the path; nothing is opened yet."""
        self._path = Path(path)
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            ConfigError: the path cannot be used safely, or another daemon listens there.
        """
        listener = _listen(self._path)
        self._server = await asyncio.start_unix_server(
            self._on_connection, sock=listener, limit=_LINE_LENGTH_MAX
        )

    async def close(self) -> None:
        """Stop listening and remove the socket; safe to repeat."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await server.wait_closed()
        self._path.unlink(missing_ok=True)

    async def _on_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        if task is None or len(self._tasks) >= _CONNECTION_COUNT_MAX or not _is_owner(writer):
            writer.close()
            return
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, TimeoutError):
            return
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                async with asyncio.timeout(_IDLE_S):
                    line = await reader.readline()
            except ValueError:
                reply = ControlReply(ok=False, message="expected a shorter line")
                await _answer(writer, reply)
                return
            if not line.endswith(b"\n"):
                return
            await _answer(writer, await self._carry_out(line))

    async def _carry_out(self, line: bytes) -> ControlReply:
        try:
            reply = self._handler(parse_command(line))
            return reply if isinstance(reply, ControlReply) else await reply
        except SlipstreamError as error:
            return ControlReply(ok=False, message=str(error))


async def _answer(writer: asyncio.StreamWriter, reply: ControlReply) -> None:
    text = json.dumps({"ok": reply.ok, "message": reply.message, "payload": reply.payload})
    writer.write(text.encode() + b"\n")
    async with asyncio.timeout(_IDLE_S):
        await writer.drain()


def _is_owner(writer: asyncio.StreamWriter) -> bool:
    peer = writer.get_extra_info("socket")
    size = struct.calcsize(_PEER_FORMAT)
    _, user, _ = struct.unpack(
        _PEER_FORMAT, peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    )
    return bool(user == os.geteuid())


def _listen(path: Path) -> socket.socket:
    if len(os.fsencode(path)) > _PATH_LENGTH_MAX:
        raise ConfigError(
            f"control socket {path}: expected a path of up to {_PATH_LENGTH_MAX} bytes, "
            f"found {len(os.fsencode(path))}"
        )
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _prepare_directory(path.parent)
        _remove_left_over(path)
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
    except OSError as error:
        listener.close()
        raise ConfigError(f"control socket {path}: {error.strerror}") from error
    except ConfigError:
        listener.close()
        raise
    return listener


def _prepare_directory(directory: Path) -> None:
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700, parents=True)
    found = directory.stat()
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(
            f"control socket: {directory}: expected a directory of our own that nobody else "
            f"may write to, found mode {stat.S_IMODE(found.st_mode):04o}"
        )


def _remove_left_over(path: Path) -> None:
    """Remove the socket of a daemon that is gone.

    Raises:
        ConfigError: it still listens, or this is no socket.
    """
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise ConfigError(f"control socket {path}: expected a socket or nothing, found a file")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise ConfigError(f"control socket {path}: another daemon listens there")


def send_command(
    path: str | Path, command: ControlCommand, *, timeout_s: float = 30.0
) -> ControlReply:
    """Give an order to a daemon and return its reply; for commands, not for the event loop.

    Raises:
        ControlError: nobody listens, no answer came in time, or it is no reply.
    """
    answer = b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(str(path))
            connection.sendall(json.dumps(command.request()).encode() + b"\n")
            while not answer.endswith(b"\n") and (part := connection.recv(_LINE_LENGTH_MAX)):
                answer += part
        except (FileNotFoundError, ConnectionRefusedError):
            raise ControlError(f"no daemon listens at {path}: is `slipstream run` up?") from None
        except TimeoutError:
            raise ControlError(f"the daemon at {path} did not answer in {timeout_s:g} s") from None
        except OSError as error:
            raise ControlError(f"control socket {path}: {error.strerror or error}") from error
    try:
        reply = json.loads(answer)
        return ControlReply(
            ok=bool(reply["ok"]), message=str(reply["message"]), payload=dict(reply["payload"])
        )
    except (ValueError, KeyError, TypeError):
        raise ControlError(f"the daemon at {path} did not give a reply") from None
