"""Look at everything a configuration names without trading: what ``slipstream check`` does.

Every finding is a row: whom it concerns, what was looked at, what was found, and how bad it is.
Only light reads are made, a few at a time; one broken account never hides another's findings.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from slipstream._core import format_fixed
from slipstream.config.keystore import Keystore
from slipstream.config.model import Config, FollowerConfig, LeaderConfig, MirrorConfig
from slipstream.domain.fill import AccountSnapshot
from slipstream.domain.instrument import Instrument
from slipstream.errors import SlipstreamError, VenueError
from slipstream.transport.clock import Clock
from slipstream.venues.base import KeyStatus, OrderGateway
from slipstream.venues.registry import Endpoints, VenueAdapter, default_endpoints, venue

READ_WIDTH: Final = 8
SKEW_MS_MAX: Final = 2_000
"""The venue's own nonce window is 10 s in its strictest text; 2 s leaves room."""

EXPIRY_WARN_MS: Final = 7 * 86_400_000
ORDER_WEIGHT: Final = 1
READING_WEIGHT: Final = 5
READINGS_PER_HOUR: Final = 18
"""An idle account is read every 200 s."""

RESERVE_PERCENT: Final = 20
"""Part of an address's budget that only reductions may use."""

_US_PER_MS: Final = 1_000


class Level(StrEnum):
    """How bad a finding is. ``wrong`` makes the check fail."""

    OK = "ok"
    NOTE = "note"
    WARN = "warn"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    who: str
    what: str
    level: Level
    detail: str


@dataclass(frozen=True, slots=True)
class Budget:
    """How many orders an address can carry, from the limits the venue publishes."""

    venue: str
    followers: int
    events_per_minute: int
    weight_needed: int
    weight_per_address: int

    @property
    def address_count(self) -> int:
        """Egress addresses needed."""
        return max(1, -(-self.weight_needed // self.weight_per_address))

    def sentence(self) -> str:
        """Return it in words."""
        return (
            f"{self.followers} followers x {self.events_per_minute} events a minute need "
            f"{self.address_count} addresses ({self.weight_needed} of "
            f"{self.weight_per_address} weight a minute and address)"
        )


@dataclass(slots=True)
class Report:
    """Everything found."""

    findings: list[Finding] = field(default_factory=list)
    budgets: list[Budget] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return all(each.level is not Level.WRONG for each in self.findings)

    def add(self, who: str, what: str, level: Level, detail: str) -> None:
        """Keep a finding."""
        self.findings.append(Finding(who, what, level, detail))


@dataclass(frozen=True, slots=True)
class _Place:
    """One venue as far as it answered."""

    adapter: VenueAdapter
    instruments: Mapping[str, Instrument]


async def preflight(
    config: Config,
    keystore: Keystore,
    *,
    clock: Clock,
    events_per_minute: int,
    withdrawals_allowed: frozenset[str],
) -> Report:
    """Look at venues, leaders and followers; trade nothing.

    ``withdrawals_allowed``: ids whose key may have the right to withdraw.
    """
    report = Report()
    report.add("configuration", "mirrors", Level.OK, "no follower mirrors one symbol in two ways")
    names = {each.venue for each in config.leaders} | {each.venue for each in config.followers}
    places: dict[str, _Place] = {}
    try:
        for name in sorted(names):
            place = await _venue(config, name, clock, report)
            if place is not None:
                places[name] = place
        await _accounts(config, keystore, places, withdrawals_allowed, report)
        for name, place in places.items():
            budget = _budget(config, name, place, events_per_minute)
            report.budgets.append(budget)
            level = Level.OK if budget.address_count == 1 else Level.WARN
            report.add(name, "budget", level, budget.sentence())
    finally:
        for place in places.values():
            await place.adapter.close()
    return report


async def _venue(config: Config, name: str, clock: Clock, report: Report) -> _Place | None:
    chosen = config.venues.get(name)
    chain = "mainnet" if chosen is None else chosen.chain
    endpoints = default_endpoints(name, chain)
    if chosen is not None:
        endpoints = Endpoints(chosen.rest or endpoints.rest, chosen.ws or endpoints.stream, chain)
    adapter = venue(name, endpoints, clock=clock, source=random.Random())  # noqa: S311 - jitter
    left_out: list[str] = []
    reader = adapter.make_reader(on_report=left_out.append)
    try:
        await reader.venue_time_ms()
        instruments = await reader.instruments()
    except VenueError as error:
        report.add(name, "connection", Level.WRONG, str(error))
        await adapter.close()
        return None
    report.add(name, "connection", Level.OK, f"{endpoints.rest} answers ({chain})")
    skew_ms = adapter.venue_clock.offset_us // _US_PER_MS
    is_skewed = abs(skew_ms) > SKEW_MS_MAX
    advice = "; set this machine's clock (NTP)" if is_skewed else ""
    report.add(
        name,
        "clock",
        Level.WRONG if is_skewed else Level.OK,
        f"the venue is {skew_ms} ms ahead of this machine{advice}",
    )
    detail = f"{len(instruments)} instruments fit"
    if left_out:
        detail += f", {len(left_out)} are left out: {left_out[0]}"
    report.add(name, "instruments", Level.OK, detail)
    report.add(
        name,
        "leaders without a key",
        Level.NOTE,
        f"out of scope on {name}: a leader's account is read with a key of theirs",
    )
    return _Place(adapter, instruments)


async def _accounts(
    config: Config,
    keystore: Keystore,
    places: Mapping[str, _Place],
    withdrawals_allowed: frozenset[str],
    report: Report,
) -> None:
    """Look at every account side by side; findings stay in the order of the configuration."""
    free = asyncio.Semaphore(READ_WIDTH)
    parts: list[Report] = []

    async def look(whose: LeaderConfig | FollowerConfig, place: _Place, part: Report) -> None:
        async with free:
            await _Look(whose, keystore, place, part, withdrawals_allowed).run()

    async with asyncio.TaskGroup() as group:
        everybody: list[LeaderConfig | FollowerConfig] = [*config.leaders, *config.followers]
        for whose in everybody:
            place = places.get(whose.venue)
            if place is not None:
                parts.append(Report())
                group.create_task(look(whose, place, parts[-1]))
    for part in parts:
        report.findings += part.findings


class _Look:
    """One account, looked at with its own key."""

    def __init__(
        self,
        whose: LeaderConfig | FollowerConfig,
        keystore: Keystore,
        place: _Place,
        report: Report,
        withdrawals_allowed: frozenset[str],
    ) -> None:
        self._whose = whose
        self._keystore = keystore
        self._place = place
        self._report = report
        self._may_withdraw = whose.id in withdrawals_allowed
        kind = "leader" if isinstance(whose, LeaderConfig) else "follower"
        self._who = f"{kind} {whose.id}"

    def _add(self, what: str, level: Level, detail: str) -> None:
        self._report.add(self._who, what, level, detail)

    async def run(self) -> None:
        """Look at key, account and symbols."""
        whose, adapter = self._whose, self._place.adapter
        try:
            signer = self._keystore.signer(whose.key, adapter.signer_purpose, whose.account)
        except SlipstreamError as error:
            self._add("key", Level.WRONG, str(error))
            return
        gateway = adapter.make_gateway(whose.account, signer)
        try:
            await self._key(gateway, signer.address)
            await self._account(gateway)
        finally:
            await gateway.close()

    async def _key(self, gateway: OrderGateway, address: str) -> None:
        whose = self._whose
        try:
            status = await gateway.key_status()
        except VenueError as error:
            advice = f"approve {address} as an agent of {whose.account}, or check its expiry"
            self._add("key", Level.WRONG, f"{error}; {advice}")
            return
        if status is None:
            self._add("key", Level.WRONG, f"{address} is not an agent of {whose.account}")
            return
        self._expiry(status)
        if isinstance(whose, FollowerConfig) and not status.can_trade:
            level = Level.WRONG if whose.mode.value == "live" else Level.WARN
            self._add("permission", level, "the key may not trade perpetuals (canPerpTrade)")
        if status.can_withdraw:
            level = Level.WARN if self._may_withdraw else Level.WRONG
            self._add(
                "permission",
                level,
                "the key may withdraw (canWithdraw): revoke that, or name it with "
                f"--allow-withdraw {whose.id}",
            )
        elif status.can_trade:
            self._add("permission", Level.OK, "may trade, may not withdraw")

    def _expiry(self, status: KeyStatus) -> None:
        left_ms = status.expires_ms - self._place.adapter.venue_clock.now_ms()
        days = left_ms // 86_400_000
        if left_ms <= 0:
            self._add("key", Level.WRONG, f"{status.address} has expired")
        elif left_ms < EXPIRY_WARN_MS:
            self._add("key", Level.WARN, f"{status.address} expires in {days} days")
        else:
            self._add("key", Level.OK, f"{status.address} is approved for {days} more days")

    async def _account(self, gateway: OrderGateway) -> None:
        try:
            snapshot = await gateway.account()
        except VenueError as error:
            self._add("account", Level.WRONG, str(error))
            return
        mode = "hedge" if snapshot.is_hedge else "one-way"
        self._add(
            "account",
            Level.OK if snapshot.equity > 0 else Level.WARN,
            f"equity {format_fixed(snapshot.equity)}, free {format_fixed(snapshot.available)}, "
            f"{mode} mode; multi-assets mode is not read (a heavy call): keep it off",
        )
        if isinstance(self._whose, FollowerConfig):
            for mirror in self._whose.mirrors:
                self._mirror(mirror, snapshot)
        else:
            self._symbols(self._whose.symbols, "symbols")

    def _symbols(self, names: Sequence[str], what: str) -> list[str]:
        """Report names that the venue does not list; return the symbols of the others."""
        found: list[str] = []
        for name in names:
            matches = [
                each.symbol
                for each in self._place.instruments.values()
                if name.upper() in (each.symbol.upper(), each.base.upper())
            ]
            if not matches:
                self._add(what, Level.WRONG, f"{name}: the venue lists no such instrument")
            found += matches
        return found

    def _mirror(self, mirror: MirrorConfig, snapshot: AccountSnapshot) -> None:
        what = f"mirror of {mirror.leader}"
        allowed = self._symbols(mirror.symbols_allow, what)
        self._symbols(mirror.symbols_deny, what)
        halted = [each for each in allowed if not self._place.instruments[each].is_trading]
        if halted:
            self._add(what, Level.WARN, f"not trading now: {', '.join(halted)}")
        leverage = {each.symbol: each.leverage for each in snapshot.positions}
        cap = mirror.max_leverage
        for symbol in allowed:
            current = leverage.get(symbol)
            if current is not None and cap is not None and current > cap:
                detail = f"{symbol} is at leverage {current}, above the cap {cap}: it will be set"
                self._add(what, Level.NOTE, detail)
        held = [each.symbol for each in snapshot.positions if each.qty]
        if held and not mirror.dedicated:
            detail = (
                f"holds {', '.join(sorted(set(held)))}: what our orders did not build is foreign, "
                "is never touched and stops opens of that symbol"
            )
            self._add(what, Level.NOTE, detail)
        known = sum(1 for each in allowed if leverage.get(each) is not None)
        self._add(
            what,
            Level.OK,
            f"{mirror.mode.value} sizing, {self._mode()}, "
            f"{len(allowed) or 'all'} symbols allowed, leverage of {known} known",
        )

    def _mode(self) -> str:
        whose = self._whose
        return whose.mode.value if isinstance(whose, FollowerConfig) else "read"


def _budget(config: Config, name: str, place: _Place, events_per_minute: int) -> Budget:
    followers = sum(1 for each in config.followers if each.venue == name)
    readings = -(-followers * READING_WEIGHT * READINGS_PER_HOUR // 60)
    window = place.adapter.budget.window_max
    return Budget(
        venue=name,
        followers=followers,
        events_per_minute=events_per_minute,
        weight_needed=followers * events_per_minute * ORDER_WEIGHT + readings,
        weight_per_address=window - window * RESERVE_PERCENT // 100,
    )
