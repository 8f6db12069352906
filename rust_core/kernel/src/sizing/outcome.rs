//! What planning a cohort gives back: per row an order, a skip, or a lane that waits.

use crate::fixed::{Px, Qty};
use crate::reason::SkipReason;
use crate::side::{PositionSide, Side};
use crate::sizing::bounds::ReferenceKind;

/// The targets and position of the side a leg is about, after the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Targets {
    /// What the mode says, at 10^-18.
    pub exact: i128,
    /// What is still wanted, at 10^-18.
    pub wanted: i128,
    /// The leader's position as mirrored, at 10^-18.
    pub mirrored: i128,
    /// Attributed position before this leg.
    pub position: Qty,
}

/// One order to claim, sign and send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderPlan {
    /// The follower's row.
    pub row: usize,
    /// 0, or 1 for the opening leg of a flip.
    pub leg: u8,
    /// The lane's side.
    pub position_side: PositionSide,
    /// The order's side.
    pub side: Side,
    /// Positive quantity.
    pub qty: Qty,
    /// Limit of the IOC order.
    pub limit_px: Px,
    /// Whether it opens or increases.
    pub is_opening: bool,
    /// Whether it closes all that is held.
    pub is_full_close: bool,
    /// Targets and position.
    pub targets: Targets,
    /// Quantity before caps, minimums and depth.
    pub wanted_qty: Qty,
    /// Why `qty` is less than `wanted_qty`.
    pub clip_reason: Option<SkipReason>,
    /// The reference of the bound.
    pub reference_kind: ReferenceKind,
    /// Its price.
    pub reference_px: Px,
    /// The bound around it.
    pub bound_ppm: i64,
    /// The book it was planned on.
    pub book_sequence: Option<u64>,
    /// VWAP expected behind the others.
    pub expected_px: Option<Px>,
    /// Reservation of its depth.
    pub depth_token: Option<u64>,
}

/// A decision not to trade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skip {
    /// The follower's row.
    pub row: usize,
    /// 0, or 1 for the opening leg of a flip.
    pub leg: u8,
    /// The lane's side.
    pub position_side: PositionSide,
    /// Why.
    pub reason: SkipReason,
    /// The number observed.
    pub observed: Option<i128>,
    /// The number it was compared with.
    pub limit: Option<i128>,
    /// Whether the leg would have opened.
    pub is_opening: bool,
    /// Whether a reduction stays wanted and must be planned again.
    pub is_delayed: bool,
    /// Signed quantity that was wanted and is not ordered.
    pub wanted_qty: Qty,
    /// Targets and position.
    pub targets: Targets,
}

/// The plan of a cohort, in the fair order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CohortPlan {
    /// Orders.
    pub orders: Vec<OrderPlan>,
    /// Skips.
    pub skips: Vec<Skip>,
    /// Rows whose opening leg waits for the close to end.
    pub pending_open_rows: Vec<usize>,
    /// Rows whose lane has an order in flight.
    pub waiting_rows: Vec<usize>,
}
