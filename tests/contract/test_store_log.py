"""The activity log, on every database: it keeps everything, in order."""

import json

from slipstream.domain.cohort import ActivityRow
from slipstream.domain.ids import FollowerId, LeaderId
from slipstream.store import open_store
from slipstream.store.base import ActivityEntry, ActivityFilter, Store
from slipstream.store.reader import ActivityReader


def row(index: int) -> ActivityRow:
    return ActivityRow(
        ts_ms=1_000 + index,
        kind="leg" if index % 2 else "intent",
        leader=LeaderId("whale"),
        follower=FollowerId(f"f{index % 3}"),
        reason="DEPTH_SHORT" if index % 5 == 0 else None,
        payload={"qty": "0.1", "index": index, "name": "näme"},
    )


async def listed(store: Store, **conditions: object) -> list[ActivityEntry]:
    wanted = ActivityFilter(**conditions)  # type: ignore[arg-type]
    return [entry async for entry in store.activity(wanted)]


async def test_rows_come_back_in_order_and_whole(store: Store) -> None:
    store.log([row(index) for index in range(1_300)])
    await store.flush()
    entries = await listed(store)
    assert [entry.seq for entry in entries] == list(range(1, 1_301))
    assert json.loads(entries[7].payload) == row(7).payload
    assert (entries[7].follower, entries[7].kind, entries[7].ts_ms) == ("f1", "leg", 1_007)
    assert store.stats().journal_pending_count == 0


async def test_conditions_hold_together(store: Store) -> None:
    rows = [row(index) for index in range(100)]
    store.log(rows)
    await store.flush()
    for conditions, expected in [
        ({"kind": "leg"}, [r for r in rows if r.kind == "leg"]),
        ({"follower": "f2", "reason": "DEPTH_SHORT"}, [rows[i] for i in range(5, 100, 15)]),
        ({"since_ms": 1_010, "until_ms": 1_012}, rows[10:12]),
        ({"limit": 3}, rows[-3:]),
        ({"limit": 2, "follower": "f0"}, [rows[96], rows[99]]),
        ({"after_seq": 98}, rows[98:]),
        ({"after_seq": 10, "limit": 1}, rows[10:11]),
        ({"leader": "shark"}, []),
    ]:
        found = await listed(store, **conditions)
        assert [entry.ts_ms for entry in found] == [each.ts_ms for each in expected]


async def test_the_log_goes_on_where_it_ended(store_url: str) -> None:
    for start in (0, 10):
        store = await open_store(store_url)
        store.log([row(index) for index in range(start, start + 10)])
        await store.close()
    with ActivityReader(store_url) as reader:
        assert [entry.ts_ms for entry in reader.activity(ActivityFilter())] == [
            1_000 + index for index in range(20)
        ]
        assert reader.verify_chain().broken_seq is None


async def test_words_a_database_cannot_hold_are_kept_readable(store: Store) -> None:
    half = "half \ud83d of a pair"
    store.log([ActivityRow(1, "leg", reason=half, payload={"big": 2**90, "half": half, "o": {1}})])
    await store.flush()
    entry = (await listed(store))[0]
    assert entry.reason == "half \\ud83d of a pair"
    assert json.loads(entry.payload) == {"big": 2**90, "half": half, "o": "{1}"}


async def test_a_row_that_cannot_be_written_costs_no_other(store: Store) -> None:
    store.log([row(0), ActivityRow(2**70, "leg"), row(1)])
    await store.flush()
    assert [entry.ts_ms for entry in await listed(store)] == [1_000, 1_001]
    assert store.stats().journal_lost_count == 1
    assert (await store.verify_chain()).broken_seq is None
