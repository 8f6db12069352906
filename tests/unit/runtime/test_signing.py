"""Each burst waits for its own signatures."""

from slipstream._core import Signer, TypedSchema
from slipstream.runtime.signing import Signed, SigningThread
from slipstream.transport.clock import SystemClock
from slipstream.units import NS_PER_S, TimeNs
from slipstream.venues.base import SignJob

SCHEMA = TypedSchema("Message", {"Message": [("msg", "string")]}, {"name": "test"})
# A throw-away key of these tests.
SIGNER = Signer.from_secret(bytes([7] * 32), SCHEMA)
SMALL = 5
LARGE = 4_000


def jobs(count: int) -> list[SignJob]:
    return [(SIGNER, (f"message {index}",)) for index in range(count)]


async def test_a_burst_is_not_held_by_the_signatures_of_another() -> None:
    signing = SigningThread(SystemClock())
    small: list[Signed] = []
    large: list[Signed] = []

    def take_small(_start: int, signed: list[Signed], _at_ns: TimeNs) -> None:
        small.extend(signed)

    def take_large(_start: int, signed: list[Signed], _at_ns: TimeNs) -> None:
        large.extend(signed)

    mine = signing.sign(jobs(SMALL), take_small)
    others = signing.sign(jobs(LARGE), take_large)
    assert mine is not None
    assert others is not None
    assert signing.wait([mine], 60 * NS_PER_S)
    assert len(small) == SMALL
    assert len(large) < LARGE
    assert signing.wait([others], 60 * NS_PER_S)
    assert len(large) == LARGE
    signing.close()


async def test_few_signatures_are_there_at_once_and_not_waited_for() -> None:
    signing = SigningThread(SystemClock())
    signed: list[Signed] = []
    number = signing.sign(jobs(2), lambda _start, found, _at_ns: signed.extend(found))
    assert number is None
    assert len(signed) == 2
    signing.close()
