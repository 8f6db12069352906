//! Bindings of the keystore: sealed entries in, signers out; a secret never becomes Python bytes.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes};
use slipstream_kernel::ecdsa::Address;
use slipstream_kernel::keystore::{Derivation, EntryLabel, NONCE_LENGTH, SEALED_LENGTH};

use crate::arena::{LockedKey, LockedSecretKey, take_bytearray, take_secret};
use crate::error::KeystoreError;
use crate::signer::context;

/// The only kind of key: a secret of secp256k1.
const KIND: &str = "secp256k1";

fn refused(problem: impl std::fmt::Display) -> PyErr {
    KeystoreError::new_err(problem.to_string())
}

fn random(bytes: &mut [u8]) -> PyResult<()> {
    getrandom::fill(bytes).map_err(|_| refused("the system gives no random bytes"))
}

/// A keystore entry as stored.
#[pyclass(frozen, module = "slipstream._core")]
pub struct SealedKey {
    entry_id: String,
    venue: String,
    kind: String,
    address: String,
    nonce: Vec<u8>,
    ciphertext: Vec<u8>,
}

impl SealedKey {
    /// Returns the entry's name.
    pub fn entry_id(&self) -> &str {
        &self.entry_id
    }

    /// Returns the venue its key trades on.
    pub fn venue(&self) -> &str {
        &self.venue
    }

    fn label(&self) -> EntryLabel<'_> {
        EntryLabel {
            entry_id: &self.entry_id,
            venue: &self.venue,
            kind: &self.kind,
            address: &self.address,
        }
    }
}

#[pymethods]
impl SealedKey {
    #[new]
    #[pyo3(signature = (*, entry_id, venue, kind, address, nonce, ciphertext))]
    fn new(
        entry_id: String,
        venue: String,
        kind: String,
        address: String,
        nonce: Vec<u8>,
        ciphertext: Vec<u8>,
    ) -> Self {
        Self {
            entry_id,
            venue,
            kind,
            address,
            nonce,
            ciphertext,
        }
    }

    fn __repr__(&self) -> String {
        format!(
            "SealedKey({:?}, {:?}, {})",
            self.entry_id, self.venue, self.address
        )
    }
}

/// A key just sealed: what its entry stores.
#[pyclass(frozen, module = "slipstream._core")]
pub struct SealedKeyRecord {
    address: String,
    nonce: [u8; NONCE_LENGTH],
    ciphertext: [u8; SEALED_LENGTH],
}

#[pymethods]
impl SealedKeyRecord {
    #[getter]
    fn address(&self) -> &str {
        &self.address
    }

    #[getter]
    fn nonce<'py>(&self, python: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(python, &self.nonce)
    }

    #[getter]
    fn ciphertext<'py>(&self, python: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(python, &self.ciphertext)
    }
}

/// The unwrapped master key of a keystore.
#[pyclass(frozen, module = "slipstream._core")]
pub struct KeyEncryptionKey(LockedKey);

impl KeyEncryptionKey {
    /// Opens an entry and checks that its key has the address it claims.
    pub fn open_key(&self, sealed: &SealedKey) -> PyResult<(LockedSecretKey, Address)> {
        let name = |problem: &dyn std::fmt::Display| {
            refused(format_args!("entry {:?}: {problem}", sealed.entry_id))
        };
        if sealed.kind != KIND {
            return Err(name(&format_args!(
                "expected kind {KIND:?}, found {:?}",
                sealed.kind
            )));
        }
        let mut slot = LockedKey::zeroed().map_err(refused)?;
        sealed
            .label()
            .open(
                self.0.bytes(),
                &sealed.nonce,
                &sealed.ciphertext,
                slot.bytes_mut(),
            )
            .map_err(|error| name(&error))?;
        let key = LockedSecretKey::new(slot).ok_or_else(|| name(&"holds no valid key"))?;
        let address = context()?.address(key.secret_key());
        if address.to_text() != sealed.address {
            return Err(name(&"its key has another address"));
        }
        Ok((key, address))
    }

    fn seal(
        &self,
        key: &LockedSecretKey,
        entry_id: &str,
        venue: &str,
        kind: &str,
    ) -> PyResult<SealedKeyRecord> {
        if kind != KIND {
            return Err(refused(format_args!(
                "kind: expected {KIND:?}, found {kind:?}"
            )));
        }
        let address = context()?.address(key.secret_key()).to_text();
        let mut nonce = [0; NONCE_LENGTH];
        random(&mut nonce)?;
        let label = EntryLabel {
            entry_id,
            venue,
            kind,
            address: &address,
        };
        let ciphertext = label
            .seal(self.0.bytes(), &nonce, key.bytes())
            .map_err(refused)?;
        Ok(SealedKeyRecord {
            address,
            nonce,
            ciphertext,
        })
    }
}

#[pymethods]
impl KeyEncryptionKey {
    #[staticmethod]
    #[pyo3(signature = (passphrase, *, salt, memory_kib, passes, lanes, wrapped, wrap_nonce))]
    #[expect(
        clippy::too_many_arguments,
        reason = "keywords, each a field of the file"
    )]
    fn from_passphrase(
        python: Python<'_>,
        passphrase: &Bound<'_, PyByteArray>,
        salt: &[u8],
        memory_kib: u32,
        passes: u32,
        lanes: u32,
        wrapped: &[u8],
        wrap_nonce: &[u8],
    ) -> PyResult<Self> {
        let passphrase = take_bytearray(passphrase);
        let mut master = LockedKey::zeroed().map_err(refused)?;
        let derivation = Derivation {
            salt,
            memory_kib,
            passes,
            lanes,
        };
        python
            .detach(|| derivation.unwrap(&passphrase, wrap_nonce, wrapped, master.bytes_mut()))
            .map_err(refused)?;
        Ok(Self(master))
    }

    #[staticmethod]
    #[pyo3(signature = (passphrase, *, salt, memory_kib, passes, lanes))]
    fn create<'py>(
        python: Python<'py>,
        passphrase: &Bound<'py, PyByteArray>,
        salt: &[u8],
        memory_kib: u32,
        passes: u32,
        lanes: u32,
    ) -> PyResult<(Self, Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        let passphrase = take_bytearray(passphrase);
        let mut master = LockedKey::zeroed().map_err(refused)?;
        random(master.bytes_mut())?;
        let mut nonce = [0; NONCE_LENGTH];
        random(&mut nonce)?;
        let derivation = Derivation {
            salt,
            memory_kib,
            passes,
            lanes,
        };
        let wrapped = python
            .detach(|| derivation.wrap(&passphrase, &nonce, master.bytes()))
            .map_err(refused)?;
        let (wrapped, nonce) = (PyBytes::new(python, &wrapped), PyBytes::new(python, &nonce));
        Ok((Self(master), wrapped, nonce))
    }

    #[pyo3(signature = (*, entry_id, venue, kind))]
    fn new_key(&self, entry_id: &str, venue: &str, kind: &str) -> PyResult<SealedKeyRecord> {
        loop {
            let mut slot = LockedKey::zeroed().map_err(refused)?;
            random(slot.bytes_mut())?;
            if let Some(key) = LockedSecretKey::new(slot) {
                return self.seal(&key, entry_id, venue, kind);
            }
        }
    }

    #[pyo3(signature = (secret, *, entry_id, venue, kind))]
    fn seal_key(
        &self,
        secret: &Bound<'_, PyByteArray>,
        entry_id: &str,
        venue: &str,
        kind: &str,
    ) -> PyResult<SealedKeyRecord> {
        let mut slot = LockedKey::zeroed().map_err(refused)?;
        take_secret(secret, &mut slot).map_err(|length| {
            refused(format_args!(
                "entry {entry_id:?}: expected 32 bytes of key, found {length}"
            ))
        })?;
        let key = LockedSecretKey::new(slot).ok_or_else(|| {
            refused(format_args!(
                "entry {entry_id:?}: expected a key below the group order"
            ))
        })?;
        self.seal(&key, entry_id, venue, kind)
    }

    #[expect(clippy::unused_self, reason = "Python calls it on the object")]
    fn __repr__(&self) -> &'static str {
        "KeyEncryptionKey(redacted)"
    }

    #[expect(clippy::unused_self, reason = "Python calls it on the object")]
    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err(
            "a KeyEncryptionKey cannot be pickled or copied",
        ))
    }
}

/// Adds the keystore to the module.
///
/// # Errors
/// Returns an error when Python refuses a name.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<SealedKey>()?;
    module.add_class::<SealedKeyRecord>()?;
    module.add_class::<KeyEncryptionKey>()
}
