"""Planning a cohort: gates, caps, bounds, shared depth, and the isolation of rows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort_factory import (
    FREE_RULES,
    LOT,
    MILLI,
    PX,
    TICK,
    Cohort,
    book,
    filled,
    limits,
    ratio,
    reasons,
    row_results,
    rule,
    units,
)
from slipstream._core import (
    SCALE,
    TARGET_SCALE,
    BelowMinimum,
    Book,
    CohortIntent,
    CohortPlan,
    InstrumentRules,
    LaneState,
    Missed,
    OnLimit,
    OrderPlan,
    PositionSide,
    ReferenceKind,
    Side,
    SizingMode,
    SizingRule,
    SkipReason,
    format_fixed,
)

# --- results per row -----------------------------------------------------------------------


@given(
    st.lists(st.integers(-9_000, 9_000), min_size=1, max_size=8),
    st.lists(st.integers(1, 4_000_000), min_size=1, max_size=6),
    st.lists(st.booleans(), min_size=48, max_size=48),
)
def test_every_row_gets_exactly_one_result_per_leg(
    walk: list[int], factors: list[int], is_filled: list[bool]
) -> None:
    cohort = Cohort()
    for place, factor in enumerate(factors):
        cohort.add(ratio(factor), is_hedge=place % 2 == 1)
    answers = iter(is_filled)
    for after in walk:
        plan = cohort.move(after * MILLI)
        results = row_results(plan)
        assert set(results.values()) == {1}
        assert {row for row, leg in results if leg == 0} == set(range(len(factors)))
        for order in plan.orders:
            if next(answers):
                cohort.settle(order, order.qty)


def test_a_lane_with_an_order_in_flight_waits_with_its_new_target() -> None:
    cohort = Cohort()
    cohort.add(ratio(1_000_000))
    order = cohort.move(units(1)).orders[0]
    plan = cohort.move(units(3))
    assert (plan.orders, plan.skips, plan.waiting_rows) == ([], [], [0])
    cohort.settle(order, order.qty)
    again = cohort.again([0])
    assert [order.qty for order in again.orders] == [2 * SCALE]


def test_what_the_leader_added_meanwhile_outlives_an_unfilled_order() -> None:
    cohort = Cohort()
    cohort.add(ratio(1_000_000))
    order = cohort.move(units(1)).orders[0]
    cohort.move(units(3))
    cohort.settle(order, 0)
    assert [order.qty for order in cohort.again([0]).orders] == [2 * SCALE]


def test_a_reduction_that_came_meanwhile_bounds_what_was_filled() -> None:
    cohort = Cohort()
    cohort.add(ratio(1_000_000))
    order = cohort.move(units(4)).orders[0]
    cohort.move(units(2))
    lane = cohort.settle(order, 3 * SCALE)
    assert lane.wanted_target[0] == units(2)
    again = cohort.again([0], reductions_only=True)
    assert [(order.side, order.qty) for order in again.orders] == [(Side.SELL, SCALE)]


def test_a_replan_for_reductions_opens_nothing_and_gives_nothing_up() -> None:
    cohort = Cohort()
    cohort.add(rule(missed=Missed.CATCH_UP))
    cohort.settle(cohort.move(units(2)).orders[0], SCALE)
    plan = cohort.again([0], reductions_only=True)
    assert reasons(plan.skips) == ["NO_CHANGE"]
    assert plan.skips[0].wanted_qty == SCALE
    assert cohort.wanted() == units(2)


def test_an_event_never_moves_a_follower_the_other_way() -> None:
    cohort = Cohort()
    cohort.add(rule(missed=Missed.CATCH_UP))
    cohort.settle(cohort.move(units(4)).orders[0], SCALE)
    plan = cohort.move(units(2))
    assert reasons(plan.skips) == ["DIRECTION"]
    assert cohort.wanted() == units(2)


def test_a_reduction_within_what_rounding_left_is_below_a_lot() -> None:
    cohort = Cohort()
    cohort.add(ratio(1_000_000))
    cohort.fill(cohort.move(10 * MILLI + MILLI // 2))
    skip = cohort.move(10 * MILLI + MILLI // 4).skips[0]
    assert (skip.reason.code, skip.observed, skip.limit) == ("BELOW_LOT", LOT // 4, LOT)
    assert (skip.is_opening, skip.wanted_qty) == (False, LOT // 4)


def test_a_lane_that_mirrors_nothing_says_so() -> None:
    cohort = Cohort()
    cohort.add(ratio(1_000_000))
    cohort.leader[0] = units(5)
    assert reasons(cohort.move(units(3)).skips) == ["NOT_MIRRORED"]


# --- flips ---------------------------------------------------------------------------------


def test_a_flip_closes_then_opens() -> None:
    cohort = filled(_with(rule()))
    plan = cohort.move(units(-2))
    assert [(o.leg, o.side, o.qty, o.is_full_close) for o in plan.orders] == [
        (0, Side.SELL, 3 * SCALE, True)
    ]
    assert plan.pending_open_rows == [0]
    early = cohort.again([0], leg=1)
    assert (early.orders, early.skips, early.waiting_rows) == ([], [], [])
    assert early.pending_open_rows == [0]
    cohort.settle(plan.orders[0], plan.orders[0].qty)
    opened = cohort.again([0], leg=1).orders
    assert [(o.leg, o.side, o.qty, o.is_opening) for o in opened] == [
        (1, Side.SELL, 2 * SCALE, True)
    ]


def test_a_flip_without_a_position_opens_at_once() -> None:
    cohort = Cohort()
    cohort.add(ratio(1_000_000))
    cohort.leader[0] = units(4)
    plan = cohort.move(units(-1))
    assert [(skip.leg, skip.reason) for skip in plan.skips] == [(0, SkipReason.NO_CHANGE)]
    assert [(order.leg, order.qty) for order in plan.orders] == [(1, SCALE)]


def test_a_flip_back_onto_a_busy_side_waits_as_a_pending_opening() -> None:
    cohort = Cohort()
    cohort.add(ratio(1_000_000), is_hedge=True)
    order = cohort.move(units(2)).orders[0]
    assert cohort.move(units(-1)).waiting_rows == [0]
    plan = cohort.move(units(3))
    assert [(skip.leg, skip.reason) for skip in plan.skips] == [(0, SkipReason.NO_CHANGE)]
    assert (plan.orders, plan.waiting_rows, plan.pending_open_rows) == ([], [], [0])
    cohort.settle(order, order.qty)
    assert [(o.leg, o.qty) for o in cohort.again([0], leg=1).orders] == [(1, SCALE)]


def test_a_lane_that_waits_gives_nothing_up_and_one_that_gives_up_says_so() -> None:
    cohort = Cohort()
    cohort.add(ratio(1_000_000), is_hedge=True)
    cohort.fill(cohort.move(units(2)))
    reduction = cohort.move(units(1)).orders[0]
    cohort.move(units(-1))
    cohort.now_ns = 10**10  # the opening on the other side is too old by now
    plan = cohort.again([0])
    assert (plan.orders, plan.skips, plan.waiting_rows) == ([], [], [0])
    assert sum(cohort.table.lane(0, 0).wanted_target) == units(-1)
    cohort.settle(reduction, reduction.qty)
    rest = cohort.again([0]).orders
    assert [(order.side, order.qty) for order in rest] == [(Side.SELL, SCALE)]
    cohort.settle(rest[0], rest[0].qty)
    plan = cohort.again([0])
    assert [(s.reason, s.is_opening, s.wanted_qty) for s in plan.skips] == [
        (SkipReason.STALE_INTENT, True, -SCALE)
    ]
    assert sum(cohort.table.lane(0, 0).wanted_target) == 0


def _two_tracks(*, long: int, short: int) -> Cohort:
    """Return a hedging follower of a hedging leader, filled on both sides."""
    cohort = Cohort()
    cohort.add(ratio(1_000_000), is_hedge=True)
    if long:
        cohort.fill(cohort.move(units(long)))
    if short:
        cohort.fill(cohort.move(units(short), track=1))
    return cohort


def test_an_opening_beside_the_other_sides_exit_is_the_leg_after_it() -> None:
    cohort = _two_tracks(long=1, short=-2)
    waiting = cohort.move(units(-1), track=1).orders[0]
    cohort.move(units(-3) // 4, track=1)
    opened = cohort.move(units(2)).orders[0]
    cohort.move(units(3))
    cohort.settle(opened, opened.qty)
    cohort.settle(waiting, waiting.qty)
    plan = cohort.again([0])
    assert [(o.leg, o.is_opening, o.qty) for o in plan.orders] == [(0, False, SCALE // 4)]
    assert plan.pending_open_rows == [0]
    cohort.settle(plan.orders[0], plan.orders[0].qty)
    after = cohort.again([0], leg=1)
    assert [(o.leg, o.is_opening, o.qty) for o in after.orders] == [(1, True, SCALE)]


def test_two_openings_given_up_in_one_lane_are_both_told() -> None:
    cohort = _two_tracks(long=0, short=0)
    orders = [cohort.move(units(1)).orders[0], cohort.move(units(-1), track=1).orders[0]]
    cohort.move(units(2))
    cohort.move(units(-3), track=1)
    for order in orders:
        cohort.settle(order, order.qty)
    cohort.now_ns = 10**10  # both are too old by now
    plan = cohort.again([0])
    assert [(s.leg, s.wanted_qty) for s in plan.skips] == [(0, SCALE)]
    assert cohort.table.lane(0, 0).wanted_target == (units(1), units(-3))
    assert plan.pending_open_rows == [0]
    after = cohort.again([0], leg=1)
    assert [(s.leg, s.wanted_qty) for s in after.skips] == [(1, -2 * SCALE)]
    assert cohort.table.lane(0, 0).wanted_target == (units(1), units(-1))


def test_an_opening_behind_a_close_gives_up_only_what_its_side_does_not_hold() -> None:
    cohort = _two_tracks(long=2, short=-1)
    opened = cohort.move(units(-2), track=1).orders[0]
    cohort.move(units(-4), track=1)
    cohort.move(units(0))
    cohort.settle(opened, opened.qty)
    cohort.now_ns = 10**10
    plan = cohort.again([0], leg=1)
    assert [(s.leg, s.wanted_qty) for s in plan.skips] == [(1, -2 * SCALE)]
    assert sum(cohort.table.lane(0, 0).wanted_target) == units(-2)


def _gaps(cohort: Cohort) -> tuple[int, int]:
    lane = cohort.table.lane(0, 0)
    (first, second), (wanted, other) = lane.exact_target, lane.wanted_target
    return first - wanted, second - other


def _told(plan: CohortPlan) -> int:
    """Return what a pass may give up or raise by its own words, at 10**-18."""
    given_up = sum(abs(skip.wanted_qty) for skip in plan.skips if skip.is_opening)
    changed = [abs(o.wanted_qty - o.qty) + LOT for o in plan.orders if o.is_opening]
    return (given_up + sum(each for each in changed if each > LOT)) * (TARGET_SCALE // SCALE)


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["move", "move", "settle", "again", "again", "opening", "reduce"]),
        st.integers(0, 1),
        st.integers(-4_000, 4_000),
        st.booleans(),
    ),
    min_size=4,
    max_size=30,
)


@given(
    st.booleans(),
    st.booleans(),
    st.builds(
        rule,
        on_cap=st.sampled_from([OnLimit.SKIP, OnLimit.CLIP]),
        on_thin_book=st.sampled_from([OnLimit.SKIP, OnLimit.CLIP]),
        missed=st.sampled_from([Missed.GIVE_UP, Missed.CATCH_UP]),
        below_minimum=st.sampled_from([BelowMinimum.CARRY, BelowMinimum.SKIP, BelowMinimum.BUMP]),
    ),
    _STEPS,
)
def test_nothing_is_given_up_that_its_pass_does_not_tell_of(
    is_hedge: bool,  # noqa: FBT001
    is_two_tracks: bool,  # noqa: FBT001
    rule: SizingRule,
    steps: list[tuple[str, int, int, bool]],
) -> None:
    rules = InstrumentRules(px_step=TICK, qty_step=LOT, qty_min=10 * LOT)
    cohort = Cohort(rules, view=book(SCALE // 2), has_reservation=True)
    cohort.add(rule, limits(symbol_notional_max=250 * SCALE), is_hedge=is_hedge)
    out: list[OrderPlan] = []
    for kind, track, amount, is_late in steps:
        cohort.now_ns = 10**10 if is_late else 1
        before = _gaps(cohort)
        if kind == "move":
            is_short = is_two_tracks and track
            after = -abs(amount) if is_short else abs(amount) if is_two_tracks else amount
            plan = cohort.move(after * MILLI, track=1 if is_short else 0)
        elif kind == "settle":
            if out:
                order = out.pop(0)
                cohort.settle(order, order.qty // 2 if is_late else order.qty)
            continue
        else:
            leg = 1 if kind == "opening" else None
            plan = cohort.again([0], leg=leg, reductions_only=kind == "reduce")
        out += plan.orders
        changed = [abs(now - then) for now, then in zip(_gaps(cohort), before, strict=True)]
        if kind != "move":
            assert sum(changed) <= _told(plan), (plan.skips, plan.orders, plan.waiting_rows)
        assert max(row_results(plan).values(), default=1) == 1


def test_an_opening_leg_is_not_planned_before_its_close_is_done() -> None:
    cohort = filled(_with(rule()))
    close = cohort.move(units(-2)).orders[0]
    cohort.settle(close, SCALE)
    plan = cohort.again([0], leg=1)
    assert (plan.orders, plan.skips, plan.pending_open_rows) == ([], [], [0])
    cohort.now_ns = 10**10
    plan = cohort.again([0], leg=1)
    assert [(skip.leg, skip.reason) for skip in plan.skips] == [(1, SkipReason.STALE_INTENT)]
    rest = cohort.again([0], reductions_only=True).orders
    assert [(order.leg, order.qty) for order in rest] == [(0, 2 * SCALE)]
    cohort.settle(rest[0], rest[0].qty)
    assert cohort.wanted() == 0


# --- gates ---------------------------------------------------------------------------------


def _with(rule: SizingRule, count: int = 1, rules: InstrumentRules = FREE_RULES) -> Cohort:
    cohort = Cohort(rules)
    for _ in range(count):
        cohort.add(rule)
    return cohort


GATES = [
    reason
    for reason in SkipReason.__members__.values()
    if reason.value < SkipReason.BOOK_MISSING.value
]


@given(st.sets(st.sampled_from(GATES), min_size=1), st.booleans())
def test_the_first_gate_that_applies_is_recorded(gates: set[SkipReason], is_open: bool) -> None:  # noqa: FBT001
    cohort = filled(_with(rule()))
    parts = sorted(gates, key=lambda reason: reason.value)
    cohort.table.set_gates(0, sum(reason.mask for reason in parts[::3]))
    cohort.table.set_lane_gates(0, 0, sum(reason.mask for reason in parts[1::3]))
    made = cohort.intent(
        units(5 if is_open else 1), gates=sum(reason.mask for reason in parts[2::3])
    )
    plan = cohort.plan(made)
    stops = [
        reason
        for reason in parts
        if (reason.stops_open if is_open else reason.stops_reduction or reason.delays_reduction)
    ]
    assert [skip.reason for skip in plan.skips] == stops[:1]
    assert len(plan.orders) == (0 if stops else 1)
    if stops:
        skip = plan.skips[0]
        assert skip.is_opening is is_open
        assert skip.is_delayed is (not is_open and stops[0].delays_reduction)
        assert cohort.wanted() == units(3 if is_open else 1)


def test_computed_gates_carry_the_numbers_compared() -> None:
    cohort = _with(rule(), 3)
    cohort.now_ns = 6 * 10**9
    stale = cohort.move(units(1)).skips[0]
    assert (stale.reason, stale.observed, stale.limit) == (
        SkipReason.STALE_INTENT,
        6 * 10**9,
        5 * 10**9,
    )
    cohort = _with(rule(), 2)
    unknown = cohort.table.add(sizing=rule(), limits=limits())
    cohort.table.set_account(0, equity=1, free_margin=1, ts_ns=-400 * 10**9)
    cohort.table.set_foreign(1, 0, PositionSide.NET, -7)
    plan = cohort.move(units(1))
    assert reasons(plan.skips) == [
        "FOLLOWER_STATE_STALE",
        "FOREIGN_POSITION",
        "FOLLOWER_STATE_STALE",
    ]
    assert [skip.observed for skip in plan.skips] == [400 * 10**9 + 1, -7, None]
    assert plan.skips[2].row == unknown


def test_a_dedicated_mirror_opens_beside_foreign_quantity() -> None:
    cohort = Cohort()
    row = cohort.table.add(sizing=rule(), limits=limits(), is_dedicated=True)
    cohort.table.set_account(row, equity=1, free_margin=10**6 * SCALE, ts_ns=0)
    cohort.table.set_foreign(row, 0, PositionSide.NET, SCALE)
    assert len(cohort.move(units(1)).orders) == 1


@pytest.mark.parametrize("gate", [None, SkipReason.BOOK_GAPPED])
def test_without_a_usable_book_only_exits_go(gate: SkipReason | None) -> None:
    cohort = filled(_with(rule()))
    if gate is None:
        cohort.view = None
    mask = 0 if gate is None else gate.mask
    opening = cohort.plan(cohort.intent(units(4), gates=mask)).skips[0]
    assert opening.reason is (gate or SkipReason.BOOK_MISSING)
    close = cohort.plan(cohort.intent(0, gates=mask, before=units(4))).orders[0]
    assert close.reference_kind is ReferenceKind.LEADER_PX
    assert (close.depth_token, close.book_sequence, close.expected_px) == (None, None, None)
    assert close.limit_px == PX * 8 // 10


@pytest.mark.parametrize("has_asks", [False, True])
def test_without_a_mid_only_exits_go(has_asks: bool) -> None:  # noqa: FBT001
    level = [(format_fixed(PX), format_fixed(10**6 * SCALE))]
    half = Book()
    half.load([] if has_asks else level, level if has_asks else [], sequence=1, ts_ns=0)
    sign = 1 if has_asks else -1
    cohort = filled(_with(rule()), 3 * sign)
    cohort.view = half.view()
    opening = cohort.move(units(4 * sign))
    assert reasons(opening.skips) == ["BOOK_MISSING"]
    assert opening.orders == []
    assert cohort.wanted() == units(3 * sign)
    cohort = filled(_with(rule()), -3 * sign)
    cohort.view = half.view()
    close = cohort.move(0).orders[0]
    assert (close.reference_kind, close.reference_px) == (ReferenceKind.BEST, PX)


def test_an_exit_on_a_stale_book_takes_the_mark() -> None:
    cohort = filled(_with(rule()))
    cohort.table.set_mark(0, 2 * PX)
    cohort.now_ns = 3 * 10**9
    close = cohort.move(0).orders[0]
    assert (close.reference_kind, close.reference_px) == (ReferenceKind.MARK, 2 * PX)


# --- bounds --------------------------------------------------------------------------------


@given(
    st.integers(-30, 30),
    st.integers(0, 5_000),
    st.integers(0, 5_000),
    st.booleans(),
)
def test_a_limit_is_inside_both_bounds_of_an_opening(
    shift: int,
    entry: int,
    deviation: int,
    is_buy: bool,  # noqa: FBT001
) -> None:
    leader_px = PX + shift * TICK
    cohort = Cohort(view=book(10**4 * SCALE, level_count=40))
    cohort.add(rule(), limits(entry_ppm=entry, deviation_ppm=deviation))
    after = units(1 if is_buy else -1)
    plan = cohort.move(after, leader_px=leader_px)
    sign = 1 if is_buy else -1
    edges = [px * (10**6 + sign * ppm) for px, ppm in ((PX, entry), (leader_px, deviation))]
    best = (PX + sign * TICK) * 10**6
    for order in plan.orders:
        assert all(sign * order.limit_px * 10**6 <= sign * edge for edge in edges)
        assert order.limit_px % TICK == 0
        assert sign * best <= sign * order.limit_px * 10**6
        assert order.expected_px == PX + sign * TICK
        assert order.reference_kind in {ReferenceKind.ARRIVAL_MID, ReferenceKind.LEADER_PX}
    for skip in plan.skips:
        assert any(sign * best > sign * (edge - sign * TICK * 10**6) for edge in edges)
        is_leader = sign * edges[1] < sign * edges[0]
        assert skip.reason is (
            SkipReason.DEVIATION_BREACH if is_leader else SkipReason.SLIPPAGE_BREACH
        )
        assert skip.observed == PX + sign * TICK


def test_an_exit_takes_the_emergency_bound_once_it_waited() -> None:
    for since, ppm in ((None, 200_000), (0, 300_000)):
        cohort = filled(_with(rule()))
        cohort.view = book(10**6 * SCALE)
        cohort.now_ns = 1
        made = CohortIntent(
            symbol_index=0,
            rules=FREE_RULES,
            leader_before=units(3),
            leader_after=0,
            leader_px=PX,
            created_ns=0,
            exit_since_ns=None if since is None else -(10**10),
        )
        order = cohort.plan(made).orders[0]
        assert (order.bound_ppm, order.reference_kind) == (ppm, ReferenceKind.MID)
        assert order.limit_px == PX * (10**6 - ppm) // 10**6


def test_the_price_band_cuts_the_limit() -> None:
    cohort = _with(rule())
    made = CohortIntent(
        symbol_index=0,
        rules=FREE_RULES,
        leader_before=0,
        leader_after=units(1),
        leader_px=PX,
        created_ns=0,
        band_high_px=PX + 3 * TICK,
    )
    assert cohort.plan(made).orders[0].limit_px == PX + 3 * TICK


# --- shared depth --------------------------------------------------------------------------


@given(
    st.integers(1, 60),
    st.lists(st.integers(1, 30), min_size=1, max_size=12),
    st.booleans(),
    st.integers(0, 100),
    st.sampled_from([OnLimit.CLIP, OnLimit.SKIP]),
)
def test_a_cohort_never_takes_more_than_the_book_holds(
    lots: int,
    factors: list[int],
    is_buy: bool,  # noqa: FBT001
    rotation: int,
    on_thin_book: OnLimit,
) -> None:
    view = book(lots * LOT, level_count=4)
    cohort = Cohort(view=view, has_reservation=True)
    for factor in factors:
        rule = SizingRule(mode=SizingMode.RATIO, ratio=factor * SCALE, on_thin_book=on_thin_book)
        cohort.add(rule)
    after = MILLI if is_buy else -MILLI
    plan = cohort.move(after, rotation=rotation)
    assert sum(order.qty for order in plan.orders) <= 4 * lots * LOT
    left = 4 * lots
    first = rotation % len(factors)
    for row in [*range(first, len(factors)), *range(first)]:
        found = [order for order in plan.orders if order.row == row]
        clipped = min(left, factors[row])
        expected = factors[row] if left >= factors[row] else 0
        if on_thin_book is OnLimit.CLIP:
            expected = clipped
        assert sum(order.qty for order in found) == expected * LOT
        left -= expected
        for order in found:
            assert (order.clip_reason is SkipReason.DEPTH_SHORT) == (expected < factors[row])
    for skip in plan.skips:
        assert skip.reason is SkipReason.DEPTH_SHORT
        assert skip.limit == factors[skip.row] * LOT


@given(st.integers(0, 50), st.integers(1, 12))
def test_rotation_changes_who_is_first_but_not_the_totals(rotation: int, count: int) -> None:
    def orders(first: int) -> list[tuple[int, int]]:
        cohort = Cohort(view=book(100 * SCALE), has_reservation=True)
        for row in range(count):
            cohort.add(ratio(1_000_000 + row))
        plan = cohort.move(units(1), rotation=first)
        return [(order.row, order.qty) for order in plan.orders]

    turned, straight = orders(rotation), orders(0)
    assert sorted(turned) == straight
    assert turned[0][0] == rotation % count


def test_the_expected_price_is_what_is_left_behind_the_others() -> None:
    cohort = Cohort(view=book(SCALE), has_reservation=True)
    for _ in range(3):
        cohort.add(rule())
    plan = cohort.move(units(1))
    assert [order.expected_px for order in plan.orders] == [PX + n * TICK for n in (1, 2, 3)]


def test_without_a_reservation_depth_is_counted_more_than_once() -> None:
    cohort = Cohort(view=book(SCALE, level_count=1))
    for _ in range(3):
        cohort.add(rule())
    assert len(cohort.move(units(1)).orders) == 3


def test_a_reduction_takes_what_is_there_and_the_rest_stays_wanted() -> None:
    cohort = filled(_with(rule(), 2))
    thin = Cohort(view=book(2 * SCALE, level_count=2), has_reservation=True)
    cohort.view, cohort.reservation = thin.view, thin.reservation
    plan = cohort.move(0)
    assert [(order.qty, order.clip_reason) for order in plan.orders] == [
        (3 * SCALE, None),
        (SCALE, SkipReason.DEPTH_SHORT),
    ]
    cohort.settle(plan.orders[1], SCALE)
    again = cohort.again([1], reductions_only=True)
    assert [(skip.reason.code, skip.is_delayed) for skip in again.skips] == [("DEPTH_SHORT", True)]
    assert again.skips[0].wanted_qty == -2 * SCALE


# --- unknown orders ------------------------------------------------------------------------


@given(st.integers(1, 9), st.integers(-9, 9), st.integers(0, 9))
def test_beside_an_unknown_order_only_a_sure_reduction_goes(
    held: int, unknown: int, wanted: int
) -> None:
    cohort = _with(rule())
    cohort.table.restore_lane(
        0,
        0,
        LaneState(
            mirrored_target=(units(wanted), 0),
            exact_target=(units(wanted), 0),
            wanted_target=(units(wanted), 0),
            position_qty=(held * SCALE, 0),
            unknown_qty=(unknown * SCALE, 0),
        ),
    )
    plan = cohort.again([0])
    ends = (held, held + unknown)
    for order in plan.orders:
        for end in ends:
            reached = end + order.side.value * order.qty // SCALE
            if unknown != 0:
                assert not order.is_opening
                assert reached * end >= 0
                assert abs(reached) >= wanted or end < 0
    sure = min(max(0, end - wanted) for end in ends)
    if unknown != 0:
        assert sum(order.qty for order in plan.orders) == sure * SCALE
        assert all(s.reason is SkipReason.UNKNOWN_PENDING for s in plan.skips)


def test_an_unknown_order_blocks_increases_until_it_is_settled() -> None:
    cohort = _with(rule())
    order = cohort.move(units(2)).orders[0]
    cohort.table.mark_unknown(0, 0, order.position_side)
    assert cohort.table.lane(0, 0).unknown_qty == (2 * SCALE, 0)
    skip = cohort.move(units(3)).skips[0]
    assert (skip.reason.code, skip.wanted_qty) == ("UNKNOWN_PENDING", SCALE)
    lane = cohort.settle(order, 2 * SCALE)
    assert (lane.position_qty, lane.unknown_qty) == ((2 * SCALE, 0), (0, 0))
    assert lane.wanted_target == (units(2), 0)
