"""An account's positions, wallet and leverage as its venue last stated them. No I/O, no clock."""

from collections.abc import Callable
from dataclasses import dataclass

from slipstream._core import Rounding, mul_div, quote_value
from slipstream.domain.fill import AccountSnapshot, AccountUpdate
from slipstream.units import Px, Quote

Key = tuple[str, int]
"""(symbol, value of the position side)."""


@dataclass(slots=True)
class Holding:
    """One position. ``qty`` signed at 10**-8."""

    qty: int = 0
    entry_px: int | None = None
    leverage: int | None = None


class Holdings:
    """Mutated by its follower alone."""

    def __init__(self) -> None:
        """Start with nothing known."""
        self.wallet = 0
        self._by_key: dict[Key, Holding] = {}

    def replace(self, snapshot: AccountSnapshot) -> set[str]:
        """Take a whole reading; return the symbols whose quantity it changed.

        A position that the reading does not list is flat.
        """
        self.wallet = snapshot.wallet
        changed: set[str] = set()
        listed: set[Key] = set()
        for position in snapshot.positions:
            key = (position.symbol, position.position_side.value)
            listed.add(key)
            known = self._by_key.get(key)
            if position.qty != (0 if known is None else known.qty):
                changed.add(position.symbol)
            self._by_key[key] = Holding(position.qty, position.entry_px, position.leverage)
        for key, holding in self._by_key.items():
            if key not in listed and holding.qty:
                holding.qty = 0
                changed.add(key[0])
        return changed

    def update(self, update: AccountUpdate) -> set[str]:
        """Take a pushed change; return the symbols it speaks of."""
        if update.wallet is not None:
            self.wallet = update.wallet
        for position in update.positions:
            key = (position.symbol, position.position_side.value)
            holding = self._by_key.setdefault(key, Holding())
            holding.qty = position.qty
            holding.entry_px = position.entry_px
        return {position.symbol for position in update.positions}

    def qty(self, symbol: str, side: int) -> int:
        """Return a position, signed; 0 when there is none."""
        holding = self._by_key.get((symbol, side))
        return 0 if holding is None else holding.qty

    def held_symbols(self) -> set[str]:
        """Return the symbols with a position."""
        return {key[0] for key, holding in self._by_key.items() if holding.qty}

    def leverage(self, symbol: str) -> int | None:
        """Return the leverage the venue stated for a symbol, ``None`` while unknown."""
        for key, holding in self._by_key.items():
            if key[0] == symbol and holding.leverage is not None:
                return holding.leverage
        return None

    def set_leverage(self, symbol: str, leverage: int) -> None:
        """Take a changed leverage."""
        for key, holding in self._by_key.items():
            if key[0] == symbol:
                holding.leverage = leverage

    def value(self, mark_px: Callable[[str], Px | None]) -> tuple[Quote, Quote]:
        """Return equity at mark and an estimate of the margin in use between two readings."""
        equity, used = self.wallet, 0
        for (symbol, _), holding in self._by_key.items():
            if not holding.qty:
                continue
            mark = mark_px(symbol) or holding.entry_px
            if mark is None:
                continue
            if holding.entry_px is not None:
                equity += quote_value(mark - holding.entry_px, holding.qty, Rounding.FLOOR)
            worth = quote_value(mark, abs(holding.qty), Rounding.UP)
            used += mul_div(worth, 1, holding.leverage or 1, Rounding.UP)
        return Quote(equity), Quote(used)
