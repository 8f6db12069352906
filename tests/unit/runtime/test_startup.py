"""Who is started when: exposure first, nobody held up by another, no limit run into twice."""

import asyncio
from typing import cast

from simulation.virtual_loop import START_NS, VirtualLoop, run_virtual
from slipstream.domain.ids import FollowerId
from slipstream.errors import NotSent, RateLimited
from slipstream.runtime.follower import Follower
from slipstream.runtime.startup import START_S, WIDTH, StartLine
from slipstream.units import NS_PER_S


class Comer:
    """A follower that starts as the test says: each verdict once, then it is ready."""

    def __init__(self, name: str, *verdicts: Exception | float) -> None:
        """A number: seconds it takes."""
        self.id = FollowerId(name)
        self._verdicts = list(verdicts)
        self.starts: list[float] = []

    async def start(self) -> None:
        self.starts.append(asyncio.get_running_loop().time() - START_NS / NS_PER_S)
        verdict = self._verdicts.pop(0) if self._verdicts else 0.0
        if isinstance(verdict, Exception):
            raise verdict
        await asyncio.sleep(verdict)


def started(
    comers: list[Comer], first: set[str] | None = None
) -> tuple[list[tuple[str, bool]], StartLine]:
    """Run a line to its end; return who got ready in which order, and who of them late."""
    ready: list[tuple[str, bool]] = []

    async def main(_: VirtualLoop) -> StartLine:
        line = StartLine(
            [cast("Follower", each) for each in comers],
            {FollowerId(each) for each in first or set()},
            lambda follower, is_late: ready.append((follower.id, is_late)),
        )
        await line.run()
        return line

    return ready, run_virtual(main)


def test_those_with_exposure_come_first() -> None:
    comers = [Comer(f"f{index}") for index in range(100)]
    ready, line = started(comers, {"f97", "f40"})
    assert [name for name, _ in ready[:3]] == ["f40", "f97", "f0"]
    assert len(ready) == 100
    assert line.failures == {}


def test_one_that_hangs_or_fails_is_tried_again_alone() -> None:
    hanging, failing = Comer("hangs", 60.0), Comer("fails", NotSent("down"), NotSent("down"))
    ready, line = started([hanging, failing, Comer("well")])
    assert ready == [("well", False), ("fails", True), ("hangs", True)]
    assert hanging.starts == [0.0, START_S + 1]
    assert failing.starts == [0.0, 1.0, 3.0]
    assert line.failures == {"hangs": "no answer in 4 s", "fails": "NotSent: down"}


def test_a_limit_stops_everybody_until_it_is_over_and_keeps_the_order() -> None:
    limited = RateLimited("used up", retry_after_ns=30 * NS_PER_S)
    comers = [Comer(f"f{index:03d}") for index in range(3 * WIDTH)]
    comers[WIDTH] = Comer(f"f{WIDTH:03d}", limited)
    ready, line = started(comers)
    assert [name for name, _ in ready] == sorted(name for name, _ in ready)
    assert comers[WIDTH].starts == [0.0, 30.0]
    assert all(each.starts == [30.0] for each in comers[2 * WIDTH :])
    assert set(line.failures.values()) == {"used up"}


def test_the_first_pass_is_over_when_everybody_was_tried_or_told_to_wait() -> None:
    async def main(_: VirtualLoop) -> tuple[float, bool]:
        limited = RateLimited("used up", retry_after_ns=NS_PER_S)
        comers = [Comer("a"), Comer("b", limited), Comer("c")]
        line = StartLine([cast("Follower", each) for each in comers], set(), lambda *_: None)
        running = asyncio.create_task(line.run())
        await line.first_pass.wait()
        at_s = asyncio.get_running_loop().time() - START_NS / NS_PER_S
        is_running = not running.done()
        await running
        return at_s, is_running

    assert run_virtual(main) == (0.0, True)


def test_nobody_to_start_is_everybody_started() -> None:
    ready, line = started([])
    assert ready == []
    assert line.first_pass.is_set()
