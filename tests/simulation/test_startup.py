"""Five hundred followers under the venue's own weight limit: exposure first, never a ban."""

import tempfile
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Final

import pytest

import simulation.world as world_parts
from simulation.memory_store import MemoryStore
from simulation.virtual_loop import START_NS, VirtualLoop, run_virtual
from simulation.world import LEADERS, SimClock, Who, World, follower_name
from slipstream._core import keccak256
from slipstream.config.keystore import Keystore
from slipstream.config.model import Config
from slipstream.runtime.startup import BOOKS_ROOM
from slipstream.venues.sim.admin import Admin
from slipstream.venues.sim.server import SimSettings, SimulatedVenue

COUNT: Final = 500
NAMES: Final = tuple(map(follower_name, range(COUNT)))
EXPOSED: Final = NAMES[-8:]
"""Last in the configuration."""
SYMBOL: Final = "BTCUSDT"
LOOK_S: Final = 0.25
MINUTE_S: Final = 60
WEIGHT_EACH: Final = 6
"""A reading of the account (5) and a listen key (1)."""
WEIGHT_OPEN: Final = 1_920 - BOOKS_ROOM
"""What the address may use a minute of its 2,400 to start those without exposure."""


@cache
def crowd_keys() -> Keystore:
    """Return the keys of the world's names and of all others of the crowd."""
    store = Keystore.create(
        Path(tempfile.mkdtemp(prefix="slipstream-crowd-")) / "keys", bytearray(b"only for tests")
    )
    for name in (*LEADERS, *NAMES):
        store.add_imported(name, "aster", bytearray(keccak256(f"agent {name}".encode())))
    return store


class Crowd(World):
    """A world with the venue's own limit; ``awake`` are those the engine is configured with."""

    def __init__(self, loop: VirtualLoop) -> None:
        """Nobody is awake yet."""
        super().__init__(loop, [Who(name) for name in NAMES], symbols=(SYMBOL,))
        makers = self.venue.makers
        self.venue = SimulatedVenue(SimSettings(seed=1, match_ms=1.0), SimClock(loop))
        self.venue.makers = {symbol: self.venue.makers[symbol] for symbol in makers}
        self._admin = Admin(self.venue)
        self.awake = EXPOSED

    def config(self) -> Config:
        config = super().config()
        return replace(
            config, followers=tuple(each for each in config.followers if each.id in self.awake)
        )

    def held(self) -> dict[str, Decimal]:
        return {name: self.position(name, SYMBOL) for name in EXPOSED}


@dataclass(slots=True)
class Seen:
    """What a run came to, in seconds since the second engine was started."""

    ready_s: dict[str, float] = field(default_factory=dict)
    flat_s: float | None = None
    opened: dict[str, Decimal] = field(default_factory=dict)
    before: dict[str, Decimal] = field(default_factory=dict)
    ban_count: int = 0


async def comeback(loop: VirtualLoop) -> Seen:
    """Eight open; the daemon ends; the leader closes; the daemon comes back with 500."""
    seen, world = Seen(), Crowd(loop)
    world.market(SYMBOL, level_notional=2_000_000, walk_ppm=0)
    await world.start()
    world.trade(LEADERS[0], SYMBOL, "BUY", "1")
    await world.until(5)
    seen.before = world.held()
    await world.engine.stop()
    world.trade(LEADERS[0], SYMBOL, "SELL", "1")
    await world.until(3 * MINUTE_S)
    world.awake = NAMES
    world.store = MemoryStore(loop, world.store.ledger, delay_ns=world.commit_ns)
    begin_s = loop.time()
    await world.open_engine()
    starting = loop.create_task(world.engine.start())
    while len(seen.ready_s) < COUNT and loop.time() - begin_s < 5 * MINUTE_S:
        await world.until(loop.time() - START_NS / 1e9 + LOOK_S)
        at_s = loop.time() - begin_s
        for follower in world.engine.followers.values():
            if follower.is_ready:
                seen.ready_s.setdefault(follower.id, at_s)
        if seen.flat_s is None and not any(world.held().values()):
            seen.flat_s = at_s
    await starting
    await world.until(loop.time() - START_NS / 1e9 + 2 * MINUTE_S)
    world.trade(LEADERS[0], SYMBOL, "BUY", "1")
    await world.until(loop.time() - START_NS / 1e9 + 10)
    seen.opened = {name: world.position(name, SYMBOL) for name in NAMES}
    seen.ban_count = sum(line.get("status") in (418, 429) for line in world.venue_lines())
    await world.stop()
    assert loop.faults == []
    return seen


@cache
def played() -> Seen:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world_parts, "keys", crowd_keys)
        return run_virtual(comeback)


def test_those_with_exposure_are_ready_before_anybody_else() -> None:
    seen = played()
    assert all(seen.before.values())
    last = max(seen.ready_s[name] for name in EXPOSED)
    assert last <= min(seen.ready_s[name] for name in NAMES if name not in EXPOSED) + LOOK_S
    assert last <= 1


def test_what_was_missed_is_closed_while_others_still_wait_for_the_limit() -> None:
    seen = played()
    assert seen.flat_s is not None
    assert seen.flat_s <= 1
    waiting = [name for name, at_s in seen.ready_s.items() if at_s > seen.flat_s]
    assert len(waiting) > COUNT // 4


def test_everybody_is_ready_in_the_time_the_limit_dictates_and_nobody_is_banned() -> None:
    seen = played()
    assert set(seen.ready_s) == set(NAMES)
    windows = -(-COUNT * WEIGHT_EACH // WEIGHT_OPEN)
    assert max(seen.ready_s.values()) <= windows * MINUTE_S
    assert seen.ban_count == 0


def test_whoever_came_late_follows_like_everybody_else() -> None:
    seen = played()
    assert all(seen.opened.values())
