"""A core without sockets, for tests: one book, one account, and a listener that notes."""

from dataclasses import dataclass, field
from typing import Any

from slipstream.venues.sim.accounts import Account, Position
from slipstream.venues.sim.amounts import parse_raw
from slipstream.venues.sim.clock import VenueClock
from slipstream.venues.sim.exchange import Exchange, new_account
from slipstream.venues.sim.instruments import listed_instruments
from slipstream.venues.sim.log import EventLog
from slipstream.venues.sim.matching import BUY, SELL, Change
from slipstream.venues.sim.orders import Fill, Order, OrderSpec, TimeInForce

NOW_NS = 10**12


@dataclass
class Notes:
    """A listener that keeps what it hears."""

    orders: list[tuple[str, str, str, Fill | None]] = field(default_factory=list)
    accounts: list[tuple[str, dict[str, int], int]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    prints: list[tuple[Fill, str, str]] = field(default_factory=list)

    def on_order(self, account: Account, order: Order, execution: str, fill: Fill | None) -> None:
        self.orders.append((account.address, execution, order.status.value, fill))

    def on_account(
        self, account: Account, reason: str, positions: list[Position], at_ms: int
    ) -> None:
        del reason
        held = {item.position_side: item.qty for item in positions}
        self.accounts.append((account.address, held, at_ms))

    def on_change(self, symbol: str, change: Change, now_ns: int) -> None:
        del symbol, now_ns
        self.changes.append(change)

    def on_print(self, fill: Fill, taker: str, maker: str) -> None:
        self.prints.append((fill, taker, maker))

    def on_settled(self) -> None:
        """Nothing is buffered here."""


def open_exchange() -> tuple[Exchange, Notes]:
    """Return a core whose BTCUSDT book has three levels of 1 BTC on each side."""
    clock = VenueClock()
    exchange = Exchange(listed_instruments(["BTCUSDT"]), clock, EventLog(clock))
    notes = Notes()
    exchange.listener = notes
    rows = [(BUY, parse_raw(px), parse_raw("1")) for px in ("99.9", "99.8", "99.7")]
    rows += [(SELL, parse_raw(px), parse_raw("1")) for px in ("100.1", "100.2", "100.3")]
    exchange.marks["BTCUSDT"] = parse_raw("100")
    exchange.quote("BTCUSDT", rows, NOW_NS)
    return exchange, notes


def open_account(exchange: Exchange, name: str = "0xa", balance: str = "1000") -> Account:
    account = new_account(name, parse_raw(balance))
    exchange.accounts[name] = account
    return account


def spec_of(side: int, qty: str, px: str | None, **changes: Any) -> OrderSpec:  # noqa: ANN401 - any field of the order
    """Return an IOC order on BTCUSDT, with changes."""
    fields: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "side": side,
        "qty": parse_raw(qty),
        "limit_px": None if px is None else parse_raw(px),
        "time_in_force": TimeInForce.IOC,
        "position_side": "BOTH",
        "reduce_only": False,
        "client_order_id": "c1",
    }
    fields.update(changes)
    return OrderSpec(**fields)


def send(exchange: Exchange, account: Account, spec: OrderSpec) -> Order:
    """Accept and execute an order at once."""
    order = exchange.accept(account, spec, NOW_NS)
    exchange.execute(order, NOW_NS)
    return order
