//! One (follower, symbol): what is wanted on each leader track and held on each side.
//!
//! A follower in one-way mode has one side (index 0) that wants the sum of both tracks; in hedge
//! mode the long side (0) wants the positive targets and the short side (1) the negative ones.

use crate::fixed::Qty;
use crate::rounding::Rounding;
use crate::sizing::event::Track;
use crate::sizing::exact::{Exact, Overflow, add, mul, scale, sub, to_target};
use crate::sizing::rule::SizingMode;

/// The two entries of a lane's tracks or sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// Net, or long.
    First,
    /// Short.
    Second,
}

/// A pair addressed by [`Slot`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pair<T> {
    /// Net, or long.
    pub first: T,
    /// Short.
    pub second: T,
}

impl<T> Pair<T> {
    /// Returns one entry.
    #[must_use]
    pub fn get(&self, slot: Slot) -> &T {
        match slot {
            Slot::First => &self.first,
            Slot::Second => &self.second,
        }
    }

    /// Returns one entry to change.
    pub fn get_mut(&mut self, slot: Slot) -> &mut T {
        match slot {
            Slot::First => &mut self.first,
            Slot::Second => &mut self.second,
        }
    }
}

impl Slot {
    /// Returns the other entry.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// What an opening order in flight was cut from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// The side's wanted target when it was cut.
    pub wanted: i128,
    /// The part of it that the order left for later, in the order's direction.
    pub left: i128,
}

/// One side of a lane. Quantities are signed, at 10^-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LaneSide {
    /// What our own orders built.
    pub position: Qty,
    /// The order at the venue; zero = free.
    pub in_flight: Qty,
    /// An order whose fate is unknown.
    pub unknown: Qty,
    /// What the venue holds beyond ours.
    pub foreign: Qty,
    opening: Option<Opening>,
}

/// How the order of a side ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderEnd {
    /// Signed quantity filled.
    pub filled: Qty,
    /// Whether it was an opening order.
    pub is_opening: bool,
    /// Whether an opening order's unfilled rest stays wanted.
    pub is_rest_kept: bool,
}

/// All state of one (follower, symbol).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lane {
    /// By leader track.
    pub tracks: Pair<Track>,
    /// By follower side.
    pub sides: Pair<LaneSide>,
    /// Leverage synced with the venue; `None` = not synced.
    pub leverage: Option<u32>,
    /// Gates of this symbol alone.
    pub gates: u64,
}

impl LaneSide {
    /// Returns a side without an order cut by us (restored, or new).
    #[must_use]
    pub fn new(position: Qty, in_flight: Qty, unknown: Qty, foreign: Qty) -> Self {
        Self {
            position,
            in_flight,
            unknown,
            foreign,
            opening: None,
        }
    }

    /// Returns the same side with what its opening order was cut from.
    #[must_use]
    pub fn with_opening(self, opening: Opening) -> Self {
        Self {
            opening: Some(opening),
            ..self
        }
    }

    /// Returns what the opening order now out was cut from.
    #[must_use]
    pub fn opening(&self) -> Option<Opening> {
        self.opening
    }

    /// Returns the largest magnitude the position may have once all orders end.
    #[must_use]
    pub fn exposure(&self) -> i128 {
        let position = i128::from(self.position.0);
        [i128::from(self.in_flight.0), i128::from(self.unknown.0)]
            .into_iter()
            .filter(|order| order.signum().saturating_mul(position.signum()) >= 0)
            .fold(position, i128::saturating_add)
            .saturating_abs()
    }

    /// Puts an order in flight. `wanted` is the side's wanted target at this moment.
    ///
    /// # Errors
    /// [`Overflow`]: a value does not fit.
    pub fn launch(&mut self, order: i64, wanted: i128, is_opening: bool) -> Exact<()> {
        self.in_flight = Qty(order);
        if is_opening {
            self.opening = Some(self.opening_of(order, wanted)?);
        }
        Ok(())
    }

    fn opening_of(&self, order: i64, wanted: i128) -> Exact<Opening> {
        let built = add(to_target(self.position.0), to_target(order))?;
        let left = mul(sub(wanted, built)?, i128::from(order.signum()))?.max(0);
        Ok(Opening { wanted, left })
    }
}

impl Lane {
    /// Returns the wanted target of a side.
    ///
    /// # Errors
    /// [`Overflow`]: the sum of the tracks does not fit.
    pub fn wanted(&self, is_hedge: bool, side: Slot) -> Exact<i128> {
        side_sum(
            self.tracks.first.wanted,
            self.tracks.second.wanted,
            is_hedge,
            side,
        )
    }

    /// Returns the exact target of a side.
    ///
    /// # Errors
    /// [`Overflow`]: the sum of the tracks does not fit.
    pub fn exact(&self, is_hedge: bool, side: Slot) -> Exact<i128> {
        side_sum(
            self.tracks.first.exact,
            self.tracks.second.exact,
            is_hedge,
            side,
        )
    }

    /// Lowers what is wanted in a direction by up to `amount`, the named track first. Never
    /// changes the sign of a track's target.
    ///
    /// # Errors
    /// [`Overflow`]: a value does not fit.
    pub fn give_up(&mut self, direction: i128, amount: i128, track: Slot) -> Exact<()> {
        let mut rest = amount;
        for slot in [track, track.other()] {
            let wanted = &mut self.tracks.get_mut(slot).wanted;
            if rest > 0 && wanted.signum() == direction {
                let cut = rest.min(wanted.saturating_abs());
                *wanted = sub(*wanted, mul(cut, direction)?)?;
                rest = sub(rest, cut)?;
            }
        }
        Ok(())
    }

    /// Raises what is wanted on a track so that a side wants `amount` more.
    ///
    /// # Errors
    /// [`Overflow`]: a value does not fit.
    pub fn raise(&mut self, direction: i128, amount: i128, track: Slot) -> Exact<()> {
        let wanted = &mut self.tracks.get_mut(track).wanted;
        *wanted = add(*wanted, mul(amount, direction)?)?;
        Ok(())
    }

    /// Ends the order of a side: it filled `end.filled`, the side is free again.
    ///
    /// The unfilled rest of an opening order is given up unless it is kept, and never more than
    /// that; what the leader added since it was cut, and what the cut left below a lot, stay
    /// wanted.
    ///
    /// # Errors
    /// [`Overflow`]: a value does not fit; the lane is to be dropped.
    pub fn settle(&mut self, is_hedge: bool, slot: Slot, end: OrderEnd) -> Exact<()> {
        let wanted = self.wanted(is_hedge, slot)?;
        let side = self.sides.get_mut(slot);
        let is_unknown = side.in_flight.0 == 0 || (side.unknown.0 != 0 && end.is_opening);
        let ended = if is_unknown {
            &mut side.unknown
        } else {
            &mut side.in_flight
        };
        let order = std::mem::take(&mut ended.0);
        let cut = match side.opening {
            Some(opening) => opening,
            None => side.opening_of(order, wanted)?,
        };
        side.position.0 = side.position.0.checked_add(end.filled.0).ok_or(Overflow)?;
        if !end.is_opening {
            return Ok(());
        }
        side.opening = None;
        let direction = i128::from(if order == 0 { end.filled.0 } else { order }.signum());
        if end.is_rest_kept || direction == 0 {
            return Ok(());
        }
        let newer = mul(sub(wanted, cut.wanted)?, direction)?.max(0);
        let built = mul(to_target(side.position.0), direction)?;
        let kept = add(add(built, cut.left)?, newer)?.max(0);
        let excess = sub(mul(wanted, direction)?, kept)?;
        let unfilled = sub(to_target(order), to_target(end.filled.0))?;
        let most = mul(unfilled, direction)?.max(0);
        self.give_up(direction, excess.clamp(0, most), Slot::First)
    }

    /// Marks the order in flight as one of unknown fate. While another one is unknown already the
    /// order stays in flight: the side is busy until one of them is settled.
    pub fn mark_unknown(&mut self, slot: Slot) {
        let side = self.sides.get_mut(slot);
        if side.unknown.0 == 0 {
            side.unknown = side.in_flight;
            side.in_flight = Qty(0);
        }
    }

    /// Shrinks position and targets of a side to `held`, which the venue holds without an order
    /// of ours. A `held` of the other sign counts as zero, a larger one changes nothing.
    ///
    /// The mirrored position shrinks by the same fraction, so that no later increase rebuilds
    /// what was lost. In NOTIONAL mode it stays, because there targets grow with its ratio.
    ///
    /// # Errors
    /// [`Overflow`]: a value does not fit.
    pub fn shrink(&mut self, is_hedge: bool, slot: Slot, held: Qty, mode: SizingMode) -> Exact<()> {
        let position = self.sides.get(slot).position.0;
        let held = if held.0.signum() == position.signum() {
            held.0
        } else {
            0
        };
        if held.unsigned_abs() >= position.unsigned_abs() {
            return Ok(());
        }
        let target = to_target(held);
        let exact = self.exact(is_hedge, slot)?;
        let wanted = self.wanted(is_hedge, slot)?;
        for track in [Slot::First, Slot::Second] {
            let track = self.tracks.get_mut(track);
            if is_hedge && !is_on_side(track.exact, slot) {
                continue;
            }
            track.wanted = shrunk(track.wanted, target, wanted)?;
            if mode != SizingMode::Notional {
                track.mirrored = shrunk(track.mirrored, target, exact)?;
            }
            track.exact = shrunk(track.exact, target, exact)?;
        }
        self.sides.get_mut(slot).position = Qty(held);
        Ok(())
    }
}

fn shrunk(value: i128, held: i128, whole: i128) -> Exact<i128> {
    if held == 0 {
        return Ok(0);
    }
    if held.unsigned_abs() >= whole.unsigned_abs() || held.signum() != whole.signum() {
        return Ok(value);
    }
    scale(value, held, whole, Rounding::Down)
}

fn is_on_side(target: i128, side: Slot) -> bool {
    match side {
        Slot::First => target > 0,
        Slot::Second => target < 0,
    }
}

fn side_sum(first: i128, second: i128, is_hedge: bool, side: Slot) -> Exact<i128> {
    match (is_hedge, side) {
        (false, Slot::First) => add(first, second),
        (false, Slot::Second) => Ok(0),
        (true, Slot::First) => add(first.max(0), second.max(0)),
        (true, Slot::Second) => add(first.min(0), second.min(0)),
    }
}
