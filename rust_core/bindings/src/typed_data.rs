//! Bindings of hashing and EIP-712 schemas.

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyInt, PyList, PyString, PyTuple};
use slipstream_kernel::eip712::{Domain, Eip712Error, Integer, Schema, Value};
use slipstream_kernel::keccak::Hash;
use slipstream_kernel::{ecdsa, keccak};

use crate::error::{SchemaError, SignerError};
use crate::signer::context;

/// Deepest nesting of a value; deeper input is refused before it can exhaust the stack.
const DEPTH_MAX: usize = 32;

fn schema_error(error: &Eip712Error) -> PyErr {
    SchemaError::new_err(error.to_string())
}

/// Converts a Python value; what no type accepts is left for the schema to refuse by path.
fn value_of(object: &Bound<'_, PyAny>, depth: usize) -> PyResult<Value> {
    if depth > DEPTH_MAX {
        return Err(SchemaError::new_err(format!(
            "a value is nested deeper than {DEPTH_MAX}"
        )));
    }
    if let Ok(flag) = object.cast::<PyBool>() {
        Ok(Value::Bool(flag.is_true()))
    } else if let Ok(text) = object.cast::<PyString>() {
        Ok(match text.to_str() {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Other("text that is not Unicode".to_owned()),
        })
    } else if object.is_instance_of::<PyInt>() {
        integer_of(object)
    } else if let Ok(bytes) = object.cast::<PyBytes>() {
        Ok(Value::Bytes(bytes.as_bytes().to_vec()))
    } else if let Ok(fields) = object.cast::<PyDict>() {
        Ok(Value::Fields(fields_of(fields, depth + 1)?))
    } else if object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>() {
        let items = object.try_iter()?.map(|item| value_of(&item?, depth + 1));
        Ok(Value::List(items.collect::<PyResult<_>>()?))
    } else {
        Ok(Value::Other(object.get_type().name()?.to_string()))
    }
}

fn integer_of(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    if let Ok(small) = object.extract::<u64>() {
        return Ok(Value::from(small));
    }
    let is_negative = object.lt(0)?;
    let magnitude = object.abs()?;
    match magnitude.call_method1("to_bytes", (32, "big")) {
        Ok(bytes) => Ok(Value::Integer(Integer {
            is_negative,
            magnitude: bytes.extract()?,
        })),
        Err(error) if error.is_instance_of::<PyOverflowError>(object.py()) => {
            Ok(Value::OversizedInteger)
        }
        Err(error) => Err(error),
    }
}

fn fields_of(fields: &Bound<'_, PyDict>, depth: usize) -> PyResult<Vec<(String, Value)>> {
    let named = fields.iter().map(|(name, value)| {
        let name = name
            .extract::<String>()
            .map_err(|_| SchemaError::new_err("expected text as the name of a field"))?;
        Ok((name, value_of(&value, depth)?))
    });
    named.collect()
}

/// A struct as given: its name and its (name, type) fields.
type Definition = (String, Vec<(String, String)>);

fn definitions_of(types: &Bound<'_, PyDict>) -> PyResult<Vec<Definition>> {
    let definitions = types.iter().map(|(name, fields)| {
        let name: String = name
            .extract()
            .map_err(|_| SchemaError::new_err("types: expected text as the name of a struct"))?;
        if name == "EIP712Domain" {
            let message = "types.EIP712Domain: leave it out, it follows from the domain's fields";
            return Err(SchemaError::new_err(message));
        }
        let fields = fields.extract().map_err(|_| {
            SchemaError::new_err(format!("types.{name}: expected a sequence of (name, type)"))
        })?;
        Ok((name, fields))
    });
    definitions.collect()
}

/// An EIP-712 schema with its domain, hashed once.
#[pyclass(frozen, module = "slipstream._core")]
pub struct TypedSchema {
    schema: Schema,
    domain: Domain,
}

impl TypedSchema {
    /// Hashes positional values up to what is signed.
    pub fn digest_of(&self, values: &Bound<'_, PyTuple>) -> PyResult<Hash> {
        Ok(self.domain.digest(&self.struct_hash_of(values)?))
    }

    fn struct_hash_of(&self, values: &Bound<'_, PyTuple>) -> PyResult<Hash> {
        let values: Vec<Value> = values
            .iter()
            .map(|value| value_of(&value, 0))
            .collect::<PyResult<_>>()?;
        self.schema
            .struct_hash(&values)
            .map_err(|error| schema_error(&error))
    }
}

#[pymethods]
impl TypedSchema {
    #[new]
    fn new(
        primary_type: &str,
        types: &Bound<'_, PyDict>,
        domain: &Bound<'_, PyDict>,
    ) -> PyResult<Self> {
        let schema = Schema::new(primary_type, &definitions_of(types)?)
            .map_err(|error| schema_error(&error))?;
        let domain = Domain::new(&fields_of(domain, 0)?).map_err(|error| schema_error(&error))?;
        Ok(Self { schema, domain })
    }

    #[getter]
    fn type_hash(&self) -> Hash {
        self.schema.type_hash()
    }

    #[getter]
    fn domain_separator(&self) -> Hash {
        self.domain.separator()
    }

    #[pyo3(signature = (*values))]
    fn struct_hash<'py>(&self, values: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(values.py(), &self.struct_hash_of(values)?))
    }

    #[pyo3(signature = (*values))]
    fn digest<'py>(&self, values: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(values.py(), &self.digest_of(values)?))
    }

    fn __repr__(&self) -> String {
        format!("TypedSchema({:?})", self.schema.primary_name())
    }
}

#[pyfunction]
fn keccak256<'py>(python: Python<'py>, data: &Bound<'py, PyBytes>) -> Bound<'py, PyBytes> {
    PyBytes::new(python, &keccak::keccak256(data.as_bytes()))
}

#[pyfunction]
fn recover_address(
    digest: &Bound<'_, PyBytes>,
    signature: &Bound<'_, PyBytes>,
) -> PyResult<String> {
    let recovered: Result<ecdsa::Address, ecdsa::EcdsaError> =
        context()?.recover(digest.as_bytes(), signature.as_bytes());
    recovered
        .map(ecdsa::Address::to_text)
        .map_err(|error| SignerError::new_err(error.to_string()))
}

/// Adds hashing and schemas to the module.
///
/// # Errors
/// Returns an error when Python refuses a name.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<TypedSchema>()?;
    module.add_function(wrap_pyfunction!(keccak256, module)?)?;
    module.add_function(wrap_pyfunction!(recover_address, module)?)
}
