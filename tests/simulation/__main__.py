"""``python -m simulation --seeds N``: run schedules, print what was hit; 1 after a finding."""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

from simulation.runner import Tally, reexec_with_hash_seed, run_many


def main() -> int:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m simulation")
    parser.add_argument("--seeds", type=int, default=100, help="how many schedules")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--json", type=Path, help="write the counts to this file")
    parser.add_argument("--verbose", action="store_true", help="print the timeline of --first")
    arguments = parser.parse_args()
    status = reexec_with_hash_seed(sys.argv[1:])
    if status is not None:
        return status
    if arguments.verbose:
        return show(arguments.first)
    tally = run_many(arguments.first, arguments.seeds, arguments.jobs, say)
    if arguments.json is not None:
        found = {"first_seed": arguments.first, "seeds": arguments.seeds, **tally.as_json()}
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    report(tally)
    return 1 if tally.failed else 0


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def show(seed: int) -> int:
    """Print everything that happened in one schedule."""
    from simulation.schedule import run  # noqa: PLC0415 - only here is the engine loaded

    result = run(seed)
    for at_ns, text in result.timeline:
        say(f"{at_ns / 1e9:12.6f} {text}")
    say(f"seed {seed}: fingerprint {result.fingerprint}, {len(result.findings)} findings")
    for finding in result.findings:
        say(f"  {finding}")
    return 1 if result.findings else 0


def report(tally: Tally) -> None:
    """Print the distribution and every failure with the command that replays it."""
    say(
        f"{tally.schedules} schedules, {tally.with_crash} with a crash, "
        f"{tally.leader_fills} leader fills, {tally.orders_at_venue} orders at the venue, "
        f"{tally.virtual_s:.0f} virtual s, {tally.cpu_s:.0f} CPU s"
    )
    table("fault: struck (in so many schedules)", tally.faults, tally.schedules_by_fault)
    table("killed at", tally.crashes)
    table("points passed", tally.points)
    table("intents", tally.intents)
    table("legs by end and reason", tally.legs)
    table("violations", tally.violations)
    for seed, findings in sorted(tally.failed.items()):
        say(f"FAILED seed {seed}: replay with: make sim SEEDS=1 FIRST={seed} VERBOSE=1")
        for finding in findings[:6]:
            say(f"    {finding}")
    say(f"{len(tally.failed)} of {tally.schedules} schedules failed")


def table(title: str, counts: Counter[str], beside: Counter[str] | None = None) -> None:
    """Print counts, the largest first."""
    say(f"{title}:")
    for name, count in counts.most_common():
        more = "" if beside is None else f" ({beside[name]})"
        say(f"  {count:8d}{more} {name}")


if __name__ == "__main__":
    sys.exit(main())
