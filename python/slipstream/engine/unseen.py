"""What a reading tells of a position whose quantity fits: when it changed last.

A position that was opened and closed unheard is what it was. Only the time of its last change,
where a venue states one, shows that fills are missing: certainly, when no fill is as new, and
perhaps even so, because a fill heard later hides those before it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from slipstream.domain.fill import PositionState
from slipstream.engine.account import LeaderAccount
from slipstream.engine.effects import Backfill, Effect
from slipstream.engine.position import HISTORY_LAG_NS, LaneKey
from slipstream.units import TimeNs


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


class StatedChanges:
    """What readings told of when each position of an account changed last."""

    def __init__(self) -> None:
        """Nothing was read."""
        self._by_lane: dict[LaneKey, StatedChange] = {}

    def on_search(self, symbol: str, *, now_ns: TimeNs) -> None:
        """Take note that a symbol's fills were read."""
        for key, change in self._by_lane.items():
            if key.symbol == symbol:
                change.on_search(now_ns=now_ns)

    def on_reading(
        self,
        account: LeaderAccount,
        states: Iterable[PositionState],
        *,
        now_ns: TimeNs,
        is_audit: bool,
    ) -> list[Effect]:
        """Search the fills of positions that fit, and yet changed after their newest fill.

        An audit searches them all: what was opened and closed unheard hides behind a later fill.
        """
        symbols: dict[str, None] = {}
        for state in states:
            lane = account.lane(LaneKey(state.symbol, state.position_side))
            if not state.changed_ms or lane.repair is not None:
                continue
            change = self._by_lane.setdefault(lane.key, StatedChange(state.changed_ms, now_ns))
            change.hear(state.changed_ms, now_ns=now_ns)
            if change.is_owed(lane.floor_ms if is_audit else lane.newest_ms):
                symbols[state.symbol] = None
        reason = "it changed" if is_audit else "it changed after its newest fill"
        return [Backfill(symbol, reason) for symbol in symbols]
