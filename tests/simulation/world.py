"""The production engine and the simulated venue in one process, on virtual time.

Followers, leaders and the venue talk Aster's wire protocol over connections in memory. What is not
production code here: the loop, the network, the ledger in memory, the clock, and signing without
a thread.
"""

import asyncio
import json
import random
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

from simulation.memory_net import Link
from simulation.memory_side import MemorySide
from simulation.memory_store import Ledger, MemoryStore
from simulation.virtual_loop import EPOCH_US, START_NS, VirtualClock, VirtualLoop
from slipstream._core import keccak256, sign_many
from slipstream.config.keystore import Keystore
from slipstream.config.model import (
    Caps,
    Config,
    EngineConfig,
    FollowerConfig,
    LeaderConfig,
    MirrorConfig,
    MirrorMode,
    RunMode,
    VenueConfig,
)
from slipstream.domain.cohort import ActivityRow
from slipstream.domain.ids import FollowerId
from slipstream.runtime.engine import Engine
from slipstream.runtime.opening import assemble
from slipstream.runtime.session import session_payload
from slipstream.runtime.signing import Deliver, SigningThread
from slipstream.runtime.wiring import Options, Wiring
from slipstream.store.base import Store
from slipstream.store.sidelog import SidelogStore
from slipstream.units import SCALE
from slipstream.venues.base import SignJob
from slipstream.venues.sim.admin import Admin
from slipstream.venues.sim.clock import VenueClock
from slipstream.venues.sim.http import Connection, Request
from slipstream.venues.sim.server import SimSettings, SimulatedVenue

PORT: Final = 9_000
WEIGHT_FACTOR: Final = 10
ORDER_PATH: Final = b"POST /fapi/v3/order "
UNBOUND: Final = Caps(
    order=None, symbol=None, total=None, positions=None, daily_loss=None, drawdown_ppm=None
)
FOLLOWERS_MAX: Final = 16
LEADERS: Final = ("alpha", "beta")


class SimClock(VenueClock):
    """The venue's clock on virtual time."""

    def __init__(self, loop: VirtualLoop) -> None:
        """Agree with the engine's wall clock."""
        self._loop = loop
        self._offset_ns = EPOCH_US * 1_000 - START_NS

    def now_ns(self) -> int:
        """Return virtual nanoseconds."""
        return self._loop.now_ns


class InlineSigning:
    """Signs when it is waited for: the real signatures, no thread, no time."""

    def __init__(self, clock: VirtualClock) -> None:
        """Stamp results with a clock."""
        self._clock = clock
        self._asked: list[tuple[Sequence[SignJob], Deliver]] = []

    def sign(self, jobs: Sequence[SignJob], deliver: Deliver) -> int | None:
        """Keep jobs until the next ``wait``."""
        if jobs:
            self._asked.append((jobs, deliver))
        return None

    def wait(self, numbers: Collection[int], turn_ns: int) -> bool:
        """Sign and deliver everything: there is never anything left."""
        del numbers, turn_ns
        asked, self._asked = self._asked, []
        for jobs, deliver in asked:
            deliver(0, sign_many(jobs), self._clock.now_ns())
        return True

    def close(self) -> None:
        """There is nothing to end."""


def account_of(name: str) -> str:
    """Return a made-up main account."""
    return "0x" + keccak256(f"simulation {name}".encode())[-20:].hex()


@cache
def keys() -> Keystore:
    """Return one keystore for all runs of this process, the same keys in every process."""
    directory = tempfile.mkdtemp(prefix="slipstream-simulation-")
    store = Keystore.create(Path(directory) / "keys", bytearray(b"only for simulations"))
    for name in (*LEADERS, *map(follower_name, range(FOLLOWERS_MAX))):
        store.add_imported(name, "aster", bytearray(keccak256(f"agent {name}".encode())))
    return store


@cache
def agent_of(name: str) -> str:
    """Return the address of a name's agent key."""
    return next(entry.address for entry in keys().entries() if entry.id == name)


@cache
def agent_key_of(name: str) -> str:
    """Return a name's agent key as lower-case hexadecimal text."""
    return keccak256(f"agent {name}".encode()).hex()


def follower_name(index: int) -> str:
    """Return the name of the n-th follower."""
    return f"f{index:02d}"


@dataclass(frozen=True, slots=True)
class Who:
    """One follower of a run. ``allocation``: quote units. ``leverage``: the account's own."""

    name: str
    leader: str = LEADERS[0]
    allocation: int = 1_000
    balance: str = "100000"
    leverage: int = 10
    mirror: dict[str, Any] = field(default_factory=dict)
    hedge: bool = False

    def config(self) -> FollowerConfig:
        """Return the follower's configuration."""
        mirror = MirrorConfig(
            leader=self.leader,
            mode=MirrorMode.MARGIN,
            allocation=self.allocation * SCALE,
            caps=UNBOUND,
            max_leverage=10,
        )
        return FollowerConfig(
            id=self.name,
            venue="aster",
            account=account_of(self.name),
            key=self.name,
            mode=RunMode.LIVE,
            mirrors=(replace(mirror, **self.mirror),),
        )


@dataclass(slots=True)
class _Answer:
    """Stands for the connection of an admin request."""

    status: int = 0
    body: bytes = b""

    def respond(self, status: int, body: bytes) -> None:
        self.status, self.body = status, body


class World:
    """A venue, an engine, and hands on both."""

    def __init__(
        self,
        loop: VirtualLoop,
        followers: Sequence[Who],
        *,
        leaders: Sequence[str] = LEADERS[:1],
        symbols: Sequence[str] = ("BTCUSDT", "ETHUSDT"),
        seed: int = 1,
        commit_ns: int = 1_000_000,
        match_ms: float = 1.0,
        ledger: Ledger | None = None,
        level_count: int | None = None,
    ) -> None:
        """Build the venue; nothing runs yet. ``level_count``: levels on each side of a book."""
        self.loop = loop
        self.clock = VirtualClock(loop)
        self.followers = list(followers)
        self.leaders = list(leaders)
        self.seed = seed
        self.symbols = list(symbols)
        settings = SimSettings(seed=seed, match_ms=match_ms, weight_factor=WEIGHT_FACTOR)
        self.venue = SimulatedVenue(settings, SimClock(loop))
        makers = self.venue.makers
        self.venue.makers = {symbol: makers[symbol] for symbol in symbols}
        if level_count is not None:
            for maker in self.venue.makers.values():
                maker.settings.level_count = level_count
        self._admin = Admin(self.venue)
        self.commit_ns = commit_ns
        self.store = MemoryStore(loop, ledger, delay_ns=commit_ns)
        self.engine: Engine
        self.options = Options()
        self.quote_s: float | None = None
        """Seconds between two changes of a book; ``None`` = as the venue's process does it."""
        self.has_side_log = False
        """Whether claims go on beside a ledger that takes none; writes go one by one then."""
        self.failures: dict[FollowerId, str] = {}
        self.sent: dict[str, list[tuple[int, bytes]]] = {}
        """What ``orders`` returned at the end of a run."""
        self._tasks: list[asyncio.Task[None]] = []
        self._trade_count = 0

    # --- the venue ---

    def open_venue(self) -> None:
        """Listen, quote, and open everybody's account."""
        venue, loop = self.venue, self.loop
        venue.open_books()
        loop.network.listen(lambda: Connection(venue.face, venue.clock.now_ns), PORT)
        self._tasks += [
            loop.create_task(venue.run_makers() if self.quote_s is None else self._quote()),
            loop.create_task(venue.run_sweeps()),
        ]
        for name in self.leaders:
            self._open_account(name, "40000", 10, hedge=False)
        for who in self.followers:
            self._open_account(who.name, who.balance, who.leverage, hedge=who.hedge)

    async def _quote(self) -> None:
        """Move every book once in a while, at the present pace."""
        venue = self.venue
        while True:
            for maker in venue.makers.values():
                now_ns = venue.clock.now_ns()
                maker.restore_due(now_ns)
                maker.step(now_ns)
            await asyncio.sleep(self.quote_s or 1.0)

    def _open_account(self, name: str, balance: str, leverage: int, *, hedge: bool) -> None:
        body = {"account": account_of(name), "agent": agent_of(name), "balance": balance}
        self.admin("/_sim/accounts", {**body, "leverage": leverage, "hedge": hedge})

    def admin(self, path: str, body: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
        """Use an admin route.

        Raises:
            ValueError: it was refused.
        """
        answer = _Answer()
        request = Request(answer, "POST", path, b"")  # type: ignore[arg-type]
        request.body = json.dumps(body).encode()
        self._admin.on_request(request)
        if answer.status != 200:
            raise ValueError(f"{path}: {answer.body!r}")
        return json.loads(answer.body)

    def fault(self, kind: str, name: str | None = None, **more: object) -> None:
        """Let the venue misbehave, towards one account or everybody."""
        body: dict[str, Any] = {"kind": kind, **more}
        if name is not None:
            body["account"] = account_of(name)
        self.admin("/_sim/faults", body)

    def market(self, symbol: str, *, level_notional: int, walk_ppm: int = 60) -> None:
        """Set how much rests at each of the levels, 100 ppm apart, and how the price walks.

        What orders take comes back within 0.3 s, and the walk draws from the seed alone: the
        market at a later instant does not depend on who traded.
        """
        self.admin(
            "/_sim/market",
            {
                "symbol": symbol,
                "level_notional": str(level_notional),
                "walk_ppm": walk_ppm,
                "replenish_ms": 100,
            },
        )

    def px(self, symbol: str) -> str:
        """Return the price the market walks around, on the tick."""
        centre_px = self.venue.makers[symbol].source.centre_px
        instrument = self.venue.exchange.instruments[symbol]
        return str(Decimal(instrument.floor_px(centre_px)).scaleb(-8))

    def trade(self, leader: str, symbol: str, side: str, *qtys: str) -> None:
        """Let a leader trade off the book at its price, one fill for each quantity.

        The venue numbers orders and trades through all accounts; the numbers of a leader's are
        set here, so that its fills are the same whatever other accounts did before.
        """
        self._trade_count += 1
        exchange = self.venue.exchange
        exchange._next_order_id = 10**8 + self._trade_count * 10**6
        exchange._next_trade_id = 10**9 + self._trade_count * 10**6
        self.admin(
            "/_sim/trade",
            {
                "account": account_of(leader),
                "symbol": symbol,
                "side": side,
                "fills": [[self.px(symbol), qty] for qty in qtys],
            },
        )

    def position(self, name: str, symbol: str) -> Decimal:
        """Return what an account holds at the venue, long and short together."""
        account = self.venue.exchange.accounts[account_of(name)]
        sides = ("LONG", "SHORT") if account.hedge else ("BOTH",)
        return Decimal(sum(account.position(symbol, each).qty for each in sides)).scaleb(-8)

    def venue_lines(self) -> list[dict[str, Any]]:
        """Return the venue's log."""
        return [json.loads(line) for line in self.venue.log.lines_after(0)]

    # --- the engine ---

    def config(self) -> Config:
        """Return the engine's configuration."""
        url = f"127.0.0.1:{PORT}"
        return Config(
            engine=EngineConfig(),
            leaders=tuple(
                LeaderConfig(name, "aster", account_of(name), name) for name in self.leaders
            ),
            followers=tuple(who.config() for who in self.followers),
            venues={"aster": VenueConfig("aster", "mainnet", f"http://{url}", f"ws://{url}")},
        )

    async def open_engine(self) -> None:
        """Build the engine as ``open_engine`` does, on this world's store and signing."""
        config = self.config()
        signing = cast("SigningThread", InlineSigning(self.clock))
        store = await self._open_store()
        wiring = Wiring(
            config,
            keys(),
            self.clock,
            random.Random(self.seed),
            self.options,
            store,
            signing,
        )
        self.engine = await assemble(wiring, lambda _: None)
        payload = session_payload(config, self.engine.hubs)
        store.log([ActivityRow(self.engine.wall_ms(), "session", payload=payload)])

    async def _open_store(self) -> Store:
        """Return the ledger, with a side log where the world has one, as the daemon's has."""
        if not self.has_side_log:
            return self.store
        store = SidelogStore(
            self.store,
            MemorySide(self.loop, self.store.ledger.side, self.store),
            wall_ms=lambda: self.clock.wall_us() // 1_000,
            clock_ns=self.clock.now_ns,
        )
        await store.carry_over()
        return store

    async def start(self) -> None:
        """Open the venue and the engine, and wait until leaders are followed."""
        self.open_venue()
        await self.open_engine()
        self.failures = await self.engine.start()
        await self.engine.wait_live()

    async def until(self, second: float) -> None:
        """Wait until so many virtual seconds after the beginning."""
        await asyncio.sleep(max(0.0, START_NS / 1e9 + second - self.loop.time()))

    async def stop(self) -> None:
        """Stop the engine, then the venue."""
        await self.engine.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    # --- what was seen ---

    def account(self, name: str) -> str:
        """Return an account's address as the venue's log has it."""
        return account_of(name).lower()

    def links_of(self, name: str) -> list[Link]:
        """Return every connection that carried something of an account."""
        marker = account_of(name).encode()
        streams = {
            each.transport for each in self.venue.face.users.connections_of(account_of(name))
        }
        return [
            link
            for link in self.loop.network.links
            if link.far in streams or any(marker in sent.lower() for _, sent in link.sent)
        ]

    def orders(self) -> dict[str, list[tuple[int, bytes]]]:
        """Return each follower's orders as they left: instant and the whole signed request."""
        names = {account_of(who.name).encode(): who.name for who in self.followers}
        found: dict[str, list[tuple[int, bytes]]] = {name: [] for name in names.values()}
        for link in self.loop.network.links:
            for at_ns, sent in link.sent:
                if sent.startswith(ORDER_PATH):
                    user = sent.partition(b"&user=")[2].partition(b"&")[0].lower()
                    found[names[user]].append((at_ns - START_NS, sent))
        return found

    def incidents(self, reason: str) -> list[dict[str, Any]]:
        """Return the incidents of one kind."""
        return [
            line
            for line in self.store.lines()
            if line["kind"] == "incident" and line["reason"] == reason
        ]

    def reasons(self, name: str) -> list[str | None]:
        """Return the reasons of a follower's legs, in order; ``None`` = traded whole."""
        return [
            entry.reason
            for entry in self.store.ledger.log
            if entry.kind == "leg" and entry.follower == name
        ]
