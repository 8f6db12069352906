//! Slipstream's pure core: money, order books, sizing, planning and signatures.
//!
//! Nothing in here reads a clock, does I/O, holds a global or knows Python. Time, books and
//! positions come in as arguments; plans, digests and errors go out as values.

pub mod aster;
pub mod ecdsa;
pub mod eip712;
pub mod keccak;
pub mod keystore;
