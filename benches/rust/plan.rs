//! Cost of planning a cohort of 500 on a 50-level book, without the boundary.

#![allow(
    clippy::expect_used,
    clippy::ignored_unit_patterns,
    missing_docs,
    reason = "a broken expectation ends the run; operands are small"
)]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use slipstream_kernel::book::{BookStamp, BookView, DepthReservation, Level};
use slipstream_kernel::fixed::{Px, Qty, Quote};
use slipstream_kernel::rules::{InstrumentRules, RulesInput};
use slipstream_kernel::sizing::bounds::Band;
use slipstream_kernel::sizing::event::LeaderEvent;
use slipstream_kernel::sizing::exact::TARGET_SCALE;
use slipstream_kernel::sizing::lane::Slot;
use slipstream_kernel::sizing::limits::{AccountState, FollowerLimits};
use slipstream_kernel::sizing::market::CohortIntent;
use slipstream_kernel::sizing::plan::{Request, plan_cohort};
use slipstream_kernel::sizing::rule::{RuleSettings, SizingMode, SizingRule};
use slipstream_kernel::sizing::table::{FollowerTable, Row};

const ONE: i64 = 100_000_000;
const TICK: i64 = 10_000_000;
const MID: i64 = 649_000 * TICK;

fn view() -> BookView {
    let level = |px: i64| Level::new(Px(px), Qty(123_400_000));
    let bids: Vec<Level> = (1..=50).map(|at| level(MID - at * TICK)).collect();
    let asks: Vec<Level> = (1..=50).map(|at| level(MID + at * TICK)).collect();
    BookView::from_levels(&bids, &asks, BookStamp::default()).expect("a sorted book")
}

fn intent() -> CohortIntent {
    let rules = InstrumentRules::new(&RulesInput {
        px_step: Px(TICK),
        qty_step: Qty(100_000),
        qty_min: Qty(100_000),
        qty_max: None,
        notional_min: Quote(5 * ONE),
        px_digits_max: None,
        is_reduction_exempt: true,
    });
    CohortIntent {
        symbol: 0,
        rules: rules.expect("valid rules"),
        event: LeaderEvent {
            before: 0,
            after: 10 * TARGET_SCALE,
            px: Px(MID),
            margin: Some(Quote(1_000_000 * ONE)),
            initial_margin: None,
        },
        track: Slot::First,
        created_ns: 0,
        arrival_px: Some(Px(MID)),
        mid_px: None,
        mark_px: None,
        band: Band::default(),
        gates: 0,
        rotation: 0,
        exit_since_ns: None,
    }
}

fn table() -> FollowerTable {
    let settings = RuleSettings {
        allocation: Some(10_000 * ONE),
        ..RuleSettings::of(SizingMode::Margin)
    };
    let rule = SizingRule::try_from(settings).expect("a whole rule");
    let mut row = Row::new(rule, FollowerLimits::of(3_000, 10_000, 30_000, 5_000));
    row.limits.leverage_max = Some(5);
    row.limits.notional_max = Some(100_000 * ONE);
    row.account = Some(AccountState {
        equity: Quote(20_000 * ONE),
        free_margin: Quote(15_000 * ONE),
        day_pnl: Quote(0),
        drawdown_ppm: 0,
        ts_ns: 0,
    });
    let mut table = FollowerTable::default();
    for _ in 0..500 {
        table.add(row.clone());
    }
    table
}

fn bench_plan(criterion: &mut Criterion) {
    let (intent, view, table) = (intent(), view(), table());
    let request = Request {
        now_ns: 1,
        rows: None,
        leg: None,
        is_reductions_only: false,
    };
    criterion.bench_function("plan_500_followers_50_levels", |bencher| {
        bencher.iter_batched(
            || (table.clone(), DepthReservation::new(view.clone())),
            |(mut table, mut depth)| {
                let depth = Some(&mut depth);
                let plan = plan_cohort(&intent, &mut table, Some(&view), depth, &request);
                assert_eq!(plan.expect("known rows").orders.len(), 500);
                table
            },
            BatchSize::LargeInput,
        );
    });
}

criterion_group!(plan, bench_plan);
criterion_main!(plan);
