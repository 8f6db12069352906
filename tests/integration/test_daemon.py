"""The daemon from outside: processes, wire, socket and file; nothing of it is imported."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from daemon_parts import Setting, Venue, simulated_venue, until

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def venue() -> Iterator[Venue]:
    with simulated_venue() as made:
        yield made


@pytest.fixture
def setting(tmp_path: Path, venue: Venue) -> Setting:
    return Setting.make(tmp_path, venue)


def held(venue: Venue, *quantities: str) -> bool:
    return [venue.position(name) for name in ("alice", "bob")] == [Decimal(q) for q in quantities]


def activity(setting: Setting, *words: str) -> list[dict[str, object]]:
    done = subprocess.run(
        [
            sys.executable, "-m", "slipstream", "activity",
            "--database", f"sqlite:///{setting.path}/test.db", "--json", *words,
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_leader_is_mirrored_and_switches_hold(setting: Setting, venue: Venue) -> None:
    with setting.daemon() as daemon:
        venue.trade("whale", "BUY", "0.5")
        until(lambda: held(venue, "0.05", "0.05"), "both followers filled")

        assert daemon.control("pause", "--follower", "bob")[0] == 0
        venue.trade("whale", "BUY", "0.5")
        until(lambda: held(venue, "0.1", "0.05"), "only alice opens")
        venue.trade("whale", "SELL", "0.5")
        until(lambda: held(venue, "0.05", "0.025"), "both reduce by half")

        _, status = daemon.control("status")
        gates = {each["id"]: each["gates"] for each in status["followers"]}
        assert gates == {"alice": [], "bob": ["FOLLOWER_PAUSED"]}
        assert daemon.control("pause", "--follower", "nobody")[0] == 1

        assert daemon.control("flatten", "--follower", "alice")[0] == 0
        until(lambda: held(venue, "0", "0.025"), "alice is flat, bob is not")
    assert daemon.process.returncode == 0, daemon.said
    assert daemon.result["sound"] is True
    assert "leader whale: live" in daemon.said


def test_freeze_holds_exits_back_and_resume_lets_them_go(setting: Setting, venue: Venue) -> None:
    with setting.daemon() as daemon:
        venue.trade("whale", "BUY", "0.5")
        until(lambda: held(venue, "0.05", "0.05"), "both followers filled")
        assert daemon.control("freeze", "--follower", "bob")[0] == 0
        venue.trade("whale", "SELL", "0.5")
        until(lambda: held(venue, "0", "0.05"), "frozen bob keeps his")
        code, reply = daemon.control("resume", "--follower", "bob")
        assert (code, reply["switches"]) == (0, [])
        until(lambda: held(venue, "0", "0"), "bob's exit is made up for")


def test_positions_and_switches_outlive_a_restart(setting: Setting, venue: Venue) -> None:
    with setting.daemon() as daemon:
        venue.trade("whale", "BUY", "0.5")
        until(lambda: held(venue, "0.05", "0.05"), "both followers filled")
        assert daemon.control("close-only", "--follower", "bob", "--symbol", "BTCUSDT")[0] == 0
    with setting.daemon() as daemon:
        _, status = daemon.control("status")
        assert [each["on"] for each in status["switches"]] == [["close_only"]]
        venue.trade("whale", "BUY", "0.5")
        until(lambda: held(venue, "0.1", "0.05"), "bob's symbol only closes")
        venue.trade("whale", "SELL", "1")
        until(lambda: held(venue, "0", "0"), "both follow the exit")
    incidents = {row["reason"] for row in activity(setting, "--kind", "incident")}
    assert not incidents & {"POSITION_SHRUNK", "FOREIGN_POSITION", "PIPELINE_BUG"}


@pytest.mark.parametrize("is_killed", [False, True])
def test_what_was_missed_while_down_is_found(
    setting: Setting, venue: Venue, *, is_killed: bool
) -> None:
    setting.config.write_text(setting.text(mirror='max_intent_age = "1s"'))
    with setting.daemon() as daemon:
        venue.trade("whale", "BUY", "1")
        until(lambda: held(venue, "0.1", "0.1"), "both followers filled")
        if is_killed:
            daemon.kill()
    venue.trade("whale", "BUY", "1")
    venue.trade("whale", "SELL", "1")
    time.sleep(2)  # older than an opening may be
    with setting.daemon():
        until(lambda: held(venue, "0.05", "0.05"), "the reduction by half is mirrored")
    legs = activity(setting, "--kind", "leg")
    assert "STALE_INTENT" in {row["reason"] for row in legs}
    with setting.daemon():
        venue.trade("whale", "SELL", "1")
        until(lambda: held(venue, "0", "0"), "nothing was mirrored twice")


def test_what_others_hold_is_neither_opened_on_nor_closed(tmp_path: Path, venue: Venue) -> None:
    theirs = {"symbol": "BTCUSDT", "qty": "0.3", "entry_px": "60000"}
    setting = Setting.make(tmp_path, venue, bob={"positions": [theirs]})
    with setting.daemon() as daemon:
        venue.trade("whale", "BUY", "0.5")
        until(lambda: held(venue, "0.05", "0.3"), "bob's own position stops his opens")
        venue.trade("alice", "SELL", "0.02")
        until(
            lambda: any(
                row["reason"] == "POSITION_SHRUNK"
                for row in activity(setting, "--kind", "incident")
            ),
            "alice's own closing is seen",
        )
        assert daemon.control("flatten", "--all")[0] == 0
        until(lambda: held(venue, "0", "0.3"), "only ours is flattened")


def test_wrong_use_is_refused(setting: Setting) -> None:
    setting.config.write_text(setting.text(mirror='on_start = "sync"'))
    process = setting.command("run")
    _, said = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "not supported yet" in said


def test_an_interrupt_ends_it_in_order(setting: Setting) -> None:
    with setting.daemon() as daemon:
        daemon.process.send_signal(signal.SIGINT)
        daemon.process.wait(timeout=20)
    assert daemon.process.returncode == 0
    assert "stopped" in daemon.said
    assert not setting.socket.exists()
