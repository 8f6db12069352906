//! From a wanted target to the quantity that an order must move, before caps and bounds.

use crate::sizing::exact::{
    DUST, Exact, TARGET_PER_QTY, abs, add, ceil_to, floor_to, mul, sub, to_target,
};
use crate::sizing::lane::LaneSide;

/// What brings a side from its position to its wanted target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Movement {
    /// Nothing, or less than dust.
    None,
    /// Away from zero by `amount` at 10^-18.
    Open {
        /// Sign of the order.
        direction: i128,
        /// Magnitude at 10^-18.
        amount: i128,
    },
    /// Toward zero.
    Reduce {
        /// Sign of the order.
        direction: i128,
        /// Magnitude at 10^-18, before rounding to the lot.
        amount: i128,
        /// The largest magnitude that does not go through zero.
        held: i128,
        /// Whether an opening in the other direction waits behind it.
        is_crossing: bool,
    },
    /// Depends on the order whose fate is unknown.
    Unsure {
        /// Whether a reduction may be needed.
        may_reduce: bool,
    },
}

/// Returns the movement of a side; an order of unknown fate makes the position an interval.
///
/// # Errors
/// [`crate::sizing::exact::Overflow`]: a value does not fit.
pub fn movement(wanted: i128, side: &LaneSide) -> Exact<Movement> {
    let position = to_target(side.position.0);
    let without = between(wanted, position)?;
    if side.unknown.0 == 0 {
        return Ok(without);
    }
    let with = between(wanted, add(position, to_target(side.unknown.0))?)?;
    Ok(narrowed(without, with))
}

/// Returns what is a movement at both ends of the interval.
///
/// Nothing opens beside an order of unknown fate, so an opening's amount says what is missing: as
/// if that order fills. What an unknown opening lacks is told of as its own, and an unknown
/// reduction stays wanted until what it was to close is gone.
fn narrowed(without: Movement, with: Movement) -> Movement {
    use Movement::{Open, Reduce, Unsure};
    match (without, with) {
        (
            Open { direction, .. },
            Open {
                direction: other,
                amount,
            },
        ) if direction == other => Open { direction, amount },
        (Movement::None, missing @ Open { .. }) => missing,
        (
            Reduce {
                direction,
                amount,
                held,
                is_crossing,
            },
            Reduce {
                direction: other,
                amount: other_amount,
                held: other_held,
                ..
            },
        ) if direction == other => Reduce {
            direction,
            amount: amount.min(other_amount),
            held: held.min(other_held),
            is_crossing,
        },
        (first, second) => Unsure {
            may_reduce: matches!(first, Reduce { .. }) || matches!(second, Reduce { .. }),
        },
    }
}

fn between(wanted: i128, position: i128) -> Exact<Movement> {
    let change = sub(wanted, position)?;
    if abs(change)? <= DUST {
        return Ok(Movement::None);
    }
    let direction = change.signum();
    let is_opening = position == 0 || position.signum() == direction;
    if is_opening {
        return Ok(Movement::Open {
            direction,
            amount: abs(change)?,
        });
    }
    let held = abs(position)?;
    let amount = abs(change)?.min(held);
    let is_crossing = wanted.signum() == direction && abs(wanted)? > DUST;
    Ok(Movement::Reduce {
        direction,
        amount,
        held,
        is_crossing,
    })
}

/// Returns an opening's quantity: down to the lot, raw.
///
/// # Errors
/// [`crate::sizing::exact::Overflow`]: a value does not fit.
pub fn opening_lots(amount: i128, qty_step: i64) -> Exact<i128> {
    let step = mul(i128::from(qty_step), TARGET_PER_QTY)?;
    let lots = floor_to(add(amount, DUST)?, step)?;
    Ok(lots.checked_div(TARGET_PER_QTY).unwrap_or(0))
}

/// Returns a reduction's quantity: up to the lot but never through zero, raw.
///
/// # Errors
/// [`crate::sizing::exact::Overflow`]: a value does not fit.
pub fn reduction_lots(amount: i128, held: i128, qty_step: i64) -> Exact<i128> {
    let step = mul(i128::from(qty_step), TARGET_PER_QTY)?;
    let lots = ceil_to(sub(amount, DUST)?, step)?.min(held);
    Ok(lots.checked_div(TARGET_PER_QTY).unwrap_or(0))
}
