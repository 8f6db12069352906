"""Twenty drills through the command line, and one against a daemon that is broken on purpose."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from postgres_parts import PostgresServer
from slipstream import cli
from slipstream.commands import drill as drill_command
from slipstream.drill.cuts import DISRUPTIONS
from slipstream.drill.plan import IN_FLIGHT, crash_plans
from slipstream.drill.run import DrillSettings
from slipstream.drill.site import FOLLOWERS
from slipstream.runtime import points

TESTS = Path(__file__).parent.parent
COUNTERS = ("duplicate_orders", "lost_fills", "outside_bound", "unexplained")
LEADER_FILLS_MIN = 20

pytestmark = pytest.mark.timeout(600)


def drill(kind: str, *words: str) -> dict[str, Any]:
    """Run drills through the command line; every promise must have been kept."""
    done = subprocess.run(
        [sys.executable, "-m", "slipstream", "drill", kind, "--jobs", "4", "--json", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert [told[name] for name in COUNTERS] == [0, 0, 0, 0], "\n".join(told["findings"])
    # What the venue's log cannot decide is told beside what was done, and counts as nothing.
    beside = (": unjudged: ", ": done: ")
    assert [each for each in told["findings"] if not any(word in each for word in beside)] == []
    assert done.returncode == 0
    assert FOLLOWERS >= 20
    assert told["leader_fills"] >= LEADER_FILLS_MIN * told["runs"]
    assert told["orders_at_venue"] > 0
    assert told["expected_legs"] >= told["orders_at_venue"] // 4
    return told


def test_killed_daemons_keep_every_promise_on_sqlite() -> None:
    told = drill("crash", "--runs", "12", "--seed", "11")
    planned = sum(len(plan.stretches) for plan in crash_plans(12, 11))
    assert told["kills"] == planned
    assert sum(told["points"].values()) == planned
    hit = {name for name in points.LIFE if told["points"][name]}
    assert len(hit) >= 18
    assert told["recovery_s"]["max"] is not None


def test_killed_daemons_keep_every_promise_on_postgresql(postgres_server: PostgresServer) -> None:
    told = drill("crash", "--runs", "4", "--seed", "12", "--database", postgres_server.url)
    assert told["database"] == "postgresql"
    assert told["kills"] >= 3 * told["runs"]


def test_disconnected_daemons_keep_every_promise() -> None:
    told = drill("disconnect", "--runs", "4", "--seed", "13")
    assert set(told["points"]) == set(DISRUPTIONS)
    assert len([name for name, count in told["points"].items() if count]) >= len(DISRUPTIONS) - 1


def test_a_daemon_that_sends_before_its_claim_is_durable_is_caught(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = next(
        seed for seed in range(100) if crash_plans(1, seed)[0].stretches[0].kill.point in IN_FLIGHT
    )
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join((str(TESTS), os.environ.get("PYTHONPATH", "")))
    )
    broken = partial(DrillSettings, entry="early_sender")
    monkeypatch.setattr(drill_command, "DrillSettings", broken)
    with pytest.raises(SystemExit) as exit_status:
        cli.run(["drill", "crash", "--runs", "1", "--seed", str(seed), "--json"])
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert exit_status.value.code == 1
    assert told["duplicate_orders"] > 0


@pytest.mark.parametrize(
    "words",
    [
        ("explode",),
        ("crash", "--runs", "0"),
        ("crash", "--database", "mysql://somewhere/x"),
        ("crash", "--database", "postgresql://user:secret@somewhere/x"),
    ],
)
def test_bad_usage_is_status_2_and_shows_no_secret(
    words: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["drill", *words]) == 2
    assert "secret" not in capfd.readouterr().err.replace("a secret", "")
