"""What an engine is built from: the options, the open venues, the followers.

``opening`` fills a ``Wiring`` from a configuration and makes the engine of it; ``leaderline``
builds each leader's pipeline on it, again after every failure.
"""

import asyncio
import random
from dataclasses import dataclass, field, replace

from slipstream._core import Signer, SkipReason
from slipstream.config.keystore import Keystore
from slipstream.config.model import Config, FollowerConfig, MirrorConfig
from slipstream.domain.cohort import ActivityRow
from slipstream.domain.ids import FollowerId, LeaderId
from slipstream.runtime import points
from slipstream.runtime.engine import Engine, LeaderParts
from slipstream.runtime.follower import Follower
from slipstream.runtime.hub import VenueHub
from slipstream.runtime.signing import SigningThread
from slipstream.runtime.switchboard import Switchboard
from slipstream.store.base import Store
from slipstream.telemetry.execution import FanOutTimes
from slipstream.telemetry.stages import StageRecorder
from slipstream.transport.clock import Clock
from slipstream.venues.base import MarketReader, VenueTraits
from slipstream.venues.nonce import VenueClock
from slipstream.venues.registry import Endpoints, VenueAdapter, default_endpoints, venue


@dataclass(frozen=True, slots=True)
class Options:
    """What a demo or a bench changes. ``is_depth_reserved=False`` plans every follower on the
    whole book, to show what the reservation is for. ``at_point`` is called at every named point
    of an order's life (``runtime/points.py``). ``absent_after_ns`` and ``lookup_lag_ns`` take the
    place of the venue's own where a simulated venue refuses old nonces sooner than the real one."""

    is_depth_reserved: bool = True
    at_point: points.AtPoint = points.pass_by
    absent_after_ns: int | None = None
    lookup_lag_ns: int | None = None


@dataclass(slots=True)
class VenueParts:
    """One venue as it stands open."""

    adapter: VenueAdapter
    hub: VenueHub
    reader: MarketReader
    is_clock_wanted: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class Wiring:
    """Everything that several parts share while an engine is built."""

    config: Config
    keystore: Keystore
    clock: Clock
    source: random.Random
    options: Options
    store: Store
    signing: SigningThread
    stages: StageRecorder = field(default_factory=StageRecorder)
    times: FanOutTimes = field(default_factory=FanOutTimes)
    venues: dict[str, VenueParts] = field(default_factory=dict)
    followers: dict[FollowerId, Follower] = field(default_factory=dict)
    leader_signers: dict[LeaderId, Signer] = field(default_factory=dict)
    parts: dict[LeaderId, LeaderParts] = field(default_factory=dict)
    switchboard: Switchboard = field(init=False)
    engine: Engine | None = None

    def wall_ms(self) -> int:
        """Return milliseconds since the epoch."""
        return self.clock.wall_us() // 1_000

    def report(self, kind: str, follower: FollowerId | None, detail: str) -> None:
        """Write an incident that has no leader into the activity log."""
        self.tell(kind, detail, follower=follower)

    def tell(
        self,
        kind: str,
        detail: str,
        *,
        leader: LeaderId | None = None,
        follower: FollowerId | None = None,
    ) -> None:
        """Write an incident into the activity log."""
        self.store.log(
            [
                ActivityRow(
                    ts_ms=self.wall_ms(),
                    kind="incident",
                    leader=leader,
                    follower=follower,
                    reason=kind,
                    payload={"detail": detail},
                )
            ]
        )

    async def add_venue(self, name: str) -> None:
        """Open a venue: its instruments, its clock, its books."""
        chosen = self.config.venues.get(name)
        chain = chosen.chain if chosen is not None else "mainnet"
        endpoints = default_endpoints(name, chain)
        if chosen is not None:
            endpoints = Endpoints(
                chosen.rest or endpoints.rest, chosen.ws or endpoints.stream, chain
            )
        adapter = venue(name, endpoints, clock=self.clock, source=self.source)
        reader = adapter.make_reader(on_report=lambda text: self.tell("INSTRUMENTS", text))
        await reader.venue_time_ms()
        instruments = await reader.instruments()
        books = adapter.make_book_feed(on_report=lambda text: self.tell("BOOKS", text))
        hub = VenueHub(
            self._traits(adapter.traits),
            instruments,
            books,
            is_reserving=self.options.is_depth_reserved,
            gates=lambda: self._gates(adapter.venue_clock),
        )
        self.venues[name] = VenueParts(adapter, hub, reader)

    def _traits(self, traits: VenueTraits) -> VenueTraits:
        """Return a venue's traits as the options have them."""
        absent_ns, lag_ns = self.options.absent_after_ns, self.options.lookup_lag_ns
        return replace(
            traits,
            absent_after_ns=traits.absent_after_ns if absent_ns is None else absent_ns,
            lookup_lag_ns=traits.lookup_lag_ns if lag_ns is None else lag_ns,
        )

    def _gates(self, venue_clock: VenueClock) -> int:
        """Return what stops everybody's opens on a venue now."""
        gates = SkipReason.LEDGER_DOWN.mask if self.store.stats().is_down else 0
        return gates | (SkipReason.CLOCK_SKEW.mask if venue_clock.is_doubted else 0)

    def add_follower(self, config: FollowerConfig) -> None:
        """Make a follower's bulkhead; nothing is opened yet."""
        at = self.venues[config.venue]
        signer = self.keystore.signer(config.key, at.adapter.signer_purpose, config.account)
        follower = Follower(
            config,
            gateway=at.adapter.make_gateway(
                config.account, signer, orders_per_minute=config.orders_per_minute
            ),
            feed=at.adapter.make_account_feed(config.account, signer, wants_orders=False),
            hub=at.hub,
            clock=self.clock,
            venue_us=at.adapter.venue_clock.now_us,
        )
        self.followers[follower.id] = follower

    def mirrors_of(self, leader: LeaderId) -> list[tuple[Follower, MirrorConfig]]:
        """Return who mirrors a leader, and how."""
        return [
            (follower, mirror)
            for follower in self.followers.values()
            for mirror in follower.config.mirrors
            if mirror.leader == leader
        ]
