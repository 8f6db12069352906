//! A leader's event applied to the targets of one track: the pure arithmetic of DESIGN §4.
//!
//! Increases follow the mode; reductions scale the mirrored position and both targets by the
//! fraction that the leader kept; a full close makes them exactly zero; a flip is both in turn.
//! An event that is refused leaves the track as it was.

use crate::fixed::{Px, Quote};
use crate::reason::SkipReason;
use crate::rounding::Rounding;
use crate::sizing::exact::{
    Exact, FIXED_SCALE, Overflow, PPM, TARGET_SCALE, abs, add, mul, scale, sub,
};
use crate::sizing::rule::{Allocation, SizingMode, SizingRule};

/// One track of the leader as a follower mirrors it. Quantities are signed, at 10^-18.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Track {
    /// The leader's position as mirrored, in the leader's sign.
    pub mirrored: i128,
    /// What the mode says, in the follower's sign.
    pub exact: i128,
    /// What is still wanted.
    pub wanted: i128,
    /// The largest `mirrored` since the leader was flat.
    pub peak: i128,
    /// The leader's initial margin at that peak; zero before there was one.
    pub frozen_margin: Quote,
}

/// What the leader did on one track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaderEvent {
    /// Signed position before, at 10^-18.
    pub before: i128,
    /// Signed position after.
    pub after: i128,
    /// The leader's price.
    pub px: Px,
    /// Confirmed wallet balance plus unrealised profit, when known.
    pub margin: Option<Quote>,
    /// Confirmed initial margin of the position, when known.
    pub initial_margin: Option<Quote>,
}

/// What an event is to a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// Nothing changed.
    Same,
    /// Away from zero.
    Growth,
    /// Toward zero, or to it.
    Reduction,
    /// Through zero.
    Flip,
}

/// Why a growth was not applied, with the numbers compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The reason recorded.
    pub reason: SkipReason,
    /// The number observed.
    pub observed: Option<i128>,
    /// The number it was compared with.
    pub limit: Option<i128>,
}

impl Refusal {
    /// Returns a refusal that compared nothing.
    #[must_use]
    pub fn plain(reason: SkipReason) -> Self {
        Self {
            reason,
            observed: None,
            limit: None,
        }
    }

    /// Returns a refusal with the two numbers it compared.
    #[must_use]
    pub fn compared(reason: SkipReason, observed: i128, limit: i128) -> Self {
        Self {
            reason,
            observed: Some(observed),
            limit: Some(limit),
        }
    }
}

/// What applying an event came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied {
    /// The growth was refused; its part of the event changed nothing.
    pub refusal: Option<Refusal>,
    /// The direction gate held the target where it was.
    pub is_held: bool,
}

/// A factor of two wide integers, kept apart so that only one division rounds.
struct Share {
    numerator: i128,
    denominator: i128,
}

impl LeaderEvent {
    /// Returns what the event is.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        let (before, after) = (self.before, self.after);
        if before == after {
            EventKind::Same
        } else if before != 0 && after != 0 && before.signum() != after.signum() {
            EventKind::Flip
        } else if after.unsigned_abs() > before.unsigned_abs() {
            EventKind::Growth
        } else {
            EventKind::Reduction
        }
    }

    /// Returns the sign of the leader's trade: 1 bought, -1 sold, 0 nothing.
    #[must_use]
    pub fn direction(&self) -> i128 {
        match self.after.cmp(&self.before) {
            std::cmp::Ordering::Greater => 1,
            std::cmp::Ordering::Less => -1,
            std::cmp::Ordering::Equal => 0,
        }
    }
}

impl Track {
    /// Applies an event. `equity` is the follower's, `None` while unknown.
    ///
    /// # Errors
    /// [`Overflow`]: a value does not fit; the caller drops the changed copy.
    pub fn apply(
        &mut self,
        event: &LeaderEvent,
        rule: &SizingRule,
        equity: Option<Quote>,
    ) -> Exact<Applied> {
        match event.kind() {
            EventKind::Same => Ok(Applied::default()),
            EventKind::Growth => self.grow(sub(event.after, event.before)?, event, rule, equity),
            EventKind::Reduction => {
                self.reduce(event.after, event.before)?;
                Ok(Applied::default())
            }
            EventKind::Flip => {
                self.clear();
                self.grow(event.after, event, rule, equity)
            }
        }
    }

    /// Returns whether nothing is mirrored, said or wanted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.mirrored == 0 && self.exact == 0 && self.wanted == 0
    }

    fn clear(&mut self) {
        *self = Self::default();
    }

    fn reduce(&mut self, after: i128, before: i128) -> Exact<()> {
        if after == 0 {
            self.clear();
            return Ok(());
        }
        if self.mirrored == 0 {
            return Ok(());
        }
        self.mirrored = scale(self.mirrored, after, before, Rounding::Down)?;
        self.exact = scale(self.exact, after, before, Rounding::Down)?;
        self.wanted = scale(self.wanted, after, before, Rounding::Down)?;
        Ok(())
    }

    fn grow(
        &mut self,
        change: i128,
        event: &LeaderEvent,
        rule: &SizingRule,
        equity: Option<Quote>,
    ) -> Exact<Applied> {
        if let Some(refusal) = too_small(change, event, rule)? {
            return Ok(Applied {
                refusal: Some(refusal),
                is_held: false,
            });
        }
        let mut next = *self;
        next.mirrored = add(self.mirrored, change)?;
        let exact = match next.sized(self, change, event, rule, equity)? {
            Ok(exact) => exact,
            Err(refusal) => {
                return Ok(Applied {
                    refusal: Some(refusal),
                    is_held: false,
                });
            }
        };
        let moved = sub(exact, self.exact)?;
        let is_held = mul(moved.signum(), mul(rule.sign(), change.signum())?)? < 0;
        if !is_held {
            next.wanted = self.wanted_after(exact, moved)?;
            next.exact = exact;
        }
        *self = next;
        Ok(Applied {
            refusal: None,
            is_held,
        })
    }

    /// Returns the wanted target once the exact one moved. What a raise to the venue's minimum
    /// built beyond the exact target is used up before more is wanted.
    fn wanted_after(&self, exact: i128, moved: i128) -> Exact<i128> {
        let is_ahead = self.wanted.unsigned_abs() > self.exact.unsigned_abs()
            && self.wanted.signum() == exact.signum();
        if !is_ahead {
            return add(self.wanted, moved);
        }
        let is_used_up = exact.unsigned_abs() >= self.wanted.unsigned_abs();
        Ok(if is_used_up { exact } else { self.wanted })
    }

    /// Returns the exact target after a growth; `self` already holds the new mirrored position
    /// and takes the frozen margin, `old` is the track before the event.
    fn sized(
        &mut self,
        old: &Self,
        change: i128,
        event: &LeaderEvent,
        rule: &SizingRule,
        equity: Option<Quote>,
    ) -> Exact<Result<i128, Refusal>> {
        let sign = rule.sign();
        let signed = |value: i128| mul(value, sign);
        match rule.mode {
            SizingMode::Ratio => {
                let moved = scale(change, i128::from(rule.ratio), FIXED_SCALE, Rounding::Down)?;
                Ok(Ok(add(old.exact, signed(moved)?)?))
            }
            SizingMode::Margin => match margin_share(event, rule, equity)? {
                Ok(share) => Ok(Ok(add(old.exact, signed(share.of(change)?)?)?)),
                Err(refusal) => Ok(Err(refusal)),
            },
            SizingMode::Position => match self.position_share(event, rule, equity)? {
                Ok(share) => Ok(Ok(signed(share.of(self.mirrored)?)?)),
                Err(refusal) => Ok(Err(refusal)),
            },
            SizingMode::Notional if old.mirrored == 0 => {
                let notional = i128::from(rule.notional.0);
                let px = i128::from(event.px.0);
                if px <= 0 {
                    return Err(Overflow);
                }
                let size = scale(notional, TARGET_SCALE, px, Rounding::Down)?;
                Ok(Ok(signed(mul(size, change.signum())?)?))
            }
            SizingMode::Notional => Ok(Ok(scale(
                old.exact,
                self.mirrored,
                old.mirrored,
                Rounding::Down,
            )?)),
        }
    }

    fn position_share(
        &mut self,
        event: &LeaderEvent,
        rule: &SizingRule,
        equity: Option<Quote>,
    ) -> Exact<Result<Share, Refusal>> {
        let (factor, unit, margin) = match rule.margin_ppm {
            None => (i128::from(rule.multiplier), FIXED_SCALE, event.margin),
            Some(ppm) => (i128::from(ppm), PPM, self.freeze(event)),
        };
        let margin = match confirmed(margin) {
            Ok(margin) => margin,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Some(equity) = equity else {
            return Ok(Err(Refusal::plain(SkipReason::FollowerStateStale)));
        };
        Ok(Ok(Share {
            numerator: mul(i128::from(equity.0), factor)?,
            denominator: mul(margin, unit)?,
        }))
    }

    /// Freezes the leader's initial margin when this event raises the mirrored position to a new
    /// maximum, and returns the one that holds.
    fn freeze(&mut self, event: &LeaderEvent) -> Option<Quote> {
        let is_peak = self.mirrored.unsigned_abs() > self.peak.unsigned_abs();
        if is_peak {
            self.peak = self.mirrored;
        }
        if is_peak || self.frozen_margin.0 == 0 {
            self.frozen_margin = event.initial_margin?;
        }
        Some(self.frozen_margin)
    }
}

impl Share {
    fn of(&self, value: i128) -> Exact<i128> {
        scale(value, self.numerator, self.denominator, Rounding::Down)
    }
}

fn too_small(change: i128, event: &LeaderEvent, rule: &SizingRule) -> Exact<Option<Refusal>> {
    let limit = i128::from(rule.leader_notional_min.0);
    if limit == 0 {
        return Ok(None);
    }
    let px = i128::from(event.px.0);
    let notional = scale(abs(change)?, px, TARGET_SCALE, Rounding::Down)?;
    Ok((notional < limit)
        .then(|| Refusal::compared(SkipReason::LeaderTradeTooSmall, notional, limit)))
}

fn confirmed(margin: Option<Quote>) -> Result<i128, Refusal> {
    match margin {
        None => Err(Refusal::plain(SkipReason::MarginUnconfirmed)),
        Some(Quote(raw)) if raw <= 0 => Err(Refusal::compared(
            SkipReason::MarginUnconfirmed,
            i128::from(raw),
            0,
        )),
        Some(Quote(raw)) => Ok(i128::from(raw)),
    }
}

fn margin_share(
    event: &LeaderEvent,
    rule: &SizingRule,
    equity: Option<Quote>,
) -> Exact<Result<Share, Refusal>> {
    let margin = match confirmed(event.margin) {
        Ok(margin) => margin,
        Err(refusal) => return Ok(Err(refusal)),
    };
    match (rule.allocation, equity) {
        (Some(Allocation::Amount(amount)), _) => Ok(Ok(Share {
            numerator: i128::from(amount.0),
            denominator: margin,
        })),
        (Some(Allocation::EquityPpm(ppm)), Some(equity)) => Ok(Ok(Share {
            numerator: mul(i128::from(equity.0), i128::from(ppm))?,
            denominator: mul(margin, PPM)?,
        })),
        _ => Ok(Err(Refusal::plain(SkipReason::FollowerStateStale))),
    }
}
