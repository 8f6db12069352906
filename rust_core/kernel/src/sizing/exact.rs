//! Checked arithmetic on quantities at 10^-18, the scale of targets.
//!
//! Everything in `sizing` goes through these functions: a value that does not fit is
//! [`Overflow`], the outcome of that row alone, never a wrapped number.

use crate::fixed::mul_div;
use crate::rounding::Rounding;

/// Raw target steps (10^-18) in one raw quantity step (10^-8).
pub const TARGET_PER_QTY: i128 = 10_000_000_000;
/// One base unit as a target.
pub const TARGET_SCALE: i128 = 1_000_000_000_000_000_000;
/// One unit at 10^-8.
pub const FIXED_SCALE: i128 = 100_000_000;
/// Parts per million in one.
pub const PPM: i128 = 1_000_000;
/// What counts as nothing when an order is cut: 10^-12 units, a ten-thousandth of the smallest
/// lot. Each event rounds a target by at most a step of 10^-18; without this margin a target of
/// 0.0999…9 lots, reached in parts, would trade otherwise than the 0.1 reached at once.
pub const DUST: i128 = 1_000_000;

/// A row's arithmetic did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a value does not fit its type")]
pub struct Overflow;

/// The result of one exact operation.
pub type Exact<T> = Result<T, Overflow>;

/// Returns the sum.
///
/// # Errors
/// [`Overflow`]: it does not fit.
pub fn add(left: i128, right: i128) -> Exact<i128> {
    left.checked_add(right).ok_or(Overflow)
}

/// Returns the difference.
///
/// # Errors
/// [`Overflow`]: it does not fit.
pub fn sub(left: i128, right: i128) -> Exact<i128> {
    left.checked_sub(right).ok_or(Overflow)
}

/// Returns the product.
///
/// # Errors
/// [`Overflow`]: it does not fit.
pub fn mul(left: i128, right: i128) -> Exact<i128> {
    left.checked_mul(right).ok_or(Overflow)
}

/// Returns the magnitude.
///
/// # Errors
/// [`Overflow`]: the most negative number has none.
pub fn abs(value: i128) -> Exact<i128> {
    value.checked_abs().ok_or(Overflow)
}

/// Returns `value x numerator / denominator`, rounded as named, with a wide intermediate.
///
/// # Errors
/// [`Overflow`]: the result does not fit or the denominator is zero.
pub fn scale(value: i128, numerator: i128, denominator: i128, rounding: Rounding) -> Exact<i128> {
    mul_div(value, numerator, denominator, rounding).map_err(|_| Overflow)
}

/// Returns a raw quantity as a target. Always fits: 2^63 x 10^10 is below 2^127.
#[must_use]
pub fn to_target(raw: i64) -> i128 {
    i128::from(raw).saturating_mul(TARGET_PER_QTY)
}

/// Returns a target as a raw quantity, the part below 10^-8 cut off.
///
/// # Errors
/// [`Overflow`]: it does not fit.
pub fn to_raw(target: i128) -> Exact<i64> {
    narrow(target.checked_div(TARGET_PER_QTY).ok_or(Overflow)?)
}

/// Returns a wide number as a raw one.
///
/// # Errors
/// [`Overflow`]: it does not fit.
pub fn narrow(value: i128) -> Exact<i64> {
    i64::try_from(value).map_err(|_| Overflow)
}

/// Returns the largest multiple of `step` not above a non-negative `value`.
///
/// # Errors
/// [`Overflow`]: the step is zero.
pub fn floor_to(value: i128, step: i128) -> Exact<i128> {
    sub(value, value.checked_rem_euclid(step).ok_or(Overflow)?)
}

/// Returns the smallest multiple of `step` not below a non-negative `value`.
///
/// # Errors
/// [`Overflow`]: the step is zero or the result does not fit.
pub fn ceil_to(value: i128, step: i128) -> Exact<i128> {
    let floor = floor_to(value, step)?;
    if floor == value {
        Ok(floor)
    } else {
        add(floor, step)
    }
}

/// Returns the notional of a positive quantity in raw quote, rounded up.
///
/// # Errors
/// [`Overflow`]: it does not fit.
pub fn notional_up(qty: i128, px: i64) -> Exact<i128> {
    scale(qty, i128::from(px), FIXED_SCALE, Rounding::Ceil)
}
