"""What a disconnect drill does to the daemon's connections, drawn from its seed.

The leader trades on through every disruption. Each ends by itself; after the last one all faults
are off and everything must find its end.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

from slipstream.drill.plan import deck
from slipstream.drill.proxy import Proxy
from slipstream.drill.site import leader_names
from slipstream.runtime.simproc import SimProcess
from slipstream.runtime.trial import account_of

ORDER_ROUTE: Final = "POST /fapi/v3/order"
CUTS: Final = 6
"""Disruptions in one drill."""

TRADES: Final = (3, 5)
"""Trades of the leader during one."""

SHARE: Final = 0.4
DEAD: Final = "streams-dead"
"""Open sockets on which nothing comes any more: only an application's heartbeat finds them."""
UNHEARD: Final = ("leader-stream-silent", "leader-events-dropped")
"""What a live stream of a leader loses here without a word."""


@dataclass(frozen=True, slots=True)
class Site:
    """What may be disrupted."""

    sim: SimProcess
    proxy: Proxy
    leaders: int

    async def fault(self, **rule: object) -> None:
        """Switch a fault of the venue on."""
        await self.sim.post("/_sim/faults", rule)

    async def each_leader(self, **rule: object) -> None:
        """Switch a fault on for every leader's account."""
        for name in leader_names(self.leaders):
            await self.fault(**rule, account=account_of(name))


async def _cut_all(at: Site) -> None:
    at.proxy.cut(streams=True, calls=True)


async def _cut_streams(at: Site) -> None:
    at.proxy.cut(streams=True, calls=False)


async def _cut_calls(at: Site) -> None:
    at.proxy.cut(streams=False, calls=True)


async def _stall_all(at: Site) -> None:
    at.proxy.stall(streams=True, calls=True)


async def _stall_streams(at: Site) -> None:
    at.proxy.stall(streams=True, calls=False)


async def _deaden(at: Site) -> None:
    at.proxy.deaden()


async def _half_close(at: Site) -> None:
    at.proxy.half_close()


async def _refuse(at: Site) -> None:
    at.proxy.is_refusing = True
    at.proxy.cut(streams=True, calls=False)


async def _venue_disconnects(at: Site) -> None:
    await at.fault(kind="disconnect_streams")


async def _key_deleted(at: Site) -> None:
    await at.each_leader(kind="listen_key_expired")


async def _lost_ack(at: Site) -> None:
    await at.fault(kind="lost_ack", route=ORDER_ROUTE, probability=SHARE)


async def _error_after(at: Site) -> None:
    await at.fault(kind="status_503_after", route=ORDER_ROUTE, probability=SHARE)


async def _error_before(at: Site) -> None:
    await at.fault(kind="status_503_before", route=ORDER_ROUTE, probability=SHARE)


async def _reset_before(at: Site) -> None:
    await at.fault(kind="reset_before", route=ORDER_ROUTE, probability=SHARE)


async def _garbage(at: Site) -> None:
    await at.fault(kind="garbage", route=ORDER_ROUTE, probability=SHARE, executed=True)


async def _silent_stream(at: Site) -> None:
    await at.each_leader(kind="silent_stream")


async def _drop_events(at: Site) -> None:
    await at.each_leader(kind="drop_event", probability=SHARE)


async def _mixed_events(at: Site) -> None:
    await at.each_leader(kind="duplicate_event", probability=SHARE)
    await at.each_leader(kind="reorder_event", probability=SHARE)


Disrupt = Callable[[Site], Awaitable[None]]

DISRUPTIONS: Final[Mapping[str, Disrupt]] = {
    "sockets-cut": _cut_all,
    "streams-cut": _cut_streams,
    "calls-cut": _cut_calls,
    "sockets-stalled": _stall_all,
    "streams-stalled": _stall_streams,
    DEAD: _deaden,
    "streams-half-closed": _half_close,
    "connections-refused": _refuse,
    "streams-ended-by-venue": _venue_disconnects,
    "listen-key-deleted": _key_deleted,
    "answer-lost-after-execution": _lost_ack,
    "error-after-execution": _error_after,
    "error-before-execution": _error_before,
    "reset-before-execution": _reset_before,
    "answer-undecodable": _garbage,
    "leader-stream-silent": _silent_stream,
    "leader-events-dropped": _drop_events,
    "leader-events-doubled-and-reordered": _mixed_events,
}
"""Every disruption by name."""


@dataclass(frozen=True, slots=True)
class CutStep:
    """One disruption: after how many ms of the first trade in it, and how many trades it lasts."""

    name: str
    after_ms: int
    trades: int


@dataclass(frozen=True, slots=True)
class CutPlan:
    """One disconnect drill."""

    seed: str
    leaders: int
    steps: tuple[CutStep, ...]


def cut_plans(runs: int, seed: int) -> list[CutPlan]:
    """Draw the plans of a series: each disruption once before any comes twice."""
    source = Random(f"drill disconnect {seed}")  # noqa: S311 - a drill, repeated by seed
    names = deck(tuple(DISRUPTIONS), source)
    return [
        CutPlan(
            f"cut-{seed}:{index}",
            source.randint(1, 2),
            tuple(
                CutStep(next(names), source.randint(0, 15), source.randint(*TRADES))
                for _ in range(CUTS)
            ),
        )
        for index in range(runs)
    ]


async def disrupt(at: Site, step: CutStep) -> None:
    """Begin a disruption, a little after the trade that was just made."""
    await asyncio.sleep(step.after_ms / 1000)
    await DISRUPTIONS[step.name](at)


async def restore(at: Site) -> None:
    """End what is on; what was lost stays lost."""
    at.proxy.is_refusing = False
    at.proxy.flow()
    await at.sim.post("/_sim/faults", {"clear": True})
