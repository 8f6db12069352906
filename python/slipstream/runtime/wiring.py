"""Build a running engine from a configuration: the one place where objects meet.

``open_engine`` opens the store, the keystore's signers and the venues, and hands out an
``Engine`` whose ``start`` begins to trade.
"""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Final

from slipstream._core import BookView, LaneState, Signer
from slipstream.config.keystore import Keystore
from slipstream.config.model import Config, FollowerConfig, LeaderConfig, MirrorConfig
from slipstream.config.rules import follower_limits, sizing_rule
from slipstream.domain.cohort import ActivityRow
from slipstream.domain.ids import FollowerId, LeaderId, VenueId
from slipstream.engine.cohort import Cohort
from slipstream.engine.leader import LeaderTracker
from slipstream.engine.leglife import Leg
from slipstream.runtime.engine import Engine, LeaderParts
from slipstream.runtime.fanout import FanOut
from slipstream.runtime.follower import Follower, Membership
from slipstream.runtime.hub import VenueHub
from slipstream.runtime.journal import Journal
from slipstream.runtime.mirror import Mirror
from slipstream.runtime.paper import paper_fill
from slipstream.runtime.pipeline import Pipeline, later
from slipstream.runtime.recovery import recover
from slipstream.runtime.resolver import Resolver
from slipstream.runtime.signing import SigningThread
from slipstream.runtime.supervisor import Supervisor
from slipstream.store.base import Store
from slipstream.store.sqlite import SqliteStore
from slipstream.telemetry.execution import FanOutTimes
from slipstream.telemetry.stages import StageRecorder
from slipstream.transport.clock import Clock, wall_ms
from slipstream.transport.reconnect import Backoff
from slipstream.venues.registry import Endpoints, VenueAdapter, default_endpoints, venue

WEIGHT_PER_MINUTE: Final = 2_400


@dataclass(frozen=True, slots=True)
class Options:
    """What a demo or a bench changes. ``weight_factor`` raises the address budget as the
    simulated venue's limit was raised; ``is_depth_reserved=False`` plans every follower on the
    whole book, to show what the reservation is for."""

    weight_factor: int = 1
    is_depth_reserved: bool = True


@dataclass(slots=True)
class _Venue:
    adapter: VenueAdapter
    hub: VenueHub


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
    venues: dict[str, _Venue] = field(default_factory=dict)
    followers: dict[FollowerId, Follower] = field(default_factory=dict)
    leader_signers: dict[LeaderId, Signer] = field(default_factory=dict)
    parts: dict[LeaderId, LeaderParts] = field(default_factory=dict)

    def tell(self, kind: str, detail: str, *, leader: LeaderId | None = None) -> None:
        """Write an incident into the activity log."""
        self.store.log(
            [
                ActivityRow(
                    ts_ms=wall_ms(),
                    kind="incident",
                    leader=leader,
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
        adapter.budget.set_window_max(WEIGHT_PER_MINUTE * self.options.weight_factor)
        reader = adapter.make_reader()
        await reader.venue_time_ms()
        instruments = await reader.instruments()
        books = adapter.make_book_feed(on_report=lambda text: self.tell("BOOKS", text))
        hub = VenueHub(
            adapter.traits, instruments, books, is_reserving=self.options.is_depth_reserved
        )
        self.venues[name] = _Venue(adapter, hub)

    def add_follower(self, config: FollowerConfig) -> None:
        """Make a follower's bulkhead; nothing is opened yet."""
        at = self.venues[config.venue]
        signer = self.keystore.signer(config.key, at.adapter.signer_purpose, config.account)
        follower = Follower(
            config,
            gateway=at.adapter.make_gateway(config.account, signer),
            feed=at.adapter.make_account_feed(config.account, signer),
            hub=at.hub,
            clock=self.clock,
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

    async def run_leader(self, config: LeaderConfig, is_live: asyncio.Event) -> None:
        """Build one leader's pipeline from the ledger and run it until it ends."""
        leader = LeaderId(config.id)
        at = self.venues[config.venue]
        signer = self.leader_signers[leader]
        mirrors = self.mirrors_of(leader)
        journal = Journal(
            leader,
            log=self.store.log,
            record=self.store.record,
            wall_ms=wall_ms,
            later=later,
            stages=self.stages,
            times=self.times,
        )
        tracker = LeaderTracker(
            leader,
            VenueId(config.venue),
            config.account,
            needs_margin=any(sizing_rule(each).needs_leader_margin for _, each in mirrors),
            needs_initial_margin=any(each.margin_pct is not None for _, each in mirrors),
        )
        reader = at.adapter.make_gateway(config.account, signer)
        members, running = self._members(leader, mirrors, journal)
        pipeline = Pipeline(
            tracker=tracker,
            feed=at.adapter.make_account_feed(config.account, signer),
            reader=reader,
            hub=at.hub,
            mirrors=running,
            members=members,
            cursors={},
            journal=journal,
            clock=self.clock,
            is_live=is_live,
        )
        for mirror in running:
            mirror.on_wake(pipeline.wake)
        await self._restore(leader, running)
        self.parts[leader] = LeaderParts(leader, pipeline, running, journal)
        try:
            await reader.start()
            await pipeline.run()
        finally:
            await reader.close()

    def _members(
        self,
        leader: LeaderId,
        mirrors: list[tuple[Follower, MirrorConfig]],
        journal: Journal,
    ) -> tuple[list[tuple[Follower, Membership, Mirror]], list[Mirror]]:
        by_venue: dict[str, Mirror] = {}
        members: list[tuple[Follower, Membership, Mirror]] = []
        for follower, config in mirrors:
            name = follower.config.venue
            if name not in by_venue:
                by_venue[name] = self._mirror(leader, name, journal)
            mirror = by_venue[name]
            member = mirror.cohort.add(
                follower.id,
                venue=name,
                account=follower.config.account,
                mode=follower.config.mode.value,
                sizing=sizing_rule(config),
                limits=follower_limits(config),
                is_hedge=follower.is_hedge,
                is_dedicated=config.dedicated,
            )
            membership = Membership(
                cohort=mirror.cohort,
                row=member.row,
                leverage_max=config.max_leverage,
                allows=frozenset(config.symbols_allow),
                denies=frozenset(config.symbols_deny),
            )
            follower.join(membership)
            members.append((follower, membership, mirror))
        return members, list(by_venue.values())

    def _mirror(self, leader: LeaderId, name: str, journal: Journal) -> Mirror:
        hub = self.venues[name].hub
        fan_out = FanOut(
            leader=leader,
            store=self.store,
            signing=self.signing,
            gateways={each.id: each.gateway for each in self.followers.values()},
            clock=self.clock,
            may_send=self._refusal,
            paper=lambda leg: paper_fill(leg, _view_of(hub, leg)),
        )
        resolver = Resolver(
            followers=self.followers,
            traits=hub.traits,
            clock=self.clock,
            journal=journal,
        )
        return Mirror(
            Cohort(leader),
            hub=hub,
            followers=self.followers,
            fan_out=fan_out,
            clock=self.clock,
            journal=journal,
            later=later,
            resolver=resolver,
        )

    def _refusal(self, leg: Leg) -> str | None:
        return self.followers[leg.member.follower].refusal(is_opening=leg.is_opening)

    async def _restore(self, leader: LeaderId, mirrors: list[Mirror]) -> None:
        """Take over every lane as the ledger left it; ask about orders whose fate it lacks."""
        for row in await self.store.lanes(leader):
            for mirror in mirrors:
                index = mirror.cohort.row_of(row.follower_id)
                if index is not None:
                    symbol_index = mirror.cohort.symbol_index(row.symbol)
                    mirror.cohort.table.restore_lane(
                        index, symbol_index, LaneState.decode(row.lane)
                    )
        for claim in await self.store.open_legs(leader):
            for mirror in mirrors:
                row_index = mirror.cohort.row_of(claim.follower_id)
                if row_index is not None:
                    follower = self.followers[claim.follower_id]
                    await recover(claim, mirror.cohort, row_index, follower, self.store)


def _view_of(hub: VenueHub, leg: Leg) -> BookView | None:
    return None if leg.event is None else hub.books.view(leg.event.symbol)


def _supervisor(wiring: Wiring, leader: LeaderConfig) -> Supervisor:
    def report(kind: str, detail: str) -> None:
        wiring.tell(kind, detail, leader=LeaderId(leader.id))

    return Supervisor(
        LeaderId(leader.id),
        run_once=lambda is_live: wiring.run_leader(leader, is_live),
        backoff=Backoff(wiring.source),
        clock=wiring.clock,
        report=report,
    )


async def open_engine(
    config: Config,
    keystore: Keystore,
    *,
    clock: Clock,
    source: random.Random,
    options: Options | None = None,
) -> Engine:
    """Open everything a configuration names and return the engine, not yet started.

    Raises:
        SlipstreamError: the store, a key or a venue cannot be opened.
    """
    store = await SqliteStore.open(config.engine.database)
    wiring = Wiring(
        config, keystore, clock, source, options or Options(), store, SigningThread(clock)
    )
    names = {each.venue for each in config.leaders} | {each.venue for each in config.followers}
    for name in sorted(names):
        await wiring.add_venue(name)
    for follower in config.followers:
        wiring.add_follower(follower)
    supervisors = []
    for leader in config.leaders:
        leader_id = LeaderId(leader.id)
        purpose = wiring.venues[leader.venue].adapter.signer_purpose
        wiring.leader_signers[leader_id] = keystore.signer(leader.key, purpose, leader.account)
        supervisors.append(_supervisor(wiring, leader))
    return Engine(
        store=store,
        signing=wiring.signing,
        hubs={name: each.hub for name, each in wiring.venues.items()},
        followers=wiring.followers,
        supervisors=supervisors,
        parts=wiring.parts,
        stages=wiring.stages,
        times=wiring.times,
        wall_ms=wall_ms,
    )
