//! Price bounds: the reference an order is bound to and the limit price that follows.
//!
//! Openings take the tighter of the arrival price and the leader's price, never renewed. Exits
//! take the first fresh one of mid, best, mark, else the leader's price, at each attempt anew.

use crate::fixed::Px;
use crate::rounding::Rounding;
use crate::rules::InstrumentRules;
use crate::side::Side;
use crate::sizing::exact::{Exact, Overflow, PPM, add, narrow, scale, sub};

/// Which price a bound is drawn around.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReferenceKind {
    /// The mid when the intent was built.
    ArrivalMid,
    /// The leader's price.
    LeaderPx,
    /// The mid now.
    Mid,
    /// The best price now.
    Best,
    /// The mark price.
    Mark,
}

/// A named reference price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// Its name.
    pub kind: ReferenceKind,
    /// Its price.
    pub px: Px,
}

/// The venue's price band. `None` = no band on that end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Band {
    /// Lowest price accepted.
    pub low: Option<Px>,
    /// Highest price accepted.
    pub high: Option<Px>,
}

/// A limit price and where it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// The reference that gave the limit.
    pub reference: Reference,
    /// The distance from it.
    pub ppm: i64,
    /// The limit before rounding to the tick and the band.
    pub edge_px: i64,
    /// The limit to send; `None` when no price inside bound and band exists.
    pub limit_px: Option<Px>,
}

/// Returns whether `px` is inside a limit of an order of `side`.
#[must_use]
pub fn is_inside(px: Px, limit: Px, side: Side) -> bool {
    match side {
        Side::Buy => px <= limit,
        Side::Sell => px >= limit,
    }
}

/// Returns the bound around one reference.
///
/// # Errors
/// [`Overflow`]: the limit does not fit, or the reference is not a price.
pub fn bound(
    reference: Reference,
    ppm: i64,
    side: Side,
    rules: &InstrumentRules,
    band: Band,
) -> Exact<Bound> {
    let edge_px = edge(reference.px, ppm, side)?;
    let limit_px = within_band(edge_px, side, rules, band);
    Ok(Bound {
        reference,
        ppm,
        edge_px,
        limit_px,
    })
}

/// Returns the tighter of two bounds of an opening; the first one on a tie.
///
/// # Errors
/// [`Overflow`]: a limit does not fit, or a reference is not a price.
pub fn tighter(
    first: (Reference, i64),
    second: (Reference, i64),
    side: Side,
    rules: &InstrumentRules,
    band: Band,
) -> Exact<Bound> {
    let first_edge = edge(first.0.px, first.1, side)?;
    let second_edge = edge(second.0.px, second.1, side)?;
    let is_second = match side {
        Side::Buy => second_edge < first_edge,
        Side::Sell => second_edge > first_edge,
    };
    let ((reference, ppm), edge_px) = if is_second {
        (second, second_edge)
    } else {
        (first, first_edge)
    };
    let limit_px = within_band(edge_px, side, rules, band);
    Ok(Bound {
        reference,
        ppm,
        edge_px,
        limit_px,
    })
}

fn edge(px: Px, ppm: i64, side: Side) -> Exact<i64> {
    if px.0 <= 0 {
        return Err(Overflow);
    }
    let (factor, rounding) = match side {
        Side::Buy => (add(PPM, i128::from(ppm))?, Rounding::Floor),
        Side::Sell => (sub(PPM, i128::from(ppm))?, Rounding::Ceil),
    };
    narrow(scale(i128::from(px.0), factor, PPM, rounding)?)
}

fn within_band(edge_px: i64, side: Side, rules: &InstrumentRules, band: Band) -> Option<Px> {
    let wished = match side {
        Side::Buy => band.high.map_or(edge_px, |high| edge_px.min(high.0)),
        // A bound of everything still names a price: the lowest one.
        Side::Sell => band.low.map_or(edge_px, |low| edge_px.max(low.0)).max(1),
    };
    let limit = rules.round_px(Px(wished), side).ok()?;
    let is_in_band =
        band.low.is_none_or(|low| limit >= low) && band.high.is_none_or(|high| limit <= high);
    is_in_band.then_some(limit)
}
