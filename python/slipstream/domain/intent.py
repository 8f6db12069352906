"""What a leader did, in the engine's words."""

from dataclasses import dataclass
from enum import StrEnum

from slipstream._core import PositionSide, Side
from slipstream.domain.fill import Fill
from slipstream.domain.ids import IntentId, LeaderId, VenueId
from slipstream.units import Px, Qty, Quote, TimeNs, VenueMs


class IntentKind(StrEnum):
    """How a leader's position changed."""

    OPEN = "open"
    INCREASE = "increase"
    PARTIAL_CLOSE = "partial_close"
    FULL_CLOSE = "full_close"
    FLIP = "flip"


@dataclass(frozen=True, slots=True)
class LeaderMargin:
    """The leader's margin as its venue confirmed it. ``equity`` is wallet balance plus unrealised
    profit at mark; ``initial_margin`` of the symbol's position, ``None`` unless it was read."""

    equity: Quote
    initial_margin: Quote | None = None


@dataclass(frozen=True, slots=True)
class MirrorIntent:
    """One classified change of one leader position, to be mirrored once.

    ``before`` and ``after`` are signed positions in base units of the leader's symbol. ``px`` is
    the volume-weighted fill price, rounded half even. ``margin`` is ``None`` for reductions and
    for modes that need none. ``received_ns`` is the first fill's.
    """

    id: IntentId
    leader: LeaderId
    venue: VenueId
    account: str
    symbol: str
    position_side: PositionSide
    kind: IntentKind
    side: Side
    before: Qty
    after: Qty
    qty: Qty
    px: Px
    fills: tuple[Fill, ...]
    margin: LeaderMargin | None
    venue_ts_ms: VenueMs
    received_ns: TimeNs
    decoded_ns: TimeNs
    margin_ns: TimeNs | None
    created_ns: TimeNs
