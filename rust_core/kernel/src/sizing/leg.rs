//! One leg of one follower: gates, rounding, minimums, caps, bounds and depth, in that order.

use crate::fixed::{Px, Qty};
use crate::reason::SkipReason;
use crate::rounding::Rounding;
use crate::side::{PositionSide, Side};
use crate::sizing::bounds::{Bound, ReferenceKind, is_inside};
use crate::sizing::caps::{Candidate, Capped, capped};
use crate::sizing::event::Refusal;
use crate::sizing::exact::{
    Exact, FIXED_SCALE, Overflow, TARGET_PER_QTY, abs, ceil_to, floor_to, mul, narrow, scale, sub,
    to_raw,
};
use crate::sizing::lane::{Lane, LaneSide, Slot};
use crate::sizing::market::{Market, first_reason};
use crate::sizing::movement::{opening_lots, reduction_lots};
use crate::sizing::outcome::{OrderPlan, Skip, Targets};
use crate::sizing::rule::{BelowMinimum, Missed, OnLimit};
use crate::sizing::table::{FollowerTable, Row};

/// A leg ends in an order or a skip.
#[derive(Debug, Clone, Copy)]
pub enum LegOutcome {
    /// Traded.
    Order(OrderPlan),
    /// Not traded.
    Skip(Skip),
}

/// One leg while it is planned.
pub struct Leg<'a, 'm> {
    /// What the cohort shares.
    pub market: &'a mut Market<'m>,
    /// The table, for the prices of other symbols.
    pub table: &'a FollowerTable,
    /// The follower.
    pub row: &'a Row,
    /// Its row.
    pub row_index: usize,
    /// Its lane, a copy that is kept only when the whole row fits.
    pub lane: &'a mut Lane,
    /// The side that moves.
    pub slot: Slot,
    /// 0, or 1 for the opening leg of a flip.
    pub index: u8,
    /// The direction gate held the target.
    pub is_held: bool,
}

/// What a leg would send, before it is recorded.
struct Draft {
    direction: i128,
    side: Side,
    qty: i128,
    wanted_qty: i128,
    clip: Option<SkipReason>,
    bound: Bound,
    limit: Px,
    is_opening: bool,
    has_book: bool,
}

/// What the book has for a draft.
enum Depth {
    Enough,
    Clipped(i128),
    Short(Refusal),
}

impl Leg<'_, '_> {
    fn held_side(&self) -> &LaneSide {
        self.lane.sides.get(self.slot)
    }

    fn position_side(&self) -> PositionSide {
        match (self.row.is_hedge, self.slot) {
            (false, _) => PositionSide::Net,
            (true, Slot::First) => PositionSide::Long,
            (true, Slot::Second) => PositionSide::Short,
        }
    }

    fn targets(&self) -> Exact<Targets> {
        Ok(Targets {
            exact: self.lane.exact(self.row.is_hedge, self.slot)?,
            wanted: self.lane.wanted(self.row.is_hedge, self.slot)?,
            mirrored: self.lane.tracks.get(self.market.intent.track).mirrored,
            position: self.held_side().position,
        })
    }

    /// Records a leg that is not traded; `change` is the signed quantity wanted, at 10^-18.
    ///
    /// # Errors
    /// [`Overflow`]: a value does not fit.
    pub fn skip(
        &self,
        refusal: Refusal,
        change: i128,
        is_opening: bool,
        is_delayed: bool,
    ) -> Exact<LegOutcome> {
        Ok(LegOutcome::Skip(Skip {
            row: self.row_index,
            leg: self.index,
            position_side: self.position_side(),
            reason: refusal.reason,
            observed: refusal.observed,
            limit: refusal.limit,
            is_opening,
            is_delayed,
            wanted_qty: Qty(to_raw(change)?),
            targets: self.targets()?,
        }))
    }

    fn gates(&self) -> u64 {
        let market = &self.market;
        let book = market.book_gates(&self.row.limits);
        self.row.gates | self.lane.gates | market.intent.gates | book
    }

    fn state_age_ns(&self) -> Option<i64> {
        self.row
            .account
            .map(|account| self.market.now_ns.saturating_sub(account.ts_ns))
    }

    fn foreign(&self) -> i128 {
        let sides = &self.lane.sides;
        [sides.first.foreign.0, sides.second.foreign.0]
            .into_iter()
            .find(|qty| *qty != 0)
            .map_or(0, i128::from)
    }

    /// Returns the first gate that stops this leg from opening; `also` adds the reason for which
    /// the event was refused.
    fn open_gate(&self, also: Option<Refusal>) -> Option<Refusal> {
        let limits = &self.row.limits;
        let age_ns = self
            .market
            .now_ns
            .saturating_sub(self.market.intent.created_ns);
        let mut gates = self.gates() | also.map_or(0, |refusal| refusal.reason.mask());
        if age_ns > limits.intent_age_ns_max {
            gates |= SkipReason::StaleIntent.mask();
        }
        if self
            .state_age_ns()
            .is_none_or(|age| age > limits.state_age_ns_max)
        {
            gates |= SkipReason::FollowerStateStale.mask();
        }
        if self.foreign() != 0 && !self.row.is_dedicated {
            gates |= SkipReason::ForeignPosition.mask();
        }
        if self.held_side().unknown.0 != 0 {
            gates |= SkipReason::UnknownPending.mask();
        }
        let reason = first_reason(self.market.stops_open(gates))?;
        if let Some(refusal) = also.filter(|refusal| refusal.reason == reason) {
            return Some(refusal);
        }
        let pair = |observed: Option<i64>, limit: i64| Refusal {
            reason,
            observed: observed.map(i128::from),
            limit: Some(i128::from(limit)),
        };
        Some(match reason {
            SkipReason::StaleIntent => pair(Some(age_ns), limits.intent_age_ns_max),
            SkipReason::FollowerStateStale => pair(self.state_age_ns(), limits.state_age_ns_max),
            SkipReason::BookStale => pair(self.market.book_age_ns(), limits.book_age_ns_max),
            SkipReason::ForeignPosition => Refusal::compared(reason, self.foreign(), 0),
            SkipReason::UnknownPending => pair(Some(self.held_side().unknown.0), 0),
            _ => Refusal::plain(reason),
        })
    }

    /// Ends a leg whose event was refused: the first of its gates and that refusal. The targets
    /// stay as they were.
    ///
    /// # Errors
    /// [`Overflow`]: a value does not fit.
    pub fn refused(&self, refusal: Refusal) -> Exact<LegOutcome> {
        self.skip(
            self.open_gate(Some(refusal)).unwrap_or(refusal),
            0,
            true,
            false,
        )
    }

    /// Ends an opening leg that is not traded; its whole lots are given up under that policy.
    fn refuse_open(
        &mut self,
        refusal: Refusal,
        direction: i128,
        amount: i128,
        lots: i128,
    ) -> Exact<LegOutcome> {
        self.drop_missed(direction, lots)?;
        self.skip(refusal, mul(amount, direction)?, true, false)
    }

    fn drop_missed(&mut self, direction: i128, lots: i128) -> Exact<()> {
        if self.row.rule.missed == Missed::GiveUp {
            self.drop(direction, lots)?;
        }
        Ok(())
    }

    fn drop(&mut self, direction: i128, lots: i128) -> Exact<()> {
        let amount = mul(lots.max(0), TARGET_PER_QTY)?;
        self.lane
            .give_up(direction, amount, self.market.intent.track)
    }

    /// Ends an opening leg whose close is not done, if a gate stops it already; `change` is what
    /// it would open, signed, at 10^-18.
    ///
    /// # Errors
    /// [`Overflow`]: a value does not fit.
    pub fn gated_open(&mut self, change: i128) -> Exact<Option<LegOutcome>> {
        let Some(refusal) = self.open_gate(None) else {
            return Ok(None);
        };
        let amount = abs(change)?;
        let lots = opening_lots(amount, self.qty_step())?;
        self.refuse_open(refusal, change.signum(), amount, lots)
            .map(Some)
    }

    /// Returns the refusal of an opening of less than one lot.
    ///
    /// # Errors
    /// [`Overflow`]: a value does not fit.
    pub fn below_lot(&self, amount: i128) -> Exact<Option<Refusal>> {
        let step = self.qty_step();
        if opening_lots(amount, step)? > 0 {
            return Ok(None);
        }
        let observed = i128::from(to_raw(amount)?);
        Ok(Some(Refusal::compared(
            SkipReason::BelowLot,
            observed,
            i128::from(step),
        )))
    }

    fn qty_step(&self) -> i64 {
        self.market.intent.rules.qty_step().0
    }

    /// Plans an opening of `amount` at 10^-18 in a direction.
    ///
    /// # Errors
    /// [`Overflow`]: a value does not fit.
    pub fn open(&mut self, direction: i128, amount: i128) -> Exact<LegOutcome> {
        let lots = opening_lots(amount, self.qty_step())?;
        if let Some(refusal) = self.open_gate(None) {
            return self.refuse_open(refusal, direction, amount, lots);
        }
        let change = mul(amount, direction)?;
        if let Some(below) = self.below_lot(amount)? {
            let held = Refusal::plain(SkipReason::Direction);
            return self.skip(if self.is_held { held } else { below }, change, true, false);
        }
        let side = side_of(direction);
        let Some(bound) = self.market.entry_bound(side, &self.row.limits)? else {
            let refusal = Refusal::plain(SkipReason::BookMissing);
            return self.refuse_open(refusal, direction, amount, lots);
        };
        let Some(limit) = bound.limit_px else {
            let refusal = Refusal::plain(breach_reason(&bound));
            return self.refuse_open(refusal, direction, amount, lots);
        };
        let mut draft = Draft {
            direction,
            side,
            qty: lots,
            wanted_qty: lots,
            clip: None,
            bound,
            limit,
            is_opening: true,
            has_book: true,
        };
        let below = self.below_minimum(lots, limit, false)?;
        if let Some(refusal) = below {
            match self.row.rule.below_minimum {
                BelowMinimum::Carry => return self.skip(refusal, change, true, false),
                BelowMinimum::Skip => {
                    self.drop(direction, lots)?;
                    return self.skip(refusal, change, true, false);
                }
                BelowMinimum::Bump => draft.qty = self.minimum_qty(limit)?,
            }
        }
        match self.sized_by_limits(&mut draft, below)? {
            Some(refusal) if below == Some(refusal) => self.skip(refusal, change, true, false),
            Some(refusal) => self.refuse_open(refusal, direction, amount, lots),
            None => self.commit_open(&draft, amount, lots),
        }
    }

    /// Lowers an opening draft to caps, venue maximum, touch and depth; returns why it is none.
    fn sized_by_limits(
        &mut self,
        draft: &mut Draft,
        below: Option<Refusal>,
    ) -> Exact<Option<Refusal>> {
        let candidate = Candidate {
            table: self.table,
            row: self.row,
            symbol: self.market.intent.symbol,
            lane: self.lane,
            slot: self.slot,
            px: self.value_px(&draft.bound),
            qty_step: self.qty_step(),
        };
        let asked = draft.qty;
        match capped(&candidate, asked)? {
            Capped::Breach(refusal) => return Ok(Some(below.unwrap_or(refusal))),
            Capped::Fits { qty, clip } => (draft.qty, draft.clip) = (qty, clip),
        }
        self.clip_to_venue(draft)?;
        if draft.qty < asked && self.below_minimum(draft.qty, draft.limit, false)?.is_some() {
            let reason = draft.clip.unwrap_or(SkipReason::OrderCap);
            let refusal = Refusal::compared(reason, asked, draft.qty);
            return Ok(Some(below.unwrap_or(refusal)));
        }
        if let Some(refusal) = self.touch_breach(draft) {
            return Ok(Some(refusal));
        }
        match self.depth_of(draft)? {
            Depth::Enough => {}
            Depth::Clipped(qty) => (draft.qty, draft.clip) = (qty, Some(SkipReason::DepthShort)),
            Depth::Short(refusal) => return Ok(Some(refusal)),
        }
        Ok(None)
    }

    fn commit_open(&mut self, draft: &Draft, amount: i128, lots: i128) -> Exact<LegOutcome> {
        self.drop_missed(draft.direction, sub(lots, draft.qty)?)?;
        let raised = sub(mul(draft.qty, TARGET_PER_QTY)?, amount)?;
        if draft.qty > lots && raised > 0 {
            self.lane
                .raise(draft.direction, raised, self.market.intent.track)?;
        }
        self.commit(draft)
    }

    /// Plans a reduction of `amount` at 10^-18; `held` is what may go without crossing zero.
    ///
    /// # Errors
    /// [`Overflow`]: a value does not fit.
    pub fn reduce(&mut self, direction: i128, amount: i128, held: i128) -> Exact<LegOutcome> {
        let change = mul(amount, direction)?;
        let gates = self.gates();
        if let Some(reason) = first_reason(self.market.stops_reduction(gates)) {
            return self.skip(
                Refusal::plain(reason),
                change,
                false,
                reason.delays_reduction(),
            );
        }
        let lots = reduction_lots(amount, held, self.qty_step())?;
        let has_book = self.market.is_book_fresh(gates);
        let side = side_of(direction);
        let bound = self.market.exit_bound(side, &self.row.limits, has_book)?;
        let Some(limit) = bound.limit_px else {
            let refusal = Refusal::plain(SkipReason::SlippageBreach);
            return self.skip(refusal, change, false, true);
        };
        let mut draft = Draft {
            direction,
            side,
            qty: lots,
            wanted_qty: lots,
            clip: None,
            bound,
            limit,
            is_opening: false,
            has_book,
        };
        if let Some(refusal) = self.reduction_below_minimum(&mut draft, held)? {
            return self.skip(refusal, change, false, false);
        }
        self.clip_to_venue(&mut draft)?;
        if let Some(refusal) = self.reduction_short(&mut draft)? {
            return self.skip(refusal, change, false, true);
        }
        self.commit(&draft)
    }

    /// Returns why a reduction is too small to send. A full close never is.
    fn reduction_below_minimum(&self, draft: &mut Draft, held: i128) -> Exact<Option<Refusal>> {
        if self.is_full_close(draft.qty) {
            return Ok(None);
        }
        let is_exempt = self.market.intent.rules.is_reduction_exempt();
        let below = self.below_minimum(draft.qty, draft.limit, is_exempt)?;
        if below.is_none() || self.row.rule.below_minimum != BelowMinimum::Bump {
            return Ok(below);
        }
        let all = held.checked_div(TARGET_PER_QTY).ok_or(Overflow)?;
        let raised = self.minimum_qty(draft.limit)?.min(all);
        let is_valid = self.is_full_close(raised)
            || self
                .below_minimum(raised, draft.limit, is_exempt)?
                .is_none();
        if !is_valid {
            return Ok(below);
        }
        draft.qty = raised;
        Ok(None)
    }

    fn reduction_short(&self, draft: &mut Draft) -> Exact<Option<Refusal>> {
        if !draft.has_book {
            return Ok(None);
        }
        if let Some(refusal) = self.touch_breach(draft) {
            return Ok(Some(refusal));
        }
        match self.depth_of(draft)? {
            Depth::Enough => Ok(None),
            Depth::Clipped(qty) => {
                (draft.qty, draft.clip) = (qty, Some(SkipReason::DepthShort));
                Ok(None)
            }
            Depth::Short(refusal) => Ok(Some(refusal)),
        }
    }

    fn is_full_close(&self, qty: i128) -> bool {
        let side = self.held_side();
        side.unknown.0 == 0 && qty == i128::from(side.position.0).saturating_abs()
    }

    fn value_px(&self, bound: &Bound) -> Px {
        self.table
            .mark(self.market.intent.symbol)
            .unwrap_or(bound.reference.px)
    }

    fn below_minimum(
        &self,
        qty: i128,
        limit: Px,
        is_notional_exempt: bool,
    ) -> Exact<Option<Refusal>> {
        let rules = &self.market.intent.rules;
        let qty_min = i128::from(rules.qty_min().0);
        if qty < qty_min {
            return Ok(Some(Refusal::compared(
                SkipReason::BelowMinQty,
                qty,
                qty_min,
            )));
        }
        let notional_min = i128::from(rules.notional_min().0);
        if is_notional_exempt || notional_min == 0 {
            return Ok(None);
        }
        let notional = scale(qty, i128::from(limit.0), FIXED_SCALE, Rounding::Floor)?;
        let reason = SkipReason::BelowMinNotional;
        Ok((notional < notional_min).then(|| Refusal::compared(reason, notional, notional_min)))
    }

    /// Returns the smallest quantity that the venue accepts at a limit.
    fn minimum_qty(&self, limit: Px) -> Exact<i128> {
        let rules = &self.market.intent.rules;
        let notional_min = i128::from(rules.notional_min().0);
        let by_notional = scale(
            notional_min,
            FIXED_SCALE,
            i128::from(limit.0),
            Rounding::Ceil,
        )?;
        ceil_to(
            by_notional.max(i128::from(rules.qty_min().0)),
            i128::from(self.qty_step()),
        )
    }

    /// Shrinks a draft once to the venue's largest order.
    fn clip_to_venue(&self, draft: &mut Draft) -> Exact<()> {
        if let Some(max) = self.market.intent.rules.qty_max() {
            let max = floor_to(i128::from(max.0), i128::from(self.qty_step()))?;
            if draft.qty > max {
                (draft.qty, draft.clip) = (max, Some(SkipReason::OrderCap));
            }
        }
        Ok(())
    }

    /// Returns the breach when the best price is outside the limit.
    fn touch_breach(&self, draft: &Draft) -> Option<Refusal> {
        let best = self.market.touch(draft.side)?;
        if is_inside(best, draft.limit, draft.side) {
            return None;
        }
        let reason = if draft.is_opening {
            breach_reason(&draft.bound)
        } else {
            SkipReason::SlippageBreach
        };
        Some(Refusal::compared(
            reason,
            i128::from(best.0),
            i128::from(draft.limit.0),
        ))
    }

    fn depth_of(&self, draft: &Draft) -> Exact<Depth> {
        let qty = Qty(narrow(draft.qty)?);
        let filled = self
            .market
            .walk(draft.side, qty, draft.limit)
            .map_or(0, |estimate| i128::from(estimate.filled_qty.0));
        if filled >= draft.qty {
            return Ok(Depth::Enough);
        }
        let short = Refusal::compared(SkipReason::DepthShort, filled, draft.qty);
        let lots = floor_to(filled, i128::from(self.qty_step()))?;
        if lots <= 0 || (draft.is_opening && self.row.rule.on_thin_book == OnLimit::Skip) {
            return Ok(Depth::Short(short));
        }
        let is_exempt = !draft.is_opening && self.market.intent.rules.is_reduction_exempt();
        if self.below_minimum(lots, draft.limit, is_exempt)?.is_some() {
            return Ok(Depth::Short(short));
        }
        Ok(Depth::Clipped(lots))
    }

    /// Records a draft: the order in flight and its depth. Reserving comes last, so that a row
    /// that overflows has reserved nothing.
    fn commit(&mut self, draft: &Draft) -> Exact<LegOutcome> {
        let targets = self.targets()?;
        let is_full_close = !draft.is_opening && self.is_full_close(draft.qty);
        let qty = Qty(narrow(draft.qty)?);
        let wanted_qty = Qty(narrow(draft.wanted_qty)?);
        let order = narrow(mul(draft.qty, draft.direction)?)?;
        let slot = self.slot;
        self.lane
            .sides
            .get_mut(slot)
            .launch(order, targets.wanted, draft.is_opening)?;
        let market = &mut *self.market;
        let estimate = market
            .walk(draft.side, qty, draft.limit)
            .filter(|_| draft.has_book);
        let depth_token = match estimate {
            Some(_) => market.take(draft.side, qty, draft.limit),
            None => None,
        };
        Ok(LegOutcome::Order(OrderPlan {
            row: self.row_index,
            leg: self.index,
            position_side: self.position_side(),
            side: draft.side,
            qty,
            limit_px: draft.limit,
            is_opening: draft.is_opening,
            is_full_close,
            targets,
            wanted_qty,
            clip_reason: draft.clip,
            reference_kind: draft.bound.reference.kind,
            reference_px: draft.bound.reference.px,
            bound_ppm: draft.bound.ppm,
            book_sequence: self.market.sequence().filter(|_| draft.has_book),
            expected_px: estimate.and_then(|estimate| estimate.vwap_px),
            depth_token,
        }))
    }
}

fn side_of(direction: i128) -> Side {
    if direction > 0 { Side::Buy } else { Side::Sell }
}

fn breach_reason(bound: &Bound) -> SkipReason {
    match bound.reference.kind {
        ReferenceKind::LeaderPx => SkipReason::DeviationBreach,
        _ => SkipReason::SlippageBreach,
    }
}
