//! The exceptions of the extension, all below `SlipstreamError`.

use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;

create_exception!(
    slipstream._core,
    SlipstreamError,
    PyException,
    "Root of all errors of Slipstream."
);
create_exception!(
    slipstream._core,
    CoreError,
    SlipstreamError,
    "The core refused its input."
);
create_exception!(
    slipstream._core,
    FixedError,
    CoreError,
    "Text or a number is no exact fixed-point value."
);
create_exception!(
    slipstream._core,
    BookError,
    CoreError,
    "A book cannot be built or read."
);
create_exception!(
    slipstream._core,
    BookGapError,
    BookError,
    "An update of a book is missing."
);
create_exception!(
    slipstream._core,
    SchemaError,
    CoreError,
    "A schema, or a value for it, is wrong."
);
create_exception!(
    slipstream._core,
    SignerError,
    CoreError,
    "A message is not signed."
);
create_exception!(
    slipstream._core,
    KeystoreError,
    CoreError,
    "A keystore or one of its entries does not open."
);

/// Adds the exceptions to the module.
///
/// # Errors
/// Returns an error when Python refuses a name.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let python = module.py();
    module.add("SlipstreamError", python.get_type::<SlipstreamError>())?;
    module.add("CoreError", python.get_type::<CoreError>())?;
    module.add("FixedError", python.get_type::<FixedError>())?;
    module.add("BookError", python.get_type::<BookError>())?;
    module.add("BookGapError", python.get_type::<BookGapError>())?;
    module.add("SchemaError", python.get_type::<SchemaError>())?;
    module.add("SignerError", python.get_type::<SignerError>())?;
    module.add("KeystoreError", python.get_type::<KeystoreError>())
}
