"""The loop and the network that every simulation stands on."""

import asyncio
import threading

import pytest

from simulation.memory_net import Network
from simulation.virtual_loop import START_NS, TimeStoodStillError, VirtualLoop, run_virtual


class Echo(asyncio.Protocol):
    def __init__(self) -> None:
        """Begin without a connection."""
        self.lost: list[Exception | None] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, chunk: bytes) -> None:
        self.transport.write(chunk)  # type: ignore[attr-defined]

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


class Hearer(Echo):
    def __init__(self, loop: VirtualLoop) -> None:
        """Stamp what is heard with a loop's time."""
        super().__init__()
        self.loop = loop
        self.heard: list[tuple[int, bytes]] = []

    def data_received(self, chunk: bytes) -> None:
        self.heard.append((self.loop.now_ns - START_NS, chunk))


def test_time_jumps_to_the_next_timer_and_keeps_nanoseconds() -> None:
    async def main(loop: VirtualLoop) -> list[int]:
        seen: list[int] = []
        for delay_ns in (86_400_000_000_001, 3, 3, 1):
            loop.call_after_ns(delay_ns, lambda: seen.append(loop.now_ns - START_NS))
        await asyncio.sleep(86_401)
        return seen

    assert run_virtual(main) == [1, 3, 3, 86_400_000_000_001]


def test_timers_of_one_instant_run_in_the_order_they_were_made() -> None:
    async def main(loop: VirtualLoop) -> list[int]:
        seen: list[int] = []
        for number in range(200):
            loop.call_later(1 if number % 3 else 2, seen.append, number)
        await asyncio.sleep(3)
        return seen

    one = [number for number in range(200) if number % 3]
    assert run_virtual(main) == one + [number for number in range(200) if not number % 3]


def test_waiting_for_nothing_is_an_error_and_not_a_hang() -> None:
    with pytest.raises(TimeStoodStillError):
        run_virtual(_wait_for_ever)


async def _wait_for_ever(loop: VirtualLoop) -> None:
    await loop.create_future()


def test_bytes_arrive_in_order_after_the_latency() -> None:
    async def main(loop: VirtualLoop) -> list[tuple[int, bytes]]:
        loop.network.listen(Echo, 80)
        transport, hearer = await loop.create_connection(lambda: Hearer(loop), "127.0.0.1", 80)
        begin_ns = loop.now_ns - START_NS
        transport.write(b"a")
        await asyncio.sleep(0.001)
        transport.write(b"b")
        await asyncio.sleep(0.001)
        return [(at_ns - begin_ns, chunk) for at_ns, chunk in hearer.heard]

    assert run_virtual(main) == [(100_000, b"a"), (1_100_000, b"b")]


def test_jitter_never_reorders_a_connection_and_repeats_with_its_seed() -> None:
    async def main(loop: VirtualLoop) -> list[tuple[int, bytes]]:
        loop.network.listen(Echo, 80)
        transport, hearer = await loop.create_connection(lambda: Hearer(loop), "127.0.0.1", 80)
        for number in range(50):
            transport.write(bytes([number]))
        await asyncio.sleep(1)
        return list(hearer.heard)

    first = run_virtual(main, network=Network(jitter_ns=900_000, seed=4))
    assert [chunk[0] for _, chunk in first] == list(range(50))
    assert first == run_virtual(main, network=Network(jitter_ns=900_000, seed=4))
    assert first != run_virtual(main, network=Network(jitter_ns=900_000, seed=5))


def test_a_stalled_link_delivers_when_it_resumes_and_a_reset_one_never() -> None:
    async def main(loop: VirtualLoop) -> None:
        loop.network.listen(Echo, 80)
        transport, hearer = await loop.create_connection(lambda: Hearer(loop), "127.0.0.1", 80)
        (link,) = loop.network.links
        link.stall()
        transport.write(b"a")
        await asyncio.sleep(60)
        assert hearer.heard == []
        link.resume()
        await asyncio.sleep(1)
        assert [chunk for _, chunk in hearer.heard] == [b"a"]
        transport.write(b"b")
        link.reset()
        await asyncio.sleep(1)
        assert [chunk for _, chunk in hearer.heard] == [b"a"]
        assert [type(each) for each in hearer.lost] == [ConnectionResetError]

    run_virtual(main)


def test_closing_delivers_what_was_written_and_ends_both_sides() -> None:
    async def main(loop: VirtualLoop) -> None:
        servers: list[Hearer] = []
        loop.network.listen(lambda: servers.append(Hearer(loop)) or servers[-1], 80)  # type: ignore[func-returns-value]
        transport, client = await loop.create_connection(Echo, "127.0.0.1", 80)
        transport.write(b"last words")
        transport.close()
        await asyncio.sleep(1)
        assert [chunk for _, chunk in servers[0].heard] == [b"last words"]
        assert client.lost == [None]
        assert servers[0].lost == [None]

    run_virtual(main)


def test_nobody_listening_is_a_refused_connection() -> None:
    async def main(loop: VirtualLoop) -> None:
        with pytest.raises(ConnectionRefusedError):
            await loop.create_connection(Echo, "127.0.0.1", 81)

    run_virtual(main)


def test_executors_run_inline_and_threadsafe_calls_work() -> None:
    async def main(loop: VirtualLoop) -> None:
        here = threading.get_ident()
        assert await loop.run_in_executor(None, threading.get_ident) == here
        done = asyncio.Event()
        loop.call_soon_threadsafe(done.set)
        await done.wait()

    run_virtual(main)


def test_a_failure_inside_a_protocol_fails_the_run() -> None:
    class Broken(Echo):
        def data_received(self, chunk: bytes) -> None:
            raise ValueError(chunk)

    async def main(loop: VirtualLoop) -> None:
        loop.network.listen(Broken, 80)
        transport, client = await loop.create_connection(Echo, "127.0.0.1", 80)
        transport.write(b"x")
        await asyncio.sleep(1)
        assert len(client.lost) == 1

    with pytest.raises(AssertionError, match="nobody handled"):
        run_virtual(main)
