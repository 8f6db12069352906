"""The signing queue against signing one by one."""

import select

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipstream._core import Signer, SignerError, SigningQueue, TypedSchema, sign_many

SCHEMA = TypedSchema(
    "Message",
    {"Message": [("msg", "string")]},
    {
        "name": "AsterSignTransaction",
        "version": "1",
        "chainId": 1666,
        "verifyingContract": "0x" + "00" * 20,
    },
)
# Throw-away keys of these tests.
SIGNERS = [Signer.from_secret(bytes([index] * 32), SCHEMA) for index in range(1, 5)]


def taken(queue: SigningQueue, count: int) -> list[tuple[int, int, list[bytes | SignerError]]]:
    """Take results until ``count`` jobs are signed, waiting on the descriptor."""
    chunks: list[tuple[int, int, list[bytes | SignerError]]] = []
    while sum(len(results) for _, _, results in chunks) < count:
        readable, _, _ = select.select([queue.fileno()], [], [], 10)
        assert readable, "the descriptor says when results wait"
        chunks += queue.take()
    return chunks


@settings(max_examples=20)
@given(st.lists(st.integers(0, 90), min_size=1, max_size=4))
def test_every_job_is_signed_once_in_order(sizes: list[int]) -> None:
    queue = SigningQueue()
    batches = [
        [(SIGNERS[index % 4], (f"{batch}-{index}",)) for index in range(size)]
        for batch, size in enumerate(sizes)
    ]
    numbers = [queue.submit(jobs) for jobs in batches]
    assert numbers == list(range(len(sizes)))
    results: dict[int, list[bytes | SignerError]] = {number: [] for number in numbers}
    for number, start, part in taken(queue, sum(sizes)):
        assert start == len(results[number])
        results[number] += part
    for number, jobs in zip(numbers, batches, strict=True):
        assert results[number] == sign_many(jobs)
    queue.close()


def test_a_bad_job_is_its_own_error() -> None:
    queue = SigningQueue()
    queue.submit([(SIGNERS[0], ("a",)), (SIGNERS[0], ("a", "b")), (SIGNERS[1], ("c",))])
    ((_, _, results),) = taken(queue, 3)
    assert isinstance(results[0], bytes)
    assert isinstance(results[1], SignerError)
    assert isinstance(results[2], bytes)
    queue.close()


def test_nothing_is_readable_when_all_is_taken() -> None:
    queue = SigningQueue()
    queue.submit([(SIGNERS[0], ("a",))])
    taken(queue, 1)
    assert queue.take() == []
    assert select.select([queue.fileno()], [], [], 0)[0] == []
    queue.close()


def test_a_closed_queue_takes_nothing_and_closes_again() -> None:
    queue = SigningQueue()
    queue.close()
    with pytest.raises(SignerError, match="expected an open one"):
        queue.submit([(SIGNERS[0], ("a",))])
    queue.close()
