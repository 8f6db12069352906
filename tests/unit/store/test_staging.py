"""A large cohort is staged and folded later; nobody may see which of the two it was."""

import asyncio
from pathlib import Path

import apsw
import pytest

from slipstream.domain.cohort import CohortCommit, LegRow, LegStatus
from slipstream.domain.ids import IntentId
from slipstream.errors import StoreError
from slipstream.store import orders
from slipstream.store.base import CommitResult, LegKey, RecordResult
from slipstream.store.migrate import migrate
from slipstream.store.sqlite import SqliteStore
from slipstream.store.sqlite_database import SqliteDatabase
from slipstream.store.staging import STAGED_COHORT_COUNT_MAX, STAGED_ROW_COUNT_MIN
from slipstream.units import VenueMs
from unit.store.store_rows import LEADER, claim, cohort, fill, intent, result, unclaimed

LARGE = 130


def write_without_folding(path: Path, commits: list[CohortCommit]) -> list[CommitResult]:
    """Do what the hot transaction does and stop there, as a process killed after it."""
    connection = apsw.Connection(str(path))
    migrate(connection)
    outcomes = []
    for commit in commits:
        with connection:
            outcomes.append(orders.write_cohort(SqliteDatabase(connection), commit))
    connection.close()
    return outcomes


def count(path: Path, table: str) -> int:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return int(connection.execute(f"SELECT count(*) FROM {table}").get)  # noqa: S608
    finally:
        connection.close()


def table_rows(path: Path, table: str) -> list[tuple[object, ...]]:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608
    finally:
        connection.close()


def mixed_cohort(trade: int, lane: str) -> CohortCommit:
    """Return claims, flips of two legs, skips and waiting rows of many followers."""
    cause = intent(trade)
    legs: list[LegRow] = []
    for follower in range(LARGE):
        name = f"{lane}-{follower}"
        match follower % 4:
            case 0:
                legs.append(claim(cause.id, follower, lane=name))
            case 1:
                legs.append(claim(cause.id, follower, lane=f"{name}-closed"))
                legs.append(claim(cause.id, follower, leg=1, lane=f"{name}-opened"))
            case 2:
                row = unclaimed(cause.id, follower, LegStatus.SKIPPED, "DEPTH_SHORT")
                legs.append(row._replace(lane=name, wanted_qty=-(2**63)))
            case _:
                row = unclaimed(cause.id, follower, LegStatus.WAITING, "UNKNOWN_PENDING")
                legs.append(row._replace(lane=name, observed=2**63 - 1))
    return CohortCommit(LEADER, cause, legs, ("BTCUSDT", f"c{trade}"))


async def test_killed_before_folding_a_restart_sees_the_same_as_after_it(tmp_path: Path) -> None:
    commits = [mixed_cohort(1, "first"), mixed_cohort(2, "second"), cohort(3, lane="third")]
    in_pieces = [
        CohortCommit(each.leader, each.intent if start == 0 else None, each.legs[start : start + 9])
        for each in commits
        for start in range(0, len(each.legs), 9)
    ]
    staged, direct = tmp_path / "staged.db", tmp_path / "direct.db"
    assert write_without_folding(staged, commits[:2]) == [CommitResult()] * 2
    assert (count(staged, "staged_cohort"), count(staged, "leg")) == (2, 0)
    assert set(write_without_folding(direct, in_pieces)) == {CommitResult()}
    assert count(direct, "staged_cohort") == 0
    seen = []
    for path in (staged, direct):
        store = await SqliteStore.open(f"sqlite:///{path}")
        if path == staged:
            assert (await store.commit(commits[2])).is_clean
        seen.append((await store.lanes(LEADER), await store.open_legs(LEADER)))
        await store.close()
    assert seen[0] == seen[1]
    assert table_rows(staged, "leg") == table_rows(direct, "leg")
    lanes = {str(row.follower_id): row.lane for row in seen[0][0]}
    assert len(lanes) == LARGE
    assert [lanes[f"f{each:04d}"] for each in (0, 2, 5, 7)] == [
        "third",
        "third",
        "second-5-opened",
        "second-7",
    ]


async def test_lanes_alone_are_read_folded_after_a_kill(url: str, path: Path) -> None:
    write_without_folding(path, [mixed_cohort(1, "only")])
    store = await SqliteStore.open(url)
    lanes = {str(row.follower_id): row.lane for row in await store.lanes(LEADER)}
    await store.close()
    assert len(lanes) == LARGE
    assert lanes["f0129"] == "only-129-opened"


async def test_an_idle_store_folds_by_itself(store: SqliteStore, path: Path) -> None:
    loop, committing = asyncio.get_running_loop(), asyncio.Event()

    def on_commit() -> bool:
        loop.call_soon_threadsafe(committing.set)
        return False

    await store._writer.submit("hook", lambda d: d.connection.set_commit_hook(on_commit))
    await store.commit(cohort(1, followers=LARGE))
    while count(path, "leg") != LARGE:
        await asyncio.wait_for(committing.wait(), 20)
        committing.clear()
        await store.flush()  # a job after the transaction that is being committed
    assert count(path, "staged_cohort") == 0
    assert count(path, "lane") == LARGE


async def test_closing_folds(url: str, path: Path) -> None:
    store = await SqliteStore.open(url)
    await store.commit(cohort(1, followers=LARGE))
    await store.close()
    assert (count(path, "staged_cohort"), count(path, "leg")) == (0, LARGE)


@pytest.mark.parametrize("followers", [3, LARGE])
def test_claims_of_a_staged_intent_are_not_claimed_again(path: Path, followers: int) -> None:
    name = intent(1).id
    again = [claim(name, each, claim_hash=b"other" * (each % 2) or b"h" * 16) for each in range(3)]
    again += [claim(name, each) for each in range(LARGE, LARGE + followers - 3)]
    outcomes = write_without_folding(
        path, [cohort(1, followers=LARGE), CohortCommit(LEADER, None, again)]
    )
    assert outcomes[1] == CommitResult(
        already=(LegKey(*again[0][:4]), LegKey(*again[2][:4])),
        conflicts=(LegKey(*again[1][:4]),),
    )
    assert count(path, "leg") == LARGE + followers - 3
    folded = write_without_folding(path, [CohortCommit(LEADER, None, again)])
    assert len(folded[0].already) == followers - 1


def test_a_fill_of_a_staged_cohort_trades_once(path: Path) -> None:
    outcomes = write_without_folding(
        path, [cohort(1, followers=LARGE), cohort(1, 2, followers=LARGE)]
    )
    assert outcomes[1].duplicates == (fill(1).id.key,)
    assert count(path, "staged_cohort") == 1


def test_a_key_twice_in_a_large_cohort_is_written_once(path: Path) -> None:
    wanted = cohort(1, followers=LARGE)
    twice = wanted.legs[7]._replace(claim_hash=b"another")
    wanted.legs.append(twice)
    assert write_without_folding(path, [wanted]) == [
        CommitResult(conflicts=(LegKey(*twice[:4]),)),
    ]
    assert (count(path, "staged_cohort"), count(path, "leg")) == (0, LARGE)


def test_rows_of_several_intents_are_written_at_once(path: Path) -> None:
    names = [IntentId(f"replanned-{each % 2}") for each in range(LARGE)]
    legs = [claim(name, each) for each, name in enumerate(names)]
    write_without_folding(path, [CohortCommit(LEADER, None, legs)])
    assert (count(path, "leg"), count(path, "intent")) == (LARGE, 2)


def test_no_more_than_a_few_cohorts_wait(path: Path) -> None:
    rows = STAGED_ROW_COUNT_MIN
    commits = [cohort(each, followers=rows) for each in range(STAGED_COHORT_COUNT_MAX + 1)]
    write_without_folding(path, commits[:-1])
    assert count(path, "staged_cohort") == STAGED_COHORT_COUNT_MAX
    write_without_folding(path, commits[-1:])
    assert count(path, "staged_cohort") == 0
    assert count(path, "leg") == rows * len(commits)


async def test_ends_and_pruning_find_staged_legs(url: str, path: Path) -> None:
    commits = [cohort(each, followers=LARGE) for each in (1, 2)]
    write_without_folding(path, commits)
    store = await SqliteStore.open(url)
    assert await store.prune(VenueMs(2**50)) == 0
    assert await store.record([result(leg) for leg in commits[0].legs]) == RecordResult()
    assert len(await store.open_legs(LEADER)) == LARGE
    assert await store.prune(VenueMs(2**50)) == 1
    await store.close()


async def test_damaged_staged_rows_are_an_error_and_stay(url: str, path: Path) -> None:
    write_without_folding(path, [cohort(1, followers=LARGE)])
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE staged_cohort SET legs = substr(legs, 1, 1000)")
    connection.close()
    store = await SqliteStore.open(url)
    for _ in range(2):
        with pytest.raises(StoreError, match="staged cohort cannot be read"):
            await store.lanes(LEADER)
    with pytest.raises(StoreError, match="staged cohort cannot be read"):
        await store.close()
    assert count(path, "staged_cohort") == 1


@pytest.mark.parametrize("qty", [2**63, 2**64, -(2**63) - 1, "5"])
async def test_a_row_the_tables_cannot_hold_refuses_a_large_cohort(
    store: SqliteStore, qty: int
) -> None:
    wanted = cohort(1, followers=LARGE)
    good = list(wanted.legs)
    wanted.legs[5] = good[5]._replace(qty=qty)
    with pytest.raises(StoreError, match=r"commit|cannot hold"):
        await store.commit(wanted)
    assert await store.intent_seen([fill(1).id.key]) == {}
    wanted.legs[5] = good[5]
    assert (await store.commit(wanted)).is_clean
