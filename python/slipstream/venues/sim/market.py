"""Background liquidity: a seeded generator, or recorded ladders, one maker per symbol.

A maker wants a ladder around its centre. What orders take away comes back after the
replenishment delay, not before. All randomness is drawn from the seed and the symbol.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from slipstream.venues.sim.amounts import UNIT
from slipstream.venues.sim.clock import NS_PER_MS
from slipstream.venues.sim.exchange import Exchange
from slipstream.venues.sim.instruments import Instrument
from slipstream.venues.sim.matching import BUY, SELL

DEPTH_LEVELS: Final = 60
LEVEL_GAP_PPM: Final = 100
FRAME_STEPS: Final = 5
"""A recorded frame is held this many steps: played about five times as fast as recorded."""
NORMAL_NOTIONAL: Final = 60_000 * UNIT
THIN_NOTIONAL: Final = 2_500 * UNIT
PPM: Final = 1_000_000

Ladder = dict[tuple[int, int], int]
Frame = tuple[Sequence[tuple[int, int]], Sequence[tuple[int, int]]]


@dataclass(slots=True)
class MakerSettings:
    """How a maker quotes. ``walk_ppm`` is the largest move of the centre per step."""

    level_notional: int = NORMAL_NOTIONAL
    walk_ppm: int = 60
    replenish_ns: int = 500 * NS_PER_MS
    is_frozen: bool = False
    level_count: int = DEPTH_LEVELS


class Generator:
    """Draws the ladder of one symbol around a centre that walks at random."""

    def __init__(self, instrument: Instrument, seed: int, settings: MakerSettings) -> None:
        """Quote nothing until the first step."""
        """Start at the instrument's centre."""
        self._instrument = instrument
        self._settings = settings
        self._random = Random(f"{seed}:{instrument.symbol}")  # noqa: S311 - replayed by seed
        self._sizes: Ladder = {}
        self.centre_px = instrument.centre_px

    def recentre(self, px: int) -> None:
        """Move the centre to a price."""
        self.centre_px = px

    def forget_sizes(self) -> None:
        """Draw every level anew at the next step."""
        self._sizes = {}

    def next_ladder(self) -> Ladder:
        """Walk the centre and return the wanted quantity by (side, px)."""
        span = self._settings.walk_ppm
        if span:
            move = self._random.randint(-span, span)
            self.centre_px += self.centre_px * move // PPM
        best_bid = self._instrument.floor_px(self.centre_px)
        step = self._instrument.px_step
        gap = max(self.centre_px * LEVEL_GAP_PPM // PPM // step, 1) * step
        wanted: Ladder = {}
        for side, best in ((BUY, best_bid), (SELL, best_bid + step)):
            aligned = best // gap * gap if side == BUY else -(-best // gap) * gap
            prices = [best]
            prices += [aligned - side * gap * k for k in range(self._settings.level_count)]
            for px in prices:
                if px > 0:
                    wanted[side, px] = self._size_at(side, px)
        self._sizes = wanted
        for key in self._random.sample(sorted(wanted), 2):
            wanted[key] = self._draw(key[1])
        return wanted

    def _size_at(self, side: int, px: int) -> int:
        return self._sizes.get((side, px)) or self._draw(px)

    def _draw(self, px: int) -> int:
        percent = self._random.randint(40, 160)
        qty = self._settings.level_notional * percent // 100 * UNIT // px
        return self._instrument.floor_qty(qty)


class Recording:
    """Plays recorded ladders forth and back, moved to a centre price."""

    def __init__(self, instrument: Instrument, frames: Sequence[Frame]) -> None:
        """Start at the first frame."""
        self._instrument = instrument
        self._frames = frames
        self._index = 0
        self._shown = 0
        self._direction = 1
        first_bids, first_asks = frames[0]
        self._origin_px = (first_bids[0][0] + first_asks[0][0]) // 2
        self.centre_px = instrument.centre_px

    def recentre(self, px: int) -> None:
        """Move the recording so that its present frame lies around a price."""
        bids, asks = self._frames[self._index]
        self._origin_px = (bids[0][0] + asks[0][0]) // 2
        self.centre_px = px

    def forget_sizes(self) -> None:
        """Sizes are recorded; nothing is remembered."""

    def next_ladder(self) -> Ladder:
        """Return the next frame's quantities by (side, px)."""
        bids, asks = self._frames[self._index]
        wanted: Ladder = {}
        for side, rows in ((BUY, bids), (SELL, asks)):
            for px, qty in rows:
                moved = self._moved(px, side)
                size = self._instrument.floor_qty(qty)
                wanted[side, moved] = wanted.get((side, moved), 0) + size
        self._shown += 1
        if len(self._frames) > 1 and self._shown % FRAME_STEPS == 0:
            following = self._index + self._direction
            if not 0 <= following < len(self._frames):
                self._direction = -self._direction
            self._index += self._direction
        return wanted

    def _moved(self, px: int, side: int) -> int:
        scaled = px * self.centre_px // self._origin_px
        floored = self._instrument.floor_px(scaled)
        # Asks round up, so that a moved ladder never crosses itself.
        return floored + self._instrument.px_step if side == SELL else floored


class Maker:
    """Keeps one symbol's background at its ladder, with delayed replenishment."""

    def __init__(
        self,
        exchange: Exchange,
        symbol: str,
        source: Generator | Recording,
        settings: MakerSettings,
    ) -> None:
        """Quote nothing until the first step."""
        self._exchange = exchange
        self._symbol = symbol
        self._book = exchange.books[symbol]
        self._quoted: Ladder = {}
        self._refill_at_ns: dict[tuple[int, int], int] = {}
        self._is_mark_pinned = False
        self.source = source
        self.settings = settings

    def on_taken(self, side: int, px: int, now_ns: int) -> None:
        """Note that orders took from a level; it is restored after the delay."""
        self._refill_at_ns[side, px] = now_ns + self.settings.replenish_ns

    @property
    def has_taken(self) -> bool:
        """Whether a taken level still waits to be restored."""
        return bool(self._refill_at_ns)

    def pin_mark(self, px: int | None) -> None:
        """Hold the mark price, or let it follow the mid again (None)."""
        self._is_mark_pinned = px is not None
        if px is not None:
            self._exchange.marks[self._symbol] = px

    def recentre(self, px: int, now_ns: int) -> None:
        """Move the ladder around a price at once, the mark with it."""
        self.source.recentre(px)
        if not self._is_mark_pinned:
            self._exchange.marks[self._symbol] = px
        self._requote(now_ns)

    def step(self, now_ns: int) -> None:
        """Walk once, restore what is due, and let the mark follow the mid."""
        if not self.settings.is_frozen:
            self._requote(now_ns)
        bid, ask = self._book.bids.best_px(), self._book.asks.best_px()
        if bid is not None and ask is not None and not self._is_mark_pinned:
            self._exchange.marks[self._symbol] = (bid + ask) // 2

    def forget_sizes(self) -> None:
        """Draw every level anew at the next step."""
        self.source.forget_sizes()

    def replace(self, ladder: Ladder, now_ns: int) -> None:
        """Set exactly this background and hold it, replenishment included."""
        self.settings.is_frozen = True
        self._refill_at_ns.clear()
        self._apply(ladder, now_ns)

    def restore_due(self, now_ns: int) -> None:
        """Restore taken levels of a frozen ladder whose delay is over."""
        if self._refill_at_ns and self.settings.is_frozen:
            self._apply(self._quoted, now_ns)

    def _requote(self, now_ns: int) -> None:
        self._apply(self.source.next_ladder(), now_ns)

    def _apply(self, wanted: Ladder, now_ns: int) -> None:
        rows: list[tuple[int, int, int]] = []
        for side, px in self._quoted.keys() - wanted.keys():
            rows.append((side, px, 0))
        rows += self._changed(wanted, now_ns)
        self._quoted = wanted
        if rows:
            self._exchange.quote(self._symbol, rows, now_ns)
        stale = [key for key, due in self._refill_at_ns.items() if due <= now_ns]
        for key in stale:
            del self._refill_at_ns[key]

    def _changed(self, wanted: Ladder, now_ns: int) -> list[tuple[int, int, int]]:
        """Return the levels to set: those that differ, and the taken ones that are due."""
        quoted, refill_at_ns = self._quoted, self._refill_at_ns
        if not refill_at_ns:
            return [(*key, qty) for key, qty in wanted.items() if quoted.get(key) != qty]
        rows: list[tuple[int, int, int]] = []
        for key, qty in wanted.items():
            refill_ns = refill_at_ns.get(key)
            if refill_ns is not None:
                if refill_ns > now_ns:
                    continue
                del refill_at_ns[key]
            elif quoted.get(key) == qty:
                continue
            rows.append((*key, qty))
        return rows
