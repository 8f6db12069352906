//! Sizing and planning: how a leader's event becomes each follower's order or its reason not to
//! trade (DESIGN §4 and §5).
//!
//! Targets are kept at 10^-18 and rounded to the lot only when an order is cut. All arithmetic is
//! checked; what does not fit is the outcome of its row alone.

#![deny(clippy::arithmetic_side_effects)]

pub mod bounds;
pub mod caps;
pub mod event;
pub mod exact;
pub mod lane;
pub mod lane_text;
pub mod leg;
pub mod limits;
pub mod market;
pub mod movement;
pub mod outcome;
pub mod plan;
pub mod rule;
pub mod table;
