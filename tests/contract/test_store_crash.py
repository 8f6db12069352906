"""Killed at any instant, a cohort is wholly in the ledger or not at all, and what was
acknowledged is there."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from slipstream.store import open_store
from unit.store.store_rows import LEADER, cohort, fill

FOLLOWERS = 400

CHILD = """
import asyncio, sys
from unit.store.store_rows import cohort
from slipstream.store import open_store

async def main():
    store = await open_store(sys.argv[1])
    for trade in range(10_000):
        await store.commit(cohort(trade, followers=int(sys.argv[2])))
        print(trade, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("acknowledged", [1, 3, 8, 20])
async def test_a_cohort_is_whole_or_absent_after_kill_9(store_url: str, acknowledged: int) -> None:
    last = run_and_kill(store_url, acknowledged)
    store = await open_store(store_url)
    seen = await store.intent_seen([fill(trade).id.key for trade in range(last + 3)])
    count = len(seen)
    assert count in (last + 1, last + 2)
    legs = await store.open_legs(LEADER)
    assert len(legs) == count * FOLLOWERS
    assert {leg.intent_id for leg in legs} == set(seen.values())
    assert await store.cursor(LEADER, "BTCUSDT") == f"cursor-{count - 1}"
    assert (await store.commit(cohort(count, followers=FOLLOWERS))).is_clean
    await store.close()


def run_and_kill(url: str, acknowledged: int) -> int:
    """Return the last trade whose commit was acknowledged before the process was killed."""
    tests = str(Path(__file__).parents[1])
    path = [tests, *sys.path]
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path[:0] = {path!r}\n{CHILD}",
            url,
            str(FOLLOWERS),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(acknowledged)]
    child.send_signal(signal.SIGKILL)
    lines += child.stdout.readlines()
    child.stdout.close()
    child.wait()
    return int([line for line in lines if line.endswith("\n")][-1])
