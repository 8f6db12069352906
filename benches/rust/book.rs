//! Costs of the book: parsing, applying a delta, walking, and a cohort's takes.

#![allow(
    clippy::expect_used,
    clippy::ignored_unit_patterns,
    missing_docs,
    reason = "a broken expectation ends the run; operands are small"
)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use slipstream_kernel::book::{Book, BookStamp, BookView, DeltaSpan, DepthReservation, Level};
use slipstream_kernel::fixed::{Px, Qty, format_fixed, parse_fixed};
use slipstream_kernel::side::Side;

const TICK: i64 = 10_000_000;
const BEST_ASK: i64 = 600 * 1_000 * TICK;

fn asks(count: i64) -> Vec<Level> {
    (0..count)
        .map(|at| Level::new(Px(BEST_ASK + at * TICK), Qty(1_000_000 + at)))
        .collect()
}

fn view(count: i64) -> BookView {
    BookView::from_levels(&[], &asks(count), BookStamp::default()).expect("a sorted book")
}

fn bench_parse(criterion: &mut Criterion) {
    criterion.bench_function("parse_fixed", |bencher| {
        bencher.iter(|| parse_fixed(black_box("61234.50000000")));
    });
}

fn bench_walk(criterion: &mut Criterion) {
    let view = view(50);
    criterion.bench_function("walk_50_levels", |bencher| {
        bencher.iter(|| view.walk(Side::Buy, black_box(Qty(i64::MAX)), None));
    });
}

fn bench_cohort(criterion: &mut Criterion) {
    let view = view(50);
    criterion.bench_function("take_500_on_50_levels", |bencher| {
        bencher.iter(|| {
            let mut reservation = DepthReservation::new(view.clone());
            for row in 0..500 {
                let limit = Px(BEST_ASK + (row % 50) * TICK);
                black_box(reservation.take(Side::Buy, Qty(90_000), limit));
            }
            reservation
        });
    });
}

fn bench_apply(criterion: &mut Criterion) {
    let texts: Vec<(String, String)> = asks(20)
        .iter()
        .map(|level| (format_fixed(level.px.0), format_fixed(level.qty.0)))
        .collect();
    let levels: Vec<(&str, &str)> = texts
        .iter()
        .map(|(px, qty)| (px.as_str(), qty.as_str()))
        .collect();
    let mut book = Book::new(1_000).expect("a depth");
    book.load_levels(&[], &asks(1_000), BookStamp::default())
        .expect("a sorted book");
    let mut sequence = 0;
    criterion.bench_function("apply_20_levels_and_view", |bencher| {
        bencher.iter(|| {
            sequence += 1;
            let span = DeltaSpan {
                first_sequence: sequence,
                sequence,
                previous_sequence: Some(sequence - 1),
            };
            book.apply(&[], &levels, span, 0, 0)
                .expect("the next delta");
            book.view()
        });
    });
}

criterion_group!(book, bench_parse, bench_walk, bench_cohort, bench_apply);
criterion_main!(book);
