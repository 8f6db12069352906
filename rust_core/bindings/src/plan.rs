//! Planning a cohort at the boundary.

use pyo3::prelude::*;
use pyo3::types::PyList;
use slipstream_kernel::fixed::{Px, Quote, format_fixed};
use slipstream_kernel::sizing::bounds::Band;
use slipstream_kernel::sizing::event::LeaderEvent;
use slipstream_kernel::sizing::lane::Slot;
use slipstream_kernel::sizing::market::CohortIntent;
use slipstream_kernel::sizing::outcome::{OrderPlan, Skip};
use slipstream_kernel::sizing::plan::{self, Request};

use crate::book::{PyBookView, PyDepthReservation};
use crate::error::{CoreError, OrRaise};
use crate::sizing::PyReferenceKind;
use crate::table::{PyFollowerTable, row_of};
use crate::values::{PyInstrumentRules, PyPositionSide, PySide, PySkipReason};

/// The leader's event as a cohort sees it.
#[pyclass(name = "CohortIntent", module = "slipstream._core", frozen)]
#[derive(Debug)]
pub struct PyCohortIntent {
    inner: CohortIntent,
}

fn price(name: &str, px: Option<i64>) -> PyResult<Option<Px>> {
    match px {
        Some(px) if px <= 0 => Err(CoreError::new_err(format!(
            "{name}: expected above 0, found {px}"
        ))),
        px => Ok(px.map(Px)),
    }
}

#[pymethods]
impl PyCohortIntent {
    #[new]
    #[pyo3(signature = (*, symbol_index, rules, leader_before, leader_after, leader_px,
        created_ns, track=0, leader_margin=None, leader_initial_margin=None, arrival_px=None,
        mid_px=None, mark_px=None, band_low_px=None, band_high_px=None, gates=0, rotation=0,
        exit_since_ns=None))]
    #[allow(
        clippy::too_many_arguments,
        reason = "keywords of the boundary's contract"
    )]
    fn new(
        symbol_index: u32,
        rules: &PyInstrumentRules,
        leader_before: i128,
        leader_after: i128,
        leader_px: i64,
        created_ns: i64,
        track: i64,
        leader_margin: Option<i64>,
        leader_initial_margin: Option<i64>,
        arrival_px: Option<i64>,
        mid_px: Option<i64>,
        mark_px: Option<i64>,
        band_low_px: Option<i64>,
        band_high_px: Option<i64>,
        gates: u64,
        rotation: u64,
        exit_since_ns: Option<i64>,
    ) -> PyResult<Self> {
        let track = match track {
            0 => Slot::First,
            1 => Slot::Second,
            other => {
                return Err(CoreError::new_err(format!(
                    "track: expected 0 or 1, found {other}"
                )));
            }
        };
        price("leader_px", Some(leader_px))?;
        let event = LeaderEvent {
            before: leader_before,
            after: leader_after,
            px: Px(leader_px),
            margin: leader_margin.map(Quote),
            initial_margin: leader_initial_margin.map(Quote),
        };
        let band = Band {
            low: price("band_low_px", band_low_px)?,
            high: price("band_high_px", band_high_px)?,
        };
        Ok(Self {
            inner: CohortIntent {
                symbol: symbol_index,
                rules: rules.inner.clone(),
                event,
                track,
                created_ns,
                arrival_px: price("arrival_px", arrival_px)?,
                mid_px: price("mid_px", mid_px)?,
                mark_px: price("mark_px", mark_px)?,
                band,
                gates,
                rotation,
                exit_since_ns,
            },
        })
    }
}

/// One order to claim, sign and send: an IOC limit.
#[pyclass(name = "OrderPlan", module = "slipstream._core", frozen)]
#[derive(Debug)]
pub struct PyOrderPlan {
    /// The kernel's plan.
    pub(crate) inner: OrderPlan,
}

#[pymethods]
impl PyOrderPlan {
    #[getter]
    fn row(&self) -> usize {
        self.inner.row
    }

    #[getter]
    fn leg(&self) -> u8 {
        self.inner.leg
    }

    #[getter]
    fn position_side(&self, py: Python<'_>) -> PyResult<Py<PyPositionSide>> {
        PyPositionSide::member(py, self.inner.position_side)
    }

    #[getter]
    fn side(&self, py: Python<'_>) -> PyResult<Py<PySide>> {
        PySide::member(py, self.inner.side)
    }

    #[getter]
    fn qty(&self) -> i64 {
        self.inner.qty.0
    }

    #[getter]
    fn qty_text(&self) -> String {
        format_fixed(self.inner.qty.0)
    }

    #[getter]
    fn limit_px(&self) -> i64 {
        self.inner.limit_px.0
    }

    #[getter]
    fn limit_px_text(&self) -> String {
        format_fixed(self.inner.limit_px.0)
    }

    #[getter]
    fn is_opening(&self) -> bool {
        self.inner.is_opening
    }

    #[getter]
    fn is_full_close(&self) -> bool {
        self.inner.is_full_close
    }

    #[getter]
    fn exact_target(&self) -> i128 {
        self.inner.targets.exact
    }

    #[getter]
    fn wanted_target(&self) -> i128 {
        self.inner.targets.wanted
    }

    #[getter]
    fn mirrored_target(&self) -> i128 {
        self.inner.targets.mirrored
    }

    #[getter]
    fn position_qty(&self) -> i64 {
        self.inner.targets.position.0
    }

    #[getter]
    fn wanted_qty(&self) -> i64 {
        self.inner.wanted_qty.0
    }

    #[getter]
    fn clip_reason(&self, py: Python<'_>) -> PyResult<Option<Py<PySkipReason>>> {
        self.inner
            .clip_reason
            .map(|reason| PySkipReason::member(py, reason))
            .transpose()
    }

    #[getter]
    fn reference_kind(&self, py: Python<'_>) -> PyResult<Py<PyReferenceKind>> {
        PyReferenceKind::member(py, self.inner.reference_kind)
    }

    #[getter]
    fn reference_px(&self) -> i64 {
        self.inner.reference_px.0
    }

    #[getter]
    fn bound_ppm(&self) -> i64 {
        self.inner.bound_ppm
    }

    #[getter]
    fn book_sequence(&self) -> Option<u64> {
        self.inner.book_sequence
    }

    #[getter]
    fn expected_px(&self) -> Option<i64> {
        self.inner.expected_px.map(|px| px.0)
    }

    #[getter]
    fn depth_token(&self) -> Option<u64> {
        self.inner.depth_token
    }

    fn __repr__(&self) -> String {
        let order = &self.inner;
        format!(
            "OrderPlan(row={}, leg={}, {} {} @ {})",
            order.row, order.leg, order.side, order.qty, order.limit_px
        )
    }
}

/// A decision not to trade.
#[pyclass(name = "Skip", module = "slipstream._core", frozen)]
#[derive(Debug)]
pub struct PySkip {
    /// The kernel's skip.
    pub(crate) inner: Skip,
}

#[pymethods]
impl PySkip {
    #[getter]
    fn row(&self) -> usize {
        self.inner.row
    }

    #[getter]
    fn leg(&self) -> u8 {
        self.inner.leg
    }

    #[getter]
    fn position_side(&self, py: Python<'_>) -> PyResult<Py<PyPositionSide>> {
        PyPositionSide::member(py, self.inner.position_side)
    }

    #[getter]
    fn reason(&self, py: Python<'_>) -> PyResult<Py<PySkipReason>> {
        PySkipReason::member(py, self.inner.reason)
    }

    #[getter]
    fn observed(&self) -> Option<i128> {
        self.inner.observed
    }

    #[getter]
    fn limit(&self) -> Option<i128> {
        self.inner.limit
    }

    #[getter]
    fn is_opening(&self) -> bool {
        self.inner.is_opening
    }

    #[getter]
    fn is_delayed(&self) -> bool {
        self.inner.is_delayed
    }

    #[getter]
    fn wanted_qty(&self) -> i64 {
        self.inner.wanted_qty.0
    }

    #[getter]
    fn exact_target(&self) -> i128 {
        self.inner.targets.exact
    }

    #[getter]
    fn wanted_target(&self) -> i128 {
        self.inner.targets.wanted
    }

    #[getter]
    fn mirrored_target(&self) -> i128 {
        self.inner.targets.mirrored
    }

    #[getter]
    fn position_qty(&self) -> i64 {
        self.inner.targets.position.0
    }

    fn __repr__(&self) -> String {
        let skip = &self.inner;
        format!("Skip(row={}, leg={}, {})", skip.row, skip.leg, skip.reason)
    }
}

/// The plan of a cohort. Its lists are made once, with the plan.
#[pyclass(name = "CohortPlan", module = "slipstream._core", frozen)]
#[derive(Debug)]
pub struct PyCohortPlan {
    /// Of `PyOrderPlan`.
    pub(crate) orders: Py<PyList>,
    /// Of `PySkip`.
    pub(crate) skips: Py<PyList>,
    pending_open_rows: Py<PyList>,
    /// Of row numbers.
    pub(crate) waiting_rows: Py<PyList>,
}

#[pymethods]
impl PyCohortPlan {
    #[getter]
    fn orders(&self, py: Python<'_>) -> Py<PyList> {
        self.orders.clone_ref(py)
    }

    #[getter]
    fn skips(&self, py: Python<'_>) -> Py<PyList> {
        self.skips.clone_ref(py)
    }

    #[getter]
    pub fn pending_open_rows(&self, py: Python<'_>) -> Py<PyList> {
        self.pending_open_rows.clone_ref(py)
    }

    #[getter]
    fn waiting_rows(&self, py: Python<'_>) -> Py<PyList> {
        self.waiting_rows.clone_ref(py)
    }
}

fn objects<T>(py: Python<'_>, values: Vec<T>) -> PyResult<Bound<'_, PyList>>
where
    T: pyo3::PyClass + Into<pyo3::PyClassInitializer<T>>,
{
    let made: PyResult<Vec<Py<T>>> = values.into_iter().map(|value| Py::new(py, value)).collect();
    PyList::new(py, made?)
}

/// Plans one leader event for a whole cohort, or lanes again.
#[pyfunction]
#[pyo3(signature = (intent, table, view, reservation, *, now_ns, rows=None, leg=None,
    reductions_only=false))]
#[allow(
    clippy::too_many_arguments,
    reason = "keywords of the boundary's contract"
)]
fn plan_cohort(
    py: Python<'_>,
    intent: &PyCohortIntent,
    table: &mut PyFollowerTable,
    view: Option<&PyBookView>,
    reservation: Option<&mut PyDepthReservation>,
    now_ns: i64,
    rows: Option<Vec<i64>>,
    leg: Option<u8>,
    reductions_only: bool,
) -> PyResult<PyCohortPlan> {
    let count = table.inner.len();
    let rows: Option<Vec<usize>> = rows
        .map(|rows| rows.into_iter().map(|row| row_of(row, count)).collect())
        .transpose()?;
    let request = Request {
        now_ns,
        rows: rows.as_deref(),
        leg,
        is_reductions_only: reductions_only,
    };
    let view = view.map(|view| &view.inner);
    let reservation = reservation.map(|reservation| &mut reservation.inner);
    let planned = plan::plan_cohort(&intent.inner, &mut table.inner, view, reservation, &request);
    let plan = planned.or_raise()?;
    let orders = plan
        .orders
        .into_iter()
        .map(|inner| PyOrderPlan { inner })
        .collect();
    let skips = plan
        .skips
        .into_iter()
        .map(|inner| PySkip { inner })
        .collect();
    Ok(PyCohortPlan {
        orders: objects::<PyOrderPlan>(py, orders)?.unbind(),
        skips: objects::<PySkip>(py, skips)?.unbind(),
        pending_open_rows: PyList::new(py, plan.pending_open_rows)?.unbind(),
        waiting_rows: PyList::new(py, plan.waiting_rows)?.unbind(),
    })
}

/// Adds this file's names to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyCohortIntent>()?;
    module.add_class::<PyOrderPlan>()?;
    module.add_class::<PySkip>()?;
    module.add_class::<PyCohortPlan>()?;
    module.add_function(wrap_pyfunction!(plan_cohort, module)?)
}
