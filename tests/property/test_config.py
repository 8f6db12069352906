"""Whatever stands in a configuration, the answer is a ``Config`` or a ``ConfigError``."""

import tomllib
from importlib import resources
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from slipstream.config.load import parse_config
from slipstream.config.model import Config
from slipstream.errors import ConfigError

EXAMPLE = resources.files("slipstream.config").joinpath("example.toml").read_text()
LINES = EXAMPLE.splitlines()

scalars = st.one_of(
    st.integers(),
    st.integers(min_value=-(2**70), max_value=2**5000),
    st.floats(),
    st.booleans(),
    st.text(),
    st.sampled_from(["0", "-1", "40%", "1e9", "NaN", "none", "leader", "5s", "9" * 60, ""]),
    st.dates(),
)
trees = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)


def outcome(text: str) -> Config | None:
    try:
        return parse_config(text)
    except ConfigError:
        return None


def toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(each):08X}" for each in value) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(each)}" for key, each in value.items()) + "}"
    return hex(value) if isinstance(value, int) and value >= 0 else str(value)


def paths(
    table: dict[str, Any] | list[Any], path: tuple[str | int, ...] = ()
) -> list[tuple[str | int, ...]]:
    found = [path] if path else []
    entries = table.items() if isinstance(table, dict) else enumerate(table)
    for key, value in entries:
        here = (*path, key)
        found += paths(value, here) if isinstance(value, dict | list) else [here]
    return found


PATHS = paths(tomllib.loads(EXAMPLE))


@given(st.text())
def test_any_text_is_answered(text: str) -> None:
    outcome(text)


@given(st.sampled_from(PATHS), trees)
def test_any_value_in_any_place_is_answered(path: tuple[str | int, ...], value: object) -> None:
    table: Any = tomllib.loads(EXAMPLE)
    place = table
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    outcome("\n".join(f"{key} = {toml(each)}" for key, each in table.items()))


@given(st.sampled_from(PATHS), st.text(min_size=1), trees)
def test_a_key_nobody_knows_is_refused(
    path: tuple[str | int, ...], name: str, value: object
) -> None:
    table: Any = tomllib.loads(EXAMPLE)
    place = table
    for key in path[:-1]:
        place = place[key]
    if isinstance(place, dict):
        place[f"zz{name}"] = value
        assert outcome("\n".join(f"{key} = {toml(each)}" for key, each in table.items())) is None


@given(st.lists(st.integers(min_value=0, max_value=len(LINES) - 1), max_size=6))
def test_lines_left_out_are_answered(missing: list[int]) -> None:
    outcome("\n".join(line for index, line in enumerate(LINES) if index not in missing))


@given(st.integers(min_value=1, max_value=2**63 - 1))
def test_every_amount_is_read_as_written(raw: int) -> None:
    amount = f"{raw // 10**8}.{raw % 10**8:08d}"
    config = outcome(EXAMPLE.replace('allocation = "2500"', f'allocation = "{amount}"'))
    assert config is not None
    assert config.followers[0].mirrors[0].allocation == raw
