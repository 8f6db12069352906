"""Planning a cohort in one call, result objects included: 500 followers on a 50-level book.

The target is 0.5 ms for the call (issue: figures). Run with
``python -m pytest benches/python/test_bench_plan.py --benchmark-enable``.
"""

from typing import Final

from pytest_benchmark.fixture import BenchmarkFixture

from slipstream._core import (
    SCALE,
    TARGET_SCALE,
    Book,
    BookView,
    CohortIntent,
    CohortPlan,
    DepthReservation,
    FollowerLimits,
    FollowerTable,
    InstrumentRules,
    SizingMode,
    SizingRule,
    plan_cohort,
)

FOLLOWERS: Final = 500
LEVELS: Final = 50
MID_TICKS: Final = 649_000
RULES: Final = InstrumentRules(
    px_step=SCALE // 10, qty_step=SCALE // 1000, qty_min=SCALE // 1000, notional_min=5 * SCALE
)


def _view() -> BookView:
    book = Book()
    book.load(
        [(f"{(MID_TICKS - place) / 10:.1f}", "1.234") for place in range(1, LEVELS + 1)],
        [(f"{(MID_TICKS + place) / 10:.1f}", "1.234") for place in range(1, LEVELS + 1)],
        sequence=1,
        ts_ns=0,
    )
    view = book.view()
    assert view is not None
    return view


def _table(sizing: SizingRule) -> FollowerTable:
    table = FollowerTable()
    limits = FollowerLimits(
        entry_ppm=3_000,
        exit_ppm=10_000,
        emergency_ppm=30_000,
        deviation_ppm=5_000,
        leverage_max=5,
        order_notional_max=50_000 * SCALE,
        notional_max=100_000 * SCALE,
    )
    for row in range(FOLLOWERS):
        assert table.add(sizing=sizing, limits=limits) == row
        table.set_account(row, equity=20_000 * SCALE, free_margin=15_000 * SCALE, ts_ns=0)
    return table


def _intent(before: int, after: int) -> CohortIntent:
    return CohortIntent(
        symbol_index=0,
        rules=RULES,
        leader_before=before,
        leader_after=after,
        leader_px=MID_TICKS * SCALE // 10,
        created_ns=0,
        leader_margin=1_000_000 * SCALE,
        arrival_px=MID_TICKS * SCALE // 10,
    )


def _open(
    intent: CohortIntent, table: FollowerTable, view: BookView, depth: DepthReservation
) -> CohortPlan:
    plan = plan_cohort(intent, table, view, depth, now_ns=1)
    plan.orders  # noqa: B018  the list of results is part of the call's cost
    return plan


def test_bench_plan_open_500_followers(benchmark: BenchmarkFixture) -> None:
    view = _view()
    rule = SizingRule(mode=SizingMode.MARGIN, allocation=10_000 * SCALE)
    intent = _intent(0, 10 * TARGET_SCALE)

    def prepare() -> tuple[tuple[object, ...], dict[str, object]]:
        return (intent, _table(rule), view, DepthReservation(view)), {}

    plan = benchmark.pedantic(  # type: ignore[no-untyped-call]
        _open, setup=prepare, rounds=200, iterations=1
    )
    assert len(plan.orders) == FOLLOWERS


def test_bench_plan_close_500_followers(benchmark: BenchmarkFixture) -> None:
    view = _view()
    rule = SizingRule(mode=SizingMode.MARGIN, allocation=10_000 * SCALE)
    intent = _intent(10 * TARGET_SCALE, 0)

    def prepare() -> tuple[tuple[object, ...], dict[str, object]]:
        table = _table(rule)
        opened = plan_cohort(_intent(0, 10 * TARGET_SCALE), table, view, None, now_ns=1)
        for order in opened.orders:
            table.settle(order.row, 0, order.position_side, filled_qty=order.qty, is_opening=True)
        return (intent, table, view, DepthReservation(view)), {}

    plan = benchmark.pedantic(  # type: ignore[no-untyped-call]
        _open, setup=prepare, rounds=200, iterations=1
    )
    assert len(plan.orders) == FOLLOWERS


def test_bench_plan_one_follower(benchmark: BenchmarkFixture) -> None:
    view = _view()
    table = FollowerTable()
    limits = FollowerLimits(
        entry_ppm=3_000, exit_ppm=10_000, emergency_ppm=30_000, deviation_ppm=5_000
    )
    table.add(sizing=SizingRule(mode=SizingMode.RATIO, ratio=SCALE // 100), limits=limits)
    table.set_account(0, equity=20_000 * SCALE, free_margin=15_000 * SCALE, ts_ns=0)
    depth = DepthReservation(view)
    intent = _intent(0, TARGET_SCALE)

    def plan_and_withdraw() -> None:
        order = plan_cohort(intent, table, view, depth, now_ns=1).orders[0]
        table.settle(0, 0, order.position_side, filled_qty=0, is_opening=True)
        assert order.depth_token is not None
        depth.give_back(order.depth_token)

    benchmark(plan_and_withdraw)
