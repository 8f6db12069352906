"""Signers against the recorded vectors, eth_account and libsecp256k1 (coincurve)."""

import copy
import json
import pickle
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import coincurve
import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from slipstream._core import (
    KeyEncryptionKey,
    KeystoreError,
    SchemaError,
    SealedKey,
    Signer,
    SignerError,
    TypedSchema,
    keccak256,
    recover_address,
    sign_many,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "aster_eip712.json").read_text())
SECRET = bytes.fromhex(VECTORS["private_key"])
ADDRESS = VECTORS["signer"]
NONCE = ("nonce", "1748310859508867")
ORDER = [
    ("symbol", "BTCUSDT"),
    ("side", "BUY"),
    ("type", "LIMIT"),
    ("positionSide", "BOTH"),
    ("timeInForce", "IOC"),
    ("quantity", "0.297"),
    ("price", "73685.5"),
    ("newClientOrderId", "s1-7f3a:000123/0_x.9"),
    NONCE,
]
GROUP_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
CHAIN_PURPOSES = {1666: "aster-mainnet", 714: "aster-testnet"}


def domain(chain_id: int) -> dict[str, object]:
    return {
        "name": "AsterSignTransaction",
        "version": "1",
        "chainId": chain_id,
        "verifyingContract": "0x" + "00" * 20,
    }


def message_schema(chain_id: int = 1666) -> TypedSchema:
    return TypedSchema("Message", {"Message": [("msg", "string")]}, domain(chain_id))


def aster_typed_data(text: str, chain_id: int) -> dict[str, object]:
    return {
        "domain": domain(chain_id),
        "primaryType": "Message",
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "Message": [{"name": "msg", "type": "string"}],
        },
        "message": {"msg": text},
    }


def sealed_key(kek: KeyEncryptionKey, secret: bytes, venue: str = "aster") -> SealedKey:
    record = kek.seal_key(bytearray(secret), entry_id="demo", venue=venue, kind="secp256k1")
    return SealedKey(
        entry_id="demo",
        venue=venue,
        kind="secp256k1",
        address=record.address,
        nonce=record.nonce,
        ciphertext=record.ciphertext,
    )


@pytest.fixture(scope="module")
def kek() -> KeyEncryptionKey:
    made, _, _ = KeyEncryptionKey.create(
        bytearray(b"test"), salt=bytes(16), memory_kib=8192, passes=1, lanes=1
    )
    return made


@pytest.fixture(scope="module")
def live(kek: KeyEncryptionKey) -> Signer:
    return Signer.open(sealed_key(kek, SECRET), kek, "aster-mainnet")


@pytest.fixture(scope="module")
def tool() -> Signer:
    return Signer.from_secret(SECRET, message_schema())


LIVE_VECTORS = [vector for vector in VECTORS["messages"] if vector["operation"]]


@pytest.mark.parametrize("vector", LIVE_VECTORS, ids=lambda vector: vector["name"])
def test_a_live_signer_writes_and_signs_the_recorded_request(
    kek: KeyEncryptionKey, vector: dict[str, Any]
) -> None:
    user = VECTORS["user"] if vector["has_user"] else None
    purpose = CHAIN_PURPOSES[vector["chain_id"]]
    signer = Signer.open(sealed_key(kek, SECRET), kek, purpose, user=user)
    parameters = [tuple(pair) for pair in vector["parameters"]]

    signed = signer.sign(vector["operation"], parameters)

    expected = f"{vector['text']}&signature=0x{vector['signature']}"
    assert signed.decode() == expected
    assert sign_many([(signer, (vector["operation"], parameters))]) == [signed]


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=lambda vector: vector["name"])
def test_a_schema_signer_signs_the_recorded_messages(vector: dict[str, Any]) -> None:
    signer = Signer.from_secret(SECRET, message_schema(vector["chain_id"]))

    assert signer.sign(vector["text"]).hex() == vector["signature"]
    assert signer.address == ADDRESS


@pytest.mark.parametrize("vector", VECTORS["structs"], ids=lambda vector: vector["name"])
def test_a_schema_signer_signs_the_recorded_structs(vector: dict[str, Any]) -> None:
    fields = [tuple(field) for field in vector["fields"]]
    primary = vector["primary_type"]
    schema = TypedSchema(primary, {primary: fields}, domain(vector["chain_id"]))
    signer = Signer.from_secret(SECRET, schema)

    assert signer.sign(*vector["values"]).hex() == vector["signature"]


@given(
    secret=st.integers(1, GROUP_ORDER - 1).map(lambda number: number.to_bytes(32)),
    quantity=st.decimals("0.001", 10**6, places=3).map(str),
    symbol=st.text(
        st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=12
    ),
)
def test_any_order_verifies_with_eth_account_and_decodes_to_what_was_given(
    kek: KeyEncryptionKey, secret: bytes, quantity: str, symbol: str
) -> None:
    signer = Signer.open(sealed_key(kek, secret), kek, "aster-testnet")
    order = [("symbol", symbol), *ORDER[1:5], ("quantity", quantity), *ORDER[6:]]

    text, _, signature = signer.sign("order", order).decode().rpartition("&signature=0x")

    digest_input = encode_typed_data(full_message=aster_typed_data(text, 714))
    account = Account.from_key(secret)
    assert Account.recover_message(digest_input, signature=signature) == account.address
    assert Account.sign_message(digest_input, secret).signature.hex() == signature
    assert parse_qsl(text, strict_parsing=True) == [*order, ("signer", account.address)]


@given(text=st.text(max_size=300))
def test_a_signature_equals_libsecp256k1s_and_has_a_low_s(text: str) -> None:
    schema = message_schema()
    digest = schema.digest(text)

    signature = Signer.from_secret(SECRET, schema).sign(text)

    bare = coincurve.PrivateKey(SECRET).sign_recoverable(digest, hasher=None)
    assert signature == bare[:64] + bytes([bare[64] + 27])
    assert 0 < int.from_bytes(signature[32:64]) <= GROUP_ORDER // 2
    assert recover_address(digest, signature) == ADDRESS
    assert recover_address(digest, bare) == ADDRESS


def test_a_high_s_is_not_recovered() -> None:
    digest = keccak256(b"malleable")
    bare = coincurve.PrivateKey(SECRET).sign_recoverable(digest, hasher=None)
    mirrored = GROUP_ORDER - int.from_bytes(bare[32:64])
    high = bare[:32] + mirrored.to_bytes(32) + bytes([bare[64] ^ 1])

    with pytest.raises(SignerError, match="low s"):
        recover_address(digest, high)


@pytest.mark.parametrize(
    ("digest", "signature", "problem"),
    [
        (bytes(31), bytes(65), "digest: expected 32 bytes, found 31"),
        (bytes(32), bytes(64), "expected 65 bytes"),
        (bytes(32), bytes(64) + b"\x02", "expected v 27 or 28"),
        (bytes(32), bytes(64) + b"\x1d", "expected v 27 or 28"),
        (bytes(32), bytes(65), "no public key"),
        (bytes(32), b"\xff" * 32 + bytes(32) + b"\x1b", "no public key"),
    ],
)
def test_recovery_refuses_what_is_no_signature(
    digest: bytes, signature: bytes, problem: str
) -> None:
    with pytest.raises(SignerError, match=problem):
        recover_address(digest, signature)


@pytest.mark.parametrize(
    "operation",
    [
        "transfer",
        "withdraw",
        "approveAgent",
        "registerAndApproveAgent",
        "updateAgent",
        "approve_builder",
        "batch_orders",
        "position_margin",
        "",
        "ORDER",
        "order ",
        "asset/wallet/transfer",
    ],
)
def test_operations_outside_the_closed_list_are_refused(live: Signer, operation: str) -> None:
    with pytest.raises(SignerError, match="closed list"):
        live.sign(operation, [NONCE])


@pytest.mark.parametrize(
    "name",
    [
        "signature",
        "user",
        "signer",
        "asset",
        "amount",
        "kindType",
        "clientTranId",
        "agentAddress",
        "agentName",
        "canWithdraw",
        "expired",
        "signatureChainId",
        "maxFeeRate",
        "Symbol",
        "symbol&amount",
        "",
    ],
)
@pytest.mark.parametrize("operation", ["order", "noop", "income"])
def test_names_outside_the_closed_list_are_refused(live: Signer, operation: str, name: str) -> None:
    given_order = ORDER[:-1] if operation == "order" else []

    with pytest.raises(SignerError, match="not allowed"):
        live.sign(operation, [*given_order, (name, "1"), NONCE])


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ([*ORDER[:2], ORDER[0], *ORDER[2:]], "'?\"?symbol.*given twice"),
        ([*ORDER, NONCE], "nonce.*given twice"),
        (ORDER[:-1], "nonce.*missing"),
        (ORDER[1:], "symbol.*missing"),
        ([NONCE, *ORDER[:-1]], "nonce.*last"),
        ([*ORDER[:-1], ("nonce", "174831085950886")], "16 decimal digits"),
        ([*ORDER[:-1], ("nonce", "17483108595088670")], "16 decimal digits"),
        ([*ORDER[:-1], ("nonce", "-748310859508867")], "16 decimal digits"),
        ([*ORDER[:-1], ("nonce", "174831085950886\uff17")], "16 decimal digits"),
        ([*ORDER[:5], ("quantity", "1e5"), *ORDER[6:]], "order.quantity: expected decimal"),
        ([*ORDER[:5], ("quantity", "-1"), *ORDER[6:]], "order.quantity: expected decimal"),
        ([*ORDER[:5], ("quantity", "1&price=2"), *ORDER[6:]], "order.quantity"),
        ([*ORDER[:5], ("quantity", ""), *ORDER[6:]], "order.quantity"),
        ([("symbol", "BTC USDT"), *ORDER[1:]], "order.symbol"),
        ([("symbol", "BTC\nUSDT"), *ORDER[1:]], "order.symbol"),
        ([("symbol", "B" * 65), *ORDER[1:]], "order.symbol"),
        ([("symbol", "\ud800"), *ORDER[1:]], "Unicode"),
        ([*ORDER[:7], ("newClientOrderId", "x" * 37), NONCE], "newClientOrderId"),
        ([*ORDER[:7], ("newClientOrderId", "a b"), NONCE], "newClientOrderId"),
        ([*ORDER[:7], ("reduceOnly", "TRUE"), NONCE], "true or false"),
        ([*ORDER[:-1], ("nonce", 1748310859508867)], "sequence of"),
        ("order", "sequence of"),
        (None, "sequence of"),
        ([("symbol",)], "sequence of"),
    ],
)
def test_malformed_parameters_are_refused(live: Signer, parameters: object, problem: str) -> None:
    with pytest.raises(SignerError, match=problem):
        live.sign("order", parameters)


@pytest.mark.parametrize("values", [(), ("order",), ("order", ORDER, 1), (b"x", ORDER)])
def test_a_live_signer_takes_nothing_but_operation_and_parameters(
    live: Signer, values: tuple[object, ...]
) -> None:
    with pytest.raises(SignerError, match="operation, parameters"):
        live.sign(*values)


def test_a_refusal_does_not_repeat_the_value(live: Signer) -> None:
    with pytest.raises(SignerError) as caught:
        live.sign("order", [*ORDER[:5], ("quantity", "hunter2"), *ORDER[6:]])

    assert "hunter2" not in str(caught.value)


def test_sign_many_is_total_and_keeps_the_order(live: Signer, tool: Signer) -> None:
    class Unfit:
        pass

    jobs = [
        (live, ("order", ORDER)),
        (live, ("transfer", [NONCE])),
        (tool, ["any text"]),
        (tool, (1,)),
        (live, None),
        Unfit(),
        (Unfit(), ("order", ORDER)),
        (live, ["noop", (NONCE,)]),
    ]

    results = sign_many(jobs)

    kinds = [isinstance(result, SignerError) for result in results]
    assert kinds == [False, True, False, True, True, True, True, False]
    assert results[0] == live.sign("order", ORDER)
    assert results[2] == tool.sign("any text")
    assert results[7] == live.sign("noop", [NONCE])
    assert "Message.msg" in str(results[3])
    assert sign_many([]) == []


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_keys_cannot_be_pickled(
    live: Signer, tool: Signer, kek: KeyEncryptionKey, protocol: int
) -> None:
    for holder in (live, tool, kek):
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(holder, protocol)


def test_keys_cannot_be_copied_or_extended(live: Signer, kek: KeyEncryptionKey) -> None:
    for holder in (live, kek):
        with pytest.raises(TypeError):
            copy.copy(holder)
        with pytest.raises(TypeError):
            copy.deepcopy(holder)
        with pytest.raises(AttributeError):
            holder.secret = b""


def test_no_attribute_or_text_of_a_holder_shows_the_key(
    live: Signer, tool: Signer, kek: KeyEncryptionKey
) -> None:
    number = int.from_bytes(SECRET)
    for holder in (live, tool, kek, sealed_key(kek, SECRET)):
        shown = [repr(holder), str(holder)]
        for name in dir(holder):
            found = getattr(holder, name)
            shown.append(repr(found))
        for text in shown:
            assert SECRET.hex() not in text.lower()
            assert repr(SECRET) not in text
            assert str(number) not in text


@pytest.mark.parametrize(
    "secret",
    [
        bytes(32),
        bytes(31),
        bytes(33),
        b"",
        b"\xff" * 32,
        GROUP_ORDER.to_bytes(32),
        (GROUP_ORDER + 1).to_bytes(32),
    ],
)
def test_bytes_that_are_no_key_are_refused(kek: KeyEncryptionKey, secret: bytes) -> None:
    with pytest.raises(SignerError, match="secret"):
        Signer.from_secret(secret, message_schema())
    with pytest.raises(KeystoreError, match="demo"):
        sealed_key(kek, secret)


@pytest.mark.parametrize("number", [1, 255, 256, GROUP_ORDER - 1, GROUP_ORDER - 256])
def test_keys_at_the_bounds_are_accepted(number: int) -> None:
    secret = number.to_bytes(32)

    signer = Signer.from_secret(secret, message_schema())

    assert signer.address == Account.from_key(secret).address


@pytest.mark.parametrize("purpose", ["", "aster", "aster-mainnet ", "hyperliquid"])
def test_an_unknown_purpose_is_refused(kek: KeyEncryptionKey, purpose: str) -> None:
    with pytest.raises(SignerError, match="purpose"):
        Signer.open(sealed_key(kek, SECRET), kek, purpose)


def test_a_key_of_another_venue_is_refused(kek: KeyEncryptionKey) -> None:
    with pytest.raises(SignerError, match="venue"):
        Signer.open(sealed_key(kek, SECRET, "hyperliquid"), kek, "aster-mainnet")


@pytest.mark.parametrize(
    "user",
    ["", "0x", "63DD5aCC6b1aa0f563956C0e534DD30B6dcF7C4e", ADDRESS.swapcase(), "0x" + "g" * 40],
)
def test_a_malformed_user_is_refused(kek: KeyEncryptionKey, user: str) -> None:
    with pytest.raises(SignerError, match="user"):
        Signer.open(sealed_key(kek, SECRET), kek, "aster-mainnet", user=user)


def test_many_signers_share_locked_pages_and_keep_their_own_keys() -> None:
    secrets = [(7919 * index + 1).to_bytes(32) for index in range(700)]
    schema = message_schema()
    signers = [Signer.from_secret(secret, schema) for secret in secrets]
    del signers[::3]
    kept = [secret for index, secret in enumerate(secrets) if index % 3]
    signers += [Signer.from_secret(secret, schema) for secret in secrets[::3]]

    for secret, signer in zip([*kept, *secrets[::3]], signers, strict=True):
        public = coincurve.PublicKey.from_secret(secret).format(compressed=False)
        assert signer.address.lower() == "0x" + keccak256(public[1:])[12:].hex()


def test_a_schema_signer_names_the_field_it_refuses(tool: Signer) -> None:
    with pytest.raises(SchemaError, match=r"Message\.msg: expected string, found"):
        tool.sign(7)
    with pytest.raises(SchemaError, match="expected 1 values"):
        tool.sign("a", "b")
