"""Finds what a leader's stream lost without a word.

A stream may drop a fill, or belong to a listen key that somebody deleted, and look alive: the
venue still answers on it. So the leader's positions are read now and then although all seems
well, and a fill that only a reading brought shows that the stream cannot be trusted.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from slipstream.domain.fill import Fill
from slipstream.domain.ids import FillId
from slipstream.transport.clock import Clock
from slipstream.units import NS_PER_MS, NS_PER_S

READ_NS: Final = 20 * NS_PER_S
"""How often positions are read: a lost fill is found within half of the minute in which it must
be traded."""

QUIET_NS: Final = NS_PER_S
"""A reading waits for the stream to pause that long, at most for another ``READ_NS``: beside a
burst it would find differences that are only on their way."""

LOOK_S: Final = 1.0
LOST_NS: Final = 5 * NS_PER_S
"""A fill this old that a live stream did not bring was lost by it."""


class LeaderWatch:
    """What is known of one leader's stream, and when its account was last read."""

    def __init__(self, clock: Clock, venue_ms: Callable[[], int]) -> None:
        """Begin with a stream that is not up. ``venue_ms``: the venue's clock."""
        self._clock = clock
        self._venue_ms = venue_ms
        self._heard_ns = self._read_ns = clock.now_ns()
        self._up_ms: int | None = None
        self._awaited: dict[FillId, Fill] = {}

    def on_heard(self, fills: Iterable[Fill] = ()) -> None:
        """The stream said something, perhaps of fills that a reading brought before."""
        self._heard_ns = self._clock.now_ns()
        if self._awaited:
            for fill in fills:
                self._awaited.pop(fill.id, None)

    def on_read(self) -> None:
        """The account is being read."""
        self._read_ns = self._clock.now_ns()

    def on_up(self) -> None:
        """The stream is live: fills from now on are its business."""
        self._up_ms = self._venue_ms()
        self._awaited.clear()

    def on_down(self) -> None:
        """The stream is down: what happens meanwhile is read."""
        self._up_ms = None
        self._awaited.clear()

    @property
    def is_due(self) -> bool:
        """Whether the account should be read now."""
        now_ns = self._clock.now_ns()
        is_quiet = now_ns - self._heard_ns >= QUIET_NS
        return now_ns - self._read_ns >= (READ_NS if is_quiet else 2 * READ_NS)

    async def run(
        self, read: Callable[[], Awaitable[object]], on_lost: Callable[[Fill], None]
    ) -> None:
        """Read whenever it is due and tell of lost fills, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            fill = self.lost()
            if fill is not None:
                on_lost(fill)
            if self.is_due:
                await read()

    def lost(self, news: Iterable[Fill] = ()) -> Fill | None:
        """Return a fill that only a reading brought, and a live stream should have long ago.

        ``news``: what a reading brought just now. What the stream may still bring is kept, to be
        judged by a later call. Says so once for each time that the stream came up.
        """
        up_ms = self._up_ms
        if up_ms is None:
            return None
        self._awaited.update({fill.id: fill for fill in news if fill.id.venue_ts_ms > up_ms})
        latest_ms = self._venue_ms() - LOST_NS // NS_PER_MS
        for fill in self._awaited.values():
            if fill.id.venue_ts_ms < latest_ms:
                self.on_down()
                return fill
        return None
