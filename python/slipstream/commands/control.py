"""``slipstream pause | resume | close-only | freeze | flatten | kill | settle | status``."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from slipstream._core import parse_fixed
from slipstream.commands.output import emit
from slipstream.config.load import load_config
from slipstream.config.model import EngineConfig
from slipstream.domain.ids import FollowerId, LeaderId
from slipstream.errors import ConfigError, FixedError
from slipstream.runtime.control import ControlAction, ControlCommand, ControlReply, send_command

_HELP: Final = {
    ControlAction.STATUS: "Show leaders, followers, switches and streams of a running daemon.",
    ControlAction.PAUSE: "Stop opening; exits are still mirrored. Without options: for everybody.",
    ControlAction.RESUME: "Take back pause, close-only, freeze or kill, as far as the options say.",
    ControlAction.CLOSE_ONLY: "Only let positions shrink.",
    ControlAction.FREEZE: "Send nothing at all, exits included.",
    ControlAction.FLATTEN: "Close what our own orders built, within the exit bounds. "
    "Say for whom, or --all.",
    ControlAction.KILL: "Stop opening everywhere; with --all stop everything, exits included.",
}

FollowerOption = Annotated[
    str | None, typer.Option("--follower", metavar="ID", help="Only this follower.")
]
LeaderOption = Annotated[
    str | None, typer.Option("--leader", metavar="ID", help="Only what mirrors this leader.")
]
SymbolOption = Annotated[
    str | None, typer.Option("--symbol", metavar="SYMBOL", help="Only this symbol.")
]
AllOption = Annotated[bool, typer.Option("--all", help="Everything and everybody.")]
SocketOption = Annotated[
    Path | None,
    typer.Option("--socket", metavar="PATH", help="The daemon's control socket."),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Take the socket from this configuration."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def register(app: typer.Typer) -> None:
    """Add the control commands."""
    for action, text in _HELP.items():
        _add(app, action, text)
    _add_settle(app)


def _add_settle(app: typer.Typer) -> None:
    @app.command("settle", help="State how an order of unknown fate ended; see status for them.")
    def run(
        *,
        follower: Annotated[str, typer.Option("--follower", metavar="ID", help="Whose order.")],
        order: Annotated[
            str, typer.Option("--order", metavar="CLIENT_ORDER_ID", help="Which order.")
        ],
        filled: Annotated[
            str, typer.Option("--filled", metavar="QTY", help="What was executed, 0 for nothing.")
        ],
        price: Annotated[
            str | None,
            typer.Option("--price", metavar="P", help="Average price; without it the limit."),
        ] = None,
        path: SocketOption = None,
        config: ConfigOption = None,
        as_json: JsonOption = False,
    ) -> None:
        for option, value in (("--filled", filled), ("--price", price)):
            _check_decimal(option, value)
        command = ControlCommand(
            ControlAction.SETTLE, FollowerId(follower), order=order, filled=filled, price=price
        )
        _give(command, path, config, as_json=as_json)


def _check_decimal(option: str, value: str | None) -> None:
    try:
        is_wrong = value is not None and parse_fixed(value) < 0
    except FixedError:
        is_wrong = True
    if is_wrong:
        raise ConfigError(f"{option}: expected a decimal of 0 or more, found {value!r}")


def _give(
    command: ControlCommand, path: Path | None, config: Path | None, *, as_json: bool
) -> None:
    reply = send_command(_socket_path(path, config), command)
    shown = {"ok": reply.ok, "message": reply.message, **reply.payload}
    emit(shown, as_json=as_json, show=lambda: _table(reply))
    if not reply.ok:
        raise typer.Exit(1)


def _add(app: typer.Typer, action: ControlAction, text: str) -> None:
    @app.command(str(action).replace("_", "-"), help=text)
    def run(
        *,
        follower: FollowerOption = None,
        leader: LeaderOption = None,
        symbol: SymbolOption = None,
        everything: AllOption = False,
        path: SocketOption = None,
        config: ConfigOption = None,
        as_json: JsonOption = False,
    ) -> None:
        scoped = ControlCommand(
            action,
            None if follower is None else FollowerId(follower),
            None if leader is None else LeaderId(leader),
            symbol,
            everything,
        )
        _check(scoped)
        _give(scoped, path, config, as_json=as_json)


def _check(command: ControlCommand) -> None:
    is_scoped = any((command.follower, command.leader, command.symbol))
    if command.is_all and is_scoped:
        raise ConfigError("--all: expected alone, found beside --follower, --leader or --symbol")
    if command.action is ControlAction.FLATTEN and not is_scoped and not command.is_all:
        raise ConfigError(
            "flatten: expected --follower, --leader, --symbol or --all, found nothing"
        )


def _socket_path(path: Path | None, config: Path | None) -> Path:
    if path is not None and config is not None:
        raise ConfigError("--socket: expected without --config, found both")
    if config is not None:
        return Path(load_config(config).engine.control_socket)
    return path or Path(EngineConfig().control_socket)


def _table(reply: ControlReply) -> RenderableType:
    parts: list[RenderableType] = [Text(reply.message)]
    plain = {key: value for key, value in reply.payload.items() if not _is_table(value)}
    if plain:
        parts.append(_listed("", [{"what": key, "is": value} for key, value in plain.items()]))
    for key, value in reply.payload.items():
        if _is_table(value):
            parts.append(_listed(key, value))
    return Group(*parts)


def _is_table(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _listed(title: str, rows: list[dict[str, Any]]) -> Table:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = Table(title=title or None, title_justify="left")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(Text(_cell(row.get(column))) for column in columns))
    return table


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return str(value)
