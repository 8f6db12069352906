//! A plan's rows in the ledger, made for the whole cohort in one call.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
use slipstream_kernel::ledger;
use slipstream_kernel::sizing::bounds::ReferenceKind;
use slipstream_kernel::sizing::lane_text;

use crate::error::{CoreError, OrRaise};
use crate::plan::{PyCohortPlan, PyOrderPlan, PySkip};
use crate::table::{PyFollowerTable, row_of};

#[derive(Debug)]
struct Name {
    follower: Py<PyString>,
    key: String,
    claimant: String,
}

/// How a cohort's followers are named in its ledger.
#[pyclass(name = "LedgerNames", module = "slipstream._core")]
#[derive(Debug, Default)]
pub struct PyLedgerNames {
    names: Vec<Name>,
}

/// What the rows of one plan have in common.
struct Shared<'a, 'py> {
    py: Python<'py>,
    table: &'a PyFollowerTable,
    intent: Bound<'py, PyString>,
    intent_text: &'a str,
    symbol: Bound<'py, PyString>,
    symbol_text: &'a str,
    symbol_index: u32,
    attempts: &'a Bound<'py, PyDict>,
    sequence: Option<u64>,
    opening_sequence: Option<u64>,
    claimed: Bound<'py, PyString>,
    skipped: Bound<'py, PyString>,
    waiting: Bound<'py, PyString>,
}

impl Shared<'_, '_> {
    fn lane(&self, row: usize) -> PyResult<String> {
        let row = self.table.inner.row(row).or_raise()?;
        Ok(lane_text::encode(&row.lane(self.symbol_index)))
    }

    fn attempt(&self, row: usize, leg: u8) -> PyResult<u32> {
        if self.attempts.is_empty() {
            return Ok(0);
        }
        let attempt = self.attempts.get_item((row, leg))?;
        attempt.map_or(Ok(0), |attempt| attempt.extract())
    }
}

/// Returns what a reference is called in the ledger: the value of its member in `ReferenceKind`.
const fn reference_number(kind: ReferenceKind) -> u8 {
    match kind {
        ReferenceKind::ArrivalMid => 0,
        ReferenceKind::LeaderPx => 1,
        ReferenceKind::Mid => 2,
        ReferenceKind::Best => 3,
        ReferenceKind::Mark => 4,
    }
}

fn saturated(number: Option<i128>) -> Option<i64> {
    number
        .map(|number| i64::try_from(number).unwrap_or(if number < 0 { i64::MIN } else { i64::MAX }))
}

impl PyLedgerNames {
    fn name(&self, row: usize) -> PyResult<&Name> {
        self.names.get(row).ok_or_else(|| {
            CoreError::new_err(format!(
                "row {row}: expected one of the {} named rows",
                self.names.len()
            ))
        })
    }

    fn order<'py>(
        &self,
        shared: &Shared<'_, 'py>,
        planned: &PyOrderPlan,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let (py, order) = (shared.py, &planned.inner);
        let name = self.name(order.row)?;
        let attempt = shared.attempt(order.row, order.leg)?;
        let id = ledger::client_order_id(shared.intent_text, &name.key, order.leg, attempt);
        let hash = ledger::claim_hash(&name.claimant, shared.symbol_text, order);
        let reference_sequence = if order.is_opening {
            shared.opening_sequence
        } else {
            shared.sequence
        };
        let values = [
            shared.intent.clone().into_any(),
            name.follower.bind(py).clone().into_any(),
            order.leg.into_pyobject(py)?.into_any(),
            attempt.into_pyobject(py)?.into_any(),
            shared.claimed.clone().into_any(),
            shared.symbol.clone().into_any(),
            ledger::side_number(order.position_side)
                .into_pyobject(py)?
                .into_any(),
            shared.lane(order.row)?.into_pyobject(py)?.into_any(),
            order.wanted_qty.0.into_pyobject(py)?.into_any(),
            order
                .clip_reason
                .map(slipstream_kernel::reason::SkipReason::code)
                .into_pyobject(py)?,
            py.None().into_bound(py),
            py.None().into_bound(py),
            id.into_pyobject(py)?.into_any(),
            PyBytes::new(py, &hash).into_any(),
            order.side.sign().into_pyobject(py)?.into_any(),
            order.qty.0.into_pyobject(py)?.into_any(),
            order.limit_px.0.into_pyobject(py)?.into_any(),
            u8::from(!order.is_opening).into_pyobject(py)?.into_any(),
            reference_number(order.reference_kind)
                .into_pyobject(py)?
                .into_any(),
            order.reference_px.0.into_pyobject(py)?.into_any(),
            reference_sequence.into_pyobject(py)?,
            order.bound_ppm.into_pyobject(py)?.into_any(),
            order.book_sequence.into_pyobject(py)?,
        ];
        PyTuple::new(py, values)
    }

    fn skip<'py>(&self, shared: &Shared<'_, 'py>, skip: &PySkip) -> PyResult<Bound<'py, PyTuple>> {
        let (py, skip) = (shared.py, &skip.inner);
        let status = if skip.is_delayed {
            &shared.waiting
        } else {
            &shared.skipped
        };
        let key = [
            shared.intent.clone().into_any(),
            self.name(skip.row)?.follower.bind(py).clone().into_any(),
            skip.leg.into_pyobject(py)?.into_any(),
            shared
                .attempt(skip.row, skip.leg)?
                .into_pyobject(py)?
                .into_any(),
            status.clone().into_any(),
            shared.symbol.clone().into_any(),
            ledger::side_number(skip.position_side)
                .into_pyobject(py)?
                .into_any(),
            shared.lane(skip.row)?.into_pyobject(py)?.into_any(),
            skip.wanted_qty.0.into_pyobject(py)?.into_any(),
            skip.reason.code().into_pyobject(py)?.into_any(),
            saturated(skip.observed).into_pyobject(py)?,
            saturated(skip.limit).into_pyobject(py)?,
        ];
        unordered(py, key, Some(i64::from(!skip.is_opening)))
    }

    fn wait<'py>(
        &self,
        shared: &Shared<'_, 'py>,
        row: usize,
        leg: u8,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let py = shared.py;
        let key = [
            shared.intent.clone().into_any(),
            self.name(row)?.follower.bind(py).clone().into_any(),
            leg.into_pyobject(py)?.into_any(),
            shared.attempt(row, leg)?.into_pyobject(py)?.into_any(),
            shared.waiting.clone().into_any(),
            shared.symbol.clone().into_any(),
            0u8.into_pyobject(py)?.into_any(),
            shared.lane(row)?.into_pyobject(py)?.into_any(),
            0i64.into_pyobject(py)?.into_any(),
            py.None().into_bound(py),
            py.None().into_bound(py),
            py.None().into_bound(py),
        ];
        unordered(py, key, None)
    }
}

/// Adds the order columns of a row without an order: of a skip, only what it would have been.
fn unordered<'py>(
    py: Python<'py>,
    key: [Bound<'py, PyAny>; 12],
    is_reduction: Option<i64>,
) -> PyResult<Bound<'py, PyTuple>> {
    let nones = || core::iter::repeat_with(|| py.None().into_bound(py));
    let values = key
        .into_iter()
        .chain(nones().take(5))
        .chain([is_reduction.into_pyobject(py)?])
        .chain(nones().take(5));
    PyTuple::new(py, values.collect::<Vec<_>>())
}

#[pymethods]
impl PyLedgerNames {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    fn __len__(&self) -> usize {
        self.names.len()
    }

    /// Names the next row.
    #[pyo3(signature = (follower, *, key, claimant))]
    fn add(&mut self, follower: Py<PyString>, key: String, claimant: String) -> usize {
        self.names.push(Name {
            follower,
            key,
            claimant,
        });
        self.names.len() - 1
    }

    /// Returns the rows of a plan: its orders, its skips, its waiting rows and the opening legs of
    /// flips that begin to wait, each in plan order.
    ///
    /// An order's reference belongs to book `sequence`, an opening's to `opening_sequence`.
    #[pyo3(signature = (
        plan, table, *, intent_id, symbol, symbol_index, attempts, sequence=None,
        opening_sequence=None
    ))]
    #[allow(
        clippy::too_many_arguments,
        reason = "keywords of the boundary's contract"
    )]
    fn rows<'py>(
        &self,
        py: Python<'py>,
        plan: &PyCohortPlan,
        table: &PyFollowerTable,
        intent_id: &str,
        symbol: &str,
        symbol_index: u32,
        attempts: &Bound<'py, PyDict>,
        sequence: Option<u64>,
        opening_sequence: Option<u64>,
    ) -> PyResult<Bound<'py, PyList>> {
        let shared = Shared {
            py,
            table,
            intent: PyString::new(py, intent_id),
            intent_text: intent_id,
            symbol: PyString::new(py, symbol),
            symbol_text: symbol,
            symbol_index,
            attempts,
            sequence,
            opening_sequence,
            claimed: PyString::intern(py, "claimed"),
            skipped: PyString::intern(py, "skipped"),
            waiting: PyString::intern(py, "waiting"),
        };
        let count = table.inner.len();
        let rows = PyList::empty(py);
        for order in plan.orders.bind(py).iter() {
            rows.append(self.order(&shared, order.cast::<PyOrderPlan>()?.get())?)?;
        }
        for skip in plan.skips.bind(py).iter() {
            rows.append(self.skip(&shared, skip.cast::<PySkip>()?.get())?)?;
        }
        for row in plan.waiting_rows.bind(py).iter() {
            rows.append(self.wait(&shared, row_of(row.extract()?, count)?, 0)?)?;
        }
        for row in plan.pending_open_rows(py).bind(py).iter() {
            let row = row_of(row.extract()?, count)?;
            if !attempts.contains((row, 1u8))? {
                rows.append(self.wait(&shared, row, 1)?)?;
            }
        }
        Ok(rows)
    }
}

/// Adds this file's names to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyLedgerNames>()
}
