"""While the database does not take claims they are durable beside it, and nothing gets lost."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio

from slipstream.domain.cohort import ActivityRow, CohortCommit
from slipstream.errors import LedgerTakenError, StoreError
from slipstream.store.base import ActivityFilter, ControlRow, Line
from slipstream.store.sidecodec import decode_entry, encode_entry
from slipstream.store.sidelog import SidelogStore
from slipstream.store.sidesettings import SideSettings
from slipstream.store.sidethread import Side
from slipstream.store.sqlite import SqliteStore
from unit.store.faulty_store import FaultyStore
from unit.store.store_rows import LEADER, claim, cohort, fill, intent, result

SIZE = 1024 * 1024
QUICK = SideSettings(answer_s=0.05, retry_s=0.01, retry_max_s=0.02, reserved_size=SIZE // 4)


class Stage:
    """A store with its side log, and the database behind it."""

    def __init__(self, url: str, path: Path) -> None:
        """Keep the names; nothing is opened."""
        self.url = url
        self.path = path
        self.told: list[str] = []
        self.database: FaultyStore
        self.store: SidelogStore

    async def open(self, settings: SideSettings = QUICK, *, size: int = SIZE) -> None:
        self.database = FaultyStore(await SqliteStore.open(self.url))
        try:
            self.store = await SidelogStore.open(
                self.database.as_store(),
                self.path,
                wall_ms=lambda: 1,
                tell=lambda kind, _detail: self.told.append(kind),
                settings=settings,
                size=size,
            )
        except StoreError:
            await self.database.close()
            raise

    async def kill(self) -> None:
        """End as a killed process would: nothing more is written."""
        state = self.store._queue._state
        state.is_closed = True
        if state.drain is not None:
            state.drain.cancel()
        await self.database.inner.close()
        await self.store._side.close()

    async def back(self) -> None:
        """Let the database work again and wait until it has everything."""
        self.database.release(is_taking=True)
        await until(lambda: not self.store.is_down)

    async def lines(self) -> list[str]:
        await self.store.flush()
        found = self.store.activity(ActivityFilter())
        return [each.reason or each.payload async for each in found]


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if holds():
            return
        await asyncio.sleep(0.005)
    pytest.fail("it never came true")


@pytest_asyncio.fixture
async def stage(url: str, tmp_path: Path) -> AsyncIterator[Stage]:
    opened = Stage(url, tmp_path / "ledger.db.side")
    await opened.open()
    yield opened
    opened.database.release(is_taking=True)
    async with asyncio.timeout(60):  # a close that hangs is to be found here, not by somebody
        await opened.store.close()


def line(number: int) -> ActivityRow:
    return ActivityRow(number, "leg", LEADER, payload={"number": number})


async def refused(asked: Awaitable[object]) -> StoreError:
    with pytest.raises(StoreError) as caught:
        await asked
    return caught.value


async def test_a_database_that_works_is_asked_and_nothing_else(stage: Stage) -> None:
    answer = await stage.store.commit(cohort(1))
    assert answer.is_clean
    assert not answer.is_sidelogged
    assert (await stage.store.commit(cohort(1))).duplicates
    await stage.store.record([result(cohort(1).legs[0])])
    assert len(await stage.store.open_legs(LEADER)) == 2
    assert stage.store.stats().side_record_count == 0
    assert stage.told == []


@pytest.mark.parametrize("mode", ["refuse", "hang"])
async def test_what_the_database_does_not_take_is_durable_beside_it(
    stage: Stage, mode: str
) -> None:
    stage.database.mode = mode
    answer = await stage.store.commit(cohort(1))
    assert answer.is_sidelogged
    assert answer.is_clean
    await stage.store.record([result(cohort(1).legs[0])])
    assert stage.store.is_down
    assert stage.store.stats().is_down
    assert stage.store.stats().side_record_count >= 2
    await stage.back()
    assert len(await stage.store.open_legs(LEADER)) == 2
    assert list(await stage.store.intent_seen([fill(1).id.key])) == [fill(1).id.key]
    assert await stage.store.cursor(LEADER, "BTCUSDT") == "cursor-1"
    assert stage.store.stats().side_record_count == 0
    assert (await stage.store.commit(cohort(2))).is_clean
    assert stage.told == ["LEDGER_DOWN", "LEDGER_BACK"]
    assert await stage.lines() == ["LEDGER_DOWN", "LEDGER_BACK"]


async def test_who_lost_the_database_to_another_process_claims_nothing_more(stage: Stage) -> None:
    stage.database.mode = "refuse"
    assert (await stage.store.commit(cohort(1))).is_sidelogged
    stage.database.mode = "taken"
    await until(lambda: "LEDGER_TAKEN" in stage.told)
    for number in (2, 3):
        assert isinstance(await refused(stage.store.commit(cohort(number))), LedgerTakenError)
    ended = stage.store.record([result(cohort(1).legs[0])])
    assert isinstance(await refused(ended), LedgerTakenError)
    assert stage.told == ["LEDGER_DOWN", "LEDGER_TAKEN"]
    assert stage.store.is_down


async def test_a_commit_taken_after_all_is_not_doubled(stage: Stage) -> None:
    stage.database.mode = "hang"
    assert (await stage.store.commit(cohort(1, lane="early"))).is_sidelogged
    await stage.store.record([result(cohort(1).legs[0], lane="late")])
    await stage.back()
    commits = [each for each in stage.database.asked if isinstance(each, CohortCommit)]
    assert len(commits) >= 2
    assert len(await stage.store.open_legs(LEADER)) == 2
    lanes = {row.follower_id: row.lane for row in await stage.store.lanes(LEADER)}
    assert lanes == {"f0000": "late", "f0001": "early", "f0002": "early"}
    assert "REPLAY_CONFLICT" not in stage.told


async def test_the_order_asked_for_is_the_order_kept(stage: Stage) -> None:
    stage.database.mode = "hang"
    first = stage.store.commit(cohort(1, lane="one"))
    second = stage.store.commit(cohort(2, lane="two"))
    stage.store.record([result(cohort(1).legs[0], lane="three")])
    third = stage.store.commit(cohort(3, lane="four"))
    assert [(await each).is_sidelogged for each in (first, second, third)] == [True] * 3
    stage.database.release(is_taking=False)
    await until(lambda: not stage.store.is_down)
    assert {row.lane for row in await stage.store.lanes(LEADER)} == {"four"}
    assert await stage.store.cursor(LEADER, "BTCUSDT") == "cursor-3"


async def test_nothing_is_read_while_records_wait(stage: Stage) -> None:
    stage.database.mode = "refuse"
    await stage.store.commit(cohort(1))
    for asked in (
        stage.store.lanes(LEADER),
        stage.store.open_legs(LEADER),
        stage.store.history(LEADER, fill_count_max=5),
        stage.store.controls(),
        stage.store.prune(0),  # type: ignore[arg-type]
        stage.store.verify_chain(),
    ):
        error = await refused(asked)
        assert error.is_unavailable
        assert "behind its side log" in str(error)


async def test_a_read_waits_for_what_was_asked_before(stage: Stage) -> None:
    stage.database.mode = "slow"
    stage.database.slow_s = 0.02
    claimed = stage.store.commit(cohort(1))
    stage.store.record([result(cohort(1).legs[0])])
    assert len(await stage.store.open_legs(LEADER)) == 2
    assert claimed.done()


async def test_a_row_that_the_database_refuses_is_its_callers_own_trouble(stage: Stage) -> None:
    wrong = claim(intent(1).id, 1)._replace(qty=2**70)
    error = await refused(stage.store.commit(CohortCommit(LEADER, intent(1), [wrong])))
    assert not error.is_unavailable
    assert not stage.store.is_down


async def test_one_callers_ends_do_not_cost_the_others_theirs(stage: Stage) -> None:
    await stage.store.commit(cohort(1))
    rows = cohort(1).legs
    busy = stage.store.commit(cohort(2))
    good = stage.store.record([result(rows[0])])
    bad = stage.store.record([result(rows[1])._replace(filled_qty=2**70)])
    strange = stage.store.record([result(claim(intent(9).id, 1))])
    await busy
    assert (await good).missing == ()
    assert not (await refused(bad)).is_unavailable
    assert [key.intent_id for key in (await strange).missing] == [intent(9).id]


async def test_lines_and_orders_of_the_operator_are_kept_too(stage: Stage) -> None:
    stage.store.log([line(1)])
    stage.database.mode = "refuse"
    await stage.store.commit(cohort(1))
    stage.store.log([line(2), line(3)])
    await stage.store.save_control(ControlRow(5, "kill", is_all=True))
    await stage.store.flush()
    await stage.kill()
    await stage.open()
    assert await stage.store.controls() == [ControlRow(5, "kill", is_all=True)]
    assert await stage.lines() == [
        '{"number":1}',
        "LEDGER_DOWN",
        '{"number":2}',
        '{"number":3}',
        "LEDGER_BACK",
    ]


async def test_opening_carries_over_what_a_dead_process_left(stage: Stage) -> None:
    stage.database.mode = "refuse"
    for trade in range(5):
        assert (await stage.store.commit(cohort(trade))).is_sidelogged
    await stage.kill()
    await stage.open()
    assert len(await stage.store.open_legs(LEADER)) == 15
    assert stage.told[-1] == "LEDGER_BACK"
    await stage.store.close()
    await stage.open()
    assert len(await stage.store.open_legs(LEADER)) == 15
    assert stage.told.count("LEDGER_BACK") == 1


class StallingSide:
    """A side log whose n-th note of what is replayed never comes to an end."""

    def __init__(self, side: Side, number: int) -> None:
        """Stand in front of a side log."""
        self._side = side
        self._left = number
        self.is_stalled = False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever it has
        """Hand over the rest."""
        return getattr(self._side, name)

    def mark_done(self, sequence: int) -> asyncio.Future[None]:
        """Note it, unless it is the one."""
        self._left -= 1
        if self._left < 0:
            self.is_stalled = True
            return asyncio.get_running_loop().create_future()
        noted: asyncio.Future[None] = self._side.mark_done(sequence)
        return noted


@pytest.mark.parametrize("number", range(5))
async def test_a_record_replayed_but_not_noted_is_not_doubled(stage: Stage, number: int) -> None:
    stage.database.mode = "refuse"
    await stage.store.commit(cohort(1, lane="early"))
    await stage.store.record([result(cohort(1).legs[0], lane="late")])
    await stage.store.save_control(ControlRow(5, "kill", is_all=True))
    stage.store.log([line(1), line(2)])
    await stage.store.flush()
    stalling = StallingSide(stage.store._queue._side, number)
    stage.store._queue._side = cast("Side", stalling)
    stage.database.release(is_taking=True)
    await until(lambda: stalling.is_stalled)
    await stage.kill()
    await stage.open()
    assert len(await stage.store.open_legs(LEADER)) == 2
    assert {row.lane for row in await stage.store.lanes(LEADER)} == {"early", "late"}
    assert await stage.store.controls() == [ControlRow(5, "kill", is_all=True)]
    assert await stage.lines() == ["LEDGER_DOWN", '{"number":1}', '{"number":2}', "LEDGER_BACK"]


async def test_a_database_that_does_not_take_what_was_left_keeps_the_store_shut(
    stage: Stage, url: str
) -> None:
    stage.database.mode = "refuse"
    await stage.store.commit(cohort(1))
    await stage.kill()
    database = FaultyStore(await SqliteStore.open(url))
    database.mode = "refuse"
    with pytest.raises(StoreError, match="disk full"):
        await SidelogStore.open(database.as_store(), stage.path, wall_ms=lambda: 1, size=SIZE)
    await database.close()
    await stage.open()
    assert len(await stage.store.open_legs(LEADER)) == 3


async def test_a_side_log_that_is_full_refuses_claims_and_recovers(
    url: str, tmp_path: Path
) -> None:
    stage = Stage(url, tmp_path / "small.side")
    await stage.open(
        SideSettings(answer_s=0.05, retry_s=0.01, retry_max_s=0.02, reserved_size=0),
        size=16 * 1024,
    )
    stage.database.mode = "refuse"
    kept = 0
    while stage.store.stats().side_record_count < 50 and "SIDELOG_FAILED" not in stage.told:
        kept += await is_taken(stage.store, kept)
    assert kept
    assert stage.told == ["LEDGER_DOWN", "SIDELOG_FAILED"]
    await stage.back()
    assert len(await stage.store.open_legs(LEADER)) == 3 * kept
    assert (await stage.store.commit(cohort(99))).is_clean
    assert "SIDELOG_FAILED" in await stage.lines()
    await stage.store.close()


async def is_taken(store: SidelogStore, trade: int) -> bool:
    """Claim; return whether that is durable. Only a full side log may refuse."""
    claimed = store.commit(cohort(trade))
    await asyncio.wait((claimed,))
    error = claimed.exception()
    assert error is None or "full" in str(error)
    return error is None


async def test_a_full_disk_under_sqlite_diverts_and_comes_back(stage: Stage) -> None:
    sqlite = stage.database.inner
    await set_page_count_max(sqlite, 0)
    is_diverted = False
    for trade in range(400):
        is_diverted = (await stage.store.commit(cohort(trade, followers=20))).is_sidelogged
        if is_diverted:
            break
    assert is_diverted
    assert stage.told == ["LEDGER_DOWN"]
    assert (await stage.store.commit(cohort(900, followers=20))).is_sidelogged
    await set_page_count_max(sqlite, 1_000_000)
    await until(lambda: not stage.store.is_down)
    legs = await stage.store.open_legs(LEADER)
    assert len(legs) == 20 * (trade + 2)
    assert (await stage.store.commit(cohort(901, followers=20))).is_clean


async def set_page_count_max(store: object, count: int) -> None:
    """Let the database grow to so many pages and no more; 0 = a few more than it has."""

    def limit(database: object) -> None:
        connection = getattr(database, "connection", database)
        pages = count or connection.pragma("page_count") + 12  # type: ignore[attr-defined]
        connection.pragma("max_page_count", pages)  # type: ignore[attr-defined]

    await store._writer.submit("limit", limit)  # type: ignore[attr-defined]


async def test_a_slow_database_answers_everything_itself_and_is_counted(
    url: str, tmp_path: Path
) -> None:
    stage = Stage(url, tmp_path / "ledger.db.side")
    await stage.open(SideSettings(answer_s=2.0))
    stage.database.mode, stage.database.slow_s = "slow", 0.4
    claims = [stage.store.commit(cohort(trade)) for trade in range(3)]
    assert [(await each).is_clean for each in claims] == [True] * 3
    assert not stage.store.is_down
    assert stage.store.stats().slow_wait_count >= 2
    assert len([each for each in stage.database.asked if isinstance(each, CohortCommit)]) == 3
    stage.database.mode = "ok"
    await stage.store.close()


async def test_closing_while_it_hangs_loses_nothing(stage: Stage) -> None:
    stage.database.mode = "hang"
    claimed = stage.store.commit(cohort(1))
    await stage.store.close()
    assert (await claimed).is_sidelogged
    with pytest.raises(StoreError, match="closed"):
        stage.store.commit(cohort(2))
    await stage.open()
    assert len(await stage.store.open_legs(LEADER)) == 3


CHILD = """
import asyncio, sys
from pathlib import Path
from unit.store.faulty_store import FaultyStore
from unit.store.store_rows import cohort
from slipstream.store.sidecodec import decode_entry, encode_entry
from slipstream.store.sidelog import SidelogStore
from slipstream.store.sqlite import SqliteStore

async def main():
    database = FaultyStore(await SqliteStore.open(sys.argv[1]))
    database.mode = "refuse"
    store = await SidelogStore.open(database.as_store(), Path(sys.argv[2]), wall_ms=lambda: 1)
    for trade in range(10_000):
        await store.commit(cohort(trade, followers=50))
        print(trade, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("acknowledged", [1, 7, 30])
async def test_what_was_acknowledged_survives_kill_9(
    url: str, tmp_path: Path, acknowledged: int
) -> None:
    path = tmp_path / "ledger.db.side"
    last = run_and_kill(url, path, acknowledged)
    stage = Stage(url, path)
    await stage.open()
    count = len(await stage.store.intent_seen([fill(trade).id.key for trade in range(last + 3)]))
    assert count in (last + 1, last + 2)
    assert len(await stage.store.open_legs(LEADER)) == count * 50
    await stage.store.close()


def run_and_kill(url: str, path: Path, acknowledged: int) -> int:
    """Return the last trade whose claims were acknowledged before the process was killed."""
    tests = str(Path(__file__).parents[2])
    code = f"import sys; sys.path[:0] = {[tests, *sys.path]!r}\n{CHILD}"
    child = subprocess.Popen(
        [sys.executable, "-c", code, url, str(path)], stdout=subprocess.PIPE, text=True
    )
    last = -1
    with child:
        assert child.stdout is not None
        for printed in child.stdout:
            last = int(printed)
            if last >= acknowledged:
                child.send_signal(signal.SIGKILL)
                break
        return max([last, *(int(each) for each in child.stdout.read().split())])


async def test_a_line_that_nothing_can_hold_keeps_nobody_waiting(stage: Stage) -> None:
    stage.database.mode = "refuse"
    assert (await stage.store.commit(cohort(1))).is_sidelogged
    poison = ActivityRow(2**70, "leg", LEADER, payload={"number": 2})
    stage.store.log([line(1), poison, line(3)])
    async with asyncio.timeout(5):
        assert (await stage.store.commit(cohort(2))).is_sidelogged
        await stage.store.flush()
    assert stage.store.stats().journal_lost_count == 1
    assert stage.told.count("LINE_REFUSED") == 1
    await stage.back()
    assert "SIDELOG_STUCK" not in stage.told
    found = await stage.lines()
    assert [each for each in found if "number" in each] == ['{"number":1}', '{"number":3}']
    assert "LINE_REFUSED" in found


async def test_a_line_that_the_database_refuses_is_given_up_in_the_replay(stage: Stage) -> None:
    stage.database.mode = "refuse"
    assert (await stage.store.commit(cohort(1))).is_sidelogged
    stage.store.log([line(1), line(2**63 - 1), ActivityRow(2**63, "leg", LEADER), line(3)])
    async with asyncio.timeout(5):
        await stage.store.flush()
        await stage.back()
    assert "SIDELOG_STUCK" not in stage.told
    assert stage.store.stats().journal_lost_count == 1
    assert '{"number":3}' in await stage.lines()


def test_a_payload_that_is_no_json_is_read_back_as_its_text() -> None:
    row = ActivityRow(1, "leg", LEADER, payload={"odd": {1: float("nan")}})
    (found,) = cast("tuple[ActivityRow]", decode_entry(encode_entry((row,))))
    assert found.ts_ms == 1
    assert "odd" in str(found.payload)


async def test_what_follows_from_a_commit_refused_here_and_there_is_refused_with_it(
    stage: Stage,
) -> None:
    await stage.store.commit(cohort(1, followers=1))
    lines = Line(), Line()
    bad = claim(intent(1).id, 5)._replace(symbol=cast("Any", object()))
    for own, is_down in zip(lines, (False, True), strict=True):
        stage.database.mode = "refuse" if is_down else "ok"
        if is_down:
            assert (await stage.store.commit(cohort(9, followers=1))).is_sidelogged
        asked: list[asyncio.Future[Any]] = [
            stage.store.commit(CohortCommit(LEADER, None, [bad]), line=own),
            stage.store.record([result(claim(intent(1).id, 0), lane="refused")], line=own),
            stage.store.commit(cohort(2, followers=1, lane="refused"), line=own),
            stage.store.commit(cohort(3 + is_down, followers=1), line=Line()),
        ]
        await asyncio.wait(asked)
        refused = [isinstance(each.exception(), StoreError) for each in asked]
        assert refused == [True, True, True, False]
    await stage.back()
    assert {row.lane for row in await stage.store.lanes(LEADER)} == {"lane"}
    assert await stage.store.intent_seen([fill(2).id.key]) == {}


async def test_a_commit_that_goes_to_the_side_log_ends_no_line(stage: Stage) -> None:
    line = Line()
    stage.database.mode = "refuse"
    for trade in (1, 2):
        outcome = await stage.store.commit(cohort(trade, followers=1), line=line)
        assert outcome.is_sidelogged
    await stage.back()
    assert (await stage.store.commit(cohort(3, followers=1), line=line)).is_clean
