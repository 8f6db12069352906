"""The operator's switches: durable first, then in force, exactly as wide as asked for."""

from typing import cast

import pytest

from mirror_parts import LEADER, SYMBOL, HandStore, Stage, units
from slipstream._core import SkipReason
from slipstream.domain.ids import FollowerId, LeaderId
from slipstream.errors import StoreError
from slipstream.runtime.control import ControlAction, ControlCommand, ControlError, Switches
from slipstream.runtime.switchboard import Switchboard
from slipstream.store.base import ControlRow, Store

A = ControlAction
F1, F2 = FollowerId("f1"), FollowerId("f2")


class ControlStore(HandStore):
    """A store that keeps orders, or refuses them."""

    def __init__(self) -> None:
        """Keep them."""
        super().__init__()
        self.controls: list[ControlRow] = []
        self.is_broken = False

    async def save_control(self, row: ControlRow) -> None:
        if self.is_broken:
            raise StoreError("disk full")
        self.controls.append(row)


class Floor:
    """Notes what it was asked for."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.asked: list[tuple[str, ControlCommand]] = []
        self.problems: list[str] = []

    def is_listed(self, symbol: str) -> bool:
        return symbol == SYMBOL

    async def flatten(self, command: ControlCommand) -> list[str]:
        self.asked.append(("flatten", command))
        return self.problems

    async def catch_up(self, command: ControlCommand) -> list[str]:
        self.asked.append(("catch_up", command))
        return self.problems

    def status(self) -> dict[str, object]:
        return {"leaders": []}


class Desk:
    """A stage with two followers, and a switchboard over it."""

    def __init__(self, *commands: ControlCommand) -> None:
        """Begin with what was ordered before."""
        self.stage = Stage()
        self.store = ControlStore()
        self.floor = Floor()
        self.said: list[str] = []
        self.board = Switchboard(
            Switches(commands),
            store=cast("Store", self.store),
            followers=self.stage.followers,
            leaders=[LEADER],
            wall_ms=lambda: 7,
            tell=self.said.append,
        )
        self.board.bind(self.floor)
        self.board.apply_all()

    async def order(self, action: ControlAction, **scope: object) -> bool:
        reply = await self.board.carry_out(ControlCommand(action, **scope))  # type: ignore[arg-type]
        return reply.ok

    def refusals(self, *, is_opening: bool, symbol: str = SYMBOL) -> list[str | None]:
        return [
            each.refusal(LEADER, symbol, is_opening=is_opening)
            for each in self.stage.followers.values()
        ]


async def test_pause_stops_opens_and_not_exits() -> None:
    desk = Desk()
    assert await desk.order(A.PAUSE, follower=F1)
    assert desk.refusals(is_opening=True) == ["FOLLOWER_PAUSED", None]
    assert desk.refusals(is_opening=False) == [None, None]
    await desk.stage.move(units(1))
    assert len(desk.stage.take_sent()) == 1
    assert desk.stage.end_of("f1") == ("skipped", "FOLLOWER_PAUSED")


@pytest.mark.parametrize(
    ("action", "is_all", "opens", "exits"),
    [
        (A.PAUSE, False, "FOLLOWER_PAUSED", None),
        (A.KILL, False, "KILL_SWITCH", None),
        (A.KILL, True, "KILL_SWITCH", "FROZEN"),
        (A.CLOSE_ONLY, False, "CLOSE_ONLY", None),
        (A.OPEN_ONLY, False, None, "OPEN_ONLY"),
        (A.FREEZE, False, "FROZEN", "FROZEN"),
    ],
)
async def test_each_switch_stops_what_it_is_for(
    action: ControlAction, *, is_all: bool, opens: str | None, exits: str | None
) -> None:
    desk = Desk()
    assert await desk.order(action, is_all=is_all)
    assert desk.refusals(is_opening=True) == [opens, opens]
    assert desk.refusals(is_opening=False) == [exits, exits]


async def test_a_switch_for_one_symbol_leaves_the_others() -> None:
    desk = Desk()
    assert await desk.order(A.CLOSE_ONLY, symbol=SYMBOL)
    assert desk.refusals(is_opening=True) == ["CLOSE_ONLY"] * 2
    assert desk.refusals(is_opening=True, symbol="OTHER") == [None, None]
    assert desk.stage.cohort.table.lane(0, 0).gates == SkipReason.CLOSE_ONLY.mask
    assert await desk.order(A.RESUME, symbol=SYMBOL)
    assert desk.stage.cohort.table.lane(0, 0).gates == 0


async def test_what_was_switched_before_is_in_force_at_the_start() -> None:
    desk = Desk(ControlCommand(A.FREEZE, F2), ControlCommand(A.PAUSE), ControlCommand(A.RESUME, F1))
    assert desk.refusals(is_opening=False) == [None, "FROZEN"]
    assert desk.refusals(is_opening=True) == ["FOLLOWER_PAUSED", "FROZEN"]


async def test_an_order_that_cannot_be_kept_is_not_carried_out() -> None:
    desk = Desk()
    desk.store.is_broken = True
    with pytest.raises(StoreError):
        await desk.order(A.FREEZE)
    assert desk.refusals(is_opening=True) == [None, None]
    assert desk.said == []


async def test_orders_are_kept_logged_and_said() -> None:
    desk = Desk()
    await desk.order(A.FREEZE, follower=F1, symbol=SYMBOL)
    assert desk.store.controls == [ControlRow(7, "freeze", None, F1, SYMBOL, is_all=False)]
    (line,) = desk.store.lines
    assert (line.kind, line.reason, line.follower) == ("control", "FREEZE", F1)
    assert desk.said == ["control: freeze follower f1 symbol XUSDT"]


@pytest.mark.parametrize(
    "scope",
    [{"follower": FollowerId("x")}, {"leader": LeaderId("x")}, {"symbol": "NOPE"}],
)
async def test_a_name_that_is_not_there_is_refused(scope: dict[str, object]) -> None:
    desk = Desk()
    with pytest.raises(ControlError):
        await desk.order(A.PAUSE, **scope)
    assert desk.store.controls == []


async def test_flatten_must_say_for_whom_and_resume_makes_up_for_exits() -> None:
    desk = Desk()
    with pytest.raises(ControlError):
        await desk.order(A.FLATTEN)
    assert await desk.order(A.FLATTEN, is_all=True)
    assert await desk.order(A.RESUME, follower=F1)
    desk.floor.problems = ["XUSDT: no price is known yet"]
    assert not await desk.order(A.FLATTEN, follower=F2)
    assert [what for what, _ in desk.floor.asked] == ["flatten", "catch_up", "flatten"]


async def test_resume_takes_back_the_pause_of_a_refused_key() -> None:
    desk = Desk()
    desk.stage.followers[F1].set_gate(SkipReason.FOLLOWER_PAUSED, is_on=True)
    await desk.order(A.RESUME, symbol=SYMBOL)
    assert desk.refusals(is_opening=True) == ["FOLLOWER_PAUSED", None]
    await desk.order(A.RESUME, follower=F1)
    assert desk.refusals(is_opening=True) == [None, None]
