//! Shared depth: what our own orders have taken, or may still take, from one book.
//!
//! Every take consumes from the best level inward of its limit, so whatever is taken together is
//! a prefix of the half: one running quantity (`consumed`) tells what remains. It is found by
//! going through the limits from the tightest, each adding what still fits inside it.

use std::collections::BTreeMap;

use crate::book::error::BookError;
use crate::book::half::{Level, rank};
use crate::book::measure::BookView;
use crate::book::walk::{FillEstimate, walk_levels};
use crate::fixed::{Px, Qty};
use crate::side::Side;

/// The rank of a take without a limit.
const NO_LIMIT: i64 = i64::MAX;

/// A take whose outcome is not known.
#[derive(Debug, Clone, Copy)]
struct Take {
    side: Side,
    limit_rank: i64,
    qty: i64,
}

/// A fill that newer views may not show yet.
#[derive(Debug, Clone, Copy)]
struct Fill {
    side: Side,
    limit_rank: i64,
    qty: i64,
    venue_ts_ms: i64,
    /// Sequence of the view that stood when the outcome became known.
    sequence: u64,
}

impl Fill {
    /// Tells whether a view shows this fill.
    ///
    /// Where the venue sends no time, only a later update than the one that stood when the fill
    /// became known can show it.
    fn is_shown_by(&self, view: &BookView) -> bool {
        match view.venue_ts_ms() {
            0 => view.sequence() > self.sequence,
            venue_ts_ms => venue_ts_ms > self.venue_ts_ms,
        }
    }
}

/// What is outstanding on one half.
#[derive(Debug, Default)]
struct HalfTaken {
    /// Depth of the view through each level, from the best outwards.
    depth: Vec<i128>,
    /// Outstanding quantity per limit, tightest first.
    by_limit: BTreeMap<i64, i128>,
    /// Quantity missing from the front of the half.
    consumed: i128,
}

impl HalfTaken {
    fn refresh(&mut self, levels: &[Level]) {
        self.depth.clear();
        let mut sum: i128 = 0;
        self.depth.extend(levels.iter().map(|level| {
            sum = sum.saturating_add(i128::from(level.qty.0));
            sum
        }));
    }

    fn depth_to(&self, levels: &[Level], side: Side, limit_rank: i64) -> i128 {
        let inside = levels.partition_point(|level| rank(level.px, side) <= limit_rank);
        let last = inside
            .checked_sub(1)
            .and_then(|index| self.depth.get(index));
        last.copied().unwrap_or(0)
    }

    fn add(&mut self, limit_rank: i64, qty: i64) {
        let sum = self.by_limit.entry(limit_rank).or_default();
        *sum = sum.saturating_add(i128::from(qty));
    }

    fn subtract(&mut self, limit_rank: i64, qty: i64) {
        if let Some(sum) = self.by_limit.get_mut(&limit_rank) {
            *sum = sum.saturating_sub(i128::from(qty));
            if *sum <= 0 {
                self.by_limit.remove(&limit_rank);
            }
        }
    }

    fn consume(&mut self, levels: &[Level], side: Side) {
        let mut consumed: i128 = 0;
        for (limit_rank, qty) in &self.by_limit {
            let depth = self.depth_to(levels, side, *limit_rank);
            consumed = consumed.saturating_add(*qty).min(depth.max(consumed));
        }
        self.consumed = consumed;
    }

    fn remaining<'a>(&'a self, levels: &'a [Level]) -> impl Iterator<Item = Level> + 'a {
        let first = self.depth.partition_point(|depth| *depth <= self.consumed);
        let pairs = levels.iter().zip(&self.depth).skip(first);
        pairs.map(|(level, depth)| {
            // Of the first level only what lies behind `consumed` is left.
            let behind = i64::try_from(depth.saturating_sub(self.consumed));
            Level::new(level.px, Qty(behind.unwrap_or(i64::MAX).min(level.qty.0)))
        })
    }
}

/// What our own orders have taken, or may still take, from the book of one (venue, symbol).
#[derive(Debug)]
pub struct DepthReservation {
    view: BookView,
    takes: BTreeMap<u64, Take>,
    fills: Vec<Fill>,
    asks: HalfTaken,
    bids: HalfTaken,
    next_token: u64,
}

impl DepthReservation {
    /// Makes a reservation with nothing taken.
    #[must_use]
    pub fn new(view: BookView) -> Self {
        let mut made = Self {
            view,
            takes: BTreeMap::new(),
            fills: Vec::new(),
            asks: HalfTaken::default(),
            bids: HalfTaken::default(),
            next_token: 1,
        };
        made.rebuild();
        made
    }

    /// Takes over a newer view; what is outstanding is subtracted from it again.
    ///
    /// A view that is older than the one held, by sequence and by venue time, is ignored: it
    /// cannot show more, and depth that was released must not be counted again from before it was
    /// taken. Venue time alone does not tell: a venue's clock may be put back.
    pub fn refresh(&mut self, view: BookView) {
        let is_timed = view.venue_ts_ms() != 0;
        let is_earlier = view.venue_ts_ms() < self.view.venue_ts_ms();
        if is_timed && is_earlier && view.sequence() < self.view.sequence() {
            return;
        }
        self.view = view;
        self.release_shown();
        self.rebuild();
    }

    /// Estimates an order behind everything outstanding.
    #[must_use]
    pub fn walk(&self, side: Side, qty: Qty, limit_px: Option<Px>) -> FillEstimate {
        walk_levels(self.remaining(side), side, qty, limit_px)
    }

    /// Returns the levels that an order of `side` would find behind everything outstanding.
    pub fn remaining(&self, side: Side) -> impl Iterator<Item = Level> + '_ {
        self.half(side).remaining(self.view.levels(side))
    }

    /// Reserves up to `qty` inside `limit_px`, never more than is there; returns a token.
    pub fn take(&mut self, side: Side, qty: Qty, limit_px: Px) -> u64 {
        let limit_rank = rank(limit_px, side);
        let levels = self.view.levels(side);
        let half = match side {
            Side::Buy => &mut self.asks,
            Side::Sell => &mut self.bids,
        };
        let left = half
            .depth_to(levels, side, limit_rank)
            .saturating_sub(half.consumed);
        let granted = i64::try_from(left).unwrap_or(i64::MAX).min(qty.0).max(0);
        if granted > 0 {
            half.add(limit_rank, granted);
            half.consumed = half.consumed.saturating_add(i128::from(granted));
        }
        let token = self.next_token;
        self.next_token = token.saturating_add(1);
        self.takes.insert(
            token,
            Take {
                side,
                limit_rank,
                qty: granted,
            },
        );
        token
    }

    /// Returns the quantity reserved by a token.
    ///
    /// # Errors
    /// [`BookError::Token`] unless its take is outstanding.
    pub fn taken_qty(&self, token: u64) -> Result<Qty, BookError> {
        self.takes
            .get(&token)
            .map(|take| Qty(take.qty))
            .ok_or(BookError::Token(token))
    }

    /// Puts a whole take back at once: its order was never sent.
    ///
    /// # Errors
    /// [`BookError::Token`] unless the take is outstanding.
    pub fn give_back(&mut self, token: u64) -> Result<(), BookError> {
        let take = self.takes.remove(&token).ok_or(BookError::Token(token))?;
        self.half_mut(take.side).subtract(take.limit_rank, take.qty);
        self.rebuild_side(take.side);
        Ok(())
    }

    /// Ends a take: its fill stays subtracted until a view newer than `venue_ts_ms` stands, the
    /// rest is put back now.
    ///
    /// # Errors
    /// [`BookError::Token`] unless the take is outstanding; [`BookError::FilledQty`] for a
    /// negative fill. Nothing changes then.
    pub fn settle(
        &mut self,
        token: u64,
        filled_qty: Qty,
        venue_ts_ms: i64,
    ) -> Result<(), BookError> {
        if filled_qty.0 < 0 {
            return Err(BookError::FilledQty(filled_qty));
        }
        let take = self.takes.remove(&token).ok_or(BookError::Token(token))?;
        self.half_mut(take.side).subtract(take.limit_rank, take.qty);
        self.keep_fill(take.side, take.limit_rank, filled_qty.0, venue_ts_ms);
        self.rebuild_side(take.side);
        Ok(())
    }

    /// Subtracts a leader's own taker fill until a view newer than `venue_ts_ms` stands.
    pub fn take_foreign(&mut self, side: Side, qty: Qty, venue_ts_ms: i64) {
        self.keep_fill(side, NO_LIMIT, qty.0, venue_ts_ms);
        self.rebuild_side(side);
    }

    /// Returns everything that is subtracted now, both sides together.
    #[must_use]
    pub fn outstanding_qty(&self) -> i128 {
        let takes = self.takes.values().map(|take| take.qty);
        let fills = self.fills.iter().map(|fill| fill.qty);
        takes
            .chain(fills)
            .fold(0, |sum, qty| sum.saturating_add(i128::from(qty)))
    }

    fn keep_fill(&mut self, side: Side, limit_rank: i64, qty: i64, venue_ts_ms: i64) {
        let sequence = self.view.sequence();
        let fill = Fill {
            side,
            limit_rank,
            qty,
            venue_ts_ms,
            sequence,
        };
        if qty > 0 && !fill.is_shown_by(&self.view) {
            self.half_mut(side).add(limit_rank, qty);
            self.fills.push(fill);
        }
    }

    fn release_shown(&mut self) {
        let (asks, bids, view) = (&mut self.asks, &mut self.bids, &self.view);
        self.fills.retain(|fill| {
            let is_shown = fill.is_shown_by(view);
            if is_shown {
                let half = match fill.side {
                    Side::Buy => &mut *asks,
                    Side::Sell => &mut *bids,
                };
                half.subtract(fill.limit_rank, fill.qty);
            }
            !is_shown
        });
    }

    fn rebuild(&mut self) {
        for side in Side::ALL {
            let view = self.view.clone();
            self.half_mut(side).refresh(view.levels(side));
            self.rebuild_side(side);
        }
    }

    fn rebuild_side(&mut self, side: Side) {
        let view = self.view.clone();
        self.half_mut(side).consume(view.levels(side), side);
    }

    const fn half(&self, side: Side) -> &HalfTaken {
        match side {
            Side::Buy => &self.asks,
            Side::Sell => &self.bids,
        }
    }

    const fn half_mut(&mut self, side: Side) -> &mut HalfTaken {
        match side {
            Side::Buy => &mut self.asks,
            Side::Sell => &mut self.bids,
        }
    }
}
