"""Entry point of the process that checks signatures off the answer path."""

from slipstream.venues.sim.verify import run_worker

if __name__ == "__main__":
    run_worker()
