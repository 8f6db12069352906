"""The ``report`` command: what the activity log says about latency."""

import json
from typing import Annotated, Final

import typer
from rich.console import Group, RenderableType

from slipstream.commands.output import emit
from slipstream.errors import DecodeError
from slipstream.store.base import ActivityEntry, ActivityFilter
from slipstream.store.reader import ActivityReader, database_url
from slipstream.telemetry import tables
from slipstream.telemetry.stages import Stage, StageRecorder

RANKED_STAGES: Final = (Stage.SENT, Stage.FILLED)

app = typer.Typer(
    help="Print reports from the activity log.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


def register(parent: typer.Typer) -> None:
    """Add the command."""
    parent.add_typer(app, name="report")


@app.callback()
def _report() -> None:
    """Print reports from the activity log of a run."""


@app.command()
def latency(
    *,
    database: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="The database of a run: sqlite:///FILE, postgresql://HOST/NAME or a file's name.",
        ),
    ] = "slipstream.db",
    leader: Annotated[str | None, typer.Option(help="Only this leader.")] = None,
    follower: Annotated[str | None, typer.Option(help="Only this follower.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """Print how long each stage took, and how much later the k-th follower's order was.

    All times are milliseconds since the leader's fill was read from its socket.
    """
    wanted = ActivityFilter(leader=leader, follower=follower, kind="leg")
    with ActivityReader(database_url(database)) as reader:
        recorder = StageRecorder()
        order_count = sum(record_entry(recorder, entry) for entry in reader.activity(wanted))
    emit(
        {"orders": order_count, "latency_ms": recorder.in_ms()},
        as_json=as_json,
        show=lambda: _show(recorder, order_count),
    )


def record_entry(recorder: StageRecorder, entry: ActivityEntry) -> bool:
    """Count one leg of the log; return False when it has no order and so no stages.

    Raises:
        DecodeError: the row's payload is not what the journal writes.
    """
    try:
        payload = json.loads(entry.payload)
        offsets = payload.get("stages")
        if not offsets:
            return False
        recorder.on_offsets(
            int(payload["rank"]), {Stage(name): int(at) for name, at in offsets.items()}
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DecodeError(
            f"activity row {entry.seq}: found stages that cannot be read, "
            f"expected rank and nanoseconds by stage ({type(error).__name__}: {error})"
        ) from error
    return True


def _show(recorder: StageRecorder, order_count: int) -> RenderableType:
    if not order_count:
        return "No order was sent in this database, so there is nothing to report."
    parts: list[RenderableType] = [tables.latency(recorder)]
    parts += [tables.ranks(recorder, stage) for stage in RANKED_STAGES]
    return Group(*parts)
