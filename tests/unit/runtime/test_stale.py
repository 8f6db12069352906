"""What silence of a leader does to each follower: its own policy, and nothing else."""

from dataclasses import replace
from typing import cast

import pytest

from mirror_parts import LEADER, SYMBOL, HandStore, Stage, units
from slipstream.config.model import (
    FollowerConfig,
    MirrorConfig,
    MirrorMode,
    ResumePolicy,
    StalePolicy,
)
from slipstream.domain.ids import FollowerId, LeaderId
from slipstream.errors import StoreError
from slipstream.runtime.control import (
    ControlAction,
    ControlCommand,
    ControlError,
    Switches,
    command_of,
)
from slipstream.runtime.stale import LIVE_MARK, StaleWatch
from slipstream.runtime.supervisor import Health
from slipstream.runtime.switchboard import Switchboard
from slipstream.store.base import ControlRow, Store
from slipstream.units import NS_PER_S

F1, F2 = FollowerId("f1"), FollowerId("f2")
MINUTE = 60


class MarkStore(HandStore):
    """A store with cursors and orders of the operator's, or one that refuses."""

    def __init__(self) -> None:
        """Know nothing yet."""
        super().__init__()
        self.marks: dict[str, str] = {}
        self.controls: list[ControlRow] = []
        self.is_broken = False

    async def cursor(self, leader: LeaderId, symbol: str) -> str | None:
        del leader
        return self.marks.get(symbol)

    async def save_control(self, row: ControlRow) -> None:
        if self.is_broken:
            raise StoreError("disk full")
        self.controls.append(row)


class Hall:
    """A stage whose leader falls silent when the test says so."""

    def __init__(self, *configs: dict[str, object], store: MarkStore | None = None) -> None:
        """One follower for each configuration."""
        self.stage = Stage(["live"] * len(configs))
        self.store = store or MarkStore()
        self.health = Health(LEADER, lambda _: None)
        self.closed: list[FollowerId] = []
        self.reports: list[tuple[str, FollowerId | None]] = []
        self.is_busy = False
        self.can_close = True
        mirrors = (MirrorConfig(LEADER, MirrorMode.RATIO),)
        for follower, config in zip(self.stage.followers.values(), configs, strict=True):
            chosen = cast("FollowerConfig", replace(follower.config, mirrors=mirrors, **config))  # type: ignore[arg-type]
            follower.config = chosen
            follower.join(follower.memberships[0])
        self.board = Switchboard(
            Switches(command_of(row) for row in self.store.controls),
            store=cast("Store", self.store),
            followers=self.stage.followers,
            leaders=[LEADER],
            wall_ms=self.wall_ms,
            tell=lambda _: None,
        )
        self.board.apply_all()
        self.watch = StaleWatch(
            [self.health],
            self.stage.followers,
            store=cast("Store", self.store),
            latch=self.board.latch,
            flatten=self.flatten,
            is_busy=lambda _: self.is_busy,
            report=lambda kind, follower, _: self.reports.append((kind, follower)),
            now_ns=self.stage.clock.now_ns,
            wall_ms=self.wall_ms,
        )

    def wall_ms(self) -> int:
        return self.stage.clock.now_ns() // 1_000_000

    async def flatten(self, leader: LeaderId, follower: FollowerId) -> bool:
        assert leader == LEADER
        if self.can_close:
            self.closed.append(follower)
        return self.can_close

    async def after(self, seconds: int) -> None:
        self.stage.clock.at_ns += seconds * NS_PER_S
        await self.watch.look()

    async def up(self) -> None:
        """The stream comes, and what was missed is read back."""
        self.health.up()
        self.health.is_caught_up = True
        await self.watch.look()

    def down(self) -> None:
        self.health.down("cut", self.stage.clock.now_ns())

    def refusal(self, name: FollowerId = F1, *, is_opening: bool = True) -> str | None:
        return self.stage.followers[name].refusal(LEADER, SYMBOL, is_opening=is_opening)


async def followed(*configs: dict[str, object]) -> Hall:
    hall = Hall(*configs)
    await hall.watch.begin()
    await hall.up()
    return hall


FLATTEN = {"stale_leader": StalePolicy.FLATTEN_AFTER, "flatten_after_ns": 15 * MINUTE * NS_PER_S}
CLOSE_ONLY = {"stale_leader": StalePolicy.CLOSE_ONLY}
MANUAL = {"stale_resume": ResumePolicy.MANUAL}


async def test_hold_does_nothing_however_long_the_silence_is() -> None:
    hall = await followed({})
    hall.down()
    await hall.after(10 * 24 * 60 * MINUTE)
    assert hall.closed == []
    assert hall.reports == []
    # An event of a stale leader is not opened on by the pipeline itself.
    assert hall.refusal() is None


async def test_close_only_opens_nothing_until_what_was_missed_is_read_and_mirrored() -> None:
    hall = await followed(CLOSE_ONLY)
    assert hall.refusal() is None
    hall.down()
    assert hall.refusal() == "LEADER_STALE"
    assert hall.refusal(is_opening=False) is None
    hall.health.up()
    await hall.after(1)
    assert hall.refusal() == "LEADER_STALE"
    hall.health.is_caught_up = True
    hall.is_busy = True
    await hall.after(1)
    assert hall.refusal() == "LEADER_STALE"
    hall.is_busy = False
    await hall.after(1)
    assert hall.refusal() is None
    assert hall.closed == []


async def test_close_only_begins_before_the_leader_was_ever_heard() -> None:
    hall = Hall(CLOSE_ONLY, {})
    await hall.watch.begin()
    assert hall.refusal(F1) == "LEADER_STALE"
    assert hall.refusal(F2) is None


async def test_flatten_after_closes_once_at_its_time_and_nobody_elses() -> None:
    hall = await followed(FLATTEN, {})
    hall.down()
    await hall.after(15 * MINUTE - 1)
    assert hall.closed == []
    await hall.after(1)
    await hall.after(MINUTE)
    assert hall.closed == [F1]
    assert hall.reports == [("STALE_LEADER", F1)]
    await hall.up()
    hall.down()
    await hall.after(15 * MINUTE)
    assert hall.closed == [F1, F1]


async def test_a_flatten_that_is_not_possible_now_is_tried_again() -> None:
    hall = await followed(FLATTEN)
    hall.down()
    hall.can_close = False
    await hall.after(20 * MINUTE)
    assert hall.reports == []
    hall.can_close = True
    await hall.after(1)
    assert hall.closed == [F1]


async def test_a_short_silence_never_waits_for_the_operator() -> None:
    hall = await followed(MANUAL)
    hall.down()
    await hall.after(MINUTE - 1)
    await hall.up()
    assert hall.refusal() is None
    assert hall.store.controls == []


async def test_after_a_long_silence_only_the_operator_lets_opens_pass_again() -> None:
    hall = await followed(MANUAL, {})
    hall.board.bind(cast("object", QuietFloor()))  # type: ignore[arg-type]
    hall.down()
    await hall.after(MINUTE)
    await hall.after(MINUTE)
    assert hall.reports == [("RESUME_WANTED", F1)]
    await hall.up()
    assert hall.refusal(F1) == "LEADER_STALE"
    assert hall.refusal(F1, is_opening=False) is None
    assert hall.refusal(F2) is None
    reply = await hall.board.carry_out(ControlCommand(ControlAction.RESUME, leader=LEADER))
    assert reply.ok
    assert hall.refusal(F1) is None


async def test_waiting_for_the_operator_survives_a_restart() -> None:
    hall = await followed(MANUAL)
    hall.down()
    await hall.after(MINUTE)
    again = Hall(MANUAL, store=hall.store)
    await again.watch.begin()
    await again.up()
    assert again.refusal() == "LEADER_STALE"


async def test_a_silence_is_as_long_as_the_daemon_was_down_too() -> None:
    hall = await followed(MANUAL)
    assert hall.store.commits[-1].cursor == (LIVE_MARK, str(hall.wall_ms()))
    store = MarkStore()
    store.marks[LIVE_MARK] = str(hall.wall_ms())
    again = Hall(MANUAL | FLATTEN, store=store)
    again.stage.clock.at_ns += 14 * MINUTE * NS_PER_S
    await again.watch.begin()
    assert again.health.down_since_ns == hall.stage.clock.now_ns()
    assert again.reports == [("RESUME_WANTED", F1)]
    await again.after(MINUTE)
    assert again.closed == [F1]


async def test_the_mark_is_written_every_ten_seconds_and_moves_while_the_stream_is_up() -> None:
    hall = await followed({})
    for _ in range(25):
        await hall.after(1)
    assert len(hall.store.commits) == 3
    hall.down()
    for _ in range(25):
        await hall.after(1)
    marks = [commit.cursor for commit in hall.store.commits]
    assert marks[2:] == [marks[2]] * len(marks[2:])
    assert len(set(marks[:3])) == 3
    assert len(marks) == 6


async def test_a_stop_that_cannot_be_made_durable_is_tried_again_and_told() -> None:
    hall = await followed(MANUAL)
    hall.down()
    hall.store.is_broken = True
    await hall.after(MINUTE)
    assert hall.reports == [("RESUME_NOT_RECORDED", F1)]
    hall.store.is_broken = False
    await hall.after(1)
    assert hall.reports[-1] == ("RESUME_WANTED", F1)


async def test_nobody_orders_the_engines_own_stop() -> None:
    hall = await followed({})
    hall.board.bind(cast("object", QuietFloor()))  # type: ignore[arg-type]
    with pytest.raises(ControlError, match="set by the engine only"):
        await hall.board.carry_out(ControlCommand(ControlAction.LEADER_STALE, F1, LEADER))


async def test_an_open_of_a_stale_leaders_follower_is_skipped_with_its_reason() -> None:
    hall = await followed(CLOSE_ONLY, {})
    hall.down()
    await hall.stage.move(units(1))
    assert hall.stage.end_of("f1") == ("skipped", "LEADER_STALE")
    assert len(hall.stage.take_sent()) == 1


class QuietFloor:
    """Nothing is held back and nothing is wrong."""

    def is_listed(self, symbol: str) -> bool:
        return symbol == SYMBOL

    async def flatten(self, command: ControlCommand) -> list[str]:
        raise NotImplementedError(command)

    async def catch_up(self, command: ControlCommand) -> list[str]:
        del command
        return []

    def status(self) -> dict[str, object]:
        return {}
