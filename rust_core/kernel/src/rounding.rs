//! Named roundings: every division in Slipstream states which way its remainder goes.

#![deny(clippy::arithmetic_side_effects)]

use ethnum::I256;

use crate::fixed::FixedError;

/// Which way the remainder of a division goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// To minus infinity.
    Floor,
    /// To plus infinity.
    Ceil,
    /// Toward zero.
    Down,
    /// Away from zero.
    Up,
    /// To the nearest, ties to the even neighbour.
    HalfEven,
}

impl Rounding {
    /// All roundings, in the order of the Python enum.
    pub const ALL: [Self; 5] = [
        Self::Floor,
        Self::Ceil,
        Self::Down,
        Self::Up,
        Self::HalfEven,
    ];

    /// Tells whether a truncated quotient must move one away from zero.
    ///
    /// `half` compares twice the remainder's magnitude with the divisor's; it is only asked for
    /// a remainder other than zero.
    fn moves_away(self, is_negative: bool, is_odd: bool, half: core::cmp::Ordering) -> bool {
        match self {
            Self::Floor => is_negative,
            Self::Ceil => !is_negative,
            Self::Down => false,
            Self::Up => true,
            Self::HalfEven => half.is_gt() || (half.is_eq() && is_odd),
        }
    }
}

/// Divides with a named rounding.
///
/// # Errors
/// [`FixedError::ZeroDivisor`], or [`FixedError::Overflow`] when the quotient leaves i128.
pub fn divide(numerator: i128, denominator: i128, rounding: Rounding) -> Result<i128, FixedError> {
    if denominator == 0 {
        return Err(FixedError::ZeroDivisor);
    }
    let overflow = FixedError::Overflow("a quotient");
    let Some(quotient) = numerator.checked_div(denominator) else {
        return Err(overflow);
    };
    let remainder = numerator.checked_rem(denominator).unwrap_or(0);
    if remainder == 0 {
        return Ok(quotient);
    }
    let is_negative = (numerator < 0) != (denominator < 0);
    let magnitude = remainder.unsigned_abs();
    let half = magnitude.cmp(&denominator.unsigned_abs().saturating_sub(magnitude));
    if !rounding.moves_away(is_negative, quotient & 1 != 0, half) {
        return Ok(quotient);
    }
    quotient
        .checked_add(if is_negative { -1 } else { 1 })
        .ok_or(overflow)
}

/// Divides at 256 bits with a named rounding; the quotient must fit i128.
///
/// # Errors
/// [`FixedError::ZeroDivisor`], or [`FixedError::Overflow`] when the quotient leaves i128.
pub(crate) fn divide_wide(
    numerator: I256,
    denominator: I256,
    rounding: Rounding,
) -> Result<i128, FixedError> {
    if denominator == I256::ZERO {
        return Err(FixedError::ZeroDivisor);
    }
    let overflow = FixedError::Overflow("a quotient");
    let Some(truncated) = numerator.checked_div(denominator) else {
        return Err(overflow);
    };
    let Ok(quotient) = i128::try_from(truncated) else {
        return Err(overflow);
    };
    let remainder = numerator.checked_rem(denominator).unwrap_or(I256::ZERO);
    if remainder == I256::ZERO {
        return Ok(quotient);
    }
    let is_negative = numerator.is_negative() != denominator.is_negative();
    let magnitude = remainder.unsigned_abs();
    let half = magnitude.cmp(&denominator.unsigned_abs().saturating_sub(magnitude));
    if !rounding.moves_away(is_negative, quotient & 1 != 0, half) {
        return Ok(quotient);
    }
    quotient
        .checked_add(if is_negative { -1 } else { 1 })
        .ok_or(overflow)
}

/// Rounds a raw value to a multiple of `step`.
///
/// # Errors
/// [`FixedError::Step`] for a step that is not positive; [`FixedError::Overflow`] when the
/// multiple leaves i64.
pub fn round_to_step(raw: i64, step: i64, rounding: Rounding) -> Result<i64, FixedError> {
    if step <= 0 {
        return Err(FixedError::Step(step));
    }
    let count = divide(i128::from(raw), i128::from(step), rounding)?;
    let multiple = count.checked_mul(i128::from(step));
    multiple
        .and_then(|value| i64::try_from(value).ok())
        .ok_or(FixedError::Overflow("a multiple of a step"))
}
