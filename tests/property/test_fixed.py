"""Money at the boundary against ``decimal`` and ``fractions``."""

import decimal
from fractions import Fraction
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slipstream._core import (
    SCALE,
    SCALE_DIGITS,
    TARGET_SCALE,
    FixedError,
    Rounding,
    format_fixed,
    format_target,
    mul_div,
    parse_fixed,
    quote_value,
    round_to_step,
)

I64_MAX: Final = 2**63 - 1
I128_MAX: Final = 2**127 - 1
I64 = st.integers(-(2**63), I64_MAX)
I128 = st.integers(-(2**127), I128_MAX)
ORACLE: Final = {
    Rounding.FLOOR: decimal.ROUND_FLOOR,
    Rounding.CEIL: decimal.ROUND_CEILING,
    Rounding.DOWN: decimal.ROUND_DOWN,
    Rounding.UP: decimal.ROUND_UP,
    Rounding.HALF_EVEN: decimal.ROUND_HALF_EVEN,
}
ROUNDINGS = st.sampled_from(list(ORACLE))


def rounded(value: Fraction, rounding: Rounding) -> int:
    """Round a fraction to an integer by way of an exact split and ``decimal``'s rule."""
    whole = value.numerator // value.denominator
    rest = value - whole
    half = (rest > Fraction(1, 2)) - (rest < Fraction(1, 2))
    tail = decimal.Decimal(0) if rest == 0 else decimal.Decimal(5 + half * 2).scaleb(-1)
    with decimal.localcontext(prec=120):
        exact = decimal.Decimal(whole) + tail
        return int(exact.to_integral_value(ORACLE[rounding]))


def test_scales_agree() -> None:
    assert SCALE == 10**SCALE_DIGITS == 10**8
    assert TARGET_SCALE == 10**18


@given(I64)
@example(-(2**63))
def test_text_is_the_exact_decimal(raw: int) -> None:
    text = format_fixed(raw)
    assert decimal.Decimal(text).scaleb(8) == raw
    assert parse_fixed(text) == raw
    assert "E" not in text
    assert not ("." in text and text.endswith(("0", ".")))


@given(I128)
def test_target_text_is_the_exact_decimal(raw: int) -> None:
    text = format_target(raw)
    with decimal.localcontext(prec=60):
        assert decimal.Decimal(text).scaleb(18) == raw


@given(st.from_regex(r"[+-]?[0-9]{1,13}(\.[0-9]{1,12})?", fullmatch=True))
def test_a_number_is_read_exactly_or_refused(text: str) -> None:
    with decimal.localcontext(prec=60):
        exact = decimal.Decimal(text).scaleb(8)
    fits = exact == exact.to_integral_value() and -(2**63) <= exact <= I64_MAX
    if fits:
        assert parse_fixed(text) == exact
    else:
        with pytest.raises(FixedError):
            parse_fixed(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", "+", ".", ".5", "5.", "1e5", "1E5", " 1", "1 ", "1_0", "0x1", "nan"),
        *("inf", "--1", "+-1", "1.2.3", "1,5", "\u0661", "1\x00", "92233720368.54775808"),
    ],
)
def test_what_is_no_plain_number_is_refused(text: str) -> None:
    with pytest.raises(FixedError, match="expected"):
        parse_fixed(text)


def test_a_refusal_repeats_only_the_start_of_a_long_text() -> None:
    with pytest.raises(FixedError) as refusal:
        parse_fixed("9" * 5_000)
    assert len(str(refusal.value)) < 200


@given(I128, I128, I128.filter(bool), ROUNDINGS)
def test_mul_div_is_the_rounded_fraction(
    value: int, numerator: int, denominator: int, rounding: Rounding
) -> None:
    expected = rounded(Fraction(value * numerator, denominator), rounding)
    if -(2**127) <= expected <= I128_MAX:
        assert mul_div(value, numerator, denominator, rounding) == expected
    else:
        with pytest.raises(FixedError):
            mul_div(value, numerator, denominator, rounding)


@given(I128, I64, st.integers(1, 10**20), ROUNDINGS)
def test_mul_div_with_ordinary_divisors(
    value: int, numerator: int, denominator: int, rounding: Rounding
) -> None:
    value >>= 24
    expected = rounded(Fraction(value * numerator, denominator), rounding)
    if -(2**127) <= expected <= I128_MAX:
        assert mul_div(value, numerator, denominator, rounding) == expected
    else:
        with pytest.raises(FixedError):
            mul_div(value, numerator, denominator, rounding)


@pytest.mark.parametrize("rounding", list(ORACLE))
def test_division_by_zero_is_refused(rounding: Rounding) -> None:
    with pytest.raises(FixedError):
        mul_div(1, 1, 0, rounding)


@given(I64, I64, ROUNDINGS)
@example(5_000, 10_000, Rounding.HALF_EVEN)
@example(15_000, 10_000, Rounding.HALF_EVEN)
def test_quote_value_is_price_times_quantity(px: int, qty: int, rounding: Rounding) -> None:
    expected = rounded(Fraction(px * qty, SCALE), rounding)
    if -(2**63) <= expected <= I64_MAX:
        assert quote_value(px, qty, rounding) == expected
    else:
        with pytest.raises(FixedError):
            quote_value(px, qty, rounding)


@given(I64, st.integers(1, I64_MAX), ROUNDINGS)
def test_rounding_to_a_step_is_a_multiple(raw: int, step: int, rounding: Rounding) -> None:
    expected = rounded(Fraction(raw, step), rounding) * step
    if -(2**63) <= expected <= I64_MAX:
        assert round_to_step(raw, step, rounding) == expected
    else:
        with pytest.raises(FixedError):
            round_to_step(raw, step, rounding)


@given(I64, st.integers(-(2**63), 0))
def test_a_step_must_be_positive(raw: int, step: int) -> None:
    with pytest.raises(FixedError):
        round_to_step(raw, step, Rounding.FLOOR)
