"""No byte leaves before its claim is durable, and every leg hears of its order exactly once."""

import asyncio

import pytest

from mirror_parts import SYMBOL, Stage, units
from slipstream.domain.ids import FollowerId
from slipstream.engine.cohort import INTENT_AGE_NS_MAX
from slipstream.errors import StoreError
from slipstream.store.base import CommitResult, LegKey
from slipstream.units import TimeNs


async def begun(stage: Stage) -> asyncio.Task[bool]:
    """Let the leader open 2, and everything happen that can happen now."""
    task = asyncio.create_task(stage.move(units(2)))
    for _ in range(5):
        await asyncio.sleep(0)
    return task


async def test_no_byte_leaves_before_the_claim_is_durable() -> None:
    stage = Stage()
    stage.store.is_held = True
    task = await begun(stage)
    assert len(stage.store.commits) == 1
    assert stage.sent == []
    stage.store.pending[0].set_result(CommitResult())
    assert await task
    assert len(stage.take_sent()) == 2


async def test_what_is_claimed_is_what_is_sent() -> None:
    stage = Stage()
    await stage.move(units(2))
    claimed = {
        (row.client_order_id, row.qty, row.limit_px, row.side)
        for row in stage.store.commits[0].legs
    }
    sent = {
        (each.client_order_id, each.qty, each.limit_px, each.side.value)
        for each in (order.request for order in stage.take_sent())
    }
    assert sent == claimed


async def test_an_order_leaves_when_its_signature_comes_after_the_claim() -> None:
    stage = Stage()
    stage.signing.is_held = True
    task = await begun(stage)
    assert stage.store.commits
    assert stage.sent == []
    stage.signing.hand_over()
    assert await task
    assert len(stage.take_sent()) == 2


@pytest.mark.parametrize("is_signed_first", [True, False])
async def test_a_refused_commit_sends_nothing_however_late_the_signatures_come(
    *, is_signed_first: bool
) -> None:
    stage = Stage()
    stage.store.is_held = True
    stage.signing.is_held = not is_signed_first
    task = await begun(stage)
    stage.store.pending[0].set_exception(StoreError("disk full"))
    with pytest.raises(StoreError, match="disk full"):
        await task
    stage.signing.hand_over()
    assert stage.sent == []


async def test_what_is_claimed_beside_the_database_opens_nothing_and_still_reduces() -> None:
    stage = Stage()
    await stage.move(units(2))
    for order in stage.take_sent():
        order.fill()
    stage.store.answer = CommitResult(is_sidelogged=True)
    await stage.move(units(4))
    assert stage.take_sent() == []
    assert stage.end_of() == ("skipped", "LEDGER_DOWN")
    await stage.move(units(0))
    assert [order.request.is_reduction for order in stage.take_sent()] == [True, True]


async def test_a_claim_that_took_too_long_opens_nothing() -> None:
    stage = Stage()
    stage.store.is_held = True
    task = await begun(stage)
    stage.clock.at_ns = TimeNs(stage.clock.at_ns + INTENT_AGE_NS_MAX + 1)
    stage.store.pending[0].set_result(CommitResult())
    assert await task
    assert stage.sent == []
    assert stage.end_of() == ("skipped", "STALE_INTENT")


async def test_fills_that_were_mirrored_before_send_nothing() -> None:
    stage = Stage()
    stage.store.answer = CommitResult(duplicates=("fill",))
    assert not await stage.move(units(2))
    stage.signing.hand_over()
    assert stage.sent == []


@pytest.mark.parametrize("kind", ["conflicts", "already"])
async def test_a_claim_the_ledger_holds_already_is_not_sent_and_its_sibling_is(kind: str) -> None:
    stage = Stage()
    stage.store.is_held = True
    task = await begun(stage)
    row = stage.store.commits[0].legs[0]
    key = LegKey(row.intent_id, row.follower_id, row.leg, row.attempt)
    result = CommitResult(already=(key,)) if kind == "already" else CommitResult(conflicts=(key,))
    stage.store.pending[0].set_result(result)
    assert await task
    (sent,) = stage.take_sent()
    assert sent.request.client_order_id != row.client_order_id
    assert stage.end_of(row.follower_id) == ("failed", "NOT_SENT: CLAIM_CONFLICT")
    assert stage.position(stage.cohort.row_of(row.follower_id) or 0) == 0


async def test_a_signature_that_cannot_be_made_is_that_followers_alone() -> None:
    stage = Stage()
    stage.gateways[FollowerId("f1")].is_signing_broken = True
    await stage.move(units(2))
    assert len(stage.take_sent()) == 1
    end, reason = stage.end_of("f1")
    assert end == "failed"
    assert reason is not None
    assert reason.startswith("NOT_SENT: SIGNER")


async def test_a_bug_on_one_followers_way_out_is_its_own_and_its_order_is_asked_about() -> None:
    stage = Stage(("live",) * 4)
    stage.gateways[FollowerId("f2")].is_sending_broken = True
    await stage.move(units(2))
    assert len(stage.take_sent()) == 3
    assert [leg.member.follower for leg in stage.resolver.asked] == ["f2"]


async def test_a_switch_thrown_while_the_claim_was_written_stops_the_order() -> None:
    stage = Stage()
    stage.store.is_held = True
    task = await begun(stage)
    stage.stopped.add("f1")
    stage.store.pending[0].set_result(CommitResult())
    assert await task
    assert len(stage.take_sent()) == 1
    assert stage.end_of("f1") == ("failed", "NOT_SENT: STOPPED")


async def test_shadow_and_paper_claim_and_log_but_send_nothing() -> None:
    stage = Stage(("shadow", "paper", "live"))
    await stage.move(units(2))
    assert len(stage.store.commits[0].legs) == 3
    (sent,) = stage.take_sent()
    sent.fill()
    assert [each[3] for each in stage.ends()] == ["filled"] * 3
    assert [stage.position(row) for row in range(3)] == [units(2)] * 3


async def test_paper_takes_what_the_book_shows_when_it_would_have_been_sent() -> None:
    stage = Stage(("paper", "shadow"), reserving=False)
    stage.store.is_held = True
    task = await begun(stage)
    stage.books.show(units(1) // 10, sequence=2)  # five levels: half a unit
    stage.store.pending[0].set_result(CommitResult())
    assert await task
    assert stage.position(0) == units(1) // 2
    assert stage.position(1) == units(2)


async def test_nothing_imitated_is_filled_before_its_claim_is_durable() -> None:
    stage = Stage(("paper", "shadow"))
    stage.store.is_held = True
    task = await begun(stage)
    assert stage.ends() == []
    assert stage.cohort.table.lane(0, stage.cohort.symbols[SYMBOL]).position_qty == (0, 0)
    stage.store.pending[0].set_result(CommitResult())
    assert await task
    assert len(stage.ends()) == 2


async def test_every_follower_of_a_long_cohort_gets_one_order() -> None:
    stage = Stage(("live",) * 150)
    await stage.move(units(1))
    names = [order.request.client_order_id for order in stage.take_sent()]
    assert len(names) == len(set(names)) == 150
