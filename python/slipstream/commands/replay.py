"""The ``replay`` command: a recorded leader through the real pipeline, offline."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from slipstream._core import (
    CoreError,
    FixedError,
    SizingMode,
    SizingRule,
    format_fixed,
    parse_fixed,
)
from slipstream.commands.output import emit, note
from slipstream.engine.chain import chain
from slipstream.errors import ConfigError
from slipstream.runtime.replay import AMPLE, Replay, ReplayReport, ReplaySizing
from slipstream.units import Quote
from slipstream.venues.hyperliquid.recorded import read_fills, read_meta

FORMAT: Final = "hyperliquid-fills"
EXIT_FOUND_WRONG: Final = 1
EXIT_BAD_USAGE: Final = 2
MODES: Final = {
    "margin": SizingMode.MARGIN,
    "position": SizingMode.POSITION,
    "ratio": SizingMode.RATIO,
    "notional": SizingMode.NOTIONAL,
}

Files = Annotated[
    list[Path], typer.Argument(metavar="FILE...", help="Recorded fills of one account.")
]
Format = Annotated[str, typer.Option("--format", help=f"What the files hold: {FORMAT}.")]
Meta = Annotated[Path, typer.Option(help="Instrument table (the venue's meta answer).")]
Mode = Annotated[str, typer.Option(help="Sizing: margin, position, ratio or notional.")]
Ratio = Annotated[
    str | None, typer.Option(metavar="K", help="ratio: follower quantity per leader quantity.")
]
Allocation = Annotated[
    str | None,
    typer.Option(metavar="A", help="margin, position: the follower's capital in quote."),
]
Margin = Annotated[
    str | None,
    typer.Option(metavar="M", help="margin, position: the leader's margin in quote."),
]
Notional = Annotated[str | None, typer.Option(metavar="N", help="notional: quote amount per open.")]
MinNotional = Annotated[
    str, typer.Option(metavar="X", help="The venue's least order, in quote (default 0).")
]
Json = Annotated[bool, typer.Option("--json", help="End with one JSON object in one line.")]
Trace = Annotated[
    Path | None, typer.Option(metavar="OUT", help="Write one JSON line per intent to this file.")
]


@dataclass(frozen=True, slots=True)
class _Amounts:
    """The sizing options as given."""

    ratio: str | None
    allocation: str | None
    leader_margin: str | None
    notional: str | None


_NEEDED: Final = {
    SizingMode.RATIO: ("ratio",),
    SizingMode.MARGIN: ("allocation", "leader_margin"),
    SizingMode.POSITION: ("allocation", "leader_margin"),
    SizingMode.NOTIONAL: ("notional",),
}


def register(app: typer.Typer) -> None:
    """Add ``replay`` to the command line."""
    app.command("replay")(replay)


def replay(
    files: Files,
    *,
    meta: Meta,
    mode: Mode,
    format_: Format = FORMAT,
    ratio: Ratio = None,
    allocation: Allocation = None,
    leader_margin: Margin = None,
    notional: Notional = None,
    min_notional: MinNotional = "0",
    as_json: Json = False,
    trace: Trace = None,
) -> None:
    """Show what a follower would have done behind a recorded leader. Sends nothing.

    Exit status: 0 done; 1 fills are missing or a target was missed by a lot or more (the summary
    is printed all the same); 2 bad usage or a broken file.
    """
    try:
        _check_format(format_)
        amounts = _Amounts(ratio, allocation, leader_margin, notional)
        sizing = replay_sizing(mode, amounts)
        least = parse_amount("--min-notional", min_notional, is_positive=False)
        instruments = read_meta(meta, notional_min=least)
        report = Replay(instruments, sizing).run(chain(read_fills(files, instruments)))
        if trace is not None:
            write_trace(trace, report)
    except ConfigError as error:
        note(f"slipstream replay: {error}")
        raise typer.Exit(EXIT_BAD_USAGE) from error
    for hole in report.chained.breaks:
        note(
            f"{hole.symbol}: a fill is missing before tid {hole.trade_id} (time "
            f"{hole.venue_ts_ms}): found startPosition {format_fixed(hole.found_qty)}, "
            f"expected {format_fixed(hole.expected_qty)}; nothing of {hole.symbol} is used past it"
        )
    emit(report.to_json(), as_json=as_json, show=lambda: show(report))
    if not report.is_clean:
        raise typer.Exit(EXIT_FOUND_WRONG)


def _check_format(name: str) -> None:
    if name != FORMAT:
        raise ConfigError(f"--format: found {name!r}, expected {FORMAT}")


def replay_sizing(mode: str, amounts: _Amounts) -> ReplaySizing:
    """Turn options into a rule.

    Raises:
        ConfigError: an unknown mode, an option missing or without use, or a bad amount.
    """
    if mode not in MODES:
        raise ConfigError(f"--mode: found {mode!r}, expected one of {', '.join(MODES)}")
    sizing_mode = MODES[mode]
    needed = _NEEDED[sizing_mode]
    values: dict[str, int] = {}
    for name in ("ratio", "allocation", "leader_margin", "notional"):
        option, text = "--" + name.replace("_", "-"), getattr(amounts, name)
        if name in needed and text is None:
            raise ConfigError(f"{option}: found nothing, expected an amount with --mode {mode}")
        if name not in needed and text is not None:
            raise ConfigError(f"{option}: found {text!r}, expected nothing with --mode {mode}")
        if text is not None:
            values[name] = parse_amount(option, text, is_positive=True)
    margin = values.pop("leader_margin", None)
    equity = values.get("allocation", AMPLE)
    try:
        rule = SizingRule(
            mode=sizing_mode,
            ratio=values.get("ratio"),
            allocation=values.get("allocation"),
            notional=values.get("notional"),
        )
    except CoreError as error:
        raise ConfigError(f"--mode {mode}: {error}") from error
    return ReplaySizing(rule, Quote(equity), None if margin is None else Quote(margin))


def parse_amount(option: str, text: str, *, is_positive: bool) -> int:
    """Parse an option's decimal text to 10**-8.

    Raises:
        ConfigError: not decimal text, or below what is allowed.
    """
    expected = "an amount above 0" if is_positive else "an amount of 0 or more"
    try:
        value = parse_fixed(text)
    except FixedError as error:
        raise ConfigError(f"{option}: found {text[:60]!r}, expected {expected}") from error
    if value < int(is_positive):
        raise ConfigError(f"{option}: found {text[:60]!r}, expected {expected}")
    return value


def write_trace(path: Path, report: ReplayReport) -> None:
    """Write one JSON object a line.

    Raises:
        ConfigError: the file cannot be written.
    """
    lines = [json.dumps(line.to_json(), ensure_ascii=False) + "\n" for line in report.lines]
    try:
        path.write_text("".join(lines), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror})") from error


def show(report: ReplayReport) -> Group:
    """Return the report for a reader: totals, then one row per coin."""
    summary = report.to_json()
    totals = Text(
        f"{summary['fills']} fills, {summary['intents']} intents, "
        f"{summary['chain_breaks']} holes, largest gap {summary['max_gap_lots']} lots"
    )
    return Group(
        totals,
        _counts("What the leader did", summary["kinds"]),
        _counts("What was not traded, and why", summary["skips"]),
        _positions(summary["final"]),
    )


def _counts(title: str, counts: object) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    table.add_column("count", justify="right")
    for name, count in counts.items() if isinstance(counts, dict) else ():
        table.add_row(str(name), str(count))
    return table


def _positions(final: object) -> Table:
    columns: Sequence[str] = ("leader", "follower", "target")
    table = Table(title="Where it ended", title_justify="left")
    table.add_column("coin")
    for name in columns:
        table.add_column(name, justify="right")
    for coin, row in final.items() if isinstance(final, dict) else ():
        table.add_row(str(coin), *(str(row[name]) for name in columns))
    return table
