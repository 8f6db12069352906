//! The extension module `slipstream._core`: extract, call the kernel, wrap.

mod arena;
mod book;
mod enumeration;
mod error;
mod histogram;
mod json_keys;
mod keystore;
mod ledger;
mod plan;
mod signer;
mod signing_queue;
mod sizing;
mod table;
mod typed_data;
mod values;

use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Returns version, rustc, profile and target of this build.
#[pyfunction]
fn build_info(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let build = PyDict::new(py);
    build.set_item("version", env!("CARGO_PKG_VERSION"))?;
    build.set_item("rustc", env!("SLIPSTREAM_RUSTC"))?;
    build.set_item("profile", env!("SLIPSTREAM_PROFILE"))?;
    build.set_item("target", env!("SLIPSTREAM_TARGET"))?;
    Ok(build)
}

/// Registers everything that crosses the boundary.
#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(build_info, module)?)?;
    error::register(module)?;
    values::register(module)?;
    book::register(module)?;
    sizing::register(module)?;
    table::register(module)?;
    plan::register(module)?;
    ledger::register(module)?;
    histogram::register(module)?;
    typed_data::register(module)?;
    json_keys::register(module)?;
    keystore::register(module)?;
    signer::register(module)?;
    signing_queue::register(module)
}
