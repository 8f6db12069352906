"""The ``demo`` command: the whole thing on this machine, judged from the venue's own log."""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
import uvloop
from rich.console import Group, RenderableType
from rich.text import Text

from slipstream.commands.output import emit, note
from slipstream.domain.intent import IntentKind
from slipstream.domain.outcome import LegEnd
from slipstream.errors import ConfigError
from slipstream.runtime.play import demo_score
from slipstream.runtime.serial import serial_baseline_ns
from slipstream.runtime.trial import Trial, TrialResult, TrialSettings, allocated_share
from slipstream.telemetry import floor, tables
from slipstream.telemetry.recount import Recount
from slipstream.telemetry.stages import Stage, milliseconds
from slipstream.transport.clock import SystemClock

EXIT_FOUND: Final = 1
FINDINGS_SHOWN: Final = 20
FOLLOWERS_MAX: Final = 5_000
FILES_PER_FOLLOWER: Final = 4
PLAY_S: Final = 45.0
"""How long the leader's trades are spread over: the demo ends within two minutes."""

LEADER_LEVEL: Final = 30
THIN_PPM: Final = 750
"""A book level holds so much quote, plus this share of all followers' allocations together.

Fifty levels lie inside an opening bound of 50 bps. The first part is what one larger trade of the
leader takes, which a follower must leave alone until the book shows it; the second is a little
less than the followers' part of such a trade: the larger ones find the depth taken, most not."""


@dataclass(frozen=True, slots=True)
class DemoResult:
    """A judged run and what it is compared with."""

    trial: TrialResult
    recount: Recount
    floor_ns: int
    serial_ns: int
    weight_factor: int

    @property
    def is_kept(self) -> bool:
        """Whether every promise that the recount can see was kept."""
        counts = self.recount
        return not (
            counts.slippage_breaches
            or counts.duplicate_orders
            or counts.depth_overcommits
            or counts.unexplained
            or counts.lost_fills
            or self.trial.bad_signatures
        )


def register(parent: typer.Typer) -> None:
    """Add the command."""
    parent.command("demo")(demo)


def demo(
    *,
    followers: Annotated[
        int, typer.Option(min=1, max=FOLLOWERS_MAX, help="How many accounts mirror the leader.")
    ] = 500,
    seed: Annotated[int, typer.Option(help="Seed of the simulated market.")] = 1,
    evidence: Annotated[
        Path | None,
        typer.Option(help="Write venue.jsonl and activity.jsonl here, to be counted again."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """Mirror a recorded leader onto many followers, all on this machine.

    Starts a simulated Aster in another process, gives every follower an agent key of its own,
    plays real recorded fills through the leader's account, and lets the production engine mirror
    them. Then counts breaches, duplicates, overcommitted depth and unexplained positions again
    from the venue's own log. Takes less than two minutes; needs no account and no network.
    """
    if evidence is not None and evidence.exists() and not evidence.is_dir():
        raise ConfigError(f"--evidence: expected a directory, found the file {evidence}")
    floor.allow_files(followers * FILES_PER_FOLLOWER + 4 * floor.FILES_SPARE)
    result = uvloop.run(run_demo(followers, seed=seed, evidence=evidence))
    tell(result, as_json=as_json)


def tell(result: DemoResult, *, as_json: bool) -> None:
    """Print a judged run and what was found in it; exit with status 1 if a promise was broken."""
    emit(summary(result), as_json=as_json, show=lambda: _show(result))
    findings = result.recount.findings
    for finding in findings[:FINDINGS_SHOWN]:
        note(finding)
    if len(findings) > FINDINGS_SHOWN:
        note(f"and {len(findings) - FINDINGS_SHOWN} more")
    if not result.is_kept:
        sys.exit(EXIT_FOUND)


async def run_demo(followers: int, *, seed: int, evidence: Path | None) -> DemoResult:
    """Run the demo and judge it."""
    note(f"measuring the floor: {followers} bare signatures and socket writes")
    bare = await asyncio.to_thread(floor.measure, followers)
    score = demo_score()
    settings = TrialSettings(
        followers=followers,
        score=score,
        seed=seed,
        pause_s=PLAY_S / len(score.trades),
        level_notional=str(LEADER_LEVEL + allocated_share(followers, THIN_PPM)),
        evidence=evidence,
    )
    async with Trial(settings, note) as trial:
        await trial.play(score.trades)
        note("judging the run from the venue's log")
        result = await trial.result()
        note(f"serial baseline: {followers} orders one after another")
        serial_ns = await serial_baseline_ns(
            trial.engine, score.trades[0].symbol, clock=SystemClock()
        )
        factor = trial.weight_factor
    return DemoResult(result, result.recount, bare.sum_ns, serial_ns, factor)


def summary(result: DemoResult) -> dict[str, object]:
    """Return the demo's contract object."""
    trial, counts = result.trial, result.recount
    return {
        "followers": trial.followers,
        "intents": trial.intents,
        "kinds": {kind.value: trial.kinds.get(kind.value, 0) for kind in IntentKind},
        "legs": trial.legs,
        "outcomes": {
            LegEnd.FILLED.value: trial.ends.get(LegEnd.FILLED.value, 0),
            LegEnd.PARTIAL.value: trial.ends.get(LegEnd.PARTIAL.value, 0),
            LegEnd.SKIPPED.value: dict(trial.skips),
            LegEnd.REJECTED.value: trial.ends.get(LegEnd.REJECTED.value, 0),
            LegEnd.UNKNOWN.value: trial.ends.get(LegEnd.UNKNOWN.value, 0),
            LegEnd.FAILED.value: trial.ends.get(LegEnd.FAILED.value, 0),
        },
        "latency_ms": trial.latency_ms,
        "floor_ms": milliseconds(result.floor_ns),
        "serial_baseline_ms": milliseconds(result.serial_ns),
        "slippage_breaches": counts.slippage_breaches,
        "duplicate_orders": counts.duplicate_orders,
        "depth_overcommits": counts.depth_overcommits,
        "unexplained": counts.unexplained,
        "lost_fills": counts.lost_fills,
        "unjudged": counts.unjudged,
        "bad_signatures": trial.bad_signatures,
        "weight_limit_factor": result.weight_factor,
    }


def _show(result: DemoResult) -> RenderableType:
    trial, counts = result.trial, result.recount
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(trial.kinds.items()))
    judged: Mapping[str, int] = {
        "orders or fills outside a follower's bound": counts.slippage_breaches,
        "orders sent twice": counts.duplicate_orders,
        "orders that counted on depth others had taken": counts.depth_overcommits,
        "positions not explained": counts.unexplained,
        "leader fills lost": counts.lost_fills,
        "orders that the log cannot judge": counts.unjudged,
        "bad signatures": trial.bad_signatures,
    }
    lines = [f"  {count:>6}  {what}" for what, count in judged.items()]
    verdict = "Every promise was kept." if result.is_kept else "A promise was broken."
    return Group(
        Text(f"{trial.followers} followers, {trial.intents} leader events ({kinds})\n"),
        tables.outcomes(trial.ends, trial.skips),
        Text(),
        tables.latency(trial.stages, floor_ns=result.floor_ns, serial_ns=result.serial_ns),
        Text(),
        tables.ranks(trial.stages, Stage.SENT),
        Text("\nCounted again from the venue's own log:\n" + "\n".join(lines)),
        Text(f"\n{verdict}{_raised(result.weight_factor)}"),
    )


def _raised(factor: int) -> str:
    """Say by how much the simulated limit was raised, if it was."""
    if factor == 1:
        return ""
    return (
        f" The simulated address limit was raised {factor} times, because starting this many "
        "accounts from one address exceeds a real minute."
    )
