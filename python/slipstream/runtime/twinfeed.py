"""Several sockets of one account's stream, of which the first to bring an event wins.

Everything is passed on as it comes; whoever listens takes each fill once by its identity. The
stream counts as down only when every socket is. A socket that did not bring what another one
brought is dialled again.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from slipstream.domain.fill import Fill
from slipstream.domain.ids import FillId
from slipstream.transport.clock import Clock
from slipstream.units import NS_PER_S, TimeNs
from slipstream.venues.base import AccountEvent, AccountFeed, AccountSink, FeedDown, FeedUp

__all__ = ["TwinFeed", "side_by_side"]

LATE_NS: Final = 3 * NS_PER_S
"""A socket that is so much later than another one with a fill has lost it."""

LOOK_S: Final = 1.0
REMEMBERED_MAX: Final = 10_000
"""Fills of which a late repetition is not taken for news."""


@dataclass(slots=True)
class _Strand:
    """One of the sockets. ``up_ns``: since when it is up, ``None`` while it is not."""

    feed: AccountFeed
    up_ns: TimeNs | None = None
    brought: set[FillId] = field(default_factory=set)


class TwinFeed:
    """Implements ``AccountFeed`` over several feeds of one account."""

    def __init__(
        self, feeds: Sequence[AccountFeed], *, clock: Clock, report: Callable[[str, str], None]
    ) -> None:
        """Keep feeds that are not running yet. ``report`` takes (kind, detail) of incidents."""
        self._strands = [_Strand(each) for each in feeds]
        self._clock = clock
        self._report = report
        self._expected: deque[tuple[TimeNs, FillId]] = deque()
        self._known: dict[FillId, None] = {}

    async def run(self, sink: AccountSink) -> None:
        """Run every feed and push what they bring; return only when cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for strand in self._strands:
                tasks.create_task(strand.feed.run(partial(self._on_events, strand, sink)))
            while True:
                await asyncio.sleep(LOOK_S)
                self._compare()

    def redial(self, reason: str) -> None:
        """Dial all of them again: what none of them brought is known to be lost."""
        for strand in self._strands:
            strand.feed.redial(reason)

    def _on_events(
        self, strand: _Strand, sink: AccountSink, events: Sequence[AccountEvent]
    ) -> None:
        passed = [event for event in events if self._is_passed(strand, event)]
        if passed:
            sink(passed)

    def _is_passed(self, strand: _Strand, event: AccountEvent) -> bool:
        """Take notice of an event; return whether whoever listens should see it.

        Each ``FeedUp`` is passed on, so that what was missed is read even if the other socket
        only looked alive.
        """
        if isinstance(event, FeedUp):
            strand.up_ns = self._clock.now_ns()
        elif isinstance(event, FeedDown):
            strand.up_ns = None
            return all(each.up_ns is None for each in self._strands)
        elif isinstance(event, Fill):
            self._on_fill(strand, event.id)
        return True

    def _on_fill(self, strand: _Strand, fill_id: FillId) -> None:
        if fill_id not in self._known:
            self._known[fill_id] = None
            self._expected.append((self._clock.now_ns(), fill_id))
            if len(self._known) > REMEMBERED_MAX:
                del self._known[next(iter(self._known))]
        strand.brought.add(fill_id)

    def _compare(self) -> None:
        """Dial again each socket that did not bring what another one brought long ago."""
        now_ns = self._clock.now_ns()
        losers: list[_Strand] = []
        if not self._expected:
            for strand in self._strands:
                strand.brought.clear()
        while self._expected and now_ns - self._expected[0][0] >= LATE_NS:
            first_ns, fill_id = self._expected.popleft()
            for strand in self._strands:
                was_up = strand.up_ns is not None and strand.up_ns < first_ns
                if was_up and fill_id not in strand.brought and strand not in losers:
                    losers.append(strand)
                strand.brought.discard(fill_id)
        for strand in losers:
            strand.up_ns = None
            self._report("FILL_LOST_BY_STREAM", "one of the sockets did not bring it")
            strand.feed.redial("it lost a fill that another socket brought")


def side_by_side(
    make: Callable[[], AccountFeed],
    count: int,
    *,
    clock: Clock,
    report: Callable[[str, str], None],
) -> AccountFeed:
    """Return one feed, or several as one."""
    if count == 1:
        return make()
    return TwinFeed([make() for _ in range(count)], clock=clock, report=report)
