//! The cryptography of the keystore: passphrase to master key, master key to entries.
//!
//! Argon2id turns the passphrase into a key that wraps a random master key with AES-256-GCM. Each
//! entry is sealed with AES-256-GCM under its own key, HKDF-SHA256 of the master key and the
//! entry's id: nonces of different entries then never meet under one key, and the master key
//! itself touches no entry. The associated data of an entry is the format version and all that
//! describes it, so that an entry cannot be changed, renamed or swapped with another. Randomness
//! and memory for secrets come from the caller.

use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};
use argon2::{Algorithm, Argon2, Params, Version};
use hkdf::Hkdf;
use sha2::Sha256;
use thiserror::Error;
use zeroize::Zeroizing;

/// The format this module writes and reads.
pub const FORMAT_VERSION: u32 = 1;
/// Bytes of a secret.
pub const SECRET_LENGTH: usize = 32;
/// Bytes of a secret sealed: ciphertext and tag.
pub const SEALED_LENGTH: usize = SECRET_LENGTH + TAG_LENGTH;
/// Bytes of an AES-GCM nonce.
pub const NONCE_LENGTH: usize = 12;
const TAG_LENGTH: usize = 16;
const SALT_LENGTH_MIN: usize = 16;
/// Bounds of the derivation: a hostile file must not take all memory or all day, nor ask for so
/// little that guessing a passphrase becomes cheap (floor: RFC 9106's low-memory setting is 64 MiB;
/// 8 MiB keeps tests quick).
const MEMORY_KIB: std::ops::RangeInclusive<u32> = 8 * 1024..=1024 * 1024;
const PASSES: std::ops::RangeInclusive<u32> = 1..=16;
const LANES: std::ops::RangeInclusive<u32> = 1..=16;

/// What is wrong with a keystore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeystoreError {
    /// A derivation parameter is out of bounds.
    #[error("kdf.{name}: expected {low} to {high}, found {found}")]
    Derivation {
        /// The parameter.
        name: &'static str,
        /// The least value.
        low: u32,
        /// The greatest value.
        high: u32,
        /// What came.
        found: u32,
    },
    /// The salt is too short or too long.
    #[error("kdf.salt: expected 16 to 64 bytes, found {0}")]
    Salt(usize),
    /// A nonce has another length.
    #[error("{name}: expected 12 bytes, found {found}")]
    Nonce {
        /// Which nonce.
        name: &'static str,
        /// Its length.
        found: usize,
    },
    /// A ciphertext has another length.
    #[error("{name}: expected 48 bytes, found {found}")]
    Ciphertext {
        /// Which ciphertext.
        name: &'static str,
        /// Its length.
        found: usize,
    },
    /// The master key does not unwrap.
    #[error("wrong passphrase, or the wrapped master key was changed")]
    Passphrase,
    /// An entry does not open.
    #[error("the entry was changed, swapped or belongs to another keystore")]
    Entry,
    /// A primitive refused its input; the bounds above exclude it.
    #[error("internal: {0} refused its input")]
    Primitive(&'static str),
}

/// How a passphrase becomes a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Derivation<'a> {
    /// At least 16 random bytes.
    pub salt: &'a [u8],
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Derivation<'_> {
    fn check(&self) -> Result<(), KeystoreError> {
        let bounds = [
            ("memory_kib", MEMORY_KIB, self.memory_kib),
            ("passes", PASSES, self.passes),
            ("lanes", LANES, self.lanes),
        ];
        for (name, range, found) in bounds {
            if !range.contains(&found) {
                let (low, high) = (*range.start(), *range.end());
                return Err(KeystoreError::Derivation {
                    name,
                    low,
                    high,
                    found,
                });
            }
        }
        if !(SALT_LENGTH_MIN..=64).contains(&self.salt.len()) {
            return Err(KeystoreError::Salt(self.salt.len()));
        }
        Ok(())
    }

    fn derive(&self, passphrase: &[u8]) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
        self.check()?;
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32))
            .map_err(|_| KeystoreError::Primitive("argon2"))?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase, self.salt, key.as_mut_slice())
            .map_err(|_| KeystoreError::Primitive("argon2"))?;
        Ok(key)
    }

    fn associated(&self) -> Vec<u8> {
        let numbers = [self.memory_kib, self.passes, self.lanes].map(u32::to_be_bytes);
        let [memory, passes, lanes] = &numbers;
        associated_bytes(b"master", &[self.salt, memory, passes, lanes])
    }

    /// Wraps a master key.
    ///
    /// # Errors
    /// Returns an error for parameters out of bounds.
    pub fn wrap(
        &self,
        passphrase: &[u8],
        nonce: &[u8],
        master: &[u8; SECRET_LENGTH],
    ) -> Result<[u8; SEALED_LENGTH], KeystoreError> {
        let key = self.derive(passphrase)?;
        seal(&key, nonce, "wrap_nonce", &self.associated(), master)
    }

    /// Unwraps a master key into `master`.
    ///
    /// # Errors
    /// Returns an error for parameters out of bounds, a wrong passphrase or changed bytes.
    pub fn unwrap(
        &self,
        passphrase: &[u8],
        nonce: &[u8],
        wrapped: &[u8],
        master: &mut [u8; SECRET_LENGTH],
    ) -> Result<(), KeystoreError> {
        let sealed = Sealed::new(nonce, "wrap_nonce", wrapped, "wrapped_master")?;
        let key = self.derive(passphrase)?;
        sealed
            .open(&key, &self.associated(), master)
            .map_err(|()| KeystoreError::Passphrase)
    }
}

/// What describes an entry, all of it authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryLabel<'a> {
    /// The entry's name.
    pub entry_id: &'a str,
    /// The venue its key trades on.
    pub venue: &'a str,
    /// The kind of key.
    pub kind: &'a str,
    /// The key's address.
    pub address: &'a str,
}

impl EntryLabel<'_> {
    fn associated(&self) -> Vec<u8> {
        let parts = [self.entry_id, self.venue, self.kind, self.address].map(str::as_bytes);
        associated_bytes(b"entry", &parts)
    }

    fn key(&self, master: &[u8; SECRET_LENGTH]) -> Result<Zeroizing<[u8; 32]>, KeystoreError> {
        let mut key = Zeroizing::new([0; 32]);
        let context = associated_bytes(b"entry key", &[self.entry_id.as_bytes()]);
        Hkdf::<Sha256>::new(None, master)
            .expand(&context, key.as_mut_slice())
            .map_err(|_| KeystoreError::Primitive("hkdf"))?;
        Ok(key)
    }

    /// Seals a secret.
    ///
    /// # Errors
    /// Returns an error for a nonce of another length.
    pub fn seal(
        &self,
        master: &[u8; SECRET_LENGTH],
        nonce: &[u8],
        secret: &[u8; SECRET_LENGTH],
    ) -> Result<[u8; SEALED_LENGTH], KeystoreError> {
        seal(
            &*self.key(master)?,
            nonce,
            "nonce",
            &self.associated(),
            secret,
        )
    }

    /// Opens a sealed secret into `secret`.
    ///
    /// # Errors
    /// Returns an error when anything about the entry was changed. `secret` is then zero.
    pub fn open(
        &self,
        master: &[u8; SECRET_LENGTH],
        nonce: &[u8],
        ciphertext: &[u8],
        secret: &mut [u8; SECRET_LENGTH],
    ) -> Result<(), KeystoreError> {
        let sealed = Sealed::new(nonce, "nonce", ciphertext, "ciphertext")?;
        let key = self.key(master)?;
        sealed
            .open(&key, &self.associated(), secret)
            .map_err(|()| KeystoreError::Entry)
    }
}

/// Joins parts so that no two lists of parts give the same bytes: each has its length before it.
fn associated_bytes(purpose: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let version = FORMAT_VERSION.to_be_bytes();
    let head: [&[u8]; 3] = [b"slipstream keystore", &version, purpose];
    let mut joined = Vec::new();
    for part in head.iter().chain(parts) {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        joined.extend_from_slice(&length.to_be_bytes());
        joined.extend_from_slice(part);
    }
    joined
}

struct Sealed<'a> {
    nonce: &'a [u8; NONCE_LENGTH],
    ciphertext: &'a [u8; SECRET_LENGTH],
    tag: &'a [u8; TAG_LENGTH],
}

impl<'a> Sealed<'a> {
    fn new(
        nonce: &'a [u8],
        nonce_name: &'static str,
        sealed: &'a [u8],
        sealed_name: &'static str,
    ) -> Result<Self, KeystoreError> {
        let wrong = KeystoreError::Ciphertext {
            name: sealed_name,
            found: sealed.len(),
        };
        let (ciphertext, tag) = sealed.split_first_chunk().ok_or(wrong)?;
        let tag = tag.try_into().map_err(|_| wrong)?;
        Ok(Self {
            nonce: nonce_of(nonce, nonce_name)?,
            ciphertext,
            tag,
        })
    }

    fn open(
        &self,
        key: &[u8; 32],
        associated: &[u8],
        secret: &mut [u8; SECRET_LENGTH],
    ) -> Result<(), ()> {
        secret.copy_from_slice(self.ciphertext);
        let opened = Aes256Gcm::new(key.into()).decrypt_inout_detached(
            self.nonce.into(),
            associated,
            secret.as_mut_slice().into(),
            self.tag.into(),
        );
        opened.map_err(|_| secret.fill(0))
    }
}

fn nonce_of<'a>(
    nonce: &'a [u8],
    name: &'static str,
) -> Result<&'a [u8; NONCE_LENGTH], KeystoreError> {
    nonce.try_into().map_err(|_| KeystoreError::Nonce {
        name,
        found: nonce.len(),
    })
}

fn seal(
    key: &[u8; 32],
    nonce: &[u8],
    nonce_name: &'static str,
    associated: &[u8],
    secret: &[u8; SECRET_LENGTH],
) -> Result<[u8; SEALED_LENGTH], KeystoreError> {
    let nonce = nonce_of(nonce, nonce_name)?;
    let mut sealed = [0; SEALED_LENGTH];
    let (body, tail) = sealed.split_at_mut(SECRET_LENGTH);
    body.copy_from_slice(secret);
    let tag = Aes256Gcm::new(key.into())
        .encrypt_inout_detached(nonce.into(), associated, (&mut *body).into())
        .map_err(|_| KeystoreError::Primitive("aes-gcm"));
    if tag.is_err() {
        body.fill(0);
    }
    tail.copy_from_slice(&tag?);
    Ok(sealed)
}
