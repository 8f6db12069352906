//! A price-level book: absolute quantities, zero deletes.
//!
//! Either the book is exactly what the venue's sequence rules vouch for, or it has no view. Any
//! refused input takes the view away until the next snapshot.

mod error;
mod half;
mod measure;
mod reserve;
mod walk;

pub use error::{BookError, HalfKind};
pub use half::Level;
pub use measure::{BookStamp, BookView};
pub use reserve::DepthReservation;
pub use walk::FillEstimate;

use half::{Half, parse_levels};
use measure::check_crossed;

use crate::fixed::Px;

/// Levels as a venue sends them: (price, quantity) in decimal text.
pub type TextLevels<'a> = [(&'a str, &'a str)];

/// The sequences that a delta spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeltaSpan {
    /// First update inside (`U`).
    pub first_sequence: u64,
    /// Last update inside (`u`).
    pub sequence: u64,
    /// Last update of the delta before (`pu`); `None` when the venue does not send it.
    pub previous_sequence: Option<u64>,
}

/// How far the book is from being synchronised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sync {
    /// No snapshot, or it was lost.
    Lost,
    /// A snapshot stands, and no delta has joined it yet.
    Snapshot,
    /// Deltas follow one another.
    Following,
}

/// The book of one instrument.
#[derive(Debug)]
pub struct Book {
    bids: Half,
    asks: Half,
    depth_max: usize,
    sync: Sync,
    stamp: BookStamp,
    view: Option<BookView>,
}

impl Book {
    /// Makes an empty book that keeps at most `depth_max` levels a half.
    ///
    /// # Errors
    /// [`BookError::DepthMax`] for 0.
    pub fn new(depth_max: usize) -> Result<Self, BookError> {
        if depth_max == 0 {
            return Err(BookError::DepthMax);
        }
        Ok(Self {
            bids: Half::new(HalfKind::Bids),
            asks: Half::new(HalfKind::Asks),
            depth_max,
            sync: Sync::Lost,
            stamp: BookStamp::default(),
            view: None,
        })
    }

    /// Replaces the book by a snapshot in text, sorted from the best outwards.
    ///
    /// # Errors
    /// As [`Book::load_levels`], and [`BookError::Text`]; the book is lost then.
    pub fn load(
        &mut self,
        bids: &TextLevels<'_>,
        asks: &TextLevels<'_>,
        stamp: BookStamp,
    ) -> Result<(), BookError> {
        self.invalidate();
        let bids = parse_levels(HalfKind::Bids, bids)?;
        let asks = parse_levels(HalfKind::Asks, asks)?;
        self.load_levels(&bids, &asks, stamp)
    }

    /// Replaces the book by a snapshot, sorted from the best outwards.
    ///
    /// # Errors
    /// [`BookError::Level`] or [`BookError::Crossed`]; the book is lost then.
    pub fn load_levels(
        &mut self,
        bids: &[Level],
        asks: &[Level],
        stamp: BookStamp,
    ) -> Result<(), BookError> {
        self.invalidate();
        self.bids.load(bids, self.depth_max)?;
        self.asks.load(asks, self.depth_max)?;
        check_crossed(&self.bids, &self.asks)?;
        self.stamp = stamp;
        self.sync = Sync::Snapshot;
        Ok(())
    }

    /// Applies a delta in text; returns false when it is older than the book (nothing done).
    ///
    /// # Errors
    /// [`BookError::Gap`] or [`BookError::NoSnapshot`] when updates are missing, and whatever is
    /// wrong with a level; the book is lost then.
    pub fn apply(
        &mut self,
        bids: &TextLevels<'_>,
        asks: &TextLevels<'_>,
        span: DeltaSpan,
        ts_ns: i64,
        venue_ts_ms: i64,
    ) -> Result<bool, BookError> {
        let applied = self.apply_checked(bids, asks, span, ts_ns, venue_ts_ms);
        if applied.is_err() {
            self.invalidate();
        }
        applied
    }

    fn apply_checked(
        &mut self,
        bids: &TextLevels<'_>,
        asks: &TextLevels<'_>,
        span: DeltaSpan,
        ts_ns: i64,
        venue_ts_ms: i64,
    ) -> Result<bool, BookError> {
        if !self.is_next(span)? {
            return Ok(false);
        }
        let bids = parse_levels(HalfKind::Bids, bids)?;
        let asks = parse_levels(HalfKind::Asks, asks)?;
        self.view = None;
        self.bids.apply(&bids, self.depth_max)?;
        self.asks.apply(&asks, self.depth_max)?;
        check_crossed(&self.bids, &self.asks)?;
        self.stamp = BookStamp {
            sequence: span.sequence,
            ts_ns,
            venue_ts_ms,
        };
        self.sync = Sync::Following;
        Ok(true)
    }

    /// Tells whether a delta continues the book; false when it is older.
    ///
    /// The rule is that of Binance USD-M and Aster ("How to manage a local order book
    /// correctly"), widened to venues that count on from the snapshot.
    fn is_next(&self, span: DeltaSpan) -> Result<bool, BookError> {
        let DeltaSpan {
            first_sequence,
            sequence,
            previous_sequence,
        } = span;
        if first_sequence > sequence {
            return Err(BookError::SequenceOrder {
                first: first_sequence,
                last: sequence,
            });
        }
        let book = self.stamp.sequence;
        let is_following_on = first_sequence <= book.saturating_add(1);
        let is_chained = previous_sequence == Some(book);
        let continues = match self.sync {
            Sync::Lost => return Err(BookError::NoSnapshot(sequence)),
            Sync::Snapshot if sequence < book => return Ok(false),
            Sync::Following if sequence <= book => return Ok(false),
            Sync::Snapshot => is_following_on || is_chained,
            Sync::Following => match previous_sequence {
                Some(_) => is_chained,
                None => is_following_on,
            },
        };
        if continues {
            return Ok(true);
        }
        let previous = match previous_sequence {
            Some(previous) => format!(" after {previous}"),
            None => String::new(),
        };
        let found = format!("{first_sequence} to {sequence}{previous}");
        Err(BookError::Gap { book, found })
    }

    /// Drops bids above `bid_px` and asks below `ask_px` (a newer best bid or offer).
    pub fn trim_better_than(&mut self, bid_px: Option<Px>, ask_px: Option<Px>) {
        self.view = None;
        if let Some(px) = bid_px {
            self.bids.trim_better_than(px);
        }
        if let Some(px) = ask_px {
            self.asks.trim_better_than(px);
        }
    }

    /// Takes the venue's word that `sequence` was its newest at `ts_ns`; returns whether the book
    /// stands at that sequence, and is so much younger then.
    pub fn confirm(&mut self, sequence: u64, ts_ns: i64) -> bool {
        if self.sync == Sync::Lost || self.stamp.sequence != sequence {
            return false;
        }
        if ts_ns > self.stamp.ts_ns {
            self.stamp.ts_ns = ts_ns;
            self.view = None;
        }
        true
    }

    /// Takes the view away until the next snapshot.
    pub fn invalidate(&mut self) {
        self.bids.clear();
        self.asks.clear();
        self.sync = Sync::Lost;
        self.view = None;
    }

    /// Returns a snapshot of the book, made at most once per change; `None` when it is lost.
    pub fn view(&mut self) -> Option<BookView> {
        if self.sync == Sync::Lost {
            return None;
        }
        if self.view.is_none() {
            self.view = Some(BookView::of_halves(&self.bids, &self.asks, self.stamp));
        }
        self.view.clone()
    }
}
