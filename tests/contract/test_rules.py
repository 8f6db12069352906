"""Instrument rules and skip reasons against ``decimal`` and the written tables."""

import copy
import pickle
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream._core import (
    CoreError,
    InstrumentRules,
    PositionSide,
    Rounding,
    Side,
    SkipReason,
    format_fixed,
    parse_fixed,
)

# STYLE.md, "Errors": reasons that only delay a reduction.
DELAYING: Final = {
    "BOOK_MISSING",
    "BOOK_STALE",
    "BOOK_GAPPED",
    "DEPTH_SHORT",
    "SLIPPAGE_BREACH",
    "RATE_LIMITED",
}
# Reasons under which no order leaves at all.
STOPPING_BOTH: Final = {
    "FROZEN",
    "DUPLICATE",
    "SUPERSEDED",
    "NOT_MIRRORED",
    "SYMBOL_HALTED",
    "NO_CHANGE",
    "DIRECTION",
    "BELOW_LOT",
    "BELOW_MIN_QTY",
    "BELOW_MIN_NOTIONAL",
    "OVERFLOW",
}


def rules_of(
    px_step: str = "0.1", *, digits: int | None = None, qty_step: str = "0.001"
) -> InstrumentRules:
    return InstrumentRules(
        px_step=parse_fixed(px_step),
        qty_step=parse_fixed(qty_step),
        qty_min=parse_fixed(qty_step),
        px_digits_max=digits,
    )


def significant(px: Decimal) -> int:
    return len(px.normalize().as_tuple().digits)


@given(
    st.sampled_from(["0.1", "0.05", "0.00001", "25"]),
    st.integers(26 * 10**8, 10**15),
    st.sampled_from([Side.BUY, Side.SELL]),
)
def test_a_limit_is_rounded_inside_the_bound(step: str, px: int, side: Side) -> None:
    towards = ROUND_FLOOR if side == Side.BUY else ROUND_CEILING
    exact = Decimal(px).scaleb(-8) / Decimal(step)
    expected = exact.to_integral_value(towards) * Decimal(step)
    assert Decimal(format_fixed(rules_of(step).round_px(px, side))) == expected


@given(st.integers(1_000, 10**15), st.sampled_from([Side.BUY, Side.SELL]))
def test_a_price_of_five_digits_or_whole(px: int, side: Side) -> None:
    rules = rules_of("0.00001", digits=5)
    rounded = rules.round_px(px, side)
    text = Decimal(format_fixed(rounded))
    assert significant(text) <= 5 or text == text.to_integral_value()
    assert (px - rounded) * side.value >= 0
    assert rules.round_px(rounded, side) == rounded
    # Nothing valid lies strictly between the bound and the rounded price.
    with_bound = Decimal(px).scaleb(-8)
    step = max(Decimal(10) ** (with_bound.adjusted() - 4), Decimal("0.00001"))
    assert abs(text - with_bound) < min(step, Decimal(1))


def test_known_prices_of_five_digits() -> None:
    rules = rules_of("0.01", digits=5)
    cases = [
        ("1234.56", Side.BUY, "1234.5"),
        ("1234.56", Side.SELL, "1234.6"),
        ("9999.95", Side.SELL, "10000"),
        ("123456.7", Side.BUY, "123456"),
        ("123456.7", Side.SELL, "123457"),
    ]
    for text, side, expected in cases:
        assert format_fixed(rules.round_px(parse_fixed(text), side)) == expected


def test_a_bound_without_a_price_inside_is_refused() -> None:
    rules = rules_of("0.1")
    for px in (0, -1, parse_fixed("0.09")):
        with pytest.raises(CoreError, match="limit price"):
            rules.round_px(px, Side.BUY)
    assert rules.round_px(parse_fixed("0.09"), Side.SELL) == parse_fixed("0.1")


@pytest.mark.parametrize(
    ("named", "wrong"),
    [
        ("px_step", {"px_step": 0}),
        ("qty_step", {"qty_step": -1}),
        ("qty_min", {"qty_min": -1}),
        ("qty_max", {"qty_max": 4}),
        ("notional_min", {"notional_min": -1}),
        ("px_digits_max", {"px_digits_max": 0}),
    ],
)
def test_a_rule_that_does_not_fit_is_named(named: str, wrong: dict[str, int]) -> None:
    fitting: dict[str, Any] = {"px_step": 1, "qty_step": 1, "qty_min": 5}
    with pytest.raises(CoreError, match=named):
        InstrumentRules(**(fitting | wrong))


def test_rules_tell_what_they_were_given() -> None:
    rules = InstrumentRules(
        px_step=1,
        qty_step=2,
        qty_min=4,
        qty_max=6,
        notional_min=7,
        px_digits_max=5,
        is_reduction_exempt=False,
    )
    assert (rules.px_step, rules.qty_step, rules.qty_min, rules.qty_max) == (1, 2, 4, 6)
    assert (rules.notional_min, rules.px_digits_max) == (7, 5)
    assert not rules.is_reduction_exempt
    assert rules.round_qty(5, Rounding.DOWN) == 4
    assert rules.round_qty(5, Rounding.UP) == 6


def test_reasons_are_ranked_without_a_hole() -> None:
    reasons = list(SkipReason.__members__.values())
    assert [reason.value for reason in reasons] == list(range(42))
    assert [reason.code for reason in reasons] == list(SkipReason.__members__)
    assert [reason.mask for reason in reasons] == [1 << rank for rank in range(42)]


@pytest.mark.parametrize("code", list(SkipReason.__members__))
def test_each_reason_stops_what_the_table_says(code: str) -> None:
    reason = SkipReason.__members__[code]
    assert reason.stops_open == (code != "OPEN_ONLY")
    assert reason.stops_reduction == (code in STOPPING_BOTH | {"OPEN_ONLY"})
    assert reason.delays_reduction == (code in DELAYING | {"SYMBOL_HALTED"})


@pytest.mark.parametrize("kind", [Side, PositionSide, Rounding, SkipReason])
def test_members_are_singletons(kind: type[Side]) -> None:
    for name, member in kind.__members__.items():
        assert getattr(kind, name) is member
        assert pickle.loads(pickle.dumps(member)) is member
        assert copy.deepcopy(member) is member
        assert member.name == name
        assert {member: 1}[member] == 1
