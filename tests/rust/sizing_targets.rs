//! Targets of a track and orders of a lane, for any numbers.

#![allow(
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    clippy::integer_division,
    reason = "a broken expectation ends the run; operands are small"
)]

use proptest::prelude::*;
use slipstream_kernel::fixed::{Px, Qty, Quote};
use slipstream_kernel::sizing::event::{EventKind, LeaderEvent, Track};
use slipstream_kernel::sizing::exact::{DUST, TARGET_PER_QTY, TARGET_SCALE};
use slipstream_kernel::sizing::lane::{Lane, LaneSide, OrderEnd, Slot};
use slipstream_kernel::sizing::lane_text;
use slipstream_kernel::sizing::movement::{Movement, movement, opening_lots, reduction_lots};
use slipstream_kernel::sizing::rule::{RuleSettings, SizingMode, SizingRule};

const MODES: [SizingMode; 4] = [
    SizingMode::Margin,
    SizingMode::Position,
    SizingMode::Ratio,
    SizingMode::Notional,
];

fn rule(mode: SizingMode, amount: i64, is_reverse: bool) -> SizingRule {
    let settings = RuleSettings {
        ratio: Some(amount),
        allocation: Some(amount),
        notional: Some(amount),
        is_reverse,
        ..RuleSettings::of(mode)
    };
    SizingRule::try_from(settings).expect("a whole rule")
}

fn event(before: i128, after: i128) -> LeaderEvent {
    LeaderEvent {
        before,
        after,
        px: Px(10_000_000_000),
        margin: Some(Quote(300_000_000_000)),
        initial_margin: Some(Quote(1_000_000_000)),
    }
}

fn modes() -> impl Strategy<Value = SizingMode> {
    (0_usize..4).prop_map(|index| *MODES.get(index).expect("one of four"))
}

proptest! {
    #[test]
    fn a_reduction_scales_every_target_by_one_fraction(
        mode in modes(),
        amount in 1_i64..1_000_000_000_000,
        opened in 1_i128..1_000_000,
        percent in 0_i128..100,
        is_reverse: bool,
    ) {
        let rule = rule(mode, amount, is_reverse);
        let opened = opened * TARGET_SCALE / 1_000;
        let mut track = Track::default();
        track.apply(&event(0, opened), &rule, Some(Quote(amount))).expect("fits");
        let (exact, wanted) = (track.exact, track.wanted);
        let after = opened * percent / 100;
        track.apply(&event(opened, after), &rule, Some(Quote(1))).expect("fits");
        prop_assert_eq!(track.mirrored, after);
        // `opened` is a multiple of 100, so the fraction is exactly this percentage.
        prop_assert_eq!(track.exact, exact * percent / 100);
        prop_assert_eq!(track.exact, track.wanted);
        prop_assert_eq!(exact, wanted);
        prop_assert!(percent > 0 || track == Track::default());
    }

    #[test]
    fn an_event_never_moves_targets_against_the_leader(
        mode in modes(),
        amounts in proptest::collection::vec(1_i64..1_000_000_000_000, 12),
        walk in proptest::collection::vec(-500_i128..500, 1..12),
        is_reverse: bool,
    ) {
        let rule = rule(mode, 1_000_000_000, is_reverse);
        let (mut track, mut before) = (Track::default(), 0);
        for (position, equity) in walk.into_iter().zip(amounts) {
            let after = position * TARGET_SCALE / 1_000;
            let step = event(before, after);
            let old = track;
            track.apply(&step, &rule, Some(Quote(equity))).expect("fits");
            let moved = (track.exact - old.exact).signum();
            let allowed = step.direction() * rule.sign();
            prop_assert!(moved == 0 || moved == allowed, "{old:?} -> {track:?}");
            prop_assert!(track.wanted.abs() <= track.exact.abs());
            if step.kind() == EventKind::Reduction {
                prop_assert!(track.exact.abs() <= old.exact.abs());
            }
            before = after;
        }
    }

    #[test]
    fn any_event_on_any_track_is_applied_or_refused_as_a_whole(
        mode in modes(),
        numbers: [i128; 6],
        raw: [i64; 5],
        is_reverse: bool,
    ) {
        let rule = rule(mode, raw[0].saturating_abs().max(1), is_reverse);
        let old = Track {
            mirrored: numbers[0],
            exact: numbers[1],
            wanted: numbers[2],
            peak: numbers[3],
            frozen_margin: Quote(raw[1]),
        };
        let step = LeaderEvent {
            before: numbers[4],
            after: numbers[5],
            px: Px(raw[2]),
            margin: Some(Quote(raw[3])),
            initial_margin: None,
        };
        let mut track = old;
        if let Ok(applied) = track.apply(&step, &rule, Some(Quote(raw[4]))) {
            let is_growth = step.kind() == EventKind::Growth;
            prop_assert!(!(is_growth && applied.refusal.is_some()) || track == old);
        }
    }

    #[test]
    fn a_movement_brings_the_position_within_a_lot_of_what_is_wanted(
        wanted in -1_000_000_i128..1_000_000,
        position in -1_000_i64..1_000,
        step in 1_i64..50,
    ) {
        let position = position * step;
        let side = LaneSide::new(Qty(position), Qty(0), Qty(0), Qty(0));
        let wanted = wanted * TARGET_PER_QTY / 37;
        let lot = i128::from(step) * TARGET_PER_QTY;
        let held = i128::from(position) * TARGET_PER_QTY;
        match movement(wanted, &side).expect("fits") {
            Movement::None => prop_assert!((wanted - held).abs() <= DUST),
            Movement::Open { direction, amount } => {
                let lots = opening_lots(amount, step).expect("fits");
                let reached = held + direction * lots * TARGET_PER_QTY;
                prop_assert!(reached.abs() <= wanted.abs() + DUST);
                prop_assert!((wanted - reached).abs() < lot);
            }
            Movement::Reduce { direction, amount, held: most, is_crossing } => {
                let lots = reduction_lots(amount, most, step).expect("fits");
                let reached = held + direction * lots * TARGET_PER_QTY;
                prop_assert!(reached * held.signum() >= 0);
                if is_crossing {
                    prop_assert_eq!(reached, 0);
                } else {
                    prop_assert!(reached.abs() <= wanted.abs() + DUST);
                    prop_assert!((wanted - reached).abs() < lot);
                }
            }
            Movement::Unsure { .. } => prop_assert!(false, "nothing is unknown here"),
        }
    }

    #[test]
    fn an_ended_opening_leaves_what_was_built_and_less_than_a_lot_wanted(
        wanted in 1_i128..1_000_000,
        lots in 0_i64..1_000,
        percent in 0_i64..=100,
        later in -1_000_000_i128..1_000_000,
    ) {
        let mut lane = Lane::default();
        lane.tracks.first.wanted = wanted * TARGET_PER_QTY;
        let order = lots.min(i64::try_from(wanted).expect("small"));
        lane.sides.first.launch(order, lane.tracks.first.wanted, true).expect("fits");
        let left = lane.tracks.first.wanted - i128::from(order) * TARGET_PER_QTY;
        // While it is out the leader moves on.
        let moved = (wanted + later).max(0) * TARGET_PER_QTY;
        let newer = (moved - lane.tracks.first.wanted).max(0);
        lane.tracks.first.wanted = moved;
        let filled = order * percent / 100;
        let end = OrderEnd { filled: Qty(filled), is_opening: true, is_rest_kept: false };
        lane.settle(false, Slot::First, end).expect("fits");
        let built = i128::from(filled) * TARGET_PER_QTY;
        prop_assert_eq!(lane.sides.first.position, Qty(filled));
        prop_assert_eq!(lane.sides.first.in_flight, Qty(0));
        prop_assert_eq!(lane.tracks.first.wanted, moved.min(built + left + newer));
    }

    #[test]
    fn a_lane_survives_its_text(numbers: [i128; 8], raw: [i64; 8]) {
        let mut lane = Lane::default();
        lane.tracks.first = Track {
            mirrored: numbers[0],
            exact: numbers[1],
            wanted: numbers[2],
            peak: numbers[3],
            frozen_margin: Quote(raw[0]),
        };
        lane.tracks.second.wanted = numbers[4];
        lane.sides.first = LaneSide::new(Qty(raw[1]), Qty(raw[2]), Qty(raw[3]), Qty(0));
        lane.sides.second = LaneSide::new(Qty(raw[4]), Qty(raw[5]), Qty(raw[6]), Qty(0));
        prop_assert_eq!(lane_text::decode(&lane_text::encode(&lane)), Ok(lane));
    }

    #[test]
    fn no_text_makes_the_reader_fail_otherwise_than_by_saying_so(text in "[-0-9,]{0,60}") {
        if let Ok(lane) = lane_text::decode(&text) {
            prop_assert_eq!(lane_text::decode(&lane_text::encode(&lane)), Ok(lane));
        }
    }
}
