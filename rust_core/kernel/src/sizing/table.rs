//! All followers of one leader on one venue: one row each, lanes per symbol.

use std::collections::BTreeMap;

use crate::fixed::{Px, Qty};
use crate::sizing::exact::Overflow;
use crate::sizing::lane::{Lane, OrderEnd, Slot};
use crate::sizing::limits::{AccountState, FollowerLimits};
use crate::sizing::rule::SizingRule;

/// Why the table could not be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// No such row.
    #[error("row {row}: expected one of the {count} rows of the table")]
    UnknownRow {
        /// The row asked for.
        row: usize,
        /// How many there are.
        count: usize,
    },
    /// The lane's numbers do not fit; the lane is unchanged.
    #[error("row {row}: the lane's quantities do not fit their type")]
    Overflow {
        /// The row.
        row: usize,
    },
}

/// One follower.
#[derive(Debug, Clone)]
pub struct Row {
    /// How it sizes.
    pub rule: SizingRule,
    /// Its bounds.
    pub limits: FollowerLimits,
    /// Whether it holds a long and a short side apart.
    pub is_hedge: bool,
    /// Whether foreign quantity does not stop opening.
    pub is_dedicated: bool,
    /// Its account, once known.
    pub account: Option<AccountState>,
    /// Gates of the whole row.
    pub gates: u64,
    lanes: Vec<(u32, Lane)>,
}

impl Row {
    /// Returns a row without lanes.
    #[must_use]
    pub fn new(rule: SizingRule, limits: FollowerLimits) -> Self {
        Self {
            rule,
            limits,
            is_hedge: false,
            is_dedicated: false,
            account: None,
            gates: 0,
            lanes: Vec::new(),
        }
    }

    /// Returns the lane of a symbol; an untouched one is empty.
    #[must_use]
    pub fn lane(&self, symbol: u32) -> Lane {
        match self.lanes.binary_search_by_key(&symbol, |(key, _)| *key) {
            Ok(index) => self
                .lanes
                .get(index)
                .map(|(_, lane)| *lane)
                .unwrap_or_default(),
            Err(_) => Lane::default(),
        }
    }

    /// Returns all lanes with their symbols.
    pub fn lanes(&self) -> impl Iterator<Item = &(u32, Lane)> {
        self.lanes.iter()
    }

    fn set_lane(&mut self, symbol: u32, lane: &Lane) {
        match self.lanes.binary_search_by_key(&symbol, |(key, _)| *key) {
            Ok(index) => {
                if let Some((_, held)) = self.lanes.get_mut(index) {
                    *held = *lane;
                }
            }
            Err(index) => self.lanes.insert(index, (symbol, *lane)),
        }
    }
}

/// The table. One owner changes it, one row at a time.
#[derive(Debug, Clone, Default)]
pub struct FollowerTable {
    rows: Vec<Row>,
    marks: BTreeMap<u32, Px>,
    references: BTreeMap<u32, Px>,
}

impl FollowerTable {
    /// Returns the number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a follower and returns its row.
    pub fn add(&mut self, row: Row) -> usize {
        self.rows.push(row);
        self.rows.len().saturating_sub(1)
    }

    /// Returns a row.
    ///
    /// # Errors
    /// [`TableError::UnknownRow`].
    pub fn row(&self, row: usize) -> Result<&Row, TableError> {
        let count = self.rows.len();
        self.rows
            .get(row)
            .ok_or(TableError::UnknownRow { row, count })
    }

    /// Returns a row to change.
    ///
    /// # Errors
    /// [`TableError::UnknownRow`].
    pub fn row_mut(&mut self, row: usize) -> Result<&mut Row, TableError> {
        let count = self.rows.len();
        self.rows
            .get_mut(row)
            .ok_or(TableError::UnknownRow { row, count })
    }

    /// Sets the price that values a symbol's positions against the caps.
    pub fn set_mark(&mut self, symbol: u32, px: Px) {
        self.marks.insert(symbol, px);
    }

    /// Returns a symbol's mark.
    #[must_use]
    pub fn mark(&self, symbol: u32) -> Option<Px> {
        self.marks.get(&symbol).copied()
    }

    /// Notes the price a symbol was last planned around: it values the symbol without a mark.
    pub fn note_reference(&mut self, symbol: u32, px: Px) {
        self.references.insert(symbol, px);
    }

    /// Returns the price that values a symbol's positions, if there ever was one.
    #[must_use]
    pub fn value_px(&self, symbol: u32) -> Option<Px> {
        self.mark(symbol)
            .or_else(|| self.references.get(&symbol).copied())
    }

    /// Replaces a lane.
    ///
    /// # Errors
    /// [`TableError::UnknownRow`].
    pub fn set_lane(&mut self, row: usize, symbol: u32, lane: &Lane) -> Result<(), TableError> {
        self.row_mut(row)?.set_lane(symbol, lane);
        Ok(())
    }

    /// Ends the order of a lane's side; see [`Lane::settle`].
    ///
    /// # Errors
    /// [`TableError`]; the lane is unchanged then.
    pub fn settle(
        &mut self,
        row: usize,
        symbol: u32,
        slot: Slot,
        end: OrderEnd,
    ) -> Result<Lane, TableError> {
        self.change(row, symbol, |follower, lane| {
            let keeps = follower.rule.missed == crate::sizing::rule::Missed::CatchUp;
            let end = OrderEnd {
                is_rest_kept: end.is_rest_kept || keeps,
                ..end
            };
            lane.settle(follower.is_hedge, slot, end)
        })
    }

    /// Marks the order of a lane's side as unknown; see [`Lane::mark_unknown`].
    ///
    /// # Errors
    /// [`TableError::UnknownRow`].
    pub fn mark_unknown(&mut self, row: usize, symbol: u32, slot: Slot) -> Result<(), TableError> {
        let change = |_: &Row, lane: &mut Lane| {
            lane.mark_unknown(slot);
            Ok(())
        };
        self.change(row, symbol, change).map(|_| ())
    }

    /// Shrinks a lane's side to what the venue holds; see [`Lane::shrink`].
    ///
    /// # Errors
    /// [`TableError`]; the lane is unchanged then.
    pub fn shrink(
        &mut self,
        row: usize,
        symbol: u32,
        slot: Slot,
        held: Qty,
    ) -> Result<Lane, TableError> {
        self.change(row, symbol, |follower, lane| {
            lane.shrink(follower.is_hedge, slot, held, follower.rule.mode)
        })
    }

    /// Changes a copy of a lane and keeps it if nothing overflowed.
    ///
    /// # Errors
    /// [`TableError`]; the lane is unchanged then.
    pub fn change(
        &mut self,
        row: usize,
        symbol: u32,
        change: impl FnOnce(&Row, &mut Lane) -> Result<(), Overflow>,
    ) -> Result<Lane, TableError> {
        let follower = self.row_mut(row)?;
        let mut lane = follower.lane(symbol);
        change(follower, &mut lane).map_err(|Overflow| TableError::Overflow { row })?;
        follower.set_lane(symbol, &lane);
        Ok(lane)
    }
}
