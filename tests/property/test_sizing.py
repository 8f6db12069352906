"""Sizing: what must hold for any sequence of leader events, whatever the numbers."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cohort_factory import FREE_RULES, LOT, PX, TICK, Cohort, limits, ratio, reasons, units
from slipstream._core import (
    SCALE,
    TARGET_SCALE,
    BelowMinimum,
    CoreError,
    FollowerTable,
    InstrumentRules,
    LaneState,
    Missed,
    PositionSide,
    SizingMode,
    SizingRule,
)

MILLI = TARGET_SCALE // 1000
MARGIN = SizingRule(mode=SizingMode.MARGIN, allocation=1_000 * SCALE)
rules_of_all_modes = st.sampled_from(
    [
        ratio(333_333),
        MARGIN,
        SizingRule(mode=SizingMode.POSITION, multiplier=SCALE // 3),
        SizingRule(mode=SizingMode.NOTIONAL, notional=70 * SCALE),
        SizingRule(mode=SizingMode.RATIO, ratio=SCALE // 7, is_reverse=True),
    ]
)
positions = st.integers(-20_000, 20_000)


def _split(start: int, end: int, cuts: list[int]) -> list[int]:
    low, high = min(start, end), max(start, end)
    inside = sorted({cut for cut in cuts if low < cut < high}, reverse=end < start)
    return [*inside, end]


@given(
    rules_of_all_modes.filter(lambda rule: rule.mode is not SizingMode.NOTIONAL),
    st.lists(positions, min_size=1, max_size=8),
    st.lists(positions, max_size=20),
)
def test_the_result_does_not_depend_on_how_a_fill_was_split(
    rule: SizingRule, walk: list[int], cuts: list[int]
) -> None:
    whole, parts = Cohort(), Cohort()
    whole.add(rule)
    parts.add(rule)
    for before, after in pairwise([0, *walk]):
        whole.fill(whole.move(after * MILLI, margin=3_000 * SCALE))
        for part in _split(before, after, cuts):
            parts.fill(parts.move(part * MILLI, margin=3_000 * SCALE))
        one, many = whole.table.lane(0, 0), parts.table.lane(0, 0)
        slack = 1_000 * (len(cuts) + 1) * (len(walk) + 1)
        assert abs(one.exact_target[0] - many.exact_target[0]) <= slack
        lots = abs(one.position_qty[0] - many.position_qty[0]) // LOT
        # Reductions round up, each to its own lot: parts may lie under the whole by one lot.
        assert lots <= 1
        assert abs(many.wanted_target[0] - many.position_qty[0] * 10**10) < LOT * 10**10


@given(
    rules_of_all_modes.filter(lambda rule: rule.mode is not SizingMode.NOTIONAL),
    st.integers(1, 20_000),
    st.lists(st.integers(1, 20_000), max_size=20),
)
def test_an_open_in_parts_ends_in_the_same_position(
    rule: SizingRule, end: int, cuts: list[int]
) -> None:
    whole, parts = Cohort(), Cohort()
    whole.add(rule)
    parts.add(rule)
    whole.fill(whole.move(end * MILLI, margin=3_000 * SCALE))
    for part in _split(0, end, cuts):
        parts.fill(parts.move(part * MILLI, margin=3_000 * SCALE))
    assert whole.position() == parts.position()


@pytest.mark.parametrize("rule", [ratio(333_333), MARGIN])
def test_ten_thousand_mixed_partials_do_not_drift(rule: SizingRule) -> None:
    cohort = Cohort()
    cohort.add(rule)
    position = 0
    for count in range(10_000):
        position += ((count * 7919) % 41) - 20 or 1
        cohort.fill(cohort.move(position * MILLI, margin=1_700 * SCALE))
        lane = cohort.table.lane(0, 0)
        assert abs(lane.exact_target[0] - lane.position_qty[0] * 10**10) < LOT * 10**10
    factor = Fraction(333_333, 10**6) if rule is not MARGIN else Fraction(1_000, 1_700)
    drift = abs(Fraction(cohort.table.lane(0, 0).exact_target[0]) - factor * position * MILLI)
    assert drift < LOT * 10**10


@given(rules_of_all_modes, st.lists(positions, min_size=1, max_size=15), st.randoms())
def test_opens_never_exceed_wanted_and_reductions_never_cross_zero(
    rule: SizingRule, walk: list[int], random: object
) -> None:
    del random
    cohort = Cohort()
    cohort.add(rule)
    for after in walk:
        before = cohort.position()
        for order in cohort.fill(cohort.move(after * MILLI, margin=3_000 * SCALE)):
            reached = before + order.qty * order.side.value
            if order.is_opening:
                assert abs(reached) * 10**10 <= abs(order.wanted_target) + 10**6
                assert before * reached >= 0
            else:
                assert before * reached >= 0
                assert abs(reached) < abs(before)
            before = reached


@given(
    st.lists(st.tuples(positions, st.integers(0, 100)), min_size=1, max_size=15),
    st.sampled_from([Missed.GIVE_UP, Missed.CATCH_UP]),
)
def test_with_partial_fills_a_replan_finds_only_reductions_and_less_than_a_lot(
    walk: list[tuple[int, int]], missed: Missed
) -> None:
    cohort = Cohort()
    cohort.add(SizingRule(mode=SizingMode.RATIO, ratio=SCALE // 3, missed=missed))
    for after, percent in walk:
        plan = cohort.move(after * MILLI)

        def share(order: object, percent: int = percent) -> int:
            qty: int = order.qty  # type: ignore[attr-defined]
            return qty // LOT * percent // 100 * LOT

        cohort.fill(plan, share)
        lane = cohort.table.lane(0, 0)
        behind = lane.wanted_target[0] - lane.position_qty[0] * 10**10
        is_closed = lane.position_qty[0] * lane.wanted_target[0] >= 0
        is_opening_gap = is_closed and behind * lane.wanted_target[0] > 0
        if missed is Missed.GIVE_UP and is_opening_gap:
            assert abs(behind) < LOT * 10**10
        if abs(lane.wanted_target[0]) > abs(lane.exact_target[0]):
            pytest.fail("more is wanted than the mode says")
        cohort.fill(cohort.again([0], reductions_only=True))
        again = cohort.again([0], reductions_only=True)
        assert set(reasons(again.skips)) <= {"NO_CHANGE", "BELOW_LOT"}
        assert again.orders == []


@given(st.integers(1, 5_000), st.integers(1, 5_000))
def test_a_raise_to_the_minimum_is_used_up_before_more_is_bought(first: int, second: int) -> None:
    rules = InstrumentRules(px_step=TICK, qty_step=LOT, qty_min=SCALE)
    cohort = Cohort(rules)
    cohort.add(SizingRule(mode=SizingMode.RATIO, ratio=SCALE, below_minimum=BelowMinimum.BUMP))
    for after in (first, first + second):
        cohort.fill(cohort.move(after * MILLI))
        held, target = cohort.position(), after * LOT
        assert held >= min(target, SCALE)
        assert held < target + SCALE
    assert reasons(cohort.again([0], reductions_only=True).skips) == ["NO_CHANGE"]


def test_below_the_minimum_carry_keeps_and_skip_drops() -> None:
    rules = InstrumentRules(px_step=TICK, qty_step=LOT, qty_min=SCALE)
    cohort = Cohort(rules)
    cohort.add(SizingRule(mode=SizingMode.RATIO, ratio=SCALE))
    skipping = SizingRule(mode=SizingMode.RATIO, ratio=SCALE, below_minimum=BelowMinimum.SKIP)
    cohort.add(skipping)
    plan = cohort.move(units(3) // 5)
    assert reasons(plan.skips) == ["BELOW_MIN_QTY", "BELOW_MIN_QTY"]
    assert (plan.skips[0].observed, plan.skips[0].limit) == (SCALE * 3 // 5, SCALE)
    plan = cohort.move(units(6) // 5)
    assert [(order.row, order.qty) for order in plan.orders] == [(0, SCALE * 6 // 5)]
    assert cohort.wanted(1) == 0


def test_the_leader_notional_minimum_leaves_the_lane_untouched() -> None:
    cohort = Cohort()
    rule = SizingRule(mode=SizingMode.RATIO, ratio=SCALE, leader_notional_min=PX)
    cohort.add(rule)
    plan = cohort.move(units(1) // 2)
    assert reasons(plan.skips) == ["LEADER_TRADE_TOO_SMALL"]
    assert (plan.skips[0].observed, plan.skips[0].limit) == (PX // 2, PX)
    assert cohort.table.lane(0, 0) == LaneState()
    assert [order.qty for order in cohort.move(units(2)).orders] == [3 * SCALE // 2]


def test_missing_margin_stops_growth_but_not_a_reduction() -> None:
    cohort = Cohort()
    cohort.add(MARGIN)
    cohort.fill(cohort.move(units(3), margin=3_000 * SCALE))
    assert reasons(cohort.move(units(6)).skips) == ["MARGIN_UNCONFIRMED"]
    assert cohort.position() == SCALE
    orders = cohort.move(units(3)).orders
    assert [(order.qty, order.is_opening) for order in orders] == [(SCALE // 2, False)]


def test_an_increase_that_lowers_the_target_is_held() -> None:
    """POSITION mode after a loss of equity: the gate never sells on the leader's buy."""
    cohort = Cohort()
    row = cohort.add(SizingRule(mode=SizingMode.POSITION), equity=1_000 * SCALE)
    cohort.fill(cohort.move(units(10), margin=1_000 * SCALE))
    cohort.table.set_account(row, equity=100 * SCALE, free_margin=10**6 * SCALE, ts_ns=0)
    plan = cohort.move(units(11), margin=1_000 * SCALE)
    assert reasons(plan.skips) == ["DIRECTION"]
    assert cohort.position() == 10 * SCALE


@given(st.integers(1, 9_999), st.integers(-3, 3))
def test_shrinking_lowers_targets_and_nothing_rebuilds_them(held: int, shift: int) -> None:
    cohort = Cohort()
    cohort.add(SizingRule(mode=SizingMode.POSITION))
    cohort.table.set_account(0, equity=SCALE * 1000, free_margin=10**6 * SCALE, ts_ns=0)
    cohort.fill(cohort.move(units(10), margin=1_000 * SCALE))
    lane = cohort.table.shrink(0, 0, PositionSide.NET, held * LOT)
    assert lane.position_qty[0] == held * LOT
    assert lane.wanted_target[0] == lane.exact_target[0] == held * LOT * 10**10
    after = units(10) + shift * MILLI
    cohort.fill(cohort.move(after, margin=1_000 * SCALE))
    assert cohort.position() <= held * LOT + max(0, shift) * LOT
    cohort.fill(cohort.move(0))
    cohort.fill(cohort.move(units(2), margin=1_000 * SCALE))
    assert cohort.position() == 2 * SCALE


def test_a_hedge_leader_nets_on_a_one_way_follower() -> None:
    cohort = Cohort()
    cohort.add(ratio(1_000_000))
    cohort.fill(cohort.move(units(5), track=0))
    cohort.fill(cohort.move(units(-8), track=1))
    assert cohort.position() == -3 * SCALE
    cohort.fill(cohort.move(0, track=1))
    assert cohort.position() == 5 * SCALE
    cohort.fill(cohort.move(0, track=0))
    assert cohort.table.lane(0, 0).position_qty == (0, 0)


def test_a_one_way_leader_uses_the_side_of_its_sign_on_a_hedge_follower() -> None:
    cohort = Cohort()
    cohort.add(ratio(1_000_000), is_hedge=True)
    cohort.fill(cohort.move(units(5)))
    assert cohort.table.lane(0, 0).position_qty == (5 * SCALE, 0)
    sent = cohort.fill(cohort.move(units(-2)))
    assert [(order.leg, order.position_side.name) for order in sent] == [(0, "LONG"), (1, "SHORT")]
    assert cohort.table.lane(0, 0).position_qty == (0, -2 * SCALE)


@pytest.mark.parametrize("px", [None, 100 * SCALE])
def test_an_opening_that_is_out_elsewhere_takes_margin_by_the_price_it_was_restored_with(
    px: int | None,
) -> None:
    cohort = Cohort()
    cohort.add(ratio(1_000_000))
    order = cohort.move(units(2)).orders[0]
    lane = cohort.table.lane(0, 0)
    cohort.settle(order, order.qty)
    cohort.table.restore_lane(0, 7, lane)
    if px is not None:
        cohort.table.note_reference(7, px)
    plan = cohort.move(units(3))
    assert [each.reason.code for each in plan.skips] == (["OVERFLOW"] if px is None else [])
    assert len(plan.orders) == (px is not None)


lane_numbers = st.integers(-(2**63), 2**63 - 1)
target_numbers = st.integers(-(2**127), 2**127 - 1)


@given(
    st.tuples(target_numbers, target_numbers),
    st.tuples(target_numbers, target_numbers),
    st.tuples(lane_numbers, lane_numbers),
    st.tuples(lane_numbers, lane_numbers),
)
def test_a_lane_survives_its_text(
    targets: tuple[int, int],
    wanted: tuple[int, int],
    held: tuple[int, int],
    flight: tuple[int, int],
) -> None:
    lane = LaneState(
        mirrored_target=targets,
        exact_target=wanted,
        wanted_target=wanted,
        peak_target=targets,
        frozen_leader_margin=held,
        position_qty=held,
        in_flight_qty=flight,
        unknown_qty=held,
    )
    assert LaneState.decode(lane.encode()) == lane


def test_an_order_in_flight_survives_its_text() -> None:
    cohort = Cohort()
    cohort.add(ratio(333_333))
    order = cohort.move(units(1)).orders[0]
    kept, lost = Cohort(), cohort
    kept.add(ratio(333_333))
    kept.table.restore_lane(0, 0, LaneState.decode(cohort.table.lane(0, 0).encode()))
    assert kept.settle(order, order.qty // 2) == lost.settle(order, order.qty // 2)


@given(st.text(alphabet="0123456789,-x. ", max_size=80))
def test_any_other_text_is_no_lane(text: str) -> None:
    with pytest.raises(CoreError, match="lane text"):
        LaneState.decode(text)


@settings(max_examples=30)
@given(st.integers(-(2**62), 2**62))
def test_an_unknown_row_is_named(row: int) -> None:
    table = FollowerTable()
    with pytest.raises(CoreError, match=f"row {row}"):
        table.lane(row, 0)
    with pytest.raises(CoreError, match=f"row {row}"):
        table.set_gates(row, 0)


@pytest.mark.parametrize(
    ("settings_given", "field"),
    [
        ({"mode": SizingMode.RATIO}, "ratio"),
        ({"mode": SizingMode.RATIO, "ratio": 0}, "ratio"),
        ({"mode": SizingMode.MARGIN}, "allocation"),
        ({"mode": SizingMode.MARGIN, "allocation": 1, "allocation_ppm": 1}, "allocation"),
        ({"mode": SizingMode.POSITION, "multiplier": 0}, "multiplier"),
        ({"mode": SizingMode.POSITION, "margin_ppm": 1}, "leader_notional_min"),
        ({"mode": SizingMode.NOTIONAL}, "notional"),
        ({"mode": SizingMode.RATIO, "ratio": 1, "leader_notional_min": -1}, "leader_notional"),
    ],
)
def test_a_rule_that_lacks_what_its_mode_needs_is_refused(
    settings_given: dict[str, object], field: str
) -> None:
    with pytest.raises(CoreError, match=field):
        SizingRule(**settings_given)  # type: ignore[arg-type]


def test_a_negative_limit_is_refused() -> None:
    with pytest.raises(CoreError, match="order_notional_max"):
        limits(order_notional_max=-1)


def test_free_rules_have_no_minimum() -> None:
    assert FREE_RULES.qty_min == FREE_RULES.notional_min == 0
