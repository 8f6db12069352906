//! The follower table at the boundary.

use pyo3::prelude::*;
use slipstream_kernel::fixed::{Px, Qty, Quote};
use slipstream_kernel::side::PositionSide;
use slipstream_kernel::sizing::lane::{Lane, OrderEnd, Slot};
use slipstream_kernel::sizing::limits::AccountState;
use slipstream_kernel::sizing::table::{FollowerTable, Row};

use crate::error::{CoreError, OrRaise};
use crate::sizing::{PyFollowerLimits, PyLaneState, PySizingRule};
use crate::values::PyPositionSide;

/// All followers of one leader on one venue: one row each, lanes per symbol index.
#[pyclass(name = "FollowerTable", module = "slipstream._core")]
#[derive(Debug)]
pub struct PyFollowerTable {
    /// The kernel's table.
    pub(crate) inner: FollowerTable,
}

/// Returns a row as the kernel counts it; a negative one is as unknown as one too large.
pub fn row_of(row: i64, count: usize) -> PyResult<usize> {
    usize::try_from(row).map_err(|_| {
        CoreError::new_err(format!(
            "row {row}: expected one of the {count} rows of the table"
        ))
    })
}

fn slot_of(side: PyPositionSide) -> Slot {
    match side.kernel() {
        PositionSide::Net | PositionSide::Long => Slot::First,
        PositionSide::Short => Slot::Second,
    }
}

impl PyFollowerTable {
    fn row_mut(&mut self, row: i64) -> PyResult<&mut Row> {
        let row = row_of(row, self.inner.len())?;
        self.inner.row_mut(row).or_raise()
    }

    fn change(&mut self, row: i64, symbol: u32, change: impl FnOnce(&mut Lane)) -> PyResult<()> {
        let row = row_of(row, self.inner.len())?;
        let changed = self.inner.change(row, symbol, |_, lane| {
            change(lane);
            Ok(())
        });
        changed.or_raise().map(|_| ())
    }
}

#[pymethods]
impl PyFollowerTable {
    #[new]
    fn new() -> Self {
        Self {
            inner: FollowerTable::default(),
        }
    }

    fn __len__(&self) -> usize {
        self.inner.len()
    }

    /// Adds a follower and returns its row.
    #[pyo3(signature = (*, sizing, limits, is_hedge=false, is_dedicated=false))]
    fn add(
        &mut self,
        sizing: &PySizingRule,
        limits: &PyFollowerLimits,
        is_hedge: bool,
        is_dedicated: bool,
    ) -> usize {
        let mut row = Row::new(sizing.inner, limits.inner);
        (row.is_hedge, row.is_dedicated) = (is_hedge, is_dedicated);
        self.inner.add(row)
    }

    #[pyo3(signature = (row, *, sizing, limits))]
    fn set_rules(
        &mut self,
        row: i64,
        sizing: &PySizingRule,
        limits: &PyFollowerLimits,
    ) -> PyResult<()> {
        let row = self.row_mut(row)?;
        (row.rule, row.limits) = (sizing.inner, limits.inner);
        Ok(())
    }

    #[pyo3(signature = (row, *, is_hedge))]
    fn set_mode(&mut self, row: i64, is_hedge: bool) -> PyResult<()> {
        self.row_mut(row)?.is_hedge = is_hedge;
        Ok(())
    }

    /// Records account state.
    #[pyo3(signature = (row, *, equity, free_margin, day_pnl=0, drawdown_ppm=0, ts_ns))]
    fn set_account(
        &mut self,
        row: i64,
        equity: i64,
        free_margin: i64,
        day_pnl: i64,
        drawdown_ppm: i64,
        ts_ns: i64,
    ) -> PyResult<()> {
        self.row_mut(row)?.account = Some(AccountState {
            equity: Quote(equity),
            free_margin: Quote(free_margin),
            day_pnl: Quote(day_pnl),
            drawdown_ppm,
            ts_ns,
        });
        Ok(())
    }

    /// Replaces the row's gates.
    fn set_gates(&mut self, row: i64, mask: u64) -> PyResult<()> {
        self.row_mut(row)?.gates = mask;
        Ok(())
    }

    fn set_lane_gates(&mut self, row: i64, symbol_index: u32, mask: u64) -> PyResult<()> {
        self.change(row, symbol_index, |lane| lane.gates = mask)
    }

    fn set_leverage(&mut self, row: i64, symbol_index: u32, leverage: Option<u32>) -> PyResult<()> {
        self.change(row, symbol_index, |lane| lane.leverage = leverage)
    }

    fn set_foreign(
        &mut self,
        row: i64,
        symbol_index: u32,
        position_side: PyPositionSide,
        qty: i64,
    ) -> PyResult<()> {
        let slot = slot_of(position_side);
        self.change(row, symbol_index, |lane| {
            lane.sides.get_mut(slot).foreign = Qty(qty);
        })
    }

    /// Sets the price that values a symbol's positions against the caps.
    fn set_mark(&mut self, symbol_index: u32, px: i64) -> PyResult<()> {
        if px <= 0 {
            let message = format!("mark of symbol {symbol_index}: expected above 0, found {px}");
            return Err(CoreError::new_err(message));
        }
        self.inner.set_mark(symbol_index, Px(px));
        Ok(())
    }

    /// Notes a price that values a symbol's positions as long as it has no mark.
    fn note_reference(&mut self, symbol_index: u32, px: i64) -> PyResult<()> {
        if px <= 0 {
            let message =
                format!("reference of symbol {symbol_index}: expected above 0, found {px}");
            return Err(CoreError::new_err(message));
        }
        self.inner.note_reference(symbol_index, Px(px));
        Ok(())
    }

    fn lane(&self, row: i64, symbol_index: u32) -> PyResult<PyLaneState> {
        let row = row_of(row, self.inner.len())?;
        Ok(PyLaneState {
            inner: self.inner.row(row).or_raise()?.lane(symbol_index),
        })
    }

    fn restore_lane(&mut self, row: i64, symbol_index: u32, lane: &PyLaneState) -> PyResult<()> {
        let row = row_of(row, self.inner.len())?;
        self.inner
            .set_lane(row, symbol_index, &lane.inner)
            .or_raise()
    }

    /// The order in flight (or unknown) ended.
    #[pyo3(signature = (row, symbol_index, position_side, *, filled_qty, is_opening,
        is_new_missed_kept=false))]
    fn settle(
        &mut self,
        row: i64,
        symbol_index: u32,
        position_side: PyPositionSide,
        filled_qty: i64,
        is_opening: bool,
        is_new_missed_kept: bool,
    ) -> PyResult<PyLaneState> {
        let row = row_of(row, self.inner.len())?;
        let end = OrderEnd {
            filled: Qty(filled_qty),
            is_opening,
            is_rest_kept: is_new_missed_kept,
        };
        let settled = self
            .inner
            .settle(row, symbol_index, slot_of(position_side), end);
        settled.or_raise().map(|inner| PyLaneState { inner })
    }

    fn mark_unknown(
        &mut self,
        row: i64,
        symbol_index: u32,
        position_side: PyPositionSide,
    ) -> PyResult<()> {
        let row = row_of(row, self.inner.len())?;
        self.inner
            .mark_unknown(row, symbol_index, slot_of(position_side))
            .or_raise()
    }

    /// The venue holds only `qty` without an order of ours.
    fn shrink(
        &mut self,
        row: i64,
        symbol_index: u32,
        position_side: PyPositionSide,
        qty: i64,
    ) -> PyResult<PyLaneState> {
        let row = row_of(row, self.inner.len())?;
        let shrunk = self
            .inner
            .shrink(row, symbol_index, slot_of(position_side), Qty(qty));
        shrunk.or_raise().map(|inner| PyLaneState { inner })
    }
}

/// Adds this file's names to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PyFollowerTable>()
}
