//! Shared depth against a naive model that moves one level at a time.

#![allow(
    clippy::expect_used,
    clippy::integer_division,
    reason = "a broken expectation ends the run; operands are small"
)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use slipstream_kernel::book::{BookStamp, BookView, DepthReservation, Level};
use slipstream_kernel::fixed::{Px, Qty};
use slipstream_kernel::side::Side;

const NO_LIMIT_BUY: i64 = i64::MAX;

#[derive(Debug, Clone)]
enum Step {
    Take {
        is_buy: bool,
        qty: i64,
        limit: i64,
    },
    GiveBack {
        pick: usize,
    },
    Settle {
        pick: usize,
        filled_percent: i64,
        age_ms: i64,
    },
    Foreign {
        is_buy: bool,
        qty: i64,
        age_ms: i64,
    },
    Refresh {
        bids: BTreeMap<i64, i64>,
        asks: BTreeMap<i64, i64>,
        later_ms: i64,
    },
}

fn bids() -> impl Strategy<Value = BTreeMap<i64, i64>> {
    proptest::collection::btree_map(1_i64..20, 1_i64..15, 0..8)
}

fn asks() -> impl Strategy<Value = BTreeMap<i64, i64>> {
    proptest::collection::btree_map(20_i64..40, 1_i64..15, 0..8)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<bool>(), 0_i64..25, 1_i64..40)
            .prop_map(|(is_buy, qty, limit)| Step::Take { is_buy, qty, limit }),
        1 => any::<usize>().prop_map(|pick| Step::GiveBack { pick }),
        2 => (any::<usize>(), 0_i64..=100, -3_i64..4).prop_map(|(pick, filled_percent, age_ms)| {
            Step::Settle { pick, filled_percent, age_ms }
        }),
        1 => (any::<bool>(), 0_i64..20, -3_i64..4)
            .prop_map(|(is_buy, qty, age_ms)| Step::Foreign { is_buy, qty, age_ms }),
        2 => (bids(), asks(), -2_i64..4)
            .prop_map(|(bids, asks, later_ms)| Step::Refresh { bids, asks, later_ms }),
    ]
}

fn view(bids: &BTreeMap<i64, i64>, asks: &BTreeMap<i64, i64>, venue_ts_ms: i64) -> BookView {
    let level = |(px, qty): (&i64, &i64)| Level::new(Px(*px), Qty(*qty));
    let bids: Vec<Level> = bids.iter().rev().map(level).collect();
    let asks: Vec<Level> = asks.iter().map(level).collect();
    let stamp = BookStamp {
        sequence: u64::try_from(venue_ts_ms).expect("venue time is positive"),
        ts_ns: 0,
        venue_ts_ms,
    };
    BookView::from_levels(&bids, &asks, stamp).expect("a sorted book")
}

/// One thing that is subtracted: `release_ms` is the fill's time, `None` while it is pending.
#[derive(Debug, Clone, Copy)]
struct Held {
    is_buy: bool,
    limit: i64,
    qty: i64,
    release_ms: Option<i64>,
}

struct Model {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
    venue_ts_ms: i64,
    held: BTreeMap<u64, Held>,
    next_fill: u64,
}

impl Model {
    /// Returns what is left, best first, after each holder ate level by level, tightest first.
    fn left(&self, is_buy: bool) -> Vec<(i64, i64)> {
        let mut levels: Vec<(i64, i64)> = if is_buy {
            self.asks.clone().into_iter().collect()
        } else {
            self.bids.clone().into_iter().rev().collect()
        };
        let mut holders: Vec<&Held> = self
            .held
            .values()
            .filter(|held| held.is_buy == is_buy)
            .collect();
        holders.sort_by_key(|held| if is_buy { held.limit } else { -held.limit });
        for holder in holders {
            let mut open = holder.qty;
            for (px, qty) in &mut levels {
                if is_inside(is_buy, *px, holder.limit) {
                    let eaten = open.min(*qty);
                    *qty -= eaten;
                    open -= eaten;
                }
            }
        }
        levels.retain(|(_, qty)| *qty > 0);
        levels
    }

    fn take(&mut self, token: u64, is_buy: bool, qty: i64, limit: i64) -> i64 {
        let left = self.left(is_buy).into_iter();
        let there: i64 = left
            .filter(|(px, _)| is_inside(is_buy, *px, limit))
            .map(|(_, qty)| qty)
            .sum();
        let qty = qty.min(there);
        self.held.insert(
            token,
            Held {
                is_buy,
                limit,
                qty,
                release_ms: None,
            },
        );
        qty
    }

    fn hold_fill(&mut self, is_buy: bool, limit: i64, qty: i64, fill_ms: i64) {
        if self.venue_ts_ms <= fill_ms {
            self.next_fill += 1;
            let held = Held {
                is_buy,
                limit,
                qty,
                release_ms: Some(fill_ms),
            };
            self.held.insert(self.next_fill, held);
        }
    }
}

fn is_inside(is_buy: bool, px: i64, limit: i64) -> bool {
    if is_buy { px <= limit } else { px >= limit }
}

fn side(is_buy: bool) -> Side {
    if is_buy { Side::Buy } else { Side::Sell }
}

fn left(reservation: &DepthReservation, is_buy: bool) -> Vec<(i64, i64)> {
    reservation
        .remaining(side(is_buy))
        .map(|level| (level.px.0, level.qty.0))
        .collect()
}

fn play(model: &mut Model, reservation: &mut DepthReservation, open: &mut Vec<u64>, step: Step) {
    let picked = |open: &mut Vec<u64>, pick: usize| {
        (!open.is_empty()).then(|| open.swap_remove(pick % open.len()))
    };
    match step {
        Step::Take { is_buy, qty, limit } => {
            let token = reservation.take(side(is_buy), Qty(qty), Px(limit));
            let expected = model.take(token, is_buy, qty, limit);
            assert_eq!(reservation.taken_qty(token), Ok(Qty(expected)));
            open.push(token);
        }
        Step::GiveBack { pick } => {
            let Some(token) = picked(open, pick) else {
                return;
            };
            reservation.give_back(token).expect("an open token");
            model.held.remove(&token);
            assert!(reservation.give_back(token).is_err());
        }
        Step::Settle {
            pick,
            filled_percent,
            age_ms,
        } => {
            let Some(token) = picked(open, pick) else {
                return;
            };
            let held = model.held.remove(&token).expect("held by the model");
            let filled = held.qty * filled_percent / 100;
            let fill_ms = model.venue_ts_ms - age_ms;
            reservation
                .settle(token, Qty(filled), fill_ms)
                .expect("an open token");
            model.hold_fill(held.is_buy, held.limit, filled, fill_ms);
            assert!(reservation.taken_qty(token).is_err());
        }
        Step::Foreign {
            is_buy,
            qty,
            age_ms,
        } => {
            let fill_ms = model.venue_ts_ms - age_ms;
            reservation.take_foreign(side(is_buy), Qty(qty), fill_ms);
            model.hold_fill(is_buy, if is_buy { NO_LIMIT_BUY } else { 0 }, qty, fill_ms);
        }
        Step::Refresh {
            bids,
            asks,
            later_ms,
        } => {
            let venue_ts_ms = model.venue_ts_ms + later_ms;
            reservation.refresh(view(&bids, &asks, venue_ts_ms));
            if later_ms >= 0 {
                model.bids = bids;
                model.asks = asks;
                model.venue_ts_ms = venue_ts_ms;
                model
                    .held
                    .retain(|_, held| held.release_ms.is_none_or(|fill_ms| venue_ts_ms <= fill_ms));
            }
        }
    }
}

proptest! {
    #[test]
    fn it_agrees_with_eating_level_by_level(
        bids in bids(),
        asks in asks(),
        steps in proptest::collection::vec(step(), 0..40),
    ) {
        let mut reservation = DepthReservation::new(view(&bids, &asks, 1_000));
        let mut model = Model {
            bids, asks, venue_ts_ms: 1_000, held: BTreeMap::new(), next_fill: 1 << 40,
        };
        let mut open = Vec::new();
        for step in steps {
            play(&mut model, &mut reservation, &mut open, step);
            prop_assert_eq!(left(&reservation, true), model.left(true));
            prop_assert_eq!(left(&reservation, false), model.left(false));
            let held: i64 = model.held.values().map(|held| held.qty).sum();
            prop_assert_eq!(reservation.outstanding_qty(), i128::from(held));
        }
    }

    #[test]
    fn takes_inside_any_limit_never_exceed_the_depth_inside_it(
        asks in asks(),
        takes in proptest::collection::vec((0_i64..25, 20_i64..40), 0..30),
        limit in 20_i64..40,
    ) {
        let view = view(&BTreeMap::new(), &asks, 1);
        let depth = view.depth_to(Side::Buy, Px(limit));
        let mut reservation = DepthReservation::new(view);
        let mut inside = 0;
        for (qty, take_limit) in takes {
            let expected = reservation.walk(Side::Buy, Qty(qty), Some(Px(take_limit)));
            let token = reservation.take(Side::Buy, Qty(qty), Px(take_limit));
            let taken = reservation.taken_qty(token).expect("an open token");
            prop_assert_eq!(taken, expected.filled_qty);
            if take_limit <= limit {
                inside += taken.0;
            }
        }
        prop_assert!(inside <= depth.0);
    }
}
