//! Recoverable ECDSA over secp256k1, as Ethereum uses it: r, s, v with v = 27 or 28.
//!
//! Signatures are deterministic (RFC 6979) and have a low s. The context is blinded once, with a
//! seed that the caller draws: this crate has no source of randomness and keeps no key.

use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{All, Message, PublicKey, Secp256k1};
use thiserror::Error;

pub use secp256k1::SecretKey;

use crate::keccak::{Hash, keccak256};

/// Length of a signature: r (32), s (32), v (1).
pub const SIGNATURE_LENGTH: usize = 65;

/// The order n of the secp256k1 group, big-endian (SEC 2, section 2.4.1).
const GROUP_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe,
    0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
];

/// Floor of n / 2, big-endian: the greatest s of a signature that cannot be mirrored.
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0x5d, 0x57, 0x6e, 0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
];

/// What is wrong with a signature that was to be recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EcdsaError {
    /// The digest has another length than 32.
    #[error("digest: expected 32 bytes, found {0}")]
    DigestLength(usize),
    /// The signature has another length than 65.
    #[error("signature: expected 65 bytes (r, s, v), found {0}")]
    SignatureLength(usize),
    /// v is none of 0, 1, 27, 28.
    #[error("signature: expected v 27 or 28 (or 0 or 1), found {0}")]
    RecoveryByte(u8),
    /// s lies in the upper half of the group order, so the signature is malleable.
    #[error("signature: expected a low s, found one above half the group order")]
    HighS,
    /// No public key belongs to these numbers.
    #[error("signature: r and s belong to no public key")]
    NoKey,
}

/// An Ethereum address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address(pub [u8; 20]);

impl Address {
    /// Writes the address as EIP-55 text: 0x and 40 hex digits whose case is the checksum.
    #[must_use]
    pub fn to_text(self) -> String {
        let mut lower = String::with_capacity(40);
        push_hex(&mut lower, &self.0);
        let hash = keccak256(lower.as_bytes());
        let mut text = String::with_capacity(42);
        text.push_str("0x");
        for (index, digit) in lower.chars().enumerate() {
            let byte = hash.get(index >> 1).copied().unwrap_or_default();
            let nibble = if index & 1 == 0 {
                byte >> 4
            } else {
                byte & 0x0f
            };
            text.push(if nibble >= 8 {
                digit.to_ascii_uppercase()
            } else {
                digit
            });
        }
        text
    }

    /// Reads `0x` and 40 hex digits. Text in mixed case must carry the right EIP-55 checksum.
    ///
    /// # Errors
    /// Returns what is wrong, in words, without the text itself.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let digits = text.strip_prefix("0x").ok_or("text without 0x")?;
        let mut bytes = [0_u8; 20];
        decode_hex(digits, &mut bytes).ok_or("text that is not 40 hex digits")?;
        let address = Self(bytes);
        let has_upper = digits.bytes().any(|digit| digit.is_ascii_uppercase());
        let has_lower = digits.bytes().any(|digit| digit.is_ascii_lowercase());
        if has_upper && has_lower && address.to_text() != text {
            return Err("an address whose checksum (EIP-55) is wrong");
        }
        Ok(address)
    }
}

/// The precomputed tables and the blinding of libsecp256k1.
pub struct SigningContext(Secp256k1<All>);

impl SigningContext {
    /// Makes a context blinded with 32 fresh random bytes.
    #[must_use]
    pub fn new(seed: &[u8; 32]) -> Self {
        let mut context = Secp256k1::new();
        context.seeded_randomize(seed);
        Self(context)
    }

    /// Signs a digest: r, s, v with v 27 or 28. Deterministic.
    #[must_use]
    pub fn sign(&self, digest: &Hash, secret: &SecretKey) -> [u8; SIGNATURE_LENGTH] {
        let signature = self
            .0
            .sign_ecdsa_recoverable(Message::from_digest(*digest), secret);
        let (recovery_id, compact) = signature.serialize_compact();
        let mut bytes = [0_u8; SIGNATURE_LENGTH];
        if let Some((last, head)) = bytes.split_last_mut() {
            head.copy_from_slice(&compact);
            *last = 27 + recovery_byte(recovery_id);
        }
        bytes
    }

    /// Derives the address of a secret key.
    #[must_use]
    pub fn address(&self, secret: &SecretKey) -> Address {
        address_of(&PublicKey::from_secret_key(&self.0, secret))
    }

    /// Returns the address whose key made a signature.
    ///
    /// # Errors
    /// Returns an error for wrong lengths, another v, a high s, or numbers without a key.
    pub fn recover(&self, digest: &[u8], signature: &[u8]) -> Result<Address, EcdsaError> {
        let digest: Hash = digest
            .try_into()
            .map_err(|_| EcdsaError::DigestLength(digest.len()))?;
        let bytes: &[u8; SIGNATURE_LENGTH] = signature
            .try_into()
            .map_err(|_| EcdsaError::SignatureLength(signature.len()))?;
        let (compact, [v]) = bytes.split_at(64) else {
            return Err(EcdsaError::SignatureLength(signature.len()));
        };
        let recovery_id = match v {
            0 | 27 => RecoveryId::Zero,
            1 | 28 => RecoveryId::One,
            other => return Err(EcdsaError::RecoveryByte(*other)),
        };
        if compact.get(32..).is_none_or(|s| s > HALF_ORDER.as_slice()) {
            return Err(EcdsaError::HighS);
        }
        RecoverableSignature::from_compact(compact, recovery_id)
            .and_then(|signature| {
                self.0
                    .recover_ecdsa(Message::from_digest(digest), &signature)
            })
            .map(|key| address_of(&key))
            .map_err(|_| EcdsaError::NoKey)
    }
}

/// Says whether 32 bytes are a secret key: not zero and below the group order. Takes the same
/// time for every key.
#[must_use]
pub fn is_secret_key(bytes: &[u8; 32]) -> bool {
    let mut borrow = 0_u16;
    let mut any = 0_u8;
    for (byte, order) in bytes.iter().zip(GROUP_ORDER).rev() {
        let difference = u16::from(*byte)
            .wrapping_sub(u16::from(order))
            .wrapping_sub(borrow);
        borrow = (difference >> 8) & 1;
        any |= byte;
    }
    borrow == 1 && any != 0
}

/// Appends lower-case hex.
pub fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for nibble in [byte >> 4, byte & 0x0f] {
            text.push(char::from(if nibble < 10 {
                b'0' + nibble
            } else {
                b'a' - 10 + nibble
            }));
        }
    }
}

/// Fills `out` from exactly twice as many hex digits of either case.
#[must_use]
pub fn decode_hex(digits: &str, out: &mut [u8]) -> Option<()> {
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else {
        return None;
    };
    if pairs.len() != out.len() {
        return None;
    }
    for ([high, low], byte) in pairs.iter().zip(out) {
        *byte = (nibble(*high)? << 4) | nibble(*low)?;
    }
    Some(())
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn recovery_byte(recovery_id: RecoveryId) -> u8 {
    match recovery_id {
        RecoveryId::Zero => 0,
        RecoveryId::One => 1,
        RecoveryId::Two => 2,
        RecoveryId::Three => 3,
    }
}

fn address_of(key: &PublicKey) -> Address {
    let serialized = key.serialize_uncompressed();
    let hash = keccak256(serialized.get(1..).unwrap_or_default());
    let mut address = [0_u8; 20];
    for (target, source) in address.iter_mut().zip(hash.into_iter().skip(12)) {
        *target = source;
    }
    Address(address)
}
