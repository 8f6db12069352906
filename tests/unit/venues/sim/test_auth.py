"""Raw-text authentication: signatures, nonces, parameters."""

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from slipstream.venues.sim.aster.auth import NonceRing, cut_signature, parse_parameters
from slipstream.venues.sim.aster.errors import ApiError
from slipstream.venues.sim.verify import domain_separator, is_signed_by, message_digest

# The demo key that Aster publishes (reference, section 2.6); it holds nothing.
DEMO_KEY = "0x4fd0a42218f3eae43a6ce26d22544e986139a01e5b34a62db53757ffca81bae1"
DEMO_ADDRESS = "0x21cf8ae13bb72632562c6fff438652ba1a151bb0"
VECTOR_A = (
    b"symbol=ASTERUSDT&type=LIMIT&side=BUY&timeInForce=GTC&quantity=20&price=0.5"
    b"&nonce=1748310859508867&signer=0x21cF8Ae13Bb72632562c6Fff438652Ba1a151bb0"
)
NOW_US = 1_748_310_859_508_867
WINDOW_US = 10_000_000


def test_domain_and_digest_match_the_published_vectors() -> None:
    assert domain_separator(1666).hex() == (
        "a95d0a7a6f3f17fcebb0c2336645385ce79cde7523f71ab147fdb7f15e9f37f9"
    )
    assert message_digest(VECTOR_A, 1666).hex() == (
        "ed6fe2804fb7a74d857c73d838ce3722b0f44d2c023c24bca0acb2bdf0d56267"
    )


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=80))
def test_what_eth_account_signs_is_accepted_and_nothing_else(text: str) -> None:
    zero = "0x" + "00" * 20
    domain = {
        "name": "AsterSignTransaction",
        "version": "1",
        "chainId": 1666,
        "verifyingContract": zero,
    }
    types = {"Message": [{"name": "msg", "type": "string"}]}
    message = encode_typed_data(domain, types, {"msg": text})
    signature = Account.sign_message(message, DEMO_KEY).signature.hex()
    raw = text.encode()
    assert is_signed_by(raw, signature, DEMO_ADDRESS, 1666)
    assert is_signed_by(raw, "0x" + signature, DEMO_ADDRESS, 1666)
    assert not is_signed_by(raw + b"x", signature, DEMO_ADDRESS, 1666)
    assert not is_signed_by(raw, signature, DEMO_ADDRESS, 714)


@pytest.mark.parametrize("signature", ["", "0x", "zz" * 65, "00" * 65, "11" * 64])
def test_broken_signatures_are_refused_without_raising(signature: str) -> None:
    assert not is_signed_by(VECTOR_A, signature, DEMO_ADDRESS, 1666)


@pytest.mark.parametrize(
    "raw", ["signature=0xab&a=1&b=2", "a=1&signature=0xab&b=2", "a=1&b=2&signature=0xab"]
)
def test_the_signature_is_cut_wherever_it_stands(raw: str) -> None:
    assert cut_signature(raw) == ("a=1&b=2", "0xab")


def test_parameters_are_decoded_and_repeats_refused() -> None:
    assert parse_parameters("a=%5B%221%22%5D&b=x+y") == {"a": '["1"]', "b": "x y"}
    with pytest.raises(ApiError):
        parse_parameters("a=1&a=2")


@given(st.lists(st.integers(0, 400), max_size=300))
def test_nonces_are_accepted_once_and_never_below_the_hundredth_newest(
    offsets: list[int],
) -> None:
    ring = NonceRing()
    kept: list[int] = []
    for offset in offsets:
        nonce = NOW_US + offset
        expected = nonce not in kept and (len(kept) < 100 or nonce > min(kept))
        assert ring.accept(nonce, NOW_US, WINDOW_US) == expected
        if expected:
            kept = sorted([*kept, nonce])[-100:]


def test_nonces_outside_the_window_are_refused() -> None:
    ring = NonceRing()
    assert not ring.accept(NOW_US - WINDOW_US - 1, NOW_US, WINDOW_US)
    assert not ring.accept(NOW_US + WINDOW_US + 1, NOW_US, WINDOW_US)
    assert ring.accept(NOW_US - WINDOW_US, NOW_US, WINDOW_US)
