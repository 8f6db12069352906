"""``slipstream replay`` as a process, on real recorded fills.

Expected counts are recounted here from the files with ``json`` and ``decimal`` alone.
"""

import json
import random
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

VECTORS = Path(__file__).parent.parent / "vectors"
FLIP = VECTORS / "hyperliquid_fills_flip.jsonl"
FLAT = VECTORS / "hyperliquid_fills_flat.jsonl"
META = VECTORS / "hyperliquid_meta.json"
KINDS = ["open", "increase", "partial_close", "full_close", "flip"]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "slipstream", "replay", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def by_ratio(*files: Path, ratio: str = "0.37", extra: tuple[object, ...] = ()) -> tuple:
    return (
        *files,
        *("--format", "hyperliquid-fills", "--meta", META, "--mode", "ratio", "--ratio", ratio),
        *("--json", *extra),
    )


def summary(result: subprocess.CompletedProcess[str]) -> dict:
    return json.loads(result.stdout.splitlines()[-1])


def recount(path: Path) -> Counter[str]:
    """Name each recorded fill's kind from its own start position and size."""
    kinds: Counter[str] = Counter()
    for line in path.read_text().splitlines():
        row = json.loads(line)
        before = Decimal(row["startPosition"])
        after = before + (1 if row["side"] == "B" else -1) * Decimal(row["sz"])
        if before * after < 0:
            kinds["flip"] += 1
        elif abs(after) > abs(before):
            kinds["increase" if before else "open"] += 1
        else:
            kinds["partial_close" if after else "full_close"] += 1
    return kinds


@pytest.mark.parametrize("path", [FLIP, FLAT])
def test_the_summary_and_the_trace_recount_the_recorded_fills(path: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    result = run(*by_ratio(path, extra=("--trace", trace)))
    assert (result.returncode, result.stderr) == (0, "")
    total = summary(result)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    kinds = recount(path)
    assert total["fills"] == total["intents"] == len(rows)
    assert total["kinds"] == {kind: kinds[kind] for kind in KINDS}
    assert total["chain_breaks"] == 0
    assert Decimal(total["max_gap_lots"]) < 1
    lines = [json.loads(line) for line in trace.read_text().splitlines()]
    assert [line["tids"] for line in lines] == [[row["tid"]] for row in rows]
    assert Counter(line["reason"] for line in lines if line["reason"]) == total["skips"]
    position: Counter[str] = Counter()
    for line, row in zip(lines, rows, strict=True):
        change = Decimal(line["position_after"]) - position[line["coin"]]
        assert abs(change) == Decimal(line["order_qty"])
        assert change * (1 if row["side"] == "B" else -1) >= 0
        position[line["coin"]] += change
        assert Decimal(line["leader_before"]) == Decimal(row["startPosition"])
        if line["leader_after"] == "0":
            assert line["position_after"] == line["target"] == "0"
    for coin, last in total["final"].items():
        assert Decimal(last["follower"]) == position[coin]


def test_shuffled_doubled_and_divided_lines_give_the_same_result(tmp_path: Path) -> None:
    lines = FLIP.read_text().splitlines() + FLAT.read_text().splitlines()
    mixed = random.Random(7).sample(lines * 2, 2 * len(lines))
    parts = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    parts[0].write_text("\n".join(mixed[:100]) + "\n")
    parts[1].write_text("\n".join(mixed[100:]))
    traces = [tmp_path / "plain.trace", tmp_path / "mixed.trace"]
    plain = run(*by_ratio(FLIP, FLAT, extra=("--trace", traces[0])))
    again = run(*by_ratio(*parts, extra=("--trace", traces[1])))
    assert plain.returncode == again.returncode == 0
    assert plain.stdout == again.stdout
    assert traces[0].read_bytes() == traces[1].read_bytes()


def test_a_missing_fill_is_reported_and_nothing_is_traded_past_it(tmp_path: Path) -> None:
    lines = FLAT.read_text().splitlines()
    coins = [json.loads(line)["coin"] for line in lines]
    lost = coins.index("HYPE") + 9
    assert coins[lost - 9 : lost + 2] == ["HYPE"] * 11
    path = tmp_path / "holed.jsonl"
    path.write_text("\n".join(lines[:lost] + lines[lost + 1 :]) + "\n")
    result = run(*by_ratio(path))
    assert result.returncode == 1
    total = summary(result)
    assert total["chain_breaks"] == 1
    assert total["fills"] == coins.count("LTC") + coins[:lost].count("HYPE")
    next_row = json.loads(lines[lost + 1])
    assert f"HYPE: a fill is missing before tid {next_row['tid']}" in result.stderr
    assert total["final"]["LTC"]["follower"] == "0"


@pytest.mark.parametrize(
    "options",
    [
        ("--mode", "margin", "--allocation", "2500", "--leader-margin", "10000"),
        ("--mode", "position", "--allocation", "2500", "--leader-margin", "10000"),
        ("--mode", "notional", "--notional", "250"),
        ("--mode", "ratio", "--ratio", "0.02", "--min-notional", "10"),
    ],
)
def test_every_mode_ends_flat_with_its_leader(options: tuple[str, ...]) -> None:
    result = run(FLAT, "--meta", META, *options, "--json")
    assert result.returncode == 0, result.stderr
    for last in summary(result)["final"].values():
        assert last == {"leader": "0", "follower": "0", "target": "0"}


def test_a_minimum_shows_among_the_reasons() -> None:
    result = run(*by_ratio(FLAT, ratio="0.02", extra=("--min-notional", "10")))
    assert summary(result)["skips"]["BELOW_MIN_NOTIONAL"] > 0


def test_without_json_it_prints_tables() -> None:
    result = run(*by_ratio(FLAT)[:-1])
    assert result.returncode == 0
    assert "78 fills, 78 intents, 0 holes" in result.stdout
    assert "LTC" in result.stdout


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--mode", "ratio"), "--ratio: found nothing"),
        (("--mode", "ratio", "--ratio", "0"), "--ratio: found '0'"),
        (("--mode", "ratio", "--ratio", "9" * 40), "--ratio: found '999"),
        (("--mode", "ratio", "--ratio", "1", "--allocation", "5"), "--allocation: found '5'"),
        (("--mode", "margin", "--allocation", "5"), "--leader-margin: found nothing"),
        (("--mode", "wild"), "--mode: found 'wild'"),
        (("--mode", "ratio", "--ratio", "1", "--min-notional", "-1"), "--min-notional"),
        (("--mode", "ratio", "--ratio", "1", "--format", "csv"), "--format: found 'csv'"),
        (("--mode", "ratio", "--ratio", "1", "--trace", "/nowhere/t"), "/nowhere/t: cannot"),
    ],
)
def test_bad_usage_is_status_2_and_says_what_was_expected(
    options: tuple[str, ...], part: str
) -> None:
    result = run(FLAT, "--meta", META, *options)
    assert result.returncode == 2
    assert part in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_a_broken_file_is_status_2_and_names_line_and_field(tmp_path: Path) -> None:
    lines = FLAT.read_text().splitlines()
    path = tmp_path / "fills.jsonl"
    path.write_text("\n".join([*lines[:3], lines[3].replace('"sz":"', '"sz":"-')]))
    result = run(*by_ratio(path))
    assert result.returncode == 2
    assert f"{path}:4: field sz: found '-" in result.stderr
    path.write_text("\n".join(lines)[:-20])
    assert f"{path}:{len(lines)}: found" in run(*by_ratio(path)).stderr
    assert "cannot be read" in run(*by_ratio(tmp_path / "none.jsonl")).stderr
