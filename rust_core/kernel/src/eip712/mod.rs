//! EIP-712 typed data: schemas built at run time, values checked against them, digests.
//!
//! A schema is parsed and hashed once; a digest then costs its Keccak blocks. Errors name the
//! path of the field, what was expected and what kind of value was found, never the value.

mod digest;
mod encode;
mod schema;

pub use digest::{Domain, message_digest};
pub use encode::{Integer, Value};
pub use schema::{FieldType, Schema};

use thiserror::Error;

/// What is wrong with a schema or with a value for it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Eip712Error {
    /// The schema itself cannot be used.
    #[error("{path}: {problem}")]
    Schema {
        /// Where in the schema, such as `Order.price`.
        path: String,
        /// What was expected and what was found.
        problem: String,
    },
    /// A value does not fit its type.
    #[error("{path}: expected {expected}, found {found}")]
    Value {
        /// Where in the message, such as `Order.items[2].price`.
        path: String,
        /// The type, or what it needs.
        expected: String,
        /// The kind of value that came, without its contents.
        found: String,
    },
}
