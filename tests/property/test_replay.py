"""What a replayed follower holds, against exact fractions and against itself.

The oracle is the sizing rule in ``fractions.Fraction``: increases add a constant times the
leader's change, reductions scale by the leader's fraction, a flip starts anew.
"""

import json
import random
import tempfile
from fractions import Fraction
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import given, settings

from slipstream._core import SCALE, SizingMode, SizingRule
from slipstream.engine.chain import chain
from slipstream.errors import ConfigError
from slipstream.runtime.replay import AMPLE, Replay, ReplayReport, ReplaySizing
from slipstream.venues.hyperliquid.recorded import read_fills, read_meta

COINS = {"BTC": 3, "xyz:CL": 0}
META = json.dumps(
    {"universe": [{"name": name, "szDecimals": n, "maxLeverage": 10} for name, n in COINS.items()]}
)
MOVES = st.lists(
    st.tuples(
        st.sampled_from(sorted(COINS)),
        st.integers(-40, 40).filter(bool),
        st.integers(0, 3),
        st.booleans(),
    ),
    min_size=1,
    max_size=30,
)


def recorded_lines(moves: list[tuple[str, int, int, bool]], held: int) -> list[str]:
    """Write moves (coin, change in lots, pause in ms, whether to close first) as the venue does."""
    position = {coin: Fraction(held, 10**n) for coin, n in COINS.items()}
    lines, at_ms = [], 1_784_000_000_000
    for index, (coin, lots, pause_ms, is_close) in enumerate(moves):
        at_ms += pause_ms
        change = Fraction(lots, 10 ** COINS[coin])
        if is_close and position[coin]:
            change = -position[coin]
        row = {
            "coin": coin,
            "px": "123.45",
            "sz": text(abs(change)),
            "side": "B" if change > 0 else "A",
            "time": at_ms,
            "startPosition": text(position[coin]),
            "crossed": True,
            "oid": 77 + index // 3,
            "tid": (index * 7919) % 100_003,
        }
        position[coin] += change
        lines.append(json.dumps(row))
    return lines


def text(value: Fraction) -> str:
    """Write thousandths as decimal text."""
    thousandths = int(value * 1000)
    sign = "-" if thousandths < 0 else ""
    return f"{sign}{abs(thousandths) // 1000}.{abs(thousandths) % 1000:03d}"


def replayed(files: list[list[str]], sizing: ReplaySizing) -> ReplayReport:
    """Replay files of lines."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{index}.jsonl") for index in range(len(files))]
        for path, lines in zip(paths, files, strict=True):
            path.write_text("".join(line + "\n" for line in lines))
        meta = Path(folder, "meta.json")
        meta.write_text(META)
        table = read_meta(meta)
        return Replay(table, sizing).run(chain(read_fills(paths, table)))


def by_ratio(ratio: int) -> ReplaySizing:
    return ReplaySizing(SizingRule(mode=SizingMode.RATIO, ratio=ratio), AMPLE, None)


def by_margin(allocation: int, margin: int) -> ReplaySizing:
    rule = SizingRule(mode=SizingMode.MARGIN, allocation=allocation)
    return ReplaySizing(rule, allocation, margin)


def assert_follows(report: ReplayReport, factor: Fraction) -> None:
    """Compare every line's target with exact fractions, and every position with its target."""
    target = dict.fromkeys(COINS, Fraction(0))
    for count, line in enumerate(report.lines, start=1):
        before, after = line.leader_before, line.leader_after
        if before * after < 0:
            target[line.coin] = factor * Fraction(after, SCALE)
        elif abs(after) > abs(before):
            target[line.coin] += factor * Fraction(after - before, SCALE)
        else:
            target[line.coin] *= Fraction(after, before)
        assert abs(line.target - target[line.coin] * 10**18) <= count + 1
        lot = Fraction(1, 10 ** COINS[line.coin])
        gap = abs(Fraction(line.target, 10**18) - Fraction(line.position_after, SCALE))
        assert Fraction(line.position_after, SCALE) % lot == 0
        assert line.reason is not None or gap < lot
        assert after != 0 or line.position_after == line.target == 0


@settings(max_examples=60)
@given(moves=MOVES, held=st.integers(-20, 20), ratio=st.integers(1, 3 * SCALE))
def test_ratio_targets_equal_exact_fractions(
    moves: list[tuple[str, int, int, bool]], held: int, ratio: int
) -> None:
    report = replayed([recorded_lines(moves, held)], by_ratio(ratio))
    assert len(report.lines) == len(moves)
    assert report.is_clean
    assert_follows(report, Fraction(ratio, SCALE))


@settings(max_examples=60)
@given(
    moves=MOVES,
    allocation=st.integers(SCALE, 10**6 * SCALE),
    margin=st.integers(SCALE, 10**6 * SCALE),
)
def test_margin_targets_equal_exact_fractions(
    moves: list[tuple[str, int, int, bool]], allocation: int, margin: int
) -> None:
    report = replayed([recorded_lines(moves, 0)], by_margin(allocation, margin))
    assert_follows(report, Fraction(allocation, margin))


@settings(max_examples=40)
@given(moves=MOVES, held=st.integers(-20, 20), seed=st.integers(0, 2**32))
def test_order_doubling_and_splitting_of_lines_change_nothing(
    moves: list[tuple[str, int, int, bool]], held: int, seed: int
) -> None:
    lines = recorded_lines(moves, held)
    plain = replayed([lines], by_ratio(SCALE // 3))
    random_ = random.Random(seed)
    mixed = random_.sample(lines * 2, 2 * len(lines))
    cut = random_.randint(0, len(mixed))
    again = replayed([mixed[:cut], mixed[cut:]], by_ratio(SCALE // 3))
    assert again.to_json() == plain.to_json()
    assert [line.to_json() for line in again.lines] == [line.to_json() for line in plain.lines]


EXTREME = st.sampled_from(
    ["92233720368.54775807", "46116860184", "123456.789", "1", "0.00001", "0.00000001"]
)


@settings(max_examples=150)
@given(
    px=EXTREME,
    size=EXTREME,
    held=st.sampled_from(["0", "-0.0", "46116860184", "-46116860184.27387904", "-5"]),
    side=st.sampled_from("AB"),
    ratio=st.sampled_from([1, SCALE, 2**63 - 1]),
)
def test_numbers_at_the_edge_end_in_a_line_or_a_refusal(
    px: str, size: str, held: str, side: str, ratio: int
) -> None:
    row = {"coin": "BTC", "px": px, "sz": size, "side": side, "time": 5, "oid": 1, "tid": 1}
    try:
        report = replayed([[json.dumps(row | {"startPosition": held})]], by_ratio(ratio))
    except ConfigError as error:
        assert "0.jsonl:1: field sz" in str(error)  # noqa: PT017 - both ends are right
    else:
        (line,) = report.lines
        assert line.to_json()["order_qty"] is not None
        assert line.reason is not None or report.is_clean
