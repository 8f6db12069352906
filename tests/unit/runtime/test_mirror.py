"""What a cohort does with each answer of a venue, by its orders and its recorded ends."""

import random
from collections import Counter

import pytest

from mirror_parts import Stage, report_of, units
from slipstream._core import SCALE, Side, SizingMode, SizingRule, SkipReason
from slipstream.domain.ids import FollowerId
from slipstream.domain.outcome import Denied, Limited, NotSent, Refused, RequestOutcome, Unknown
from slipstream.engine.leg import LegState
from slipstream.engine.leglife import Leg
from slipstream.units import TimeNs

NS_PER_MS = 1_000_000


async def opened(stage: Stage, qty: int = units(4)) -> None:
    """Let the leader open, and everybody fill."""
    await stage.move(qty)
    for order in stage.take_sent():
        order.fill()


async def test_an_open_fills_and_ends_once_for_each_follower() -> None:
    stage = Stage()
    await opened(stage)
    assert [each[1:4] for each in stage.ends()] == [("f1", 0, "filled"), ("f2", 0, "filled")]
    assert [stage.position(row) for row in (0, 1)] == [units(4)] * 2


async def test_an_open_that_fills_in_part_is_not_ordered_again() -> None:
    stage = Stage(("live",))
    await stage.move(units(4))
    stage.take_sent()[0].fill(units(1))
    assert await stage.fire() == []
    assert stage.sent == []
    assert stage.end_of() == ("partial", None)
    assert stage.position() == units(1)


async def test_one_order_is_out_on_a_lane_and_the_newest_target_waits() -> None:
    stage = Stage(("live",))
    await stage.move(units(1))
    (first,) = stage.take_sent()
    await stage.move(units(2))
    await stage.move(units(5))
    assert stage.sent == []
    first.fill()
    await stage.mirror.replan()
    (second,) = stage.take_sent()
    assert second.request.qty == units(4)
    second.fill()
    assert stage.position() == units(5)
    # The leg in between never had an order: the newer target has it in it.
    assert [each[3:] for each in stage.ends()] == [
        ("skipped", "SUPERSEDED"),
        ("filled", None),
        ("filled", None),
    ]


async def test_a_flip_opens_only_when_its_close_has_filled() -> None:
    stage = Stage(("live",))
    await opened(stage)
    await stage.move(-units(3))
    (close,) = stage.take_sent()
    assert (close.request.side, close.request.qty) == (Side.SELL, units(4))
    assert close.request.is_reduction
    await stage.mirror.replan()
    assert stage.sent == []
    close.fill()
    await stage.mirror.replan()
    (opening,) = stage.take_sent()
    assert (opening.request.side, opening.request.qty) == (Side.SELL, units(3))
    assert not opening.request.is_reduction
    opening.fill()
    assert stage.position() == -units(3)
    assert [each[2:4] for each in stage.ends()[1:]] == [(0, "filled"), (1, "filled")]


async def test_a_flip_whose_close_fills_in_part_closes_the_rest_first() -> None:
    stage = Stage(("live",))
    await opened(stage)
    await stage.move(-units(3))
    stage.take_sent()[0].fill(units(1))
    await stage.fire()
    (rest,) = stage.take_sent()
    assert (rest.request.qty, rest.request.is_reduction) == (units(3), True)
    rest.fill()
    await stage.mirror.replan()
    (opening,) = stage.take_sent()
    assert (opening.request.qty, opening.request.is_reduction) == (units(3), False)


async def test_a_newer_event_supersedes_the_opening_leg_of_a_flip() -> None:
    stage = Stage(("live",))
    await opened(stage)
    await stage.move(-units(3))
    (close,) = stage.take_sent()
    await stage.move(0)
    close.fill()
    await stage.mirror.replan()
    assert stage.sent == []
    assert stage.position() == 0
    keys = Counter(each[:3] for each in stage.ends())
    assert set(keys.values()) == {1}
    assert ("skipped", "SUPERSEDED") in [each[3:] for each in stage.ends() if each[2] == 1]


async def test_a_reduction_is_tried_again_after_growing_pauses_under_new_names() -> None:
    stage = Stage(("live",))
    await opened(stage)
    await stage.move(units(1))
    names: list[str] = []
    pauses: list[int] = []
    for _ in range(7):
        (order,) = stage.take_sent()
        assert (order.request.qty, order.request.is_reduction) == (units(3), True)
        names.append(order.request.client_order_id)
        order.fill(0)
        pauses += await stage.fire()
    assert len(set(names)) == 7
    assert pauses == [ms * NS_PER_MS for ms in (200, 400, 800, 1_600, 3_200, 5_000, 5_000)]
    assert len(stage.ends()) == 1  # only the open has ended
    stage.take_sent()[0].fill()
    assert stage.end_of() == ("filled", None)
    assert stage.position() == units(1)


async def test_a_reduction_asks_again_only_for_what_is_left() -> None:
    stage = Stage(("live",))
    await opened(stage)
    await stage.move(units(1))
    stage.take_sent()[0].fill(units(2))
    await stage.fire()
    (rest,) = stage.take_sent()
    assert rest.request.qty == units(1)
    rest.fill()
    assert stage.end_of() == ("filled", None)


async def test_a_retry_that_a_newer_event_made_needless_does_nothing() -> None:
    stage = Stage(("live",))
    await opened(stage)
    await stage.move(units(3))
    stage.take_sent()[0].fill(0)
    await stage.move(units(1))
    (order,) = stage.take_sent()
    assert order.request.qty == units(3)
    order.fill()
    await stage.fire()
    assert stage.sent == []
    assert stage.position() == units(1)
    assert set(Counter(each[:3] for each in stage.ends()).values()) == {1}


async def test_an_unknown_order_blocks_increases_and_is_not_sent_again() -> None:
    stage = Stage(("live",))
    await stage.move(units(1))
    (doubtful,) = stage.take_sent()
    doubtful.answer(Unknown("read timeout"))
    await stage.move(units(2))
    await stage.fire()
    assert stage.sent == []
    assert stage.end_of() == ("skipped", "UNKNOWN_PENDING")
    (leg,) = stage.resolver.asked
    assert leg.current.request.client_order_id == doubtful.request.client_order_id


async def test_an_unknown_order_that_is_found_counts_and_frees_its_lane() -> None:
    stage = Stage(("live",))
    await stage.move(units(1))
    (doubtful,) = stage.take_sent()
    doubtful.answer(Unknown("read timeout"))
    leg = stage.resolver.asked[0]
    stage.resolver.resolve(leg, report_of(doubtful.request, units(1)), stage.clock.now_ns())
    assert stage.position() == units(1)
    assert stage.end_of() == ("filled", None)
    await stage.move(units(2))
    assert stage.take_sent()[0].request.qty == units(1)


async def test_an_unknown_order_that_never_was_ends_failed_and_frees_its_lane() -> None:
    stage = Stage(("live",))
    await stage.move(units(1))
    stage.take_sent()[0].answer(Unknown("reset"))
    stage.resolver.resolve(stage.resolver.asked[0], None, stage.clock.now_ns())
    assert stage.end_of() == ("failed", "ABSENT")
    assert stage.position() == 0
    await stage.move(units(2))
    assert stage.take_sent()[0].request.qty == units(1)  # the missed open is given up


async def test_a_reduction_may_pass_an_unknown_increase() -> None:
    stage = Stage(("live",))
    await opened(stage)
    await stage.move(units(6))
    stage.take_sent()[0].answer(Unknown("reset"))
    await stage.move(0)
    orders = stage.take_sent()
    assert all(order.request.is_reduction for order in orders)
    # Whether the increase filled or not, at least 4 are held.
    assert sum(order.request.qty for order in orders) <= units(4)


async def test_a_denied_key_pauses_that_follower_and_nobody_else() -> None:
    stage = Stage()
    await opened(stage)
    await stage.move(units(5))
    orders = stage.take_sent()
    orders[0].answer(Denied(-1000, "no agent found"))
    orders[1].fill()
    assert sorted(each[3] for each in stage.ends()[2:]) == ["filled", "rejected"]
    paused = [each[1] for each in stage.ends() if each[3] == "rejected"]
    assert stage.incidents() == [("UNAUTHORIZED", paused[0])]
    await stage.move(units(6))
    assert len(stage.take_sent()) == 1
    assert stage.end_of(paused[0]) == ("skipped", "FOLLOWER_PAUSED")


@pytest.mark.parametrize(
    ("outcome", "end"),
    [
        (NotSent("connect refused"), ("failed", "NOT_SENT: connect refused")),
        (Limited("address budget"), ("skipped", "RATE_LIMITED")),
        (Refused(-2019, "margin is insufficient"), ("rejected", "REFUSED: margin is insufficient")),
    ],
)
async def test_an_open_without_an_order_ends_and_is_not_tried_again(
    outcome: RequestOutcome, end: tuple[str, str]
) -> None:
    stage = Stage(("live",))
    await stage.move(units(1))
    stage.take_sent()[0].answer(outcome)
    assert await stage.fire() == []
    assert stage.sent == []
    assert stage.end_of() == end
    assert stage.position() == 0
    assert not stage.mirror.is_busy


@pytest.mark.parametrize("outcome", [NotSent("connect refused"), Limited("address budget")])
async def test_an_exit_that_could_not_be_sent_is_sent_again(outcome: RequestOutcome) -> None:
    stage = Stage(("live",))
    await opened(stage)
    await stage.move(0)
    (first,) = stage.take_sent()
    first.answer(outcome)
    assert stage.mirror.is_busy
    assert await stage.fire() == [200 * NS_PER_MS]
    (second,) = stage.take_sent()
    assert second.request.qty == units(4)
    second.fill()
    assert stage.position() == 0
    assert stage.end_of()[0] == "filled"
    assert set(Counter(each[:3] for each in stage.ends()).values()) == {1}


async def test_refusals_in_a_row_stop_opens_and_never_exits() -> None:
    stage = Stage(("live",))
    await opened(stage)
    for step in range(5):
        await stage.move(units(5 + step))
        stage.take_sent()[0].answer(Refused(-2019, "margin is insufficient"))
    assert stage.incidents() == [("BREAKER_OPEN", "f1")]
    await stage.move(units(10))
    assert stage.sent == []
    assert stage.end_of() == ("skipped", "BREAKER_OPEN")
    await stage.move(0)
    (close,) = stage.take_sent()
    assert (close.request.qty, close.request.is_reduction) == (units(4), True)
    close.fill()
    assert stage.position() == 0


async def test_a_breaker_half_opens_when_its_pause_is_over() -> None:
    stage = Stage(("live",))
    for step in range(5):
        await stage.move(units(1 + step))
        stage.take_sent()[0].answer(Refused(-2019, "margin is insufficient"))
    assert await stage.fire() == [30_000 * NS_PER_MS]
    assert not stage.followers[FollowerId("f1")].gates & SkipReason.BREAKER_OPEN.mask


async def test_depth_that_an_unsent_order_had_taken_is_given_back() -> None:
    stage = Stage(("live",))
    stage.books.show(units(1))  # five levels: 5 units
    await stage.move(units(5))
    stage.take_sent()[0].answer(NotSent("connect refused"))
    await stage.move(units(10))
    assert stage.take_sent()[0].request.qty == units(5)


async def test_followers_of_one_book_share_its_depth() -> None:
    stage = Stage(("live",) * 4)
    stage.books.show(units(1))  # five levels: 5 units
    await stage.move(units(2))
    assert len(stage.take_sent()) == 2
    assert Counter(each[3:] for each in stage.ends()) == {("skipped", "DEPTH_SHORT"): 2}


async def test_an_order_of_one_of_three_is_the_same_whatever_the_others_do() -> None:
    async def requests_of(outcome: RequestOutcome | None) -> list[tuple[object, ...]]:
        stage = Stage(("live",) * 3)
        seen: list[tuple[object, ...]] = []
        third = f"0x{3:040x}"
        assert stage.cohort.members[2].account == third
        for target in (1, 3, 2, 0):
            await stage.move(units(target))
            for order in stage.take_sent():
                names = {
                    row.client_order_id: row.follower_id for row in stage.store.commits[-1].legs
                }
                if names[order.request.client_order_id] == "f3":
                    seen.append(tuple(order.request))
                    order.fill()
                elif outcome is None:
                    order.fill()
                else:
                    order.answer(outcome)
        return seen

    calm = await requests_of(None)
    assert len(calm) == 4
    for outcome in (Unknown("timeout"), Refused(-1, "no"), Denied(-2, "no"), NotSent("down")):
        assert await requests_of(outcome) == calm


async def test_an_exit_that_waits_twice_ends_once_for_each_event() -> None:
    stage = Stage(("live",))
    await stage.move(-units(2))
    stage.take_sent()[0].answer(Unknown("timeout"))
    await stage.move(0)
    await stage.move(units(1))
    stage.resolver.resolve(stage.resolver.asked[0], None, stage.clock.now_ns())
    await stage.fire()
    for order in stage.take_sent():
        order.fill()
    assert Counter(each[0][-1] for each in stage.ends()) == {"1": 1, "2": 1, "3": 1}


async def test_a_superseded_opening_of_a_flip_does_not_come_back() -> None:
    stage = Stage(("live",))
    await opened(stage, -units(1))
    await stage.move(units(1))
    stage.take_sent()[0].answer(NotSent("down"))
    await stage.fire()
    (close,) = stage.take_sent()
    await stage.move(units(2))
    close.answer(NotSent("down"))
    for _ in range(4):
        await stage.fire()
        for order in stage.take_sent():
            order.fill()
    assert stage.position() == units(2)
    assert set(Counter(each[:3] for each in stage.ends()).values()) == {1}


async def test_a_flip_beside_an_unknown_increase_opens_when_that_is_resolved() -> None:
    stage = Stage(("live",))
    await opened(stage, units(1))
    await stage.move(units(2))
    stage.take_sent()[0].answer(Unknown("timeout"))
    await stage.move(-units(2))
    stage.take_sent()[0].fill()
    await stage.fire()
    stage.resolver.resolve(stage.resolver.asked[0], None, stage.clock.now_ns())
    for _ in range(3):
        await stage.fire()
        for order in stage.take_sent():
            order.fill()
    keys = Counter(each[:3] for each in stage.ends())
    assert set(keys.values()) == {1}
    # Opened, or told why not: not forgotten.
    assert any(leg == 1 for _, _, leg in keys)


@pytest.mark.parametrize("seed", range(8))
async def test_every_leg_ends_exactly_once_whatever_the_venue_answers(seed: int) -> None:
    chance = random.Random(seed)
    sizing = SizingRule(mode=SizingMode.RATIO, ratio=SCALE // 2)
    stage = Stage(("live", "live", "live", "shadow", "paper"), sizing=sizing)
    expected: set[tuple[str, str, int]] = set()
    position = 0
    for _ in range(25):
        position = chance.choice([each for each in range(-3, 4) if each != position])
        stage.clock.at_ns += 1_000  # what stands beside the leader's events is named by its instant
        await stage.move(units(position))
        intent = stage.store.commits[-1].intent
        assert intent is not None
        expected |= {(intent.id, follower, 0) for follower in stage.followers}
        _answer_some(stage, chance)
        if chance.random() < 0.5:
            await stage.fire()
    for _ in range(20):
        for order in stage.take_sent():
            order.fill()
        for leg in stage.resolver.asked:
            stage.resolver.resolve(leg, None, stage.clock.now_ns())
        stage.resolver.asked.clear()
        await stage.fire()
    assert not stage.mirror.is_busy
    told = Counter(each[:3] for each in stage.ends())
    assert set(told.values()) == {1}
    events = {intent for intent, _, _ in expected}
    assert {key for key in told if key[2] == 0 and key[0] in events} == expected
    assert stage.journal.ends.total() == told.total()


def _answer_some(stage: Stage, chance: random.Random) -> None:
    for order in stage.take_sent():
        match chance.randrange(7):
            case 0:
                order.answer(NotSent("down"))
            case 1:
                order.answer(Limited("later"))
            case 2:
                order.answer(Refused(-1, "no"))
            case 3:
                order.answer(Unknown("timeout"))
            case 4:
                order.fill(order.request.qty // 2)
            case 5:
                stage.sent.append(order)  # no answer yet
            case _:
                order.fill()


async def test_an_increase_that_turns_out_filled_after_the_close_passed_it_is_closed_at_once() -> (
    None
):
    stage = Stage(("live",))
    await opened(stage, units(4))
    await stage.move(units(6))
    (doubtful,) = stage.take_sent()
    doubtful.answer(Unknown("read timeout"))
    await stage.move(-units(1))
    for _ in range(3):
        for order in stage.take_sent():
            order.fill()
        await stage.fire()
    held = stage.position()
    stage.resolver.resolve(
        stage.resolver.asked[0], report_of(doubtful.request, units(2)), stage.clock.now_ns()
    )
    await stage.mirror.replan()
    (late,) = stage.take_sent()
    assert late.request.is_reduction
    assert (late.request.side, late.request.qty) == (Side.SELL, held + units(2))
    late.fill()
    assert stage.position() == 0
    # The flip's opening leg waited for that, and is told once.
    await stage.fire()
    for order in stage.take_sent():
        order.fill()
    assert stage.position() in (0, -units(1))
    assert set(Counter(each[:3] for each in stage.ends()).values()) == {1}
    assert not stage.mirror.is_busy


async def test_an_exit_that_never_came_to_be_stays_wanted() -> None:
    stage = Stage(("live",))
    await opened(stage)
    await stage.move(0)
    stage.take_sent()[0].answer(Unknown("reset"))
    stage.resolver.resolve(stage.resolver.asked[0], None, stage.clock.now_ns())
    assert await stage.fire() == [200 * NS_PER_MS]
    stage.take_sent()[0].fill()
    assert stage.position() == 0
    assert stage.end_of() == ("filled", None)


async def test_an_order_our_own_budget_turned_away_was_never_sent() -> None:
    stage = Stage(("live",))
    legs: list[Leg] = []

    def on_outcome(leg: Leg, outcome: RequestOutcome, at_ns: TimeNs) -> None:
        legs.append(leg)
        stage.mirror.on_outcome(leg, outcome, at_ns)

    stage.fan_out.bind(on_outcome)
    await stage.move(units(1))
    (order,) = stage.take_sent()
    order.answer(Limited("own budget is used up", is_ours=True))
    assert stage.end_of() == ("skipped", "RATE_LIMITED")
    assert [leg.current.state for leg in legs] == [LegState.FAILED]
