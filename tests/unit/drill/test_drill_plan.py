"""What a drill is to do is drawn from its seed alone."""

from collections import Counter
from decimal import Decimal
from itertools import islice

from slipstream.drill.cuts import DISRUPTIONS, cut_plans
from slipstream.drill.plan import (
    IN_FLIGHT,
    LIVING,
    STARTING,
    CrashPlan,
    LeaderTrade,
    crash_plans,
    trades,
)
from slipstream.runtime import points


def planned(plans: list[CrashPlan]) -> Counter[str]:
    return Counter(stretch.kill.point for plan in plans for stretch in plan.stretches)


def kind_of(before: Decimal, after: Decimal) -> str:
    if before * after < 0:
        return "flip"
    if not after:
        return "full_close"
    if not before:
        return "open"
    return "increase" if abs(after) > abs(before) else "partial_close"


def test_the_same_seed_plans_the_same_and_a_longer_series_begins_alike() -> None:
    assert crash_plans(5, 7) == crash_plans(9, 7)[:5]
    assert cut_plans(5, 7) == cut_plans(9, 7)[:5]
    assert crash_plans(5, 7) != crash_plans(5, 8)


def test_every_named_point_is_planned_before_many_drills_are_over() -> None:
    kills = planned(crash_plans(len(LIVING), 3))
    assert set(points.LIFE) <= set(kills)


def test_each_point_belongs_to_one_part_of_a_daemons_life() -> None:
    assert sorted((*STARTING, *LIVING)) == sorted(points.LIFE)
    assert len(set(points.LIFE)) == len(points.LIFE)


def test_claims_are_left_open_before_a_daemon_is_killed_with_restored_claims() -> None:
    for plan in crash_plans(40, 1):
        kills = [stretch.kill.point for stretch in plan.stretches]
        if points.CLAIMS_RESTORED in kills:
            assert kills[kills.index(points.CLAIMS_RESTORED) - 1] in IN_FLIGHT


def test_a_leader_does_every_kind_of_event_and_each_split_adds_up() -> None:
    for seed in ("a", "b", "c"):
        held: dict[str, Decimal] = {}
        kinds: Counter[str] = Counter()
        for trade in islice(trades(seed, 2), 30):
            before = held.get(trade.symbol, Decimal(0))
            held[trade.symbol] = before + signed_qty(trade)
            kinds[kind_of(before, held[trade.symbol])] += 1
        assert set(kinds) == {"open", "increase", "partial_close", "full_close", "flip"}


def signed_qty(trade: LeaderTrade) -> Decimal:
    qty = sum((Decimal(part) for _, part in trade.fills), Decimal(0))
    assert all(Decimal(part) > 0 for _, part in trade.fills)
    return qty if trade.side == "BUY" else -qty


def test_of_two_leaders_each_trades_symbols_of_its_own() -> None:
    whose = {(trade.symbol, trade.leader) for trade in islice(trades("x", 2), 30)}
    assert len(whose) == len({symbol for symbol, _ in whose}) == 2


def test_every_disruption_comes_before_any_comes_twice() -> None:
    names = [step.name for plan in cut_plans(6, 1) for step in plan.steps]
    assert set(names[: len(DISRUPTIONS)]) == set(DISRUPTIONS)
