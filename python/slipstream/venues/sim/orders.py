"""Orders, fills and refusals of the matching venue, free of any wire format."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from slipstream.venues.sim.matching import BUY


class TimeInForce(StrEnum):
    """How long an order may rest."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTX = "GTX"


class Status(StrEnum):
    """Where an order is in its life."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"


class Why(StrEnum):
    """Why the core refuses an order; a face maps it to its code and text."""

    DUPLICATE_ID = "duplicate_id"
    POSITION_SIDE = "position_side"
    REDUCE_ONLY_VALUE = "reduce_only_value"
    REDUCE_ONLY = "reduce_only"
    MARGIN = "margin"
    OPEN_ORDER_CAP = "open_order_cap"


class Refused(Exception):
    """The core refused an order; ``why`` says for what reason."""

    def __init__(self, why: Why) -> None:
        """Keep the reason."""
        super().__init__(why.value)
        self.why = why


@dataclass(frozen=True, slots=True)
class OrderSpec:
    """What a client asks for. ``limit_px`` None means a market order."""

    symbol: str
    side: int
    qty: int
    limit_px: int | None
    time_in_force: TimeInForce
    position_side: str
    reduce_only: bool
    client_order_id: str


class Fill(NamedTuple):
    """One execution of one order. ``book_sequence`` is the step that it belongs to."""

    trade_id: int
    order_id: int
    symbol: str
    side: int
    position_side: str
    px: int
    qty: int
    commission: int
    realized: int
    is_maker: bool
    at_ms: int
    book_sequence: int


@dataclass(slots=True)
class Order:
    """An accepted order. Quantities and prices are raw; ``filled_cost`` is px * qty."""

    order_id: int
    account: str
    spec: OrderSpec
    arrival_ns: int
    created_ms: int
    updated_ms: int
    arrival_sequence: int
    orig_qty: int
    status: Status = Status.NEW
    filled_qty: int = 0
    filled_cost: int = 0
    fills: list[Fill] = field(default_factory=list)

    @property
    def remaining_qty(self) -> int:
        """What is still to be filled."""
        return self.orig_qty - self.filled_qty

    @property
    def is_open(self) -> bool:
        """Whether the order can still fill."""
        return self.status in (Status.NEW, Status.PARTIALLY_FILLED)

    @property
    def average_px(self) -> int:
        """Average fill price, cut toward zero; 0 when nothing is filled."""
        return self.filled_cost // self.filled_qty if self.filled_qty else 0

    @property
    def side_text(self) -> str:
        """BUY or SELL."""
        return "BUY" if self.spec.side == BUY else "SELL"
