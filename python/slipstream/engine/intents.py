"""Builds mirror intents from fills: names, kinds, volume-weighted price, stamps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from slipstream._core import Side
from slipstream.domain.fill import Fill
from slipstream.domain.ids import FillId, LeaderId, VenueId, intent_id
from slipstream.domain.intent import LeaderMargin, MirrorIntent
from slipstream.engine.classify import classify
from slipstream.engine.position import LaneKey
from slipstream.units import Px, Qty, TimeNs

CLOSE_PART: Final = "/close:"
OPEN_PART: Final = "/open"
READ_ORDER_ID: Final = "position-read"


def volume_weighted_px(fills: Sequence[Fill]) -> Px:
    """Return the volume-weighted price of fills at 10**-8, rounded half even."""
    total_qty = sum(fill.qty for fill in fills)
    quotient, rest = divmod(sum(fill.px * fill.qty for fill in fills), total_qty)
    is_up = 2 * rest > total_qty or (2 * rest == total_qty and quotient % 2 == 1)
    return Px(quotient + is_up)


def closing_part(fill: Fill, before: int) -> Fill:
    """Return the part of a fill across zero that closes ``before``.

    Parts are fills of their own, so that closing need not wait for what only opening needs. The
    identity of this one names the fill, the part and its quantity: enough to tell after a
    restart how much of the fill is still to be mirrored.
    """
    name = f"{fill.id.trade_id}{CLOSE_PART}{abs(before)}"
    return replace(fill, id=fill.id._replace(trade_id=name), qty=Qty(abs(before)))


def opening_part(fill: Fill, closed_qty: int) -> Fill:
    """Return what is left of a fill across zero after ``closed_qty`` of it closed."""
    return replace(
        fill,
        id=fill.id._replace(trade_id=fill.id.trade_id + OPEN_PART),
        qty=Qty(fill.qty - closed_qty),
        position_before=None if fill.position_before is None else Qty(0),
    )


def closed_part_of(fill_id: FillId) -> tuple[FillId, int] | None:
    """Return the whole fill and the quantity that a closing part's identity names."""
    name, separator, qty = fill_id.trade_id.partition(CLOSE_PART)
    return (fill_id._replace(trade_id=name), int(qty)) if separator else None


def opened_part_of(fill_id: FillId) -> FillId | None:
    """Return the whole fill that an opening part's identity names."""
    if not fill_id.trade_id.endswith(OPEN_PART):
        return None
    return fill_id._replace(trade_id=fill_id.trade_id.removesuffix(OPEN_PART))


@dataclass(frozen=True, slots=True)
class IntentBuilder:
    """Makes the intents of one leader's account."""

    leader: LeaderId
    venue: VenueId
    account: str

    def build(
        self,
        key: LaneKey,
        before: int,
        after: int,
        fills: Sequence[Fill],
        *,
        absorbed: Sequence[Fill] = (),
        margin: LeaderMargin | None = None,
        now_ns: TimeNs,
    ) -> MirrorIntent:
        """Return the intent of a change made by ``fills``.

        ``absorbed`` are increases that were never mirrored and that this change undid: they are
        listed, so that each identity belongs to one intent, and do not count in ``px``.
        """
        listed = (*absorbed, *fills)
        return MirrorIntent(
            id=intent_id(self.leader, tuple(fill.id for fill in listed)),
            leader=self.leader,
            venue=self.venue,
            account=self.account,
            symbol=key.symbol,
            position_side=key.position_side,
            kind=classify(before, after),
            side=Side.BUY if after > before else Side.SELL,
            before=Qty(before),
            after=Qty(after),
            qty=Qty(abs(after - before)),
            px=volume_weighted_px(fills),
            fills=listed,
            margin=margin,
            venue_ts_ms=max(fill.venue_ts_ms for fill in fills),
            received_ns=fills[0].received_ns,
            decoded_ns=fills[0].decoded_ns,
            margin_ns=None if margin is None else now_ns,
            created_ns=now_ns,
        )

    def read_fill(
        self, key: LaneKey, before: int, after: int, *, px: Px, ts_ms: int, now_ns: TimeNs
    ) -> Fill:
        """Return the fill that stands for a change which only a position read tells.

        Its identity is the read itself: time, side, position before and after.
        """
        trade_id = f"{key.position_side.name}:{before}>{after}"
        return Fill(
            id=FillId(self.venue, self.account, key.symbol, READ_ORDER_ID, trade_id, ts_ms),
            position_side=key.position_side,
            side=Side.BUY if after > before else Side.SELL,
            qty=Qty(abs(after - before)),
            px=px,
            is_taker=True,
            is_liquidation=True,
            received_ns=now_ns,
            decoded_ns=now_ns,
        )
