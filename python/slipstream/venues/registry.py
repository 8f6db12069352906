"""The venues there are: the one place that names them."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from slipstream._core import Signer
from slipstream.errors import ConfigError
from slipstream.transport.budget import AddressBudget
from slipstream.transport.clock import Clock
from slipstream.venues.aster.adapter import AsterAdapter
from slipstream.venues.base import (
    AccountFeed,
    BookFeed,
    MarketReader,
    OrderGateway,
    VenueTraits,
)
from slipstream.venues.nonce import VenueClock

__all__ = ["VENUES", "Endpoints", "VenueAdapter", "default_endpoints", "venue"]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Base URLs of a venue and the chain its signatures name (``mainnet`` or ``testnet``)."""

    rest: str
    stream: str
    chain: str


class VenueAdapter(Protocol):
    """What a venue hands out for one egress address."""

    traits: VenueTraits
    signer_purpose: str
    """What a live signer of this venue is opened for."""
    budget: AddressBudget
    venue_clock: VenueClock

    def make_reader(self, *, on_report: Callable[[str], None] | None = None) -> MarketReader:
        """Return the public reads; ``on_report`` takes instruments that were left out."""

    def make_book_feed(
        self,
        *,
        depth: Literal["diff", "partial"] = "diff",
        on_report: Callable[[str], None] | None = None,
    ) -> BookFeed:
        """Return the books of the venue; ``on_report`` takes what a log should hold."""

    def make_account_feed(
        self, account: str, signer: Signer, *, wants_orders: bool = True, is_first: bool = False
    ) -> AccountFeed:
        """Return the stream of an account; ``wants_orders=False`` leaves fills and order reports
        out, for accounts whose orders are answered to us anyway. ``is_first``: a leader's, which
        comes back before others and is held to closer bounds."""

    def make_gateway(
        self,
        account: str,
        signer: Signer,
        *,
        orders_per_minute: int | None = None,
        is_first: bool = False,
    ) -> OrderGateway:
        """Return an account's way to the venue; ``None`` = as many orders as the venue allows.
        ``is_first``: its reads may use the part of the address budget kept for reductions."""

    async def close(self) -> None:
        """Close the connections for reads that readers, feeds and gateways left open."""


_ENDPOINTS: Final = {
    ("aster", "mainnet"): Endpoints(
        "https://fapi.asterdex.com", "wss://fstream.asterdex.com", "mainnet"
    ),
    ("aster", "testnet"): Endpoints(
        "https://fapi.asterdex-testnet.com", "wss://fstream.asterdex-testnet.com", "testnet"
    ),
}

VENUES: Final = ("aster",)


def default_endpoints(name: str, chain: str) -> Endpoints:
    """Return a venue's own public endpoints.

    Raises:
        ConfigError: a venue or a chain we do not know.
    """
    found = _ENDPOINTS.get((name, chain))
    if found is None:
        known = ", ".join(f"{each} {on}" for each, on in _ENDPOINTS)
        raise ConfigError(f"venue {name!r} on {chain!r}: expected one of {known}")
    return found


def venue(
    name: str,
    endpoints: Endpoints,
    *,
    clock: Clock,
    source: random.Random,
    local_addr: str | None = None,
) -> VenueAdapter:
    """Return the adapter of a venue for one egress address.

    Raises:
        ConfigError: a venue we do not know, or endpoints that are none.
    """
    if name != "aster":
        raise ConfigError(f"venue: expected one of {', '.join(VENUES)}, found {name!r}")
    return AsterAdapter(
        rest_url=endpoints.rest,
        stream_url=endpoints.stream,
        chain=endpoints.chain,
        clock=clock,
        source=source,
        local_addr=local_addr,
    )
