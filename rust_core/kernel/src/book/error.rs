//! What can be wrong with a book.

use thiserror::Error;

use crate::fixed::{FixedError, Px, Qty};

/// One half of a book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HalfKind {
    /// Resting buys, best = highest.
    Bids,
    /// Resting sells, best = lowest.
    Asks,
}

impl core::fmt::Display for HalfKind {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(match self {
            Self::Bids => "bids",
            Self::Asks => "asks",
        })
    }
}

/// Why a book, or a question to one, was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BookError {
    /// A level's text is not a number.
    #[error("{half} level {index}: {source}")]
    Text {
        /// The half it came in.
        half: HalfKind,
        /// Its place in the input, from 0.
        index: usize,
        /// What is wrong with it.
        source: FixedError,
    },
    /// A level's number cannot be.
    #[error("{half} level {index}: expected {expected}, found {px} x {qty}")]
    Level {
        /// The half it came in.
        half: HalfKind,
        /// Its place in the input, from 0.
        index: usize,
        /// What would have been accepted.
        expected: &'static str,
        /// Its price.
        px: Px,
        /// Its quantity.
        qty: Qty,
    },
    /// The best bid is not below the best ask.
    #[error("expected the best bid below the best ask, found bids at {bid} and asks at {ask}")]
    Crossed {
        /// Best bid.
        bid: Px,
        /// Best ask.
        ask: Px,
    },
    /// An update is missing between the book and a delta.
    #[error("expected an update that continues book sequence {book}, found {found}")]
    Gap {
        /// Sequence of the book.
        book: u64,
        /// The delta's own sequences.
        found: String,
    },
    /// A delta came before a snapshot, or after the book was lost.
    #[error("expected a snapshot first, found an update of sequence {0} for a book without one")]
    NoSnapshot(u64),
    /// A delta whose sequences are not in order.
    #[error("expected first_sequence <= sequence, found {first} and {last}")]
    SequenceOrder {
        /// Its first sequence.
        first: u64,
        /// Its last sequence.
        last: u64,
    },
    /// The depth limit of a book is zero.
    #[error("depth_max: expected at least 1 level, found 0")]
    DepthMax,
    /// Nothing was filled, so there is no price.
    #[error("expected an estimate with a filled quantity, found none filled")]
    NothingFilled,
    /// A reference price that is not positive.
    #[error("expected a positive reference price, found {0}")]
    ReferencePx(Px),
    /// A reservation knows no such token, or it was settled or given back.
    #[error("expected the token of an outstanding take, found {0}")]
    Token(u64),
    /// A filled quantity below zero.
    #[error("expected a filled quantity of 0 or more, found {0}")]
    FilledQty(Qty),
    /// The arithmetic did not fit.
    #[error(transparent)]
    Fixed(#[from] FixedError),
}

impl BookError {
    /// Tells whether updates are missing, so that only a new snapshot helps.
    #[must_use]
    pub const fn is_gap(&self) -> bool {
        matches!(self, Self::Gap { .. } | Self::NoSnapshot(_))
    }
}
