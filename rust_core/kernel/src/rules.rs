//! What a venue accepts for one instrument.

use thiserror::Error;

use crate::fixed::{FixedError, Px, Qty, Quote, SCALE, format_fixed};
use crate::rounding::{Rounding, round_to_step};
use crate::side::Side;

/// Why rules, or a price under them, were refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RulesError {
    /// A rule is outside what makes sense; fields: its name, what was expected, the value found.
    #[error("{name}: expected {expected}, found {found}")]
    Rule {
        /// Name of the rule.
        name: &'static str,
        /// What would have been accepted.
        expected: String,
        /// The value given.
        found: String,
    },
    /// No price at or inside the bound can be sent.
    #[error("limit price {px} of a {side}: expected a valid price inside it, found none")]
    NoPx {
        /// The bound that was to be rounded.
        px: Px,
        /// Side of the order.
        side: Side,
    },
    /// The arithmetic did not fit.
    #[error(transparent)]
    Fixed(#[from] FixedError),
}

/// Trading rules of one instrument, validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstrumentRules {
    px_step: Px,
    qty_step: Qty,
    qty_min: Qty,
    qty_max: Option<Qty>,
    notional_min: Quote,
    px_digits_max: Option<u32>,
    is_reduction_exempt: bool,
}

/// Rules as given, before validation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulesInput {
    /// Tick: prices are its multiples.
    pub px_step: Px,
    /// Lot: quantities are its multiples.
    pub qty_step: Qty,
    /// Least quantity of an order.
    pub qty_min: Qty,
    /// Greatest quantity of a market order; `None` = no limit.
    pub qty_max: Option<Qty>,
    /// Least notional of an order.
    pub notional_min: Quote,
    /// Greatest number of significant digits of a price; `None` = no limit.
    pub px_digits_max: Option<u32>,
    /// Whether reductions need not reach `notional_min`.
    pub is_reduction_exempt: bool,
}

impl InstrumentRules {
    /// Validates rules.
    ///
    /// # Errors
    /// [`RulesError::Rule`] naming the step or limit that does not fit.
    pub fn new(input: &RulesInput) -> Result<Self, RulesError> {
        require(
            input.px_step.0 > 0,
            "px_step",
            "a positive step",
            input.px_step.0,
        )?;
        require(
            input.qty_step.0 > 0,
            "qty_step",
            "a positive step",
            input.qty_step.0,
        )?;
        require(
            input.qty_min.0 >= 0,
            "qty_min",
            "0 or more",
            input.qty_min.0,
        )?;
        if let Some(qty_max) = input.qty_max {
            let least = input.qty_min.max(input.qty_step);
            let expected = format!("at least {least} (the minimum and one lot)");
            require(qty_max >= least, "qty_max", &expected, qty_max.0)?;
        }
        require(
            input.notional_min.0 >= 0,
            "notional_min",
            "0 or more",
            input.notional_min.0,
        )?;
        if input.px_digits_max == Some(0) {
            return Err(RulesError::Rule {
                name: "px_digits_max",
                expected: "at least 1 digit".to_owned(),
                found: "0".to_owned(),
            });
        }
        Ok(Self {
            px_step: input.px_step,
            qty_step: input.qty_step,
            qty_min: input.qty_min,
            qty_max: input.qty_max,
            notional_min: input.notional_min,
            px_digits_max: input.px_digits_max,
            is_reduction_exempt: input.is_reduction_exempt,
        })
    }

    /// Returns the tick.
    #[must_use]
    pub const fn px_step(&self) -> Px {
        self.px_step
    }

    /// Returns the lot.
    #[must_use]
    pub const fn qty_step(&self) -> Qty {
        self.qty_step
    }

    /// Returns the least quantity of an order.
    #[must_use]
    pub const fn qty_min(&self) -> Qty {
        self.qty_min
    }

    /// Returns the greatest quantity of a market order; `None` = no limit.
    #[must_use]
    pub const fn qty_max(&self) -> Option<Qty> {
        self.qty_max
    }

    /// Returns the least notional of an order.
    #[must_use]
    pub const fn notional_min(&self) -> Quote {
        self.notional_min
    }

    /// Returns the greatest number of significant digits of a price; `None` = no limit.
    #[must_use]
    pub const fn px_digits_max(&self) -> Option<u32> {
        self.px_digits_max
    }

    /// Tells whether reductions need not reach the least notional.
    #[must_use]
    pub const fn is_reduction_exempt(&self) -> bool {
        self.is_reduction_exempt
    }

    /// Rounds a limit price inside the bound: a buy down, a sell up.
    ///
    /// With `px_digits_max` the result also has no more significant digits than that, except
    /// that whole prices are always fine (Hyperliquid's rule).
    ///
    /// # Errors
    /// [`RulesError::NoPx`] when no positive price is left, and overflow.
    pub fn round_px(&self, px: Px, side: Side) -> Result<Px, RulesError> {
        let none = RulesError::NoPx { px, side };
        if px.0 <= 0 {
            return Err(none);
        }
        let rounding = match side {
            Side::Buy => Rounding::Floor,
            Side::Sell => Rounding::Ceil,
        };
        let mut raw = round_to_step(px.0, self.px_step.0, rounding)?;
        // A price that moved into another decade may owe the digit rule again; each round
        // either stands or moves on, and a buy only moves down, a sell only to fewer digits.
        while raw > 0 {
            let step = self.px_step_at(raw)?;
            let next = round_to_step(raw, step, rounding)?;
            if next == raw {
                return Ok(Px(raw));
            }
            raw = next;
        }
        Err(none)
    }

    /// Rounds a quantity to the lot.
    ///
    /// # Errors
    /// [`RulesError::Fixed`] when the result leaves i64.
    pub fn round_qty(&self, qty: Qty, rounding: Rounding) -> Result<Qty, RulesError> {
        Ok(Qty(round_to_step(qty.0, self.qty_step.0, rounding)?))
    }

    /// Returns the step that holds at a price: the tick, or a coarser one by the digit rule.
    fn px_step_at(&self, raw: i64) -> Result<i64, FixedError> {
        let Some(digits_max) = self.px_digits_max else {
            return Ok(self.px_step.0);
        };
        let digits = raw.checked_ilog10().unwrap_or(0).saturating_add(1);
        let exponent = digits.saturating_sub(digits_max);
        let digit_step = 10_i64.checked_pow(exponent).unwrap_or(SCALE).min(SCALE);
        common_multiple(self.px_step.0, digit_step)
    }
}

fn require(holds: bool, name: &'static str, expected: &str, found: i64) -> Result<(), RulesError> {
    if holds {
        return Ok(());
    }
    Err(RulesError::Rule {
        name,
        expected: expected.to_owned(),
        found: format_fixed(found),
    })
}

fn common_multiple(first: i64, second: i64) -> Result<i64, FixedError> {
    let (mut divisor, mut rest) = (first, second);
    while rest != 0 {
        (divisor, rest) = (rest, divisor.checked_rem(rest).unwrap_or(0));
    }
    let part = second.checked_div(divisor).unwrap_or(second);
    first
        .checked_mul(part)
        .ok_or(FixedError::Overflow("a price step"))
}
