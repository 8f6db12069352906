"""Build a running engine from a configuration: the one place where objects meet.

``open_engine`` opens the store, the keystore's signers and the venues, and hands out an
``Engine`` whose ``start`` begins to trade.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from slipstream._core import BookView, Signer, SkipReason
from slipstream.config.keystore import Keystore
from slipstream.config.model import Config, FollowerConfig, LeaderConfig, MirrorConfig, RunMode
from slipstream.config.rules import follower_limits, sizing_rule
from slipstream.domain.cohort import ActivityRow, CohortCommit
from slipstream.domain.ids import FollowerId, LeaderId
from slipstream.domain.outcome import Refused, RequestOutcome
from slipstream.engine.cohort import Cohort
from slipstream.engine.leader import LeaderTracker
from slipstream.engine.leglife import Leg
from slipstream.engine.seen import SEEN_COUNT_MAX
from slipstream.runtime import points
from slipstream.runtime.comeback import (
    BEGAN,
    Recorder,
    Report,
    allowed,
    go_on,
    new_tracker,
    retire,
    watched,
)
from slipstream.runtime.control import Switches, command_of
from slipstream.runtime.engine import Engine, LeaderParts
from slipstream.runtime.fanout import FanOut
from slipstream.runtime.flatten import Scope, held_back
from slipstream.runtime.follower import Follower, Membership
from slipstream.runtime.hub import VenueHub
from slipstream.runtime.journal import Journal
from slipstream.runtime.mirror import Mirror
from slipstream.runtime.paper import paper_fill
from slipstream.runtime.pipeline import Pipeline, later
from slipstream.runtime.recovery import Recovery
from slipstream.runtime.resolver import Resolver
from slipstream.runtime.restored import Instants
from slipstream.runtime.signing import SigningThread
from slipstream.runtime.stale import real_cursors
from slipstream.runtime.supervisor import Health, Supervisor
from slipstream.runtime.switchboard import Switchboard
from slipstream.runtime.twinfeed import side_by_side
from slipstream.runtime.upkeep import Upkeep, VenueClockKeeper, prune
from slipstream.store import open_store
from slipstream.store.base import LeaderHistory, Store
from slipstream.store.sidelog import SidelogStore, side_path
from slipstream.telemetry.execution import FanOutTimes
from slipstream.telemetry.stages import StageRecorder
from slipstream.transport.clock import Clock
from slipstream.transport.reconnect import Backoff
from slipstream.units import NS_PER_MS, TimeNs
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
class _Venue:
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
    venues: dict[str, _Venue] = field(default_factory=dict)
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
        self.venues[name] = _Venue(adapter, hub, reader)

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

    async def run_leader(self, config: LeaderConfig, health: Health) -> None:
        """Build one leader's pipeline from the ledger and run it until it ends."""
        leader = LeaderId(config.id)
        at = self.venues[config.venue]
        mirrors = self.mirrors_of(leader)
        journal = self._journal(leader)
        tracker, history = await self._history(config, [each for _, each in mirrors])
        goes_on = BEGAN in history.cursors
        signer = self.leader_signers[leader]
        reader = at.adapter.make_gateway(config.account, signer, is_first=True)
        members, running = self._members(leader, config, mirrors, journal)
        pipeline = Pipeline(
            tracker=tracker,
            feed=side_by_side(
                lambda: at.adapter.make_account_feed(config.account, signer, is_first=True),
                config.streams,
                clock=self.clock,
                report=partial(self.tell, leader=leader),
            ),
            reader=reader,
            hub=at.hub,
            mirrors=running,
            members=members,
            cursors=real_cursors(history.cursors),
            watched=watched(at.hub.instruments, config, [each for _, each in mirrors]),
            journal=journal,
            clock=self.clock,
            venue_ms=at.adapter.venue_clock.now_ms,
            save_cursor=lambda symbol, cursor: self._save_cursor(leader, symbol, cursor),
            health=health,
            on_begun=None if goes_on else partial(self._begin, config),
            on_running=lambda: self._catch_up(leader, recovery),
            auditor=at.adapter.make_gateway(config.account, signer),
            at_point=self.options.at_point,
        )
        for mirror in running:
            mirror.on_wake(pipeline.wake)
        recovery = Recovery(
            leader,
            running,
            self.followers,
            store=self.store,
            journal=journal,
            at=Instants(self.clock.now_ns(), at.adapter.venue_clock.now_ms()),
            newest=dict(history.newest),
        )
        await self._restore(recovery)
        self.parts[leader] = LeaderParts(leader, pipeline, running, journal)
        try:
            await reader.start()
            recovery.ask()
            await pipeline.run()
        finally:
            await retire(running, journal, self.clock)
            await reader.close()

    def _journal(self, leader: LeaderId) -> Journal:
        return Journal(
            leader,
            log=self.store.log,
            record=Recorder(self.store, self._teller(leader), self.options.at_point),
            wall_ms=self.wall_ms,
            later=later,
            stages=self.stages,
            times=self.times,
            at_point=self.options.at_point,
        )

    def _teller(self, leader: LeaderId) -> Report:
        """Return who takes the incidents of one leader."""

        def report(kind: str, follower: FollowerId | None, detail: str) -> None:
            self.tell(kind, detail, leader=leader, follower=follower)

        return report

    async def _history(
        self, config: LeaderConfig, mirrors: Sequence[MirrorConfig]
    ) -> tuple[LeaderTracker, LeaderHistory]:
        """Return a tracker that goes on where the ledger ends, and what the ledger knows."""
        leader = LeaderId(config.id)
        tracker = new_tracker(config, mirrors)
        history = await self.store.history(leader, fill_count_max=SEEN_COUNT_MAX)
        now_ms = self.venues[config.venue].adapter.venue_clock.now_ms()
        oldest_ms = now_ms - self.config.engine.retention_ns // NS_PER_MS
        if go_on(tracker, history, oldest_ms=oldest_ms):
            self._tell_since(config, tracker.account.floor_ms)
        return tracker, history

    async def _begin(self, config: LeaderConfig, since_ms: int) -> None:
        """Write down where a mirror begins: with the leader's first reading, and what that holds
        was before the mirror, now and after any restart."""
        await self._save_cursor(LeaderId(config.id), BEGAN, str(since_ms))
        self._tell_since(config, since_ms)

    def _tell_since(self, config: LeaderConfig, since_ms: int) -> None:
        """Write down from when on every fill of a leader is to be mirrored."""
        payload: dict[str, object] = {
            "venue": config.venue,
            "account": config.account.lower(),
            "since_ms": since_ms,
        }
        leader = LeaderId(config.id)
        self.store.log([ActivityRow(self.wall_ms(), "leader", leader, payload=payload)])

    async def _save_cursor(self, leader: LeaderId, symbol: str, cursor: str) -> None:
        await self.store.commit(CohortCommit(leader, None, [], (symbol, cursor)))

    async def _catch_up(self, leader: LeaderId, recovery: Recovery) -> None:
        """Plan what waited in an earlier process, then whatever holds more than is wanted."""
        if self.engine is None:
            return
        for symbol in recovery.waiting_symbols:
            await self.parts[leader].pipeline.prepare(symbol)
        recovery.take_up()
        for mirror in self.parts[leader].mirrors:
            await mirror.replan()
        problems = await self.engine.reduce(self.parts[leader], Scope(), held_back, why="catch-up")
        for problem in problems:
            self.tell("EXIT_HELD_BACK", problem, leader=leader)

    def _members(
        self,
        leader: LeaderId,
        whose: LeaderConfig,
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
                intent_age_ns_max=config.max_intent_age_ns,
            )
            membership = Membership(
                cohort=mirror.cohort,
                row=member.row,
                leverage_max=config.max_leverage,
                allows=allowed(config, whose),
                denies=frozenset(each.upper() for each in config.symbols_deny),
            )
            follower.join(membership)
            self.switchboard.apply(follower, membership)
            members.append((follower, membership, mirror))
        return members, list(by_venue.values())

    def _mirror(self, leader: LeaderId, name: str, journal: Journal) -> Mirror:
        at = self.venues[name]
        hub = at.hub
        fan_out = FanOut(
            leader=leader,
            store=self.store,
            signing=self.signing,
            gateways={each.id: each.gateway for each in self.followers.values()},
            clock=self.clock,
            may_send=partial(self._refusal, leader),
            paper=lambda leg: paper_fill(leg, _view_of(hub, leg)),
            at_point=self.options.at_point,
        )
        resolver = Resolver(
            followers=self.followers,
            traits=hub.traits,
            clock=self.clock,
            venue_ms=at.adapter.venue_clock.now_ms,
            journal=journal,
            at_point=self.options.at_point,
        )
        mirror = Mirror(
            Cohort(leader),
            hub=hub,
            followers=self.followers,
            fan_out=fan_out,
            clock=self.clock,
            journal=journal,
            later=later,
            resolver=resolver,
            at_point=self.options.at_point,
        )

        def on_outcome(leg: Leg, outcome: RequestOutcome, at_ns: TimeNs) -> None:
            if isinstance(outcome, Refused) and outcome.is_resync:
                at.is_clock_wanted.set()
                self.followers[leg.member.follower].is_reading_wanted = True
            mirror.on_outcome(leg, outcome, at_ns)

        fan_out.bind(on_outcome)
        return mirror

    def _refusal(self, leader: LeaderId, leg: Leg) -> str | None:
        follower = self.followers[leg.member.follower]
        if not follower.is_ready and leg.member.mode == RunMode.LIVE:
            return SkipReason.FOLLOWER_STATE_STALE.code
        symbol = "" if leg.event is None else leg.event.symbol
        return follower.refusal(leader, symbol, is_opening=leg.is_opening)

    async def _restore(self, recovery: Recovery) -> None:
        """Take over every lane as the ledger left it, and tell what was never told."""
        await recovery.restore()
        self.options.at_point(points.LANES_RESTORED)
        if recovery.claim_count:
            self.options.at_point(points.CLAIMS_RESTORED)
        await recovery.tell()
        self.options.at_point(points.UNTOLD_TOLD)


def _view_of(hub: VenueHub, leg: Leg) -> BookView | None:
    return None if leg.event is None else hub.books.view(leg.event.symbol)


def _supervisor(wiring: Wiring, leader: LeaderConfig, tell: Callable[[str], None]) -> Supervisor:
    def report(kind: str, detail: str) -> None:
        wiring.tell(kind, detail, leader=LeaderId(leader.id))

    return Supervisor(
        LeaderId(leader.id),
        run_once=lambda health: wiring.run_leader(leader, health),
        backoff=Backoff(wiring.source),
        clock=wiring.clock,
        report=report,
        tell=tell,
    )


async def open_engine(
    config: Config,
    keystore: Keystore,
    *,
    clock: Clock,
    source: random.Random,
    options: Options | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Engine:
    """Open everything a configuration names and return the engine, not yet started.

    ``tell`` takes one line for a person at each change of state. The operator's switches are in
    force before anything may trade.

    Raises:
        SlipstreamError: the store, a key or a venue cannot be opened.
    """
    store = await _open_ledger(config, clock, tell)
    wiring = Wiring(
        config, keystore, clock, source, options or Options(), store, SigningThread(clock)
    )
    try:
        return await _assemble(wiring, tell)
    except BaseException:
        wiring.signing.close()
        for at in wiring.venues.values():
            await at.adapter.close()
        await store.close()
        raise


async def _open_ledger(config: Config, clock: Clock, tell: Callable[[str], None]) -> Store:
    """Open the database with its side log, and carry over what a dead process left there."""
    inner = await open_store(config.engine.database)
    try:
        path = side_path(config.engine.database, Path(config.engine.control_socket).parent)
        return await SidelogStore.open(
            inner,
            path,
            wall_ms=lambda: clock.wall_us() // 1_000,
            tell=lambda kind, detail: tell(f"{kind}: {detail}"),
        )
    except BaseException:
        await inner.close()
        raise


async def _assemble(wiring: Wiring, tell: Callable[[str], None]) -> Engine:
    config, keystore, store = wiring.config, wiring.keystore, wiring.store
    names = {each.venue for each in config.leaders} | {each.venue for each in config.followers}
    for name in sorted(names):
        await wiring.add_venue(name)
    for follower in config.followers:
        wiring.add_follower(follower)
    wiring.switchboard = Switchboard(
        Switches(command_of(row) for row in await store.controls()),
        store=store,
        followers=wiring.followers,
        leaders=[LeaderId(each.id) for each in config.leaders],
        wall_ms=wiring.wall_ms,
        tell=tell,
    )
    supervisors = []
    for leader in config.leaders:
        leader_id = LeaderId(leader.id)
        purpose = wiring.venues[leader.venue].adapter.signer_purpose
        wiring.leader_signers[leader_id] = keystore.signer(leader.key, purpose, leader.account)
        supervisors.append(_supervisor(wiring, leader, tell))
    wiring.engine = Engine(
        store=store,
        signing=wiring.signing,
        hubs={name: each.hub for name, each in wiring.venues.items()},
        followers=wiring.followers,
        supervisors=supervisors,
        parts=wiring.parts,
        stages=wiring.stages,
        times=wiring.times,
        wall_ms=wiring.wall_ms,
        now_ns=wiring.clock.now_ns,
        switchboard=wiring.switchboard,
        chores=_chores(wiring),
        budgets={name: each.adapter.budget for name, each in wiring.venues.items()},
        tell=tell,
        close_venues=[each.adapter.close for each in wiring.venues.values()],
    )
    return wiring.engine


def _safe_now_ms(wiring: Wiring) -> int:
    """Return the earliest of all clocks: one that jumped ahead must not make rows look old."""
    venues = [at.adapter.venue_clock.now_ms() for at in wiring.venues.values()]
    return min([wiring.wall_ms(), *venues])


def _is_doubted(venue_clock: VenueClock) -> bool:
    return venue_clock.is_doubted


def _chores(
    wiring: Wiring,
) -> list[tuple[str, Callable[[], Coroutine[object, object, None]]]]:
    """Return what is kept running beside the trading."""
    upkeep = Upkeep(wiring.followers, store=wiring.store, clock=wiring.clock, report=wiring.report)
    retention_ns = wiring.config.engine.retention_ns
    chores: list[tuple[str, Callable[[], Coroutine[object, object, None]]]] = [
        ("upkeep", upkeep.run),
        (
            "prune",
            lambda: prune(
                wiring.store,
                retention_ns=retention_ns,
                now_ms=lambda: _safe_now_ms(wiring),
                report=wiring.report,
            ),
        ),
    ]
    for name, at in wiring.venues.items():
        keeper = VenueClockKeeper(
            name,
            at.reader,
            at.is_clock_wanted,
            wiring.report,
            partial(_is_doubted, at.adapter.venue_clock),
        )
        chores.append((f"clock of {name}", keeper.run))
    return chores
