//! Caps of an opening order, counted with orders in flight, then the margin it needs.

use crate::fixed::Px;
use crate::reason::SkipReason;
use crate::rounding::Rounding;
use crate::sizing::event::Refusal;
use crate::sizing::exact::{
    Exact, FIXED_SCALE, Overflow, PPM, add, floor_to, mul, notional_up, scale, sub,
};
use crate::sizing::lane::{Lane, LaneSide, Slot};
use crate::sizing::rule::{Allocation, OnLimit};
use crate::sizing::table::{FollowerTable, Row};

/// An opening order as the caps see it.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// The table, for the prices of other symbols.
    pub table: &'a FollowerTable,
    /// The follower.
    pub row: &'a Row,
    /// The symbol to be opened.
    pub symbol: u32,
    /// Its lane after the event.
    pub lane: &'a Lane,
    /// The side to be opened.
    pub slot: Slot,
    /// The price that values the symbol.
    pub px: Px,
    /// The lot.
    pub qty_step: i64,
}

/// What the caps left of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capped {
    /// This quantity, and why it is less than asked.
    Fits {
        /// Raw quantity, a multiple of the lot when it was clipped.
        qty: i128,
        /// The cap that clipped it last.
        clip: Option<SkipReason>,
    },
    /// Nothing, with the numbers compared.
    Breach(Refusal),
}

/// One notional cap: `base` is counted already, `limit` holds for the sum.
struct Cap {
    reason: SkipReason,
    base: i128,
    limit: i128,
}

/// Lowers an opening order of `qty` to what the follower's caps and free margin allow.
///
/// # Errors
/// [`Overflow`]: a value does not fit.
pub fn capped(candidate: &Candidate<'_>, qty: i128) -> Exact<Capped> {
    let px = candidate.px.0;
    let mut left = qty;
    let mut clip = None;
    for cap in candidate.notional_caps()?.into_iter().flatten() {
        let order = notional_up(left, px)?;
        let observed = add(cap.base, order)?;
        if observed <= cap.limit {
            continue;
        }
        left = candidate.fitting(sub(cap.limit, cap.base)?)?.min(left);
        clip = Some(cap.reason);
        if candidate.row.rule.on_cap == OnLimit::Skip || left <= 0 {
            return Ok(Capped::Breach(Refusal::compared(
                cap.reason, observed, cap.limit,
            )));
        }
    }
    if let Some(refusal) = candidate.hard_stop()? {
        return Ok(Capped::Breach(refusal));
    }
    candidate.margined(left, clip)
}

impl Candidate<'_> {
    /// Returns the largest multiple of the lot whose notional is within `room`.
    fn fitting(&self, room: i128) -> Exact<i128> {
        if room <= 0 {
            return Ok(0);
        }
        let qty = scale(room, FIXED_SCALE, i128::from(self.px.0), Rounding::Floor)?;
        floor_to(qty, i128::from(self.qty_step))
    }

    fn notional_caps(&self) -> Exact<[Option<Cap>; 4]> {
        let limits = &self.row.limits;
        let side = self.lane.sides.get(self.slot).exposure();
        let other = self.lane.sides.get(self.slot.other()).exposure();
        let px = self.px.0;
        let leverage = match limits.leverage_max {
            Some(leverage) => Some(Cap {
                reason: SkipReason::LeverageCap,
                base: notional_up(side, px)?,
                limit: mul(self.allocation()?, i128::from(leverage))?,
            }),
            None => None,
        };
        let order = limits.order_notional_max.map(|limit| Cap {
            reason: SkipReason::OrderCap,
            base: 0,
            limit: i128::from(limit),
        });
        let symbol_base = notional_up(add(side, other)?, px)?;
        let symbol = limits.symbol_notional_max.map(|limit| Cap {
            reason: SkipReason::SymbolCap,
            base: symbol_base,
            limit: i128::from(limit),
        });
        let total = match limits.notional_max {
            Some(limit) => Some(Cap {
                reason: SkipReason::NotionalCap,
                base: add(symbol_base, self.other_symbols(i128::from(limit))?)?,
                limit: i128::from(limit),
            }),
            None => None,
        };
        Ok([leverage, order, symbol, total])
    }

    /// Returns the base of the leverage cap: the allocation, or the equity without one.
    fn allocation(&self) -> Exact<i128> {
        let equity = self
            .row
            .account
            .map_or(0, |account| i128::from(account.equity.0));
        match self.row.rule.allocation {
            Some(Allocation::Amount(amount)) => Ok(i128::from(amount.0)),
            Some(Allocation::EquityPpm(ppm)) => {
                scale(equity, i128::from(ppm), PPM, Rounding::Floor)
            }
            None => Ok(equity),
        }
    }

    /// Returns the notional of all other symbols. One that no price is known for counts as the
    /// whole limit and a step: what cannot be valued is not assumed to be small.
    fn other_symbols(&self, limit: i128) -> Exact<i128> {
        let mut sum = 0;
        for (symbol, lane) in self
            .row
            .lanes()
            .filter(|(symbol, _)| *symbol != self.symbol)
        {
            let qty = held(lane)?;
            let notional = match self.table.value_px(*symbol) {
                _ if qty == 0 => 0,
                Some(px) => notional_up(qty, px.0)?,
                None => add(limit, 1)?,
            };
            sum = add(sum, notional)?;
        }
        Ok(sum)
    }

    fn hard_stop(&self) -> Exact<Option<Refusal>> {
        let limits = &self.row.limits;
        if let Some(limit) = limits.position_count_max.filter(|_| self.is_new_symbol()) {
            let count = add(self.symbol_count()?, 1)?;
            if count > i128::from(limit) {
                let reason = SkipReason::PositionCountCap;
                return Ok(Some(Refusal::compared(reason, count, i128::from(limit))));
            }
        }
        let Some(account) = self.row.account else {
            return Ok(None);
        };
        let loss = sub(0, i128::from(account.day_pnl.0))?;
        if let Some(limit) = limits
            .daily_loss_max
            .filter(|limit| loss >= i128::from(*limit))
        {
            let limit = i128::from(limit);
            return Ok(Some(Refusal::compared(SkipReason::DailyLoss, loss, limit)));
        }
        let drawdown = account.drawdown_ppm;
        if let Some(limit) = limits.drawdown_ppm_max.filter(|limit| drawdown >= *limit) {
            let (drawdown, limit) = (i128::from(drawdown), i128::from(limit));
            return Ok(Some(Refusal::compared(
                SkipReason::Drawdown,
                drawdown,
                limit,
            )));
        }
        Ok(None)
    }

    fn is_new_symbol(&self) -> bool {
        held(self.lane) == Ok(0)
    }

    fn symbol_count(&self) -> Exact<i128> {
        let mut count = 0;
        for (symbol, lane) in self.row.lanes() {
            if *symbol != self.symbol && held(lane)? != 0 {
                count = add(count, 1)?;
            }
        }
        Ok(count)
    }

    fn margined(&self, qty: i128, clip: Option<SkipReason>) -> Exact<Capped> {
        let Some(account) = self.row.account else {
            return Ok(Capped::Fits { qty, clip });
        };
        let free = sub(i128::from(account.free_margin.0), self.margin_in_flight()?)?;
        let leverage = leverage_of(self.lane);
        let needed = over(notional_up(qty, self.px.0)?, leverage)?;
        if needed <= free {
            return Ok(Capped::Fits { qty, clip });
        }
        let fitting = self.fitting(mul(free.max(0), leverage)?)?.min(qty);
        if self.row.rule.on_cap == OnLimit::Skip || fitting <= 0 {
            let reason = SkipReason::MarginBreach;
            return Ok(Capped::Breach(Refusal::compared(reason, needed, free)));
        }
        Ok(Capped::Fits {
            qty: fitting,
            clip: Some(SkipReason::MarginBreach),
        })
    }

    /// Returns the margin that openings in flight may still take.
    fn margin_in_flight(&self) -> Exact<i128> {
        let mut sum = 0;
        for (symbol, lane) in self.row.lanes() {
            for slot in [Slot::First, Slot::Second] {
                let qty = opening_in_flight(lane.sides.get(slot));
                if qty != 0 {
                    let px = if *symbol == self.symbol {
                        Some(self.px)
                    } else {
                        None
                    };
                    let px = px
                        .or_else(|| self.table.value_px(*symbol))
                        .ok_or(Overflow)?;
                    sum = add(sum, over(notional_up(qty, px.0)?, leverage_of(lane))?)?;
                }
            }
        }
        Ok(sum)
    }
}

fn held(lane: &Lane) -> Exact<i128> {
    add(lane.sides.first.exposure(), lane.sides.second.exposure())
}

fn opening_in_flight(side: &LaneSide) -> i128 {
    let position = i128::from(side.position.0);
    side.exposure().saturating_sub(position.saturating_abs())
}

fn leverage_of(lane: &Lane) -> i128 {
    lane.leverage
        .map_or(1, |leverage| i128::from(leverage).max(1))
}

fn over(notional: i128, leverage: i128) -> Exact<i128> {
    scale(notional, 1, leverage, Rounding::Ceil)
}
