//! Books, their views, fill estimates and shared depth at the boundary.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};
use slipstream_kernel::book::{
    Book, BookStamp, BookView, DeltaSpan, DepthReservation, FillEstimate, Level,
};
use slipstream_kernel::fixed::{Px, Qty};

use crate::error::OrRaise;
use crate::values::PySide;

const fn pair(level: Level) -> (i64, i64) {
    (level.px.0, level.qty.0)
}

/// What taking a quantity from one side of a book would do.
#[pyclass(name = "FillEstimate", module = "slipstream._core", frozen)]
#[derive(Debug)]
pub struct PyFillEstimate {
    inner: FillEstimate,
}

#[pymethods]
impl PyFillEstimate {
    #[getter]
    const fn filled_qty(&self) -> i64 {
        self.inner.filled_qty.0
    }

    #[getter]
    const fn unfilled_qty(&self) -> i64 {
        self.inner.unfilled_qty.0
    }

    /// Rounded against the taker; `None` when nothing filled.
    #[getter]
    fn vwap_px(&self) -> Option<i64> {
        self.inner.vwap_px.map(|px| px.0)
    }

    #[getter]
    fn worst_px(&self) -> Option<i64> {
        self.inner.worst_px.map(|px| px.0)
    }

    #[getter]
    const fn notional(&self) -> i64 {
        self.inner.notional.0
    }

    #[getter]
    const fn level_count(&self) -> usize {
        self.inner.level_count
    }

    /// Returns the cost against a reference in ppm, positive when worse, rounded up.
    fn slippage_ppm(&self, reference_px: i64) -> PyResult<i64> {
        self.inner.slippage_ppm(Px(reference_px)).or_raise()
    }
}

/// An immutable snapshot of one book.
#[pyclass(name = "BookView", module = "slipstream._core", frozen)]
#[derive(Debug)]
pub struct PyBookView {
    /// The kernel's view.
    pub(crate) inner: BookView,
}

#[pymethods]
impl PyBookView {
    /// (px, qty), or `None` when that side is empty.
    #[getter]
    fn best_bid(&self) -> Option<(i64, i64)> {
        self.inner.best_bid().map(pair)
    }

    /// (px, qty), or `None` when that side is empty.
    #[getter]
    fn best_ask(&self) -> Option<(i64, i64)> {
        self.inner.best_ask().map(pair)
    }

    #[getter]
    fn sequence(&self) -> u64 {
        self.inner.sequence()
    }

    #[getter]
    fn ts_ns(&self) -> i64 {
        self.inner.ts_ns()
    }

    #[getter]
    fn venue_ts_ms(&self) -> i64 {
        self.inner.venue_ts_ms()
    }

    fn mid(&self) -> Option<i64> {
        self.inner.mid().map(|px| px.0)
    }

    fn microprice(&self) -> Option<i64> {
        self.inner.microprice().map(|px| px.0)
    }

    /// Estimates an order of `side`: a BUY takes asks.
    #[pyo3(signature = (side, qty, limit_px=None))]
    fn walk(&self, side: PySide, qty: i64, limit_px: Option<i64>) -> PyFillEstimate {
        let inner = self.inner.walk(side.kernel(), Qty(qty), limit_px.map(Px));
        PyFillEstimate { inner }
    }

    /// Returns the quantity an order of `side` could take at `limit_px` or better.
    fn depth_to(&self, side: PySide, limit_px: i64) -> i64 {
        self.inner.depth_to(side.kernel(), Px(limit_px)).0
    }

    /// Returns the best levels that an order of `side` would take.
    fn levels(&self, side: PySide, count: usize) -> Vec<(i64, i64)> {
        self.inner
            .levels(side.kernel())
            .iter()
            .take(count)
            .copied()
            .map(pair)
            .collect()
    }
}

/// Levels as Python hands them in; their texts stay Python's.
struct TextLevels<'py> {
    items: Vec<(Bound<'py, PyString>, Bound<'py, PyString>)>,
}

impl<'py> TextLevels<'py> {
    fn extract(levels: &Bound<'py, PyAny>) -> PyResult<Self> {
        let mut items = Vec::with_capacity(levels.len()?);
        for level in levels.try_iter()? {
            items.push(Self::extract_level(&level?)?);
        }
        Ok(Self { items })
    }

    fn extract_level(
        level: &Bound<'py, PyAny>,
    ) -> PyResult<(Bound<'py, PyString>, Bound<'py, PyString>)> {
        if let Ok(texts) = level.cast::<PyList>()
            && texts.len() == 2
        {
            return Ok((
                texts.get_item(0)?.cast_into()?,
                texts.get_item(1)?.cast_into()?,
            ));
        }
        if let Ok(texts) = level.cast::<PyTuple>()
            && texts.len() == 2
        {
            return Ok((
                texts.get_item(0)?.cast_into()?,
                texts.get_item(1)?.cast_into()?,
            ));
        }
        let kind = level.get_type().name()?;
        let message = format!("expected a level of (price, quantity) texts, found {kind}");
        Err(PyTypeError::new_err(message))
    }

    fn texts(&self) -> PyResult<Vec<(&str, &str)>> {
        self.items
            .iter()
            .map(|(px, qty)| Ok((px.to_str()?, qty.to_str()?)))
            .collect()
    }
}

/// A price-level book: absolute quantities, zero deletes.
#[pyclass(name = "Book", module = "slipstream._core")]
#[derive(Debug)]
pub struct PyBook {
    inner: Book,
}

impl PyBook {
    /// Takes the view away when the input could not even be read.
    fn or_invalidate<T>(&mut self, read: PyResult<T>) -> PyResult<T> {
        if read.is_err() {
            self.inner.invalidate();
        }
        read
    }
}

#[pymethods]
impl PyBook {
    #[new]
    #[pyo3(signature = (*, depth_max=1000))]
    fn new(depth_max: usize) -> PyResult<Self> {
        Book::new(depth_max).or_raise().map(|inner| Self { inner })
    }

    /// Replaces the book by a snapshot.
    #[pyo3(signature = (bids, asks, *, sequence, ts_ns, venue_ts_ms=0))]
    fn load(
        &mut self,
        bids: &Bound<'_, PyAny>,
        asks: &Bound<'_, PyAny>,
        sequence: u64,
        ts_ns: i64,
        venue_ts_ms: i64,
    ) -> PyResult<()> {
        let bids = self.or_invalidate(TextLevels::extract(bids))?;
        let asks = self.or_invalidate(TextLevels::extract(asks))?;
        let stamp = BookStamp {
            sequence,
            ts_ns,
            venue_ts_ms,
        };
        self.inner
            .load(&bids.texts()?, &asks.texts()?, stamp)
            .or_raise()
    }

    /// Applies a delta; returns False when it is older than the book (nothing done).
    #[pyo3(signature = (bids, asks, *, first_sequence, sequence, previous_sequence, ts_ns,
        venue_ts_ms=0))]
    #[allow(
        clippy::too_many_arguments,
        reason = "the boundary contract names each of them"
    )]
    fn apply(
        &mut self,
        bids: &Bound<'_, PyAny>,
        asks: &Bound<'_, PyAny>,
        first_sequence: u64,
        sequence: u64,
        previous_sequence: Option<u64>,
        ts_ns: i64,
        venue_ts_ms: i64,
    ) -> PyResult<bool> {
        let bids = self.or_invalidate(TextLevels::extract(bids))?;
        let asks = self.or_invalidate(TextLevels::extract(asks))?;
        let span = DeltaSpan {
            first_sequence,
            sequence,
            previous_sequence,
        };
        self.inner
            .apply(&bids.texts()?, &asks.texts()?, span, ts_ns, venue_ts_ms)
            .or_raise()
    }

    /// Drops bids above `bid_px` and asks below `ask_px` (a newer best bid or offer).
    fn trim_better_than(&mut self, bid_px: Option<i64>, ask_px: Option<i64>) {
        self.inner.trim_better_than(bid_px.map(Px), ask_px.map(Px));
    }

    /// Takes the venue's word that a sequence was its newest at an instant.
    fn confirm(&mut self, sequence: u64, ts_ns: i64) -> bool {
        self.inner.confirm(sequence, ts_ns)
    }

    /// Takes the view away until the next snapshot.
    fn invalidate(&mut self) {
        self.inner.invalidate();
    }

    fn view(&mut self) -> Option<PyBookView> {
        self.inner.view().map(|inner| PyBookView { inner })
    }
}

/// What our own orders have taken, or may still take, from one book.
#[pyclass(name = "DepthReservation", module = "slipstream._core")]
#[derive(Debug)]
pub struct PyDepthReservation {
    /// The kernel's reservation.
    pub(crate) inner: DepthReservation,
}

#[pymethods]
impl PyDepthReservation {
    #[new]
    fn new(view: &PyBookView) -> Self {
        Self {
            inner: DepthReservation::new(view.inner.clone()),
        }
    }

    fn refresh(&mut self, view: &PyBookView) {
        self.inner.refresh(view.inner.clone());
    }

    #[pyo3(signature = (side, qty, limit_px=None))]
    fn walk(&self, side: PySide, qty: i64, limit_px: Option<i64>) -> PyFillEstimate {
        let inner = self.inner.walk(side.kernel(), Qty(qty), limit_px.map(Px));
        PyFillEstimate { inner }
    }

    /// Reserves up to `qty` inside `limit_px`; returns a token.
    fn take(&mut self, side: PySide, qty: i64, limit_px: i64) -> u64 {
        self.inner.take(side.kernel(), Qty(qty), Px(limit_px))
    }

    fn taken_qty(&self, token: u64) -> PyResult<i64> {
        self.inner.taken_qty(token).or_raise().map(|qty| qty.0)
    }

    /// The order was never sent: puts its quantity back at once.
    fn give_back(&mut self, token: u64) -> PyResult<()> {
        self.inner.give_back(token).or_raise()
    }

    /// The order's outcome is known.
    #[pyo3(signature = (token, *, filled_qty, venue_ts_ms))]
    fn settle(&mut self, token: u64, filled_qty: i64, venue_ts_ms: i64) -> PyResult<()> {
        self.inner
            .settle(token, Qty(filled_qty), venue_ts_ms)
            .or_raise()
    }

    /// Subtracts a leader's own taker fill until a view newer than `venue_ts_ms` comes.
    #[pyo3(signature = (side, qty, *, venue_ts_ms))]
    fn take_foreign(&mut self, side: PySide, qty: i64, venue_ts_ms: i64) {
        self.inner
            .take_foreign(side.kernel(), Qty(qty), venue_ts_ms);
    }

    #[getter]
    fn outstanding_qty(&self) -> i128 {
        self.inner.outstanding_qty()
    }
}

/// Adds this file's classes to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyFillEstimate>()?;
    module.add_class::<PyBookView>()?;
    module.add_class::<PyBook>()?;
    module.add_class::<PyDepthReservation>()
}
