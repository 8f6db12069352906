"""A whole run with real processes and sockets, judged from the simulated venue's log."""

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest
import uvloop

from slipstream.commands.demo import DemoResult, tell
from slipstream.runtime.play import Score, Trade, demo_score
from slipstream.runtime.serial import serial_baseline_ns
from slipstream.runtime.trial import Trial, TrialResult, TrialSettings
from slipstream.telemetry.recount import Recount, recount_files
from slipstream.transport.clock import SystemClock

PAUSE_S = 0.3
FOLLOWERS = 4
SYMBOL = "CLUSDT"

CONTRACT_KEYS = {
    "followers",
    "intents",
    "kinds",
    "legs",
    "outcomes",
    "latency_ms",
    "floor_ms",
    "serial_baseline_ms",
    "slippage_breaches",
    "duplicate_orders",
    "depth_overcommits",
    "unexplained",
    "lost_fills",
}


def score(positions: Sequence[int]) -> Score:
    """A leader that goes through these positions at one price."""
    trades: list[Trade] = []
    before = 0
    for after in positions:
        step = abs(after - before)
        side = "BUY" if after > before else "SELL"
        trades.append(Trade(SYMBOL, side, (("84.8", str(step)),), Decimal(before), Decimal(after)))
        before = after
    return Score({}, tuple(trades))


async def _played(settings: TrialSettings) -> tuple[TrialResult, int, int]:
    async with Trial(settings, lambda _: None) as trial:
        await trial.play(settings.score.trades)
        result = await trial.result()
        serial_ns = await serial_baseline_ns(trial.engine, SYMBOL, clock=SystemClock())
        return result, serial_ns, trial.weight_factor


def run(
    directory: Path,
    positions: Sequence[int],
    *,
    level_notional: str,
    is_depth_reserved: bool = True,
) -> DemoResult:
    settings = TrialSettings(
        followers=FOLLOWERS,
        score=score(positions),
        pause_s=PAUSE_S,
        level_notional=level_notional,
        is_depth_reserved=is_depth_reserved,
        evidence=directory,
    )
    result, serial_ns, factor = uvloop.run(_played(settings))
    return DemoResult(result, result.recount, 1, serial_ns, factor)


def last_line(text: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(text.splitlines()[-1])
    return found


def test_a_run_of_every_kind_keeps_its_promises(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The flip comes late: without a mark price (there is one a second) it would be mirrored as a
    # close and an open, because closing does not wait for margin.
    positions = (5, 20, 15, 7, 0, 3, -5, -10)
    # Fifty levels of 30 inside the bound, of which the leader's 15 more take about 1,270: what is
    # left is enough for anybody's part of them and not for all parts together.
    result = run(tmp_path, positions, level_notional="30")
    trial = result.trial
    assert result.is_kept
    assert trial.kinds == {
        "open": 2,
        "increase": 2,
        "partial_close": 2,
        "flip": 1,
        "full_close": 1,
    }
    assert trial.skips["DEPTH_SHORT"] > 0
    assert trial.legs == FOLLOWERS * (len(positions) + 1) == sum(trial.ends.values())
    assert recount_files(tmp_path) == result.recount == Recount(0, 0, 0, 0, 0, 0, ())
    tell(result, as_json=True)
    printed = last_line(capsys.readouterr().out)
    assert printed.keys() >= CONTRACT_KEYS
    outcomes = printed["outcomes"]
    assert isinstance(outcomes, dict)
    skipped = sum(outcomes["skipped"].values())
    assert printed["legs"] == skipped + sum(
        count for end, count in outcomes.items() if end != "skipped"
    )


def test_without_the_reservation_depth_is_overcommitted_and_the_run_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # About 275 inside the bound; the parts are 32 to 159, and 350 together.
    result = run(tmp_path, (5, 20), level_notional="5.5", is_depth_reserved=False)
    assert result.recount.depth_overcommits > 0
    assert result.recount.duplicate_orders == 0
    assert result.recount.slippage_breaches == 0
    with pytest.raises(SystemExit) as ended:
        tell(result, as_json=True)
    assert ended.value.code == 1
    printed = capsys.readouterr()
    assert last_line(printed.out)["depth_overcommits"] == result.recount.depth_overcommits
    assert "overcommit: " in printed.err


def test_evidence_that_was_tampered_with_is_counted(tmp_path: Path) -> None:
    run(tmp_path, (5, 0), level_notional="60")
    assert recount_files(tmp_path).findings == ()
    path = tmp_path / "venue.jsonl"
    lines = path.read_text().splitlines()
    at = next(
        index
        for index, line in enumerate(lines)
        if '"kind":"order"' in line and '"client_order_id":"web_' not in line
    )
    order = json.loads(lines[at])
    twin = order | {"client_order_id": "never-recorded", "order_id": "1"}
    path.write_text("\n".join([*lines, json.dumps(twin)]) + "\n")
    found = recount_files(tmp_path)
    assert (found.duplicate_orders, found.slippage_breaches, found.unexplained) == (1, 0, 0)


def test_the_demos_leader_does_every_kind_at_least_twenty_times_in_all() -> None:
    played = demo_score()
    kinds: set[str] = set()
    for trade in played.trades:
        grows = abs(trade.after) > abs(trade.before)
        if trade.before * trade.after < 0:
            kinds.add("flip")
        elif not trade.after:
            kinds.add("full_close")
        elif not trade.before:
            kinds.add("open")
        else:
            kinds.add("increase" if grows else "partial_close")
    assert len(played.trades) >= 20
    assert kinds == {"open", "increase", "partial_close", "full_close", "flip"}
