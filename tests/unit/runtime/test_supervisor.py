"""A pipeline that ends is built again; what it was like is told."""

import asyncio
import random

import pytest

from mirror_parts import LEADER, HandClock
from slipstream.errors import FeedError, InvariantError, SlipstreamError
from slipstream.runtime.supervisor import Health, Supervisor
from slipstream.transport.reconnect import Backoff
from slipstream.units import TimeNs


@pytest.mark.parametrize(
    ("error", "kind"),
    [(FeedError("cut"), "PIPELINE_FAILED"), (InvariantError("bug"), "PIPELINE_BUG")],
)
async def test_it_is_built_again_after_an_error(error: SlipstreamError, kind: str) -> None:
    reports: list[tuple[str, str]] = []
    said: list[str] = []
    again = asyncio.Event()

    async def run_once(health: Health) -> None:
        health.up()
        if health.restart_count == 0:
            raise ExceptionGroup("tasks", [error])
        again.set()
        await asyncio.Event().wait()

    supervisor = Supervisor(
        LEADER,
        run_once=run_once,
        backoff=Backoff(random.Random(1), first_ns=2, cap_ns=2),
        clock=HandClock(),
        report=lambda *each: reports.append(each),
        tell=said.append,
    )
    task = asyncio.create_task(supervisor.run())
    await again.wait()
    assert [each[0] for each in reports] == [kind]
    assert supervisor.health.is_live.is_set()
    assert supervisor.health.restart_count == 1
    assert [each.split(": ")[1] for each in said] == ["live", "stream down", "live"]
    task.cancel()
    await asyncio.wait((task,))
    assert not supervisor.health.is_running


def test_health_counts_from_the_first_loss_and_says_each_change_once() -> None:
    said: list[str] = []
    health = Health(LEADER, said.append)
    health.down("cut", TimeNs(5))
    health.down("cannot open", TimeNs(9))
    assert health.down_since_ns == 5
    health.up()
    health.up()
    assert health.down_since_ns is None
    assert len(said) == 2
