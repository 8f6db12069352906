"""Accounts of the simulated venue: wallet, positions, leverage, margin, histories.

All amounts are raw integers (10**-8). A position's cost is price times quantity at
10**-16, so that entry prices never drift.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from slipstream.venues.sim.amounts import UNIT, notional_of
from slipstream.venues.sim.orders import Fill, Order

DEFAULT_LEVERAGE = 20


@dataclass(slots=True)
class Position:
    """A signed position; ``cost`` is entry price times size at 10**-16, never negative."""

    symbol: str
    position_side: str
    qty: int = 0
    cost: int = 0
    realized: int = 0
    updated_ms: int = 0

    @property
    def entry_px(self) -> int:
        """Average entry price, 0 when flat."""
        return self.cost // abs(self.qty) if self.qty else 0

    def unrealized(self, mark_px: int) -> int:
        """Return the profit at a mark price, raw quote, rounded down."""
        value = abs(self.qty) * mark_px - self.cost
        return (value if self.qty > 0 else -value) // UNIT

    def apply(self, signed_qty: int, px: int) -> int:
        """Add a fill; return the realised profit (raw quote, rounded down)."""
        size = abs(signed_qty)
        if self.qty == 0 or (self.qty > 0) == (signed_qty > 0):
            self.cost += size * px
            self.qty += signed_qty
            return 0
        closing = min(size, abs(self.qty))
        entry_cost = self.cost * closing // abs(self.qty)
        direction = 1 if self.qty > 0 else -1
        profit = (closing * px - entry_cost) * direction // UNIT
        self.cost -= entry_cost
        self.qty -= closing * direction
        if size > closing:
            self.qty = -direction * (size - closing)
            self.cost = (size - closing) * px
        self.realized += profit
        return profit


@dataclass(slots=True)
class Income:
    """One row of the income history."""

    symbol: str
    kind: str
    amount: int
    at_ms: int
    trade_id: int


@dataclass(slots=True)
class Account:
    """One trading account and all that the venue remembers of it."""

    address: str
    balance: int
    hedge: bool = False
    multi_assets: bool = False
    deposited: bool = True
    is_private: bool = False
    order_limit: int = 1200
    leverage_default: int = DEFAULT_LEVERAGE
    leverages: dict[str, int] = field(default_factory=dict)
    isolated: set[str] = field(default_factory=set)
    positions: dict[tuple[str, str], Position] = field(default_factory=dict)
    open_orders: dict[int, Order] = field(default_factory=dict)
    open_by_client: dict[str, Order] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    latest_by_client: dict[tuple[str, str], Order] = field(default_factory=dict)
    fills: dict[str, list[Fill]] = field(default_factory=dict)
    incomes: list[Income] = field(default_factory=list)

    def leverage_of(self, symbol: str) -> int:
        """Return the leverage set for a symbol."""
        return self.leverages.get(symbol, self.leverage_default)

    def position(self, symbol: str, position_side: str) -> Position:
        """Return a position, made flat if there is none."""
        key = (symbol, position_side)
        found = self.positions.get(key)
        if found is None:
            found = self.positions[key] = Position(symbol, position_side)
        return found

    def position_margin(self, marks: Mapping[str, int]) -> int:
        """Return the initial margin of all positions at mark."""
        return sum(
            notional_of(marks[item.symbol], abs(item.qty)) // self.leverage_of(item.symbol)
            for item in self.positions.values()
            if item.qty
        )

    def order_margin(self) -> int:
        """Return the initial margin of open orders that may increase a position."""
        total = 0
        for order in self.open_orders.values():
            spec = order.spec
            if spec.limit_px is not None and not spec.reduce_only:
                notional = notional_of(spec.limit_px, order.remaining_qty)
                total += notional // self.leverage_of(spec.symbol)
        return total

    def unrealized(self, marks: Mapping[str, int]) -> int:
        """Return the profit of all positions at mark."""
        return sum(
            item.unrealized(marks[item.symbol]) for item in self.positions.values() if item.qty
        )

    def available(self, marks: Mapping[str, int]) -> int:
        """Return what is free for new margin, never below zero."""
        equity = self.balance + self.unrealized(marks)
        return max(equity - self.position_margin(marks) - self.order_margin(), 0)

    def increase_of(self, symbol: str, position_side: str, signed_qty: int) -> int:
        """Return by how much an order would grow the position's size (0 if it closes)."""
        held = self.position(symbol, position_side).qty
        return max(abs(held + signed_qty) - abs(held), 0)
