"""Cohorts, legs and results as the runtime would hand them to the store."""

from slipstream._core import PositionSide, Side
from slipstream.domain.cohort import CohortCommit, LegResult, LegRow, LegStatus
from slipstream.domain.fill import Fill
from slipstream.domain.ids import (
    ClientOrderId,
    FillId,
    FollowerId,
    IntentId,
    LeaderId,
    VenueId,
    intent_id,
)
from slipstream.domain.intent import IntentKind, LeaderMargin, MirrorIntent
from slipstream.units import Px, Qty, Quote, TimeNs, VenueMs

LEADER = LeaderId("whale")
VENUE = VenueId("aster")


def fill(trade: int, symbol: str = "BTCUSDT") -> Fill:
    """Return one execution of the leader's."""
    return Fill(
        id=FillId(VENUE, "0xabc", symbol, "77", str(trade), 1_700_000_000_000 + trade),
        position_side=PositionSide.NET,
        side=Side.BUY,
        qty=Qty(5),
        px=Px(10),
        is_taker=True,
        is_liquidation=False,
        received_ns=TimeNs(1),
        decoded_ns=TimeNs(2),
    )


def intent(*trades: int, leader: LeaderId = LEADER, symbol: str = "BTCUSDT") -> MirrorIntent:
    """Return an intent made of fills with these trade ids."""
    fills = tuple(fill(trade, symbol) for trade in trades)
    return MirrorIntent(
        id=intent_id(leader, tuple(one.id for one in fills)),
        leader=leader,
        venue=VENUE,
        account="0xabc",
        symbol=symbol,
        position_side=PositionSide.NET,
        kind=IntentKind.OPEN,
        side=Side.BUY,
        before=Qty(0),
        after=Qty(5),
        qty=Qty(5),
        px=Px(10),
        fills=fills,
        margin=LeaderMargin(equity=Quote(10**12)),
        venue_ts_ms=VenueMs(1_700_000_000_000),
        received_ns=TimeNs(1),
        decoded_ns=TimeNs(2),
        margin_ns=None,
        created_ns=TimeNs(3),
    )


def claim(
    intent_name: IntentId,
    follower: int,
    *,
    attempt: int = 0,
    leg: int = 0,
    claim_hash: bytes = b"h" * 16,
    lane: str = "lane",
) -> LegRow:
    """Return a claimed leg."""
    return LegRow(
        intent_id=intent_name,
        follower_id=FollowerId(f"f{follower:04d}"),
        leg=leg,
        attempt=attempt,
        status=LegStatus.CLAIMED,
        symbol="BTCUSDT",
        position_side=0,
        lane=lane,
        wanted_qty=5,
        client_order_id=ClientOrderId(f"s{follower}x{leg}x{attempt}"),
        claim_hash=claim_hash,
        side=1,
        qty=5,
        limit_px=10,
        is_reduction=0,
        reference=2,
        reference_px=9,
        reference_sequence=71,
        bound_ppm=3_000,
        book_sequence=70,
    )


def unclaimed(intent_name: IntentId, follower: int, status: LegStatus, reason: str) -> LegRow:
    """Return a skipped or waiting leg."""
    return LegRow(
        intent_id=intent_name,
        follower_id=FollowerId(f"f{follower:04d}"),
        leg=0,
        attempt=0,
        status=status,
        symbol="BTCUSDT",
        position_side=0,
        lane="unclaimed",
        wanted_qty=5,
        reason=reason,
        observed=3,
        limit_value=4,
    )


def cohort(*trades: int, followers: int = 3, lane: str = "lane") -> CohortCommit:
    """Return a cohort of claims on one intent."""
    cause = intent(*trades)
    legs = [claim(cause.id, follower, lane=lane) for follower in range(followers)]
    return CohortCommit(LEADER, cause, legs, ("BTCUSDT", f"cursor-{trades[-1]}"))


def result(row: LegRow, end: str = "filled", lane: str = "after") -> LegResult:
    """Return how a claimed leg ended."""
    return LegResult(
        intent_id=row.intent_id,
        follower_id=row.follower_id,
        leg=row.leg,
        attempt=row.attempt,
        end=end,
        reason=None,
        filled_qty=5,
        average_px=10,
        venue_order_id="9",
        lane=lane,
    )
