"""Figures of the core and the store, each beside its peer, measured in one run.

Every figure is the median of interleaved rounds: what slows the machine down for a moment slows
both sides of a ratio.
"""

import asyncio
import gc
import secrets
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Final

from slipstream._core import (
    Book,
    BookView,
    CohortIntent,
    DepthReservation,
    FollowerLimits,
    FollowerTable,
    InstrumentRules,
    KeyEncryptionKey,
    LaneState,
    PositionSide,
    ReferenceKind,
    SealedKey,
    Side,
    Signer,
    SizingMode,
    SizingRule,
    parse_fixed,
    plan_cohort,
)
from slipstream.domain.cohort import CohortCommit, LegRow, LegStatus
from slipstream.domain.ids import ClientOrderId, FollowerId, IntentId, LeaderId
from slipstream.errors import InvariantError
from slipstream.store import open_store
from slipstream.telemetry.peers import bare_signatures, eth_account_signature, throw_away_secret
from slipstream.units import SCALE, TARGET_SCALE

_NS_PER_US: Final = 1_000
_NS_PER_MS: Final = 1_000_000
_ENTRY_ID: Final = "bench"
_KDF: Final = {"memory_kib": 8_192, "passes": 1, "lanes": 1}
"""As weak as Argon2id gets: the key is thrown away with the process."""

COHORT_SIZE: Final = 500
LEVEL_COUNT: Final = 50
_MID_PX: Final = 60_000

ORDER: Final = (
    ("newClientOrderId", "sbxkq3m5n7p2r4t6v8w2y4z6a"),
    ("symbol", "BTCUSDT"),
    ("side", "BUY"),
    ("type", "LIMIT"),
    ("timeInForce", "IOC"),
    ("quantity", "0.021"),
    ("price", "60012.3"),
    ("newOrderRespType", "RESULT"),
    ("nonce", "1748310859508867"),
)
"""An order as the engine sends them, in wire order."""


def medians_ns(works: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, int]:
    """Return each work's median time over interleaved rounds; a first round is not counted."""
    for work in works.values():
        work()
    taken: dict[str, list[int]] = {name: [] for name in works}
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, work in works.items():
                start_ns = time.perf_counter_ns()
                work()
                taken[name].append(time.perf_counter_ns() - start_ns)
    finally:
        gc.enable()
    return {name: round(median(each)) for name, each in taken.items()}


def live_signer() -> Signer:
    """Return a live signer of a fresh key that never leaves the core."""
    kek, _, _ = KeyEncryptionKey.create(
        bytearray(secrets.token_bytes(16)), salt=secrets.token_bytes(16), **_KDF
    )
    record = kek.new_key(entry_id=_ENTRY_ID, venue="aster", kind="secp256k1")
    sealed = SealedKey(
        entry_id=_ENTRY_ID,
        venue="aster",
        kind="secp256k1",
        address=record.address,
        nonce=record.nonce,
        ciphertext=record.ciphertext,
    )
    return Signer.open(sealed, kek, "aster-mainnet")


def sign_one_order(*, rounds: int) -> dict[str, object]:
    """Measure one Aster order from its parameters to signed request text, beside one bare
    signature of a ready digest and beside eth-account on the finished text."""
    signer = live_signer()
    text = signer.sign("order", ORDER).decode().partition("&signature=")[0]
    count = 50
    bare, peer = bare_signatures(count, 1)
    foreign = eth_account_signature(throw_away_secret(0))

    def ours() -> None:
        for _ in range(count):
            signer.sign("order", ORDER)

    def theirs() -> None:
        for _ in range(count // 10):
            foreign(text)

    taken = medians_ns({"ours": ours, "bare": bare, "eth": theirs}, rounds=rounds)
    ours_us = taken["ours"] / count / _NS_PER_US
    bare_us = taken["bare"] / count / _NS_PER_US
    eth_us = taken["eth"] / (count // 10) / _NS_PER_US
    return {
        "ours_us": round(ours_us, 2),
        "coincurve_us": round(bare_us, 2),
        "bare_signature_by": peer,
        "eth_account_us": round(eth_us, 2),
        "ratio_to_coincurve": round(ours_us / bare_us, 3),
        "speedup_over_eth_account": round(eth_us / ours_us, 2),
    }


def bench_book() -> Book:
    """Return a book of 50 levels a side around 60,000, two base units each."""
    book = Book(depth_max=LEVEL_COUNT)
    bids = [(str(_MID_PX - level), "2") for level in range(1, LEVEL_COUNT + 1)]
    asks = [(str(_MID_PX + level), "2") for level in range(1, LEVEL_COUNT + 1)]
    book.load(bids, asks, sequence=1, ts_ns=1)
    return book


def _view() -> BookView:
    view = bench_book().view()
    if view is None:
        raise InvariantError("bench: a loaded book has no view")
    return view


def _table(size: int) -> FollowerTable:
    table = FollowerTable()
    limits = FollowerLimits(
        entry_ppm=3_000, exit_ppm=10_000, emergency_ppm=30_000, deviation_ppm=5_000
    )
    for index in range(size):
        sizing = SizingRule(mode=SizingMode.MARGIN, allocation=(1_000 + index) * SCALE)
        row = table.add(sizing=sizing, limits=limits)
        table.set_account(row, equity=10_000 * SCALE, free_margin=10_000 * SCALE, ts_ns=1)
        table.set_leverage(row, 0, 10)
    return table


def plan_cohort_of(size: int, *, rounds: int) -> dict[str, object]:
    """Measure ``plan_cohort`` for a leader's open on a 50-level book, depth shared by all."""
    view = _view()
    rules = InstrumentRules(
        px_step=SCALE // 10,
        qty_step=SCALE // 1_000,
        qty_min=SCALE // 1_000,
        notional_min=5 * SCALE,
    )
    intent = CohortIntent(
        symbol_index=0,
        rules=rules,
        leader_before=0,
        leader_after=TARGET_SCALE,
        leader_px=_MID_PX * SCALE,
        created_ns=1,
        leader_margin=40_000 * SCALE,
        arrival_px=_MID_PX * SCALE,
    )
    taken, orders, skips = [], 0, 0
    for _ in range(rounds + 1):
        table, reservation = _table(size), DepthReservation(view)
        start_ns = time.perf_counter_ns()
        plan = plan_cohort(intent, table, view, reservation, now_ns=2)
        taken.append(time.perf_counter_ns() - start_ns)
        orders, skips = len(plan.orders), len(plan.skips)
    return {
        "ms": round(median(taken[1:]) / _NS_PER_MS, 4),
        "followers": size,
        "levels": LEVEL_COUNT,
        "orders": orders,
        "skips": skips,
    }


def parse_and_walk(*, rounds: int) -> dict[str, object]:
    """Measure exact parsing and walking a book, a thousand calls a round."""
    view, qty, count = _view(), 30 * SCALE, 1_000

    def parse() -> None:
        for _ in range(count):
            parse_fixed("60012.30000001")

    def walk() -> None:
        for _ in range(count):
            view.walk(Side.BUY, qty)

    taken = medians_ns({"parse": parse, "walk": walk, "load": bench_book}, rounds=rounds)
    return {
        "parse_us": round(taken["parse"] / count / _NS_PER_US, 4),
        "walk_us": round(taken["walk"] / count / _NS_PER_US, 4),
        "load_100_levels_us": round(taken["load"] / _NS_PER_US, 2),
    }


def store_commit(size: int, *, rounds: int, scratch: Path) -> dict[str, object]:
    """Measure the one durable commit of a cohort, on the file system of ``scratch``."""
    lane = LaneState().encode()

    async def measure() -> list[int]:
        taken = []
        store = await open_store(f"sqlite:///{directory}/bench.db")
        try:
            for index in range(rounds + 1):
                commit = CohortCommit(LeaderId("bench"), None, _legs(size, index, lane))
                start_ns = time.perf_counter_ns()
                await store.commit(commit)
                taken.append(time.perf_counter_ns() - start_ns)
        finally:
            await store.close()
        return taken

    with tempfile.TemporaryDirectory(dir=scratch, prefix="slipstream-bench-") as directory:
        taken = sorted(asyncio.run(measure())[1:])
    return {
        "rows": size,
        "p50_ms": round(median(taken) / _NS_PER_MS, 3),
        "max_ms": round(taken[-1] / _NS_PER_MS, 3),
        "rounds": rounds,
    }


def _legs(size: int, index: int, lane: str) -> list[LegRow]:
    return [
        LegRow(
            intent_id=IntentId(f"bench-{index}"),
            follower_id=FollowerId(f"follower-{each}"),
            leg=0,
            attempt=0,
            status=LegStatus.CLAIMED,
            symbol="BTCUSDT",
            position_side=int(PositionSide.NET.value),
            lane=lane,
            wanted_qty=2_100_000,
            client_order_id=ClientOrderId(f"s{index}-{each}"),
            claim_hash=bytes(32),
            side=1,
            qty=2_100_000,
            limit_px=60_012 * SCALE,
            is_reduction=0,
            reference=int(ReferenceKind.ARRIVAL_MID.value),
            reference_px=60_000 * SCALE,
            reference_sequence=1_000_000,
            bound_ppm=3_000,
            book_sequence=1_000_000,
        )
        for each in range(size)
    ]
