"""What an opening order that ends gives up: never more than it left unfilled."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort_factory import Cohort, ratio, units
from slipstream._core import SCALE, OrderPlan, PositionSide, SkipReason
from slipstream.units import TARGET_PER_QTY

WHOLE = 1_000_000
"""A ratio of one, in ppm."""


def settle(cohort: Cohort, order: OrderPlan, filled_qty: int) -> None:
    """End an order; what is wanted may fall by its unfilled rest, not by more."""
    before = cohort.wanted()
    cohort.settle(order, filled_qty)
    given_up = (before - cohort.wanted()) * order.side.value
    if order.is_opening:
        assert 0 <= given_up <= (order.qty - filled_qty) * TARGET_PER_QTY
    else:
        assert given_up == 0


def test_an_absent_increase_that_a_reduction_passed_gives_up_itself_alone() -> None:
    cohort = Cohort()
    cohort.add(ratio(WHOLE))
    cohort.fill(cohort.move(units(4)))
    (increase,) = cohort.move(units(8)).orders
    cohort.table.mark_unknown(0, 0, PositionSide.NET)
    (reduction,) = cohort.move(units(2)).orders
    # The leader adds while the reduction is out: that waits for the lane, and nobody gives it up.
    assert cohort.move(units(7)).waiting_rows == [0]
    settle(cohort, reduction, reduction.qty)
    assert cohort.position() == 2 * SCALE
    settle(cohort, increase, 0)
    assert cohort.wanted() == units(3)


@pytest.mark.parametrize("target", [2, 4])
def test_an_increase_beside_a_close_in_doubt_misses_what_the_close_takes(target: int) -> None:
    cohort = Cohort()
    cohort.add(ratio(WHOLE))
    cohort.fill(cohort.move(units(2)))
    (close,) = cohort.move(0).orders
    cohort.table.mark_unknown(0, 0, PositionSide.NET)
    (skip,) = cohort.move(units(target)).skips
    assert (skip.reason, skip.wanted_qty) == (SkipReason.UNKNOWN_PENDING, target * SCALE)
    settle(cohort, close, close.qty)
    assert (cohort.position(), cohort.wanted()) == (0, 0)


@given(
    st.lists(
        st.tuples(st.integers(0, 12), st.integers(0, 100), st.booleans()), min_size=2, max_size=14
    ),
    st.integers(0, 100),
)
def test_whatever_passes_an_opening_it_gives_up_no_more_than_it_left_unfilled(
    steps: list[tuple[int, int, bool]], percent_at_last: int
) -> None:
    cohort = Cohort()
    cohort.add(ratio(WHOLE))
    doubted: OrderPlan | None = None
    out: OrderPlan | None = None
    for position, percent, is_late in steps:
        orders = cohort.move(units(position)).orders
        if out is not None:
            settle(cohort, out, out.qty * percent // 100)
            out = None
        for order in orders:
            if not is_late:
                settle(cohort, order, order.qty * percent // 100)
            elif order.is_opening and doubted is None:
                doubted = order
                cohort.table.mark_unknown(0, 0, order.position_side)
            else:
                out = order
    for order in (out, doubted):
        if order is not None:
            settle(cohort, order, order.qty * percent_at_last // 100)
