"""What a reading tells of a position whose quantity fits: when it changed last.

A position that was opened and closed unheard is what it was. Only the time of its last change,
where a venue states one, shows that fills are missing: certainly, when no fill is as new, and
perhaps even so, because a fill heard later hides those before it.
"""

from dataclasses import dataclass

from slipstream.engine.position import HISTORY_LAG_NS
from slipstream.units import TimeNs

__all__ = ["StatedChange"]


@dataclass(slots=True)
class StatedChange:
    """The newest change of a position that the venue stated. ``ts_ms``: venue time.

    ``heard_ns``: when it was first read. ``is_searched``: whether fills that explain it would
    have been found: history lags positions.
    """

    ts_ms: int
    heard_ns: TimeNs
    is_searched: bool = False

    def hear(self, ts_ms: int, *, now_ns: TimeNs) -> None:
        """Take the time of the last change from a reading."""
        if ts_ms > self.ts_ms:
            self.ts_ms, self.heard_ns, self.is_searched = ts_ms, now_ns, False

    def on_search(self, *, now_ns: TimeNs) -> None:
        """Take note that the history of fills was read."""
        if now_ns - self.heard_ns >= HISTORY_LAG_NS:
            self.is_searched = True

    def is_owed(self, known_ms: int) -> bool:
        """Whether fills of a change later than ``known_ms`` are to be searched."""
        return self.ts_ms > known_ms and not self.is_searched
