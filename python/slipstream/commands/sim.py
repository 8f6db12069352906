"""``slipstream sim``: simulated venues for clients of any kind."""

import typer

from slipstream.venues.sim.command import run_sim

__all__ = ["register", "run_sim"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sim")(run_sim)
