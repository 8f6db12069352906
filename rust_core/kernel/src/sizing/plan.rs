//! Planning a cohort: one leader event, or lanes that became free, for many followers at once.
//!
//! Total: a row whose numbers do not fit ends in OVERFLOW with its lane as it was, and changes
//! nothing for the others. Each row ends, per leg, in one order, one skip or as waiting.

use core::mem;

use crate::book::{BookView, DepthReservation};
use crate::fixed::Qty;
use crate::reason::SkipReason;
use crate::side::PositionSide;
use crate::sizing::event::{Applied, EventKind, Refusal};
use crate::sizing::exact::{DUST, Exact, abs, mul};
use crate::sizing::lane::{Lane, Slot};
use crate::sizing::leg::{Leg, LegOutcome};
use crate::sizing::market::{CohortIntent, Market};
use crate::sizing::movement::{Movement, movement, opening_lots};
use crate::sizing::outcome::{CohortPlan, OrderPlan, Skip, Targets};
use crate::sizing::table::{FollowerTable, Row, TableError};

/// What is to be planned.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Now, on the monotonic clock.
    pub now_ns: i64,
    /// `None`: apply the event and plan all rows; else plan these as their targets stand.
    pub rows: Option<&'a [usize]>,
    /// 1: the opening leg of a flip.
    pub leg: Option<u8>,
    /// Plan no opening (a lane that ended without a leader event).
    pub is_reductions_only: bool,
}

/// What one row came to.
#[derive(Default)]
struct RowOutcome {
    order: Option<OrderPlan>,
    first_skip: Option<Skip>,
    second_skip: Option<Skip>,
    is_pending: bool,
    is_waiting: bool,
}

impl RowOutcome {
    fn push(&mut self, outcome: LegOutcome) {
        match outcome {
            LegOutcome::Order(order) => self.order = Some(order),
            LegOutcome::Skip(skip) if self.first_skip.is_none() => self.first_skip = Some(skip),
            LegOutcome::Skip(skip) => self.second_skip = Some(skip),
        }
    }
}

/// Plans a cohort and updates the table: targets, and quantities in flight.
///
/// # Errors
/// [`TableError::UnknownRow`]: a row of the request is not in the table; nothing is changed.
pub fn plan_cohort(
    intent: &CohortIntent,
    table: &mut FollowerTable,
    view: Option<&BookView>,
    reservation: Option<&mut DepthReservation>,
    request: &Request<'_>,
) -> Result<CohortPlan, TableError> {
    let count = request.rows.map_or(table.len(), <[usize]>::len);
    for row in request.rows.unwrap_or_default() {
        table.row(*row)?;
    }
    table.note_reference(intent.symbol, intent.arrival_px.unwrap_or(intent.event.px));
    let mark = table.mark(intent.symbol);
    let mut market = Market::new(intent, view, reservation, mark, request.now_ns);
    let mut plan = CohortPlan::default();
    plan.orders.reserve(count);
    let start = u64::try_from(count)
        .ok()
        .and_then(|count| intent.rotation.checked_rem(count))
        .and_then(|start| usize::try_from(start).ok())
        .unwrap_or(0);
    for place in (start..count).chain(0..start) {
        let index = match request.rows {
            Some(rows) => rows.get(place).copied().unwrap_or_default(),
            None => place,
        };
        let row = table.row(index)?;
        let before = row.lane(intent.symbol);
        let mut planner = RowPlanner {
            market: &mut market,
            table,
            row,
            row_index: index,
            request,
            lane: before,
            outcome: RowOutcome::default(),
        };
        let result = planner.plan();
        let (lane, outcome) = (planner.lane, planner.outcome);
        if result.is_err() {
            if let Some(token) = outcome.order.and_then(|order| order.depth_token) {
                market.give_back(token);
            }
            plan.skips.push(overflow(index, row, &before, intent));
            continue;
        }
        if lane != before {
            table.set_lane(index, intent.symbol, &lane)?;
        }
        record(&mut plan, index, &outcome);
    }
    Ok(plan)
}

fn record(plan: &mut CohortPlan, index: usize, outcome: &RowOutcome) {
    plan.orders.extend(outcome.order);
    plan.skips.extend(outcome.first_skip);
    plan.skips.extend(outcome.second_skip);
    if outcome.is_pending {
        plan.pending_open_rows.push(index);
    }
    if outcome.is_waiting {
        plan.waiting_rows.push(index);
    }
}

fn overflow(index: usize, row: &Row, lane: &Lane, intent: &CohortIntent) -> Skip {
    let track = lane.tracks.get(intent.track);
    Skip {
        row: index,
        leg: 0,
        position_side: if row.is_hedge {
            PositionSide::Long
        } else {
            PositionSide::Net
        },
        reason: SkipReason::Overflow,
        observed: None,
        limit: None,
        is_opening: intent.event.kind() == EventKind::Growth,
        is_delayed: false,
        wanted_qty: Qty(0),
        targets: Targets {
            exact: track.exact,
            wanted: track.wanted,
            mirrored: track.mirrored,
            position: lane.sides.first.position,
        },
    }
}

/// One row while it is planned.
struct RowPlanner<'a, 'm> {
    market: &'a mut Market<'m>,
    table: &'a FollowerTable,
    row: &'a Row,
    row_index: usize,
    request: &'a Request<'a>,
    lane: Lane,
    outcome: RowOutcome,
}

impl<'m> RowPlanner<'_, 'm> {
    fn leg(&mut self, slot: Slot, index: u8, is_held: bool) -> Leg<'_, 'm> {
        Leg {
            market: self.market,
            table: self.table,
            row: self.row,
            row_index: self.row_index,
            lane: &mut self.lane,
            slot,
            index,
            is_held,
        }
    }

    fn push_skip(
        &mut self,
        slot: Slot,
        index: u8,
        reason: SkipReason,
        is_opening: bool,
    ) -> Exact<()> {
        let leg = self.leg(slot, index, false);
        let outcome = leg.skip(Refusal::plain(reason), 0, is_opening, false)?;
        self.outcome.push(outcome);
        Ok(())
    }

    fn plan(&mut self) -> Exact<()> {
        if self.request.rows.is_some() {
            return self.replan();
        }
        match self.market.intent.event.kind() {
            EventKind::Same => self.push_skip(Slot::First, 0, SkipReason::NoChange, false),
            EventKind::Flip => self.flip(),
            EventKind::Growth => self.grow(),
            EventKind::Reduction => self.reduce(),
        }
    }

    fn apply(&mut self) -> Exact<Applied> {
        let intent = self.market.intent;
        let equity = self.row.account.map(|account| account.equity);
        self.lane
            .tracks
            .get_mut(intent.track)
            .apply(&intent.event, &self.row.rule, equity)
    }

    /// Returns the side that holds what mirrors a leader position of this sign.
    fn slot_of(&self, leader: i128) -> Exact<Slot> {
        let is_short = mul(leader.signum(), self.row.rule.sign())? < 0;
        Ok(if self.row.is_hedge && is_short {
            Slot::Second
        } else {
            Slot::First
        })
    }

    fn event_direction(&self) -> Exact<Option<i128>> {
        let direction = self.market.intent.event.direction();
        mul(direction, self.row.rule.sign()).map(Some)
    }

    fn grow(&mut self) -> Exact<()> {
        let applied = self.apply()?;
        let slot = self.slot_of(self.market.intent.event.after)?;
        let direction = self.event_direction()?;
        self.move_side(slot, 0, direction, applied)
    }

    fn reduce(&mut self) -> Exact<()> {
        let slot = self.slot_of(self.market.intent.event.before)?;
        let side = self.lane.sides.get(slot);
        let is_idle = side.position.0 == 0 && side.in_flight.0 == 0 && side.unknown.0 == 0;
        if is_idle && self.lane.tracks.get(self.market.intent.track).is_empty() {
            return self.push_skip(slot, 0, SkipReason::NotMirrored, false);
        }
        let applied = self.apply()?;
        let direction = self.event_direction()?;
        self.move_side(slot, 0, direction, applied)
    }

    fn flip(&mut self) -> Exact<()> {
        let applied = self.apply()?;
        let event = self.market.intent.event;
        let (close, open) = (self.slot_of(event.before)?, self.slot_of(event.after)?);
        let direction = self.event_direction()?;
        if self.is_close_done(close)? {
            self.push_skip(close, 0, SkipReason::NoChange, false)?;
            return self.move_side(open, 1, direction, applied);
        }
        self.move_side(close, 0, direction, Applied::default())?;
        let opening = self.lane.wanted(self.row.is_hedge, open)?;
        let is_wanted = mul(opening, direction.unwrap_or_default())? > DUST;
        self.outcome.is_pending = applied.refusal.is_none() && is_wanted;
        if let Some(refusal) = applied.refusal {
            let outcome = self.leg(open, 1, false).refused(refusal)?;
            self.outcome.push(outcome);
        } else if !is_wanted {
            self.push_skip(open, 1, SkipReason::NoChange, true)?;
        }
        Ok(())
    }

    /// Returns whether nothing is left to close before the opening leg of a flip.
    fn is_close_done(&self, close: Slot) -> Exact<bool> {
        let side = self.lane.sides.get(close);
        if side.in_flight.0 != 0 {
            return Ok(false);
        }
        let wanted = self.lane.wanted(self.row.is_hedge, close)?;
        Ok(matches!(
            movement(wanted, side)?,
            Movement::None | Movement::Open { .. }
        ))
    }

    /// Moves one side toward its wanted target. `direction`: the only sign an order may have
    /// after a leader event; `None` when targets stand.
    fn move_side(
        &mut self,
        slot: Slot,
        index: u8,
        direction: Option<i128>,
        applied: Applied,
    ) -> Exact<()> {
        if let Some(refusal) = applied.refusal {
            let outcome = self.leg(slot, index, false).refused(refusal)?;
            self.outcome.push(outcome);
            return Ok(());
        }
        let side = *self.lane.sides.get(slot);
        if side.in_flight.0 != 0 {
            // The opening leg of a flip waits as pending, whichever order it waits for.
            self.outcome.is_pending |= index == 1;
            self.outcome.is_waiting = index != 1;
            return Ok(());
        }
        let wanted = self.lane.wanted(self.row.is_hedge, slot)?;
        let step = movement(wanted, &side)?;
        let is_against = |sign: i128| direction.is_some_and(|direction| direction != sign);
        let is_reductions_only = self.request.is_reductions_only;
        let mut leg = self.leg(slot, index, applied.is_held);
        let against = Refusal::plain(SkipReason::Direction);
        let still = Refusal::plain(SkipReason::NoChange);
        let outcome = match step {
            Movement::None if applied.is_held => leg.skip(against, 0, true, false)?,
            Movement::None => leg.skip(still, 0, false, false)?,
            Movement::Open {
                direction: sign,
                amount,
            } if is_against(sign) => match leg.below_lot(amount)? {
                Some(below) => leg.skip(below, mul(amount, sign)?, false, false)?,
                None => leg.skip(against, mul(amount, sign)?, true, false)?,
            },
            Movement::Open {
                direction: sign,
                amount,
            } if is_reductions_only => leg.skip(still, mul(amount, sign)?, true, false)?,
            Movement::Open {
                direction: sign,
                amount,
            } => leg.open(sign, amount)?,
            Movement::Reduce {
                direction: sign,
                amount,
                ..
            } if is_against(sign) => leg.skip(against, mul(amount, sign)?, false, true)?,
            Movement::Reduce {
                direction: sign,
                amount,
                held,
                is_crossing,
            } => {
                let outcome = leg.reduce(sign, amount, held)?;
                self.outcome.is_pending |= is_crossing;
                outcome
            }
            Movement::Unsure { may_reduce } => {
                let refusal = Refusal::plain(SkipReason::UnknownPending);
                leg.skip(refusal, 0, !may_reduce, may_reduce)?
            }
        };
        self.outcome.push(outcome);
        Ok(())
    }

    fn replan(&mut self) -> Exact<()> {
        if self.request.leg == Some(1) {
            return self.replan_opening();
        }
        if !self.row.is_hedge {
            return self.move_side(Slot::First, 0, None, Applied::default());
        }
        // A leg tells of one side, reductions first: the other is left as it was, and an opening
        // there becomes the leg after this one.
        let before = self.lane;
        let [first, second] = self.hedge_order()?;
        self.move_side(first, 0, None, Applied::default())?;
        if self.outcome.order.is_some() || self.lane != before {
            return self.follow_with(second);
        }
        let ahead = mem::take(&mut self.outcome);
        self.move_side(second, 0, None, Applied::default())?;
        if self.outcome.order.is_some() {
            return Ok(());
        }
        let is_delayed = ahead.first_skip.is_some_and(|skip| skip.is_delayed);
        if ahead.is_waiting || self.outcome.is_waiting {
            self.lane = before;
            self.outcome = RowOutcome {
                is_waiting: true,
                ..RowOutcome::default()
            };
        } else if is_delayed {
            self.lane = before;
            self.outcome = ahead;
            return self.follow_with(second);
        } else if self.lane == before && !self.tells_more_than(&ahead) {
            self.outcome = ahead;
        }
        Ok(())
    }

    /// Returns whether this pass has more to say than an earlier side that changed nothing.
    fn tells_more_than(&self, ahead: &RowOutcome) -> bool {
        let is_still = |skip: Skip| skip.reason == SkipReason::NoChange;
        let is_delayed = self.outcome.first_skip.is_some_and(|skip| skip.is_delayed);
        is_delayed || ahead.first_skip.is_none_or(is_still)
    }

    /// Lets an opening of a lot or more on a side that was not told of wait behind this leg.
    fn follow_with(&mut self, slot: Slot) -> Exact<()> {
        let side = self.lane.sides.get(slot);
        if side.in_flight.0 == 0 {
            self.outcome.is_pending |= self.opening_lots(slot)? > 0;
        }
        Ok(())
    }

    /// Returns the signed change that opens a side, behind its close where that comes first.
    fn opening_change(&self, slot: Slot) -> Exact<i128> {
        let wanted = self.lane.wanted(self.row.is_hedge, slot)?;
        match movement(wanted, self.lane.sides.get(slot))? {
            Movement::Open { direction, amount } => mul(direction, amount),
            Movement::Reduce {
                is_crossing: true, ..
            } => Ok(wanted),
            _ => Ok(0),
        }
    }

    fn opening_lots(&self, slot: Slot) -> Exact<i128> {
        let step = self.market.intent.rules.qty_step().0;
        opening_lots(abs(self.opening_change(slot)?)?, step)
    }

    fn hedge_order(&self) -> Exact<[Slot; 2]> {
        let wanted = self.lane.wanted(true, Slot::Second)?;
        let step = movement(wanted, self.lane.sides.get(Slot::Second))?;
        let is_second_first = matches!(step, Movement::Reduce { .. });
        let first = if is_second_first {
            Slot::Second
        } else {
            Slot::First
        };
        Ok([first, first.other()])
    }

    /// Plans the opening leg of a flip once the close is done; until then it stays pending
    /// unless a gate ends it.
    fn replan_opening(&mut self) -> Exact<()> {
        let (mut open, mut open_lots, mut is_blocked) = (Slot::First, 0, false);
        let slots: &[Slot] = if self.row.is_hedge {
            &[Slot::First, Slot::Second]
        } else {
            &[Slot::First]
        };
        for slot in slots {
            let wanted = self.lane.wanted(self.row.is_hedge, *slot)?;
            match movement(wanted, self.lane.sides.get(*slot))? {
                Movement::Reduce { is_crossing, .. } if self.row.is_hedge || is_crossing => {
                    is_blocked |= is_crossing || wanted == 0;
                }
                // Next to what rounding left on the other side.
                Movement::Open { .. } if self.opening_lots(*slot)? >= open_lots => {
                    (open, open_lots) = (*slot, self.opening_lots(*slot)?);
                }
                _ => {}
            }
        }
        if !is_blocked {
            return self.move_side(open, 1, None, Applied::default());
        }
        let change = self.opening_change(open)?;
        let gated = self.leg(open, 1, false).gated_open(change)?;
        match gated {
            Some(outcome) => self.outcome.push(outcome),
            None => self.outcome.is_pending = true,
        }
        Ok(())
    }
}
