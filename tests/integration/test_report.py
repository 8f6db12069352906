"""``slipstream report latency`` on a database that the store wrote."""

import json
from pathlib import Path

import pytest

from slipstream import cli
from slipstream.domain.cohort import ActivityRow
from slipstream.domain.ids import FollowerId, LeaderId
from slipstream.store import open_store


def _leg(rank: int, sent_ns: int) -> ActivityRow:
    return ActivityRow(
        ts_ms=1,
        kind="leg",
        leader=LeaderId("whale"),
        follower=FollowerId(f"follower-{rank}"),
        payload={"rank": rank, "stages": {"planned": 1_000_000, "sent": sent_ns}},
    )


async def _write(path: Path, rows: list[ActivityRow]) -> None:
    store = await open_store(f"sqlite:///{path}")
    store.log(rows)
    await store.flush()
    await store.close()


@pytest.fixture
async def database(tmp_path: Path) -> Path:
    path = tmp_path / "run.db"
    skip = ActivityRow(ts_ms=1, kind="leg", reason="ORDER_CAP", payload={"leg": 0})
    other = ActivityRow(ts_ms=1, kind="intent", payload={"stages": {"decoded": 5}})
    await _write(path, [*(_leg(rank, (rank + 1) * 1_000_000) for rank in range(20)), skip, other])
    return path


async def test_orders_are_counted_by_stage_and_rank(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["report", "latency", "--database", str(database), "--json"]) == cli.EXIT_DONE
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["orders"] == 20
    sent = report["latency_ms"]["stages"]["sent"]
    assert sent["count"] == 20
    assert sent["p50"] == pytest.approx(10, rel=0.01)
    assert sent["max"] == pytest.approx(20, rel=0.01)
    ranks = report["latency_ms"]["ranks"]["sent"]
    assert {label: each["count"] for label, each in ranks.items()} == {
        "1": 1,
        "2-10": 9,
        "11-50": 10,
    }


async def test_one_follower_can_be_asked_for(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["report", "latency", "--database", str(database), "--follower", "follower-3"]
    assert cli.run([*arguments, "--json"]) == cli.EXIT_DONE
    assert json.loads(capsys.readouterr().out)["orders"] == 1


async def test_readers_get_tables(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["report", "latency", "--database", str(database)]) == cli.EXIT_DONE
    text = capsys.readouterr().out
    assert "Latency by stage" in text
    assert "by follower rank" in text


def test_a_missing_database_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "no.db"
    assert cli.run(["report", "latency", "--database", str(path)]) != cli.EXIT_DONE
    assert str(path) in capsys.readouterr().err


@pytest.mark.parametrize(
    "payload",
    [
        {"rank": "x", "stages": {"sent": 1}},
        {"stages": {"sent": 1}},
        {"rank": 0, "stages": {"teleported": 1}},
        {"rank": 0, "stages": [1]},
    ],
)
async def test_a_row_that_cannot_be_read_is_named(
    payload: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.db"
    await _write(path, [ActivityRow(ts_ms=1, kind="leg", payload=payload)])
    assert cli.run(["report", "latency", "--database", str(path)]) == cli.EXIT_FOUND
    assert "activity row 1" in capsys.readouterr().err
