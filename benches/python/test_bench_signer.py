"""What a signature costs, beside bare libsecp256k1 and eth-account end to end.

Run with a release build: ``pytest benches/python/test_bench_signer.py --benchmark-enable``.
The bar (hash and sign one Aster order within 1.3 times a bare signature, and five times
faster than eth-account) compares medians of one run; no assertion is made on wall time.
"""

import coincurve
import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from pytest_benchmark.fixture import BenchmarkFixture

from slipstream._core import (
    KeyEncryptionKey,
    SealedKey,
    Signer,
    TypedSchema,
    keccak256,
    sign_many,
)

SECRET = bytes.fromhex("4fd0a42218f3eae43a6ce26d22544e986139a01e5b34a62db53757ffca81bae1")
USER = "0x63DD5aCC6b1aa0f563956C0e534DD30B6dcF7C4e"
ORDER = [
    ("symbol", "BTCUSDT"),
    ("side", "BUY"),
    ("type", "LIMIT"),
    ("positionSide", "BOTH"),
    ("timeInForce", "IOC"),
    ("quantity", "0.297"),
    ("price", "73685.5"),
    ("newClientOrderId", "s17f3a000123"),
    ("newOrderRespType", "RESULT"),
    ("nonce", "1748310859508867"),
]
DOMAIN = {
    "name": "AsterSignTransaction",
    "version": "1",
    "chainId": 1666,
    "verifyingContract": "0x" + "00" * 20,
}
MESSAGE_TYPES = {"Message": [{"name": "msg", "type": "string"}]}
BATCH_COUNT = 32


@pytest.fixture(scope="module")
def live() -> Signer:
    kek, _, _ = KeyEncryptionKey.create(
        bytearray(b"bench"), salt=bytes(16), memory_kib=8192, passes=1, lanes=1
    )
    labels = {"entry_id": "bench", "venue": "aster", "kind": "secp256k1"}
    record = kek.seal_key(bytearray(SECRET), **labels)
    sealed = SealedKey(
        **labels, address=record.address, nonce=record.nonce, ciphertext=record.ciphertext
    )
    return Signer.open(sealed, kek, "aster-mainnet", user=USER)


@pytest.fixture(scope="module")
def text(live: Signer) -> str:
    return live.sign("order", ORDER).decode().partition("&signature=")[0]


def test_keccak_of_one_request(benchmark: BenchmarkFixture, text: str) -> None:
    benchmark(keccak256, text.encode())


def test_digest_of_one_request(benchmark: BenchmarkFixture, text: str) -> None:
    schema = TypedSchema("Message", {"Message": [("msg", "string")]}, DOMAIN)

    benchmark(schema.digest, text)


@pytest.mark.benchmark(group="one signature")
def test_sign_one_order_live(benchmark: BenchmarkFixture, live: Signer) -> None:
    benchmark(live.sign, "order", ORDER)


@pytest.mark.benchmark(group="one signature")
def test_floor_bare_signature_of_coincurve(benchmark: BenchmarkFixture) -> None:
    key = coincurve.PrivateKey(SECRET)

    benchmark(key.sign_recoverable, bytes(range(32)), hasher=None)


@pytest.mark.benchmark(group="one signature")
def test_peer_eth_account_end_to_end(benchmark: BenchmarkFixture, text: str) -> None:
    message = {"msg": text}

    def sign() -> bytes:
        return bytes(Account.sign_typed_data(SECRET, DOMAIN, MESSAGE_TYPES, message).signature)

    benchmark(sign)


@pytest.mark.benchmark(group="32 signatures")
def test_sign_many(benchmark: BenchmarkFixture, live: Signer) -> None:
    benchmark(sign_many, [(live, ("order", ORDER))] * BATCH_COUNT)


@pytest.mark.benchmark(group="32 signatures")
def test_floor_bare_signatures_of_coincurve(benchmark: BenchmarkFixture) -> None:
    key = coincurve.PrivateKey(SECRET)

    def sign() -> list[bytes]:
        return [key.sign_recoverable(bytes(range(32)), hasher=None) for _ in range(BATCH_COUNT)]

    benchmark(sign)


def test_the_peers_sign_the_same_message(live: Signer, text: str) -> None:
    peer = Account.sign_typed_data(SECRET, DOMAIN, MESSAGE_TYPES, {"msg": text})
    full = encode_typed_data(DOMAIN, MESSAGE_TYPES, {"msg": text})

    assert live.sign("order", ORDER).decode() == f"{text}&signature=0x{peer.signature.hex()}"
    assert Account.recover_message(full, signature=peer.signature) == live.address
