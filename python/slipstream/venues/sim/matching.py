"""A price-time order book: background liquidity and resting orders, all integers.

The book knows no account, clock or wire. At each price there is one queue; what came
first is filled first. Entry id 0 is the background. Each flushed set of changes gets
the next sequence number; between flushes the book is one atomic step.
"""

from bisect import bisect_left, insort
from collections import deque
from typing import Final, NamedTuple

BUY: Final = 1
SELL: Final = -1
BACKGROUND: Final = 0


class Match(NamedTuple):
    """One execution against a resting entry. ``maker_id`` 0 is the background."""

    px: int
    qty: int
    maker_id: int


class Change(NamedTuple):
    """Absolute quantities of the levels that one step changed; 0 removes a level."""

    sequence: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


class Level:
    """The queue of one price: lists of ``[entry id, quantity]`` and their sum."""

    __slots__ = ("queue", "total")

    def __init__(self) -> None:
        """Start without entries."""
        self.queue: deque[list[int]] = deque()
        self.total = 0

    def quantity_of(self, entry_id: int) -> int:
        """Return what one entry has left here."""
        return sum(qty for owner, qty in self.queue if owner == entry_id)


class Half:
    """One side of a book, prices kept ascending."""

    __slots__ = ("levels", "prices", "side")

    def __init__(self, side: int) -> None:
        """Start without levels."""
        self.side = side
        self.levels: dict[int, Level] = {}
        self.prices: list[int] = []

    def best_px(self) -> int | None:
        """Return the best price, or None when the side is empty."""
        if not self.prices:
            return None
        return self.prices[-1] if self.side == BUY else self.prices[0]

    def level(self, px: int) -> Level:
        """Return the level at a price, made if missing."""
        level = self.levels.get(px)
        if level is None:
            level = self.levels[px] = Level()
            insort(self.prices, px)
        return level

    def drop_if_empty(self, px: int) -> None:
        """Forget a level without quantity."""
        level = self.levels.get(px)
        if level is not None and level.total == 0:
            del self.levels[px]
            del self.prices[bisect_left(self.prices, px)]

    def top(self, count: int) -> list[tuple[int, int]]:
        """Return up to ``count`` levels, best first."""
        prices = self.prices
        chosen = prices[: -count - 1 : -1] if self.side == BUY else prices[:count]
        return [(px, self.levels[px].total) for px in chosen]


class Book:
    """The order book of one symbol."""

    def __init__(self, symbol: str, *, sequence: int = 1_000) -> None:
        """Start empty at a sequence."""
        self.symbol = symbol
        self.sequence = sequence
        self.bids = Half(BUY)
        self.asks = Half(SELL)
        self._dirty: set[tuple[int, int]] = set()

    def half(self, side: int) -> Half:
        """Return the side that rests orders of this side."""
        return self.bids if side == BUY else self.asks

    def insert(self, side: int, px: int, qty: int, entry_id: int) -> None:
        """Rest a quantity at the back of the queue of a price."""
        level = self.half(side).level(px)
        level.queue.append([entry_id, qty])
        level.total += qty
        self._dirty.add((side, px))

    def remove(self, side: int, px: int, entry_id: int) -> int:
        """Take an entry out; return the quantity it had left (0 if not there)."""
        half = self.half(side)
        level = half.levels.get(px)
        if level is None:
            return 0
        removed = level.quantity_of(entry_id)
        if removed:
            level.queue = deque(e for e in level.queue if e[0] != entry_id)
            level.total -= removed
            half.drop_if_empty(px)
            self._dirty.add((side, px))
        return removed

    def background_at(self, side: int, px: int) -> int:
        """Return the background quantity at a price."""
        level = self.half(side).levels.get(px)
        return 0 if level is None else level.quantity_of(BACKGROUND)

    def quote(self, side: int, px: int, qty: int) -> None:
        """Set the background quantity at a price; growth goes to the queue's back."""
        held = self.background_at(side, px)
        if qty > held:
            self.insert(side, px, qty - held, BACKGROUND)
        elif qty < held:
            self.remove(side, px, BACKGROUND)
            if qty:
                self.insert(side, px, qty, BACKGROUND)

    def crosses(self, side: int, px: int) -> bool:
        """Return whether an order of this side and limit would execute at once."""
        best = self.half(-side).best_px()
        return best is not None and (best - px) * side <= 0

    def available(self, side: int, limit_px: int | None) -> int:
        """Return what an order of this side could execute inside its limit."""
        half = self.half(-side)
        return sum(
            level.total
            for px, level in half.levels.items()
            if limit_px is None or (px - limit_px) * side <= 0
        )

    def take(self, side: int, qty: int, limit_px: int | None) -> list[Match]:
        """Execute up to a quantity against the other side, best price first."""
        half = self.half(-side)
        matches: list[Match] = []
        while qty:
            px = half.best_px()
            if px is None or (limit_px is not None and (px - limit_px) * side > 0):
                break
            level = half.levels[px]
            while qty and level.queue:
                entry = level.queue[0]
                part = min(qty, entry[1])
                matches.append(Match(px, part, entry[0]))
                qty -= part
                entry[1] -= part
                level.total -= part
                if entry[1] == 0:
                    level.queue.popleft()
            self._dirty.add((-side, px))
            half.drop_if_empty(px)
        return matches

    def flush(self) -> Change | None:
        """Close the step: number the changed levels, or None when nothing changed."""
        if not self._dirty:
            return None
        self.sequence += 1
        change = Change(self.sequence, [], [])
        for side, px in self._dirty:
            half = self.half(side)
            level = half.levels.get(px)
            rows = change.bids if side == BUY else change.asks
            rows.append((px, 0 if level is None else level.total))
        self._dirty.clear()
        return change
