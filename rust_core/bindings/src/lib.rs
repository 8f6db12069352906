//! The extension module `slipstream._core`: extract, call the kernel, wrap.

use pyo3::prelude::*;

/// Registers everything that crosses the boundary.
#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))
}
