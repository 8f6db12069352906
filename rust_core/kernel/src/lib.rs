//! Slipstream's pure core: money, order books, sizing, planning and signatures.
//!
//! Nothing in here reads a clock, does I/O, holds a global or knows Python. Time, books and
//! positions come in as arguments; plans, digests and errors go out as values.

pub mod aster;
pub mod book;
pub mod ecdsa;
pub mod eip712;
pub mod fixed;
pub mod histogram;
pub mod json_keys;
pub mod keccak;
pub mod keystore;
pub mod ledger;
pub mod reason;
pub mod rounding;
pub mod rules;
pub mod side;
pub mod sizing;
