"""The ``run`` command: the daemon."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.text import Text

from slipstream.commands.output import emit, note
from slipstream.config import secret_input
from slipstream.config.keystore import Keystore, list_entries
from slipstream.config.load import load_config
from slipstream.config.model import Config
from slipstream.runtime.daemon import DaemonResult, harden, run_daemon

ConfigArgument = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="The configuration file (TOML).")
]
PassphraseFd = Annotated[
    int | None,
    typer.Option(
        "--passphrase-fd",
        metavar="N",
        min=0,
        help="Read the keystore's passphrase (one line) from open file descriptor N "
        "instead of asking.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run")(run)


def run(
    config: ConfigArgument,
    *,
    passphrase_fd: PassphraseFd = None,
    as_json: JsonOption = False,
) -> None:
    """Mirror as configured, until SIGTERM or Ctrl-C.

    Try the configuration with `slipstream check CONFIG` first; it trades nothing. A new follower
    is in mode "shadow" unless the configuration says otherwise: everything is decided and
    recorded, nothing is sent.

    Asks for the keystore's passphrase. Says each change of state in one line on standard error;
    `slipstream activity` shows what was done and why, `slipstream status` how it stands. On the
    way out leaders stop first and orders in flight are given time to end.

    Exit status: 0 = stopped in order, 1 = something needs a look (orders whose end is not known,
    a part that failed), 2 = configuration.
    """
    loaded = load_config(config)
    harden()
    keystore = open_keystore(loaded, passphrase_fd)
    result = uvloop.run(run_daemon(loaded, keystore, tell=note))
    emit(
        {**asdict(result), "sound": result.is_sound},
        as_json=as_json,
        show=lambda: Text(_describe(result)),
    )
    if not result.is_sound:
        raise typer.Exit(1)


def open_keystore(config: Config, passphrase_fd: int | None) -> Keystore:
    """Open the configured keystore with a passphrase from a descriptor or the terminal.

    Raises:
        ConfigError: no such keystore, or the passphrase is wrong.
    """
    path = Path(config.engine.keystore)
    list_entries(path)  # a file that cannot be used is refused before anything is asked
    if passphrase_fd is None:
        passphrase = secret_input.prompt(f"Passphrase of {path}")
    else:
        passphrase = secret_input.read_descriptor(passphrase_fd, "--passphrase-fd")
    return Keystore.open(path, passphrase)


def _describe(result: DaemonResult) -> str:
    ends = ", ".join(f"{count} {end}" for end, count in sorted(result.ends.items()))
    lines = [f"{result.intents} leader events mirrored; legs: {ends or 'none'}"]
    if not result.is_drained:
        lines.append("some orders were still out: `slipstream run` asks about them when it starts")
    lines += [f"failed: {each}" for each in result.failed_tasks]
    if result.lost_lines:
        lines.append(f"{result.lost_lines} lines of the activity log could not be written")
    return "\n".join(lines)
