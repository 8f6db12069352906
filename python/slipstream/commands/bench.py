"""The ``bench`` command: every figure this project claims, measured here and now."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import uvloop
from rich.table import Table

from slipstream.commands import bench_core, bench_fan_out
from slipstream.commands.output import emit, note
from slipstream.telemetry import machine

COHORT_SIZES: Final = (1, 500, 5_000)
COHORT_SIZES_QUICK: Final = (1, 500)
COHORT_WITH_LATENCY: Final = 500
ROUNDS: Final = 41
ROUNDS_QUICK: Final = 11
INTENTS: Final = 20
INTENTS_LARGE: Final = 6
INTENTS_QUICK: Final = 6
LARGE: Final = 1_000


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("bench")(bench)


def bench(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer rounds and no 5,000 followers.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the simulated venue.")] = 1,
    scratch: Annotated[
        Path, typer.Option(help="Where the store is measured: the disk matters.")
    ] = Path(),
) -> None:
    """Measure this machine: signing, planning, the durable claim, and whole fan-outs.

    Everything runs locally, the simulated venue in a process of its own on the same cores. Each
    figure is printed beside its peer or its floor from the same run; compare ratios, not hosts.
    Takes a minute or two, less with --quick.
    """
    rounds = ROUNDS_QUICK if quick else ROUNDS
    figures: dict[str, Any] = {
        "head": machine.describe(seed=seed, scenario="quick" if quick else "full"),
    }
    core: dict[str, Callable[[], dict[str, object]]] = {
        "sign_one_order": lambda: bench_core.sign_one_order(rounds=rounds),
        "plan_500": lambda: bench_core.plan_cohort_of(bench_core.COHORT_SIZE, rounds=rounds),
        "parse_and_walk": lambda: bench_core.parse_and_walk(rounds=rounds),
        "store_commit_500": lambda: bench_core.store_commit(
            bench_core.COHORT_SIZE, rounds=rounds, scratch=scratch
        ),
    }
    for name, measure in core.items():
        note(f"bench: {name}")
        figures[name] = measure()
    figures |= _fan_outs(is_quick=quick, seed=seed)
    emit(figures, as_json=as_json, show=lambda: _table(figures))


def _fan_outs(*, is_quick: bool, seed: int) -> dict[str, Any]:
    """Measure each fan-out in a process of its own, as an engine runs: nothing is left over."""
    few = INTENTS_QUICK if is_quick else INTENTS
    found = []
    for size in COHORT_SIZES_QUICK if is_quick else COHORT_SIZES:
        note(f"bench: fan_out to {size} followers")
        intents = INTENTS_LARGE if size > LARGE else few
        found.append(_alone(_fan_out, size, intents, seed))
    note("bench: fan_out with venue latency, then the serial baseline (about 20 s)")
    late = _alone(_fan_out_with_latency, COHORT_WITH_LATENCY, few, seed)
    return {"fan_out": found, "fan_out_with_venue_latency": late}


def _alone(
    measure: Callable[[int, int, int], dict[str, object]], size: int, intents: int, seed: int
) -> dict[str, object]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(measure, size, intents, seed).result()


def _fan_out(size: int, intents: int, seed: int) -> dict[str, object]:
    return uvloop.run(bench_fan_out.fan_out(size, intents=intents, seed=seed, progress=_quiet))


def _fan_out_with_latency(size: int, intents: int, seed: int) -> dict[str, object]:
    return uvloop.run(
        bench_fan_out.fan_out_with_venue_latency(size, intents=intents, seed=seed, progress=_quiet)
    )


def _quiet(_: str) -> None:
    """Leave out what a trial says of its steps: writing it would be part of what is measured."""


def _table(figures: dict[str, Any]) -> Table:
    head = figures["head"]
    table = Table(
        title=f"{head['cpu']}, {head['cores']} cores, {head['python']}, "
        f"{head['build'].get('profile')} build, commit {head['commit']}",
        title_justify="left",
    )
    table.add_column("figure")
    table.add_column("measured", justify="right")
    table.add_column("beside it")
    for row in _rows(figures):
        table.add_row(*row)
    return table


def _rows(figures: dict[str, Any]) -> list[tuple[str, str, str]]:
    sign, plan = figures["sign_one_order"], figures["plan_500"]
    walk, store = figures["parse_and_walk"], figures["store_commit_500"]
    late = figures["fan_out_with_venue_latency"]
    rows = [
        (
            "hash and sign one Aster order",
            f"{sign['ours_us']} us",
            (
                f"{sign['ratio_to_coincurve']} x a bare signature ({sign['bare_signature_by']}), "
                f"{sign['speedup_over_eth_account']} x faster than eth-account"
            ),
        ),
        ("plan 500 followers, 50 levels", f"{plan['ms']} ms", f"{plan['orders']} orders"),
        ("parse a price exactly", f"{walk['parse_us']} us", ""),
        ("walk a book", f"{walk['walk_us']} us", ""),
        ("durable claim of 500", f"{store['p50_ms']} ms", f"max {store['max_ms']} ms"),
    ]
    rows += [
        (
            f"fill read to last of {each['followers']} orders sent, p50",
            f"{each['received_to_last_ms']['p50']} ms",
            (
                f"floor {each['floor_ms']} ms, ratio {each['ratio']}; "
                f"first order {each['received_to_first_ms']['p50']} ms"
            ),
        )
        for each in figures["fan_out"]
    ]
    rows.append(
        (
            (
                f"fill read to last of {late['followers']} fills, venue "
                f"{late['round_trip_ms']} + {late['matching_ms']} ms away, p50"
            ),
            f"{late['last_filled_ms']['p50']} ms",
            f"bound {late['bound_ms']} ms; one after another {late['serial_baseline_ms']} ms",
        )
    )
    return rows
