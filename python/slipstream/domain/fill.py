"""Executions of an account, and the account's own accounts of itself, as its venue pushed them."""

from dataclasses import dataclass

from slipstream._core import PositionSide, Side
from slipstream.domain.ids import FillId
from slipstream.units import Px, Qty, Quote, TimeNs, VenueMs


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution. ``qty`` is positive; ``position_before`` only where the venue says it
    (Hyperliquid), signed."""

    id: FillId
    position_side: PositionSide
    side: Side
    qty: Qty
    px: Px
    is_taker: bool
    is_liquidation: bool
    received_ns: TimeNs
    decoded_ns: TimeNs
    client_order_id: str = ""
    position_before: Qty | None = None

    @property
    def symbol(self) -> str:
        """The instrument, as the venue names it."""
        return self.id.symbol

    @property
    def venue_ts_ms(self) -> VenueMs:
        """When the venue matched it."""
        return VenueMs(self.id.venue_ts_ms)

    @property
    def signed_qty(self) -> Qty:
        """The change of position: positive when bought."""
        return Qty(self.qty if self.side is Side.BUY else -self.qty)


@dataclass(frozen=True, slots=True)
class PositionState:
    """One position as the venue states it. ``qty`` signed, also in hedge mode (short negative).

    ``leverage``, ``initial_margin`` and ``changed_ms`` (the venue's time of the last change) are
    ``None`` where the message does not carry them.
    """

    symbol: str
    position_side: PositionSide
    qty: Qty
    entry_px: Px | None = None
    unrealised: Quote | None = None
    leverage: int | None = None
    initial_margin: Quote | None = None
    changed_ms: VenueMs | None = None


@dataclass(frozen=True, slots=True)
class AccountUpdate:
    """A pushed change of balance and positions (Aster ``ACCOUNT_UPDATE``).

    ``venue_ts_ms`` is the matching time ``T``, equal to that of the fills it belongs to.
    ``wallet`` is the wallet balance of the quote asset, ``None`` when the message has none.
    """

    account: str
    venue_ts_ms: VenueMs
    reason: str
    wallet: Quote | None
    positions: tuple[PositionState, ...]
    received_ns: TimeNs


@dataclass(frozen=True, slots=True)
class LeverageUpdate:
    """The account's leverage on a symbol changed."""

    account: str
    symbol: str
    leverage: int
    received_ns: TimeNs


@dataclass(frozen=True, slots=True)
class PositionDoubt:
    """Something changed a position in a way no fill tells (a liquidation without trade id):
    the position must be read."""

    account: str
    symbol: str
    reason: str
    received_ns: TimeNs


@dataclass(frozen=True, slots=True)
class AccountSnapshot:
    """A whole account as read over REST. Quote amounts; ``positions`` lists symbols with a
    position or a leverage setting; ``is_hedge`` from the position sides listed."""

    account: str
    wallet: Quote
    equity: Quote
    available: Quote
    initial_margin: Quote
    positions: tuple[PositionState, ...]
    is_hedge: bool
    venue_ts_ms: VenueMs
    received_ns: TimeNs
