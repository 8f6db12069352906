//! The book against a naive dict of levels, and its walks against a list of single units.

#![allow(
    clippy::expect_used,
    clippy::integer_division,
    reason = "a broken expectation ends the run; operands are small"
)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use slipstream_kernel::book::{Book, BookError, BookStamp, BookView, DeltaSpan, Level};
use slipstream_kernel::fixed::{Px, Qty, format_fixed};
use slipstream_kernel::side::Side;

type Change = (i64, i64);

fn texts(levels: &[Change]) -> Vec<(String, String)> {
    levels
        .iter()
        .map(|(px, qty)| (format_fixed(*px), format_fixed(*qty)))
        .collect()
}

fn borrowed(levels: &[(String, String)]) -> Vec<(&str, &str)> {
    levels
        .iter()
        .map(|(px, qty)| (px.as_str(), qty.as_str()))
        .collect()
}

fn pairs(levels: &[Level]) -> Vec<Change> {
    levels
        .iter()
        .map(|level| (level.px.0, level.qty.0))
        .collect()
}

fn half(low: i64, high: i64) -> impl Strategy<Value = BTreeMap<i64, i64>> {
    proptest::collection::btree_map(low..high, 0_i64..20, 0..12)
}

fn set(levels: &mut BTreeMap<i64, i64>, changes: &BTreeMap<i64, i64>) {
    for (px, qty) in changes {
        levels.insert(*px, *qty);
    }
    levels.retain(|_, qty| *qty > 0);
}

fn view_of(bids: &BTreeMap<i64, i64>, asks: &BTreeMap<i64, i64>) -> BookView {
    let level = |(px, qty): (&i64, &i64)| Level::new(Px(*px), Qty(*qty));
    let bids: Vec<Level> = bids.iter().rev().map(level).collect();
    let asks: Vec<Level> = asks.iter().map(level).collect();
    BookView::from_levels(&bids, &asks, BookStamp::default()).expect("a sorted book")
}

proptest! {
    #[test]
    fn deltas_agree_with_a_dict_of_levels(
        bids in half(1, 60),
        asks in half(40, 100),
        deltas in proptest::collection::vec((half(1, 60), half(40, 100)), 0..8),
    ) {
        let (mut bid_model, mut ask_model) = (BTreeMap::new(), BTreeMap::new());
        set(&mut bid_model, &bids);
        set(&mut ask_model, &asks);
        let mut book = Book::new(1000).expect("a depth");
        let best_first: Vec<Change> = bids.iter().rev().map(|(px, qty)| (*px, *qty)).collect();
        let bid_texts = texts(&best_first);
        let ask_texts = texts(&asks.into_iter().collect::<Vec<_>>());
        let stamp = BookStamp { sequence: 10, ts_ns: 0, venue_ts_ms: 0 };
        let loaded = book.load(&borrowed(&bid_texts), &borrowed(&ask_texts), stamp);
        let is_crossed = |bids: &BTreeMap<i64, i64>, asks: &BTreeMap<i64, i64>| {
            match (bids.last_key_value(), asks.first_key_value()) {
                (Some((bid, _)), Some((ask, _))) => bid >= ask,
                _ => false,
            }
        };
        prop_assert_eq!(loaded.is_err(), is_crossed(&bid_model, &ask_model));
        let mut is_lost = loaded.is_err();
        for (sequence, (bids, asks)) in (11..).zip(deltas) {
            set(&mut bid_model, &bids);
            set(&mut ask_model, &asks);
            let bid_texts = texts(&bids.into_iter().collect::<Vec<_>>());
            let ask_texts = texts(&asks.into_iter().collect::<Vec<_>>());
            let span = DeltaSpan {
                first_sequence: sequence,
                sequence,
                previous_sequence: Some(sequence - 1),
            };
            let applied = book.apply(&borrowed(&bid_texts), &borrowed(&ask_texts), span, 0, 0);
            is_lost = is_lost || is_crossed(&bid_model, &ask_model);
            prop_assert_eq!(applied.is_err(), is_lost);
            let Some(view) = book.view() else {
                prop_assert!(is_lost);
                continue;
            };
            let bid_pairs: Vec<Change> = bid_model.clone().into_iter().rev().collect();
            let ask_pairs: Vec<Change> = ask_model.clone().into_iter().collect();
            prop_assert_eq!(pairs(view.levels(Side::Sell)), bid_pairs);
            prop_assert_eq!(pairs(view.levels(Side::Buy)), ask_pairs);
        }
    }

    #[test]
    fn a_walk_takes_the_best_units(
        bids in proptest::collection::btree_map(1_i64..50, 1_i64..20, 0..10),
        asks in proptest::collection::btree_map(50_i64..99, 1_i64..20, 0..10),
        qty in 1_i64..200,
        limit in proptest::option::of(1_i64..99),
        is_buy in any::<bool>(),
    ) {
        let view = view_of(&bids, &asks);
        let side = if is_buy { Side::Buy } else { Side::Sell };
        let found = view.walk(side, Qty(qty), limit.map(Px));
        let mut units: Vec<i64> = Vec::new();
        let levels = if is_buy { asks } else { bids.into_iter().collect() };
        for (px, level_qty) in levels {
            let is_inside = limit.is_none_or(|limit| if is_buy { px <= limit } else { px >= limit });
            if is_inside {
                units.extend(std::iter::repeat_n(px, usize::try_from(level_qty).expect("small")));
            }
        }
        units.sort_unstable_by_key(|px| if is_buy { *px } else { -*px });
        units.truncate(usize::try_from(qty).expect("small"));
        let filled = i64::try_from(units.len()).expect("small");
        prop_assert_eq!(found.filled_qty.0, filled);
        prop_assert_eq!(found.unfilled_qty.0, qty - filled);
        prop_assert_eq!(found.worst_px, units.last().copied().map(Px));
        let sum: i64 = units.iter().sum();
        let vwap = (filled > 0).then(|| {
            if is_buy { (sum + filled - 1).div_euclid(filled) } else { sum.div_euclid(filled) }
        });
        prop_assert_eq!(found.vwap_px.map(|px| px.0), vwap);
        if let (Some(best), Some(vwap), Some(worst)) = (units.first(), vwap, units.last()) {
            let sign = side.sign();
            prop_assert!(best * sign <= vwap * sign && vwap * sign <= worst * sign);
            let ppm = found.slippage_ppm(Px(50)).expect("something filled");
            let exact = sign * (sum - 50 * filled) * 1_000_000;
            prop_assert!((ppm - 1) * 50 * filled < exact && exact <= ppm * 50 * filled);
        }
    }
}

#[test]
fn depth_whose_notional_does_not_fit_is_not_there() {
    let ask = Level::new(Px(i64::MAX), Qty(i64::MAX));
    let view = BookView::from_levels(&[], &[ask], BookStamp::default()).expect("a book");
    let found = view.walk(Side::Buy, Qty(i64::MAX), None);
    assert_eq!(
        (found.filled_qty, found.unfilled_qty),
        (Qty(0), Qty(i64::MAX))
    );
    assert_eq!(found.slippage_ppm(Px(1)), Err(BookError::NothingFilled));
}
