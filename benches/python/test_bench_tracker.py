"""Costs of the leader's side: one fill through the tracker, one chain of recorded fills."""

from collections.abc import Callable

from pytest_benchmark.fixture import BenchmarkFixture

from slipstream._core import SCALE, PositionSide, Side
from slipstream.domain.fill import AccountSnapshot, AccountUpdate, Fill, PositionState
from slipstream.domain.ids import FillId, LeaderId, VenueId
from slipstream.engine.chain import chain
from slipstream.engine.effects import EmitIntent
from slipstream.engine.leader import LeaderTracker

VENUE, ACCOUNT, SYMBOL = VenueId("aster"), "0xleader", "BTCUSDT"
PX = 100 * SCALE


def fill(index: int, change: int, before: int | None = None) -> Fill:
    return Fill(
        id=FillId(VENUE, ACCOUNT, SYMBOL, "7", str(index), 1_000 + index),
        position_side=PositionSide.NET,
        side=Side.BUY if change > 0 else Side.SELL,
        qty=abs(change),
        px=PX,
        is_taker=True,
        is_liquidation=False,
        received_ns=index,
        decoded_ns=index,
        position_before=before,
    )


def tracker(*, needs_margin: bool) -> LeaderTracker:
    machine = LeaderTracker(LeaderId("whale"), VENUE, ACCOUNT, needs_margin=needs_margin)
    snapshot = AccountSnapshot(
        account=ACCOUNT,
        wallet=SCALE,
        equity=SCALE,
        available=SCALE,
        initial_margin=0,
        positions=(),
        is_hedge=False,
        venue_ts_ms=1,
        received_ns=0,
    )
    machine.on_snapshot(snapshot, now_ns=0)
    machine.on_mark(SYMBOL, PX, now_ns=0)
    return machine


def once(machine: LeaderTracker, *, is_joined: bool) -> Callable[[], None]:
    """Return a call that brings one more fill, with its account update first if joined."""
    index = 0

    def bring() -> None:
        nonlocal index
        index += 1
        change = SCALE if index % 64 else -63 * SCALE
        if is_joined:
            state = PositionState(SYMBOL, PositionSide.NET, (index % 64) * SCALE, PX)
            update = AccountUpdate(ACCOUNT, 1_000 + index, "ORDER", SCALE, (state,), index)
            machine.on_account_update(update, now_ns=index)
        effects = machine.on_fills([fill(index, change)], now_ns=index)
        assert isinstance(effects[0], EmitIntent)

    return bring


def test_one_fill_to_one_intent(benchmark: BenchmarkFixture) -> None:
    benchmark(once(tracker(needs_margin=False), is_joined=False))


def test_one_fill_joined_with_its_account_update(benchmark: BenchmarkFixture) -> None:
    benchmark(once(tracker(needs_margin=True), is_joined=True))


def test_a_chain_of_a_thousand_fills_in_one_millisecond_groups(
    benchmark: BenchmarkFixture,
) -> None:
    fills = [fill(index, 1, index) for index in range(1_000)]
    result = benchmark(chain, fills)
    assert len(result.fills) == len(fills)
