"""Other people's signing code, called at its best, for figures beside ours.

Never used to trade. ``coincurve`` is libsecp256k1 with almost nothing around it; it has no build
for Python 3.14, where our own core stands in and the figures say so.
"""

import hashlib
import importlib.util
from collections.abc import Callable
from typing import Final

from slipstream._core import Signer, TypedSchema

SECP256K1_PEER: Final = "coincurve"
STAND_IN: Final = "slipstream._core"

_DOMAIN: Final[dict[str, object]] = {
    "name": "AsterSignTransaction",
    "version": "1",
    "chainId": 1666,
    "verifyingContract": "0x" + "00" * 20,
}
"""Aster's domain for trading requests (API V3, "Request authentication")."""


def throw_away_secret(index: int) -> bytes:
    """Return the index-th key that is worth nothing, the same in every run."""
    return hashlib.sha256(f"slipstream throw-away key {index}".encode()).digest()


def aster_schema() -> TypedSchema:
    """Return the typed data that Aster's orders are signed as: one string."""
    return TypedSchema("Message", {"Message": [("msg", "string")]}, _DOMAIN)


def has_coincurve() -> bool:
    """Whether the bare libsecp256k1 signature can be measured through coincurve."""
    return importlib.util.find_spec("coincurve") is not None


def bare_signatures(count: int, key_count: int) -> tuple[Callable[[], None], str]:
    """Return a call that makes ``count`` recoverable signatures of ready digests, and whose they
    are. Each digest differs; keys repeat after ``key_count``."""
    digests = [hashlib.sha256(index.to_bytes(8, "big")).digest() for index in range(count)]
    secrets = [throw_away_secret(index) for index in range(key_count)]
    if has_coincurve():
        from coincurve import PrivateKey  # noqa: PLC0415 (no build for every Python)

        keys = [PrivateKey(secret) for secret in secrets]
        pairs = [(keys[at % key_count], digest) for at, digest in enumerate(digests)]

        def sign_all() -> None:
            for key, digest in pairs:
                key.sign_recoverable(digest, hasher=None)

        return sign_all, SECP256K1_PEER
    schema = TypedSchema("Floor", {"Floor": [("digest", "bytes32")]}, {"name": "floor"})
    signers = [Signer.from_secret(secret, schema) for secret in secrets]
    jobs = [(signers[at % key_count], digest) for at, digest in enumerate(digests)]

    def sign_all_ours() -> None:
        for signer, digest in jobs:
            signer.sign(digest)

    return sign_all_ours, STAND_IN


def eth_account_signature(secret: bytes) -> Callable[[str], bytes]:
    """Return a call that signs one Aster request text with eth-account, as its users do."""
    from eth_account import Account  # noqa: PLC0415 (takes half a second to import)

    account = Account.from_key(secret)
    types = {"Message": [{"name": "msg", "type": "string"}]}

    def sign(text: str) -> bytes:
        signed = account.sign_typed_data(
            domain_data=_DOMAIN, message_types=types, message_data={"msg": text}
        )
        return bytes(signed.signature)

    return sign
