"""The ledger in memory refuses what follows from a refused commit, as the databases do."""

import asyncio
from typing import Any

from simulation.memory_net import Network
from simulation.memory_store import MemoryStore
from simulation.virtual_loop import VirtualLoop, run_virtual
from slipstream.errors import StoreError
from slipstream.store.base import Line
from unit.store.store_rows import LEADER, cohort, fill, result

REFUSED_NS = 1_200_000


def test_what_follows_from_a_refused_commit_is_refused_with_it() -> None:
    async def main(loop: VirtualLoop) -> None:
        store = MemoryStore(loop)
        first, line = cohort(1, followers=1), Line()
        await store.commit(first, line=line)

        def allow() -> None:
            store.refusal = None

        store.refusal = "disk full"
        asked: list[asyncio.Future[Any]] = [store.commit(cohort(2), line=line)]
        loop.call_after_ns(REFUSED_NS, allow)
        await asyncio.sleep(0.0005)
        asked += [
            store.record([result(first.legs[0], lane="refused")], line=line),
            store.commit(cohort(3, lane="refused"), line=line),
            store.commit(cohort(4, followers=1), line=Line()),
        ]
        await asyncio.wait(asked)
        refused = [isinstance(each.exception(), StoreError) for each in asked]
        assert refused == [True, True, True, False]
        assert {row.lane for row in await store.lanes(LEADER)} == {"lane"}
        assert await store.intent_seen([fill(3).id.key]) == {}

    network = Network(latency_ns=1, jitter_ns=0, seed=1)
    run_virtual(main, network=network, step_count_max=10_000)
