//! Walking a book: what an order would fill, at which average and worst price.

use crate::book::error::BookError;
use crate::book::half::{Level, rank};
use crate::fixed::{Px, Qty, Quote, SCALE, mul_div};
use crate::rounding::{Rounding, divide};
use crate::side::Side;

/// One million: the unit of a ratio in ppm.
const PPM: i128 = 1_000_000;

/// What taking `filled_qty + unfilled_qty` from one side of a book would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FillEstimate {
    /// Side of the order.
    pub side: Side,
    /// Quantity that fills.
    pub filled_qty: Qty,
    /// Quantity that does not.
    pub unfilled_qty: Qty,
    /// Average price, rounded against the taker; `None` when nothing filled.
    pub vwap_px: Option<Px>,
    /// Price of the last level touched; `None` when nothing filled.
    pub worst_px: Option<Px>,
    /// Price times quantity of the fill, rounded against the taker.
    pub notional: Quote,
    /// Number of levels touched.
    pub level_count: usize,
    /// Sum of price times quantity at 10⁻¹⁶, exact.
    cost: i128,
}

impl FillEstimate {
    /// Returns the cost against a reference in ppm, positive when worse, rounded up.
    ///
    /// Taken from the exact average, before any rounding.
    ///
    /// # Errors
    /// [`BookError::NothingFilled`], [`BookError::ReferencePx`], or overflow.
    pub fn slippage_ppm(&self, reference_px: Px) -> Result<i64, BookError> {
        if self.filled_qty.0 <= 0 {
            return Err(BookError::NothingFilled);
        }
        if reference_px.0 <= 0 {
            return Err(BookError::ReferencePx(reference_px));
        }
        let fair = product(reference_px, self.filled_qty);
        let excess = self.cost.saturating_sub(fair);
        let worse = excess.saturating_mul(i128::from(self.side.sign()));
        Ok(Px::from_wide(mul_div(worse, PPM, fair, Rounding::Ceil)?)?.0)
    }
}

fn product(px: Px, qty: Qty) -> i128 {
    // Two i64 factors always fit i128.
    i128::from(px.0).saturating_mul(i128::from(qty.0))
}

/// Returns the rounding that favours the venue: an estimate is never too good.
const fn against(taker: Side) -> Rounding {
    match taker {
        Side::Buy => Rounding::Ceil,
        Side::Sell => Rounding::Floor,
    }
}

/// Walks levels from the best outwards.
///
/// Total: quantities of 0 or less fill nothing, and depth whose notional would leave i64 counts
/// as not there.
pub(crate) fn walk_levels(
    levels: impl Iterator<Item = Level>,
    side: Side,
    qty: Qty,
    limit_px: Option<Px>,
) -> FillEstimate {
    let mut open_qty = qty.0;
    let mut cost: i128 = 0;
    let mut level_count: usize = 0;
    let mut worst_px = None;
    let cost_max = i128::from(i64::MAX).saturating_mul(i128::from(SCALE));
    for level in levels {
        let is_outside = limit_px.is_some_and(|limit| rank(level.px, side) > rank(limit, side));
        if open_qty <= 0 || is_outside {
            break;
        }
        let taken = Qty(open_qty.min(level.qty.0));
        let sum = cost.saturating_add(product(level.px, taken));
        if sum > cost_max {
            break;
        }
        cost = sum;
        open_qty = open_qty.saturating_sub(taken.0);
        level_count = level_count.saturating_add(1);
        worst_px = Some(level.px);
    }
    let filled_qty = Qty(qty.0.saturating_sub(open_qty));
    let notional = divide(cost, i128::from(SCALE), against(side));
    let vwap = divide(cost, i128::from(filled_qty.0), against(side));
    FillEstimate {
        side,
        filled_qty,
        unfilled_qty: Qty(open_qty),
        vwap_px: vwap.and_then(Px::from_wide).ok(),
        worst_px,
        // `cost_max` keeps this inside i64.
        notional: notional.and_then(Quote::from_wide).unwrap_or_default(),
        level_count,
        cost,
    }
}
