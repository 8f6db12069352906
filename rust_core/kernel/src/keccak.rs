//! Keccak-256, the hash of Ethereum. Not the later SHA3-256: the padding differs.

use sha3::{Digest, Keccak256};

/// A Keccak-256 hash.
pub type Hash = [u8; 32];

/// Hashes one byte string.
#[must_use]
pub fn keccak256(bytes: &[u8]) -> Hash {
    Keccak256::digest(bytes).into()
}

/// Hashes the concatenation of several byte strings without joining them first.
#[must_use]
pub fn keccak256_parts(parts: &[&[u8]]) -> Hash {
    let mut hasher = Keccak256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}
