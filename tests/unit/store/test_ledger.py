"""One transaction per cohort; a fill trades once; an order is claimed once."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from slipstream.domain.cohort import CohortCommit, LegStatus
from slipstream.domain.ids import LeaderId
from slipstream.errors import StoreError
from slipstream.store.base import CommitResult, ControlRow, LegKey, RecordResult
from slipstream.store.sqlite import SqliteStore
from slipstream.units import VenueMs
from unit.store.store_rows import LEADER, claim, cohort, fill, intent, result, unclaimed

FAR_FUTURE = VenueMs(2**50)


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_a_cohort_is_all_there_after_its_commit(store: SqliteStore) -> None:
    wanted = cohort(1, 2, followers=300)
    assert await store.commit(wanted) == CommitResult()
    assert await store.cursor(LEADER, "BTCUSDT") == "cursor-2"
    open_legs = await store.open_legs(LEADER)
    assert [leg[:4] for leg in open_legs] == [leg[:4] for leg in wanted.legs]
    assert open_legs[7].client_order_id == wanted.legs[7].client_order_id
    assert open_legs[7].leg_end is None
    assert {row.follower_id: row.lane for row in await store.lanes(LEADER)} == {
        leg.follower_id: leg.lane for leg in wanted.legs
    }


async def test_a_fill_seen_again_writes_nothing(store: SqliteStore) -> None:
    await store.commit(cohort(1, 2))
    again = cohort(2, 3, followers=5, lane="other")
    outcome = await store.commit(again)
    assert outcome.duplicates == (fill(2).id.key,)
    assert not outcome.is_clean
    assert await store.cursor(LEADER, "BTCUSDT") == "cursor-2"
    assert len(await store.open_legs(LEADER)) == 3
    seen = await store.intent_seen([fill(each).id.key for each in (1, 2, 3)])
    assert seen == {fill(each).id.key: intent(1, 2).id for each in (1, 2)}
    assert {row.lane for row in await store.lanes(LEADER)} == {"lane"}


async def test_the_same_claim_again_is_already_there_and_the_rest_is_written(
    store: SqliteStore,
) -> None:
    first = cohort(1, followers=2)
    await store.commit(first)
    name = first.legs[0].intent_id
    legs = [
        claim(name, 0, lane="again"),
        claim(name, 1, claim_hash=b"another", lane="again"),
        claim(name, 2, lane="new"),
    ]
    outcome = await store.commit(CohortCommit(LEADER, None, legs))
    assert outcome.already == (LegKey(*legs[0][:4]),)
    assert outcome.conflicts == (LegKey(*legs[1][:4]),)
    lanes = {row.follower_id: row.lane for row in await store.lanes(LEADER)}
    assert lanes == {"f0000": "lane", "f0001": "lane", "f0002": "new"}
    assert len(await store.open_legs(LEADER)) == 3


async def test_a_key_twice_in_one_cohort_is_written_once(store: SqliteStore) -> None:
    name = intent(1).id
    legs = [claim(name, 0), claim(name, 0, claim_hash=b"another")]
    outcome = await store.commit(CohortCommit(LEADER, None, legs))
    assert outcome == CommitResult(conflicts=(LegKey(*legs[0][:4]),))


async def test_what_waited_can_be_claimed(store: SqliteStore) -> None:
    cause = intent(1)
    waiting = unclaimed(cause.id, 0, LegStatus.WAITING, "UNKNOWN_PENDING")
    skipped = unclaimed(cause.id, 1, LegStatus.SKIPPED, "DEPTH_SHORT")
    assert (await store.commit(CohortCommit(LEADER, cause, [waiting, skipped]))).is_clean
    assert await store.open_legs(LEADER) == []
    claims = [claim(cause.id, 0), claim(cause.id, 1)]
    outcome = await store.commit(CohortCommit(LEADER, None, claims))
    assert outcome == CommitResult(conflicts=(LegKey(*skipped[:4]),))
    assert [leg.follower_id for leg in await store.open_legs(LEADER)] == ["f0000"]


async def test_an_ended_leg_is_open_no_more_and_its_end_stays(store: SqliteStore) -> None:
    wanted = cohort(1, followers=300)
    await store.commit(wanted)
    ends = [result(leg) for leg in wanted.legs[:250]]
    assert await store.record(ends) == RecordResult()
    assert len(await store.open_legs(LEADER)) == 50
    lanes = {row.follower_id: row.lane for row in await store.lanes(LEADER)}
    assert lanes["f0249"] == "after"
    assert lanes["f0250"] == "lane"
    stranger = result(claim(intent(9).id, 0))
    again = await store.record([ends[0], stranger, result(wanted.legs[299])])
    assert again == RecordResult(repeated=(LegKey(*ends[0][:4]),), missing=(LegKey(*stranger[:4]),))
    assert len(await store.open_legs(LEADER)) == 49


async def test_an_unknown_end_stays_open_until_it_is_known(store: SqliteStore) -> None:
    wanted = cohort(1, followers=1)
    await store.commit(wanted)
    leg = wanted.legs[0]
    outcome = await store.record([result(leg, "unknown", "doubt")])
    assert outcome == RecordResult()
    assert (await store.open_legs(LEADER))[0].leg_end == "unknown"
    both = [result(leg, "unknown", "doubt"), result(leg, "filled", "sure")]
    assert await store.record(both) == RecordResult()
    assert await store.open_legs(LEADER) == []
    assert (await store.lanes(LEADER))[0].lane == "sure"


async def test_the_newest_lane_counts_in_whatever_rows_it_came(store: SqliteStore) -> None:
    first = cohort(1, followers=1, lane="first")
    second = cohort(2, followers=1, lane="second")
    await store.commit(first)
    writes = [
        store.commit(second),
        store.record([result(first.legs[0], lane="third")]),
        store.commit(cohort(3, followers=1, lane="fourth")),
    ]
    for write in writes:
        await write
    assert [row.lane for row in await store.lanes(LEADER)] == ["fourth"]


async def test_two_legs_of_a_flip_leave_the_later_lane(store: SqliteStore) -> None:
    cause = intent(1)
    legs = [claim(cause.id, 0, lane="closed"), claim(cause.id, 0, leg=1, lane="opened")]
    await store.commit(CohortCommit(LEADER, cause, legs))
    assert [row.lane for row in await store.lanes(LEADER)] == ["opened"]


async def test_leaders_do_not_see_each_other(store: SqliteStore) -> None:
    other = LeaderId("shark")
    cause = intent(5, leader=other)
    await store.commit(cohort(1))
    await store.commit(CohortCommit(other, cause, [claim(cause.id, 9, lane="theirs")]))
    assert [row.lane for row in await store.lanes(other)] == ["theirs"]
    assert len(await store.open_legs(other)) == 1
    assert await store.cursor(other, "BTCUSDT") is None


async def test_a_cursor_alone_can_be_committed(store: SqliteStore) -> None:
    await store.commit(CohortCommit(LEADER, None, [], ("ETHUSDT", "12")))
    assert await store.cursor(LEADER, "ETHUSDT") == "12"


async def test_everything_survives_closing(url: str) -> None:
    store = await SqliteStore.open(url)
    await store.commit(cohort(1))
    rows = [ControlRow(1, "pause", follower=None), ControlRow(2, "kill", is_all=True)]
    for row in rows:
        await store.save_control(row)
    await store.close()
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        store.commit(cohort(2))
    again = await SqliteStore.open(url)
    assert await again.controls() == rows
    assert len(await again.open_legs(LEADER)) == 3
    assert (await again.commit(cohort(1))).duplicates == (fill(1).id.key,)
    await again.close()


async def test_pruning_forgets_settled_intents_only(store: SqliteStore) -> None:
    settled, doubtful = cohort(1, followers=2), cohort(2, followers=2)
    await store.commit(settled)
    await store.commit(doubtful)
    await store.record([result(leg) for leg in settled.legs])
    await store.record([result(doubtful.legs[0]), result(doubtful.legs[1], "unknown")])
    assert await store.prune(VenueMs(0)) == 0
    assert await store.prune(FAR_FUTURE) == 1
    assert await store.intent_seen([fill(1).id.key, fill(2).id.key]) == {
        fill(2).id.key: doubtful.legs[0].intent_id
    }
    assert len(await store.lanes(LEADER)) == 2
    assert await store.cursor(LEADER, "BTCUSDT") == "cursor-2"
    assert len(await store.open_legs(LEADER)) == 1


async def test_a_row_the_database_cannot_hold_costs_nobody_else(store: SqliteStore) -> None:
    wanted = cohort(1, followers=3)
    bad = [wanted.legs[0], wanted.legs[1]._replace(qty=2**70)]
    with pytest.raises(StoreError, match="commit") as caught:
        await store.commit(replace(wanted, legs=bad))
    assert not caught.value.is_unavailable
    assert await store.intent_seen([fill(1).id.key]) == {}
    assert (await store.commit(wanted)).is_clean
    good = store.record([result(wanted.legs[0])])
    poison = store.record([result(wanted.legs[1])._replace(filled_qty=2**70)])
    other = store.record([result(wanted.legs[2])])
    assert await good == await other == RecordResult()
    with pytest.raises(StoreError, match="record"):
        await poison
    assert store.stats().error_count == 2


async def test_a_full_disk_is_an_error_and_passes(store: SqliteStore) -> None:
    def set_pages(count: int) -> asyncio.Future[object]:
        return store._writer.submit(
            "pragma", lambda d: d.connection.pragma("max_page_count", count)
        )

    await store.commit(cohort(1))
    await set_pages(1)  # as few as are in use
    with pytest.raises(StoreError, match="full") as caught:
        await store.commit(cohort(2, followers=2_000))
    assert caught.value.is_unavailable
    assert await store.intent_seen([fill(2).id.key]) == {}
    assert len(await store.open_legs(LEADER)) == 3
    await set_pages(2**31)
    assert (await store.commit(cohort(2, followers=2_000))).is_clean


async def test_a_slow_answer_is_counted(url: str) -> None:
    ticks = iter(range(0, 10**15, 600_000_000))
    store = await SqliteStore.open(url, clock_ns=lambda: next(ticks))
    await store.commit(cohort(1))
    assert store.stats().slow_wait_count == 1
    await store.close()


async def test_one_process_writes_a_file(store: SqliteStore, url: str, path: Path) -> None:
    with pytest.raises(StoreError, match="another process is writing"):
        await SqliteStore.open(url)
    assert store.stats().error_count == 0
    assert mode_of(path) == 0o600
