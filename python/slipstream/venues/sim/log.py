"""The complete log of the simulated venue: one JSON line per thing that happened.

Lines are encoded at once and kept as bytes, so that a long log costs the garbage
collector nothing. ``seq`` counts from 1 without holes.
"""

from collections import Counter
from typing import Any

import orjson

from slipstream.venues.sim.clock import VenueClock


class EventLog:
    """Append-only memory of requests, orders, fills, books, streams, faults, checks."""

    def __init__(self, clock: VenueClock) -> None:
        """Start empty."""
        self._clock = clock
        self._lines: list[bytes] = []
        self.counts: Counter[str] = Counter()

    def __len__(self) -> int:
        """Return how many lines there are."""
        return len(self._lines)

    def append(self, kind: str, now_ns: int, fields: dict[str, Any]) -> None:
        """Add one line; ``ns`` is CLOCK_MONOTONIC, ``ms`` the venue's wall clock."""
        head = {
            "seq": len(self._lines) + 1,
            "kind": kind,
            "ns": now_ns,
            "ms": self._clock.event_ms(now_ns),
        }
        head.update(fields)
        self.counts[kind] += 1
        self._lines.append(orjson.dumps(head))

    def lines_after(self, sequence: int, limit: int | None = None) -> list[bytes]:
        """Return the lines whose ``seq`` is greater than a number."""
        stop = None if limit is None else sequence + limit
        return self._lines[max(sequence, 0) : stop]
