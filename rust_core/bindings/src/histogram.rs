//! Latency histograms at the boundary.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use slipstream_kernel::histogram::LatencyHistogram;

use crate::error::OrRaise;

/// HDR histogram of nanoseconds (1 us to 1 h, 3 significant digits).
#[pyclass(name = "LatencyHistogram", module = "slipstream._core")]
#[derive(Debug)]
pub struct PyLatencyHistogram {
    inner: LatencyHistogram,
}

#[pymethods]
impl PyLatencyHistogram {
    #[new]
    fn new() -> PyResult<Self> {
        LatencyHistogram::new()
            .or_raise()
            .map(|inner| Self { inner })
    }

    fn record(&mut self, value_ns: i64) -> PyResult<()> {
        self.inner.record(value_ns).or_raise()
    }

    /// Returns the value in ns at a percentile given as text; `None` when empty.
    fn percentile(&self, percent: &str) -> PyResult<Option<u64>> {
        self.inner.percentile(percent).or_raise()
    }

    #[getter]
    fn count(&self) -> u64 {
        self.inner.count()
    }

    #[getter]
    fn max(&self) -> Option<u64> {
        self.inner.max()
    }

    fn merge(slf: &Bound<'_, Self>, other: &Bound<'_, Self>) -> PyResult<()> {
        // A copy, because a histogram may be merged into itself.
        let added = other.borrow().inner.clone();
        slf.borrow_mut().inner.merge(&added).or_raise()
    }

    /// Returns the HDR V2 bytes.
    fn encode<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.inner
            .encode()
            .or_raise()
            .map(|bytes| PyBytes::new(py, &bytes))
    }

    #[staticmethod]
    fn decode(blob: &[u8]) -> PyResult<Self> {
        LatencyHistogram::decode(blob)
            .or_raise()
            .map(|inner| Self { inner })
    }
}

/// Adds this file's class to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyLatencyHistogram>()
}
