//! How one follower turns the leader's change into its own.

use crate::fixed::Quote;
use crate::sizing::exact::FIXED_SCALE;

/// The four ways to size an increase (DESIGN, Sizing).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizingMode {
    /// The leader's change times allocation over leader margin.
    Margin,
    /// The leader's position times a share of equity over the leader's margin.
    Position,
    /// The leader's change times a constant.
    Ratio,
    /// A fixed quote notional per open.
    Notional,
}

/// What becomes of the part of an opening leg that was not built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// It is dropped from the wanted target.
    GiveUp,
    /// It stays wanted and is ordered with the leader's next increase.
    CatchUp,
}

/// What becomes of an order below the venue's minimum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BelowMinimum {
    /// Not sent; stays wanted.
    Carry,
    /// Not sent; given up.
    Skip,
    /// Raised to the minimum where the caps allow.
    Bump,
}

/// What a cap or a thin book does to an order that is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLimit {
    /// Lower it to what fits.
    Clip,
    /// Do not send it.
    Skip,
}

/// The capital a follower gives to a mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// A quote amount.
    Amount(Quote),
    /// Parts per million of the follower's equity.
    EquityPpm(i64),
}

/// A setting that a mode lacks or that is out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sizing rule: {field} must be {expected}")]
pub struct RuleError {
    /// The setting.
    pub field: &'static str,
    /// What would be accepted.
    pub expected: &'static str,
}

/// The settings of a rule before they are checked. Ratios are at 10^-8.
#[derive(Debug, Clone, Copy)]
pub struct RuleSettings {
    /// How increases are sized.
    pub mode: SizingMode,
    /// RATIO: follower quantity per leader quantity.
    pub ratio: Option<i64>,
    /// MARGIN, and base of the leverage cap: a quote amount.
    pub allocation: Option<i64>,
    /// The same as a share of equity.
    pub allocation_ppm: Option<i64>,
    /// POSITION: fixed share of equity; `None` = the leader's own share.
    pub margin_ppm: Option<i64>,
    /// POSITION: factor on the leader's own share.
    pub multiplier: i64,
    /// NOTIONAL: quote per open.
    pub notional: Option<i64>,
    /// Mirror with the opposite sign.
    pub is_reverse: bool,
    /// `None` = the mode's default.
    pub missed: Option<Missed>,
    /// Policy below the venue's minimum.
    pub below_minimum: BelowMinimum,
    /// Policy at a cap.
    pub on_cap: OnLimit,
    /// Policy on a thin book.
    pub on_thin_book: OnLimit,
    /// Leader increases below this quote notional are not mirrored.
    pub leader_notional_min: i64,
}

/// A checked sizing rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizingRule {
    /// How increases are sized.
    pub mode: SizingMode,
    /// RATIO: factor at 10^-8.
    pub ratio: i64,
    /// Capital given to this mirror, where one was set.
    pub allocation: Option<Allocation>,
    /// POSITION: fixed share of equity.
    pub margin_ppm: Option<i64>,
    /// POSITION: factor at 10^-8.
    pub multiplier: i64,
    /// NOTIONAL: quote per open.
    pub notional: Quote,
    /// Mirror with the opposite sign.
    pub is_reverse: bool,
    /// What is not built on an opening leg.
    pub missed: Missed,
    /// Policy below the venue's minimum.
    pub below_minimum: BelowMinimum,
    /// Policy at a cap.
    pub on_cap: OnLimit,
    /// Policy on a thin book.
    pub on_thin_book: OnLimit,
    /// Leader increases below this quote notional are not mirrored.
    pub leader_notional_min: Quote,
}

impl RuleSettings {
    /// Returns settings of a mode with everything else at its default.
    #[must_use]
    pub fn of(mode: SizingMode) -> Self {
        Self {
            mode,
            ratio: None,
            allocation: None,
            allocation_ppm: None,
            margin_ppm: None,
            multiplier: i64::try_from(FIXED_SCALE).unwrap_or(i64::MAX),
            notional: None,
            is_reverse: false,
            missed: None,
            below_minimum: BelowMinimum::Carry,
            on_cap: OnLimit::Skip,
            on_thin_book: OnLimit::Skip,
            leader_notional_min: 0,
        }
    }

    fn allocation(&self) -> Result<Option<Allocation>, RuleError> {
        match (self.allocation, self.allocation_ppm) {
            (Some(_), Some(_)) => Err(RuleError {
                field: "allocation",
                expected: "a quote amount or a share of equity, not both",
            }),
            (Some(amount), None) => {
                let amount = positive("allocation", Some(amount))?;
                Ok(Some(Allocation::Amount(Quote(amount))))
            }
            (None, Some(ppm)) => {
                let ppm = positive("allocation_ppm", Some(ppm))?;
                Ok(Some(Allocation::EquityPpm(ppm)))
            }
            (None, None) => Ok(None),
        }
    }
}

fn positive(field: &'static str, value: Option<i64>) -> Result<i64, RuleError> {
    value.filter(|value| *value > 0).ok_or(RuleError {
        field,
        expected: "given and above zero",
    })
}

impl TryFrom<RuleSettings> for SizingRule {
    type Error = RuleError;

    fn try_from(settings: RuleSettings) -> Result<Self, RuleError> {
        let allocation = settings.allocation()?;
        let ratio = match settings.mode {
            SizingMode::Ratio => positive("ratio", settings.ratio)?,
            _ => settings.ratio.unwrap_or_default(),
        };
        let notional = match settings.mode {
            SizingMode::Notional => positive("notional", settings.notional)?,
            _ => settings.notional.unwrap_or_default(),
        };
        if settings.mode == SizingMode::Margin && allocation.is_none() {
            return Err(RuleError {
                field: "allocation",
                expected: "given in MARGIN mode",
            });
        }
        positive("multiplier", Some(settings.multiplier))?;
        if settings.leader_notional_min < 0 {
            return Err(RuleError {
                field: "leader_notional_min",
                expected: "zero or above",
            });
        }
        if settings.margin_ppm.is_some() {
            positive("margin_ppm", settings.margin_ppm)?;
            if settings.mode == SizingMode::Position && settings.leader_notional_min == 0 {
                return Err(RuleError {
                    field: "leader_notional_min",
                    expected: "above zero with a fixed margin_ppm",
                });
            }
        }
        let missed = settings.missed.unwrap_or(match settings.mode {
            SizingMode::Position => Missed::CatchUp,
            _ => Missed::GiveUp,
        });
        Ok(Self {
            mode: settings.mode,
            ratio,
            allocation,
            margin_ppm: settings.margin_ppm,
            multiplier: settings.multiplier,
            notional: Quote(notional),
            is_reverse: settings.is_reverse,
            missed,
            below_minimum: settings.below_minimum,
            on_cap: settings.on_cap,
            on_thin_book: settings.on_thin_book,
            leader_notional_min: Quote(settings.leader_notional_min),
        })
    }
}

impl SizingRule {
    /// Returns whether an increase must wait for the leader's confirmed margin.
    #[must_use]
    pub fn needs_leader_margin(&self) -> bool {
        matches!(self.mode, SizingMode::Margin | SizingMode::Position)
    }

    /// Returns the sign that the follower's target has when the leader is long.
    #[must_use]
    pub fn sign(&self) -> i128 {
        if self.is_reverse { -1 } else { 1 }
    }
}
