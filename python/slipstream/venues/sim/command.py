"""The ``sim`` command: simulated venues for clients of any kind."""

from typing import Annotated

import typer

from slipstream.venues.sim.server import SimSettings, print_ready, run

Venues = Annotated[str, typer.Option(help="Venues to simulate, separated by commas (aster).")]
Seed = Annotated[int, typer.Option(help="Seed of books, faults and makers.")]
LatencyMs = Annotated[
    float, typer.Option(min=0, help="Round trip in ms, half each way, streams too.")
]
MatchMs = Annotated[float, typer.Option(min=0, help="Time in ms from acceptance to the match.")]
WeightFactor = Annotated[int, typer.Option(min=1, help="Multiply the weight limit per address.")]
Book = Annotated[str, typer.Option(help="Where books come from: generated, recorded.")]
Depth = Annotated[str, typer.Option(help="How much rests in them: normal, thin.")]
Verify = Annotated[
    str, typer.Option(help="Check order signatures inline, or deferred off the answer path.")
]
WindowMs = Annotated[
    int, typer.Option(min=1000, help="How far a nonce may be from the venue's clock.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the ready line as JSON (always so).")]


def run_sim(
    *,
    venues: Venues = "aster",
    seed: Seed = 1,
    latency_ms: LatencyMs = 0.0,
    match_ms: MatchMs = 0.0,
    weight_factor: WeightFactor = 1,
    book: Book = "generated",
    depth: Depth = "normal",
    verify: Verify = "inline",
    window_ms: WindowMs = 10_000,
    json: Json = False,
) -> None:
    """Run simulated venues on free ports until SIGTERM or the end of standard input.

    Prints one JSON line when ready, with the addresses to connect to.
    """
    del json
    settings = SimSettings(
        venues=tuple(name.strip() for name in venues.split(",") if name.strip()),
        seed=seed,
        latency_ms=latency_ms,
        match_ms=match_ms,
        weight_factor=weight_factor,
        book=book,
        depth=depth,
        verify=verify,
        window_ms=window_ms,
    )
    try:
        settings.check()
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    run(settings, print_ready)


def main() -> None:
    """Run the command by itself."""
    typer.run(run_sim)
