"""One tracked position of a leader: its quantity, what is known of it, what is doubted.

A position is a chain: what was, plus each fill. Statements of the venue ("after time T it is q")
are compared with the chain *at T*, so that neither order of arrival matters. A statement that the
chain cannot meet puts the position under repair; until that ends its fills are held.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from slipstream._core import PositionSide
from slipstream.domain.fill import Fill
from slipstream.domain.ids import FillId
from slipstream.engine.overtaken import Left, left_of, venue_order
from slipstream.units import NS_PER_S, Px, Qty, TimeNs

HISTORY_COUNT_MAX: Final = 1024

HISTORY_LAG_NS: Final = 5 * NS_PER_S
"""How far a venue's trade history may be behind its positions (aster.md, section 13)."""

HISTORY_LAG_MAX_NS: Final = 30 * NS_PER_S
"""A position that changes again and again is not waited for longer than this."""


class LaneKey(NamedTuple):
    """Which position: of a symbol, net or one of two sides."""

    symbol: str
    position_side: PositionSide


@dataclass(slots=True)
class Statement:
    """The venue says that the position is ``qty`` after everything up to ``ts_ms``; the fills
    that make it so are expected by ``deadline_ns``."""

    ts_ms: int
    qty: int
    deadline_ns: TimeNs


@dataclass(slots=True)
class Repair:
    """A position known to be wrong: the venue says ``qty`` at ``ts_ms``.

    First its fills are read (``is_backfilled`` tells that this was answered), then the position.
    ``deadline_ns`` is when the open question is asked again. ``began_ns``: since when it is known
    to be wrong, ``changed_ns``: since when the venue says ``qty``, ``searched_ns``: when its fills
    were last read.
    """

    ts_ms: int
    qty: int
    reason: str
    deadline_ns: TimeNs
    began_ns: TimeNs
    changed_ns: TimeNs
    searched_ns: TimeNs | None = None
    is_backfilled: bool = False
    attempt: int = 0

    def state(self, qty: int, *, ts_ms: int, now_ns: TimeNs) -> None:
        """Take a newer word of the venue for the position."""
        if qty != self.qty:
            self.changed_ns = now_ns
        self.ts_ms, self.qty = max(ts_ms, self.ts_ms), qty

    @property
    def is_searched(self) -> bool:
        """Whether fills that make it so would have been found: history lags positions."""
        if self.searched_ns is None:
            return False
        return (
            self.searched_ns - self.changed_ns >= HISTORY_LAG_NS
            or self.searched_ns - self.began_ns >= HISTORY_LAG_MAX_NS
        )


@dataclass(slots=True)
class TrackedPosition:
    """One lane of a leader. ``qty`` signed. ``floor_ms``: fills up to this venue time are already
    in ``qty``. ``is_known``: whether ``qty`` rests on a reading (and not on nothing)."""

    key: LaneKey
    floor_ms: int
    qty: int = 0
    is_known: bool = True
    stated_qty: int = 0
    entry_px: Px | None = None
    stated_ms: int = -1
    """The venue's newest word, after everything up to ``stated_ms``: what the wallet beside it is
    worth with, whatever fills are still to come."""
    last_px: Px | None = None
    confirmed_ms: int = -1
    statement: Statement | None = None
    repair: Repair | None = None
    held: list[Fill] = field(default_factory=list)
    restored_at: tuple[int, int, bool] | None = None
    """Where in ``venue_order`` an earlier process had come, until the chain was met once."""
    retold: dict[FillId, Fill] = field(default_factory=dict)
    """Fills up to ``restored_at`` that an earlier process acted on, as they were read again."""
    recorded_ms: int = -1
    """The venue time of the newest fill that an earlier process acted on."""
    _newest_ms: int = -1
    _history: deque[tuple[int, int]] = field(
        default_factory=lambda: deque(maxlen=HISTORY_COUNT_MAX)
    )

    def advance(self, fill: Fill) -> None:
        """Take a fill into the chain."""
        self.qty += fill.signed_qty
        self.last_px = fill.px
        self._history.append((fill.id.venue_ts_ms, fill.signed_qty))
        self._newest_ms = max(self._newest_ms, fill.id.venue_ts_ms)

    def qty_at(self, ts_ms: int) -> int:
        """Return the position after everything up to ``ts_ms``, as far as is remembered."""
        if ts_ms >= self._newest_ms:
            return self.qty
        return self.qty - sum(change for at_ms, change in self._history if at_ms > ts_ms)

    def qty_with_held(self, ts_ms: int | None = None) -> int:
        """Return what the position would be with the held fills (up to ``ts_ms``)."""
        start = self.qty if ts_ms is None else self.qty_at(ts_ms)
        return start + sum(
            fill.signed_qty for fill in self.held if ts_ms is None or fill.id.venue_ts_ms <= ts_ms
        )

    def is_overtaken(self, fill: Fill) -> bool:
        """Whether an earlier process acted on later fills than this one."""
        return self.restored_at is not None and venue_order(fill.id) <= self.restored_at

    def begin(self, repair: Repair) -> bool:
        """Tell from what a lane's fills began that no earlier process acted on.

        Nothing, when they make the position that was read; else what is held since before the
        mirror began, once the history had time to bring every fill.
        """
        began = repair.qty - self.qty_with_held(repair.ts_ms)
        if began and not repair.is_searched:
            return False
        self.qty, self.is_known = began, True
        return True

    def adopt(self, qty: int, *, ts_ms: int) -> None:
        """Take the venue's word for the position without fills."""
        self.qty = qty
        self.floor_ms = max(self.floor_ms, ts_ms)
        self._history.clear()

    def take_held(self) -> list[Fill]:
        """Return the fills that were held back, in the venue's order, and hold none."""
        held, self.held = sorted(self.held, key=lambda fill: venue_order(fill.id)), []
        return held

    def take_overtaken(self, waiting: Sequence[Fill], qty: int) -> list[Left]:
        """Return what is left of fills that recorded ones have passed; the position is ``qty``,
        and counts them."""
        left = left_of(waiting, self.retold.values(), qty)
        self.qty, self.restored_at = qty, None
        self.retold.clear()
        return left

    def take_passed(self, repair: Repair) -> list[Left] | None:
        """Take the held fills that recorded ones have passed, and return what is left of them;
        ``None`` where they do not make the position that the venue states."""
        ahead = [fill for fill in self.held if self.is_overtaken(fill)]
        if not ahead:
            return None
        for until_ms in (repair.ts_ms, None):
            later = sum(
                fill.signed_qty
                for fill in self.held
                if not self.is_overtaken(fill)
                and (until_ms is None or fill.id.venue_ts_ms <= until_ms)
            )
            qty = repair.qty - later
            left = left_of(ahead, self.retold.values(), qty)
            apart = qty - self.qty - sum(each.qty for each in left)
            if self.qty == qty or abs(apart) <= len(ahead) * (1 + len(self.retold)):
                left = self.take_overtaken(ahead, qty)
                self.held = [fill for fill in self.held if fill not in ahead]
                return left
        return None

    def state(self, qty: int, entry_px: Px | None, *, ts_ms: int) -> None:
        """Take the venue's word for quantity and entry price, unless a newer one is known."""
        if ts_ms >= self.stated_ms:
            self.stated_qty, self.entry_px, self.stated_ms = qty, entry_px, ts_ms

    def is_stated_by(self, wallet_ms: int) -> bool:
        """Whether the venue's word counts the newest fill, where a wallet of a time counts it."""
        return not self.stated_ms < self._newest_ms <= wallet_ms

    def expect(self, ts_ms: int, qty: int, *, deadline_ns: TimeNs) -> None:
        """Compare a pushed statement with the chain; wait for its fills when it differs."""
        if ts_ms < self.confirmed_ms:
            return
        if self.qty_at(ts_ms) == qty:
            self.confirmed_ms = ts_ms
            if self.statement is not None and self.statement.ts_ms <= ts_ms:
                self.statement = None
        elif self.statement is None or ts_ms >= self.statement.ts_ms:
            self.statement = Statement(ts_ms, qty, deadline_ns)

    def recheck(self) -> None:
        """Drop the awaited statement when the chain now meets it."""
        waiting = self.statement
        if waiting is not None and self.qty_at(waiting.ts_ms) == waiting.qty:
            self.confirmed_ms = waiting.ts_ms
            self.statement = None

    @property
    def newest_ms(self) -> int:
        """Return the venue time of the newest fill that is in the chain or came before it."""
        return max(self._newest_ms, self.floor_ms, self.recorded_ms)

    @property
    def signed_qty(self) -> Qty:
        """Return the position."""
        return Qty(self.qty)
