"""Sealed entries of the core: opened again, and refused after any change."""

import hashlib
from typing import Any

import pytest
from eth_account import Account

from slipstream._core import (
    KeyEncryptionKey,
    KeystoreError,
    SealedKey,
    SealedKeyRecord,
    Signer,
    SignerError,
)

SALT = bytes(range(16))
CHEAP = {"salt": SALT, "memory_kib": 8192, "passes": 1, "lanes": 1}
LABEL = {"entry_id": "alice", "venue": "aster", "kind": "secp256k1"}
SECRET = hashlib.sha256(b"a key for tests").digest()
PURPOSE = "aster-testnet"

Created = tuple[KeyEncryptionKey, bytes, bytes]


@pytest.fixture(scope="module")
def created() -> tuple[KeyEncryptionKey, bytes, bytes]:
    return KeyEncryptionKey.create(bytearray(b"open sesame"), **CHEAP)


@pytest.fixture
def fields(created: Created) -> dict[str, object]:
    record = created[0].seal_key(bytearray(SECRET), **LABEL)
    return LABEL | {
        "address": record.address,
        "nonce": record.nonce,
        "ciphertext": record.ciphertext,
    }


def unwrap(created: Created, **changes: object) -> KeyEncryptionKey:
    _, wrapped, wrap_nonce = created
    given = CHEAP | {"wrapped": wrapped, "wrap_nonce": wrap_nonce} | changes
    passphrase = given.pop("passphrase", b"open sesame")
    return KeyEncryptionKey.from_passphrase(bytearray(passphrase), **given)


def flip(value: bytes, bit: int) -> bytes:
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_a_key_sealed_once_opens_after_the_passphrase_is_given_again(
    created: Created, fields: dict[str, Any]
) -> None:
    signer = Signer.open(SealedKey(**fields), unwrap(created), PURPOSE)

    assert signer.address == Account.from_key(SECRET).address == fields["address"]


def test_fresh_keys_differ_and_open(created: Created) -> None:
    records = [created[0].new_key(**LABEL) for _ in range(20)]

    assert all(isinstance(record, SealedKeyRecord) for record in records)
    assert len({record.address for record in records}) == len(records)
    assert len({record.nonce for record in records}) == len(records)
    for record in records:
        sealed = SealedKey(
            **LABEL, address=record.address, nonce=record.nonce, ciphertext=record.ciphertext
        )
        assert Signer.open(sealed, created[0], PURPOSE).address == record.address


def test_the_same_key_is_sealed_differently_each_time(created: Created) -> None:
    sealed = {created[0].seal_key(bytearray(SECRET), **LABEL).ciphertext for _ in range(3)}

    assert len(sealed) == 3
    assert all(SECRET not in ciphertext for ciphertext in sealed)


def test_what_is_handed_in_is_zeroed_in_place(created: Created) -> None:
    secret, passphrase = bytearray(SECRET), bytearray(b"open sesame")
    too_long, no_key = bytearray(b"x" * 33), bytearray(b"\xff" * 32)

    created[0].seal_key(secret, **LABEL)
    _, wrapped, wrap_nonce = created
    KeyEncryptionKey.from_passphrase(passphrase, **CHEAP, wrapped=wrapped, wrap_nonce=wrap_nonce)
    for unfit in (too_long, no_key):
        with pytest.raises(KeystoreError, match="alice"):
            created[0].seal_key(unfit, **LABEL)

    for zeroed in (secret, passphrase, too_long, no_key):
        assert not any(zeroed)


def test_secrets_are_not_taken_from_immutable_bytes(created: Created) -> None:
    with pytest.raises(TypeError):
        created[0].seal_key(SECRET, **LABEL)
    with pytest.raises(TypeError):
        KeyEncryptionKey.create(b"open sesame", **CHEAP)


@pytest.mark.parametrize(
    "changes",
    [
        {"passphrase": b"open sesame "},
        {"passphrase": b""},
        {"salt": flip(SALT, 0)},
        {"passes": 2},
        {"lanes": 2},
        {"memory_kib": 8200},
        {"wrap_nonce": bytes(12)},
        {"wrapped": bytes(48)},
    ],
)
def test_the_master_key_opens_with_nothing_but_what_wrapped_it(
    created: Created, changes: dict[str, Any]
) -> None:
    with pytest.raises(KeystoreError, match="wrong passphrase"):
        unwrap(created, **changes)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"salt": bytes(15)}, "kdf.salt: expected 16 to 64 bytes, found 15"),
        ({"salt": bytes(65)}, "kdf.salt"),
        ({"memory_kib": 8191}, "kdf.memory_kib: expected 8192"),
        ({"memory_kib": 2**32 - 1}, "kdf.memory_kib"),
        ({"passes": 0}, "kdf.passes"),
        ({"passes": 17}, "kdf.passes"),
        ({"lanes": 0}, "kdf.lanes"),
        ({"lanes": 17}, "kdf.lanes"),
        ({"wrap_nonce": bytes(11)}, "wrap_nonce: expected 12 bytes, found 11"),
        ({"wrapped": bytes(47)}, "wrapped_master: expected 48 bytes, found 47"),
    ],
)
def test_parameters_out_of_bounds_are_refused_by_name(
    created: Created, changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(KeystoreError, match=problem):
        unwrap(created, **changes)


def test_each_flipped_bit_of_an_entry_is_noticed(created: Created, fields: dict[str, Any]) -> None:
    for name in ("nonce", "ciphertext"):
        value = fields[name]
        for bit in range(8 * len(value)):
            sealed = SealedKey(**fields | {name: flip(value, bit)})
            with pytest.raises(KeystoreError, match=r'entry "alice".*changed'):
                Signer.open(sealed, created[0], PURPOSE)


@pytest.mark.parametrize(
    ("changes", "refusal", "problem"),
    [
        ({"entry_id": "bob"}, KeystoreError, "changed, swapped"),
        ({"address": "0x21cF8Ae13Bb72632562c6Fff438652Ba1a151bb0"}, KeystoreError, "swapped"),
        ({"address": ""}, KeystoreError, "swapped"),
        ({"kind": "ed25519"}, KeystoreError, "expected kind"),
        ({"venue": "hyperliquid"}, SignerError, "venue"),
        ({"nonce": b""}, KeystoreError, "nonce: expected 12 bytes, found 0"),
        ({"ciphertext": b""}, KeystoreError, "ciphertext: expected 48 bytes, found 0"),
        ({"ciphertext": bytes(49)}, KeystoreError, "found 49"),
    ],
)
def test_a_relabelled_entry_does_not_open(
    created: Created,
    fields: dict[str, Any],
    changes: dict[str, Any],
    refusal: type[Exception],
    problem: str,
) -> None:
    with pytest.raises(refusal, match=problem):
        Signer.open(SealedKey(**fields | changes), created[0], PURPOSE)


def test_an_entry_sealed_for_another_venue_does_not_pass_for_this_one(created: Created) -> None:
    record = created[0].seal_key(bytearray(SECRET), **LABEL | {"venue": "hyperliquid"})
    sealed = SealedKey(
        **LABEL, address=record.address, nonce=record.nonce, ciphertext=record.ciphertext
    )

    with pytest.raises(KeystoreError, match="swapped"):
        Signer.open(sealed, created[0], PURPOSE)


def test_an_entry_of_another_keystore_does_not_open(fields: dict[str, Any]) -> None:
    other, _, _ = KeyEncryptionKey.create(bytearray(b"open sesame"), **CHEAP)

    with pytest.raises(KeystoreError, match="another keystore"):
        Signer.open(SealedKey(**fields), other, PURPOSE)


def test_only_the_known_kind_is_sealed(created: Created) -> None:
    with pytest.raises(KeystoreError, match="kind"):
        created[0].new_key(**LABEL | {"kind": "rsa"})
