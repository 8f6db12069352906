//! Domains and the digest that is signed.

use super::Eip712Error;
use super::encode::Value;
use super::schema::Schema;
use crate::keccak::{Hash, keccak256, keccak256_parts};

/// The struct that describes a domain.
const DOMAIN_TYPE: &str = "EIP712Domain";

/// The fields a domain may have, in the order EIP-712 fixes.
const DOMAIN_FIELDS: [(&str, &str); 5] = [
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
    ("salt", "bytes32"),
];

/// A signing domain, hashed once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Domain {
    separator: Hash,
}

impl Domain {
    /// Hashes the given domain fields, in any order.
    ///
    /// # Errors
    /// Returns an error for a field that EIP-712 does not have, one given twice, or a value that
    /// does not fit.
    pub fn new(fields: &[(String, Value)]) -> Result<Self, Eip712Error> {
        let (mut definition, mut values) = (Vec::new(), Vec::new());
        for (name, type_text) in DOMAIN_FIELDS {
            let mut given = fields.iter().filter(|(field, _)| field == name);
            if let Some((_, value)) = given.next() {
                definition.push((name.to_owned(), type_text.to_owned()));
                values.push(value.clone());
            }
            if given.next().is_some() {
                return Err(domain_problem(name, "this field is given twice"));
            }
        }
        if let Some((unknown, _)) = fields
            .iter()
            .find(|(field, _)| DOMAIN_FIELDS.iter().all(|(name, _)| name != field))
        {
            let known = "expected name, version, chainId, verifyingContract or salt";
            return Err(domain_problem(unknown, known));
        }
        let schema = Schema::new(DOMAIN_TYPE, &[(DOMAIN_TYPE.to_owned(), definition)])?;
        Ok(Self {
            separator: schema.struct_hash(&values)?,
        })
    }

    /// Returns the domain separator.
    #[must_use]
    pub fn separator(&self) -> Hash {
        self.separator
    }

    /// Returns what is signed for a message: `keccak256(19 01 || separator || struct hash)`.
    #[must_use]
    pub fn digest(&self, struct_hash: &Hash) -> Hash {
        let mut bytes = [0_u8; 66];
        let parts = [0x19, 0x01]
            .into_iter()
            .chain(self.separator)
            .chain(*struct_hash);
        for (target, source) in bytes.iter_mut().zip(parts) {
            *target = source;
        }
        keccak256(&bytes)
    }
}

/// Returns the digest of a struct with one `string` field, without building values.
#[must_use]
pub fn message_digest(domain: &Domain, type_hash: &Hash, text: &[u8]) -> Hash {
    domain.digest(&keccak256_parts(&[type_hash, &keccak256(text)]))
}

fn domain_problem(field: &str, problem: &str) -> Eip712Error {
    Eip712Error::Schema {
        path: format!("{DOMAIN_TYPE}.{field}"),
        problem: problem.to_owned(),
    }
}
