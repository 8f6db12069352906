//! Money, sides, roundings, skip reasons and instrument rules at the boundary.

use pyo3::prelude::*;
use slipstream_kernel::fixed::{self, Px, Qty, Quote};
use slipstream_kernel::reason::SkipReason;
use slipstream_kernel::rounding::{self, Rounding};
use slipstream_kernel::rules::{InstrumentRules, RulesInput};
use slipstream_kernel::side::{PositionSide, Side};

use crate::enumeration::mirror_enum;
use crate::error::OrRaise;

mirror_enum! {
    /// The side of an order.
    PySide named "Side" mirrors Side {
        Buy as "BUY" = 1,
        Sell as "SELL" = -1,
    }
    methods {}
}

mirror_enum! {
    /// The lane of a position.
    PyPositionSide named "PositionSide" mirrors PositionSide {
        Net as "NET" = 0,
        Long as "LONG" = 1,
        Short as "SHORT" = 2,
    }
    methods {}
}

mirror_enum! {
    /// Which way the remainder of a division goes.
    PyRounding named "Rounding" mirrors Rounding {
        Floor as "FLOOR" = 0,
        Ceil as "CEIL" = 1,
        Down as "DOWN" = 2,
        Up as "UP" = 3,
        HalfEven as "HALF_EVEN" = 4,
    }
    methods {}
}

mirror_enum! {
    /// Why a leg was not traded, in order of precedence.
    PySkipReason named "SkipReason" mirrors SkipReason {
        KillSwitch as "KILL_SWITCH" = 0,
        Frozen as "FROZEN" = 1,
        FollowerPaused as "FOLLOWER_PAUSED" = 2,
        CloseOnly as "CLOSE_ONLY" = 3,
        OpenOnly as "OPEN_ONLY" = 4,
        BreakerOpen as "BREAKER_OPEN" = 5,
        Duplicate as "DUPLICATE" = 6,
        Superseded as "SUPERSEDED" = 7,
        NotMirrored as "NOT_MIRRORED" = 8,
        SymbolDenied as "SYMBOL_DENIED" = 9,
        SymbolHalted as "SYMBOL_HALTED" = 10,
        StaleIntent as "STALE_INTENT" = 11,
        LeaderStale as "LEADER_STALE" = 12,
        LedgerDown as "LEDGER_DOWN" = 13,
        ClockSkew as "CLOCK_SKEW" = 14,
        LeaderTradeTooSmall as "LEADER_TRADE_TOO_SMALL" = 15,
        MarginUnconfirmed as "MARGIN_UNCONFIRMED" = 16,
        FollowerStateStale as "FOLLOWER_STATE_STALE" = 17,
        ForeignPosition as "FOREIGN_POSITION" = 18,
        LeverageSyncFailed as "LEVERAGE_SYNC_FAILED" = 19,
        BookMissing as "BOOK_MISSING" = 20,
        BookStale as "BOOK_STALE" = 21,
        BookGapped as "BOOK_GAPPED" = 22,
        UnknownPending as "UNKNOWN_PENDING" = 23,
        NoChange as "NO_CHANGE" = 24,
        Direction as "DIRECTION" = 25,
        BelowLot as "BELOW_LOT" = 26,
        BelowMinQty as "BELOW_MIN_QTY" = 27,
        BelowMinNotional as "BELOW_MIN_NOTIONAL" = 28,
        MarginBreach as "MARGIN_BREACH" = 29,
        LeverageCap as "LEVERAGE_CAP" = 30,
        OrderCap as "ORDER_CAP" = 31,
        SymbolCap as "SYMBOL_CAP" = 32,
        NotionalCap as "NOTIONAL_CAP" = 33,
        PositionCountCap as "POSITION_COUNT_CAP" = 34,
        DailyLoss as "DAILY_LOSS" = 35,
        Drawdown as "DRAWDOWN" = 36,
        DeviationBreach as "DEVIATION_BREACH" = 37,
        DepthShort as "DEPTH_SHORT" = 38,
        SlippageBreach as "SLIPPAGE_BREACH" = 39,
        RateLimited as "RATE_LIMITED" = 40,
        Overflow as "OVERFLOW" = 41,
    }
    methods {
        /// The reason's name, as journalled.
        #[getter]
        const fn code(&self) -> &'static str {
            self.kernel().code()
        }

        /// The reason's bit in a gate mask.
        #[getter]
        const fn mask(&self) -> u64 {
            self.kernel().mask()
        }

        /// Whether an opening order is not sent.
        #[getter]
        const fn stops_open(&self) -> bool {
            self.kernel().stops_open()
        }

        /// Whether a reducing order is not sent.
        #[getter]
        const fn stops_reduction(&self) -> bool {
            self.kernel().stops_reduction()
        }

        /// Whether a reduction stays wanted and is planned again.
        #[getter]
        const fn delays_reduction(&self) -> bool {
            self.kernel().delays_reduction()
        }
    }
}

/// Parses decimal text exactly.
#[pyfunction]
fn parse_fixed(text: &str) -> PyResult<i64> {
    fixed::parse_fixed(text).or_raise()
}

/// Returns the shortest exact decimal text.
#[pyfunction]
fn format_fixed(raw: i64) -> String {
    fixed::format_fixed(raw)
}

/// Returns the shortest exact decimal text of a value at 10⁻¹⁸.
#[pyfunction]
fn format_target(raw: i128) -> String {
    fixed::format_target(raw)
}

/// Rounds to a multiple of a step.
#[pyfunction]
fn round_to_step(raw: i64, step: i64, rounding: PyRounding) -> PyResult<i64> {
    rounding::round_to_step(raw, step, rounding.kernel()).or_raise()
}

/// Returns px x qty in quote.
#[pyfunction]
fn quote_value(px: i64, qty: i64, rounding: PyRounding) -> PyResult<i64> {
    fixed::quote_value(Px(px), Qty(qty), rounding.kernel())
        .or_raise()
        .map(|quote| quote.0)
}

/// Returns value x numerator / denominator with a 256-bit intermediate.
#[pyfunction]
fn mul_div(
    value: i128,
    numerator: i128,
    denominator: i128,
    rounding: PyRounding,
) -> PyResult<i128> {
    fixed::mul_div(value, numerator, denominator, rounding.kernel()).or_raise()
}

/// What a venue accepts for one instrument.
#[pyclass(name = "InstrumentRules", module = "slipstream._core", frozen)]
#[derive(Debug)]
pub struct PyInstrumentRules {
    /// The kernel's rules.
    pub(crate) inner: InstrumentRules,
}

#[pymethods]
impl PyInstrumentRules {
    #[new]
    #[pyo3(signature = (*, px_step, qty_step, qty_min, qty_max=None, notional_min=0,
        px_digits_max=None, is_reduction_exempt=true))]
    fn new(
        px_step: i64,
        qty_step: i64,
        qty_min: i64,
        qty_max: Option<i64>,
        notional_min: i64,
        px_digits_max: Option<u32>,
        is_reduction_exempt: bool,
    ) -> PyResult<Self> {
        let rules = InstrumentRules::new(&RulesInput {
            px_step: Px(px_step),
            qty_step: Qty(qty_step),
            qty_min: Qty(qty_min),
            qty_max: qty_max.map(Qty),
            notional_min: Quote(notional_min),
            px_digits_max,
            is_reduction_exempt,
        });
        rules.or_raise().map(|inner| Self { inner })
    }

    #[getter]
    const fn px_step(&self) -> i64 {
        self.inner.px_step().0
    }

    #[getter]
    const fn qty_step(&self) -> i64 {
        self.inner.qty_step().0
    }

    #[getter]
    const fn qty_min(&self) -> i64 {
        self.inner.qty_min().0
    }

    #[getter]
    fn qty_max(&self) -> Option<i64> {
        self.inner.qty_max().map(|qty| qty.0)
    }

    #[getter]
    const fn notional_min(&self) -> i64 {
        self.inner.notional_min().0
    }

    #[getter]
    const fn px_digits_max(&self) -> Option<u32> {
        self.inner.px_digits_max()
    }

    /// Whether reductions need not reach `notional_min`.
    #[getter]
    const fn is_reduction_exempt(&self) -> bool {
        self.inner.is_reduction_exempt()
    }

    /// Rounds a limit price inside the bound: a BUY down, a SELL up.
    fn round_px(&self, px: i64, side: PySide) -> PyResult<i64> {
        self.inner
            .round_px(Px(px), side.kernel())
            .or_raise()
            .map(|rounded| rounded.0)
    }

    /// Rounds a quantity to the lot.
    fn round_qty(&self, qty: i64, rounding: PyRounding) -> PyResult<i64> {
        self.inner
            .round_qty(Qty(qty), rounding.kernel())
            .or_raise()
            .map(|rounded| rounded.0)
    }
}

/// Adds this file's names to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("SCALE", fixed::SCALE)?;
    module.add("SCALE_DIGITS", fixed::SCALE_DIGITS)?;
    module.add("TARGET_SCALE", fixed::TARGET_SCALE)?;
    PySide::register(module)?;
    PyPositionSide::register(module)?;
    PyRounding::register(module)?;
    PySkipReason::register(module)?;
    module.add_class::<PyInstrumentRules>()?;
    module.add_function(wrap_pyfunction!(parse_fixed, module)?)?;
    module.add_function(wrap_pyfunction!(format_fixed, module)?)?;
    module.add_function(wrap_pyfunction!(format_target, module)?)?;
    module.add_function(wrap_pyfunction!(round_to_step, module)?)?;
    module.add_function(wrap_pyfunction!(quote_value, module)?)?;
    module.add_function(wrap_pyfunction!(mul_div, module)?)
}
