"""Open a configuration: the store, the keystore's signers, the venues, and the engine on them.

``open_engine`` hands out an ``Engine`` whose ``start`` begins to trade.
"""

import random
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path

from slipstream.config.keystore import Keystore
from slipstream.config.model import Config, LeaderConfig
from slipstream.domain.ids import LeaderId
from slipstream.runtime.control import Switches, command_of
from slipstream.runtime.engine import Engine
from slipstream.runtime.leaderline import LeaderLine
from slipstream.runtime.signing import SigningThread
from slipstream.runtime.supervisor import Supervisor
from slipstream.runtime.switchboard import Switchboard
from slipstream.runtime.upkeep import Upkeep, VenueClockKeeper, prune
from slipstream.runtime.wiring import Options, Wiring
from slipstream.store import open_store
from slipstream.store.base import Store
from slipstream.store.sidelog import SidelogStore, side_path
from slipstream.transport.clock import Clock
from slipstream.transport.reconnect import Backoff
from slipstream.venues.nonce import VenueClock


def _supervisor(wiring: Wiring, leader: LeaderConfig, tell: Callable[[str], None]) -> Supervisor:
    def report(kind: str, detail: str) -> None:
        wiring.tell(kind, detail, leader=LeaderId(leader.id))

    return Supervisor(
        LeaderId(leader.id),
        run_once=lambda health: LeaderLine(wiring, leader).run(health),
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
        return await assemble(wiring, tell)
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


async def assemble(wiring: Wiring, tell: Callable[[str], None]) -> Engine:
    """Open what a configuration names on a bare ``Wiring`` and make the engine of it."""
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
