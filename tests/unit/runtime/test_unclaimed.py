"""What lanes hold before the ledger has taken it is written nowhere: refused, it comes again."""

import asyncio

import pytest

from mirror_parts import SYMBOL, Sent, Stage, units
from slipstream.errors import StoreError
from slipstream.store.base import CommitResult


async def begin_held(stage: Stage, after: int) -> "asyncio.Task[object]":
    """Let the leader step to a position, whose claim is not durable yet."""
    stage.store.is_held = True
    intent = stage.intent(after)
    task: asyncio.Task[object] = asyncio.create_task(
        stage.mirror.mirror(intent, SYMBOL, gates=0, cursor=None)
    )
    await asyncio.sleep(0)
    return task


async def one_out(stage: Stage) -> Sent:
    """Return the leader's open of four units, out and unanswered."""
    await stage.move(units(4))
    (sent,) = stage.take_sent()
    return sent


async def test_an_end_beside_a_claim_that_is_not_durable_is_written_after_it() -> None:
    stage = Stage(("live",))
    sent = await one_out(stage)
    task = await begin_held(stage, units(9))
    sent.fill()
    assert stage.ends() == []
    assert stage.store.results == []
    stage.store.pending[-1].set_result(CommitResult())
    await task
    assert [each[3] for each in stage.ends()] == ["filled"]
    assert [each.filled_qty for each in stage.store.results] == [units(4)]


async def test_an_end_beside_a_claim_that_was_refused_is_left_to_the_venue_to_tell() -> None:
    stage = Stage(("live",))
    sent = await one_out(stage)
    task = await begin_held(stage, units(9))
    stage.store.pending[-1].set_exception(StoreError("the disk is full"))
    with pytest.raises(StoreError):
        await task
    sent.fill()
    stage.journal.drain()
    assert stage.store.results == []
    assert stage.ends() == []


async def test_no_lane_is_planned_again_while_a_claim_is_not_durable() -> None:
    stage = Stage(("live",))
    await stage.move(units(4))
    stage.take_sent()[0].fill()
    await stage.move(units(2))
    (close,) = stage.take_sent()
    task = await begin_held(stage, units(1))
    close.fill(0)
    commit_count = len(stage.store.commits)
    await stage.fire()
    assert not stage.mirror.has_replans
    assert len(stage.store.commits) == commit_count
    stage.store.is_held = False
    stage.store.pending[-1].set_result(CommitResult())
    await task
    await stage.fire()
    (sent,) = stage.take_sent()
    assert sent.request.qty == units(3)
