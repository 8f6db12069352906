"""Run many schedules over the cores, and say what was hit and what went wrong.

A schedule that raises, turns in a circle or holds a core too long is a failure with its seed
like any other. Workers run with one hash seed, so that a seed means the same events everywhere.
"""

import gc
import os
import resource
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from multiprocessing import get_context
from types import FrameType
from typing import Any, Final

HASH_SEED: Final = "0"
CHUNK: Final = 10
CORE_S_MAX: Final = 60
"""Core time of one schedule; more than a hundred times what one takes. Not wall time: a machine
that stands still for a minute has found nothing."""
MEMORY_MAX: Final = 4 * 2**30
"""Address space of one worker."""
PROGRESS_S: Final = 20.0


class CoreTimeError(RuntimeError):
    """One schedule held its core too long."""


@dataclass(slots=True)
class Tally:
    """What many schedules came to."""

    schedules: int = 0
    with_crash: int = 0
    failed: dict[int, list[str]] = field(default_factory=dict)
    violations: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    schedules_by_fault: Counter[str] = field(default_factory=Counter)
    points: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    intents: Counter[str] = field(default_factory=Counter)
    legs: Counter[str] = field(default_factory=Counter)
    leader_fills: int = 0
    orders_at_venue: int = 0
    virtual_s: float = 0.0
    cpu_s: float = 0.0

    def add(self, other: "Tally") -> None:
        """Count another tally in."""
        for name in self.__slots__:
            mine, theirs = getattr(self, name), getattr(other, name)
            if isinstance(mine, dict):
                mine.update(theirs)  # counters add up, failed seeds are kept side by side
            else:
                setattr(self, name, mine + theirs)

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        found: dict[str, Any] = {}
        for name in self.__slots__:
            value = getattr(self, name)
            if isinstance(value, Counter):
                value = dict(value.most_common())
            elif isinstance(value, dict):
                value = {str(key): each for key, each in sorted(value.items())}
            found[name] = round(value, 1) if isinstance(value, float) else value
        return found


def reexec_with_hash_seed(arguments: Sequence[str]) -> int | None:
    """Run this again with the one hash seed, when it has another; return that run's status."""
    if os.environ.get("PYTHONHASHSEED") == HASH_SEED:
        return None
    command = [sys.executable, "-m", "simulation", *arguments]
    return subprocess.run(
        command, env={**os.environ, "PYTHONHASHSEED": HASH_SEED}, check=False
    ).returncode


def run_seeds(seeds: Sequence[int]) -> Tally:
    """Run schedules one after the other in this process."""
    from simulation.schedule import run  # noqa: PLC0415 - only workers load the engine

    tally = Tally()
    for seed in seeds:
        began_s = time.process_time()
        tally.schedules += 1
        try:
            with _bounded(CORE_S_MAX):
                result = run(seed)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this seed's failure
            cause = error.__cause__ or error
            tally.failed[seed] = [f"raised: {error!r} from {cause!r}"[:2_000]]
            tally.violations["raised"] += 1
            continue
        finally:
            _clear()
        tally.cpu_s += time.process_time() - began_s
        tally.with_crash += bool(result.crashes)
        if result.findings:
            tally.failed[seed] = [each[:1_000] for each in result.findings]
            tally.violations.update(each.partition(":")[0] for each in result.findings)
        tally.faults.update(result.faults)
        tally.schedules_by_fault.update(result.faults.keys())
        tally.points.update(result.points)
        tally.crashes.update(result.crashes)
        tally.intents.update(result.intents)
        tally.legs.update(result.legs)
        tally.leader_fills += result.fill_count
        tally.orders_at_venue += result.order_count
        tally.virtual_s += result.virtual_s
    return tally


def _clear() -> None:
    """Give back what a schedule's engines stood on: one that starts leaves it out of collections.

    The coroutines of killed engines end here, and nobody is left to hear them.
    """
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        with warnings.catch_warnings(action="ignore"):
            gc.unfreeze()
            gc.collect()
    finally:
        sys.unraisablehook = hook


class _bounded:  # noqa: N801 - reads as a word
    """Raise in the main thread when the body takes too long."""

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        def give_up(_: int, __: FrameType | None) -> None:
            raise CoreTimeError(f"more than {self._seconds} s")

        signal.signal(signal.SIGPROF, give_up)
        signal.setitimer(signal.ITIMER_PROF, self._seconds)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)


def run_many(
    first: int, count: int, jobs: int, tell: Callable[[str], None] = lambda _: None
) -> Tally:
    """Run schedules spread over processes."""
    tally = Tally()
    chunks = _chunks(first, count)
    told_s = time.monotonic()
    with ProcessPoolExecutor(
        jobs,
        mp_context=get_context("spawn"),
        max_tasks_per_child=100,
        initializer=_limit_memory,
    ) as pool:
        running: set[Future[Tally]] = set()
        for chunk in chunks:
            running.add(pool.submit(run_seeds, chunk))
            if len(running) < jobs * 2:
                continue
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for each in done:
                tally.add(each.result())
            if time.monotonic() - told_s > PROGRESS_S:
                told_s = time.monotonic()
                tell(f"{tally.schedules} of {count} schedules, {len(tally.failed)} failed")
        for future in running:
            tally.add(future.result())
    return tally


def _limit_memory() -> None:
    """Let a schedule that grows without end fail by itself, not the machine."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))


def _chunks(first: int, count: int) -> Iterator[range]:
    for start in range(first, first + count, CHUNK):
        yield range(start, min(start + CHUNK, first + count))
