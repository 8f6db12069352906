"""Orders as the engine asks for them and as a venue reports them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from slipstream._core import PositionSide, Side
from slipstream.domain.ids import ClientOrderId
from slipstream.units import Px, Qty, VenueMs


class OrderRequest(NamedTuple):
    """An immediate-or-cancel limit order. ``qty_text`` and ``limit_px_text`` are the exact wire
    forms of ``qty`` and ``limit_px``."""

    client_order_id: ClientOrderId
    symbol: str
    side: Side
    position_side: PositionSide
    qty: Qty
    limit_px: Px
    is_reduction: bool
    qty_text: str
    limit_px_text: str


class OrderState(StrEnum):
    """Where an order stands at its venue."""

    NEW = "new"
    PARTLY_FILLED = "partly_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"

    @property
    def is_final(self) -> bool:
        """Whether nothing more can happen to it."""
        return self not in (OrderState.NEW, OrderState.PARTLY_FILLED)


@dataclass(frozen=True, slots=True)
class OrderReport:
    """An order as its venue reports it. ``filled_qty`` is cumulative and positive; ``average_px``
    is ``None`` while nothing is filled."""

    client_order_id: ClientOrderId
    venue_order_id: str
    symbol: str
    state: OrderState
    filled_qty: Qty
    average_px: Px | None
    venue_ts_ms: VenueMs
