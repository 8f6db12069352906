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
from slipstream.units import NS_PER_S, TimeNs

STEADY_AFTER_NS: Final = 60 * NS_PER_S
"""A pipeline that ran this long starts its pauses from the shortest again."""

Report = Callable[[str, str], None]
"""Takes (kind, detail) of an incident."""

Tell = Callable[[str], None]
"""Takes one line for a person: a change of state."""


@dataclass(slots=True)
class Health:
    """How one pipeline is doing. ``down_since_ns``: since when its stream cannot be trusted.
    ``is_caught_up``: what was missed before the stream came up has been read back."""

    leader: LeaderId
    tell: Tell
    is_live: asyncio.Event = field(default_factory=asyncio.Event)
    is_running: bool = False
    restart_count: int = 0
    last_error: str | None = None
    down_since_ns: TimeNs | None = None
    is_caught_up: bool = False
    on_down: "Callable[[Health], None] | None" = None

    def up(self) -> None:
        """The leader's stream is live."""
        self.down_since_ns = None
        self.is_caught_up = False
        if not self.is_live.is_set():
            self.is_live.set()
            self.tell(f"leader {self.leader}: live")

    def down(self, reason: str, now_ns: TimeNs) -> None:
        """The leader's stream can no longer be trusted."""
        if self.down_since_ns is None:
            self.down_since_ns = now_ns
            self.tell(f"leader {self.leader}: stream down: {reason}")
        self.is_live.clear()
        self.is_caught_up = False
        if self.on_down is not None:
            self.on_down(self)


class Supervisor:
    """Runs one leader's pipeline for as long as the engine runs."""

    def __init__(
        self,
        leader: LeaderId,
        *,
        run_once: Callable[[Health], Awaitable[None]],
        backoff: Backoff,
        clock: Clock,
        report: Report,
        tell: Tell = lambda _: None,
    ) -> None:
        """Keep how to build and run one pipeline, which says how its stream is doing."""
        self.health = Health(leader, tell)
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
                await self._run_once(self.health)
            except* (SlipstreamError, OSError) as group:
                self._on_failure(group)
            finally:
                self.health.is_running = False
            self.health.down(self.health.last_error or "the pipeline ended", self._clock.now_ns())
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
