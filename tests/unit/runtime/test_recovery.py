"""A process that is killed and the next one: every leg told once, no order twice, no fill lost."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest_asyncio

from mirror_parts import SYMBOL, Sent, Stage, report_of, units
from slipstream._core import LaneState
from slipstream.domain.cohort import CohortCommit, LegRow, LegStatus
from slipstream.domain.ids import FollowerId, IntentId, LeaderId
from slipstream.domain.order import OrderReport
from slipstream.domain.outcome import NotSent, Unknown
from slipstream.engine.leglife import Leg
from slipstream.errors import StoreError
from slipstream.runtime.comeback import Recorder
from slipstream.runtime.recovery import Recovery
from slipstream.runtime.restored import Instants
from slipstream.store.base import ActivityFilter
from slipstream.store.sqlite import SqliteStore

LEADER = LeaderId("whale")
F1 = FollowerId("f1")
NS_PER_MS = 1_000_000


@dataclass
class Lives:
    """One database, and one process after another that works on it."""

    store: SqliteStore
    stage: Stage = field(init=False)
    recovery: Recovery = field(init=False)
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    async def begin(
        self, modes: tuple[str, ...] = ("live",), *, late_ms: int = 0, leader_qty: int = 0
    ) -> Stage:
        """Start a process, ``late_ms`` after the leader's newest fill."""
        stage = self.stage = Stage(modes)
        stage.leader_qty, stage._numbers = leader_qty, self.numbers
        stage.fan_out._store = self.store
        stage.journal._log = self.store.log
        stage.journal._results._record = Recorder(
            self.store, lambda *_: None, line=stage.fan_out._line
        )
        history = await self.store.history(LEADER, fill_count_max=10)
        newest_ms = next(self.numbers)
        self.recovery = Recovery(
            LEADER,
            [stage.mirror],
            stage.followers,
            store=self.store,
            journal=stage.journal,
            at=Instants(stage.clock.now_ns(), newest_ms + late_ms),
            newest=dict(history.newest),
        )
        await self.recovery.restore()
        await self.recovery.tell()
        self.recovery.ask()
        self.recovery.take_up()
        await stage.mirror.replan()
        return stage

    async def kill(self, *, loses_results: bool = False) -> None:
        """End the process: lines it had not given to the store are gone."""
        if loses_results:
            self.stage.journal._results._gathered.clear()
        self.stage.journal.give_results()
        await self.store.flush()

    async def move(self, qty: int) -> None:
        """Let the leader step; the process dies before the line of that is given to the store."""
        intent = self.stage.intent(qty)
        assert await self.stage.mirror.mirror(intent, SYMBOL, gates=0, cursor=None) is not None

    async def lines(self, kind: str = "leg") -> list[dict[str, Any]]:
        await self.store.flush()
        return [
            {
                "key": (row.intent_id, row.follower, json.loads(row.payload).get("leg")),
                "reason": row.reason,
                **json.loads(row.payload),
            }
            async for row in self.store.activity(ActivityFilter(kind=kind))
        ]

    async def told(self) -> list[tuple[int, str, str | None]]:
        """Return (leg, end, reason) of every line; each leg has one."""
        await self.stage.journal.finish()
        lines = await self.lines()
        assert max(Counter(line["key"] for line in lines).values(), default=1) == 1
        return [(line["leg"], line["end"], line["reason"]) for line in lines]

    def resolve(self, leg: Leg, filled: int | None) -> None:
        """Tell what became of an unknown order; ``None``: it never came to be."""
        report: OrderReport | None = None
        if filled is not None:
            report = report_of(leg.current.request, filled)
        self.stage.resolver.asked.remove(leg)
        self.stage.resolver.resolve(leg, report, self.stage.clock.now_ns())

    def lane(self) -> LaneState:
        return self.stage.cohort.table.lane(0, 0)

    async def sent(self) -> list[Sent]:
        await self.stage.fire()
        return self.stage.take_sent()


@pytest_asyncio.fixture
async def lives(tmp_path: Path) -> AsyncIterator[Lives]:
    store = await SqliteStore.open(f"sqlite:///{tmp_path}/ledger.db")
    yield Lives(store)
    await store.close()


async def opened(lives: Lives, qty: int = units(4)) -> None:
    """Let the leader open, and the follower fill; both are told."""
    stage = await lives.begin()
    await stage.move(qty)
    stage.take_sent()[0].fill()
    await stage.journal.finish()


async def test_an_order_found_filled_is_counted_and_told_once_with_its_evidence(
    lives: Lives,
) -> None:
    stage = await lives.begin()
    await lives.move(units(4))
    (sent,) = stage.take_sent()
    await lives.kill()
    stage = await lives.begin()
    assert (lives.recovery.claim_count, lives.lane().unknown_qty[0]) == (1, units(4))
    (leg,) = stage.resolver.asked
    assert leg.current.request == sent.request
    lives.resolve(leg, units(3))
    assert (stage.position(), lives.lane().unknown_qty[0]) == (units(3), 0)
    assert await lives.told() == [(0, "partial", "RECOVERED")]
    (line,) = await lives.lines()
    assert (line["recovered"], line["filled_qty"], line["newest"]) == (True, "3", line["key"][0])
    (order,) = line["orders"]
    assert order["client_order_id"] == sent.request.client_order_id
    assert (order["reference"], order["reference_px"]) == ("ARRIVAL_MID", "100")
    assert (order["bound_ppm"], order["reference_sequence"], order["book_sequence"]) == (
        10_000,
        1,
        1,
    )
    (event,) = await lives.lines("intent")
    assert (event["recovered"], event["after"], len(event["fills"])) == (True, "4", 1)
    await lives.kill()
    assert (await lives.store.unsettled(LEADER)).legs == []
    await lives.begin()
    assert len(await lives.told()) == 1


async def test_an_order_that_never_came_to_be_ends_as_absent(lives: Lives) -> None:
    stage = await lives.begin()
    await stage.move(units(4))
    await lives.kill()
    stage = await lives.begin()
    lives.resolve(stage.resolver.asked[0], None)
    assert (stage.position(), lives.lane().unknown_qty[0]) == (0, 0)
    assert await lives.told() == [(0, "failed", "ABSENT")]
    assert lives.lane().wanted_target[0] == 0


async def test_a_reduction_found_absent_stays_wanted_under_a_new_name(lives: Lives) -> None:
    await opened(lives)
    await lives.stage.move(units(1))
    (first,) = lives.stage.take_sent()
    await lives.kill()
    stage = await lives.begin(late_ms=10**9)
    assert await lives.sent() == []
    lives.resolve(stage.resolver.asked[0], None)
    (again,) = await lives.sent()
    assert (again.request.qty, again.request.is_reduction) == (units(3), True)
    assert again.request.client_order_id != first.request.client_order_id
    again.fill()
    assert stage.position() == units(1)
    assert [each[:2] for each in await lives.told()] == [(0, "filled"), (0, "filled")]
    assert [order["attempt"] for order in (await lives.lines())[-1]["orders"]] == [0, 1]


async def test_a_reduction_found_partly_filled_is_finished(lives: Lives) -> None:
    await opened(lives)
    await lives.stage.move(0)
    await lives.kill()
    stage = await lives.begin(late_ms=10**9)
    lives.resolve(stage.resolver.asked[0], units(3))
    (rest,) = await lives.sent()
    assert rest.request.qty == units(1)
    rest.fill()
    assert stage.position() == 0
    assert [each[:2] for each in await lives.told()] == [(0, "filled"), (0, "filled")]


async def test_an_exit_beside_an_unknown_order_is_two_claims_of_one_lane(lives: Lives) -> None:
    await opened(lives)
    await lives.stage.move(units(6))
    lives.stage.take_sent()[0].answer(Unknown("lost"))
    await lives.stage.move(0)
    (close,) = lives.stage.take_sent()
    assert close.request.qty == units(4)
    await lives.kill()
    stage = await lives.begin(late_ms=10**9)
    assert (lives.lane().in_flight_qty[0], lives.lane().unknown_qty[0]) == (-units(4), units(2))
    increase, exit_ = stage.resolver.asked
    assert not any(leg.is_counted for leg in (increase, exit_))
    lives.resolve(exit_, units(4))
    lives.resolve(increase, units(2))
    assert stage.position() == units(2)
    (rest,) = await lives.sent()
    assert (rest.request.qty, rest.request.is_reduction) == (units(2), True)
    rest.fill()
    assert (stage.position(), lives.lane().unknown_qty[0], lives.lane().in_flight_qty[0]) == (
        0,
        0,
        0,
    )
    await lives.told()


async def test_of_two_reductions_the_one_that_ended_is_the_one_that_is_over(
    lives: Lives,
) -> None:
    await opened(lives)
    await lives.stage.move(units(3))
    lives.stage.take_sent()[0].answer(Unknown("lost"))
    await lives.stage.move(0)
    assert [order.request.qty for order in lives.stage.take_sent()] == [units(3)]
    await lives.kill()
    stage = await lives.begin(late_ms=10**9)
    first, second = stage.resolver.asked
    lives.resolve(first, units(1))
    assert (stage.position(), lives.lane().unknown_qty[0], lives.lane().in_flight_qty[0]) == (
        units(3),
        -units(3),
        0,
    )
    lives.resolve(second, units(3))
    assert (stage.position(), lives.lane().unknown_qty[0]) == (0, 0)
    assert await lives.sent() == []


async def test_a_fill_that_a_newer_row_of_the_lane_has_counted_is_not_counted_again(
    lives: Lives,
) -> None:
    stage = await lives.begin()
    await stage.move(units(4))
    stage.take_sent()[0].fill()
    stage.journal._results._gathered.clear()  # refused by the database
    await stage.move(units(6))
    await lives.kill()
    stage = await lives.begin()
    first, second = stage.resolver.asked
    assert (first.is_counted, second.is_counted) == (True, False)
    assert (stage.position(), lives.lane().unknown_qty[0]) == (units(4), units(2))
    lives.resolve(first, units(4))
    assert (stage.position(), lives.lane().unknown_qty[0]) == (units(4), units(2))
    lives.resolve(second, units(2))
    assert stage.position() == units(6)
    assert await lives.told() == [(0, "filled", "RECOVERED")] * 2


async def test_results_are_in_the_ledger_before_a_newer_row_of_their_lane(lives: Lives) -> None:
    stage = await lives.begin()
    await stage.move(units(4))
    stage.take_sent()[0].fill()
    await stage.move(units(6))
    await lives.store.flush()
    (row,) = (await lives.store.unsettled(LEADER)).legs
    assert row.qty == units(2)
    (lane,) = await lives.store.lanes(LEADER)
    state = LaneState.decode(lane.lane)
    assert (state.position_qty[0], state.in_flight_qty[0]) == (units(4), units(2))


async def test_an_order_that_no_claim_stands_for_is_out_no_more(lives: Lives) -> None:
    state = LaneState(position_qty=(units(1), 0), in_flight_qty=(units(2), 0), exact_target=(5, 0))
    row = LegRow(
        IntentId("odd"), F1, 0, 0, LegStatus.SKIPPED, SYMBOL, 0, state.encode(), 0, "DEPTH_SHORT"
    )
    await lives.store.commit(CohortCommit(LEADER, None, [row]))
    stage = await lives.begin()
    assert (stage.position(), lives.lane().in_flight_qty[0]) == (units(1), 0)
    assert lives.lane().exact_target[0] == 5


async def test_lines_that_died_are_told_once_whatever_is_killed_next(lives: Lives) -> None:
    stage = await lives.begin(("live", "shadow"))
    for step in (4, 6, 1):
        await lives.move(units(step))
        for order in stage.take_sent():
            order.fill()
    await lives.kill()
    for _ in range(3):
        await lives.begin(("live", "shadow"), late_ms=10**9)
        await lives.kill()
    told = await lives.told()
    assert Counter(told) == {(0, "filled", None): 6}
    lines = await lives.lines()
    assert {line["newest"] for line in lines} == {lines[-1]["key"][0]}
    assert [line["after"] for line in await lives.lines("intent")] == ["4", "6", "1"]
    assert {line["position"] for line in lines} == {"1"}


async def test_the_opening_of_a_flip_that_never_had_an_order_is_too_old(lives: Lives) -> None:
    await opened(lives)
    await lives.stage.move(-units(3))
    await lives.kill()
    stage = await lives.begin(late_ms=10**9)
    lives.resolve(stage.resolver.asked[0], units(4))
    await stage.mirror.replan()
    assert (await lives.sent(), stage.position()) == ([], 0)
    assert lives.lane().wanted_target[0] == 0
    assert lives.lane().exact_target[0] < 0
    told = await lives.told()
    assert told[1:] == [(0, "filled", "RECOVERED"), (1, "skipped", "STALE_INTENT")]


async def test_the_opening_of_a_flip_that_is_young_enough_follows_its_close(lives: Lives) -> None:
    await opened(lives)
    await lives.stage.move(-units(3))
    await lives.kill()
    stage = await lives.begin()
    lives.resolve(stage.resolver.asked[0], units(4))
    (opening,) = await lives.sent()
    assert (opening.request.qty, opening.request.is_reduction) == (units(3), False)
    opening.fill()
    assert stage.position() == -units(3)
    assert [each[:2] for each in (await lives.told())[1:]] == [(0, "filled"), (1, "filled")]


async def test_a_close_that_waited_for_an_unknown_opening_is_sent_at_any_age(
    lives: Lives,
) -> None:
    stage = await lives.begin()
    await stage.move(units(4))
    await stage.move(0)
    assert len(stage.take_sent()) == 1
    await lives.kill()
    stage = await lives.begin(late_ms=10**9)
    assert await lives.sent() == []
    lives.resolve(stage.resolver.asked[0], units(4))
    (close,) = await lives.sent()
    assert (close.request.qty, close.request.is_reduction) == (units(4), True)
    close.fill()
    assert stage.position() == 0
    assert await lives.told() == [(0, "filled", "RECOVERED"), (0, "filled", None)]


async def test_a_close_that_waits_when_the_engine_stops_says_so(lives: Lives) -> None:
    stage = await lives.begin()
    await lives.move(units(4))
    await lives.move(0)
    assert len(stage.take_sent()) == 1
    stage.mirror.end_unfinished()
    assert await lives.told() == [(0, "skipped", "ENGINE_STOPPED")]


async def test_an_increase_that_waited_is_too_old_and_given_up(lives: Lives) -> None:
    stage = await lives.begin()
    await stage.move(units(4))
    await stage.move(units(6))
    await lives.kill()
    stage = await lives.begin(late_ms=10**9)
    lives.resolve(stage.resolver.asked[0], units(4))
    assert await lives.sent() == []
    assert await lives.told() == [(0, "filled", "RECOVERED"), (0, "skipped", "STALE_INTENT")]
    assert lives.lane().wanted_target[0] == lives.lane().position_qty[0] * 10**10


async def test_what_a_newer_event_took_over_is_told_as_superseded(lives: Lives) -> None:
    stage = await lives.begin()
    await stage.move(units(4))
    await stage.move(units(6))
    await stage.move(units(5))
    await lives.kill()
    stage = await lives.begin(late_ms=10**9)
    lives.resolve(stage.resolver.asked[0], units(4))
    assert await lives.sent() == []
    told = await lives.told()
    assert (0, "skipped", "SUPERSEDED") in told
    assert len(told) == 3


async def test_an_exit_that_was_tried_again_and_again_goes_on(lives: Lives) -> None:
    await opened(lives)
    await lives.stage.move(units(1))
    for _ in range(3):
        lives.stage.take_sent()[0].fill(0)
        await lives.stage.fire()
    lives.stage.take_sent()[0].fill(units(1))
    await lives.kill()
    stage = await lives.begin(late_ms=10**9)
    (rest,) = stage.take_sent()
    assert rest.request.qty == units(2)
    rest.fill()
    assert stage.position() == units(1)
    assert [each[:2] for each in await lives.told()] == [(0, "filled"), (0, "filled")]
    assert [order["attempt"] for order in (await lives.lines())[-1]["orders"]] == [0, 1, 2, 3, 4]


async def test_an_exit_that_was_refused_and_goes_on_ends_as_what_it_became(lives: Lives) -> None:
    await opened(lives)
    await lives.stage.move(units(1))
    lives.stage.take_sent()[0].answer(NotSent("CONNECTION_LOST"))
    await lives.kill()
    stage = await lives.begin(late_ms=10**9)
    (again,) = stage.take_sent()
    again.fill()
    assert stage.position() == units(1)
    assert (await lives.told())[-1][:2] == (0, "filled")


async def test_what_is_not_sent_to_a_venue_needs_no_asking(lives: Lives) -> None:
    stage = await lives.begin(("paper",))
    await stage.move(units(4))
    await lives.kill(loses_results=True)
    stage = await lives.begin(("paper",))
    assert (stage.resolver.asked, lives.lane().unknown_qty[0]) == ([], 0)
    assert await lives.told() == [(0, "failed", "ABSENT")]


async def test_a_follower_that_follows_no_more_is_told_of_and_its_claim_reported(
    lives: Lives,
) -> None:
    stage = await lives.begin(("live", "live", "live"))
    await stage.move(units(4))
    for order in stage.take_sent()[:2]:
        order.fill()
    await lives.kill()
    await lives.begin()
    told = {line["key"][1]: line["position"] for line in await lives.lines()}
    assert told == {"f1": "4", "f2": "4"}
    incidents = [line["reason"] for line in await lives.lines("incident")]
    assert incidents == ["CLAIM_UNRESOLVED"]


async def test_orders_known_to_the_ledger_explain_their_fills(lives: Lives) -> None:
    stage = await lives.begin()
    await stage.move(units(4))
    (first,) = stage.take_sent()
    first.fill()
    await stage.move(units(6))
    await lives.kill()
    stage = await lives.begin()
    known = f"venue-{first.request.client_order_id}"
    assert list(stage.followers[F1].order_ids) == [known]


async def test_every_leg_is_told_once_through_any_number_of_kills(lives: Lives) -> None:
    await lives.begin(("live", "live"))
    asked = 0
    for number, step in enumerate((3, 5, 2, -2, -4, 1, 0, 2, 0)):
        await lives.move(units(step))
        orders = lives.stage.take_sent()
        for order in orders[number % 2 :]:
            order.fill()
        await lives.kill(loses_results=number % 3 == 2)
        stage = await lives.begin(
            ("live", "live"), late_ms=(number % 2) * 10**9, leader_qty=units(step)
        )
        asked += len(stage.resolver.asked)
        for place, leg in enumerate(list(stage.resolver.asked)):
            # What the venue has: the answered ones filled, of the others every second one.
            is_filled = number % 3 == 2 or place % 2
            lives.resolve(leg, leg.current.request.qty if is_filled else 0)
        for _ in range(4):
            for order in await lives.sent():
                order.fill()
    assert asked > 4
    assert [stage.position(row) for row in (0, 1)] == [0, 0]
    told = await lives.told()
    lines = await lives.lines()
    assert len(lines) == len(told)
    intents = {line["key"][0] for line in await lives.lines("intent")}
    assert len(intents) == 9
    legs = {line["key"][:2] for line in lines if line["leg"] == 0}
    assert {(each, name) for each in intents for name in ("f1", "f2")} <= legs


_REFUSE_SECOND_ATTEMPTS = """
CREATE TEMP TRIGGER refuse BEFORE INSERT ON main.leg WHEN NEW.attempt > 0
BEGIN SELECT RAISE(ABORT, 'refused'); END
"""


async def test_an_event_planned_on_a_pass_that_the_ledger_refuses_is_refused_with_it(
    lives: Lives,
) -> None:
    await opened(lives)
    stage = lives.stage
    await lives.move(units(3))
    (sent,) = stage.take_sent()
    sent.fill(0)
    await lives.store._writer.submit("refuse", lambda d: d.run(_REFUSE_SECOND_ATTEMPTS))
    for _, retry in stage.due:
        retry()
    # The pass waits for its claim while the leader goes on.
    again = asyncio.create_task(stage.mirror.replan())
    await asyncio.sleep(0)
    intent = stage.intent(units(1))
    event = asyncio.create_task(stage.mirror.mirror(intent, SYMBOL, gates=0, cursor=None))
    await asyncio.wait((again, event))
    assert [type(each.exception()) for each in (again, event)] == [StoreError] * 2
    assert stage.take_sent() == []
    await stage.journal.finish()
    await lives.store._writer.submit("allow", lambda d: d.run("DROP TRIGGER refuse"))
    assert await lives.store.intent_seen([each.id.key for each in intent.fills]) == {}
    (row,) = await lives.store.lanes(LEADER)
    lane = LaneState.decode(row.lane)
    assert (lane.position_qty[0], lane.in_flight_qty[0], lane.unknown_qty[0]) == (units(4), 0, 0)
    assert await lives.store.open_legs(LEADER) == []
    stage = await lives.begin()
    (rest,) = await lives.sent()
    assert (rest.request.is_reduction, rest.request.qty) == (True, units(1))


async def test_an_opening_given_up_for_a_reduction_is_told_as_an_opening(lives: Lives) -> None:
    stage = await lives.begin()
    for step in (4, 12, 8):
        await lives.move(units(step))
    stage.books.show(1, sequence=2)
    stage.take_sent()[0].fill()
    assert await lives.sent() == []
    await lives.kill()
    await lives.begin()
    *_, line = await lives.lines()
    assert (line["kind"], line["reason"]) == ("partial_close", "DEPTH_SHORT")
    assert (line["is_opening"], line["missed_qty"]) == (True, "4")
