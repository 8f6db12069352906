//! The exceptions of the extension, and the one mapping from kernel errors to them.

use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use slipstream_kernel::book::BookError as KernelBookError;
use slipstream_kernel::fixed::FixedError as KernelFixedError;
use slipstream_kernel::histogram::HistogramError;
use slipstream_kernel::rules::RulesError;
use slipstream_kernel::sizing::lane_text::LaneTextError;
use slipstream_kernel::sizing::limits::LimitError;
use slipstream_kernel::sizing::rule::RuleError;
use slipstream_kernel::sizing::table::TableError;

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
    "The core refused a value: the message says what was expected and what was found."
);
create_exception!(
    slipstream._core,
    FixedError,
    CoreError,
    "A number could not be parsed exactly, or does not fit."
);
create_exception!(
    slipstream._core,
    BookError,
    CoreError,
    "A book, or a question to one, is wrong."
);
create_exception!(
    slipstream._core,
    BookGapError,
    BookError,
    "An update is missing: only a new snapshot helps."
);
create_exception!(
    slipstream._core,
    SchemaError,
    CoreError,
    "A typed-data schema, or a value under it, is wrong."
);
create_exception!(
    slipstream._core,
    SignerError,
    CoreError,
    "A signer refused a message."
);
create_exception!(
    slipstream._core,
    KeystoreError,
    CoreError,
    "A keystore entry could not be made or opened."
);

/// Turns a kernel error into the exception that Python sees.
pub trait OrRaise<T> {
    /// Returns the value, or the error as a Python exception.
    fn or_raise(self) -> PyResult<T>;
}

impl<T> OrRaise<T> for Result<T, KernelFixedError> {
    fn or_raise(self) -> PyResult<T> {
        self.map_err(|error| FixedError::new_err(error.to_string()))
    }
}

impl<T> OrRaise<T> for Result<T, RulesError> {
    fn or_raise(self) -> PyResult<T> {
        self.map_err(|error| match error {
            RulesError::Fixed(error) => FixedError::new_err(error.to_string()),
            refused => CoreError::new_err(refused.to_string()),
        })
    }
}

impl<T> OrRaise<T> for Result<T, KernelBookError> {
    fn or_raise(self) -> PyResult<T> {
        self.map_err(|error| match error {
            KernelBookError::Fixed(error) => FixedError::new_err(error.to_string()),
            gap if gap.is_gap() => BookGapError::new_err(gap.to_string()),
            refused => BookError::new_err(refused.to_string()),
        })
    }
}

impl<T> OrRaise<T> for Result<T, HistogramError> {
    fn or_raise(self) -> PyResult<T> {
        self.map_err(|error| CoreError::new_err(error.to_string()))
    }
}

/// Maps kernel errors whose message is all there is to say to `CoreError`.
macro_rules! plain_refusals {
    ($($error:ty),*) => {
        $(impl<T> OrRaise<T> for Result<T, $error> {
            fn or_raise(self) -> PyResult<T> {
                self.map_err(|error| CoreError::new_err(error.to_string()))
            }
        })*
    };
}

plain_refusals!(RuleError, LimitError, TableError, LaneTextError);

/// Adds the exceptions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("SlipstreamError", py.get_type::<SlipstreamError>())?;
    module.add("CoreError", py.get_type::<CoreError>())?;
    module.add("FixedError", py.get_type::<FixedError>())?;
    module.add("BookError", py.get_type::<BookError>())?;
    module.add("BookGapError", py.get_type::<BookGapError>())?;
    module.add("SchemaError", py.get_type::<SchemaError>())?;
    module.add("SignerError", py.get_type::<SignerError>())?;
    module.add("KeystoreError", py.get_type::<KeystoreError>())
}
