"""``python -m slipstream.venues.sim``: the simulated venue without the full command."""

from slipstream.venues.sim.command import main

if __name__ == "__main__":
    main()
