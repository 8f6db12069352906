"""Aster as the engine sees it: traits, and the objects of one egress address."""

import random
from collections.abc import Callable
from typing import Final

from slipstream._core import Signer
from slipstream.transport.budget import AddressBudget
from slipstream.transport.clock import Clock
from slipstream.transport.origin import Origin
from slipstream.venues.aster import limits, wire
from slipstream.venues.aster.auth import purpose
from slipstream.venues.aster.books import AsterBookFeed, DepthKind
from slipstream.venues.aster.feed import AsterAccountFeed
from slipstream.venues.aster.gateway import AsterGateway
from slipstream.venues.aster.reader import AsterReader
from slipstream.venues.aster.rest import AsterAccess, AsterRest
from slipstream.venues.base import VenueTraits
from slipstream.venues.nonce import VenueClock

__all__ = ["TRAITS", "AsterAdapter"]

TRAITS: Final = VenueTraits(
    venue=wire.VENUE,
    absent_after_ns=limits.ABSENT_AFTER_NS,
    lookup_lag_ns=limits.LOOKUP_LAG_NS,
)
"""How long an order may still show up, and how long lookups lag
(aster.md, sections 2 and 6)."""


class AsterAdapter:
    """Makes the objects of one egress address; they share its budget and the venue's clock."""

    def __init__(
        self,
        *,
        rest_url: str,
        stream_url: str,
        chain: str,
        clock: Clock,
        source: random.Random,
        local_addr: str | None = None,
    ) -> None:
        """Open nothing yet. ``source``: of jitter, seeded in simulations.

        Raises:
            ConfigError: a URL or a chain that is none.
        """
        self.traits = TRAITS
        self.signer_purpose = purpose(chain)
        self.venue_clock = VenueClock(clock)
        self.budget = AddressBudget(
            window_max=limits.WEIGHT_PER_MINUTE, reserve=limits.WEIGHT_RESERVE
        )
        self._access = AsterAccess(
            rest=Origin(rest_url),
            stream=Origin(stream_url),
            clock=clock,
            venue_clock=self.venue_clock,
            budget=self.budget,
            random=source,
            local_addr=local_addr,
        )
        self._rests: dict[str, AsterRest] = {}
        self._public: list[AsterRest] = []

    def make_reader(self, *, on_report: Callable[[str], None] | None = None) -> AsterReader:
        """Return the public reads; ``on_report`` takes instruments that were left out."""
        rest = AsterRest(self._access)
        self._public.append(rest)
        return AsterReader(self._access, rest, on_report=on_report)

    def make_book_feed(
        self,
        *,
        depth: DepthKind = "diff",
        on_report: Callable[[str], None] | None = None,
    ) -> AsterBookFeed:
        """Return the books of this venue."""
        rest = AsterRest(self._access)
        redial_ns = limits.REDIAL_NS
        if on_report is None:
            return AsterBookFeed(self._access, rest, depth=depth, redial_ns=redial_ns)
        return AsterBookFeed(
            self._access, rest, depth=depth, on_report=on_report, redial_ns=redial_ns
        )

    def make_account_feed(
        self, account: str, signer: Signer, *, wants_orders: bool = True, is_first: bool = False
    ) -> AsterAccountFeed:
        """Return the stream of an account, read with one of its agent keys."""
        return AsterAccountFeed(
            self._access,
            self._rest(signer),
            account=account,
            wants_orders=wants_orders,
            is_first=is_first,
            bounds=limits.LEADER_STREAM if is_first else limits.FOLLOWER_STREAM,
        )

    def make_gateway(
        self,
        account: str,
        signer: Signer,
        *,
        orders_per_minute: int | None = None,
        is_first: bool = False,
    ) -> AsterGateway:
        """Return an account's way to the venue; ``None`` = as many orders as the venue allows."""
        return AsterGateway(
            self._access,
            self._rest(signer),
            account=account,
            signer=signer,
            orders_per_minute=orders_per_minute,
            is_first=is_first,
        )

    async def close(self) -> None:
        """Close the connections for reads; gateways and feeds have their own ends."""
        for rest in (*self._public, *self._rests.values()):
            await rest.close()

    def _rest(self, signer: Signer) -> AsterRest:
        """Return the calls of one key: feed and gateway share its nonces."""
        found = self._rests.get(signer.address)
        if found is None or found.signer is not signer:
            found = AsterRest(self._access, signer)
            self._rests[signer.address] = found
        return found
