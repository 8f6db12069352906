//! Sizing rules, limits and lanes at the boundary.

use pyo3::prelude::*;
use slipstream_kernel::fixed::{Qty, Quote};
use slipstream_kernel::sizing::bounds::ReferenceKind;
use slipstream_kernel::sizing::event::Track;
use slipstream_kernel::sizing::lane::{Lane, LaneSide, Pair};
use slipstream_kernel::sizing::lane_text;
use slipstream_kernel::sizing::limits::FollowerLimits;
use slipstream_kernel::sizing::rule::{
    BelowMinimum, Missed, OnLimit, RuleSettings, SizingMode, SizingRule,
};

use crate::enumeration::mirror_enum;
use crate::error::OrRaise;

mirror_enum! {
    /// The four ways to size an increase.
    PySizingMode named "SizingMode" mirrors SizingMode {
        Margin as "MARGIN" = 0,
        Position as "POSITION" = 1,
        Ratio as "RATIO" = 2,
        Notional as "NOTIONAL" = 3,
    }
    methods {}
}

mirror_enum! {
    /// What becomes of what an opening leg did not build.
    PyMissed named "Missed" mirrors Missed {
        GiveUp as "GIVE_UP" = 0,
        CatchUp as "CATCH_UP" = 1,
    }
    methods {}
}

mirror_enum! {
    /// What becomes of an order below the venue's minimum.
    PyBelowMinimum named "BelowMinimum" mirrors BelowMinimum {
        Carry as "CARRY" = 0,
        Skip as "SKIP" = 1,
        Bump as "BUMP" = 2,
    }
    methods {}
}

mirror_enum! {
    /// What a cap or a thin book does to an order that is too large.
    PyOnLimit named "OnLimit" mirrors OnLimit {
        Clip as "CLIP" = 0,
        Skip as "SKIP" = 1,
    }
    methods {}
}

mirror_enum! {
    /// Which price a bound is drawn around.
    PyReferenceKind named "ReferenceKind" mirrors ReferenceKind {
        ArrivalMid as "ARRIVAL_MID" = 0,
        LeaderPx as "LEADER_PX" = 1,
        Mid as "MID" = 2,
        Best as "BEST" = 3,
        Mark as "MARK" = 4,
    }
    methods {}
}

/// How one follower turns the leader's change into its own.
#[pyclass(name = "SizingRule", module = "slipstream._core", frozen)]
#[derive(Debug)]
pub struct PySizingRule {
    /// The kernel's rule.
    pub(crate) inner: SizingRule,
}

#[pymethods]
impl PySizingRule {
    #[new]
    #[pyo3(signature = (*, mode, ratio=None, allocation=None, allocation_ppm=None,
        margin_ppm=None, multiplier=100_000_000, notional=None, is_reverse=false, missed=None,
        below_minimum=PyBelowMinimum::Carry, on_cap=PyOnLimit::Skip,
        on_thin_book=PyOnLimit::Skip, leader_notional_min=0))]
    #[allow(
        clippy::too_many_arguments,
        reason = "keywords of the boundary's contract"
    )]
    fn new(
        mode: PySizingMode,
        ratio: Option<i64>,
        allocation: Option<i64>,
        allocation_ppm: Option<i64>,
        margin_ppm: Option<i64>,
        multiplier: i64,
        notional: Option<i64>,
        is_reverse: bool,
        missed: Option<PyMissed>,
        below_minimum: PyBelowMinimum,
        on_cap: PyOnLimit,
        on_thin_book: PyOnLimit,
        leader_notional_min: i64,
    ) -> PyResult<Self> {
        let defaults = RuleSettings::of(mode.kernel());
        let settings = RuleSettings {
            ratio,
            allocation,
            allocation_ppm,
            margin_ppm,
            multiplier,
            notional,
            is_reverse,
            missed: missed.map(PyMissed::kernel),
            below_minimum: below_minimum.kernel(),
            on_cap: on_cap.kernel(),
            on_thin_book: on_thin_book.kernel(),
            leader_notional_min,
            ..defaults
        };
        SizingRule::try_from(settings)
            .or_raise()
            .map(|inner| Self { inner })
    }

    #[getter]
    fn mode(&self, py: Python<'_>) -> PyResult<Py<PySizingMode>> {
        PySizingMode::member(py, self.inner.mode)
    }

    /// Whether an increase must wait for the leader's confirmed margin.
    #[getter]
    fn needs_leader_margin(&self) -> bool {
        self.inner.needs_leader_margin()
    }
}

/// A follower's own bounds.
#[pyclass(name = "FollowerLimits", module = "slipstream._core", frozen)]
#[derive(Debug)]
pub struct PyFollowerLimits {
    /// The kernel's limits.
    pub(crate) inner: FollowerLimits,
}

#[pymethods]
impl PyFollowerLimits {
    #[new]
    #[pyo3(signature = (*, entry_ppm, exit_ppm, emergency_ppm, deviation_ppm,
        leverage_max=None, order_notional_max=None, symbol_notional_max=None,
        notional_max=None, position_count_max=None, daily_loss_max=None,
        drawdown_ppm_max=None, book_age_ns_max=2_000_000_000,
        state_age_ns_max=300_000_000_000, intent_age_ns_max=5_000_000_000,
        exit_emergency_after_ns=10_000_000_000))]
    #[allow(
        clippy::too_many_arguments,
        reason = "keywords of the boundary's contract"
    )]
    fn new(
        entry_ppm: i64,
        exit_ppm: i64,
        emergency_ppm: i64,
        deviation_ppm: i64,
        leverage_max: Option<i64>,
        order_notional_max: Option<i64>,
        symbol_notional_max: Option<i64>,
        notional_max: Option<i64>,
        position_count_max: Option<i64>,
        daily_loss_max: Option<i64>,
        drawdown_ppm_max: Option<i64>,
        book_age_ns_max: i64,
        state_age_ns_max: i64,
        intent_age_ns_max: i64,
        exit_emergency_after_ns: i64,
    ) -> PyResult<Self> {
        let limits = FollowerLimits {
            entry_ppm,
            exit_ppm,
            emergency_ppm,
            deviation_ppm,
            leverage_max,
            order_notional_max,
            symbol_notional_max,
            notional_max,
            position_count_max,
            daily_loss_max,
            drawdown_ppm_max,
            book_age_ns_max,
            state_age_ns_max,
            intent_age_ns_max,
            exit_emergency_after_ns,
        };
        limits.checked().or_raise().map(|inner| Self { inner })
    }
}

/// One (follower, symbol): what is wanted and what is held.
#[pyclass(name = "LaneState", module = "slipstream._core", frozen, eq)]
#[derive(Debug, PartialEq, Eq)]
pub struct PyLaneState {
    /// The kernel's lane.
    pub(crate) inner: Lane,
}

impl PyLaneState {
    fn of_tracks<T>(&self, field: impl Fn(&Track) -> T) -> (T, T) {
        (
            field(&self.inner.tracks.first),
            field(&self.inner.tracks.second),
        )
    }

    fn of_sides<T>(&self, field: impl Fn(&LaneSide) -> T) -> (T, T) {
        (
            field(&self.inner.sides.first),
            field(&self.inner.sides.second),
        )
    }
}

#[pymethods]
impl PyLaneState {
    #[new]
    #[pyo3(signature = (*, mirrored_target=(0, 0), exact_target=(0, 0), wanted_target=(0, 0),
        peak_target=(0, 0), frozen_leader_margin=(0, 0), position_qty=(0, 0),
        in_flight_qty=(0, 0), unknown_qty=(0, 0), foreign_qty=(0, 0), leverage=None, gates=0))]
    #[allow(
        clippy::too_many_arguments,
        reason = "keywords of the boundary's contract"
    )]
    fn new(
        mirrored_target: (i128, i128),
        exact_target: (i128, i128),
        wanted_target: (i128, i128),
        peak_target: (i128, i128),
        frozen_leader_margin: (i64, i64),
        position_qty: (i64, i64),
        in_flight_qty: (i64, i64),
        unknown_qty: (i64, i64),
        foreign_qty: (i64, i64),
        leverage: Option<u32>,
        gates: u64,
    ) -> Self {
        let first = Track {
            mirrored: mirrored_target.0,
            exact: exact_target.0,
            wanted: wanted_target.0,
            peak: peak_target.0,
            frozen_margin: Quote(frozen_leader_margin.0),
        };
        let second = Track {
            mirrored: mirrored_target.1,
            exact: exact_target.1,
            wanted: wanted_target.1,
            peak: peak_target.1,
            frozen_margin: Quote(frozen_leader_margin.1),
        };
        let side = |position, in_flight, unknown, foreign| {
            LaneSide::new(Qty(position), Qty(in_flight), Qty(unknown), Qty(foreign))
        };
        let sides = Pair {
            first: side(
                position_qty.0,
                in_flight_qty.0,
                unknown_qty.0,
                foreign_qty.0,
            ),
            second: side(
                position_qty.1,
                in_flight_qty.1,
                unknown_qty.1,
                foreign_qty.1,
            ),
        };
        Self {
            inner: Lane {
                tracks: Pair { first, second },
                sides,
                leverage,
                gates,
            },
        }
    }

    #[getter]
    fn mirrored_target(&self) -> (i128, i128) {
        self.of_tracks(|track| track.mirrored)
    }

    #[getter]
    fn exact_target(&self) -> (i128, i128) {
        self.of_tracks(|track| track.exact)
    }

    #[getter]
    fn wanted_target(&self) -> (i128, i128) {
        self.of_tracks(|track| track.wanted)
    }

    #[getter]
    fn peak_target(&self) -> (i128, i128) {
        self.of_tracks(|track| track.peak)
    }

    #[getter]
    fn frozen_leader_margin(&self) -> (i64, i64) {
        self.of_tracks(|track| track.frozen_margin.0)
    }

    #[getter]
    fn position_qty(&self) -> (i64, i64) {
        self.of_sides(|side| side.position.0)
    }

    #[getter]
    fn in_flight_qty(&self) -> (i64, i64) {
        self.of_sides(|side| side.in_flight.0)
    }

    #[getter]
    fn unknown_qty(&self) -> (i64, i64) {
        self.of_sides(|side| side.unknown.0)
    }

    #[getter]
    fn foreign_qty(&self) -> (i64, i64) {
        self.of_sides(|side| side.foreign.0)
    }

    #[getter]
    fn leverage(&self) -> Option<u32> {
        self.inner.leverage
    }

    #[getter]
    fn gates(&self) -> u64 {
        self.inner.gates
    }

    /// Returns what a restart begins from as one short text.
    fn encode(&self) -> String {
        lane_text::encode(&self.inner)
    }

    /// Reads what `encode` wrote.
    #[staticmethod]
    fn decode(text: &str) -> PyResult<Self> {
        lane_text::decode(text)
            .or_raise()
            .map(|inner| Self { inner })
    }

    fn __repr__(&self) -> String {
        format!("LaneState({})", lane_text::encode(&self.inner))
    }
}

/// Adds this file's names to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    PySizingMode::register(module)?;
    PyMissed::register(module)?;
    PyBelowMinimum::register(module)?;
    PyOnLimit::register(module)?;
    PyReferenceKind::register(module)?;
    module.add_class::<PySizingRule>()?;
    module.add_class::<PyFollowerLimits>()?;
    module.add_class::<PyLaneState>()
}
