"""Read a configuration file. Anything wrong with it is one ``ConfigError``.

Every key is known or refused, every value is read exactly or refused; the error names the file,
the dotted key, what was found and what was expected.
"""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from slipstream.config import values
from slipstream.config.model import (
    Caps,
    Config,
    EngineConfig,
    FollowerConfig,
    LeaderConfig,
    LimitPolicy,
    MinimumPolicy,
    MirrorConfig,
    MirrorMode,
    MissedPolicy,
    OnStart,
    ResumePolicy,
    RunMode,
    Slippage,
    StalePolicy,
    VenueConfig,
)
from slipstream.config.values import Section
from slipstream.errors import ConfigError
from slipstream.units import NS_PER_MS, NS_PER_S

__all__ = ["load_config", "parse_config"]

_SIZE_MAX: Final = 16 * 1024 * 1024
_SUPPORTED_VENUES: Final = ("aster",)
_DATABASE_FORMS: Final = "sqlite:///FILE or postgresql://USER@HOST:PORT/NAME"
_SECRET_PARAMETER: Final = re.compile(r"(?:^|&)(?:ssl)?password=[^&]", re.IGNORECASE)
_CHAINS: Final = ("mainnet", "testnet")
_DAY_NS: Final = 86_400 * NS_PER_S
_STREAMS_MAX: Final = 4
_LEVERAGE_MAX: Final = 1_001
_QUOTES: Final = ("USDT", "USDC", "USD1", "USD")

_NO_SYMBOLS: Final[tuple[str, ...]] = ()

_MODE_KEYS: Final = {
    MirrorMode.MARGIN: frozenset({"allocation"}),
    MirrorMode.POSITION: frozenset({"margin_pct", "multiplier"}),
    MirrorMode.RATIO: frozenset({"ratio"}),
    MirrorMode.NOTIONAL: frozenset({"notional"}),
}
"""Which sizing keys a mode understands; ``allocation`` also bounds leverage in every mode."""


def load_config(path: str | Path) -> Config:
    """Read and check a file.

    Raises:
        ConfigError: it cannot be read, or anything in it is wrong.
    """
    name = str(path)
    try:
        with Path(path).open("rb") as file:
            content = file.read(_SIZE_MAX + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"{name}: cannot be read: {reason}") from error
    if len(content) > _SIZE_MAX:
        raise ConfigError(f"{name}: expected at most {_SIZE_MAX} bytes, found more")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: expected UTF-8, found another byte at {error.start}") from error
    return parse_config(text, name=name)


def parse_config(text: str, *, name: str = "configuration") -> Config:
    """Check the text of a configuration; ``name`` is how errors call it.

    Raises:
        ConfigError: anything in it is wrong.
    """
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ConfigError(f"{name}: expected TOML: {reason}") from None
    root = Section(name, "", table)
    engine = _engine(root.section("engine"))
    venues = _venues(root.section("venue"))
    leaders = tuple(_leader(section) for section in root.sections("leader"))
    followers = tuple(
        _follower(section, engine.mode, leaders) for section in root.sections("follower")
    )
    root.finish()
    _check_ids(name, "leader", [leader.id for leader in leaders])
    _check_ids(name, "follower", [follower.id for follower in followers])
    _check_accounts(name, leaders, followers)
    for key, entries in (("leader", leaders), ("follower", followers)):
        if not entries:
            raise ConfigError(f"{name}: {key}: expected at least one [[{key}]], found none")
    return Config(engine=engine, leaders=leaders, followers=followers, venues=venues)


def _engine(section: Section) -> EngineConfig:
    plain = EngineConfig()
    engine = EngineConfig(
        mode=section.take("mode", values.choice(RunMode), plain.mode),
        database=section.take("database", _database, plain.database),
        keystore=section.take("keystore", values.text, plain.keystore),
        control_socket=section.take("control_socket", values.text, plain.control_socket),
        retention_ns=section.take(
            "retention", values.duration(_DAY_NS, 3_650 * _DAY_NS), plain.retention_ns
        ),
    )
    section.finish()
    return engine


def _database(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(_DATABASE_FORMS)
    if value.startswith(("postgres://", "postgresql://")):
        return _postgres(value)
    if not value.startswith("sqlite:///") or value == "sqlite:///":
        raise ValueError(_DATABASE_FORMS)
    return value


def _postgres(url: str) -> str:
    try:
        parts = urlsplit(url)
        has_secret = bool(parts.password) or _SECRET_PARAMETER.search(parts.query) is not None
    except ValueError as error:
        raise ValueError(_DATABASE_FORMS) from error
    if has_secret:
        raise ValueError(
            "a database URL without a password (use ~/.pgpass, passfile=FILE, or a Unix socket "
            "with peer authentication)"
        )
    return url


def _venue_name(value: object) -> str:
    found = values.name(value)
    if found not in _SUPPORTED_VENUES:
        raise ValueError(f"{', '.join(_SUPPORTED_VENUES)} (others are not supported yet)")
    return found


def _chain(value: object) -> str:
    if value not in _CHAINS:
        raise ValueError("mainnet or testnet")
    return str(value)


def _venues(section: Section) -> dict[str, VenueConfig]:
    found: dict[str, VenueConfig] = {}
    for name in section.keys():  # noqa: SIM118 - a Section is no mapping
        if name not in _SUPPORTED_VENUES:
            raise section.fail(name, f"{', '.join(_SUPPORTED_VENUES)} (not supported yet: others)")
        inner = section.section(name)
        found[name] = VenueConfig(
            name=name,
            chain=inner.take("chain", _chain, "mainnet"),
            rest=inner.take("rest", values.url("http", "https"), None),
            ws=inner.take("ws", values.url("ws", "wss"), None),
        )
        inner.finish()
    return found


def _leader(section: Section) -> LeaderConfig:
    leader_id = section.need("id", values.name)
    venue = section.need("venue", _venue_name)
    account = section.need("account", values.address)
    if not section.has("key"):
        raise section.fail(
            "key", "the name of an entry in the keystore: a leader on Aster is read with a key"
            " of theirs"
        )  # fmt: skip
    leader = LeaderConfig(
        id=leader_id,
        venue=venue,
        account=account,
        key=section.need("key", values.key_name),
        symbols=section.take("symbols", values.symbols, ()),
        streams=section.take("streams", values.whole(1, _STREAMS_MAX), 1),
    )
    section.finish()
    return leader


def _follower(
    section: Section, mode_max: RunMode, leaders: Sequence[LeaderConfig]
) -> FollowerConfig:
    plain = FollowerConfig("", "", "", "")
    modes = list(RunMode)
    asked = section.take("mode", values.choice(RunMode), plain.mode)
    stale = section.take("stale_leader", values.choice(StalePolicy), plain.stale_leader)
    flatten_after_ns: int | None = None
    if stale is StalePolicy.FLATTEN_AFTER:
        flatten_after_ns = section.need("flatten_after", values.duration(NS_PER_S, _DAY_NS))
    follower = FollowerConfig(
        id=section.need("id", values.name),
        venue=section.need("venue", _venue_name),
        account=section.need("account", values.address),
        key=section.need("key", values.key_name),
        mode=min(asked, mode_max, key=modes.index),
        stale_leader=stale,
        flatten_after_ns=flatten_after_ns,
        stale_resume=section.take("stale_resume", values.choice(ResumePolicy), plain.stale_resume),
        stale_after_ns=section.take(
            "stale_after", values.duration(NS_PER_S, _DAY_NS), plain.stale_after_ns
        ),
        orders_per_minute=section.take(
            "orders_per_minute", values.whole(1, 100_000), plain.orders_per_minute
        ),
        mirrors=tuple(_mirror(each, leaders) for each in section.sections("mirror")),
    )
    section.finish()
    if not follower.mirrors:
        raise section.fail("mirror", "at least one [[follower.mirror]]")
    _check_overlap(section, follower.mirrors)
    return follower


def _mirror(section: Section, leaders: Sequence[LeaderConfig]) -> MirrorConfig:
    leader = section.need("leader", values.name)
    if leader not in {each.id for each in leaders}:
        known = ", ".join(each.id for each in leaders) or "none is configured"
        raise section.fail("leader", f"the id of a leader ({known})")
    mode = section.need("mode", values.choice(MirrorMode))
    plain = MirrorConfig(leader, mode)
    allow, deny = _symbols(section.section("symbols"))
    mirror = MirrorConfig(
        leader=leader,
        mode=mode,
        **_sizing(section, mode),
        slippage=_slippage(section.section("slippage")),
        max_leverage=section.take(
            "max_leverage", values.optional(values.whole(1, _LEVERAGE_MAX)), plain.max_leverage
        ),
        caps=_caps(section.section("caps")),
        on_cap=section.take("on_cap", values.choice(LimitPolicy), plain.on_cap),
        on_thin_book=section.take("on_thin_book", values.choice(LimitPolicy), plain.on_thin_book),
        below_minimum=section.take(
            "below_minimum", values.choice(MinimumPolicy), plain.below_minimum
        ),
        missed=section.take("missed", values.choice(MissedPolicy), None),
        on_start=section.take("on_start", _on_start, plain.on_start),
        reverse=section.take("reverse", values.flag, default=False),
        dedicated=section.take("dedicated", values.flag, default=False),
        symbols_allow=allow,
        symbols_deny=deny,
        max_intent_age_ns=section.take(
            "max_intent_age", values.duration(100 * NS_PER_MS, _DAY_NS), plain.max_intent_age_ns
        ),
        exit_emergency_after_ns=section.take(
            "exit_emergency_after",
            values.duration(100 * NS_PER_MS, _DAY_NS),
            plain.exit_emergency_after_ns,
        ),
    )
    section.finish()
    return mirror


def _on_start(value: object) -> OnStart:
    if values.choice(OnStart)(value) is not OnStart.IGNORE:
        raise ValueError('"ignore" ("sync" and "better_price" are not supported yet)')
    return OnStart.IGNORE


def _sizing(section: Section, mode: MirrorMode) -> dict[str, Any]:
    for other, keys in _MODE_KEYS.items():
        for key in keys - _MODE_KEYS[mode] - {"allocation"}:
            if section.has(key):
                raise section.fail(key, f"no such key with mode {mode!s} (it belongs to {other!s})")
    found: dict[str, Any] = {}
    if mode is MirrorMode.MARGIN or section.has("allocation"):
        key, value = section.need("allocation", _allocation)
        found[key] = value
    if mode is MirrorMode.RATIO:
        found["ratio"] = section.need("ratio", values.positive('a ratio, like "0.25"'))
    if mode is MirrorMode.NOTIONAL:
        found["notional"] = section.need("notional", values.amount)
    if mode is MirrorMode.POSITION:
        found["margin_ppm"] = section.take("margin_pct", _margin_share, None)
        found["multiplier"] = section.take(
            "multiplier", values.positive('a factor, like "1.5"'), MirrorConfig("", mode).multiplier
        )
    if found.get("margin_ppm") is not None:
        # A first tiny partial must not commit the whole share (DESIGN 4).
        found["min_leader_notional"] = section.need("min_leader_notional", values.amount)
    else:
        found["min_leader_notional"] = section.take("min_leader_notional", values.not_negative, 0)
    return found


def _allocation(value: object) -> tuple[str, int]:
    expected = 'an amount like "2500" or a percentage of equity like "40%"'
    if isinstance(value, str) and value.endswith("%"):
        return "allocation_ppm", values.percent(value)
    return "allocation", values.positive(expected)(value)


def _margin_share(value: object) -> int | None:
    if value == "leader":
        return None
    try:
        return values.percent(value)
    except ValueError:
        raise ValueError('"leader" or a percentage of equity like "2%"') from None


def _slippage(section: Section) -> Slippage:
    plain = Slippage()
    slippage = Slippage(
        entry_ppm=section.take("entry_bps", values.bps, plain.entry_ppm),
        exit_ppm=section.take("exit_bps", values.bps, plain.exit_ppm),
        emergency_ppm=section.take("emergency_bps", values.bps, plain.emergency_ppm),
        max_deviation_ppm=section.take("max_deviation_bps", values.bps, plain.max_deviation_ppm),
    )
    section.finish()
    if slippage.emergency_ppm < slippage.exit_ppm:
        raise section.fail("emergency_bps", f"at least exit_bps ({slippage.exit_ppm // 100})")
    return slippage


def _caps(section: Section) -> Caps:
    plain = Caps()
    amount = values.optional(values.amount)
    caps = Caps(
        order=section.take("order", amount, plain.order),
        symbol=section.take("symbol", amount, plain.symbol),
        total=section.take("total", amount, plain.total),
        positions=section.take(
            "positions", values.optional(values.whole(1, 10_000)), plain.positions
        ),
        daily_loss=section.take("daily_loss", amount, plain.daily_loss),
        drawdown_ppm=section.take(
            "drawdown_pct", values.optional(values.percent), plain.drawdown_ppm
        ),
    )
    section.finish()
    return caps


def _symbols(section: Section) -> tuple[tuple[str, ...], tuple[str, ...]]:
    allow = section.take("allow", values.symbols, _NO_SYMBOLS)
    deny = section.take("deny", values.symbols, _NO_SYMBOLS)
    section.finish()
    return allow, deny


def _check_ids(name: str, key: str, ids: Sequence[str]) -> None:
    first: dict[str, int] = {}
    for index, found in enumerate(ids):
        if found in first:
            raise ConfigError(
                f"{name}: {key}[{index}].id: expected an id of its own, found {found!r}, "
                f"which {key}[{first[found]}] has"
            )
        first[found] = index


def _check_accounts(
    name: str, leaders: Sequence[LeaderConfig], followers: Sequence[FollowerConfig]
) -> None:
    """Refuse an account that is two followers, or mirrors itself."""
    owners: dict[tuple[str, str], str] = {}
    for index, follower in enumerate(followers):
        account = (follower.venue, follower.account.lower())
        where = f"{name}: follower[{index}] ({follower.id}).account"
        if account in owners:
            raise ConfigError(
                f"{where}: expected an account of its own, found {follower.account!r}, "
                f"which follower {owners[account]!r} has"
            )
        owners[account] = follower.id
        for leader in leaders:
            mirrored = {mirror.leader for mirror in follower.mirrors}
            if leader.id in mirrored and (leader.venue, leader.account.lower()) == account:
                raise ConfigError(
                    f"{where}: expected another account than its leader's, "
                    f"found {follower.account!r} for both"
                )


def _check_overlap(section: Section, mirrors: Sequence[MirrorConfig]) -> None:
    for index, mirror in enumerate(mirrors):
        for other_index in range(index):
            if _can_overlap(mirror, mirrors[other_index]):
                raise ConfigError(
                    f"{section.file}: {section.at(f'mirror[{index}]')}.symbols: expected symbols "
                    f"that mirror[{other_index}] cannot have (netting of several mirrors is not "
                    f"supported yet), found {values.shown(list(mirror.symbols_allow))} allowed"
                    if mirror.symbols_allow
                    else f"{section.file}: {section.at(f'mirror[{index}]')}.symbols.allow: "
                    f"expected a list that mirror[{other_index}] cannot overlap (netting of "
                    "several mirrors is not supported yet), found nothing: all symbols"
                )


def _can_overlap(one: MirrorConfig, other: MirrorConfig) -> bool:
    if not one.symbols_allow and not other.symbols_allow:
        return True
    if not one.symbols_allow:
        one, other = other, one
    mine = _bases(one.symbols_allow)
    theirs_deny = {symbol.casefold() for symbol in other.symbols_deny}
    my_deny = {symbol.casefold() for symbol in one.symbols_deny}
    if other.symbols_allow:
        theirs = _bases(other.symbols_allow)
        return any(
            base in theirs and not mine[base] <= my_deny and not theirs[base] <= theirs_deny
            for base in mine
        )
    return any(not names <= theirs_deny | my_deny for names in mine.values())


def _bases(symbols: Sequence[str]) -> dict[str, set[str]]:
    """Return symbols by what they are contracts on: BTC and BTCUSDT are one instrument."""
    found: dict[str, set[str]] = {}
    for symbol in symbols:
        folded = symbol.upper()
        base = folded
        for quote in _QUOTES:
            if folded.endswith(quote) and len(folded) > len(quote):
                base = folded.removesuffix(quote).rstrip("-_/")
                break
        found.setdefault(base, set()).add(symbol.casefold())
    return found
