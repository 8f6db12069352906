"""The ``drill`` command: real processes are killed or cut off, and the promises counted."""

import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer
import uvloop
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from slipstream.commands.output import emit, note
from slipstream.drill import site
from slipstream.drill.crashes import play_crashes
from slipstream.drill.cuts import DISRUPTIONS, cut_plans
from slipstream.drill.disconnects import play_cuts
from slipstream.drill.judge import DrillCounts
from slipstream.drill.plan import RANDOM_INSTANT, crash_plans
from slipstream.drill.run import DrillSettings, run_drills
from slipstream.errors import ConfigError, StoreError
from slipstream.runtime import points

EXIT_FOUND: Final = 1
RUNS_MAX: Final = 100_000
JOBS_MAX: Final = 64
FINDINGS_SHOWN: Final = 30


class DrillKind(StrEnum):
    """What is done to the daemon."""

    CRASH = "crash"
    DISCONNECT = "disconnect"


def register(parent: typer.Typer) -> None:
    """Add the command."""
    parent.command("drill")(drill)


def drill(
    kind: Annotated[DrillKind, typer.Argument(help="crash: SIGKILL; disconnect: sockets fail.")],
    *,
    runs: Annotated[int, typer.Option(min=1, max=RUNS_MAX, help="How many drills.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of kills, faults, trades and books.")] = 1,
    database: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="A postgresql:// server that may make databases; default: SQLite files.",
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, max=JOBS_MAX, help="Drills side by side; most of one is waiting.")
    ] = 2,
    first: Annotated[int, typer.Option(min=0, help="Skip so many drills of the series.")] = 0,
    evidence: Annotated[
        Path | None, typer.Option(help="Keep both logs of every drill with a finding here.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """Kill or cut off a daemon while orders are in flight, and count what it did wrong.

    Each drill starts a simulated Aster, a daemon with 20 followers and its database as processes
    of their own. A leader trades on whatever happens. `crash` ends the daemon with SIGKILL at
    named points of an order's life, during its restart and at random instants; `disconnect` cuts,
    stalls and half-closes its sockets and loses answers after orders were executed. When all has
    settled, duplicates, lost fills, orders outside their bound and unexplained positions are
    counted from the venue's own log.

    Exit status: 0 = all four are zero, 1 = something was found, 2 = usage. A drill is repeated
    with the same --seed and --first; which process wins a race differs.
    """
    if database is not None:
        _check(database)
    settings = DrillSettings(seed, database, jobs, keep=evidence)
    counts = uvloop.run(_run(kind, runs, first, settings))
    told = summary(kind, counts, settings)
    emit(told, as_json=as_json, show=lambda: _show(told))
    for finding in counts.findings[:FINDINGS_SHOWN]:
        note(finding)
    if not counts.is_kept:
        sys.exit(EXIT_FOUND)


def _check(database: str) -> None:
    """Refuse what is no PostgreSQL server, or carries a secret."""
    # Imported here: a drill on SQLite loads no driver.
    from slipstream.store.postgres_url import parse_postgres_url  # noqa: PLC0415

    try:
        parse_postgres_url(database)
    except StoreError as error:
        raise ConfigError(f"--database: {error}") from error


async def _run(kind: DrillKind, runs: int, first: int, settings: DrillSettings) -> DrillCounts:
    started_s = time.monotonic()

    def progress(counts: DrillCounts) -> None:
        found = f", {len(counts.findings)} findings" if counts.findings else ""
        elapsed_s = time.monotonic() - started_s
        note(f"{counts.runs}/{runs} drills, {counts.kills} kills{found}, {elapsed_s:.0f} s")

    if kind is DrillKind.CRASH:
        kills = crash_plans(first + runs, settings.seed)[first:]
        return await run_drills(kills, play_crashes, settings, progress)
    cuts = cut_plans(first + runs, settings.seed)[first:]
    return await run_drills(cuts, play_cuts, settings, progress)


def summary(kind: DrillKind, counts: DrillCounts, settings: DrillSettings) -> dict[str, object]:
    """Return the result object."""
    names = (*points.LIFE, RANDOM_INSTANT) if kind is DrillKind.CRASH else tuple(DISRUPTIONS)
    return {
        **counts.summary(names),
        "seed": settings.seed,
        "database": "sqlite" if settings.database is None else "postgresql",
        "weight_factor": site.WEIGHT_FACTOR,
        "nonce_window_ms": site.WINDOW_MS,
        "findings": counts.findings,
    }


def _show(told: dict[str, object]) -> RenderableType:
    table = Table(show_header=False)
    points = told["points"]
    for name, value in told.items():
        if name not in ("points", "findings"):
            shown = (
                ", ".join(f"{k} {v}" for k, v in value.items())
                if isinstance(value, dict)
                else value
            )
            table.add_row(name.replace("_", " "), str(shown))
    hit = Table("killed at" if told["kills"] else "disrupted by", "times")
    if isinstance(points, dict):
        for name, count in points.items():
            hit.add_row(str(name), str(count))
    return Group(table, hit, Text("Everything else of the venue is as it documents it."))
