"""``slipstream activity``: what was done, what was not, and why.

Reads the log without writing to it, beside a running daemon or after it. The log's hash chain is
computed again first; a log that was tampered with is shown, with a warning and exit status 1.
"""

import json
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from rich.table import Table
from rich.text import Text

from slipstream.commands.output import note, print_json, print_table
from slipstream.config.model import EngineConfig
from slipstream.errors import ConfigError
from slipstream.store.base import ActivityEntry, ActivityFilter
from slipstream.store.reader import ActivityReader, database_url
from slipstream.transport.clock import wall_ms

_NEWEST_SHOWN: Final = 100
_POLL_S: Final = 0.5
_INTENT_LENGTH: Final = 8
_WHAT_LENGTH_MAX: Final = 160
_AGO: Final = re.compile(r"([0-9]{1,9})([smhd])")
_UNIT_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_EPOCH_MS: Final = re.compile(r"[0-9]{12,14}")

WhenHelp: Final = "a time ago (15m, 2h, 7d), ISO 8601 (UTC unless it says) or epoch milliseconds"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("activity")(activity)


def activity(
    *,
    database: Annotated[
        str,
        typer.Option(
            metavar="URL", help="sqlite:///FILE, postgresql://HOST/NAME or a file's name."
        ),
    ] = EngineConfig().database,
    follower: Annotated[str | None, typer.Option(metavar="ID", help="Only this follower.")] = None,
    leader: Annotated[str | None, typer.Option(metavar="ID", help="Only this leader.")] = None,
    intent: Annotated[str | None, typer.Option(metavar="ID", help="Only this intent.")] = None,
    reason: Annotated[
        str | None, typer.Option(metavar="CODE", help="Only this reason, like DEPTH_SHORT.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(help="Only intent, leg, control, incident or session."),
    ] = None,
    since: Annotated[str | None, typer.Option(help=f"From then on: {WhenHelp}.")] = None,
    until: Annotated[str | None, typer.Option(help=f"Before then: {WhenHelp}.")] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Only the newest so many; a table shows 100 unless told."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on with new rows until interrupted.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Check the log's hash chain first.")
    ] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per line.")
    ] = False,
) -> None:
    """Show and filter the log: what was done for each follower, or why not."""
    now_ms = wall_ms()
    wanted = ActivityFilter(
        since_ms=None if since is None else parse_when("--since", since, now_ms=now_ms),
        until_ms=None if until is None else parse_when("--until", until, now_ms=now_ms),
        leader=leader,
        follower=follower,
        intent_id=intent,
        reason=reason,
        kind=kind,
        limit=limit if limit is not None or as_json else _NEWEST_SHOWN,
    )
    with ActivityReader(database_url(database)) as reader:
        is_whole = not verify or _check_chain(reader)
        last_seq = _print(reader.activity(wanted), as_json=as_json)
        if follow:
            _follow(reader, wanted, last_seq, as_json=as_json)
    if not is_whole:
        raise typer.Exit(1)


def parse_when(option: str, text: str, *, now_ms: int) -> int:
    """Return a point in time as milliseconds since the epoch.

    Raises:
        ConfigError: none of the forms it can have.
    """
    if ago := _AGO.fullmatch(text):
        return now_ms - int(ago[1]) * _UNIT_MS[ago[2]]
    if _EPOCH_MS.fullmatch(text):
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        elapsed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ConfigError(f"{option}: expected {WhenHelp}, found {text[:40]!r}") from None
    return elapsed.days * _UNIT_MS["d"] + elapsed.seconds * 1_000 + elapsed.microseconds // 1_000


def _check_chain(reader: ActivityReader) -> bool:
    report = reader.verify_chain()
    if report.broken_seq is None:
        return True
    note(
        f"WARNING: the log does not verify: row {report.broken_seq} is not what was written "
        f"({report.row_count} rows before it are)"
    )
    return False


def _follow(
    reader: ActivityReader, wanted: ActivityFilter, last_seq: int, *, as_json: bool
) -> None:
    if last_seq == 0:
        last_seq = max((entry.seq for entry in reader.activity(ActivityFilter(limit=1))), default=0)
    try:
        while True:
            time.sleep(_POLL_S)
            newer = replace(wanted, after_seq=last_seq, limit=None)
            last_seq = _print(reader.activity(newer), as_json=as_json) or last_seq
    except KeyboardInterrupt:
        return


def _print(entries: Iterable[ActivityEntry], *, as_json: bool) -> int:
    """Print rows and return the sequence number of the last one, 0 for none."""
    last_seq = 0
    if as_json:
        for entry in entries:
            last_seq = entry.seq
            print_json(_object(entry))
        return last_seq
    listed = list(entries)
    if listed:
        print_table(_table(listed))
    return listed[-1].seq if listed else 0


def _object(entry: ActivityEntry) -> dict[str, Any]:
    return {
        "seq": entry.seq,
        "ts_ms": entry.ts_ms,
        "time": _time(entry.ts_ms),
        "kind": entry.kind,
        "leader": entry.leader,
        "follower": entry.follower,
        "intent": entry.intent_id,
        "reason": entry.reason,
        "payload": _payload(entry.payload),
    }


def _payload(text: str) -> object:
    """Return a payload as an object; one that was tampered with, as the text it is."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _table(entries: list[ActivityEntry]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("time (UTC)", "kind", "leader", "follower", "intent", "reason"):
        table.add_column(column, no_wrap=True)
    table.add_column("what", overflow="fold")
    for entry in entries:
        cells = (
            _time(entry.ts_ms),
            entry.kind,
            entry.leader or "",
            entry.follower or "",
            (entry.intent_id or "")[:_INTENT_LENGTH],
            entry.reason or "",
            _what(_payload(entry.payload)),
        )
        table.add_row(*(Text(_printable(cell)) for cell in cells))
    return table


def _what(payload: object) -> str:
    text = " ".join(_words(payload)) if isinstance(payload, dict) else str(payload)
    return text if len(text) <= _WHAT_LENGTH_MAX else f"{text[:_WHAT_LENGTH_MAX]}..."


def _words(payload: dict[str, Any]) -> Iterator[str]:
    for key, value in payload.items():
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            yield f"{key}={value}"
        elif value is True:
            yield key


def _printable(text: str) -> str:
    """Return text that cannot move the cursor or forge a line."""
    return "".join(each if each.isprintable() else "?" for each in text)


def _time(ts_ms: int) -> str:
    try:
        moment = datetime.fromtimestamp(ts_ms // 1_000, tz=UTC)
    except (OverflowError, ValueError, OSError):
        return str(ts_ms)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{ts_ms % 1_000:03d}"
