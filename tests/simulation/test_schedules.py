"""Seeded schedules of faults and crashes, over both cores: every promise holds in each of them.

``make sim SEEDS=n`` runs more of the same. A seed that ever failed is kept by its name; the
second generator (``schedule.py``) gives it its meaning, under the runner's hash seed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from simulation.faults import FIELD_KINDS, KINDS, LEFT_OUT
from simulation.runner import HASH_SEED
from simulation.schedule import FILL_COUNT_MIN, FLIP_AT, draw

SCHEDULES: Final = 500
FAILED_ONCE: Final[dict[str, int]] = {
    "an event that the ledger did not take was told, and told again": 7,
    "a close refused under a newer event was forgotten": 94,
    "a hedge opening took the lane from the other side's close": 172,
    "an exit without any known price was not tried again": 271,
    "depth was counted on a book from before the venue's clock went back": 199,
    "both sides of a hedge leg were told as one": 222,
    "a leader's position was restored from the newest fill, not the last one": 128,
    "a result beside a refused claim carried its event into the ledger": 57,
    "a result beside a refused claim, a second schedule": 387,
    "a result beside a refused claim, a third schedule": 350,
    "a flip's opening leg was told as superseded by an exit before it": 294,
    "in hedge mode, what was given up beside an exit that waits went untold": 189,
    "a lane was told as a result left it that the ledger had refused": 231,
    "a result that the ledger refused, told before and after a restart": 686,
    "an event that the ledger refused was in a lane that was told": 72,
    "an order stayed unknown after a crash as its cohort was planned": 69,
    "a leader's fills were taken in another order than they happened": 169,
    "fills of an earlier process kept an order unknown for ever": 3124,
    "a book that had lost a side gave a middle of no sequence": 666,
    "the middle of a falsified book was taken beside a true best bid and offer": 542,
    "what an opening that was never sent left to reduce was forgotten": 3206,
    "an order left unknown had no price, and openings beside it did not fit": 1062,
    "a flip's opening told before a crash was told again when its close was tried again": 10086,
    "what a leader opened and closed while its stream was silent was never found": 11174,
    "what a leader opened and closed unheard hid behind a fill that was heard": 21474,
    "a stream that the venue ended stood still, and its last fills were not waited for": 100274,
    "a stream that the venue ended stood still, a second schedule": 21533,
    "a margin was judged by a later fill the other way, which is not what it sized": 103193,
}
TESTS: Final = Path(__file__).parents[1]


def simulate(tmp_path: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Run the simulation in its own process; return its status, its counts and what it said."""
    target = tmp_path / "counts.json"
    done = subprocess.run(
        [sys.executable, "-m", "simulation", *arguments, "--json", str(target)],
        env={**os.environ, "PYTHONPATH": str(TESTS), "PYTHONHASHSEED": HASH_SEED},
        capture_output=True,
        text=True,
        check=False,
    )
    counts = json.loads(target.read_text()) if target.exists() else {}
    return done.returncode, counts, done.stdout + done.stderr


@pytest.mark.timeout(900)
def test_the_promises_hold_in_five_hundred_schedules(tmp_path: Path) -> None:
    status, counts, said = simulate(tmp_path, "--seeds", str(SCHEDULES), "--jobs", "2")
    assert counts["failed"] == {}, said
    assert status == 0, said
    assert counts["schedules"] == SCHEDULES
    assert counts["with_crash"] * 3 >= SCHEDULES
    missing = set(FIELD_KINDS) - LEFT_OUT - counts["faults"].keys()
    assert missing == set(), "kinds of fault that never struck"


@pytest.mark.parametrize("name", FAILED_ONCE)
def test_a_schedule_that_failed_once_holds_now(name: str, tmp_path: Path) -> None:
    status, _, said = simulate(tmp_path, "--first", str(FAILED_ONCE[name]), "--seeds", "1")
    assert status == 0, said


def test_a_schedule_replays_to_the_same_event(tmp_path: Path) -> None:
    del tmp_path
    code = "from simulation.schedule import run; print(run(11).fingerprint, run(11).timeline[-1])"
    prints = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": str(TESTS), "PYTHONHASHSEED": HASH_SEED},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    ]
    assert prints[0] == prints[1]
    assert prints[0] != ""


@pytest.mark.parametrize("seed", range(40))
def test_a_schedule_has_what_one_must_have(seed: int) -> None:
    plan = draw(seed)
    assert len({step.trade.leader for step in plan.steps}) == 2
    assert len(plan.followers) >= 5
    assert sum(len(step.trade.parts) for step in plan.steps) >= FILL_COUNT_MIN
    assert len({kind for step in plan.steps for kind in step.faults}) >= 4
    held: dict[tuple[str, str], int] = {}
    kinds = set()
    for step in plan.steps:
        trade = step.trade
        before = held.get((trade.leader, trade.symbol), 0)
        size = sum(trade.parts)
        after = before + (size if trade.side == "BUY" else -size)
        held[trade.leader, trade.symbol] = after
        if before and not after:
            kinds.add("full close")
        if before * after < 0:
            kinds.add("flip")
        if len(trade.parts) >= 4:
            kinds.add("burst")
    assert kinds == {"full close", "flip", "burst"}
    assert len(plan.steps[FLIP_AT].trade.parts) == 1


def test_every_kind_of_the_field_happens_or_is_left_out_by_name() -> None:
    assert len(FIELD_KINDS) == 24
    here = KINDS.keys() | LEFT_OUT | {"writer crash"}
    assert set(FIELD_KINDS) <= here
