"""The decoder of recorded fills: real lines pass, hostile ones are named, nothing crashes."""

import json
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from slipstream._core import Side
from slipstream.errors import ConfigError
from slipstream.venues.hyperliquid.recorded import decode_fill, read_fills, read_meta

VECTORS = Path(__file__).parent.parent / "vectors"
COINS = {"BTC": None}
GOOD: dict[str, object] = {
    "coin": "BTC",
    "px": "64250.5",
    "sz": "0.015",
    "side": "A",
    "time": 1_784_481_319_714,
    "startPosition": "-1.5",
    "oid": 498_775_296_456,
    "tid": 34_218_219_901_335,
    "crossed": False,
    "liquidation": {"method": "market"},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)


def line(**changes: object) -> bytes:
    return json.dumps(GOOD | changes).encode()


def refusal(text: bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        decode_fill(text, "fills.jsonl:7", COINS)
    message = str(caught.value)
    assert message.startswith("fills.jsonl:7: ")
    assert len(message) < 400
    return message


def test_a_good_line_is_decoded_exactly() -> None:
    fill = decode_fill(line(), "f:1", COINS)
    assert (fill.side, fill.qty, fill.px) == (Side.SELL, 1_500_000, 6_425_050_000_000)
    assert fill.position_before == -150_000_000
    assert (fill.is_taker, fill.is_liquidation) == (False, True)
    assert fill.id.trade_id == "34218219901335"


@pytest.mark.parametrize(
    ("field", "found", "expected"),
    [
        ("px", "-1", "positive decimal text"),
        ("px", "0", "positive decimal text"),
        ("px", 64250.5, "positive decimal text"),
        ("px", "NaN", "positive decimal text"),
        ("px", "1e5", "positive decimal text"),
        ("sz", "9" * 40, "positive decimal text"),
        ("sz", "-0.1", "positive decimal text"),
        ("sz", None, "positive decimal text"),
        ("sz", "0.000000001", "at most 8 decimals"),
        ("startPosition", "one", "decimal text"),
        ("startPosition", [], "decimal text"),
        ("side", "C", "B or A"),
        ("side", "BUY", "text of 1 to 1"),
        ("coin", "DOGE", "a coin of the instrument table"),
        ("coin", "", "printable characters"),
        ("coin", 5, "printable characters"),
        ("time", "1784481319714", "a whole number"),
        ("time", -1, "a whole number"),
        ("time", 1.5, "a whole number"),
        ("tid", 10**40, "a whole number"),
        ("tid", True, "a whole number"),
        ("oid", None, "a whole number"),
        ("crossed", "yes", "true or false"),
        ("liquidation", 5, "an object or null"),
    ],
)
def test_a_wrong_field_is_named_with_what_was_found_and_expected(
    field: str, found: object, expected: str
) -> None:
    message = refusal(line(**{field: found}))
    assert f"field {field}: found " in message
    assert expected in message


@pytest.mark.parametrize("field", [key for key in GOOD if key not in {"crossed", "liquidation"}])
def test_a_missing_field_is_named(field: str) -> None:
    lacking = {key: value for key, value in GOOD.items() if key != field}
    assert f"field {field}: found nothing" in refusal(json.dumps(lacking).encode())


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (line()[:-9], "expected JSON"),
        (b"", "expected JSON"),
        (b"\xff\xfe", "expected JSON"),
        (b"[1]", "expected a JSON object"),
        (b"null", "expected a JSON object"),
        (b'{"tid": NaN}', "NaN is not a number"),
        (b'{"tid": 1, "tid": 2}', "appears twice in one object"),
        (b"[" * 60_000, "nested more than 64 deep"),
        (b'{"tid": ' + b"9" * 5_000 + b"}", "expected JSON"),
        (b" " * 70_000, "expected at most 65536"),
    ],
)
def test_a_line_that_is_no_object_is_refused(text: bytes, part: str) -> None:
    assert part in refusal(text)


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(text: bytes) -> None:
    with pytest.raises(ConfigError):
        decode_fill(text, "f:1", COINS)


@given(field=st.sampled_from(sorted(GOOD)), found=JSON)
def test_any_value_in_any_field_decodes_or_is_refused(field: str, found: object) -> None:
    try:
        fill = decode_fill(line(**{field: found}), "f:1", COINS)
    except ConfigError as error:
        assert str(error).startswith("f:1: ")  # noqa: PT017 - both ends are right
    else:
        assert fill.qty > 0
        assert fill.px > 0


def test_a_position_that_does_not_fit_is_refused() -> None:
    message = refusal(line(startPosition="90000000000", sz="9000000000", side="B"))
    assert "field sz: found '9000000000', expected a size that leaves a position" in message


def test_one_identity_with_two_contents_names_both_lines(tmp_path: Path) -> None:
    first, second = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    first.write_bytes(line() + b"\n\n" + line() + b"\n")
    second.write_bytes(line(px="64250.6") + b"\n")
    assert len(read_fills([first], COINS)) == 1
    with pytest.raises(ConfigError) as caught:
        read_fills([first, second], COINS)
    assert f"{second}:1" in str(caught.value)
    assert f"{first}:1" in str(caught.value)


def test_the_instrument_table_gives_the_venues_rules() -> None:
    table = read_meta(VECTORS / "hyperliquid_meta.json", notional_min=1_000_000_000)
    rules = table["HYPE"].instrument.rules
    assert (rules.qty_step, rules.qty_min, rules.px_step) == (10**6, 10**6, 10**4)
    assert (rules.px_digits_max, rules.notional_min) == (5, 10**9)
    assert table["xyz:SP500"].instrument.base == "SP500"


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("{}", "field universe: found nothing"),
        ('{"universe": {}}', "a list of instruments"),
        ('{"universe": [5]}', "universe[0]: found 5"),
        ('{"universe": [{"name": "A", "szDecimals": 7, "maxLeverage": 1}]}', "szDecimals"),
        ('{"universe": [{"name": "A", "szDecimals": true, "maxLeverage": 1}]}', "szDecimals"),
        ('{"universe": [{"name": "A", "szDecimals": 1, "maxLeverage": 0}]}', "maxLeverage"),
        ('{"universe": [{"name": "A", "szDecimals": 1}]}', "maxLeverage: found nothing"),
        ("{", "expected JSON"),
    ],
)
def test_a_broken_instrument_table_is_refused(tmp_path: Path, content: str, part: str) -> None:
    path = tmp_path / "meta.json"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        read_meta(path)
    assert str(caught.value).startswith(str(path))
    assert part in str(caught.value)


def test_a_name_twice_in_the_table_is_refused(tmp_path: Path) -> None:
    row = '{"name": "A", "szDecimals": 1, "maxLeverage": 1}'
    path = tmp_path / "meta.json"
    path.write_text(f'{{"universe": [{row}, {row}]}}')
    with pytest.raises(ConfigError, match=r"universe\[1\]: field name"):
        read_meta(path)
