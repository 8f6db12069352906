//! Sides of orders and of positions.

use core::fmt;

/// The side of an order. Its quantity is always positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Buys: takes asks.
    Buy,
    /// Sells: takes bids.
    Sell,
}

impl Side {
    /// Both sides.
    pub const ALL: [Self; 2] = [Self::Buy, Self::Sell];

    /// Returns 1 for a buy and -1 for a sell.
    #[must_use]
    pub const fn sign(self) -> i64 {
        match self {
            Self::Buy => 1,
            Self::Sell => -1,
        }
    }

    /// Returns the other side.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    /// Returns the side that moves a position by a change of this sign; `None` for no change.
    #[must_use]
    pub const fn of_change(change: i128) -> Option<Self> {
        match change {
            0 => None,
            1.. => Some(Self::Buy),
            _ => Some(Self::Sell),
        }
    }

    /// Returns the side's name as written on the wire of most venues.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Buy => "BUY",
            Self::Sell => "SELL",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The lane of a position: one signed net position, or one of two sides (hedge mode).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PositionSide {
    /// One-way mode: one signed position.
    Net,
    /// Hedge mode: the long position.
    Long,
    /// Hedge mode: the short position.
    Short,
}

impl PositionSide {
    /// All lanes, in the order of the Python enum.
    pub const ALL: [Self; 3] = [Self::Net, Self::Long, Self::Short];

    /// Returns the index of this lane in a pair: 0 for net and long, 1 for short.
    #[must_use]
    pub const fn lane_index(self) -> usize {
        match self {
            Self::Net | Self::Long => 0,
            Self::Short => 1,
        }
    }
}
