"""The ports of a venue: what the engine asks of an adapter, and nothing about how.

An adapter is a set of small objects. Feeds push frozen values into a synchronous sink from the
socket read itself; the order gateway hands out signing jobs and transmits what was signed, with
callbacks instead of futures, because five hundred of them leave in one burst. Differences
between venues are data (``VenueTraits``), so that the engine never asks which venue it is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from slipstream._core import BookView, Signer
from slipstream.domain.fill import (
    AccountSnapshot,
    AccountUpdate,
    Fill,
    LeverageUpdate,
    PositionDoubt,
)
from slipstream.domain.ids import ClientOrderId, VenueId
from slipstream.domain.instrument import Instrument
from slipstream.domain.order import OrderReport, OrderRequest
from slipstream.domain.outcome import RequestOutcome
from slipstream.units import Px, TimeNs, VenueMs


@dataclass(frozen=True, slots=True)
class VenueTraits:
    """How a venue differs where the engine must know. Each value has its source in the adapter.

    ``absent_after_ns``: after this long a request that never showed up can no longer be accepted.
    ``lookup_lag_ns``: pause before an empty lookup counts as an answer.
    """

    venue: VenueId
    absent_after_ns: int
    lookup_lag_ns: int


@dataclass(frozen=True, slots=True)
class FeedUp:
    """The stream is live: everything from now on arrives."""

    received_ns: TimeNs


@dataclass(frozen=True, slots=True)
class FeedDown:
    """The stream can no longer be trusted; a reconnect is under way."""

    reason: str
    received_ns: TimeNs


@dataclass(frozen=True, slots=True)
class Best:
    """A best bid and offer, and the book sequence it belongs to."""

    bid_px: Px
    ask_px: Px
    sequence: int

    @property
    def mid_px(self) -> Px:
        """The price half way, rounded down."""
        return Px((self.bid_px + self.ask_px) // 2)


AccountEvent = (
    Fill | AccountUpdate | LeverageUpdate | PositionDoubt | OrderReport | FeedUp | FeedDown
)
AccountSink = Callable[[Sequence[AccountEvent]], None]
"""Takes everything that one socket read brought, in order. Never blocks, never raises."""


class AccountFeed(Protocol):
    """One account's user-data stream, with its listen key's whole life."""

    async def run(self, sink: AccountSink) -> None:
        """Connect, push events, reconnect with jittered backoff; return only when cancelled."""

    def redial(self, reason: str) -> None:
        """Give the stream up and dial again: it is known to have lost something."""


class BookFeed(Protocol):
    """Order books and marks of one venue, shared by all its followers and leaders."""

    async def run(self) -> None:
        """Keep all subscribed books in step; return only when cancelled."""

    def subscribe(self, symbol: str) -> None:
        """Start following a symbol; harmless when repeated."""

    def view(self, symbol: str) -> BookView | None:
        """Return the newest consistent book, ``None`` while there is none."""

    def best(self, symbol: str) -> Best | None:
        """Return the real-time best bid/offer, ``None`` while unknown or one-sided."""

    def mark_px(self, symbol: str) -> Px | None:
        """Return the newest mark price, ``None`` while unknown or too old to be relied on."""

    def is_gapped(self, symbol: str) -> bool:
        """Whether a sequence gap is being repaired."""


class MarketReader(Protocol):
    """Public reads of a venue: rare, off the way of a fill."""

    async def instruments(self) -> Mapping[str, Instrument]:
        """Return every instrument, by symbol. An instrument whose rules do not fit is left out
        and reported by name."""

    async def venue_time_ms(self) -> VenueMs:
        """Return the venue's clock."""


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """What a venue says of the key an account is traded with. ``expires_ms``: venue time."""

    address: str
    expires_ms: int
    can_trade: bool
    can_withdraw: bool


OutcomeSink = Callable[[RequestOutcome, TimeNs], None]
"""Takes what became of one order and when its answer was read."""

SignJob = tuple[Signer, tuple[object, ...]]


class OrderGateway(Protocol):
    """One follower's own way to its venue: connection, signer, nonces, token bucket."""

    async def start(self) -> None:
        """Open and warm the connection.

        Raises:
            NotSent: the venue cannot be reached.
        """

    async def close(self) -> None:
        """Close the connection; what is in flight becomes ``Unknown``."""

    def sign_job(self, order: OrderRequest) -> SignJob:
        """Return what ``_core.sign_many`` needs to make this order's bytes."""

    def transmit(self, signed: bytes, *, deadline_ns: TimeNs, on_outcome: OutcomeSink) -> TimeNs:
        """Write a signed order at once; call ``on_outcome`` exactly once; return the send instant.

        Never raises: what cannot be sent is ``NotSent``, what is not answered by ``deadline_ns``
        is ``Unknown``.
        """

    async def account(self) -> AccountSnapshot:
        """Read the whole account."""

    async def key_status(self) -> KeyStatus | None:
        """Read what the key may do; ``None`` when the venue does not list it for the account."""

    async def order(self, symbol: str, client_order_id: ClientOrderId) -> OrderReport | None:
        """Ask the venue what became of an order; ``None`` when it denies knowing it."""

    async def name_of(self, symbol: str, venue_order_id: str) -> ClientOrderId | None:
        """Ask under which client order id the venue keeps an order of its own id; ``None`` when
        it denies knowing it."""

    async def fills_since(self, symbol: str, cursor: str | None) -> tuple[list[Fill], str | None]:
        """Read executions after a cursor, oldest first, and the cursor behind them."""

    async def set_leverage(self, symbol: str, leverage: int) -> None:
        """Set the account's leverage on a symbol; setting what is set is success."""
