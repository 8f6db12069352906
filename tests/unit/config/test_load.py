"""A configuration is read exactly, or refused with where, what was found and what was expected."""

import tomllib
from dataclasses import asdict
from fractions import Fraction
from importlib import resources
from pathlib import Path

import pytest

from slipstream._core import FollowerLimits, SizingMode
from slipstream.config.load import load_config, parse_config
from slipstream.config.model import Config, MirrorConfig, MirrorMode, RunMode, redact_url
from slipstream.config.rules import follower_limits, sizing_rule
from slipstream.errors import ConfigError

ADDRESS = "0x" + "1a" * 20
OTHER = "0x" + "2b" * 20

NEEDING_MARGIN = (SizingMode.MARGIN, SizingMode.POSITION)

LEADER = f"""
[[leader]]
id = "whale"
venue = "aster"
account = "{ADDRESS}"
key = "whale-reader"
"""
FOLLOWER = f"""
[[follower]]
id = "alice"
venue = "aster"
account = "{OTHER}"
key = "alice-agent"
"""


def mirror(lines: str = 'mode = "margin"\nallocation = "2500"', leader: str = "whale") -> str:
    return f'[[follower.mirror]]\nleader = "{leader}"\n{lines}\n'


def whole(lines: str) -> Config:
    return parse_config(LEADER + FOLLOWER + mirror(lines), name="file.toml")


def only_mirror(lines: str) -> MirrorConfig:
    return whole(lines).followers[0].mirrors[0]


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, name="file.toml")
    return str(caught.value)


def test_a_leader_is_followed_on_one_socket_or_a_few() -> None:
    assert whole('mode = "ratio"\nratio = "1"').leaders[0].streams == 1
    rest = FOLLOWER + mirror('mode = "ratio"\nratio = "1"')
    assert parse_config(LEADER + "streams = 2\n" + rest).leaders[0].streams == 2
    for wrong in ("0", "5", "true", '"2"'):
        assert "streams" in refusal(LEADER + f"streams = {wrong}\n" + rest)


def test_the_example_loads_and_shows_the_defaults() -> None:
    text = resources.files("slipstream.config").joinpath("example.toml").read_text()
    example = parse_config(text)
    left_out = {**tomllib.loads(text)}
    plain = MirrorConfig("whale", MirrorMode.MARGIN)
    shown = asdict(example.followers[0].mirrors[0])
    expected = asdict(plain) | {"allocation": 2500 * 10**8, "missed": "give_up"}
    assert shown == expected
    assert example.followers[0].mode is RunMode.SHADOW
    assert left_out["engine"]["mode"] == example.engine.mode
    without = parse_config(LEADER + FOLLOWER + mirror())
    assert without.engine == example.engine
    assert asdict(without.followers[0].mirrors[0]) == expected | {"missed": None}


def test_the_commented_keys_of_the_example_are_read_too() -> None:
    text = resources.files("slipstream.config").joinpath("example.toml").read_text()
    rest = text.replace('# rest = "', 'rest = "').replace('# ws = "', 'ws = "')
    assert parse_config(rest).venues["aster"].ws == "wss://fstream.asterdex.com"


@pytest.mark.parametrize("text", ["2500", "0.1", "0.00000001", "92233720368.54775807", "1.10"])
def test_amounts_are_exact(text: str) -> None:
    raw = only_mirror(f'mode = "notional"\nnotional = "{text}"').notional
    assert raw is not None
    assert Fraction(raw, 10**8) == Fraction(text)


@pytest.mark.parametrize("text", ["40", "0.5", "100", "33.3333", "0.0001"])
def test_percentages_are_exact(text: str) -> None:
    ppm = only_mirror(f'mode = "margin"\nallocation = "{text}%"').allocation_ppm
    assert ppm is not None
    assert Fraction(ppm, 10**6) == Fraction(text) / 100


def test_an_integer_is_an_amount() -> None:
    assert only_mirror('mode = "margin"\nallocation = 2500').allocation == 2500 * 10**8


def test_basis_points_are_exact() -> None:
    lines = 'mode = "ratio"\nratio = "1"\nslippage = { entry_bps = 30, max_deviation_bps = "2.5" }'
    slippage = only_mirror(lines).slippage
    assert (slippage.entry_ppm, slippage.max_deviation_ppm) == (3_000, 250)


@pytest.mark.parametrize(
    ("lines", "key", "expected"),
    [
        ('mode = "margin"\nallocation = 2500.5', "allocation", 'like "2500.5"'),
        ('mode = "margin"', "allocation", "found nothing"),
        ('mode = "margin"\nallocation = "-1"', "allocation", "above 0"),
        ('mode = "margin"\nallocation = "1e3"', "allocation", "8 decimals"),
        ('mode = "margin"\nallocation = "0.000000001"', "allocation", "8 decimals"),
        ('mode = "margin"\nallocation = "140%"', "allocation", "100%"),
        ('mode = "margin"\nallocation = "0.00001%"', "allocation", "part per million"),
        ('mode = "margin"\nallocation = true', "allocation", "found true"),
        ('mode = "margin"\nallocation = "1"\nratio = "1"', "ratio", "belongs to ratio"),
        ('mode = "ratio"', "ratio", "found nothing"),
        ('mode = "ratio"\nratio = 0.25', "ratio", 'like "0.25"'),
        ('mode = "notional"', "notional", "found nothing"),
        ('mode = "position"\nmargin_pct = "2%"', "min_leader_notional", "found nothing"),
        ('mode = "position"\nmargin_pct = "all"', "margin_pct", '"leader" or a percentage'),
        ('mode = "martingale"', "mode", "one of margin, position, ratio, notional"),
        ('mode = "ratio"\nratio = "1"\nmax_leverage = 0', "max_leverage", "from 1"),
        ('mode = "ratio"\nratio = "1"\non_cap = "ignore"', "on_cap", "one of clip, skip"),
        ('mode = "ratio"\nratio = "1"\nreverse = "no"', "reverse", "true or false"),
        ('mode = "ratio"\nratio = "1"\nmax_intent_age = "5 s"', "max_intent_age", '"5s"'),
        ('mode = "ratio"\nratio = "1"\nslipage = {}', "slipage", "did you mean 'slippage'"),
        ('mode = "ratio"\nratio = "1"\ncaps = { ordr = "1" }', "caps.ordr", "'order'"),
        ('mode = "ratio"\nratio = "1"\ncaps = { order = 1.5 }', "caps.order", "in quotes"),
        ('mode = "ratio"\nratio = "1"\nslippage = 5', "slippage", "a table"),
        (
            'mode = "ratio"\nratio = "1"\nslippage = { emergency_bps = 50 }',
            "slippage.emergency_bps",
            "at least exit_bps (100)",
        ),
        ('mode = "ratio"\nratio = "1"\nsymbols = { allow = "BTC" }', "symbols.allow", "a list"),
    ],
)
def test_a_bad_mirror_is_refused_by_key_and_value(lines: str, key: str, expected: str) -> None:
    message = refusal(LEADER + FOLLOWER + mirror(lines))
    assert message.startswith(f"file.toml: follower[0] (alice).mirror[0].{key}: ")
    assert expected in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "leader: expected at least one [[leader]]"),
        ("x = [", "expected TOML"),
        ("a = " + "[" * 5000, "expected TOML"),
        (LEADER, "follower: expected at least one"),
        (LEADER + FOLLOWER, "follower[0] (alice).mirror: expected at least one"),
        (LEADER + LEADER + FOLLOWER + mirror(), "leader[1].id: expected an id of its own"),
        (LEADER + FOLLOWER + mirror(leader="wale"), "follower[0] (alice).mirror[0].leader"),
        (LEADER.replace("aster", "hyperliquid"), "leader[0] (whale).venue: expected aster"),
        (LEADER.replace('key = "whale-reader"', ""), "is read with a key of theirs"),
        (LEADER.replace(ADDRESS, "0x12"), "leader[0] (whale).account: expected an address"),
        ('leader = "whale"', "leader: expected [[leader]] tables, found 'whale'"),
        ("[engine]\nmode = 1", "engine.mode: expected one of shadow, paper, live, found 1"),
        ('[engine]\ndatabase = "postgresql://u:pw@h/d"', "use ~/.pgpass"),
        (
            '[engine]\ndatabase = "postgresql://h/d?sslmode=require&password=pw"',
            "without a password",
        ),
        ('[engine]\ndatabase = "mysql://h/d"', "expected sqlite:///FILE or postgresql://"),
        ('[venue.binance]\nrest = "https://x"', "not supported yet"),
        ('[venue.aster]\nrest = "http://example.com"', "venue.aster.rest: expected https://"),
        ('[venue.aster]\nchain = "devnet"', "expected mainnet or testnet, found 'devnet'"),
        ("surprise = 1\n" + LEADER + FOLLOWER + mirror(), "surprise: unknown key"),
    ],
)
def test_a_bad_file_is_refused(text: str, expected: str) -> None:
    assert expected in refusal(text)


def test_a_private_key_in_the_wrong_place_is_not_repeated() -> None:
    secret = "c0ffee" * 10 + "beef"
    message = refusal(LEADER.replace("whale-reader", "0x" + secret))
    assert secret not in message
    assert "never a private key" in message
    assert secret not in refusal(f'[engine]\nmode = "{secret}"')


def test_a_password_in_a_url_is_not_repeated() -> None:
    assert "hunter2" not in refusal('[engine]\ndatabase = "postgresql://u:hunter2@h/d"')
    assert redact_url("postgresql://u:hunter2@h:5/d?sslpassword=x") == "postgresql://h:5/d"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://slipstream@db.example:5433/ledger?sslmode=verify-full&passfile=pass",
        "postgres:///ledger",
        "postgresql://postgres:@/postgres?host=run",
    ],
)
def test_a_postgresql_database_is_taken_without_a_password(url: str) -> None:
    text = f'[engine]\ndatabase = "{url}"\n{LEADER}{FOLLOWER}{mirror()}'
    assert parse_config(text).engine.database == url


def test_two_mirrors_of_one_follower_must_not_share_a_symbol() -> None:
    second = LEADER.replace("whale", "shark")

    def lines(symbols: str) -> str:
        return f'mode = "ratio"\nratio = "1"\nsymbols = {symbols}'

    def both(one: str, other: str) -> str:
        mirrors = mirror(lines(one)) + mirror(lines(other), leader="shark")
        return LEADER + second + FOLLOWER + mirrors

    parse_config(both('{ allow = ["BTCUSDT"] }', '{ allow = ["ETHUSDT"] }'))
    parse_config(both('{ allow = ["BTCUSDT"] }', '{ deny = ["BTCUSDT"] }'))
    for one, other in [
        ("{}", "{}"),
        ('{ allow = ["BTCUSDT"] }', "{}"),
        ('{ deny = ["BTCUSDT"] }', '{ deny = ["ETHUSDT"] }'),
        ('{ allow = ["BTCUSDT", "ETHUSDT"] }', '{ allow = ["ETHUSDT"] }'),
        ('{ allow = ["BTC"] }', '{ allow = ["BTCUSDT"] }'),
        ('{ allow = ["BTCUSDT", "ETHUSDT"] }', '{ deny = ["BTCUSDT"] }'),
    ]:
        assert "follower[0] (alice).mirror[1].symbols" in refusal(both(one, other))


def test_the_engine_mode_is_the_most_a_follower_may_do() -> None:
    live = FOLLOWER + 'mode = "live"\n'
    for engine, expected in [("shadow", "shadow"), ("paper", "paper"), ("live", "live")]:
        text = f'[engine]\nmode = "{engine}"\n' + LEADER + live + mirror()
        assert parse_config(text).followers[0].mode == expected
    assert whole('mode = "ratio"\nratio = "1"').followers[0].mode == "shadow"


def test_an_account_is_one_follower_and_never_its_own_leader() -> None:
    twice = FOLLOWER + mirror() + FOLLOWER.replace("alice", "bob") + mirror()
    assert "follower[1] (bob).account" in refusal(LEADER + twice)
    own = FOLLOWER.replace(OTHER, ADDRESS.upper().replace("0X", "0x"))
    assert "another account than its leader's" in refusal(LEADER + own + mirror())


def test_flatten_after_needs_its_time() -> None:
    stale = FOLLOWER + 'stale_leader = "flatten_after"\n'
    assert ".flatten_after: expected a time" in refusal(LEADER + stale + mirror())
    config = parse_config(LEADER + stale + 'flatten_after = "10m"\n' + mirror())
    assert config.followers[0].flatten_after_ns == 600 * 10**9


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.toml", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            load_config(path)
    path = tmp_path / "latin.toml"
    path.write_bytes(b"a = '\xff'")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(path)


def test_a_cap_can_be_switched_off() -> None:
    caps = only_mirror('mode = "ratio"\nratio = "1"\ncaps = { order = "none" }').caps
    assert caps.order is None
    assert caps.total is not None


def test_printing_redacts_and_is_plain() -> None:
    shown = whole('mode = "ratio"\nratio = "1"').redacted()
    assert shown["engine"]["database"] == "sqlite:///slipstream.db"
    assert shown["followers"][0]["mirrors"][0]["ratio"] == 10**8


@pytest.mark.parametrize(
    ("lines", "mode"),
    [
        ('mode = "margin"\nallocation = "40%"', SizingMode.MARGIN),
        ('mode = "position"', SizingMode.POSITION),
        (
            'mode = "position"\nmargin_pct = "2%"\nmin_leader_notional = "10"',
            SizingMode.POSITION,
        ),
        ('mode = "ratio"\nratio = "0.25"\nmissed = "catch_up"', SizingMode.RATIO),
        ('mode = "notional"\nnotional = "500"\nbelow_minimum = "bump"', SizingMode.NOTIONAL),
    ],
)
def test_every_mode_becomes_a_sizing_rule(lines: str, mode: SizingMode) -> None:
    found = only_mirror(f'{lines}\non_cap = "clip"\ncaps = {{ order = "none" }}')
    assert sizing_rule(found).mode == mode
    assert sizing_rule(found).needs_leader_margin is (mode in NEEDING_MARGIN)
    assert isinstance(follower_limits(found), FollowerLimits)


def test_who_resumes_after_a_silence_and_how_long_it_must_be() -> None:
    plain = parse_config(LEADER + FOLLOWER + mirror()).followers[0]
    assert (plain.stale_resume, plain.stale_after_ns) == ("auto", 60 * 10**9)
    manual = FOLLOWER + 'stale_resume = "manual"\nstale_after = "5m"\n'
    follower = parse_config(LEADER + manual + mirror()).followers[0]
    assert (follower.stale_resume, follower.stale_after_ns) == ("manual", 300 * 10**9)
    assert "stale_resume: expected one of auto, manual" in refusal(
        LEADER + FOLLOWER + 'stale_resume = "later"\n' + mirror()
    )
