"""The floor of a fan-out: what N orders cannot cost less than, measured in the same run.

N bare libsecp256k1 signatures of ready digests and N bare writes of a ready request to N warm
loopback connections, read by another process; one thread, nothing else. What a real fan-out adds
(deciding, the durable claim, building requests, reading answers) is its distance to this floor;
what it saves by signing on a second core can bring it below the sum.
"""

import gc
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Final

from slipstream.errors import ConfigError
from slipstream.telemetry.peers import bare_signatures
from slipstream.telemetry.stages import milliseconds

KEY_COUNT_MAX: Final = 500
FILES_SPARE: Final = 64
REQUEST_SIZE: Final = 600
"""Bytes of one signed Aster order with its headers, rounded."""


@dataclass(frozen=True, slots=True)
class Floor:
    """Medians over the rounds, in nanoseconds for all ``count`` orders together.

    ``sum_ns`` is the median of each round's signatures and writes together. ``signer`` names the
    code that signed: ``coincurve``, or our own core where coincurve has no build.
    """

    count: int
    rounds: int
    signer: str
    signatures_ns: int
    writes_ns: int
    sum_ns: int

    def in_ms(self) -> dict[str, object]:
        """Return the floor as reports print it."""
        return {
            "orders": self.count,
            "rounds": self.rounds,
            "signer": self.signer,
            "signatures_ms": milliseconds(self.signatures_ns),
            "writes_ms": milliseconds(self.writes_ns),
            "floor_ms": milliseconds(self.sum_ns),
        }


def measure(count: int, *, rounds: int = 7) -> Floor:
    """Measure the floor for ``count`` orders; a first round warms up and is not counted.

    Blocks for about ``rounds`` times the floor, and opens ``count`` sockets.

    Raises:
        ConfigError: this process may not open that many sockets.
    """
    sign_all, signer = bare_signatures(count, min(count, KEY_COUNT_MAX))
    with _connections(count) as connections:
        write_all = _writes(connections)
        sign_all()
        write_all()
        pairs = [(_timed(sign_all), _timed(write_all)) for _ in range(rounds)]
    return Floor(
        count=count,
        rounds=rounds,
        signer=signer,
        signatures_ns=round(median(signatures for signatures, _ in pairs)),
        writes_ns=round(median(writes for _, writes in pairs)),
        sum_ns=round(median(signatures + writes for signatures, writes in pairs)),
    )


def _timed(work: Callable[[], None]) -> int:
    """Return how long one call took, without the garbage collector in between."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        start_ns = time.perf_counter_ns()
        work()
        return time.perf_counter_ns() - start_ns
    finally:
        if was_enabled:
            gc.enable()


def _writes(connections: list[socket.socket]) -> Callable[[], None]:
    request = b"POST /fapi/v3/order HTTP/1.1\r\n".ljust(REQUEST_SIZE, b".")

    def write_all() -> None:
        for connection in connections:
            connection.send(request)

    return write_all


def allow_files(count: int) -> None:
    """Raise this process's limit of open files to at least ``count`` if the system lets it.

    Raises:
        ConfigError: the hard limit is lower.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= count or soft == resource.RLIM_INFINITY:
        return
    if hard != resource.RLIM_INFINITY and hard < count:
        raise ConfigError(f"open files: found a hard limit of {hard}, expected at least {count}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


@contextmanager
def _connections(count: int) -> Iterator[list[socket.socket]]:
    """Open warm connections to a process that only reads; close and end it afterwards."""
    allow_files(count + FILES_SPARE)
    with ExitStack() as stack:
        port = stack.enter_context(_sink())
        connections = []
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connections.append(connection)
        yield connections


@contextmanager
def _sink() -> Iterator[int]:
    """Run the reading process; yield its port."""
    command = [sys.executable, "-m", "slipstream.telemetry.sink"]
    with subprocess.Popen(  # noqa: S603 (our own module)
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        if child.stdin is None or child.stdout is None:
            raise ConfigError("floor: the reading process has no pipes")
        try:
            yield int(child.stdout.readline())
        finally:
            child.stdin.close()
            child.wait()
