//! Slipstream's pure core: money, order books, sizing, planning and signatures.
//!
//! Nothing in here reads a clock, does I/O, holds a global or knows Python. Time, books and
//! positions come in as arguments; plans, digests and errors go out as values.

pub mod book;
pub mod fixed;
pub mod reason;
pub mod rounding;
pub mod rules;
pub mod side;
pub mod sizing;
