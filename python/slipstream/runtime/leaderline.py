"""One leader's line, from its account to its mirrors: built from the ledger, run until it ends.

A line that ended is built anew by its supervisor and takes nothing over from the one before:
lanes, claims and what was never told come from the ledger alone.
"""

from collections.abc import Sequence
from functools import partial

from slipstream._core import BookView, SkipReason
from slipstream.config.model import LeaderConfig, MirrorConfig, RunMode
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
    allowed,
    go_on,
    new_tracker,
    retire,
    watched,
)
from slipstream.runtime.engine import LeaderParts
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
from slipstream.runtime.stale import real_cursors
from slipstream.runtime.supervisor import Health
from slipstream.runtime.twinfeed import side_by_side
from slipstream.runtime.wiring import Wiring
from slipstream.store.base import LeaderHistory, Line
from slipstream.units import NS_PER_MS, TimeNs


class LeaderLine:
    """The pipeline of one leader with its mirrors, and what the ledger gives them to start from."""

    def __init__(self, wiring: Wiring, config: LeaderConfig) -> None:
        """Keep what the engine's parts share and whom this line follows."""
        self._wiring = wiring
        self._config = config
        self._leader = LeaderId(config.id)
        self._at = wiring.venues[config.venue]
        self._line = Line()

    async def run(self, health: Health) -> None:
        """Build the pipeline from the ledger and run it until it ends."""
        config, leader, at = self._config, self._leader, self._at
        self._line = Line()
        mirrors = self._wiring.mirrors_of(leader)
        journal = self._journal()
        tracker, history = await self._history([each for _, each in mirrors])
        goes_on = BEGAN in history.cursors
        signer = self._wiring.leader_signers[leader]
        reader = at.adapter.make_gateway(config.account, signer, is_first=True)
        members, running = self._members(mirrors, journal)
        pipeline = Pipeline(
            tracker=tracker,
            feed=side_by_side(
                lambda: at.adapter.make_account_feed(config.account, signer, is_first=True),
                config.streams,
                clock=self._wiring.clock,
                report=partial(self._wiring.tell, leader=leader),
            ),
            reader=reader,
            hub=at.hub,
            mirrors=running,
            members=members,
            cursors=real_cursors(history.cursors),
            watched=watched(at.hub.instruments, config, [each for _, each in mirrors]),
            journal=journal,
            clock=self._wiring.clock,
            venue_ms=at.adapter.venue_clock.now_ms,
            save_cursor=self._save_cursor,
            health=health,
            on_begun=None if goes_on else self._begin,
            on_running=lambda: self._catch_up(recovery),
            auditor=at.adapter.make_gateway(config.account, signer),
            at_point=self._wiring.options.at_point,
        )
        for mirror in running:
            mirror.on_wake(pipeline.wake)
        recovery = Recovery(
            leader,
            running,
            self._wiring.followers,
            store=self._wiring.store,
            journal=journal,
            at=Instants(self._wiring.clock.now_ns(), at.adapter.venue_clock.now_ms()),
            newest=dict(history.newest),
        )
        await self._restore(recovery)
        self._wiring.parts[leader] = LeaderParts(leader, pipeline, running, journal)
        try:
            await reader.start()
            recovery.ask()
            await pipeline.run()
        finally:
            await retire(running, journal, self._wiring.clock)
            await reader.close()

    def _journal(self) -> Journal:
        return Journal(
            self._leader,
            log=self._wiring.store.log,
            record=Recorder(
                self._wiring.store, self._report, self._wiring.options.at_point, line=self._line
            ),
            wall_ms=self._wiring.wall_ms,
            later=later,
            stages=self._wiring.stages,
            times=self._wiring.times,
            at_point=self._wiring.options.at_point,
        )

    def _report(self, kind: str, follower: FollowerId | None, detail: str) -> None:
        """Write an incident of this leader into the activity log."""
        self._wiring.tell(kind, detail, leader=self._leader, follower=follower)

    async def _history(
        self, mirrors: Sequence[MirrorConfig]
    ) -> tuple[LeaderTracker, LeaderHistory]:
        """Return a tracker that goes on where the ledger ends, and what the ledger knows."""
        tracker = new_tracker(self._config, mirrors)
        history = await self._wiring.store.history(self._leader, fill_count_max=SEEN_COUNT_MAX)
        now_ms = self._at.adapter.venue_clock.now_ms()
        oldest_ms = now_ms - self._wiring.config.engine.retention_ns // NS_PER_MS
        if go_on(tracker, history, oldest_ms=oldest_ms):
            self._tell_since(tracker.account.floor_ms)
        return tracker, history

    async def _begin(self, since_ms: int) -> None:
        """Write down where a mirror begins: with the leader's first reading, and what that holds
        was before the mirror, now and after any restart."""
        await self._save_cursor(BEGAN, str(since_ms))
        self._tell_since(since_ms)

    def _tell_since(self, since_ms: int) -> None:
        """Write down from when on every fill of a leader is to be mirrored."""
        payload: dict[str, object] = {
            "venue": self._config.venue,
            "account": self._config.account.lower(),
            "since_ms": since_ms,
        }
        row = ActivityRow(self._wiring.wall_ms(), "leader", self._leader, payload=payload)
        self._wiring.store.log([row])

    async def _save_cursor(self, symbol: str, cursor: str) -> None:
        commit = CohortCommit(self._leader, None, [], (symbol, cursor))
        await self._wiring.store.commit(commit, line=self._line)

    async def _catch_up(self, recovery: Recovery) -> None:
        """Plan what waited in an earlier process, then whatever holds more than is wanted."""
        engine, parts = self._wiring.engine, self._wiring.parts[self._leader]
        if engine is None:
            return
        for symbol in recovery.waiting_symbols:
            await parts.pipeline.prepare(symbol)
        recovery.take_up()
        for mirror in parts.mirrors:
            await mirror.replan()
        problems = await engine.reduce(parts, Scope(), held_back, why="catch-up")
        for problem in problems:
            self._wiring.tell("EXIT_HELD_BACK", problem, leader=self._leader)

    def _members(
        self,
        mirrors: list[tuple[Follower, MirrorConfig]],
        journal: Journal,
    ) -> tuple[list[tuple[Follower, Membership, Mirror]], list[Mirror]]:
        by_venue: dict[str, Mirror] = {}
        members: list[tuple[Follower, Membership, Mirror]] = []
        for follower, config in mirrors:
            name = follower.config.venue
            if name not in by_venue:
                by_venue[name] = self._mirror(name, journal)
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
                line=self._line,
                row=member.row,
                leverage_max=config.max_leverage,
                allows=allowed(config, self._config),
                denies=frozenset(each.upper() for each in config.symbols_deny),
            )
            follower.join(membership)
            self._wiring.switchboard.apply(follower, membership)
            members.append((follower, membership, mirror))
        return members, list(by_venue.values())

    def _mirror(self, name: str, journal: Journal) -> Mirror:
        at = self._wiring.venues[name]
        hub = at.hub
        fan_out = FanOut(
            leader=self._leader,
            store=self._wiring.store,
            signing=self._wiring.signing,
            gateways={each.id: each.gateway for each in self._wiring.followers.values()},
            clock=self._wiring.clock,
            may_send=self._refusal,
            paper=lambda leg: paper_fill(leg, _view_of(hub, leg)),
            line=self._line,
            at_point=self._wiring.options.at_point,
        )
        resolver = Resolver(
            followers=self._wiring.followers,
            traits=hub.traits,
            clock=self._wiring.clock,
            venue_ms=at.adapter.venue_clock.now_ms,
            journal=journal,
            at_point=self._wiring.options.at_point,
        )
        mirror = Mirror(
            Cohort(self._leader),
            hub=hub,
            followers=self._wiring.followers,
            fan_out=fan_out,
            clock=self._wiring.clock,
            journal=journal,
            later=later,
            resolver=resolver,
            at_point=self._wiring.options.at_point,
        )

        def on_outcome(leg: Leg, outcome: RequestOutcome, at_ns: TimeNs) -> None:
            if isinstance(outcome, Refused) and outcome.is_resync:
                at.is_clock_wanted.set()
                self._wiring.followers[leg.member.follower].is_reading_wanted = True
            mirror.on_outcome(leg, outcome, at_ns)

        fan_out.bind(on_outcome)
        return mirror

    def _refusal(self, leg: Leg) -> str | None:
        follower = self._wiring.followers[leg.member.follower]
        if not follower.is_ready and leg.member.mode == RunMode.LIVE:
            return SkipReason.FOLLOWER_STATE_STALE.code
        symbol = "" if leg.event is None else leg.event.symbol
        return follower.refusal(self._leader, symbol, is_opening=leg.is_opening)

    async def _restore(self, recovery: Recovery) -> None:
        """Take over every lane as the ledger left it, and tell what was never told."""
        await recovery.restore()
        self._wiring.options.at_point(points.LANES_RESTORED)
        if recovery.claim_count:
            self._wiring.options.at_point(points.CLAIMS_RESTORED)
        await recovery.tell()
        self._wiring.options.at_point(points.UNTOLD_TOLD)


def _view_of(hub: VenueHub, leg: Leg) -> BookView | None:
    return None if leg.event is None else hub.books.view(leg.event.symbol)
