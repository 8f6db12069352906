"""The durable claim of 500 followers, the thread hop and the future included.

``make bench`` runs this under pytest-benchmark. The floor beside it is one empty durable
transaction of the same database: what the disk (and a server's answer) alone takes.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from postgres_parts import PostgresServer, running_postgres
from slipstream.domain.cohort import CohortCommit
from slipstream.store import open_store
from slipstream.store.base import CommitResult, RecordResult, Store
from unit.store.store_rows import LEADER, cohort, result

FOLLOWERS = 500
ROUNDS = 100
SWITCH_INTERVAL_S = 0.0005
"""As the daemon sets it."""


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    with asyncio.Runner() as runner:
        yield runner.get_loop()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    server: PostgresServer = request.getfixturevalue("server")
    return server.make_database()


@pytest.fixture
def store(url: str, loop: asyncio.AbstractEventLoop) -> Iterator[Store]:
    opened = loop.run_until_complete(open_store(url))
    yield opened
    loop.run_until_complete(opened.close())


def test_claim_500(
    benchmark: BenchmarkFixture, store: Store, loop: asyncio.AbstractEventLoop
) -> None:
    _claim_many(benchmark, store, loop)


def test_claim_500_beside_a_busy_thread(
    benchmark: BenchmarkFixture,
    store: Store,
    loop: asyncio.AbstractEventLoop,
) -> None:
    """Another thread never stops running Python, as when the loop works on something else."""
    is_over = threading.Event()

    def work() -> None:
        while not is_over.is_set():
            sum(range(200))

    before = sys.getswitchinterval()
    busy = threading.Thread(target=work)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    busy.start()
    try:
        _claim_many(benchmark, store, loop)
    finally:
        is_over.set()
        busy.join()
        sys.setswitchinterval(before)


def _claim_many(benchmark: BenchmarkFixture, store: Store, loop: asyncio.AbstractEventLoop) -> None:
    cohorts = iter([cohort(trade, followers=FOLLOWERS) for trade in range(ROUNDS + 5)])

    def prepare() -> tuple[tuple[CohortCommit], dict[str, object]]:
        # Whoever reads lanes folds what is staged: each round begins with nothing staged.
        loop.run_until_complete(store.lanes(LEADER))
        return (next(cohorts),), {}

    outcome = benchmark.pedantic(
        lambda wanted: loop.run_until_complete(_commit(store, wanted)),
        setup=prepare,
        rounds=ROUNDS,
        warmup_rounds=5,
    )
    assert outcome == CommitResult()


def test_floor_one_row(
    benchmark: BenchmarkFixture, store: Store, loop: asyncio.AbstractEventLoop
) -> None:
    cursors = iter(range(10**9))

    async def write() -> CommitResult:
        wanted = CohortCommit(LEADER, None, [], ("BTCUSDT", str(next(cursors))))
        return await store.commit(wanted)

    outcome = benchmark.pedantic(
        lambda: loop.run_until_complete(write()), rounds=ROUNDS, warmup_rounds=5
    )
    assert outcome == CommitResult()


def test_floor_one_flush_of_the_disk(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """One page written and flushed, without any database."""
    page = bytes(4096)
    file = os.open(tmp_path / "page", os.O_RDWR | os.O_CREAT, 0o600)

    def write() -> None:
        os.pwrite(file, page, 0)
        os.fdatasync(file)

    benchmark.pedantic(write, rounds=ROUNDS, warmup_rounds=5)
    os.close(file)


def test_record_500_one_by_one(
    benchmark: BenchmarkFixture, store: Store, loop: asyncio.AbstractEventLoop
) -> None:
    """How 500 ends arrive: one call each, grouped by the writer."""
    trades = iter(range(10**9))

    def prepare() -> tuple[tuple[CohortCommit], dict[str, object]]:
        wanted = cohort(next(trades), followers=FOLLOWERS)
        loop.run_until_complete(asyncio.wait_for(_commit(store, wanted), 10))
        return (wanted,), {}

    async def record(wanted: CohortCommit) -> list[RecordResult]:
        ends = [store.record([result(leg)]) for leg in wanted.legs]
        return [await end for end in ends]

    outcomes = benchmark.pedantic(
        lambda wanted: loop.run_until_complete(record(wanted)), setup=prepare, rounds=20
    )
    assert outcomes == [RecordResult()] * FOLLOWERS


async def _commit(store: Store, wanted: CohortCommit) -> CommitResult:
    return await store.commit(wanted)
