//! Fixed-point money: prices, quantities and quote amounts as i64 at 10⁻⁸, targets as i128 at
//! 10⁻¹⁸.
//!
//! Text is parsed exactly or refused, products are taken in i128 or wider, and no operation
//! wraps. There is no float in here.

#![deny(clippy::arithmetic_side_effects)]

use ethnum::I256;
use thiserror::Error;

use crate::rounding::{Rounding, divide, divide_wide};

/// Raw units per one: 10⁸.
pub const SCALE: i64 = 100_000_000;
/// Decimals of [`SCALE`].
pub const SCALE_DIGITS: u32 = 8;
/// Raw units per one of a target: 10¹⁸.
pub const TARGET_SCALE: i128 = 1_000_000_000_000_000_000;
/// Decimals of [`TARGET_SCALE`].
pub const TARGET_DIGITS: u32 = 18;

/// At most this much of a refused text is repeated in an error.
const SHOWN_CHARS: usize = 48;

/// Why a number was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FixedError {
    /// The text is not a plain decimal number.
    #[error("expected decimal text like -12.5, found {0:?}")]
    Malformed(String),
    /// The text has more decimals than the scale holds.
    #[error("expected at most 8 decimals, found {0:?}")]
    TooPrecise(String),
    /// The number in the text does not fit.
    #[error("expected a number of magnitude below 92233720368.54775808, found {0:?}")]
    TooLarge(String),
    /// The result of an operation does not fit; the field says of which.
    #[error("{0} does not fit its integer type")]
    Overflow(&'static str),
    /// A division by zero.
    #[error("expected a divisor other than zero, found 0")]
    ZeroDivisor,
    /// A step that is not positive.
    #[error("expected a positive step, found {0} (raw)")]
    Step(i64),
}

/// Defines a money type: a checked newtype over i64 at 10⁻⁸.
macro_rules! money {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub i64);

        impl $name {
            /// Nothing.
            pub const ZERO: Self = Self(0);

            /// Adds.
            ///
            /// # Errors
            /// [`FixedError::Overflow`] when the sum leaves i64.
            pub fn checked_add(self, other: Self) -> Result<Self, FixedError> {
                let sum = self.0.checked_add(other.0).map(Self);
                sum.ok_or(FixedError::Overflow(concat!($what, " sum")))
            }

            /// Subtracts.
            ///
            /// # Errors
            /// [`FixedError::Overflow`] when the difference leaves i64.
            pub fn checked_sub(self, other: Self) -> Result<Self, FixedError> {
                let difference = self.0.checked_sub(other.0).map(Self);
                difference.ok_or(FixedError::Overflow(concat!($what, " difference")))
            }

            /// Changes the sign.
            ///
            /// # Errors
            /// [`FixedError::Overflow`] for the least i64.
            pub fn checked_neg(self) -> Result<Self, FixedError> {
                let negated = self.0.checked_neg().map(Self);
                negated.ok_or(FixedError::Overflow(concat!($what, " negation")))
            }

            /// Narrows a raw value at 10⁻⁸.
            ///
            /// # Errors
            /// [`FixedError::Overflow`] when it leaves i64.
            pub fn from_wide(raw: i128) -> Result<Self, FixedError> {
                i64::try_from(raw).map(Self).map_err(|_| FixedError::Overflow($what))
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                formatter.write_str(&format_fixed(self.0))
            }
        }
    };
}

money!(
    /// A price: quote per base unit, at 10⁻⁸.
    Px,
    "a price"
);
money!(
    /// A quantity in base units, at 10⁻⁸; signed where it is a position.
    Qty,
    "a quantity"
);
money!(
    /// An amount of the quote currency, at 10⁻⁸.
    Quote,
    "a quote amount"
);

/// Parses decimal text exactly: optional sign, digits, optional fraction.
///
/// At most 8 decimals may be other than trailing zeros. There is no exponent, no blank and no
/// missing digit on either side of the point.
///
/// # Errors
/// [`FixedError::Malformed`], [`FixedError::TooPrecise`] or [`FixedError::TooLarge`].
pub fn parse_fixed(text: &str) -> Result<i64, FixedError> {
    let (is_negative, digits) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        all => (false, all),
    };
    let mut magnitude: u64 = 0;
    let mut whole_count: usize = 0;
    let mut decimals: Option<u32> = None;
    // Kept until the whole text is known to be a number: syntax is reported before size.
    let mut refusal: Option<fn(String) -> FixedError> = None;
    for byte in digits {
        let digit = match byte {
            b'0'..=b'9' => u64::from(byte.wrapping_sub(b'0')),
            b'.' if decimals.is_none() && whole_count > 0 => {
                decimals = Some(0);
                continue;
            }
            _ => return Err(FixedError::Malformed(shown(text))),
        };
        if let Some(count) = decimals {
            decimals = Some(count.saturating_add(1));
            if count >= SCALE_DIGITS {
                if digit != 0 && refusal.is_none() {
                    refusal = Some(FixedError::TooPrecise);
                }
                continue;
            }
        } else {
            whole_count = whole_count.saturating_add(1);
        }
        match magnitude
            .checked_mul(10)
            .and_then(|tens| tens.checked_add(digit))
        {
            Some(value) => magnitude = value,
            None => refusal = Some(FixedError::TooLarge),
        }
    }
    if whole_count == 0 || decimals == Some(0) {
        return Err(FixedError::Malformed(shown(text)));
    }
    if let Some(refuse) = refusal {
        return Err(refuse(shown(text)));
    }
    let missing = SCALE_DIGITS.saturating_sub(decimals.unwrap_or(0));
    signed(magnitude, missing, is_negative).ok_or_else(|| FixedError::TooLarge(shown(text)))
}

fn signed(magnitude: u64, missing_digits: u32, is_negative: bool) -> Option<i64> {
    let raw = magnitude.checked_mul(10_u64.checked_pow(missing_digits)?)?;
    if is_negative {
        0_i64.checked_sub_unsigned(raw)
    } else {
        i64::try_from(raw).ok()
    }
}

fn shown(text: &str) -> String {
    if text.chars().nth(SHOWN_CHARS).is_none() {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(SHOWN_CHARS).collect();
    cut.push('…');
    cut
}

/// Returns the shortest exact decimal text of a raw value at 10⁻⁸.
#[must_use]
pub fn format_fixed(raw: i64) -> String {
    format_scaled(i128::from(raw), SCALE_DIGITS)
}

/// Returns the shortest exact decimal text of a raw value at 10⁻¹⁸.
#[must_use]
pub fn format_target(raw: i128) -> String {
    format_scaled(raw, TARGET_DIGITS)
}

fn format_scaled(raw: i128, digits: u32) -> String {
    let width = usize::try_from(digits).unwrap_or(0);
    let sign = if raw < 0 { "-" } else { "" };
    let all = format!("{:0>1$}", raw.unsigned_abs(), width.saturating_add(1));
    let (whole, fraction) = all.split_at(all.len().saturating_sub(width));
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    [sign, whole, point, fraction].concat()
}

/// Returns `value * numerator / denominator`, exact until the one named rounding.
///
/// # Errors
/// [`FixedError::ZeroDivisor`], or [`FixedError::Overflow`] when the result leaves i128.
pub fn mul_div(
    value: i128,
    numerator: i128,
    denominator: i128,
    rounding: Rounding,
) -> Result<i128, FixedError> {
    if let Some(product) = value.checked_mul(numerator) {
        return divide(product, denominator, rounding);
    }
    // Two 128-bit factors always fit 256 bits, so only the quotient can be too large.
    let product = I256::from(value)
        .checked_mul(I256::from(numerator))
        .ok_or(FixedError::Overflow("a product"))?;
    divide_wide(product, I256::from(denominator), rounding)
}

/// Returns price times quantity as a quote amount, rounded as named.
///
/// # Errors
/// [`FixedError::Overflow`] when the amount leaves i64.
pub fn quote_value(px: Px, qty: Qty, rounding: Rounding) -> Result<Quote, FixedError> {
    let product = i128::from(px.0).saturating_mul(i128::from(qty.0));
    Quote::from_wide(divide(product, i128::from(SCALE), rounding)?)
}
