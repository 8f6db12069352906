//! An immutable snapshot of a book, and what is measured on it.

use std::sync::Arc;

use crate::book::error::{BookError, HalfKind};
use crate::book::half::{Half, Level, rank};
use crate::book::walk::{FillEstimate, walk_levels};
use crate::fixed::{Px, Qty};
use crate::rounding::{Rounding, divide};
use crate::side::Side;

/// When and where in the venue's stream a book stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BookStamp {
    /// The venue's sequence of the last update.
    pub sequence: u64,
    /// When the last update was received, on the monotonic clock.
    pub ts_ns: i64,
    /// The venue's own time of the last update; 0 when it sends none.
    pub venue_ts_ms: i64,
}

#[derive(Debug)]
struct Halves {
    /// From the best outwards.
    bids: Vec<Level>,
    /// From the best outwards.
    asks: Vec<Level>,
    stamp: BookStamp,
}

/// An immutable snapshot of one book; cloning shares its storage.
#[derive(Debug, Clone)]
pub struct BookView {
    halves: Arc<Halves>,
}

impl BookView {
    /// Makes a view of levels given from the best outwards.
    ///
    /// # Errors
    /// As [`crate::book::Book::load_levels`].
    pub fn from_levels(
        bids: &[Level],
        asks: &[Level],
        stamp: BookStamp,
    ) -> Result<Self, BookError> {
        let mut bid_half = Half::new(HalfKind::Bids);
        let mut ask_half = Half::new(HalfKind::Asks);
        bid_half.load(bids, usize::MAX)?;
        ask_half.load(asks, usize::MAX)?;
        check_crossed(&bid_half, &ask_half)?;
        Ok(Self::of_halves(&bid_half, &ask_half, stamp))
    }

    pub(crate) fn of_halves(bids: &Half, asks: &Half, stamp: BookStamp) -> Self {
        let halves = Halves {
            bids: bids.best_first(),
            asks: asks.best_first(),
            stamp,
        };
        Self {
            halves: Arc::new(halves),
        }
    }

    /// Returns the best bid; `None` when there is none.
    #[must_use]
    pub fn best_bid(&self) -> Option<Level> {
        self.halves.bids.first().copied()
    }

    /// Returns the best ask; `None` when there is none.
    #[must_use]
    pub fn best_ask(&self) -> Option<Level> {
        self.halves.asks.first().copied()
    }

    /// Returns the venue's sequence of the last update.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.halves.stamp.sequence
    }

    /// Returns when the last update was received, on the monotonic clock.
    #[must_use]
    pub fn ts_ns(&self) -> i64 {
        self.halves.stamp.ts_ns
    }

    /// Returns the venue's own time of the last update; 0 when it sends none.
    #[must_use]
    pub fn venue_ts_ms(&self) -> i64 {
        self.halves.stamp.venue_ts_ms
    }

    /// Returns the levels that an order of `side` would take, from the best outwards.
    #[must_use]
    pub fn levels(&self, side: Side) -> &[Level] {
        match side {
            Side::Buy => &self.halves.asks,
            Side::Sell => &self.halves.bids,
        }
    }

    /// Returns the middle of best bid and best ask, ties to even; `None` unless both are there.
    #[must_use]
    pub fn mid(&self) -> Option<Px> {
        let (bid, ask) = (self.best_bid()?, self.best_ask()?);
        let sum = i128::from(bid.px.0).saturating_add(i128::from(ask.px.0));
        divide(sum, 2, Rounding::HalfEven)
            .and_then(Px::from_wide)
            .ok()
    }

    /// Returns (bid × ask size + ask × bid size) / (bid size + ask size), ties to even; `None`
    /// unless both are there.
    #[must_use]
    pub fn microprice(&self) -> Option<Px> {
        let (bid, ask) = (self.best_bid()?, self.best_ask()?);
        let weighted = |px: Px, qty: Qty| i128::from(px.0).saturating_mul(i128::from(qty.0));
        let sum = weighted(bid.px, ask.qty).saturating_add(weighted(ask.px, bid.qty));
        let size = i128::from(bid.qty.0).saturating_add(i128::from(ask.qty.0));
        divide(sum, size, Rounding::HalfEven)
            .and_then(Px::from_wide)
            .ok()
    }

    /// Estimates an order of `side`: a buy takes asks. Without a limit it takes any price.
    #[must_use]
    pub fn walk(&self, side: Side, qty: Qty, limit_px: Option<Px>) -> FillEstimate {
        walk_levels(self.levels(side).iter().copied(), side, qty, limit_px)
    }

    /// Returns the quantity an order of `side` could take at `limit_px` or better.
    ///
    /// The greatest i64 stands for "at least that much".
    #[must_use]
    pub fn depth_to(&self, side: Side, limit_px: Px) -> Qty {
        let limit = rank(limit_px, side);
        let inside = self
            .levels(side)
            .iter()
            .take_while(|level| rank(level.px, side) <= limit);
        Qty(inside.fold(0, |sum, level| sum.saturating_add(level.qty.0)))
    }
}

pub(crate) fn check_crossed(bids: &Half, asks: &Half) -> Result<(), BookError> {
    match (bids.best(), asks.best()) {
        (Some(bid), Some(ask)) if bid.px >= ask.px => Err(BookError::Crossed {
            bid: bid.px,
            ask: ask.px,
        }),
        _ => Ok(()),
    }
}
