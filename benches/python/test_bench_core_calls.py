"""Calls of the core that exist for speed, each beside what it stands in for.

* the ledger rows of a cohort of 500, beside planning it;
* the scan for repeated keys, beside the standard library's parser with a hook;
* the signing queue, beside ``sign_many``: the same signatures, handed over through a descriptor.
"""

import json
import select

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from cohort_factory import FREE_RULES, PX, limits
from slipstream._core import (
    SCALE,
    TARGET_SCALE,
    Book,
    CohortIntent,
    CohortPlan,
    FollowerTable,
    LedgerNames,
    Signer,
    SigningQueue,
    SizingMode,
    SizingRule,
    TypedSchema,
    key_fault,
    plan_cohort,
    sign_many,
)
from slipstream.domain.ids import FollowerId, follower_key

FOLLOWER_COUNT = 500
JOB_COUNT = 64
EVENT = json.dumps(
    {
        "e": "ACCOUNT_UPDATE",
        "E": 1773751963082,
        "T": 1773751963079,
        "a": {
            "m": "ORDER",
            "B": [{"a": "USDT", "wb": "4997.42101", "cw": "4997.42101", "bc": "0"}],
            "P": [
                {
                    "s": "BTCUSDT",
                    "pa": "0.100",
                    "ep": "73685.5",
                    "cr": "0",
                    "up": "0",
                    "mt": "cross",
                }
            ],
        },
    }
).encode()


@pytest.fixture(name="planned")
def planned_cohort() -> tuple[LedgerNames, CohortPlan, FollowerTable]:
    """Return 500 planned orders and their names."""
    table, names = FollowerTable(), LedgerNames()
    for index in range(FOLLOWER_COUNT):
        rule = SizingRule(mode=SizingMode.RATIO, ratio=(index + 1) * SCALE // 100)
        row = table.add(sizing=rule, limits=limits())
        table.set_account(row, equity=10**15, free_margin=10**15, ts_ns=0)
        follower = FollowerId(f"follower-{index}")
        names.add(follower, key=follower_key(follower), claimant=f"aster|0x{index:040x}")
    book = Book()
    book.load([("99.99", "1000000")], [("100.01", "1000000")], sequence=1, ts_ns=0)
    intent = CohortIntent(
        symbol_index=0,
        rules=FREE_RULES,
        leader_before=0,
        leader_after=TARGET_SCALE,
        leader_px=PX,
        created_ns=0,
    )
    return names, plan_cohort(intent, table, book.view(), None, now_ns=1), table


def test_ledger_rows_of_500_orders(
    benchmark: BenchmarkFixture, planned: tuple[LedgerNames, CohortPlan, FollowerTable]
) -> None:
    names, plan, table = planned
    rows = benchmark(
        lambda: names.rows(
            plan, table, intent_id="0" * 24, symbol="BTCUSDT", symbol_index=0, attempts={}
        )
    )
    assert len(rows) == FOLLOWER_COUNT


@pytest.mark.benchmark(group="repeated keys")
def test_key_scan(benchmark: BenchmarkFixture) -> None:
    assert benchmark(key_fault, EVENT) is None


@pytest.mark.benchmark(group="repeated keys")
def test_peer_standard_parser_with_a_hook(benchmark: BenchmarkFixture) -> None:
    assert benchmark(lambda: json.loads(EVENT, object_pairs_hook=dict))


def _jobs() -> list[tuple[Signer, tuple[str]]]:
    schema = TypedSchema("Message", {"Message": [("msg", "string")]}, {"name": "bench"})
    signer = Signer.from_secret(bytes([7] * 32), schema)  # a throw-away key
    return [(signer, (f"message {index}",)) for index in range(JOB_COUNT)]


@pytest.mark.benchmark(group="64 signatures")
def test_signing_queue(benchmark: BenchmarkFixture) -> None:
    queue, jobs = SigningQueue(), _jobs()

    def sign() -> int:
        queue.submit(jobs)
        count = 0
        while count < JOB_COUNT:
            select.select([queue.fileno()], [], [])
            count += sum(len(results) for _, _, results in queue.take())
        return count

    assert benchmark(sign) == JOB_COUNT
    queue.close()


@pytest.mark.benchmark(group="64 signatures")
def test_peer_sign_many(benchmark: BenchmarkFixture) -> None:
    jobs = _jobs()
    assert len(benchmark(lambda: sign_many(jobs))) == JOB_COUNT
