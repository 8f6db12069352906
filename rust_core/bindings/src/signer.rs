//! Bindings of the signers: a key in its locked page and the one kind of message it may sign.

use std::sync::OnceLock;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};
use slipstream_kernel::aster::{RequestWriter, push_signature};
use slipstream_kernel::ecdsa::{Address, SIGNATURE_LENGTH, SigningContext};
use slipstream_kernel::keccak::Hash;

use crate::arena::{LockedKey, LockedSecretKey};
use crate::error::SignerError;
use crate::keystore::{KeyEncryptionKey, SealedKey};
use crate::typed_data::TypedSchema;

static CONTEXT: OnceLock<SigningContext> = OnceLock::new();

/// Returns the process's signing context, blinded at its first use.
pub fn context() -> PyResult<&'static SigningContext> {
    if let Some(ready) = CONTEXT.get() {
        return Ok(ready);
    }
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|_| SignerError::new_err("the system gives no random bytes"))?;
    Ok(CONTEXT.get_or_init(|| SigningContext::new(&seed)))
}

/// A purpose of a live signer: its name, the venue of its keys and the chain id of its domain.
/// Source of the chain ids: Aster API V3, "Request authentication" (September 2026).
const PURPOSES: [(&str, &str, u16); 2] = [
    ("aster-mainnet", "aster", 1666),
    ("aster-testnet", "aster", 714),
];

/// What a signer may sign.
enum Role {
    Aster {
        purpose: &'static str,
        writer: RequestWriter,
    },
    Schema(Py<TypedSchema>),
}

/// One job, extracted: what is left needs no Python.
pub enum Message {
    /// A request's text, and the digest of it.
    Request {
        /// The text so far.
        text: String,
        /// What is signed.
        digest: Hash,
    },
    /// A digest of typed data.
    Digest(Hash),
}

impl Message {
    /// Signs it.
    pub fn sign(self, context: &SigningContext, key: &LockedSecretKey) -> Signed {
        match self {
            Self::Request { mut text, digest } => {
                push_signature(&mut text, &context.sign(&digest, key.secret_key()));
                Signed::Request(text)
            }
            Self::Digest(digest) => Signed::Bare(context.sign(&digest, key.secret_key())),
        }
    }
}

/// A signed job.
pub enum Signed {
    /// A request, signature appended.
    Request(String),
    /// r, s, v.
    Bare([u8; SIGNATURE_LENGTH]),
}

impl Signed {
    /// Returns what Python gets.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Request(text) => text.as_bytes(),
            Self::Bare(signature) => signature,
        }
    }
}

/// One agent key, opened for one closed list of messages.
#[pyclass(frozen, module = "slipstream._core")]
pub struct Signer {
    key: LockedSecretKey,
    address: String,
    role: Role,
}

impl Signer {
    /// Returns the key in its locked page.
    pub fn key(&self) -> &LockedSecretKey {
        &self.key
    }

    fn message(&self, values: &Bound<'_, PyTuple>) -> PyResult<Message> {
        match &self.role {
            Role::Aster { writer, .. } => {
                let text = request_text(writer, values)?;
                let digest = writer.digest(&text);
                Ok(Message::Request { text, digest })
            }
            Role::Schema(schema) => schema.get().digest_of(values).map(Message::Digest),
        }
    }
}

fn request_text(writer: &RequestWriter, values: &Bound<'_, PyTuple>) -> PyResult<String> {
    let (operation, parameters) = values
        .extract::<(Bound<'_, PyString>, Bound<'_, PyAny>)>()
        .map_err(|_| refused("expected (operation, parameters), found other values"))?;
    let pairs: Vec<(Bound<'_, PyString>, Bound<'_, PyString>)> = parameters
        .try_iter()
        .and_then(|items| items.map(|item| item?.extract()).collect())
        .map_err(|_| refused("expected parameters as a sequence of (name, text)"))?;
    let mut texts = Vec::with_capacity(pairs.len());
    for (name, value) in &pairs {
        texts.push((unicode(name)?, unicode(value)?));
    }
    writer
        .write(unicode(&operation)?, &texts)
        .map_err(|error| SignerError::new_err(error.to_string()))
}

fn unicode<'a>(text: &'a Bound<'_, PyString>) -> PyResult<&'a str> {
    text.to_str()
        .map_err(|_| refused("expected Unicode text, found lone surrogates"))
}

fn refused(problem: &'static str) -> PyErr {
    SignerError::new_err(problem)
}

#[pymethods]
impl Signer {
    #[staticmethod]
    #[pyo3(signature = (sealed, kek, purpose, *, user = None))]
    fn open(
        sealed: &SealedKey,
        kek: &KeyEncryptionKey,
        purpose: &str,
        user: Option<&str>,
    ) -> PyResult<Self> {
        let (purpose, venue, chain_id) =
            PURPOSES
                .into_iter()
                .find(|(name, ..)| *name == purpose)
                .ok_or_else(|| refused("purpose: expected aster-mainnet or aster-testnet"))?;
        if sealed.venue() != venue {
            let message = format!(
                "entry {:?}: expected a key of venue {venue:?} for {purpose}, found {:?}",
                sealed.entry_id(),
                sealed.venue()
            );
            return Err(SignerError::new_err(message));
        }
        let user = user.map(Address::parse).transpose().map_err(|found| {
            SignerError::new_err(format!("user: expected address, found {found}"))
        })?;
        let (key, address) = kek.open_key(sealed)?;
        let writer = RequestWriter::new(chain_id, address, user)
            .map_err(|error| SignerError::new_err(error.to_string()))?;
        Ok(Self {
            key,
            address: address.to_text(),
            role: Role::Aster { purpose, writer },
        })
    }

    #[staticmethod]
    fn from_secret(secret: &Bound<'_, PyBytes>, schema: Py<TypedSchema>) -> PyResult<Self> {
        let bytes = secret.as_bytes();
        let mut slot = LockedKey::zeroed().map_err(SignerError::new_err)?;
        if bytes.len() != slot.bytes().len() {
            let message = format!("secret: expected 32 bytes, found {}", bytes.len());
            return Err(SignerError::new_err(message));
        }
        slot.bytes_mut().copy_from_slice(bytes);
        let key = LockedSecretKey::new(slot)
            .ok_or_else(|| refused("secret: expected a number from 1 to the group order"))?;
        let address = context()?.address(key.secret_key()).to_text();
        Ok(Self {
            key,
            address,
            role: Role::Schema(schema),
        })
    }

    #[getter]
    fn address(&self) -> &str {
        &self.address
    }

    #[pyo3(signature = (*values))]
    fn sign<'py>(&self, values: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyBytes>> {
        let signed = self.message(values)?.sign(context()?, &self.key);
        Ok(PyBytes::new(values.py(), signed.as_bytes()))
    }

    fn __repr__(&self) -> String {
        let purpose = match &self.role {
            Role::Aster { purpose, .. } => purpose,
            Role::Schema(_) => "schema",
        };
        format!("Signer({purpose}, {})", self.address)
    }

    #[expect(clippy::unused_self, reason = "Python calls it on the object")]
    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err("a Signer cannot be pickled or copied"))
    }
}

/// A job as extracted; what spoiled it stands in its place.
pub type Job = Result<(Py<Signer>, Message), PyErr>;

/// Extracts one job.
pub fn job_of(job: &Bound<'_, PyAny>) -> Job {
    let (signer, values) = job
        .extract::<(Py<Signer>, Bound<'_, PyAny>)>()
        .map_err(|_| refused("expected a job as (signer, values)"))?;
    let values = match values.cast_into::<PyTuple>() {
        Ok(values) => values,
        Err(other) => {
            let items: Vec<Bound<'_, PyAny>> = other
                .into_inner()
                .try_iter()
                .and_then(Iterator::collect)
                .map_err(|_| refused("expected a job's values as a sequence"))?;
            PyTuple::new(job.py(), items)?
        }
    };
    let message = signer.get().message(&values)?;
    Ok((signer, message))
}

#[pyfunction]
fn sign_many<'py>(jobs: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
    let python = jobs.py();
    let context = context()?;
    let extracted = jobs
        .try_iter()?
        .map(|job| Ok(job_of(&job?)))
        .collect::<PyResult<Vec<Job>>>()?;
    let signed: Vec<Result<Signed, PyErr>> = python.detach(|| {
        let sign =
            |(signer, message): (Py<Signer>, Message)| message.sign(context, &signer.get().key);
        extracted.into_iter().map(|job| job.map(sign)).collect()
    });
    let results = PyList::empty(python);
    for outcome in signed {
        match outcome {
            Ok(signed) => results.append(PyBytes::new(python, signed.as_bytes()))?,
            Err(error) => results.append(as_signer_error(python, error))?,
        }
    }
    Ok(results)
}

/// Turns whatever spoiled one job into the `SignerError` that stands in its place.
pub fn as_signer_error(python: Python<'_>, error: PyErr) -> Py<PyAny> {
    let value = error.into_value(python).into_bound(python);
    if value.is_instance_of::<SignerError>() {
        return value.into_any().unbind();
    }
    let text = value
        .str()
        .map_or_else(|_| "unprintable error".to_owned(), |t| t.to_string());
    SignerError::new_err(text).into_value(python).into_any()
}

/// Adds the signers to the module.
///
/// # Errors
/// Returns an error when Python refuses a name.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Signer>()?;
    module.add_function(wrap_pyfunction!(sign_many, module)?)
}
