"""Positions against exact fractions."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from slipstream.venues.sim.accounts import Position

FILLS = st.lists(
    st.tuples(st.integers(-50, 50).filter(bool), st.integers(1, 1000)), min_size=1, max_size=30
)
UNIT = 10**8


@given(FILLS)
def test_profit_equals_cash_flow_and_entry_is_the_weighted_average(
    fills: list[tuple[int, int]],
) -> None:
    position = Position("X", "BOTH")
    cash = Fraction(0)
    realized = 0
    for lots, px in fills:
        realized += position.apply(lots * UNIT, px * UNIT)
        cash -= Fraction(lots) * px
    held = sum(lots for lots, _ in fills)
    assert position.qty == held * UNIT
    mark = 500
    # Realised plus unrealised is the cash paid and received plus what is held, at mark;
    # each partial close may round the entry cost by less than one raw unit.
    exact = (cash + held * mark) * UNIT
    booked = realized + position.unrealized(mark * UNIT)
    assert abs(booked - exact) <= 2 * len(fills)


def test_a_flip_enters_the_rest_at_the_fill_price() -> None:
    position = Position("X", "BOTH")
    position.apply(2 * UNIT, 100 * UNIT)
    assert position.apply(-5 * UNIT, 110 * UNIT) == 20 * UNIT
    assert (position.qty, position.entry_px) == (-3 * UNIT, 110 * UNIT)
