//! Why a leg was not traded, and what each reason stops.
//!
//! The order of the variants is their precedence: the first that holds is recorded. Gates are
//! bit masks of reasons.

use core::fmt;

/// What a reason does to an opening and to a reducing order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Effect {
    stops_open: bool,
    stops_reduction: bool,
    delays_reduction: bool,
}

const OPEN: Effect = Effect {
    stops_open: true,
    stops_reduction: false,
    delays_reduction: false,
};
const REDUCTION: Effect = Effect {
    stops_open: false,
    stops_reduction: true,
    delays_reduction: false,
};
const BOTH: Effect = Effect {
    stops_open: true,
    stops_reduction: true,
    delays_reduction: false,
};
/// Stops an open; a reduction stays wanted and is planned again.
const OPEN_DELAY: Effect = Effect {
    stops_open: true,
    stops_reduction: false,
    delays_reduction: true,
};
/// Nothing can be sent now; a reduction stays wanted and is planned again.
const BOTH_DELAY: Effect = Effect {
    stops_open: true,
    stops_reduction: true,
    delays_reduction: true,
};

/// Defines the reasons, each with its journalled name and its effect.
macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $value:literal, $code:literal, $effect:ident;)*) => {
        /// Why a leg was not traded, in order of precedence (the first that holds is recorded).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum SkipReason {
            $($(#[$doc])* $variant = $value,)*
        }

        impl SkipReason {
            /// All reasons, in order of precedence.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Returns the reason's rank in the precedence, from 0.
            #[must_use]
            pub const fn value(self) -> u8 {
                match self {
                    $(Self::$variant => $value,)*
                }
            }

            /// Returns the reason's name, as journalled.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)*
                }
            }

            const fn effect(self) -> Effect {
                match self {
                    $(Self::$variant => $effect,)*
                }
            }
        }
    };
}

reasons! {
    /// The engine's kill switch is on.
    KillSwitch = 0, "KILL_SWITCH", OPEN;
    /// The follower is frozen.
    Frozen = 1, "FROZEN", BOTH;
    /// The follower is paused.
    FollowerPaused = 2, "FOLLOWER_PAUSED", OPEN;
    /// The follower may only close.
    CloseOnly = 3, "CLOSE_ONLY", OPEN;
    /// The follower may only open.
    OpenOnly = 4, "OPEN_ONLY", REDUCTION;
    /// The follower's breaker is open after repeated refusals.
    BreakerOpen = 5, "BREAKER_OPEN", OPEN;
    /// The leg was claimed before.
    Duplicate = 6, "DUPLICATE", BOTH;
    /// A newer target replaced this one.
    Superseded = 7, "SUPERSEDED", BOTH;
    /// The follower does not mirror this event.
    NotMirrored = 8, "NOT_MIRRORED", BOTH;
    /// The follower does not open this symbol.
    SymbolDenied = 9, "SYMBOL_DENIED", OPEN;
    /// The venue does not trade this symbol now.
    SymbolHalted = 10, "SYMBOL_HALTED", BOTH_DELAY;
    /// The intent is older than its bound.
    StaleIntent = 11, "STALE_INTENT", OPEN;
    /// The leader's stream is silent or behind.
    LeaderStale = 12, "LEADER_STALE", OPEN;
    /// The ledger does not take claims: they go to the side log.
    LedgerDown = 13, "LEDGER_DOWN", OPEN;
    /// The clock stepped and the venue's has not been read since.
    ClockSkew = 14, "CLOCK_SKEW", OPEN;
    /// The leader committed less than the rule's least notional.
    LeaderTradeTooSmall = 15, "LEADER_TRADE_TOO_SMALL", OPEN;
    /// The leader's margin is not confirmed.
    MarginUnconfirmed = 16, "MARGIN_UNCONFIRMED", OPEN;
    /// The follower's account state is missing or too old.
    FollowerStateStale = 17, "FOLLOWER_STATE_STALE", OPEN;
    /// The symbol holds quantity that our orders did not build.
    ForeignPosition = 18, "FOREIGN_POSITION", OPEN;
    /// The follower's leverage could not be set.
    LeverageSyncFailed = 19, "LEVERAGE_SYNC_FAILED", OPEN;
    /// No book stands for the symbol.
    BookMissing = 20, "BOOK_MISSING", OPEN_DELAY;
    /// The book is older than its bound.
    BookStale = 21, "BOOK_STALE", OPEN_DELAY;
    /// The book misses an update.
    BookGapped = 22, "BOOK_GAPPED", OPEN_DELAY;
    /// An order's fate is unknown.
    UnknownPending = 23, "UNKNOWN_PENDING", OPEN;
    /// The target is what is held.
    NoChange = 24, "NO_CHANGE", BOTH;
    /// The order would go against the leader's event.
    Direction = 25, "DIRECTION", BOTH;
    /// Less than one lot.
    BelowLot = 26, "BELOW_LOT", BOTH;
    /// Less than the venue's least quantity.
    BelowMinQty = 27, "BELOW_MIN_QTY", BOTH;
    /// Less than the venue's least notional.
    BelowMinNotional = 28, "BELOW_MIN_NOTIONAL", BOTH;
    /// More margin than is free.
    MarginBreach = 29, "MARGIN_BREACH", OPEN;
    /// The leverage cap.
    LeverageCap = 30, "LEVERAGE_CAP", OPEN;
    /// The cap of one order.
    OrderCap = 31, "ORDER_CAP", OPEN;
    /// The cap of one symbol.
    SymbolCap = 32, "SYMBOL_CAP", OPEN;
    /// The cap of all positions together.
    NotionalCap = 33, "NOTIONAL_CAP", OPEN;
    /// The cap of open positions.
    PositionCountCap = 34, "POSITION_COUNT_CAP", OPEN;
    /// The day's loss reached its cap.
    DailyLoss = 35, "DAILY_LOSS", OPEN;
    /// The drawdown reached its cap.
    Drawdown = 36, "DRAWDOWN", OPEN;
    /// The market left the leader's price by more than the bound.
    DeviationBreach = 37, "DEVIATION_BREACH", OPEN;
    /// Not enough depth inside the bound.
    DepthShort = 38, "DEPTH_SHORT", OPEN_DELAY;
    /// The expected price is outside the bound.
    SlippageBreach = 39, "SLIPPAGE_BREACH", OPEN_DELAY;
    /// No request budget is left.
    RateLimited = 40, "RATE_LIMITED", OPEN_DELAY;
    /// Arithmetic of this row alone did not fit.
    Overflow = 41, "OVERFLOW", BOTH;
}

impl SkipReason {
    /// Returns the reason of a rank; `None` outside the list.
    #[must_use]
    pub fn from_value(value: u8) -> Option<Self> {
        Self::ALL.get(usize::from(value)).copied()
    }

    /// Returns the reason's bit in a gate mask.
    #[must_use]
    pub const fn mask(self) -> u64 {
        1 << self.value()
    }

    /// Tells whether an opening order is not sent.
    #[must_use]
    pub const fn stops_open(self) -> bool {
        self.effect().stops_open
    }

    /// Tells whether a reducing order is not sent.
    #[must_use]
    pub const fn stops_reduction(self) -> bool {
        self.effect().stops_reduction
    }

    /// Tells whether a reduction that meets this reason stays wanted and is planned again.
    #[must_use]
    pub const fn delays_reduction(self) -> bool {
        self.effect().delays_reduction
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.code())
    }
}
