"""The command line: one table of commands, each imported only when it is called.

Exit status: 0 = done, 1 = ran and found something wrong, 2 = bad usage or configuration. Bad
input ends in one line on standard error, never in a traceback.
"""

import importlib
import sys
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager
from typing import Annotated, Any, Final, NamedTuple, Protocol

import typer
import typer.main
from typer.core import TyperGroup

from slipstream import __version__
from slipstream.errors import ConfigError, SlipstreamError

EXIT_DONE: Final = 0
EXIT_FOUND: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130


class CommandEntry(NamedTuple):
    """Where a command lives and what it is for."""

    name: str
    module: str
    summary: str


SECTIONS: Final[Mapping[str, tuple[CommandEntry, ...]]] = {
    "Try it": (
        CommandEntry("demo", "demo", "Mirror real recorded fills onto N followers, all local."),
        CommandEntry("replay", "replay", "Show offline what a follower of recorded fills holds."),
        CommandEntry("sim", "sim", "Start the simulated venue for clients of any kind."),
    ),
    "Trade": (
        CommandEntry("keys", "keys", "Make, import and list agent keys in the sealed keystore."),
        CommandEntry("check", "check", "Validate a configuration and connect; trade nothing."),
        CommandEntry("run", "run", "Mirror as configured, until stopped."),
    ),
    "Control a running daemon": (
        CommandEntry("status", "control", "Show leaders, followers, switches and streams."),
        CommandEntry("pause", "control", "Stop opening; exits are still mirrored."),
        CommandEntry("resume", "control", "Take back pause, close-only or freeze."),
        CommandEntry("close-only", "control", "Only let positions shrink."),
        CommandEntry("freeze", "control", "Send nothing at all, exits included."),
        CommandEntry("flatten", "control", "Close what our own orders built, within bounds."),
        CommandEntry("kill", "control", "Stop opening everywhere; --all stops everything."),
        CommandEntry("settle", "control", "State how an order of unknown fate ended."),
    ),
    "Look back": (
        CommandEntry("activity", "activity", "Show and filter the log: what was done, or why not."),
        CommandEntry("report", "report", "Print latency per stage and follower rank."),
        CommandEntry("bench", "bench", "Measure this machine, each figure beside its floor."),
        CommandEntry("drill", "drill", "Kill or cut off a daemon again and again; count the harm."),
    ),
}
"""Every command, in the order of the help text."""

_ENTRIES: Final = {entry.name: entry for section in SECTIONS.values() for entry in section}


class _LazyCommands(MutableMapping[str, Any]):
    """The commands by name; looking one up imports its module."""

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 (typer keeps its class private)
        entry = _ENTRIES[name]
        module = importlib.import_module(f"slipstream.commands.{entry.module}")
        holder = typer.Typer(add_completion=False, rich_markup_mode=None)
        module.register(holder)
        return typer.main.get_group(holder).commands[name]

    def __setitem__(self, name: str, command: object) -> None:
        raise TypeError(f"{name}: commands are listed in cli.SECTIONS")

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"{name}: commands are listed in cli.SECTIONS")

    def __iter__(self) -> Iterator[str]:
        return iter(_ENTRIES)

    def __len__(self) -> int:
        return len(_ENTRIES)


class _Formatter(Protocol):
    """The part of typer's help formatter that is used here."""

    def section(self, name: str) -> AbstractContextManager[None]: ...
    def write_dl(self, rows: Sequence[tuple[str, str]]) -> None: ...


class _SlipstreamGroup(TyperGroup):
    """A group whose help needs no command to be imported."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 (passed on as they are)
        super().__init__(**attributes)
        self.commands = _LazyCommands()

    def format_commands(self, ctx: object, formatter: _Formatter) -> None:
        """List the commands by what they are for."""
        del ctx
        for title, entries in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(entry.name, entry.summary) for entry in entries])


app = typer.Typer(
    name="slipstream",
    cls=_SlipstreamGroup,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Each command has its own --help, and --json for machines. "
    "Exit status: 0 done, 1 something is wrong, 2 bad usage or configuration.",
)


def _print_version(*, is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"slipstream {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", is_eager=True),
    ] = False,
) -> None:
    """Mirror a leader's perpetual trades onto many followers, each within its own bounds.

    New here? Run `slipstream demo`: it needs no account and no network.
    """
    _print_version(is_asked=version)
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit status."""
    command = typer.main.get_command(app)
    try:
        status = command.main(list(arguments), prog_name="slipstream", standalone_mode=False)
    except typer.TyperException as error:
        return _complain_usage(error)
    except typer.Abort:
        return EXIT_INTERRUPTED
    except (SlipstreamError, OSError, ExceptionGroup) as error:
        return _complain(error)
    return status if isinstance(status, int) else EXIT_DONE


def _complain_usage(error: typer.TyperException) -> int:
    message = error.format_message()
    if "Usage:" in message:  # a group called without a command answers with its help
        sys.stderr.write(f"{message.strip()}\n")
    else:
        sys.stderr.write(f"slipstream: {_one_line(message)}\n")
    return error.exit_code


def _complain(error: Exception) -> int:
    """Say what went wrong in one line each, or let a bug show its traceback."""
    leaves = list(_leaves(error))
    if not all(_is_explained(leaf) for leaf in leaves):
        raise error
    for leaf in leaves:
        sys.stderr.write(f"slipstream: {_one_line(_message(leaf))}\n")
    is_usage = any(isinstance(leaf, ConfigError | OSError) for leaf in leaves)
    return EXIT_USAGE if is_usage else EXIT_FOUND


def _leaves(error: Exception) -> Iterator[Exception]:
    if isinstance(error, ExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _is_explained(error: Exception) -> bool:
    """Whether the error's own words are enough: ours, or a file that cannot be used."""
    if isinstance(error, OSError):
        return error.filename is not None
    return isinstance(error, SlipstreamError)


def _message(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _one_line(text: str) -> str:
    return " ".join(text.split())
