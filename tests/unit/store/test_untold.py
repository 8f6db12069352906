"""What a process left untold is found by the next one, and nothing else is."""

import asyncio
from pathlib import Path

import apsw
import pytest

from slipstream.domain.cohort import ActivityRow, CohortCommit, LegStatus
from slipstream.domain.ids import FollowerId, IntentId, LeaderId
from slipstream.store.base import LedgerLeg, Untold
from slipstream.store.sqlite import SqliteStore
from slipstream.store.untold import LOOK_BACK_MS
from unit.store.store_rows import LEADER, claim, cohort, fill, intent, result, unclaimed


def line(row: LedgerLeg | tuple[IntentId, str, int]) -> ActivityRow:
    intent_id, follower, leg = row[:3]
    return ActivityRow(1, "leg", LEADER, FollowerId(str(follower)), intent_id, payload={"leg": leg})


def intent_line(name: IntentId) -> ActivityRow:
    return ActivityRow(1, "intent", LEADER, intent_id=name)


def keys(found: Untold) -> list[tuple[str, int, int]]:
    return [(row.follower_id, row.leg, row.attempt) for row in found.legs]


async def recorded_long_ago(store: SqliteStore, *names: IntentId) -> None:
    for name in names:
        await store._writer.submit(
            "age",
            lambda c, name=name: c.run(
                "UPDATE intent SET recorded_ms = recorded_ms - ? WHERE intent_id = ?",
                (10 * LOOK_BACK_MS, name),
            ),
            is_transaction=True,
        )


async def test_what_ended_without_its_line_is_found_with_all_its_columns(
    store: SqliteStore,
) -> None:
    wanted = cohort(1, 2)
    await store.commit(wanted)
    await store.record([result(row) for row in wanted.legs[:2]])
    found = await store.untold(LEADER)
    (cause,) = found.intents
    assert (cause.is_told, cause.fill_keys) == (False, (fill(1).id.key, fill(2).id.key))
    assert (cause.symbol, cause.after_qty, cause.venue_ts_ms) == ("BTCUSDT", 5, 1_700_000_000_000)
    # The third leg's claim is open: it is told when it is resolved.
    assert keys(found) == [("f0000", 0, 0), ("f0001", 0, 0)]
    row = found.legs[0]
    assert (row.status, row.leg_end, row.filled_qty, row.average_px) == ("ended", "filled", 5, 10)
    assert (row.reference, row.reference_px, row.reference_sequence) == (2, 9, 71)
    assert (row.bound_ppm, row.book_sequence, row.venue_order_id) == (3_000, 70, "9")
    assert keys(await store.unsettled(LEADER)) == [("f0002", 0, 0)]


async def test_what_was_told_is_not_untold(store: SqliteStore) -> None:
    wanted = cohort(1)
    await store.commit(wanted)
    await store.record([result(row) for row in wanted.legs])
    store.log([intent_line(wanted.legs[0].intent_id), line(wanted.legs[1][:3])])
    found = await store.untold(LEADER)
    assert keys(found) == [("f0000", 0, 0), ("f0002", 0, 0)]
    assert [(row.is_told, row.fill_keys) for row in found.intents] == [(True, ())]
    store.log([line(row) for row in found.legs])
    assert await store.untold(LEADER) == Untold([], [])


async def test_of_a_flip_the_leg_without_a_line_is_untold(store: SqliteStore) -> None:
    cause = intent(1)
    legs = [claim(cause.id, 0), claim(cause.id, 0, leg=1), claim(cause.id, 0, leg=1, attempt=1)]
    await store.commit(CohortCommit(LEADER, cause, legs))
    await store.record([result(row) for row in legs])
    store.log([line(legs[0][:3])])
    assert keys(await store.untold(LEADER)) == [("f0000", 1, 0), ("f0000", 1, 1)]


async def test_an_earlier_attempt_of_an_open_claim_is_told_with_it(store: SqliteStore) -> None:
    cause = intent(1)
    legs = [claim(cause.id, 0), claim(cause.id, 0, attempt=1)]
    await store.commit(CohortCommit(LEADER, cause, legs))
    await store.record([result(legs[0], "partial")])
    assert keys(await store.untold(LEADER)) == []
    found = await store.unsettled(LEADER)
    assert [(row.attempt, row.leg_end) for row in found.legs] == [(0, "partial"), (1, None)]
    assert [row.intent_id for row in found.intents] == [cause.id]
    await store.record([result(legs[1], "unknown")])
    assert len((await store.unsettled(LEADER)).legs) == 2
    await store.record([result(legs[1])])
    assert (await store.unsettled(LEADER)).legs == []


async def test_staged_cohorts_are_seen(store: SqliteStore) -> None:
    wanted = cohort(1, followers=130)
    assert (await store.commit(wanted)).is_clean
    assert len((await store.unsettled(LEADER)).legs) == 130


async def test_what_is_older_than_what_was_told_is_not_looked_at(store: SqliteStore) -> None:
    old, new = cohort(1), cohort(2)
    for each in (old, new):
        await store.commit(each)
        await store.record([result(row) for row in each.legs])
    await recorded_long_ago(store, old.legs[0].intent_id)
    # Nothing was ever told: all of it is missing.
    assert len((await store.untold(LEADER)).legs) == 6
    store.log([intent_line(new.legs[0].intent_id)])
    found = await store.untold(LEADER)
    assert {row.intent_id for row in found.legs} == {new.legs[0].intent_id}


async def test_a_result_of_an_old_intent_makes_it_looked_at(store: SqliteStore) -> None:
    old, new = cohort(1), cohort(2)
    await store.commit(old)
    await recorded_long_ago(store, old.legs[0].intent_id)
    await store.commit(new)
    store.log([intent_line(each.legs[0].intent_id) for each in (old, new)])
    await store.record([result(old.legs[0])])
    found = await store.untold(LEADER)
    assert [(row.intent_id, row.follower_id) for row in found.legs] == [
        (old.legs[0].intent_id, "f0000")
    ]


async def test_intents_come_in_the_order_in_which_they_became_durable(store: SqliteStore) -> None:
    wanted = [cohort(each) for each in range(1, 6)]
    for each in wanted:
        await store.commit(each)
    # Ends renew when an intent was worked on, not its place.
    for each in reversed(wanted):
        await store.record([result(row) for row in each.legs])
    names = [each.legs[0].intent_id for each in wanted]
    found = await store.untold(LEADER)
    assert [row.intent_id for row in found.intents] == names
    assert list(dict.fromkeys(row.intent_id for row in found.legs)) == names


async def test_whoever_is_killed_while_telling_leaves_the_rest(store: SqliteStore) -> None:
    wanted = [cohort(each) for each in range(1, 4)]
    for each in wanted:
        await store.commit(each)
        await store.record([result(row) for row in each.legs])
    first, *others = [each.legs[0].intent_id for each in wanted]
    # The first was worked on long after the others: it is told first all the same.
    await recorded_long_ago(store, *others)
    found = await store.untold(LEADER)
    store.log([intent_line(first), *(line(row) for row in found.legs if row.intent_id == first)])
    rest = await store.untold(LEADER)
    assert rest.intents == [row for row in found.intents if row.intent_id != first]
    assert rest.legs == [row for row in found.legs if row.intent_id != first]


async def test_a_leg_that_waited_is_found_however_old(store: SqliteStore) -> None:
    cause, new = intent(1), cohort(2)
    rows = [unclaimed(cause.id, each, LegStatus.WAITING, "UNKNOWN_PENDING") for each in range(3)]
    rows += [unclaimed(cause.id, 3, LegStatus.SKIPPED, "DEPTH_SHORT")]
    await store.commit(CohortCommit(LEADER, cause, rows))
    await recorded_long_ago(store, cause.id)
    await store.commit(new)
    store.log([intent_line(cause.id), intent_line(new.legs[0].intent_id), line(rows[1][:3])])
    assert keys(await store.untold(LEADER)) == [("f0000", 0, 0), ("f0002", 0, 0)]


async def test_an_intent_known_only_by_its_legs_has_no_line_to_miss(store: SqliteStore) -> None:
    row = claim(IntentId("beside"), 0)
    await store.commit(CohortCommit(LEADER, None, [row]))
    await store.record([result(row)])
    found = await store.untold(LEADER)
    assert [(each.venue, each.is_told) for each in found.intents] == [(None, True)]
    store.log([line(row[:3])])
    assert await store.untold(LEADER) == Untold([], [])


async def test_other_leaders_are_left_alone(store: SqliteStore) -> None:
    await store.commit(cohort(1))
    other = LeaderId("other")
    assert await store.untold(other) == await store.unsettled(other) == Untold([], [])


async def test_a_process_killed_while_telling_leaves_the_rest_to_the_next(
    url: str, path: Path
) -> None:
    store = await SqliteStore.open(url)
    cohorts = [cohort(each, followers=40) for each in range(1, 9)]
    for each in cohorts:
        await store.commit(each)
        await store.record([result(row) for row in each.legs])
    told: list[tuple[object, ...]] = []
    for _ in range(20):
        found = await store.untold(LEADER)
        if not found.legs:
            break
        rows = found.legs[:50]
        names = {row.intent_id for row in rows}
        store.log([intent_line(row.intent_id) for row in found.intents
                   if not row.is_told and row.intent_id in names])  # fmt: skip
        store.log([line(row) for row in rows])
        told += [row[:3] for row in rows]
        await store.flush()
    await store.close()
    assert len(told) == len(set(told)) == 8 * 40
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    count = connection.execute("SELECT count(*) FROM activity WHERE kind = 'intent'").get
    connection.close()
    assert count == 8


@pytest.mark.parametrize("is_told", [True, False])
async def test_a_claim_whose_leg_was_told_all_the_same_says_so(
    store: SqliteStore, *, is_told: bool
) -> None:
    wanted = cohort(1, followers=1)
    await asyncio.wait_for(store.commit(wanted), 20)
    if is_told:
        store.log([line(wanted.legs[0][:3])])
        await store.flush()
    (row,) = (await store.unsettled(LEADER)).legs
    assert row.is_told is is_told
