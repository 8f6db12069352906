"""Cohorts for tests of sizing and planning: a table, a book, and a leader to play events.

Everything goes through the real constructors; nothing here decides what is right.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from slipstream._core import (
    SCALE,
    TARGET_SCALE,
    BelowMinimum,
    Book,
    BookView,
    CohortIntent,
    CohortPlan,
    DepthReservation,
    FollowerLimits,
    FollowerTable,
    InstrumentRules,
    LaneState,
    Missed,
    OnLimit,
    OrderPlan,
    SizingMode,
    SizingRule,
    Skip,
    format_fixed,
    plan_cohort,
)

PX: Final = 100 * SCALE
TICK: Final = SCALE // 100
LOT: Final = SCALE // 1000
MILLI: Final = TARGET_SCALE // 1000
ROOMY: Final = 10**9 * SCALE
FREE_RULES: Final = InstrumentRules(px_step=TICK, qty_step=LOT, qty_min=0)


def limits(
    *,
    leverage_max: int | None = None,
    order_notional_max: int | None = None,
    symbol_notional_max: int | None = None,
    notional_max: int | None = None,
    position_count_max: int | None = None,
    daily_loss_max: int | None = None,
    drawdown_ppm_max: int | None = None,
    entry_ppm: int = 100_000,
    exit_ppm: int = 200_000,
    emergency_ppm: int = 300_000,
    deviation_ppm: int = 100_000,
) -> FollowerLimits:
    """Return wide bounds with the caps given."""
    return FollowerLimits(
        entry_ppm=entry_ppm,
        exit_ppm=exit_ppm,
        emergency_ppm=emergency_ppm,
        deviation_ppm=deviation_ppm,
        leverage_max=leverage_max,
        order_notional_max=order_notional_max,
        symbol_notional_max=symbol_notional_max,
        notional_max=notional_max,
        position_count_max=position_count_max,
        daily_loss_max=daily_loss_max,
        drawdown_ppm_max=drawdown_ppm_max,
    )


def ratio(ppm: int) -> SizingRule:
    """Return a RATIO rule of so many parts per million."""
    return SizingRule(mode=SizingMode.RATIO, ratio=ppm * 100)


def book(qty: int, *, level_count: int = 5, mid: int = PX, sequence: int = 1) -> BookView:
    """Return a book with ``qty`` (raw) on each level, one tick apart around ``mid``."""
    made = Book()
    text = format_fixed(qty)
    made.load(
        [(format_fixed(mid - place * TICK), text) for place in range(1, level_count + 1)],
        [(format_fixed(mid + place * TICK), text) for place in range(1, level_count + 1)],
        sequence=sequence,
        ts_ns=0,
    )
    view = made.view()
    assert view is not None
    return view


DEEP: Final = book(10**6 * SCALE)


class Cohort:
    """A table of followers on one book, with a leader whose events are played one by one."""

    def __init__(
        self,
        rules: InstrumentRules = FREE_RULES,
        *,
        view: BookView | None = DEEP,
        has_reservation: bool = False,
    ) -> None:
        """Start flat, with nobody in the table; no ``view``: no book stands."""
        self.table = FollowerTable()
        self.rules = rules
        self.view = view
        self.reservation = DepthReservation(view) if view and has_reservation else None
        self.leader = [0, 0]
        self.now_ns = 1

    def add(
        self,
        sizing: SizingRule,
        bounds: FollowerLimits | None = None,
        *,
        is_hedge: bool = False,
        equity: int = ROOMY,
    ) -> int:
        row = self.table.add(sizing=sizing, limits=bounds or limits(), is_hedge=is_hedge)
        self.table.set_account(row, equity=equity, free_margin=ROOMY, ts_ns=0)
        return row

    def intent(
        self,
        after: int,
        *,
        before: int | None = None,
        track: int = 0,
        margin: int | None = None,
        initial_margin: int | None = None,
        rotation: int = 0,
        gates: int = 0,
        leader_px: int = PX,
        exit_since_ns: int | None = None,
    ) -> CohortIntent:
        return CohortIntent(
            symbol_index=0,
            rules=self.rules,
            leader_before=self.leader[track] if before is None else before,
            leader_after=after,
            leader_px=leader_px,
            created_ns=0,
            track=track,
            leader_margin=margin,
            leader_initial_margin=initial_margin,
            gates=gates,
            rotation=rotation,
            exit_since_ns=exit_since_ns,
        )

    def plan(self, intent: CohortIntent) -> CohortPlan:
        return plan_cohort(intent, self.table, self.view, self.reservation, now_ns=self.now_ns)

    def move(
        self,
        after: int,
        *,
        track: int = 0,
        margin: int | None = None,
        initial_margin: int | None = None,
        rotation: int = 0,
        leader_px: int = PX,
    ) -> CohortPlan:
        """Plan the leader's step to a new position of one track (at 10**-18)."""
        made = self.intent(
            after,
            track=track,
            margin=margin,
            initial_margin=initial_margin,
            rotation=rotation,
            leader_px=leader_px,
        )
        self.leader[track] = after
        return self.plan(made)

    def again(
        self, rows: Sequence[int], *, leg: int | None = None, reductions_only: bool = False
    ) -> CohortPlan:
        """Plan lanes again as their targets stand."""
        return plan_cohort(
            self.intent(0, before=0),
            self.table,
            self.view,
            self.reservation,
            now_ns=self.now_ns,
            rows=rows,
            leg=leg,
            reductions_only=reductions_only,
        )

    def settle(self, order: OrderPlan, filled_qty: int) -> LaneState:
        return self.table.settle(
            order.row,
            0,
            order.position_side,
            filled_qty=filled_qty * order.side.value,
            is_opening=order.is_opening,
        )

    def fill(
        self, plan: CohortPlan, share: Callable[[OrderPlan], int] | None = None
    ) -> list[OrderPlan]:
        """Fill all orders of a plan, then the opening legs that waited; return what was sent.

        An opening leg whose close did not fill whole stays pending.
        """
        sent = list(plan.orders)
        for order in plan.orders:
            self.settle(order, order.qty if share is None else share(order))
        if plan.pending_open_rows and plan.orders:
            sent += self.fill(self.again(plan.pending_open_rows, leg=1), share)
        return sent

    def position(self, row: int = 0) -> int:
        return sum(self.table.lane(row, 0).position_qty)

    def wanted(self, row: int = 0) -> int:
        return sum(self.table.lane(row, 0).wanted_target)


def units(count: int) -> int:
    """Return whole base units as a target."""
    return count * TARGET_SCALE


def reasons(skips: Sequence[Skip]) -> list[str]:
    return [skip.reason.code for skip in skips]


def rule(
    *,
    on_cap: OnLimit = OnLimit.SKIP,
    on_thin_book: OnLimit = OnLimit.SKIP,
    missed: Missed = Missed.GIVE_UP,
    below_minimum: BelowMinimum = BelowMinimum.CARRY,
) -> SizingRule:
    """Return a one-to-one ratio rule with these policies."""
    return SizingRule(
        mode=SizingMode.RATIO,
        ratio=SCALE,
        on_cap=on_cap,
        on_thin_book=on_thin_book,
        missed=missed,
        below_minimum=below_minimum,
    )


def filled(cohort: Cohort, after: int = 3) -> Cohort:
    """Fill the orders of a leader's first event; return the cohort."""
    cohort.fill(cohort.move(units(after)))
    return cohort


def results(plan: CohortPlan) -> list[OrderPlan | Skip]:
    """Return all orders and skips of a plan."""
    return [*plan.orders, *plan.skips]


def row_results(plan: CohortPlan) -> Counter[tuple[int, int]]:
    """Count what a plan says of each (row, leg)."""
    keys = [(result.row, result.leg) for result in results(plan)]
    return Counter([*keys, *((row, 0) for row in plan.waiting_rows)])
