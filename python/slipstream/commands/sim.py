"""``slipstream sim``: simulated venues for clients of any kind."""

from slipstream.venues.sim.command import run_sim

__all__ = ["run_sim"]
