"""Whatever outages a database has, it ends as one that never had any."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from slipstream.domain.cohort import ActivityRow
from slipstream.store.base import ActivityFilter, Store
from slipstream.store.sidelog import SidelogStore
from slipstream.store.sidesettings import SideSettings
from slipstream.store.sqlite import SqliteStore
from unit.store.faulty_store import FaultyStore
from unit.store.store_rows import LEADER, cohort, fill, result

SIZE = 1024 * 1024
QUICK = SideSettings(answer_s=0.01, retry_s=0.001, retry_max_s=0.002, reserved_size=SIZE // 4)
TRADE_COUNT = 6
STEPS = st.lists(
    st.sampled_from(
        [
            "claim",
            "claim",
            "end",
            "end",
            "line",
            "refuse",
            "hang",
            "taken",
            "lost",
            "reopen",
            "rest",
        ]
    ),
    min_size=4,
    max_size=24,
)


class Run:
    """The same writes on one store, with or without faults."""

    def __init__(self, directory: Path) -> None:
        """Keep where the files go."""
        self._url = f"sqlite:///{directory / 'ledger.db'}"
        self._path = directory / "ledger.db.side"
        self._trade = self._ended = self._line = 0
        self.database: FaultyStore
        self.store: Store

    async def open(self) -> None:
        self.database = FaultyStore(await SqliteStore.open(self._url))
        self.store = await SidelogStore.open(
            self.database.as_store(), self._path, wall_ms=lambda: 1, settings=QUICK, size=SIZE
        )

    async def step(self, step: str, *, is_faulty: bool) -> None:
        if step == "claim" and self._trade < TRADE_COUNT:
            self._trade += 1
            await self.store.commit(cohort(self._trade, lane=f"claim {self._trade}"))
        elif step == "end" and self._ended < self._trade:
            self._ended += 1
            row = cohort(self._ended).legs[self._ended % 3]
            await self.store.record([result(row, lane=f"end {self._ended}")])
        elif step == "line":
            self._line += 1
            self.store.log([ActivityRow(self._line, "leg", LEADER)])
        elif is_faulty:
            await self._fault(step)

    async def _fault(self, step: str) -> None:
        if step in ("refuse", "hang"):
            self.database.mode = step
        elif step in ("taken", "lost"):
            self.database.release(is_taking=step == "taken")
        elif step == "reopen":
            await self.store.close()
            await self.open()
        else:
            await asyncio.sleep(0.004)

    async def end(self) -> dict[str, object]:
        """Let everything come back and return what the database holds."""
        self.database.release(is_taking=True)
        await self.store.close()
        await self.open()
        await self.store.flush()
        store = self.store
        keys = [fill(trade).id.key for trade in range(TRADE_COUNT + 1)]
        found = {
            "legs": sorted(await store.open_legs(LEADER)),
            "lanes": sorted(await store.lanes(LEADER)),
            "seen": await store.intent_seen(keys),
            "cursor": await store.cursor(LEADER, "BTCUSDT"),
            "lines": [row.ts_ms async for row in store.activity(ActivityFilter(kind="leg"))],
            "is_whole": (await store.verify_chain()).broken_seq,
        }
        await store.close()
        return found


@given(steps=STEPS)
@settings(max_examples=40, deadline=None)
def test_outages_lose_nothing_and_double_nothing(steps: list[str]) -> None:
    async def run(*, is_faulty: bool) -> dict[str, object]:
        with tempfile.TemporaryDirectory() as directory:
            each = Run(Path(directory))
            await each.open()
            for step in steps:
                await each.step(step, is_faulty=is_faulty)
            return await each.end()

    assert asyncio.run(run(is_faulty=True)) == asyncio.run(run(is_faulty=False))
