"""``slipstream activity`` shows, filters and distrusts the log."""

import json
import sqlite3
from pathlib import Path

import pytest

from slipstream import cli
from slipstream.commands.activity import parse_when
from slipstream.domain.cohort import ActivityRow
from slipstream.domain.ids import FollowerId, IntentId, LeaderId
from slipstream.errors import ConfigError
from slipstream.store.sqlite import SqliteStore

DAY_MS = 86_400_000


@pytest.fixture
async def database(tmp_path: Path) -> str:
    path = tmp_path / "ledger.db"
    store = await SqliteStore.open(f"sqlite:///{path}")
    store.log(
        [
            ActivityRow(
                ts_ms=index * DAY_MS,
                kind="leg",
                leader=LeaderId("whale"),
                follower=FollowerId(f"f{index % 2}"),
                intent_id=IntentId(f"{index:024d}"),
                reason="DEPTH_SHORT" if index % 3 == 0 else None,
                payload={"qty": "0.5", "note": "[bold]\x1b[31mred\n"},
            )
            for index in range(150)
        ]
    )
    await store.close()
    return str(path)


def objects(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_json_lists_every_row(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["activity", "--database", database, "--json"]) == 0
    rows = objects(capsys)
    assert [row["seq"] for row in rows] == list(range(1, 151))
    assert rows[1]["time"] == "1970-01-02 00:00:00.000"
    assert rows[1]["payload"] == {"qty": "0.5", "note": "[bold]\x1b[31mred\n"}


def test_filters_hold_together(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--follower", "f0", "--reason", "DEPTH_SHORT", "--since", "1970-01-11", "--limit", "2"]
    assert cli.run(["activity", "--database", f"sqlite:///{database}", "--json", *words]) == 0
    assert [row["seq"] for row in objects(capsys)] == [139, 145]
    until = ["--until", "1970-01-03T00:00:00+00:00"]
    assert cli.run(["activity", "--database", database, "--json", *until]) == 0
    assert [row["seq"] for row in objects(capsys)] == [1, 2]


def test_the_table_shows_the_newest_and_no_escape(
    database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["activity", "--database", database]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "[bold]?[31mred?" in shown
    assert "1970-05-30" in shown
    assert "1970-01-02 " not in shown


def test_a_log_that_was_touched_is_shown_and_reported(
    database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with sqlite3.connect(database) as intruder:
        intruder.execute("DROP TRIGGER activity_is_not_changed")
        intruder.execute("UPDATE activity SET payload = 'x' WHERE seq = 150")
    intruder.close()
    assert cli.run(["activity", "--database", database, "--json", "--limit", "1"]) == 1
    captured = capsys.readouterr()
    assert "row 150 is not what was written" in captured.err
    assert json.loads(captured.out)["payload"] == "x"
    assert cli.run(["activity", "--database", database, "--no-verify"]) == 0


def test_what_cannot_be_shown_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["activity", "--database", str(tmp_path / "none.db")]) == 1
    assert "no such file" in capsys.readouterr().err
    assert cli.run(["activity", "--since", "yesterday"]) == 2
    assert "--since: expected" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("15m", 1_000_000 - 900_000),
        ("2s", 998_000),
        ("1700000000123", 1_700_000_000_123),
        ("1970-01-01T00:00:01.5", 1_500),
        ("1970-01-01T01:00:00+01:00", 0),
    ],
)
def test_a_time_has_several_forms(text: str, expected: int) -> None:
    assert parse_when("--since", text, now_ms=1_000_000) == expected


@pytest.mark.parametrize("text", ["", "m", "15 m", "1e9", "2024-13-01", "0x10"])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--since"):
        parse_when("--since", text, now_ms=0)
