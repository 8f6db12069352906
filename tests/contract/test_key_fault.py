"""The scanner for repeated keys against the standard library's parser."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from slipstream._core import key_fault


class Pairs(list[tuple[str, Any]]):
    """An object that may have a key twice."""


KEYS = st.text(alphabet="abE {}[]:,", min_size=0, max_size=3)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(st.tuples(KEYS, inner), max_size=4).map(Pairs)
    ),
    max_leaves=12,
)


def written(value: object) -> str:
    """Write JSON, repeated keys and all."""
    if isinstance(value, Pairs):
        return "{" + ", ".join(f"{json.dumps(k)}: {written(v)}" for k, v in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


def has_repeated_key(text: str) -> bool:
    """Return what the standard library's parser sees."""
    found = False

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        found = found or len(dict(pairs)) != len(pairs)
        return dict(pairs)

    json.loads(text, object_pairs_hook=note)
    return found


@given(VALUES)
def test_repeated_keys_are_found_and_no_others(value: object) -> None:
    text = written(value)
    assert (key_fault(text.encode()) is not None) == has_repeated_key(text)


def test_the_fault_names_the_key() -> None:
    assert key_fault(b'{"a":1,"b":{"a":2},"a":3}') == 'key "a" appears twice in one object'


def test_a_key_in_disguise_is_refused() -> None:
    assert json.loads(r'{"a":1,"\u0061":2}') == {"a": 2}
    fault = key_fault(rb'{"a":1,"\u0061":2}')
    assert fault is not None
    assert "escapes" in fault


def test_escapes_in_values_are_nobodys_key() -> None:
    assert key_fault(rb'{"a":"\"b\":1,\"b\":2\\","c":["x","x"]}') is None


def test_nesting_has_a_bound() -> None:
    assert key_fault(b"[" * 64 + b"]" * 64) is None
    assert key_fault(b"[" * 100_000) == "nested more than 64 deep"


@given(st.binary(max_size=200))
def test_any_bytes_are_scanned_without_harm(raw: bytes) -> None:
    fault = key_fault(raw)
    assert fault is None or isinstance(fault, str)
