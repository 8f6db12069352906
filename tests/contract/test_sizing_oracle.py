"""Sizing against an oracle of exact fractions that shares no code with the core."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from hypothesis import given, settings
from hypothesis import strategies as st

from cohort_factory import LOT, PX, Cohort, ratio
from slipstream._core import SCALE, TARGET_SCALE, Missed, SizingMode, SizingRule

# What the core may lose per event: one rounding of a target to 10**-18.
STEP = Fraction(1, TARGET_SCALE)
UNIT_LOT = Fraction(LOT, SCALE)


@dataclass(frozen=True)
class Step:
    """One leader event: its new position and what was known of it, in whole numbers."""

    after: int
    px: int
    margin: int
    initial_margin: int
    equity: int


@dataclass
class Oracle:
    """The text of the design in fractions: targets, lots, and orders that always fill."""

    mode: SizingMode
    factor: Fraction
    is_fixed_share: bool = False
    sign: int = 1
    leader: Fraction = Fraction(0)
    mirrored: Fraction = Fraction(0)
    target: Fraction = Fraction(0)
    peak: Fraction = Fraction(0)
    frozen: Fraction = Fraction(0)
    position: Fraction = Fraction(0)

    def play(self, step: Step) -> None:
        after = Fraction(step.after, 1000)
        before, self.leader = self.leader, after
        if before * after < 0:
            self._reduce(before, Fraction(0))
            self._trade(-1)
            self._grow(Fraction(0), after, step)
            self._trade(1)
        elif abs(after) > abs(before):
            self._grow(before, after, step)
            self._trade(1)
        elif after != before:
            self._reduce(before, after)
            self._trade(-1)

    def _reduce(self, before: Fraction, after: Fraction) -> None:
        kept = after / before
        self.mirrored *= kept
        self.target *= kept
        if after == 0:
            self.peak = self.frozen = Fraction(0)

    def _grow(self, before: Fraction, after: Fraction, step: Step) -> None:
        change = after - before
        was, self.mirrored = self.mirrored, self.mirrored + change
        if abs(self.mirrored) > abs(self.peak):
            self.peak, self.frozen = self.mirrored, Fraction(step.initial_margin)
        match self.mode:
            case SizingMode.RATIO:
                target = self.target + self.sign * self.factor * change
            case SizingMode.MARGIN:
                target = self.target + self.sign * change * self.factor / step.margin
            case SizingMode.POSITION:
                by = self.frozen if self.is_fixed_share else Fraction(step.margin)
                target = self.sign * self.mirrored * step.equity * self.factor / by
            case SizingMode.NOTIONAL if was == 0:
                target = self.sign * self.factor / step.px * (1 if change > 0 else -1)
            case _:
                target = self.target * self.mirrored / was
        if (target - self.target) * change * self.sign >= 0:
            self.target = target

    def _trade(self, kind: int) -> None:
        """Bring the position to the target: openings down to the lot, reductions up to it."""
        gap = self.target - self.position
        if kind > 0 and abs(self.target) > abs(self.position):
            lots = floor(abs(gap) / UNIT_LOT)
            self.position += lots * UNIT_LOT * (1 if gap > 0 else -1)
        elif kind < 0 and abs(self.target) < abs(self.position):
            lots = min(ceil(abs(gap) / UNIT_LOT), int(abs(self.position) / UNIT_LOT))
            self.position += lots * UNIT_LOT * (1 if gap > 0 else -1)


POSITION_MAX = 30_000
positions = st.integers(min_value=-POSITION_MAX, max_value=POSITION_MAX)
steps = st.builds(
    Step,
    after=positions,
    px=st.integers(50, 200),
    margin=st.integers(1_000, 90_000),
    initial_margin=st.integers(100, 5_000),
    equity=st.integers(500, 40_000),
)
walks = st.lists(steps, min_size=1, max_size=25)


def _check(rule: SizingRule, oracle: Oracle, walk: list[Step]) -> None:
    cohort = Cohort()
    row = cohort.add(rule)
    for count, step in enumerate(walk, start=1):
        cohort.table.set_account(
            row, equity=step.equity * SCALE, free_margin=10**9 * SCALE, ts_ns=0
        )
        plan = cohort.move(
            step.after * (TARGET_SCALE // 1000),
            margin=step.margin * SCALE,
            initial_margin=step.initial_margin * SCALE,
            leader_px=PX if rule.mode is not SizingMode.NOTIONAL else step.px * SCALE,
        )
        cohort.fill(plan)
        oracle.play(step)
        lane = cohort.table.lane(row, 0)
        # What one step rounds grows with the position, from the smallest one to the largest.
        slack = STEP * count * POSITION_MAX
        assert abs(Fraction(lane.mirrored_target[0], TARGET_SCALE) - oracle.mirrored) <= slack
        assert abs(Fraction(lane.exact_target[0], TARGET_SCALE) - oracle.target) <= slack
        assert Fraction(lane.position_qty[0], SCALE) == oracle.position
        assert lane.in_flight_qty == (0, 0)


@given(walks, st.integers(1, 5_000_000), st.booleans())
def test_ratio_mode_equals_the_fractions(walk: list[Step], ppm: int, is_reverse: bool) -> None:  # noqa: FBT001
    rule = SizingRule(mode=SizingMode.RATIO, ratio=ppm * 100, is_reverse=is_reverse)
    factor = Fraction(ppm, 1_000_000)
    _check(rule, Oracle(SizingMode.RATIO, factor, sign=-1 if is_reverse else 1), walk)


@given(walks, st.integers(10, 50_000))
def test_margin_mode_equals_the_fractions(walk: list[Step], allocation: int) -> None:
    rule = SizingRule(mode=SizingMode.MARGIN, allocation=allocation * SCALE)
    _check(rule, Oracle(SizingMode.MARGIN, Fraction(allocation)), walk)


@given(walks, st.integers(1, 300))
def test_position_mode_equals_the_fractions(walk: list[Step], percent: int) -> None:
    rule = SizingRule(mode=SizingMode.POSITION, multiplier=percent * SCALE // 100)
    _check(rule, Oracle(SizingMode.POSITION, Fraction(percent, 100)), walk)


@given(walks, st.integers(1_000, 900_000))
def test_a_fixed_margin_share_equals_the_fractions(walk: list[Step], ppm: int) -> None:
    rule = SizingRule(mode=SizingMode.POSITION, margin_ppm=ppm, leader_notional_min=1)
    oracle = Oracle(SizingMode.POSITION, Fraction(ppm, 1_000_000), is_fixed_share=True)
    _check(rule, oracle, walk)


@settings(max_examples=60)
@given(st.lists(steps, min_size=1, max_size=6), st.integers(10, 50_000))
def test_notional_mode_equals_the_fractions(walk: list[Step], notional: int) -> None:
    whole = [Step(s.after or 1, PX // SCALE, s.margin, s.initial_margin, s.equity) for s in walk]
    rule = SizingRule(mode=SizingMode.NOTIONAL, notional=notional * SCALE)
    _check(rule, Oracle(SizingMode.NOTIONAL, Fraction(notional)), whole)


@given(
    walks,
    st.integers(-20_000, 20_000),
    st.sampled_from([Missed.GIVE_UP, Missed.CATCH_UP]),
)
def test_what_the_leader_held_before_is_scaled_but_never_built(
    walk: list[Step], held: int, missed: Missed
) -> None:
    """Under ``ignore`` the mirror starts at zero beside a position the leader already holds."""
    cohort = Cohort()
    cohort.add(SizingRule(mode=SizingMode.RATIO, ratio=SCALE, missed=missed))
    cohort.leader[0] = held * (TARGET_SCALE // 1000)
    oracle = Oracle(SizingMode.RATIO, Fraction(1), leader=Fraction(held, 1000))
    for step in walk:
        cohort.fill(cohort.move(step.after * (TARGET_SCALE // 1000)))
        oracle.play(step)
        assert Fraction(cohort.position(), SCALE) == oracle.position


def test_a_full_close_leaves_exactly_zero_in_every_track() -> None:
    cohort = Cohort()
    cohort.add(ratio(333_333))
    for after in (7, 11, 3, 5):
        cohort.fill(cohort.move(after * TARGET_SCALE // 7))
    cohort.fill(cohort.move(0))
    lane = cohort.table.lane(0, 0)
    assert lane.position_qty == (0, 0)
    assert lane.mirrored_target == lane.exact_target == lane.wanted_target == (0, 0)
