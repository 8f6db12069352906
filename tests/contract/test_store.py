"""The port of the store, on every database: one transaction per cohort; a fill trades once; an
order is claimed once."""

import asyncio
import hashlib
import json
from dataclasses import replace
from typing import Any, get_type_hints

import pytest

from slipstream.domain.cohort import ActivityRow, CohortCommit, LegStatus
from slipstream.domain.ids import LeaderId, parse_fill_key
from slipstream.errors import StoreError
from slipstream.store import base, open_store
from slipstream.store.base import (
    ActivityFilter,
    CommitResult,
    ControlRow,
    LegKey,
    Line,
    RecordResult,
    Store,
)
from slipstream.store.postgres import PostgresStore
from slipstream.store.sqlite import SqliteStore
from slipstream.units import VenueMs
from unit.store.store_rows import LEADER, claim, cohort, fill, intent, result, unclaimed

FAR_FUTURE = VenueMs(2**50)


async def test_a_cohort_is_all_there_after_its_commit(store: Store) -> None:
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


async def test_a_fill_seen_again_writes_nothing(store: Store) -> None:
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
    store: Store,
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


async def test_a_key_twice_in_one_cohort_is_written_once(store: Store) -> None:
    name = intent(1).id
    legs = [claim(name, 0), claim(name, 0, claim_hash=b"another")]
    outcome = await store.commit(CohortCommit(LEADER, None, legs))
    assert outcome == CommitResult(conflicts=(LegKey(*legs[0][:4]),))


async def test_what_waited_can_be_claimed(store: Store) -> None:
    cause = intent(1)
    waiting = unclaimed(cause.id, 0, LegStatus.WAITING, "UNKNOWN_PENDING")
    skipped = unclaimed(cause.id, 1, LegStatus.SKIPPED, "DEPTH_SHORT")
    assert (await store.commit(CohortCommit(LEADER, cause, [waiting, skipped]))).is_clean
    assert await store.open_legs(LEADER) == []
    claims = [claim(cause.id, 0), claim(cause.id, 1)]
    outcome = await store.commit(CohortCommit(LEADER, None, claims))
    assert outcome == CommitResult(conflicts=(LegKey(*skipped[:4]),))
    assert [leg.follower_id for leg in await store.open_legs(LEADER)] == ["f0000"]


async def test_an_ended_leg_is_open_no_more_and_its_end_stays(store: Store) -> None:
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


async def test_each_caller_is_told_of_its_own_leg_though_they_are_written_as_one(
    store: Store,
) -> None:
    wanted = cohort(1, followers=4)
    await store.commit(wanted)
    stranger = result(claim(intent(9).id, 0))
    ends = [result(leg) for leg in wanted.legs]
    calls = [store.record([end]) for end in (*ends[:3], ends[1], stranger, ends[3])]
    repeated, missing = (LegKey(*ends[1][:4]),), (LegKey(*stranger[:4]),)
    assert [await call for call in calls] == [
        *[RecordResult()] * 3,
        RecordResult(repeated=repeated),
        RecordResult(missing=missing),
        RecordResult(),
    ]
    assert await store.open_legs(LEADER) == []


async def test_an_unknown_end_stays_open_until_it_is_known(store: Store) -> None:
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


async def test_the_newest_lane_counts_in_whatever_rows_it_came(store: Store) -> None:
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


async def test_two_legs_of_a_flip_leave_the_later_lane(store: Store) -> None:
    cause = intent(1)
    legs = [claim(cause.id, 0, lane="closed"), claim(cause.id, 0, leg=1, lane="opened")]
    await store.commit(CohortCommit(LEADER, cause, legs))
    assert [row.lane for row in await store.lanes(LEADER)] == ["opened"]


async def test_leaders_do_not_see_each_other(store: Store) -> None:
    other = LeaderId("shark")
    cause = intent(5, leader=other)
    await store.commit(cohort(1))
    await store.commit(CohortCommit(other, cause, [claim(cause.id, 9, lane="theirs")]))
    assert [row.lane for row in await store.lanes(other)] == ["theirs"]
    assert len(await store.open_legs(other)) == 1
    assert await store.cursor(other, "BTCUSDT") is None


async def test_what_follows_from_a_refused_commit_is_refused_with_it(store: Store) -> None:
    """All of it was asked for before anybody knew."""
    first = cohort(1, followers=2)
    await store.commit(first)
    line, other = Line(), Line()
    row = claim(first.legs[0].intent_id, 7, lane="a lane that the ledger cannot hold")
    bad = CohortCommit(LEADER, None, [row._replace(symbol=object())])  # type: ignore[arg-type]
    ends = [result(first.legs[0], lane="has what was refused")]
    asked: list[asyncio.Future[Any]] = [
        store.commit(bad, line=line),
        store.record(ends, line=line),
        store.commit(cohort(2, followers=2, lane="has what was refused"), line=line),
        store.commit(CohortCommit(LEADER, None, [], ("BTCUSDT", "beyond")), line=line),
        store.commit(cohort(3, followers=1, lane="read again"), line=other),
    ]
    await asyncio.wait(asked)
    assert [type(each.exception()) for each in asked] == [StoreError] * 4 + [type(None)]
    assert {row.lane for row in await store.lanes(LEADER)} == {"lane", "read again"}
    assert await store.cursor(LEADER, "BTCUSDT") == "cursor-3"
    assert len(await store.open_legs(LEADER)) == 3
    assert await store.intent_seen([fill(2).id.key]) == {}
    assert await store.record(ends) == RecordResult()


async def test_a_commit_whose_fills_have_an_intent_ends_its_line_too(store: Store) -> None:
    await store.commit(cohort(1, followers=1))
    line = Line()
    again = store.commit(cohort(1, 2, followers=1, lane="again"), line=line)
    after = store.commit(cohort(3, followers=1, lane="after"), line=line)
    assert (await again).duplicates
    with pytest.raises(StoreError, match="refused"):
        await after
    assert {row.lane for row in await store.lanes(LEADER)} == {"lane"}


async def test_ends_that_are_refused_end_no_line(store: Store) -> None:
    first, line = cohort(1, followers=1), Line()
    await store.commit(first, line=line)
    bad = result(first.legs[0])._replace(filled_qty=object())  # type: ignore[arg-type]
    with pytest.raises(StoreError):
        await store.record([bad], line=line)
    assert await store.record([result(first.legs[0])], line=line) == RecordResult()
    assert await store.commit(cohort(2, followers=1), line=line) == CommitResult()


async def test_a_cursor_alone_can_be_committed(store: Store) -> None:
    await store.commit(CohortCommit(LEADER, None, [], ("ETHUSDT", "12")))
    assert await store.cursor(LEADER, "ETHUSDT") == "12"


async def test_everything_survives_closing(store_url: str) -> None:
    store = await open_store(store_url)
    await store.commit(cohort(1))
    rows = [ControlRow(1, "pause", follower=None), ControlRow(2, "kill", is_all=True)]
    for row in rows:
        await store.save_control(row)
    await store.close()
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        store.commit(cohort(2))
    again = await open_store(store_url)
    assert await again.controls() == rows
    assert len(await again.open_legs(LEADER)) == 3
    assert (await again.commit(cohort(1))).duplicates == (fill(1).id.key,)
    await again.close()


async def test_pruning_forgets_settled_intents_only(store: Store) -> None:
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


async def test_a_row_the_database_cannot_hold_costs_nobody_else(store: Store) -> None:
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


async def test_positions_fills_and_cursors_come_back(store: Store) -> None:
    await store.commit(cohort(1, 2))
    await store.commit(cohort(3))
    await store.commit(CohortCommit(LEADER, None, [], ("", "1700")))
    history = await store.history(LEADER, fill_count_max=10)
    assert history.positions == [("BTCUSDT", 0, 5)]
    assert [parse_fill_key(key) for key in history.fill_keys] == [fill(n).id for n in (1, 2, 3)]
    assert history.cursors == {"BTCUSDT": "cursor-3", "": "1700"}
    assert len((await store.history(LEADER, fill_count_max=2)).fill_keys) == 2


async def test_a_leader_that_was_never_mirrored_has_no_history(store: Store) -> None:
    await store.commit(cohort(1))
    history = await store.history(LeaderId("other"), fill_count_max=10)
    assert (history.positions, history.fill_keys, history.cursors) == ([], [], {})


async def test_many_settled_intents_are_pruned_in_several_transactions(store: Store) -> None:
    for trade in range(120):
        await store.commit(CohortCommit(LEADER, intent(trade), []))
    assert await store.prune(FAR_FUTURE) == 120
    assert await store.intent_seen([fill(trade).id.key for trade in range(120)]) == {}
    assert store.stats().commit_count >= 123


async def test_the_window_is_pruned_and_what_outlives_it_stays(store: Store) -> None:
    wanted = cohort(1, followers=80)
    await store.commit(wanted)
    await store.record([result(leg) for leg in wanted.legs])
    await store.save_control(ControlRow(1, "pause"))
    store.log([ActivityRow(1, "leg", leader=LEADER)])
    await store.flush()
    assert await store.prune(FAR_FUTURE) == 1
    assert await store.intent_seen([fill(1).id.key]) == {}
    assert len(await store.lanes(LEADER)) == 80
    assert (await store.history(LEADER, fill_count_max=5)).cursors == {"BTCUSDT": "cursor-1"}
    assert len(await store.controls()) == 1
    assert (await store.verify_chain()).row_count == 1


@pytest.mark.parametrize("followers", [3, 130])
async def test_integers_of_64_bits_and_any_words_come_back(store: Store, followers: int) -> None:
    words = '\'; DROP TABLE leg; -- \u2603 \U0001f433 "quoted" \\ %s ? $1 {rows}'
    wanted = cohort(1, followers=followers, lane=words)
    wanted.legs[1] = wanted.legs[1]._replace(qty=2**63 - 1, limit_px=-(2**63), wanted_qty=-5)
    await store.commit(wanted)
    found = (await store.open_legs(LEADER))[1]
    assert (found.qty, found.limit_px) == (2**63 - 1, -(2**63))
    assert {row.lane for row in await store.lanes(LEADER)} == {words}


async def test_words_of_a_venue_with_a_nul_are_kept_readable(store: Store) -> None:
    wanted = cohort(1, followers=1)
    await store.commit(wanted)
    end = result(wanted.legs[0])._replace(reason="no\0t \ud83d", venue_order_id="9\0")
    assert await store.record([end]) == RecordResult()
    assert await store.open_legs(LEADER) == []
    store.log([ActivityRow(1, "leg", reason="no\0t", payload={"words": "a\0b"})])
    await store.flush()
    entry = await anext(store.activity(ActivityFilter()))
    assert (entry.reason, json.loads(entry.payload)) == ("no\\x00t", {"words": "a\0b"})


@pytest.mark.parametrize("bad", ["five", 5.5])
async def test_a_value_of_another_type_is_refused(store: Store, bad: object) -> None:
    wanted = cohort(1, followers=2)
    legs = [wanted.legs[0], wanted.legs[1]._replace(qty=bad)]  # type: ignore[arg-type]
    with pytest.raises(StoreError) as caught:
        await store.commit(replace(wanted, legs=legs))
    assert not caught.value.is_unavailable
    assert await store.intent_seen([fill(1).id.key]) == {}


async def test_one_process_writes_a_database(store: Store, store_url: str) -> None:
    with pytest.raises(StoreError, match="another process is writing") as caught:
        await open_store(store_url)
    assert caught.value.is_unavailable
    assert (await store.commit(cohort(1))).is_clean


async def test_a_wait_above_half_a_second_is_counted(store_url: str) -> None:
    ticks = iter(range(0, 10**15, 600_000_000))
    kind = SqliteStore if store_url.startswith("sqlite") else PostgresStore
    store = await kind.open(store_url, clock_ns=lambda: next(ticks))
    await store.commit(cohort(1))
    assert store.stats().slow_wait_count == 1
    await store.close()


async def test_equal_rows_have_equal_hashes_on_every_database(store: Store) -> None:
    store.log([ActivityRow(7, "leg", reason="\u00fc\0", payload={"b": "\u2603", "a": [1, None]})])
    await store.flush()
    report = await store.verify_chain()
    columns = (1, 7, "leg", None, None, None, "\u00fc\\x00", '{"a":[1,null],"b":"\u2603"}')
    text = json.dumps(columns, separators=(",", ":"), ensure_ascii=False)
    assert report.last_hash == hashlib.sha256(bytes(32) + text.encode()).digest()


async def test_a_connection_never_leaves_the_writer_thread() -> None:
    handed_out = {
        name: get_type_hints(method, vars(base))
        for name, method in vars(Store).items()
        if callable(method) and not name.startswith("_")
    }
    assert len(handed_out) >= 15
    words = " ".join(str(hint) for hints in handed_out.values() for hint in hints.values())
    for word in ("apsw", "psycopg", "Connection", "Cursor", "Database", "Callable"):
        assert word not in words


async def test_what_the_ledger_knows_and_the_log_does_not_is_untold(store: Store) -> None:
    wanted = cohort(1, followers=70)
    await store.commit(wanted)
    await store.record([result(leg) for leg in wanted.legs[:69]])
    untold = await store.untold(LEADER)
    assert [intent.intent_id for intent in untold.intents] == [wanted.legs[0].intent_id]
    assert {leg.follower_id for leg in untold.legs} == {
        each.follower_id for each in wanted.legs[:69]
    }
    assert {leg.claim_hash for leg in untold.legs} == {b"h" * 16}
    unsettled = await store.unsettled(LEADER)
    assert [leg.follower_id for leg in unsettled.legs] == [wanted.legs[69].follower_id]
