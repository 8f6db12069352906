//! One half of a book: sorted levels, best last, so that work near the best moves little memory.

use crate::book::error::{BookError, HalfKind};
use crate::fixed::{Px, Qty, parse_fixed};
use crate::side::Side;

/// A price and the quantity that rests at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Level {
    /// Price, positive.
    pub px: Px,
    /// Quantity, positive (0 in a delta deletes the level).
    pub qty: Qty,
}

impl Level {
    /// Makes a level.
    #[must_use]
    pub const fn new(px: Px, qty: Qty) -> Self {
        Self { px, qty }
    }
}

/// Returns a price's rank from the best outwards, for whoever takes with `taker`.
///
/// The better the price for the taker, the smaller the rank.
pub(crate) const fn rank(px: Px, taker: Side) -> i64 {
    match taker {
        Side::Buy => px.0,
        Side::Sell => px.0.saturating_neg(),
    }
}

impl HalfKind {
    /// Returns the side of orders that take from this half.
    #[must_use]
    pub const fn taker(self) -> Side {
        match self {
            Self::Bids => Side::Sell,
            Self::Asks => Side::Buy,
        }
    }
}

/// Parses text levels, and checks each alone.
pub(crate) fn parse_levels(
    half: HalfKind,
    texts: &[(&str, &str)],
) -> Result<Vec<Level>, BookError> {
    let mut levels = Vec::with_capacity(texts.len());
    for (index, (px_text, qty_text)) in texts.iter().enumerate() {
        let refuse = |source| BookError::Text {
            half,
            index,
            source,
        };
        let px = parse_fixed(px_text).map_err(refuse)?;
        let qty = parse_fixed(qty_text).map_err(refuse)?;
        levels.push(Level::new(Px(px), Qty(qty)));
    }
    Ok(levels)
}

fn check_level(half: HalfKind, index: usize, level: Level) -> Result<(), BookError> {
    let expected = if level.px.0 <= 0 {
        "a positive price"
    } else if level.qty.0 < 0 {
        "a quantity of 0 or more"
    } else {
        return Ok(());
    };
    Err(refusal(half, index, level, expected))
}

const fn refusal(half: HalfKind, index: usize, level: Level, expected: &'static str) -> BookError {
    BookError::Level {
        half,
        index,
        expected,
        px: level.px,
        qty: level.qty,
    }
}

/// The resting levels of one half.
#[derive(Debug, Clone)]
pub(crate) struct Half {
    kind: HalfKind,
    /// Worst first, best last.
    levels: Vec<Level>,
}

impl Half {
    pub(crate) const fn new(kind: HalfKind) -> Self {
        Self {
            kind,
            levels: Vec::new(),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.levels.clear();
    }

    pub(crate) fn best(&self) -> Option<Level> {
        self.levels.last().copied()
    }

    /// Returns the levels from the best outwards.
    pub(crate) fn best_first(&self) -> Vec<Level> {
        self.levels.iter().rev().copied().collect()
    }

    /// Replaces all levels by a snapshot that is sorted from the best outwards.
    ///
    /// Levels of quantity 0 hold nothing and are left out.
    pub(crate) fn load(&mut self, levels: &[Level], depth_max: usize) -> Result<(), BookError> {
        self.levels.clear();
        let taker = self.kind.taker();
        let mut last_rank = None;
        for (index, level) in levels.iter().copied().enumerate() {
            check_level(self.kind, index, level)?;
            let level_rank = rank(level.px, taker);
            if last_rank.is_some_and(|last| last >= level_rank) {
                let expected = "levels from the best outwards, each price once";
                return Err(refusal(self.kind, index, level, expected));
            }
            last_rank = Some(level_rank);
            if level.qty.0 > 0 && self.levels.len() < depth_max {
                self.levels.push(level);
            }
        }
        self.levels.reverse();
        Ok(())
    }

    /// Sets absolute quantities; 0 deletes. Order does not matter, a price twice is refused.
    pub(crate) fn apply(&mut self, levels: &[Level], depth_max: usize) -> Result<(), BookError> {
        self.check_delta(levels)?;
        let taker = self.kind.taker();
        for level in levels {
            let wanted = rank(level.px, taker);
            let found = self
                .levels
                .binary_search_by(|at| wanted.cmp(&rank(at.px, taker)));
            match found {
                Ok(index) if level.qty.0 == 0 => {
                    self.levels.remove(index);
                }
                Ok(index) => {
                    if let Some(slot) = self.levels.get_mut(index) {
                        slot.qty = level.qty;
                    }
                }
                Err(_) if level.qty.0 == 0 => {}
                Err(index) => self.levels.insert(index, *level),
            }
        }
        let excess = self.levels.len().saturating_sub(depth_max);
        if excess > 0 {
            self.levels.drain(..excess);
        }
        Ok(())
    }

    fn check_delta(&self, levels: &[Level]) -> Result<(), BookError> {
        let mut order: Vec<(Px, usize)> = Vec::with_capacity(levels.len());
        for (index, level) in levels.iter().copied().enumerate() {
            check_level(self.kind, index, level)?;
            order.push((level.px, index));
        }
        order.sort_unstable();
        for pair in order.windows(2) {
            let [(first, _), (second, index)] = pair else {
                continue;
            };
            if first != second {
                continue;
            }
            if let Some(level) = levels.get(*index) {
                return Err(refusal(self.kind, *index, *level, "each price once"));
            }
        }
        Ok(())
    }

    /// Drops the levels that are better than `px`.
    pub(crate) fn trim_better_than(&mut self, px: Px) {
        let taker = self.kind.taker();
        let kept = self
            .levels
            .partition_point(|at| rank(at.px, taker) >= rank(px, taker));
        self.levels.truncate(kept);
    }
}
