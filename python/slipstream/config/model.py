"""A configuration as the engine uses it: checked, frozen, in the engine's units.

The defaults are the safe ones: a follower decides and records but sends nothing (``shadow``),
slippage bounds are 50, 100 and 300 bps, and every cap has a value. Amounts are quote currency at
10**-8, shares parts per million, times nanoseconds. ``None`` = no such bound.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from slipstream.units import NS_PER_S, SCALE


class RunMode(StrEnum):
    """How far an order goes. ``shadow`` records, ``paper`` fills it inside, ``live`` sends it."""

    SHADOW = "shadow"
    PAPER = "paper"
    LIVE = "live"


class MirrorMode(StrEnum):
    """How a leader's size becomes a follower's (DESIGN 4)."""

    MARGIN = "margin"
    POSITION = "position"
    RATIO = "ratio"
    NOTIONAL = "notional"


class StalePolicy(StrEnum):
    """What to do while a leader's stream cannot be trusted."""

    HOLD = "hold"
    CLOSE_ONLY = "close_only"
    FLATTEN_AFTER = "flatten_after"


class ResumePolicy(StrEnum):
    """Who lets opens pass again after a leader was stale for long."""

    AUTO = "auto"
    MANUAL = "manual"


class OnStart(StrEnum):
    """What becomes of a position the leader held before the mirror began."""

    IGNORE = "ignore"
    SYNC = "sync"
    BETTER_PRICE = "better_price"


class LimitPolicy(StrEnum):
    """What a cap or a thin book does to an order that is too large."""

    CLIP = "clip"
    SKIP = "skip"


class MissedPolicy(StrEnum):
    """What becomes of an opening that was refused, clipped or not filled."""

    GIVE_UP = "give_up"
    CATCH_UP = "catch_up"


class MinimumPolicy(StrEnum):
    """What becomes of an order below the venue's minimum."""

    CARRY = "carry"
    SKIP = "skip"
    BUMP = "bump"


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What concerns the process. ``mode`` is the most any follower may do."""

    mode: RunMode = RunMode.LIVE
    database: str = "sqlite:///slipstream.db"
    keystore: str = "slipstream.keys"
    control_socket: str = "slipstream-control/control.sock"
    retention_ns: int = 7 * 86_400 * NS_PER_S
    """How long settled rows of the ledger are kept; at least 24 h."""


@dataclass(frozen=True, slots=True)
class VenueConfig:
    """Where a venue is, when not at its public addresses."""

    name: str
    chain: str = "mainnet"
    rest: str | None = None
    ws: str | None = None


@dataclass(frozen=True, slots=True)
class LeaderConfig:
    """Whom to mirror. ``key`` names the keystore's entry that reads the account; ``symbols``
    empty = all. ``streams``: how many sockets follow the account side by side."""

    id: str
    venue: str
    account: str
    key: str
    symbols: tuple[str, ...] = ()
    streams: int = 1


@dataclass(frozen=True, slots=True)
class Slippage:
    """Bounds of an order's price. ``entry``, ``exit`` and ``emergency`` around the market,
    ``max_deviation`` of an opening around the leader's own price."""

    entry_ppm: int = 5_000
    exit_ppm: int = 10_000
    emergency_ppm: int = 30_000
    max_deviation_ppm: int = 5_000


@dataclass(frozen=True, slots=True)
class Caps:
    """Upper bounds of one mirror, orders in flight included."""

    order: int | None = 10_000 * SCALE
    symbol: int | None = 25_000 * SCALE
    total: int | None = 50_000 * SCALE
    positions: int | None = 20
    daily_loss: int | None = 2_500 * SCALE
    drawdown_ppm: int | None = 250_000


@dataclass(frozen=True, slots=True)
class MirrorConfig:
    """How one follower mirrors one leader.

    ``allocation`` is an amount, ``allocation_ppm`` a share of the follower's equity; at most one
    is given. ``margin_ppm`` is ``None`` for the leader's own share. ``ratio`` and ``multiplier``
    are at 10**-8. Empty ``symbols_allow`` = all.
    """

    leader: str
    mode: MirrorMode
    allocation: int | None = None
    allocation_ppm: int | None = None
    ratio: int | None = None
    notional: int | None = None
    margin_ppm: int | None = None
    multiplier: int = SCALE
    min_leader_notional: int = 0
    slippage: Slippage = field(default_factory=Slippage)
    max_leverage: int | None = 5
    caps: Caps = field(default_factory=Caps)
    on_cap: LimitPolicy = LimitPolicy.SKIP
    on_thin_book: LimitPolicy = LimitPolicy.SKIP
    below_minimum: MinimumPolicy = MinimumPolicy.CARRY
    missed: MissedPolicy | None = None
    """``None`` = what suits the mode: catch up in ``position`` mode, else give up."""
    on_start: OnStart = OnStart.IGNORE
    reverse: bool = False
    dedicated: bool = False
    symbols_allow: tuple[str, ...] = ()
    symbols_deny: tuple[str, ...] = ()
    max_intent_age_ns: int = 5 * NS_PER_S
    exit_emergency_after_ns: int = 10 * NS_PER_S

    @property
    def margin_pct(self) -> int | None:
        """The fixed share of equity in ppm, ``None`` = the leader's own."""
        return self.margin_ppm


@dataclass(frozen=True, slots=True)
class FollowerConfig:
    """Who mirrors. ``key`` names the agent's entry in the keystore; ``mode`` is already no more
    than the engine's. ``flatten_after_ns`` is given with ``flatten_after`` only. With a manual
    ``stale_resume`` a silence of ``stale_after_ns`` stops opens until the operator resumes."""

    id: str
    venue: str
    account: str
    key: str
    mode: RunMode = RunMode.SHADOW
    stale_leader: StalePolicy = StalePolicy.HOLD
    flatten_after_ns: int | None = None
    stale_resume: ResumePolicy = ResumePolicy.AUTO
    stale_after_ns: int = 60 * NS_PER_S
    orders_per_minute: int = 300
    mirrors: tuple[MirrorConfig, ...] = ()


@dataclass(frozen=True, slots=True)
class Config:
    """Everything a daemon is told. ``venues`` by name; a venue not in it is at its defaults."""

    engine: EngineConfig
    leaders: tuple[LeaderConfig, ...]
    followers: tuple[FollowerConfig, ...]
    venues: Mapping[str, VenueConfig] = field(default_factory=dict)

    def redacted(self) -> dict[str, Any]:
        """Return the configuration for printing, without the password of a database."""
        shown = asdict(self)
        shown["engine"]["database"] = redact_url(self.engine.database)
        return shown


def redact_url(url: str) -> str:
    """Return a URL without user name, password and query."""
    if "@" not in url and "?" not in url:
        return url
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(not shown)"
    return parts._replace(netloc=host, query="", fragment="").geturl()
