"""What the venue's own log says happened, read once and in order for the recount.

Books are dictionaries rebuilt from the venue's changes, one after another; only the states that
some recorded order names are kept. Fills are summed as they pass.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from slipstream.telemetry.evidence import Line, OrderKey

BookKey = tuple[str, int]
"""(symbol, sequence)."""

IGNORED_KINDS: Final = ("request", "stream", "admin")


@dataclass(slots=True)
class BookState:
    """One symbol's book: quantity by price."""

    bids: dict[Decimal, Decimal] = field(default_factory=dict)
    asks: dict[Decimal, Decimal] = field(default_factory=dict)

    def change(self, line: Line) -> None:
        """Apply one line: absolute quantities, zero deletes, a snapshot replaces."""
        if line.get("snapshot"):
            self.bids.clear()
            self.asks.clear()
        for half, rows in ((self.bids, line["bids"]), (self.asks, line["asks"])):
            for px_text, qty_text in rows:
                qty = Decimal(qty_text)
                if qty:
                    half[Decimal(px_text)] = qty
                else:
                    half.pop(Decimal(px_text), None)

    def copy(self) -> "BookState":
        """Return the book as it stands."""
        return BookState(dict(self.bids), dict(self.asks))

    def best(self, side: str) -> Decimal | None:
        """Return the best price an order of a side would take; the other side's if none."""
        ask, bid = min(self.asks, default=None), max(self.bids, default=None)
        return (ask or bid) if side == "BUY" else (bid or ask)

    def mid(self) -> Decimal | None:
        """Return the middle of the best prices, ``None`` when a side is empty."""
        if not self.bids or not self.asks:
            return None
        return (max(self.bids) + min(self.asks)) / 2

    def levels(self, side: str) -> list[tuple[Decimal, Decimal]]:
        """Return what an order of a side would take, best first."""
        if side == "BUY":
            return sorted(self.asks.items())
        return sorted(self.bids.items(), reverse=True)


@dataclass(slots=True)
class VenueOrder:
    """One follower's order as the venue had it. ``ended_ns``: of its last line."""

    ids: set[str]
    symbol: str
    side: str
    qty: Decimal
    limit_px: Decimal | None
    arrival_ns: int
    ended_ns: int
    executed_on_sequence: int
    filled_qty: Decimal


class VenueRecord:
    """The venue's log, as far as it concerns the followers."""

    def __init__(
        self, lines: Iterable[Line], *, accounts: Collection[str], named: Collection[BookKey]
    ) -> None:
        """Read the log once; keep the book states that are ``named``.

        Raises:
            KeyError: a line lacks what the counting needs; the evidence is not complete.
        """
        self._accounts = accounts
        self._named = named
        self._live: dict[str, BookState] = defaultdict(BookState)
        self._newest: dict[str, int] = {}
        self.books: dict[BookKey, BookState] = {}
        self.superseded_ns: dict[BookKey, int] = {}
        self.orders: dict[OrderKey, VenueOrder] = {}
        self.fill_prices: dict[OrderKey, list[Decimal]] = defaultdict(list)
        self.held: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        """Signed position by (account, symbol), from the fills."""
        for line in lines:
            match line["kind"]:
                case "book":
                    self._take_book(line)
                case "fill" if line["account"] in accounts:
                    self._take_fill(line)
                case "order" if line["account"] in accounts:
                    self._take_order(line)

    def _take_book(self, line: Line) -> None:
        symbol, sequence = line["symbol"], line["sequence"]
        before = self._newest.get(symbol)
        if before is not None and before != sequence and (symbol, before) in self._named:
            self.superseded_ns[symbol, before] = line["ns"]
        book = self._live[symbol]
        book.change(line)
        self._newest[symbol] = sequence
        if (symbol, sequence) in self._named:
            self.books[symbol, sequence] = book.copy()

    def _take_fill(self, line: Line) -> None:
        qty = Decimal(line["qty"])
        self.held[line["account"], line["symbol"]] += qty if line["side"] == "BUY" else -qty
        self.fill_prices[line["account"], line["client_order_id"]].append(Decimal(line["px"]))

    def _take_order(self, line: Line) -> None:
        key = (line["account"], line["client_order_id"])
        known = self.orders.get(key)
        name = str(line["order_id"])
        if known is not None and name not in known.ids:
            known.ids.add(name)
            return
        limit_px = line["limit_px"]
        self.orders[key] = VenueOrder(
            {name} if known is None else known.ids,
            line["symbol"],
            line["side"],
            Decimal(line["qty"]),
            None if limit_px is None else Decimal(limit_px),
            line["arrival_ns"],
            line["ns"],
            line["executed_on_sequence"],
            Decimal(line["filled_qty"]),
        )
