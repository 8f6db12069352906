//! The extension module `slipstream._core`: extract, call the kernel, wrap.

mod arena;
mod error;
mod keystore;
mod signer;
mod typed_data;

use pyo3::prelude::*;

/// Registers everything that crosses the boundary.
#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    error::register(module)?;
    typed_data::register(module)?;
    keystore::register(module)?;
    signer::register(module)
}
