"""The EIP-712 encoder against the recorded vectors and eth_account."""

import json
from pathlib import Path
from typing import Any

import pytest
from eth_account.messages import encode_typed_data
from eth_utils import keccak, to_checksum_address
from hypothesis import given, settings
from hypothesis import strategies as st

from slipstream._core import SchemaError, TypedSchema, keccak256

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "aster_eip712.json").read_text())
DOMAIN_TYPES = {
    "name": "string",
    "version": "string",
    "chainId": "uint256",
    "verifyingContract": "address",
    "salt": "bytes32",
}
ADDRESS = "0x63DD5aCC6b1aa0f563956C0e534DD30B6dcF7C4e"


def aster_domain(chain_id: int) -> dict[str, object]:
    return {
        "name": "AsterSignTransaction",
        "version": "1",
        "chainId": chain_id,
        "verifyingContract": "0x" + "00" * 20,
    }


def reachable(name: str, types: dict[str, list[tuple[str, str]]]) -> set[str]:
    """Return the structs a struct needs, itself included: eth_account takes no others."""
    found, open_names = set(), [name]
    while open_names:
        if (found_name := open_names.pop()) in types and found_name not in found:
            found.add(found_name)
            open_names += [kind.partition("[")[0] for _, kind in types[found_name]]
    return found


def oracle(
    primary: str,
    types: dict[str, list[tuple[str, str]]],
    domain: dict[str, object],
    message: dict[str, object],
) -> tuple[bytes, bytes, bytes]:
    """Return (domain separator, struct hash, digest) as eth_account makes them."""
    types = {name: types[name] for name in reachable(primary, types)}
    named = {
        name: [{"name": field, "type": kind} for field, kind in fields]
        for name, fields in types.items()
    }
    named["EIP712Domain"] = [
        {"name": field, "type": kind} for field, kind in DOMAIN_TYPES.items() if field in domain
    ]
    full = {"primaryType": primary, "types": named, "domain": domain, "message": message}
    signable = encode_typed_data(full_message=full)
    joined = b"\x19" + signable.version + signable.header + signable.body
    return signable.header, signable.body, keccak(joined)


@given(st.binary(max_size=600))
def test_keccak_equals_that_of_eth_utils(message: bytes) -> None:
    assert keccak256(message) == keccak(message)


def test_keccak_of_nothing_is_the_published_one() -> None:
    published = "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert keccak256(b"").hex() == published


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=lambda vector: vector["name"])
def test_the_recorded_messages_have_the_recorded_hashes(vector: dict[str, Any]) -> None:
    chain_id = vector["chain_id"]
    schema = TypedSchema("Message", {"Message": [("msg", "string")]}, aster_domain(chain_id))

    assert schema.type_hash.hex() == VECTORS["message_type_hash"]
    assert schema.domain_separator.hex() == VECTORS["domain_separators"][str(chain_id)]
    assert schema.digest(vector["text"]).hex() == vector["digest"]
    if vector["struct_hash"] is not None:
        assert schema.struct_hash(vector["text"]).hex() == vector["struct_hash"]


@pytest.mark.parametrize("vector", VECTORS["structs"], ids=lambda vector: vector["name"])
def test_the_recorded_structs_have_the_recorded_hashes(vector: dict[str, Any]) -> None:
    primary = vector["primary_type"]
    types = {primary: [tuple(field) for field in vector["fields"]]}
    schema = TypedSchema(primary, types, aster_domain(vector["chain_id"]))

    assert schema.type_hash.hex() == vector["type_hash"]
    assert schema.struct_hash(*vector["values"]).hex() == vector["struct_hash"]
    assert schema.digest(*vector["values"]).hex() == vector["digest"]


def leaf_types() -> st.SearchStrategy[str]:
    widths = st.integers(1, 32)
    return st.one_of(
        st.sampled_from(["address", "bool", "bytes", "string"]),
        widths.map(lambda width: f"bytes{width}"),
        widths.map(lambda width: f"uint{8 * width}"),
        widths.map(lambda width: f"int{8 * width}"),
    )


def array_suffixes() -> st.SearchStrategy[str]:
    return st.sampled_from(["", "", "", "[]", "[2]", "[][]", "[2][]"])


@st.composite
def schemas(draw: st.DrawFn) -> dict[str, list[tuple[str, str]]]:
    """Draw up to four structs; each may nest those after it, so that values stay finite."""
    names = ["Root", "Zeta", "Alpha", "Mid"][: draw(st.integers(1, 4))]
    types = {}
    for index, name in enumerate(names):
        bases = leaf_types()
        if later := names[index + 1 :]:
            bases = st.one_of(bases, st.sampled_from(later))
        kinds = draw(st.lists(st.tuples(bases, array_suffixes()), min_size=1, max_size=4))
        fields = [(f"f{place}", base + suffix) for place, (base, suffix) in enumerate(kinds)]
        types[name] = fields
    return types


def values_of(types: dict[str, list[tuple[str, str]]], kind: str) -> st.SearchStrategy[object]:
    if kind.endswith("]"):
        inner, _, length = kind[:-1].rpartition("[")
        sizes = {"min_size": int(length), "max_size": int(length)} if length else {"max_size": 2}
        return st.lists(values_of(types, inner), **sizes)
    if kind in types:
        fields = {name: values_of(types, inner) for name, inner in types[kind]}
        return st.fixed_dictionaries(fields)
    if kind.startswith("uint"):
        return st.integers(0, 2 ** int(kind[4:]) - 1)
    if kind.startswith("int"):
        half = 2 ** (int(kind[3:]) - 1)
        return st.integers(-half, half - 1)
    if kind.startswith("bytes") and kind != "bytes":
        return st.binary(min_size=int(kind[5:]), max_size=int(kind[5:]))
    simple = {
        "address": st.binary(min_size=20, max_size=20).map(to_checksum_address),
        "bool": st.booleans(),
        "bytes": st.binary(max_size=70),
        "string": st.text(max_size=70),
    }
    return simple[kind]


def domains() -> st.SearchStrategy[dict[str, object]]:
    fields = {name: values_of({}, kind) for name, kind in DOMAIN_TYPES.items()}
    return st.fixed_dictionaries({"name": fields.pop("name")}, optional=fields)


@settings(max_examples=150, deadline=None)
@given(types=schemas(), domain=domains(), draws=st.data())
def test_any_schema_and_message_hash_as_in_eth_account(
    types: dict[str, list[tuple[str, str]]], domain: dict[str, object], draws: st.DataObject
) -> None:
    message = draws.draw(values_of(types, "Root"))
    values = [message[name] for name, _ in types["Root"]]

    schema = TypedSchema("Root", types, dict(reversed(domain.items())))

    separator, body, digest = oracle("Root", types, domain, message)
    assert schema.domain_separator == separator
    assert schema.struct_hash(*values) == body
    assert schema.digest(*values) == digest


def test_a_struct_is_taken_by_name_or_by_position() -> None:
    types = {"Order": [("price", "uint64"), ("leg", "Leg")], "Leg": [("a", "int8"), ("b", "bool")]}
    schema = TypedSchema("Order", types, {"name": "x"})

    by_name = schema.digest(1, {"b": True, "a": -1})

    assert by_name == schema.digest(1, (-1, True)) == schema.digest(1, [-1, True])


def test_a_struct_may_hold_a_list_of_itself() -> None:
    types = {"Person": [("name", "string"), ("children", "Person[]")]}
    schema = TypedSchema("Person", types, {"name": "x"})
    message = {"name": "a", "children": [{"name": "b", "children": []}]}

    _, body, _ = oracle("Person", types, {"name": "x"}, message)

    assert schema.struct_hash("a", message["children"]) == body


NESTED = {"Order": [("items", "Item[]"), ("who", "address")], "Item": [("price", "uint64")]}


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (([{"price": 1}, {"price": 2**64}], ADDRESS), "Order.items[1].price: expected uint64"),
        (([{"price": -1}], ADDRESS), "found a negative integer of 1 bits"),
        (([{"price": 2**300}], ADDRESS), "more than 256 bits"),
        (([{"price": True}], ADDRESS), "found a bool"),
        (([{"price": "1"}], ADDRESS), "found text"),
        (([{"price": 1.0}], ADDRESS), "found float"),
        (([{"price": None}], ADDRESS), "found NoneType"),
        (([{}], ADDRESS), "Order.items[0].price: expected uint64, found nothing"),
        (([{"price": 1, "extra": 2}], ADDRESS), "Order.items[0]: expected only the fields of Item"),
        (([[1, 2]], ADDRESS), "Order.items[0]: expected 1 values"),
        (({"price": 1}, ADDRESS), "Order.items: expected Item[], found a mapping of 1"),
        (([], ADDRESS[:-1]), "Order.who: expected address"),
        (([], ADDRESS.swapcase()), "expected address"),
        (([], ADDRESS.replace("DD5", "dD5")), "checksum"),
        (([], bytes(19)), "Order.who: expected address, found 19 bytes"),
        (([],), "Order: expected 2 values for its fields, found 1"),
        (([], ADDRESS, 3), "found 3"),
    ],
)
def test_an_unfit_value_is_refused_by_its_path(values: tuple[object, ...], problem: str) -> None:
    schema = TypedSchema("Order", NESTED, {"name": "x"})

    with pytest.raises(SchemaError) as caught:
        schema.digest(*values)

    assert problem in str(caught.value)


def test_a_value_nested_without_end_is_refused() -> None:
    schema = TypedSchema("Order", NESTED, {"name": "x"})
    endless: list[object] = []
    endless.append(endless)

    with pytest.raises(SchemaError, match="nested deeper"):
        schema.digest(endless, ADDRESS)


@pytest.mark.parametrize("width", [8, 16, 128, 248, 256])
def test_integers_are_taken_up_to_their_bounds_and_no_further(width: int) -> None:
    signed = TypedSchema("T", {"T": [("x", f"int{width}")]}, {"name": "x"})
    unsigned = TypedSchema("T", {"T": [("x", f"uint{width}")]}, {"name": "x"})
    half = 2 ** (width - 1)

    assert len({signed.digest(-half), signed.digest(half - 1), signed.digest(-1)}) == 3
    assert unsigned.digest(0) != unsigned.digest(2 * half - 1)
    for schema, beyond in [(signed, half), (signed, -half - 1), (unsigned, 2 * half)]:
        with pytest.raises(SchemaError, match=f"int{width}"):
            schema.digest(beyond)


@pytest.mark.parametrize(
    ("primary", "types", "domain", "problem"),
    [
        ("Missing", {"T": [("x", "bool")]}, {}, "Missing: the primary type"),
        ("T", {"T": [("x", "uint7")]}, {}, "T.x: expected address"),
        ("T", {"T": [("x", "uint264")]}, {}, "T.x: expected"),
        ("T", {"T": [("x", "uint08")]}, {}, "T.x: expected"),
        ("T", {"T": [("x", "uint")]}, {}, "T.x: expected"),
        ("T", {"T": [("x", "bytes0")]}, {}, "T.x: expected"),
        ("T", {"T": [("x", "bytes33")]}, {}, "T.x: expected"),
        ("T", {"T": [("x", "Unknown")]}, {}, 'found "Unknown"'),
        ("T", {"T": [("x", "bool[")]}, {}, "T.x: expected [] or [length]"),
        ("T", {"T": [("x", "bool[0]")]}, {}, "T.x: expected [] or [length]"),
        ("T", {"T": [("x", "bool[]x")]}, {}, "T.x: expected [] or [length]"),
        ("T", {"T": [("x", "bool"), ("x", "bool")]}, {}, "T.x: this field is defined twice"),
        ("T", {"T": [("a b", "bool")]}, {}, "T.a b: expected the name"),
        ("T", {"T": [("x", "T")]}, {}, "T: this struct contains itself"),
        ("T", {"T": [("x", "U[2]")], "U": [("y", "T")]}, {}, "contains itself"),
        ("uint8", {"uint8": [("x", "bool")]}, {}, "uint8: expected the name of a struct"),
        ("T", {"T": [("x", "bool")], "EIP712Domain": []}, {}, "leave it out"),
        ("T", {"T": [("x", "bool")]}, {"chain": 1}, "EIP712Domain.chain: expected name"),
        ("T", {"T": [("x", "bool")]}, {"chainId": "1"}, "EIP712Domain.chainId: expected uint256"),
        ("T", {"T": [("x", "bool")]}, {"salt": b"1"}, "EIP712Domain.salt: expected bytes32"),
        ("T", {"T": "bool"}, {}, "types.T: expected a sequence"),
        ("T", {"T": [("x", 1)]}, {}, "types.T: expected a sequence"),
        ("T", {1: []}, {}, "types: expected text"),
    ],
)
def test_an_unfit_schema_is_refused_by_its_place(
    primary: str, types: dict[str, list[tuple[str, str]]], domain: dict[str, object], problem: str
) -> None:
    with pytest.raises(SchemaError) as caught:
        TypedSchema(primary, types, domain)

    assert problem in str(caught.value)
