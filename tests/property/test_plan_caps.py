"""Planning a cohort under caps: what they skip or clip, with the numbers compared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort_factory import (
    FREE_RULES,
    LOT,
    MILLI,
    PX,
    TICK,
    Cohort,
    filled,
    limits,
    reasons,
    rule,
    units,
)
from slipstream._core import (
    SCALE,
    InstrumentRules,
    LaneState,
    OnLimit,
    SizingRule,
    SkipReason,
)


def _with(rule: SizingRule, count: int = 1, rules: InstrumentRules = FREE_RULES) -> Cohort:
    cohort = Cohort(rules)
    for _ in range(count):
        cohort.add(rule)
    return cohort


# --- caps ----------------------------------------------------------------------------------

CAPS = {
    "leverage_max": SkipReason.LEVERAGE_CAP,
    "order_notional_max": SkipReason.ORDER_CAP,
    "symbol_notional_max": SkipReason.SYMBOL_CAP,
    "notional_max": SkipReason.NOTIONAL_CAP,
}


@pytest.mark.parametrize("name", CAPS)
def test_a_cap_skips_or_clips_with_its_numbers(name: str) -> None:
    bound = 250 * SCALE if name != "leverage_max" else 1
    for on_cap in (OnLimit.SKIP, OnLimit.CLIP):
        cohort = Cohort()
        cohort.add(rule(on_cap=on_cap), limits(**{name: bound}), equity=250 * SCALE)
        plan = cohort.move(units(3))
        if on_cap is OnLimit.SKIP:
            skip = plan.skips[0]
            assert skip.reason is CAPS[name]
            assert (skip.observed, skip.limit) == (300 * SCALE, 250 * SCALE)
        else:
            order = plan.orders[0]
            assert (order.qty, order.wanted_qty) == (5 * SCALE // 2, 3 * SCALE)
            assert order.clip_reason is CAPS[name]
            assert cohort.wanted() == units(5) // 2


def test_an_order_clipped_below_the_venues_minimum_is_not_sent() -> None:
    rules = InstrumentRules(px_step=TICK, qty_step=LOT, qty_min=SCALE)
    cohort = Cohort(rules)
    cohort.add(rule(on_cap=OnLimit.CLIP), limits(order_notional_max=PX // 2))
    skip = cohort.move(units(3)).skips[0]
    assert (skip.reason, skip.observed, skip.limit) == (
        SkipReason.ORDER_CAP,
        3 * SCALE,
        SCALE // 2,
    )
    assert cohort.wanted() == 0


@given(
    st.lists(st.integers(-9_000, 9_000), min_size=1, max_size=12),
    st.integers(1, 900),
    st.integers(1, 900),
    st.sampled_from([OnLimit.CLIP, OnLimit.SKIP]),
    st.lists(st.integers(0, 2), min_size=12, max_size=12),
)
def test_caps_hold_with_orders_in_flight(
    walk: list[int], per_order: int, total: int, on_cap: OnLimit, ends: list[int]
) -> None:
    cohort = Cohort()
    caps = limits(order_notional_max=per_order * SCALE, notional_max=total * SCALE)
    cohort.add(rule(on_cap=on_cap), caps)
    cohort.table.set_mark(0, PX)
    for after, end in zip(walk, ends, strict=False):
        plan = cohort.move(after * MILLI)
        for order in plan.orders:
            if order.is_opening:
                assert order.qty * PX <= per_order * SCALE * SCALE
            if end == 1:
                cohort.settle(order, order.qty)
            elif end == 2:
                cohort.table.mark_unknown(0, 0, order.position_side)
        lane = cohort.table.lane(0, 0)
        worst = max(
            abs(lane.position_qty[0]),
            abs(lane.position_qty[0] + lane.in_flight_qty[0] + lane.unknown_qty[0]),
        )
        assert worst * PX <= total * SCALE * SCALE


def test_margin_counts_what_is_in_flight_on_other_symbols() -> None:
    cohort = _with(rule())
    cohort.table.set_account(0, equity=1000 * SCALE, free_margin=500 * SCALE, ts_ns=0)
    cohort.table.set_mark(9, PX)
    cohort.table.restore_lane(0, 9, LaneState(in_flight_qty=(8 * SCALE, 0), leverage=2))
    skip = cohort.move(units(2)).skips[0]
    assert (skip.reason, skip.observed, skip.limit) == (
        SkipReason.MARGIN_BREACH,
        200 * SCALE,
        100 * SCALE,
    )
    cohort.table.set_leverage(0, 0, 10)
    assert [order.qty for order in cohort.move(units(4)).orders] == [2 * SCALE]


def test_a_symbol_without_any_price_is_not_assumed_small() -> None:
    cohort = Cohort()
    cohort.add(rule(), limits(notional_max=10**6 * SCALE))
    cohort.table.restore_lane(0, 5, LaneState(position_qty=(1, 0)))
    assert reasons(cohort.move(units(1)).skips) == ["NOTIONAL_CAP"]


def test_account_caps_stop_opens_only() -> None:
    for field, reason in (("day_pnl", "DAILY_LOSS"), ("drawdown_ppm", "DRAWDOWN")):
        cohort = Cohort()
        cohort.add(rule(), limits(daily_loss_max=50 * SCALE, drawdown_ppm_max=1_000))
        filled(cohort)
        cohort.table.set_account(
            0,
            equity=SCALE,
            free_margin=10**6 * SCALE,
            day_pnl=-50 * SCALE if field == "day_pnl" else 0,
            drawdown_ppm=1_000 if field == "drawdown_ppm" else 0,
            ts_ns=0,
        )
        assert reasons(cohort.move(units(4)).skips) == [reason]
        assert len(cohort.move(units(2)).orders) == 1


def test_the_count_of_positions_is_capped() -> None:
    cohort = Cohort()
    cohort.add(rule(), limits(position_count_max=1))
    cohort.table.restore_lane(0, 4, LaneState(position_qty=(-SCALE, 0)))
    skip = cohort.move(units(1)).skips[0]
    assert (skip.reason.code, skip.observed, skip.limit) == ("POSITION_COUNT_CAP", 2, 1)


def test_the_venues_largest_order_clips_and_a_reductions_rest_stays_wanted() -> None:
    rules = InstrumentRules(px_step=TICK, qty_step=LOT, qty_min=0, qty_max=2 * SCALE)
    cohort = _with(rule(), rules=rules)
    cohort.table.restore_lane(
        0,
        0,
        LaneState(
            mirrored_target=(units(5), 0),
            exact_target=(units(5), 0),
            wanted_target=(units(5), 0),
            position_qty=(5 * SCALE, 0),
        ),
    )
    cohort.leader[0] = units(5)
    order = cohort.move(0).orders[0]
    assert (order.qty, order.wanted_qty, order.is_full_close) == (2 * SCALE, 5 * SCALE, False)
    cohort.settle(order, order.qty)
    again = cohort.again([0], reductions_only=True).orders[0]
    cohort.settle(again, again.qty)
    last = cohort.again([0], reductions_only=True).orders[0]
    assert (last.qty, last.is_full_close) == (SCALE, True)


def test_a_full_close_ignores_the_venues_minimums() -> None:
    rules = InstrumentRules(
        px_step=TICK, qty_step=LOT, qty_min=SCALE, notional_min=PX, is_reduction_exempt=False
    )
    cohort = _with(rule(), rules=rules)
    filled(cohort, 2)
    assert reasons(cohort.move(units(3) // 2).skips) == ["BELOW_MIN_QTY"]
    order = cohort.move(0).orders[0]
    assert (order.qty, order.is_full_close) == (2 * SCALE, True)
