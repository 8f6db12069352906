"""What a cohort makes of a leader's event: rows for the ledger, orders, and who waits."""

import re

from mirror_parts import INSTRUMENT, PX, SYMBOL, Stage, units
from slipstream._core import SCALE, DepthReservation, Side, SizingMode, SizingRule, SkipReason
from slipstream.domain.cohort import LegStatus
from slipstream.domain.ids import IntentId
from slipstream.engine.cohort import Cohort, Market, Planned
from slipstream.engine.lane import with_orders
from slipstream.units import Px, TimeNs


def market(stage: Stage, *, gates: int = 0, mid_sequence: int = 1) -> Market:
    view = stage.books.view(SYMBOL)
    return Market(INSTRUMENT, view, Px(PX), Px(PX), mid_sequence, gates)


def begin(stage: Stage, after: int, *, gates: int = 0, has_depth: bool = False) -> Planned:
    """Plan the leader's step, and make every leg of it."""
    view = stage.books.view(SYMBOL)
    reservation = DepthReservation(view) if has_depth and view is not None else None
    planned = stage.cohort.begin(
        stage.intent(after),
        market(stage, gates=gates),
        reservation,
        now_ns=stage.clock.now_ns(),
    )
    stage.cohort.take(planned)
    stage.cohort.take_legs(planned, len(planned.plan.orders))
    return planned


def fill(stage: Stage, planned: Planned) -> None:
    for leg in planned.legs:
        plan = leg.current.plan
        stage.cohort.table.settle(
            leg.row,
            leg.symbol_index,
            plan.position_side,
            filled_qty=plan.qty * plan.side.value,
            is_opening=plan.is_opening,
        )


def again(stage: Stage, planned: Planned, rows: list[int], *, leg: int | None = None) -> Planned:
    newer = stage.cohort.replan(
        planned.event, rows, market(stage), None, now_ns=stage.clock.now_ns(), leg=leg
    )
    stage.cohort.take(newer)
    stage.cohort.take_legs(newer, len(newer.plan.orders))
    return newer


def test_every_order_has_a_claim_of_its_own() -> None:
    stage = Stage(("live",) * 40)
    planned = begin(stage, units(3))
    assert [row.status for row in planned.rows] == [LegStatus.CLAIMED] * 40
    assert len({row.follower_id for row in planned.rows}) == 40
    names = [row.client_order_id or "" for row in planned.rows]
    assert len(set(names)) == 40
    # Aster: newClientOrderId is ^[\.A-Z\:/a-z0-9_-]{1,36}$.
    assert all(re.fullmatch(r"[.A-Z:/a-z0-9_-]{1,36}", name) for name in names)
    for leg, row in zip(planned.legs, planned.rows, strict=True):
        request = leg.current.request
        assert (request.client_order_id, request.qty) == (row.client_order_id, row.qty)
        assert (request.limit_px, request.side.value) == (row.limit_px, row.side)


def test_the_same_event_makes_the_same_claims_again() -> None:
    first, second = begin(Stage(), units(3)), begin(Stage(), units(3))
    assert first.rows == second.rows


def test_claims_differ_by_what_is_asked_and_of_whom() -> None:
    hashes = [row.claim_hash for row in begin(Stage(), units(3)).rows]
    hashes += [row.claim_hash for row in begin(Stage(), units(4)).rows]
    hashes += [row.claim_hash for row in begin(Stage(), -units(3)).rows]
    assert len(set(hashes)) == 6


def test_a_skip_is_a_row_with_its_reason_and_without_an_order() -> None:
    stage = Stage()
    planned = begin(stage, units(3), gates=SkipReason.SYMBOL_HALTED.mask)
    assert planned.legs == []
    assert [(row.status, row.reason) for row in planned.rows] == [
        (LegStatus.SKIPPED, "SYMBOL_HALTED")
    ] * 2
    assert {row.client_order_id for row in planned.rows} == {None}
    assert [leg.reason_code for leg in planned.ended] == ["SYMBOL_HALTED"] * 2


def test_another_attempt_has_another_name() -> None:
    stage = Stage(("live",))
    opened = begin(stage, units(4))
    fill(stage, opened)
    first = begin(stage, units(1))
    leg = first.legs[0]
    stage.cohort.table.settle(
        leg.row, leg.symbol_index, leg.current.plan.position_side, filled_qty=0, is_opening=False
    )
    second = again(stage, first, [0])
    assert second.legs == [leg]
    assert [row.attempt for row in (*first.rows, *second.rows)] == [0, 1]
    assert first.rows[0].client_order_id != second.rows[0].client_order_id
    assert [attempt.number for attempt in leg.attempts] == [0, 1]


def test_a_leg_waits_for_its_busy_lane_until_it_is_planned() -> None:
    stage = Stage(("live",))
    first = begin(stage, units(1))
    waiting = begin(stage, units(2))
    assert waiting.legs == []
    assert [row.status for row in waiting.rows] == [LegStatus.WAITING]
    wish = stage.cohort.wishes.of((0, 0))
    assert wish is not None
    assert wish.event is waiting.event
    fill(stage, first)
    planned = again(stage, waiting, [0])
    assert [leg.event for leg in planned.legs] == [waiting.event]
    assert not stage.cohort.wishes


def test_a_newer_event_supersedes_the_one_that_waits() -> None:
    stage = Stage(("live",))
    begin(stage, units(1))
    begin(stage, units(2))
    wish = stage.cohort.wishes.of((0, 0))
    assert wish is not None
    older = wish.leg
    newer = begin(stage, units(3))
    assert newer.superseded == [older]
    wish = stage.cohort.wishes.of((0, 0))
    assert wish is not None
    assert wish.event is newer.event


def test_the_opening_leg_of_a_flip_waits_and_is_planned_when_flat() -> None:
    stage = Stage(("live",))
    fill(stage, begin(stage, units(2)))
    flip = begin(stage, -units(3))
    assert [(leg.index, leg.current.request.is_reduction) for leg in flip.legs] == [(0, True)]
    early = again(stage, flip, [0], leg=1)
    assert early.legs == []
    fill(stage, flip)
    assert stage.cohort.wishes.is_wanted((0, 0), flip.event, 1)
    opening = again(stage, flip, [0], leg=1)
    assert not stage.cohort.wishes
    (leg,) = opening.legs
    assert (leg.index, leg.current.request.qty) == (1, units(3))
    assert leg.current.request.side is Side.SELL


def test_a_flip_of_an_earlier_process_opens_nothing_under_a_newer_event() -> None:
    stage = Stage(("live",))
    fill(stage, begin(stage, units(2)))
    flip = begin(stage, -units(3))
    lane = stage.cohort.table.lane(0, 0)
    # Its close is tried again after a restart: what it opened was told before, and is not known.
    flip.event.legs.clear()
    stage.cohort.wishes.planned((0, 0), flip.event, 1)
    stage.cohort._newest_intent.clear()
    stage.cohort.restore_newest(SYMBOL, IntentId("of a newer event"))
    stage.cohort.table.restore_lane(0, 0, with_orders(lane, 0, in_flight_qty=0, unknown_qty=0))
    closing = again(stage, flip, [0])
    assert [(leg.index, leg.current.request.is_reduction) for leg in closing.legs] == [(0, True)]
    assert not stage.cohort.wishes


def test_the_fair_order_moves_on_by_one_with_every_event() -> None:
    stage = Stage(("live",) * 3)
    firsts: list[int] = []
    for step in range(1, 7):
        planned = begin(stage, units(step))
        firsts.append(planned.legs[0].row)
        fill(stage, planned)
    assert firsts == [0, 1, 2, 0, 1, 2]


def test_opens_refer_to_the_book_of_the_event_and_exits_to_the_newest() -> None:
    stage = Stage(("live",))
    opened = begin(stage, units(2))
    assert opened.legs[0].current.reference_sequence == 1
    fill(stage, opened)
    newer = stage.cohort.begin(
        stage.intent(units(1)), market(stage, mid_sequence=9), None, now_ns=TimeNs(1)
    )
    stage.cohort.take(newer)
    (leg,) = stage.cohort.take_legs(newer, 1)
    assert leg.current.reference_sequence == 9


def test_legs_are_made_in_parts_without_loss_or_repetition() -> None:
    stage = Stage(("live",) * 10)
    planned = stage.cohort.begin(
        stage.intent(units(1)), market(stage), None, now_ns=stage.clock.now_ns()
    )
    stage.cohort.take(planned)
    rows = [leg.row for _ in range(4) for leg in stage.cohort.take_legs(planned, 4)]
    assert sorted(rows) == list(range(10))
    assert stage.cohort.take_legs(planned, 4) == []


def test_one_followers_impossible_numbers_are_its_own() -> None:
    stage = Stage(("live",), sizing=SizingRule(mode=SizingMode.RATIO, ratio=10**18))
    calm = Stage(("live",))
    member = calm.cohort.members[0]
    stage._add(calm.followers[member.follower].id, "live", 2, None)
    planned = begin(stage, units(10**6) // 100)
    assert [leg.row for leg in planned.legs] == [1]
    assert [leg.row for leg in planned.ended] == [0]


def test_rows_are_found_by_follower() -> None:
    stage = Stage()
    names = list(stage.followers)
    assert stage.cohort.row_of(names[0]) == 0
    assert Cohort(stage.cohort.leader).row_of(names[0]) is None
    assert SCALE == 10**8
