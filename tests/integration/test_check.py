"""``slipstream check`` against a simulated venue: every bad key is named, nothing is traded."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon_parts import Setting, Venue, account_of, simulated_venue

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def venue() -> Iterator[Venue]:
    with simulated_venue() as made:
        yield made


@pytest.fixture
def setting(tmp_path: Path, venue: Venue) -> Setting:
    return Setting.make(tmp_path, venue)


def check(setting: Setting, *words: str) -> tuple[int, dict[str, Any], str]:
    process = setting.command("check", *words)
    out, said = process.communicate(timeout=60)
    return process.returncode, json.loads(out) if out else {}, said


def wrong(report: dict[str, Any]) -> list[tuple[str, str]]:
    return [(row["who"], row["what"]) for row in report["findings"] if row["level"] == "wrong"]


def test_a_sound_setting_passes_and_states_its_budget(setting: Setting) -> None:
    code, report, said = check(setting, "--events-per-minute", "30")
    assert code == 0, (report, said)
    assert wrong(report) == []
    (budget,) = report["budgets"]
    # 2 followers x 30 orders, and a reading of 5 every 200 s each; a fifth is kept for exits.
    assert (budget["weight_needed"], budget["weight_per_address"]) == (63, 19_200)
    assert budget["text"].startswith("2 followers x 30 events a minute need 1 addresses")
    notes = " ".join(row["detail"] for row in report["findings"])
    assert "with a key of theirs" in notes
    assert "multi-assets mode is not read" in notes


def test_more_events_need_more_addresses(setting: Setting) -> None:
    code, report, _ = check(setting, "--events-per-minute", "20000")
    assert code == 0
    assert report["budgets"][0]["addresses"] == 3


def test_a_revoked_key_is_named(setting: Setting, venue: Venue) -> None:
    venue.tell("agents", {"agent": setting.agents["alice"], "revoked": True})
    code, report, _ = check(setting)
    assert code == 1
    assert ("follower alice", "key") in wrong(report)
    assert not [row for row in wrong(report) if row[0] != "follower alice"]


def test_an_expired_key_is_named(setting: Setting, venue: Venue) -> None:
    venue.tell("agents", {"agent": setting.agents["bob"], "expired": 1_700_000_000_000})
    code, report, _ = check(setting)
    assert code == 1
    assert ("follower bob", "key") in wrong(report)


def test_a_key_that_may_withdraw_is_refused_unless_named(setting: Setting, venue: Venue) -> None:
    venue.tell("agents", {"agent": setting.agents["bob"], "permissions": {"canWithdraw": True}})
    code, report, _ = check(setting)
    assert (code, wrong(report)) == (1, [("follower bob", "permission")])
    assert check(setting, "--allow-withdraw", "bob")[0] == 0
    assert check(setting, "--allow-withdraw", "alice")[0] == 1
    code, _, said = check(setting, "--allow-withdraw", "nobody")
    assert code == 2
    assert "nobody" in said


def test_a_key_that_may_not_trade_is_refused(setting: Setting, venue: Venue) -> None:
    venue.tell("agents", {"agent": setting.agents["bob"], "permissions": {"canPerpTrade": False}})
    code, report, _ = check(setting)
    assert (code, wrong(report)) == (1, [("follower bob", "permission")])


def test_a_key_of_another_account_is_refused(setting: Setting) -> None:
    text = setting.text().replace(account_of("bob"), account_of("somebody else"))
    setting.config.write_text(text)
    code, report, _ = check(setting)
    assert code == 1
    assert {row[0] for row in wrong(report)} == {"follower bob"}


def test_an_unknown_symbol_is_named(setting: Setting) -> None:
    setting.config.write_text(setting.text().replace('["BTC"]', '["BTC", "NOSUCHCOIN"]'))
    code, report, _ = check(setting)
    assert code == 1
    assert wrong(report) == [
        ("follower alice", "mirror of whale"),
        ("follower bob", "mirror of whale"),
    ]


def test_a_venue_that_does_not_answer_is_named(setting: Setting) -> None:
    setting.config.write_text(setting.text().replace(setting.venue.rest, "http://127.0.0.1:9"))
    code, report, _ = check(setting)
    assert (code, wrong(report)) == (1, [("aster", "connection")])


def test_a_missing_key_and_a_bad_file_are_told_apart(setting: Setting) -> None:
    setting.config.write_text(setting.text().replace('key = "bob"', 'key = "nobodys"'))
    code, report, _ = check(setting)
    assert (code, wrong(report)) == (1, [("follower bob", "key")])
    setting.config.write_text(setting.text() + "[surprise]\n")
    assert check(setting)[0] == 2


def test_nothing_was_traded(setting: Setting, venue: Venue) -> None:
    check(setting)
    lines = venue.client.get(f"{venue.admin}/_sim/log").text.splitlines()
    assert not [line for line in lines if '"/fapi/v3/order"' in line]
