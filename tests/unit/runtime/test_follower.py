"""What a follower knows of its account, and what it lets pass."""

import pytest

from mirror_parts import LEADER, SYMBOL, Stage, units
from slipstream._core import SCALE, PositionSide, SkipReason
from slipstream.domain.fill import AccountSnapshot, PositionState
from slipstream.domain.ids import FollowerId, LeaderId
from slipstream.runtime.follower import Follower, Membership
from slipstream.units import Px, Qty, Quote, TimeNs, VenueMs

F1 = FollowerId("f1")
DAY_NS = 86_400 * 10**9


def snapshot(equity: int, *positions: PositionState, at_ns: int = 1) -> AccountSnapshot:
    return AccountSnapshot(
        account="0x",
        wallet=Quote(equity),
        equity=Quote(equity),
        available=Quote(equity),
        initial_margin=Quote(0),
        positions=positions,
        is_hedge=False,
        venue_ts_ms=VenueMs(1),
        received_ns=TimeNs(at_ns),
    )


def holds(qty: int) -> PositionState:
    return PositionState(SYMBOL, PositionSide.NET, Qty(qty), Px(100 * SCALE))


@pytest.mark.parametrize(
    ("allows", "denies", "is_allowed"),
    [
        ((), (), True),
        (("XUSDT",), (), True),
        (("X",), (), True),
        (("Y",), (), False),
        (("X",), ("XUSDT",), False),
        ((), ("X",), False),
    ],
)
def test_symbols_are_named_as_listed_or_by_their_base(
    allows: tuple[str, ...], denies: tuple[str, ...], *, is_allowed: bool
) -> None:
    stage = Stage(("live",))
    membership = Membership(stage.cohort, 0, None, frozenset(allows), frozenset(denies))
    assert membership.is_allowed("XUSDT", "X") is is_allowed


def test_a_switch_under_one_leader_leaves_the_others() -> None:
    follower = Stage(("live",)).followers[F1]
    follower.set_switches(follower.memberships[0], SkipReason.FROZEN.mask, {})
    assert follower.refusal(LEADER, SYMBOL, is_opening=False) == "FROZEN"
    assert follower.refusal(LeaderId("other"), SYMBOL, is_opening=False) is None


def test_the_gravest_switch_is_named() -> None:
    follower = Stage(("live",)).followers[F1]
    for reason in (SkipReason.BREAKER_OPEN, SkipReason.FOLLOWER_PAUSED, SkipReason.KILL_SWITCH):
        follower.set_gate(reason, is_on=True)
    assert follower.refusal(LEADER, SYMBOL, is_opening=True) == "KILL_SWITCH"
    assert follower.refusal(LEADER, SYMBOL, is_opening=False) is None


def test_a_position_that_a_reading_no_longer_lists_is_flat() -> None:
    follower = Stage(("live",)).followers[F1]
    follower.on_snapshot(snapshot(1_000 * SCALE, holds(units(3))))
    assert follower.venue_qty(SYMBOL, 0) == units(3)
    follower.doubted.clear()
    follower.on_snapshot(snapshot(1_000 * SCALE))
    assert follower.venue_qty(SYMBOL, 0) == 0
    assert follower.doubted == {SYMBOL}


async def test_the_days_loss_is_counted_from_midnight() -> None:
    stage = Stage(("live",))
    follower: Follower = stage.followers[F1]
    losses: list[int] = []

    class Table:
        def set_account(self, _row: int, **state: int) -> None:
            losses.append(state["day_pnl"])

    follower.memberships[0].cohort.table = Table()  # type: ignore[assignment]
    follower.on_snapshot(snapshot(1_000 * SCALE))
    follower.on_snapshot(snapshot(900 * SCALE))
    stage.clock.at_ns += DAY_NS
    follower.on_snapshot(snapshot(850 * SCALE))
    follower.on_snapshot(snapshot(840 * SCALE))
    assert losses == [0, -100 * SCALE, 0, -10 * SCALE]
