//! A follower's own bounds and the state of its account.

use crate::fixed::Quote;

/// One second in nanoseconds.
pub const SECOND_NS: i64 = 1_000_000_000;

/// A follower's bounds. `None` = no such cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowerLimits {
    /// Bound of an opening around the arrival price.
    pub entry_ppm: i64,
    /// Bound of an exit around its reference.
    pub exit_ppm: i64,
    /// The same once the exit waited too long.
    pub emergency_ppm: i64,
    /// Bound of an opening around the leader's price.
    pub deviation_ppm: i64,
    /// Target notional over allocation (or equity).
    pub leverage_max: Option<i64>,
    /// Quote notional of one order.
    pub order_notional_max: Option<i64>,
    /// Quote notional held in one symbol.
    pub symbol_notional_max: Option<i64>,
    /// Quote notional held in all symbols.
    pub notional_max: Option<i64>,
    /// Number of symbols held.
    pub position_count_max: Option<i64>,
    /// Loss of the day in quote at which opening ends.
    pub daily_loss_max: Option<i64>,
    /// Drawdown at which opening ends.
    pub drawdown_ppm_max: Option<i64>,
    /// A book older than this is stale.
    pub book_age_ns_max: i64,
    /// An account state older than this is stale.
    pub state_age_ns_max: i64,
    /// An intent older than this opens nothing.
    pub intent_age_ns_max: i64,
    /// An exit older than this takes the emergency bound.
    pub exit_emergency_after_ns: i64,
}

/// A limit out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field}: expected {expected}, found {found}")]
pub struct LimitError {
    /// The limit.
    pub field: &'static str,
    /// What would be accepted.
    pub expected: &'static str,
    /// The value given.
    pub found: i64,
}

impl FollowerLimits {
    /// Returns limits with the four bounds given and everything else at its default.
    #[must_use]
    pub fn of(entry_ppm: i64, exit_ppm: i64, emergency_ppm: i64, deviation_ppm: i64) -> Self {
        Self {
            entry_ppm,
            exit_ppm,
            emergency_ppm,
            deviation_ppm,
            leverage_max: None,
            order_notional_max: None,
            symbol_notional_max: None,
            notional_max: None,
            position_count_max: None,
            daily_loss_max: None,
            drawdown_ppm_max: None,
            book_age_ns_max: SECOND_NS.saturating_mul(2),
            state_age_ns_max: SECOND_NS.saturating_mul(300),
            intent_age_ns_max: SECOND_NS.saturating_mul(5),
            exit_emergency_after_ns: SECOND_NS.saturating_mul(10),
        }
    }

    /// Returns the limits if each is in range.
    ///
    /// # Errors
    /// [`LimitError`] naming the first one that is not.
    pub fn checked(self) -> Result<Self, LimitError> {
        let given = [
            ("entry_ppm", Some(self.entry_ppm)),
            ("exit_ppm", Some(self.exit_ppm)),
            ("emergency_ppm", Some(self.emergency_ppm)),
            ("deviation_ppm", Some(self.deviation_ppm)),
            ("leverage_max", self.leverage_max),
            ("order_notional_max", self.order_notional_max),
            ("symbol_notional_max", self.symbol_notional_max),
            ("notional_max", self.notional_max),
            ("position_count_max", self.position_count_max),
            ("daily_loss_max", self.daily_loss_max),
            ("drawdown_ppm_max", self.drawdown_ppm_max),
            ("book_age_ns_max", Some(self.book_age_ns_max)),
            ("state_age_ns_max", Some(self.state_age_ns_max)),
            ("intent_age_ns_max", Some(self.intent_age_ns_max)),
            (
                "exit_emergency_after_ns",
                Some(self.exit_emergency_after_ns),
            ),
        ];
        for (field, value) in given {
            if let Some(found) = value.filter(|value| *value < 0) {
                return Err(LimitError {
                    field,
                    expected: "zero or above",
                    found,
                });
            }
        }
        Ok(self)
    }
}

/// What the venue last said about a follower's account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountState {
    /// Wallet balance plus unrealised profit.
    pub equity: Quote,
    /// Margin free for new orders.
    pub free_margin: Quote,
    /// Profit of the day; a loss is negative.
    pub day_pnl: Quote,
    /// Fall from the highest equity.
    pub drawdown_ppm: i64,
    /// When it was received.
    pub ts_ns: i64,
}
