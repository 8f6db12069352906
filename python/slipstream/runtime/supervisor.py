"""Keep pipelines alive, each for itself.

A pipeline that ends with an error is started again after a jittered, growing pause; the others
never notice. What was in memory is gone then: the pipeline is rebuilt from the ledger.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from slipstream.domain.ids import LeaderId
from slipstream.errors import InvariantError, SlipstreamError
from slipstream.transport.clock import Clock
from slipstream.transport.reconnect import Backoff
from slipstream.units import NS_PER_S

STEADY_AFTER_NS: Final = 60 * NS_PER_S
"""A pipeline that ran this long starts its pauses from the shortest again."""

Report = Callable[[str, str], None]
"""Takes (kind, detail) of an incident."""


@dataclass(slots=True)
class Health:
    """How one pipeline is doing."""

    leader: LeaderId
    is_live: asyncio.Event = field(default_factory=asyncio.Event)
    is_running: bool = False
    restart_count: int = 0
    last_error: str | None = None


class Supervisor:
    """Runs one leader's pipeline for as long as the engine runs."""

    def __init__(
        self,
        leader: LeaderId,
        *,
        run_once: Callable[[asyncio.Event], Awaitable[None]],
        backoff: Backoff,
        clock: Clock,
        report: Report,
    ) -> None:
        """Keep how to build and run one pipeline; it sets the event while its stream is up."""
        self.health = Health(leader)
        self._run_once = run_once
        self._backoff = backoff
        self._clock = clock
        self._report = report

    async def run(self) -> None:
        """Run and restart until cancelled."""
        while True:
            started_ns = self._clock.now_ns()
            self.health.is_running = True
            try:
                await self._run_once(self.health.is_live)
            except* (SlipstreamError, OSError) as group:
                self._on_failure(group)
            self.health.is_running = False
            if self._clock.now_ns() - started_ns > STEADY_AFTER_NS:
                self._backoff.reset()
            self.health.restart_count += 1
            await asyncio.sleep(self._backoff.next_delay_ns() / NS_PER_S)

    def _on_failure(self, group: BaseExceptionGroup[SlipstreamError | OSError]) -> None:
        errors = list(_leaves(group))
        self.health.last_error = "; ".join(f"{type(each).__name__}: {each}" for each in errors)
        is_bug = any(isinstance(each, InvariantError) for each in errors)
        self._report("PIPELINE_BUG" if is_bug else "PIPELINE_FAILED", self.health.last_error)


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            leaves.extend(_leaves(error))
        else:
            leaves.append(error)
    return leaves
