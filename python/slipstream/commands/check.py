"""The ``check`` command: everything a daemon would need, looked at; nothing traded."""

from dataclasses import asdict
from typing import Annotated

import typer
import uvloop
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from slipstream.commands.output import emit, note
from slipstream.commands.run import ConfigArgument, PassphraseFd, open_keystore
from slipstream.config.load import load_config
from slipstream.errors import ConfigError
from slipstream.runtime.daemon import harden
from slipstream.runtime.preflight import Report, preflight
from slipstream.transport.clock import SystemClock

Events = Annotated[
    int,
    typer.Option(
        "--events-per-minute",
        metavar="E",
        min=1,
        max=100_000,
        help="How often the leaders trade, for the budget of requests.",
    ),
]
AllowWithdraw = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-withdraw",
        metavar="ID",
        help="Accept that the key of this leader or follower may withdraw. Better: revoke it.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check")(check)


def check(
    config: ConfigArgument,
    *,
    passphrase_fd: PassphraseFd = None,
    events_per_minute: Events = 10,
    allow_withdraw: AllowWithdraw = None,
    as_json: JsonOption = False,
) -> None:
    """Validate a configuration, connect, and look at everything. Trades nothing.

    Looks at the venue's clock and instruments; at every key: known to the venue, not expired,
    may trade, may NOT withdraw; at every account: readable, position mode, equity; at the symbols
    of every mirror and their leverage; and at how many requests the followers need. Leaders on
    Aster are read with a key of theirs: leaders without a key are out of scope for now.

    Exit status: 0 = all well, 1 = something is wrong (each finding says what), 2 = configuration.
    """
    loaded = load_config(config)
    allowed = frozenset(allow_withdraw or ())
    known = {each.id for each in loaded.leaders} | {each.id for each in loaded.followers}
    if allowed - known:
        name = min(allowed - known)
        raise ConfigError(f"--allow-withdraw: expected a configured id, found {name!r}")
    harden()
    keystore = open_keystore(loaded, passphrase_fd)
    note(f"looking at {len(loaded.leaders)} leaders and {len(loaded.followers)} followers")
    report = uvloop.run(
        preflight(
            loaded,
            keystore,
            clock=SystemClock(),
            events_per_minute=events_per_minute,
            withdrawals_allowed=allowed,
        )
    )
    emit(_summary(report), as_json=as_json, show=lambda: _show(report))
    if not report.is_sound:
        raise typer.Exit(1)


def _summary(report: Report) -> dict[str, object]:
    return {
        "ok": report.is_sound,
        "findings": [asdict(each) for each in report.findings],
        "budgets": [
            {**asdict(each), "addresses": each.address_count, "text": each.sentence()}
            for each in report.budgets
        ],
    }


def _show(report: Report) -> RenderableType:
    table = Table("who", "what", "", "found")
    for each in report.findings:
        table.add_row(each.who, each.what, each.level.value, Text(each.detail))
    verdict = "All well." if report.is_sound else "Something is wrong: see the rows marked wrong."
    return Group(table, Text(f"\n{verdict} Nothing was traded."))
