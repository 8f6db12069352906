"""Planning a cohort with a poisoned row: its own outcome, and nothing for the others."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort_factory import (
    DEEP,
    FREE_RULES,
    PX,
    Cohort,
    limits,
    ratio,
    units,
)
from slipstream._core import (
    SCALE,
    TARGET_SCALE,
    BelowMinimum,
    CohortIntent,
    CohortPlan,
    CoreError,
    InstrumentRules,
    LaneState,
    OnLimit,
    OrderPlan,
    PositionSide,
    SizingMode,
    SizingRule,
    Skip,
    SkipReason,
    plan_cohort,
)

MILLI = TARGET_SCALE // 1000


def _with(rule: SizingRule, count: int = 1, rules: InstrumentRules = FREE_RULES) -> Cohort:
    cohort = Cohort(rules)
    for _ in range(count):
        cohort.add(rule)
    return cohort


def _results(plan: CohortPlan) -> list[OrderPlan | Skip]:
    return [*plan.orders, *plan.skips]


def _row_results(plan: CohortPlan) -> Counter[tuple[int, int]]:
    keys = [(result.row, result.leg) for result in _results(plan)]
    return Counter([*keys, *((row, 0) for row in plan.waiting_rows)])


# --- totality ------------------------------------------------------------------------------

wide = st.one_of(
    st.integers(-(2**127), 2**127 - 1),
    st.sampled_from([0, 1, -1, 2**127 - 1, -(2**127), TARGET_SCALE]),
)
raw = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63), SCALE]),
)
pairs = st.tuples(wide, wide)
raw_pairs = st.tuples(raw, raw)
poisons = st.builds(
    LaneState,
    mirrored_target=pairs,
    exact_target=pairs,
    wanted_target=pairs,
    peak_target=pairs,
    frozen_leader_margin=raw_pairs,
    position_qty=raw_pairs,
    in_flight_qty=st.sampled_from([(0, 0), (1, -1), (2**63 - 1, -(2**63))]),
    unknown_qty=raw_pairs,
    foreign_qty=raw_pairs,
    leverage=st.one_of(st.none(), st.integers(0, 2**32 - 1)),
)
any_mode = st.sampled_from(
    [
        ratio(1_000_000),
        SizingRule(mode=SizingMode.RATIO, ratio=2**63 - 1, on_cap=OnLimit.CLIP),
        SizingRule(mode=SizingMode.MARGIN, allocation=2**63 - 1),
        SizingRule(mode=SizingMode.MARGIN, allocation_ppm=2**63 - 1),
        SizingRule(mode=SizingMode.POSITION, multiplier=2**63 - 1),
        SizingRule(mode=SizingMode.POSITION, margin_ppm=2**63 - 1, leader_notional_min=1),
        SizingRule(mode=SizingMode.NOTIONAL, notional=2**63 - 1, below_minimum=BelowMinimum.BUMP),
    ]
)


events = st.tuples(st.integers(-9, 9), st.integers(-9, 9))


@given(poisons, any_mode, st.booleans(), raw_pairs, events)
def test_a_poisoned_row_is_its_own_outcome_and_changes_nothing_for_others(
    lane: LaneState,
    rule: SizingRule,
    is_hedge: bool,  # noqa: FBT001
    account: tuple[int, int],
    event: tuple[int, int],
) -> None:
    (equity, free_margin), (before, after) = account, event

    def results(poison: LaneState | None) -> tuple[list[object], CohortPlan, Cohort]:
        cohort = Cohort(view=DEEP, has_reservation=True)
        cohort.add(ratio(1_000_000))
        bounds = limits(leverage_max=2**62, notional_max=2**63 - 1, position_count_max=3)
        cohort.add(rule if poison else ratio(1_000_000), bounds, is_hedge=is_hedge)
        cohort.add(ratio(2_000_000))
        cohort.leader[0] = units(before)
        if poison is not None:
            cohort.table.set_account(1, equity=equity, free_margin=free_margin, ts_ns=0)
            cohort.table.restore_lane(1, 0, poison)
            cohort.table.restore_lane(1, 7, poison)
        plan = cohort.move(units(after), margin=3_000 * SCALE, initial_margin=SCALE)
        others: list[object] = [
            (result.row, result.leg, type(result).__name__, getattr(result, "qty", None))
            for result in _results(plan)
            if result.row != 1
        ]
        others += [cohort.table.lane(row, 0) for row in (0, 2)]
        return others, plan, cohort

    poisoned, plan, cohort = results(lane)
    assert cohort.reservation is not None
    assert cohort.reservation.outstanding_qty == sum(order.qty for order in plan.orders)
    taken = sum(order.qty for order in plan.orders if order.row == 1)
    if taken < 10**6 * SCALE:  # one level: an order as large as the book leaves nothing to others
        assert poisoned == results(None)[0]
    skips = [skip for skip in plan.skips if skip.row == 1]
    if any(skip.reason is SkipReason.OVERFLOW for skip in skips):
        assert len(skips) == 1
        assert cohort.table.lane(1, 0) == lane
        assert all(order.row != 1 for order in plan.orders)
    assert _row_results(plan)[1, 0] == 1


@given(poisons, raw, st.booleans(), st.sampled_from(list(PositionSide.__members__.values())))
def test_settling_a_poisoned_lane_ends_in_a_lane_or_a_named_error(
    lane: LaneState,
    filled: int,
    is_opening: bool,  # noqa: FBT001
    side: PositionSide,
) -> None:
    cohort = _with(SizingRule(mode=SizingMode.RATIO, ratio=SCALE))
    cohort.table.restore_lane(0, 0, lane)
    try:
        cohort.table.settle(0, 0, side, filled_qty=filled, is_opening=is_opening)
        cohort.table.shrink(0, 0, side, filled)
    except CoreError as error:
        assert "row 0" in str(error)  # noqa: PT017  both ends are fine, a third is not


def test_an_unknown_row_is_refused_before_anything_changes() -> None:
    cohort = _with(SizingRule(mode=SizingMode.RATIO, ratio=SCALE))
    with pytest.raises(CoreError, match="row 3"):
        plan_cohort(cohort.intent(0, before=0), cohort.table, DEEP, None, now_ns=1, rows=[0, 3])
    assert cohort.table.lane(0, 0) == LaneState()


@pytest.mark.parametrize("field", ["leader_px", "arrival_px", "band_low_px", "track"])
def test_an_intent_names_what_it_refuses(field: str) -> None:
    given_fields = {
        "symbol_index": 0,
        "rules": FREE_RULES,
        "leader_before": 0,
        "leader_after": 1,
        "leader_px": PX,
        "created_ns": 0,
        field: -1,
    }
    with pytest.raises(CoreError, match=field):
        CohortIntent(**given_fields)  # type: ignore[arg-type]
