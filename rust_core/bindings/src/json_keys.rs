//! The check for repeated JSON keys at the boundary.

use pyo3::prelude::*;
use slipstream_kernel::json_keys;

/// Returns what is wrong with the keys of a JSON text, `None` when nothing is.
#[pyfunction]
fn key_fault(text: &[u8]) -> Option<String> {
    let found = json_keys::require_distinct_keys(text);
    found.err().map(|fault| fault.to_string())
}

/// Adds this file's names to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(key_fault, module)?)
}
