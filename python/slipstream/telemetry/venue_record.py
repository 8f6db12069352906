"""What the venue's own log says happened, read once and in order for the recount.

Books are dictionaries rebuilt from the venue's changes, and only those that some recorded order
names: from the last whole book before it. Fills are summed as they pass.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from slipstream.telemetry.evidence import Claim, Line, OrderKey

BookKey = tuple[str, int]
"""(symbol, sequence)."""

IGNORED_KINDS: Final = ("request", "stream", "admin", "signature")
FOREIGN_NAMES: Final = ("autoclose-", "adl_autoclose", "web_", "ios_", "android_")
"""How client order ids begin that the venue or a person at its page gave (Aster, 2026-07)."""
FALSE_BOOKS: Final = ("crossed_book", "empty_book")
"""Faults by which the simulated venue publishes what its book never was."""


@dataclass(slots=True)
class BookState:
    """One symbol's book: quantity by price."""

    bids: dict[Decimal, Decimal] = field(default_factory=dict)
    asks: dict[Decimal, Decimal] = field(default_factory=dict)

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


class BookHistory:
    """The changes of one symbol's book, in order; a book starts empty."""

    def __init__(self) -> None:
        """Start without any."""
        self._lines: list[Line] = []
        self._last: dict[int, int] = {}
        """By sequence, the place of its last line."""
        self._wholes: list[int] = []

    def add(self, line: Line) -> None:
        """Take the next change."""
        if line.get("snapshot"):
            self._wholes.append(len(self._lines))
        self._last[line["sequence"]] = len(self._lines)
        self._lines.append(line)

    def at(self, sequences: Collection[int]) -> dict[int, BookState]:
        """Return the book at each sequence that ever was."""
        found: dict[int, BookState] = {}
        bids: dict[str, str] = {}
        asks: dict[str, str] = {}
        done, wholes = -1, iter([*self._wholes, len(self._lines)])
        whole = next_whole = -1
        for place, sequence in sorted((self._last[s], s) for s in sequences if s in self._last):
            while next_whole <= place:
                whole, next_whole = next_whole, next(wholes)
            if whole > done:
                done = whole - 1
            for line in self._lines[done + 1 : place + 1]:
                _change(bids, asks, line)
            done = max(done, place)
            found[sequence] = BookState(_exact(bids), _exact(asks))
        return found

    def superseded_ns(self, sequence: int) -> int | None:
        """Return when another sequence came, ``None`` when none did."""
        place = self._last.get(sequence)
        if place is None or place + 1 >= len(self._lines):
            return None
        ns: int = self._lines[place + 1]["ns"]
        return ns


def _change(bids: dict[str, str], asks: dict[str, str], line: Line) -> None:
    """Apply one line: absolute quantities, zero deletes, a snapshot replaces.

    Prices stay text here: one price has one text in one log.
    """
    if line.get("snapshot"):
        bids.clear()
        asks.clear()
    for half, rows in ((bids, line["bids"]), (asks, line["asks"])):
        for px, qty in rows:
            half[px] = qty


def _exact(half: dict[str, str]) -> dict[Decimal, Decimal]:
    levels = ((Decimal(px), Decimal(qty)) for px, qty in half.items())
    return {px: qty for px, qty in levels if qty}


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


@dataclass(frozen=True, slots=True)
class LeaderFill:
    """One fill of a leader's account. ``qty`` signed."""

    account: str
    symbol: str
    trade_id: str
    qty: Decimal
    at_ms: int
    ns: int


@dataclass(slots=True)
class LeaderAccount:
    """A leader's wallet and net positions, each as they became after every fill.

    ``wallets``: (ns, wallet). ``lanes``: by symbol (ns, signed quantity, entry price).
    ``first_ns``: by venue millisecond, when its first fill was.
    ``is_whole``: the log tells what the account began with, and no side was held apart.
    ``behind_ns``: fills that the venue dated before an earlier one, because its clock stepped.
    """

    wallets: list[tuple[int, Decimal]] = field(default_factory=list)
    lanes: dict[str, list[tuple[int, Decimal, Decimal]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    is_whole: bool = False
    behind_ns: set[int] = field(default_factory=set)
    newest_ms: int = 0
    first_ns: dict[int, int] = field(default_factory=dict)

    def begin(self, line: Line) -> None:
        """Take what the account begins with."""
        self.is_whole = all(side == "BOTH" for _, side, _, _ in line["positions"])
        self.wallets.append((line["ns"], Decimal(line["wallet"])))
        for symbol, _, qty, px in line["positions"]:
            self.lanes[symbol].append((line["ns"], Decimal(qty), Decimal(px)))

    def take(self, line: Line) -> None:
        """Take what a fill made of it."""
        if line.get("position_side") != "BOTH":
            self.is_whole = False
            return
        ns = line["ns"]
        if line["at_ms"] < self.newest_ms:
            self.behind_ns.add(ns)
        self.newest_ms = max(self.newest_ms, line["at_ms"])
        self.first_ns.setdefault(line["at_ms"], ns)
        lane = self.lanes[line["symbol"]]
        if not lane:
            lane.append((0, Decimal(0), Decimal(0)))
        lane.append((ns, Decimal(line["position_after"]), Decimal(line["entry_after"])))
        self.wallets.append((ns, Decimal(line["wallet_after"])))


class MarkHistory:
    """The mark prices of one symbol that the venue told somebody, in order."""

    def __init__(self) -> None:
        """Start without any."""
        self._told_ns: list[int] = []
        self._prices: list[Decimal] = []

    def add(self, line: Line) -> None:
        """Take the next one."""
        self._told_ns.append(line["ns"])
        self._prices.append(Decimal(line["px"]))

    def superseded_for_ns(self, px: Decimal, at_ns: int | None) -> int | None:
        """Return for how long a mark had been superseded at an instant (``None``: at the end of
        the log), 0 while it was the newest; ``None``: it was not told until then."""
        count = len(self._told_ns) if at_ns is None else bisect_right(self._told_ns, at_ns)
        for place in range(count - 1, -1, -1):
            if self._prices[place] == px:
                is_newest = place + 1 == count
                return 0 if is_newest or at_ns is None else at_ns - self._told_ns[place + 1]
        return None

    def within(self, first_ns: int, last_ns: int) -> list[Decimal]:
        """Return what stood at some instant of a span, the mark at its beginning included."""
        begin = max(bisect_right(self._told_ns, first_ns) - 1, 0)
        return self._prices[begin : bisect_right(self._told_ns, last_ns)]


class VenueRecord:
    """The venue's log, as far as it concerns the followers and the leaders."""

    def __init__(
        self,
        lines: Iterable[Line],
        *,
        accounts: Collection[str],
        leaders: Collection[str],
        named: Collection[BookKey],
    ) -> None:
        """Read the log once; rebuild the books that are ``named``.

        Raises:
            KeyError: a line lacks what the counting needs; the evidence is not complete.
        """
        self._accounts = accounts
        self.orders: dict[OrderKey, VenueOrder] = {}
        self.fill_prices: dict[OrderKey, list[Decimal]] = defaultdict(list)
        self.held: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        """Signed position by (account, symbol) that the engine's orders built, from the fills."""
        self.foreign: dict[tuple[str, str], list[Decimal]] = defaultdict(list)
        """Signed fills of orders that the venue or a person made, by (account, symbol)."""
        self.leader_fills: list[LeaderFill] = []
        self.leader_accounts: dict[str, LeaderAccount] = defaultdict(LeaderAccount)
        self.last_ns = 0
        self.marks: dict[str, MarkHistory] = defaultdict(MarkHistory)
        self._false_ns: dict[str, list[int]] = defaultdict(list)
        self._false_sequences: set[tuple[str, int | None]] = set()
        newest: dict[str, int] = {}
        books: dict[str, BookHistory] = defaultdict(BookHistory)
        for line in lines:
            self.last_ns = line["ns"]
            match line["kind"]:
                case "account" if line["account"] in leaders:
                    self.leader_accounts[line["account"]].begin(line)
                case "book":
                    books[line["symbol"]].add(line)
                    newest[line["symbol"]] = line["sequence"]
                case "fill":
                    self._take_fill(line, leaders)
                case "mark":
                    self.marks[line["symbol"]].add(line)
                case "order" if line["account"] in accounts:
                    self._take_order(line)
                case "fault" if line["fault"] in FALSE_BOOKS and "event" not in line:
                    self._take_false_book(line, newest.get(line["symbol"]))
        self.books: dict[BookKey, BookState] = {}
        self.superseded_ns: dict[BookKey, int] = {}
        self._keep_books(books, named)

    def _keep_books(self, books: Mapping[str, BookHistory], named: Collection[BookKey]) -> None:
        for symbol, history in books.items():
            sequences = {sequence for name, sequence in named if name == symbol}
            for sequence, book in history.at(sequences).items():
                self.books[symbol, sequence] = book
                ns = history.superseded_ns(sequence)
                if ns is not None:
                    self.superseded_ns[symbol, sequence] = ns

    def was_false(self, claim: Claim, *, age_ns: int) -> bool:
        """Whether the venue published another book than its own: under a sequence that a claim
        names, or shortly before its order came."""
        sequences = (claim.reference_sequence, claim.book_sequence)
        if any((claim.symbol, each) in self._false_sequences for each in sequences):
            return True
        order = self.orders.get(claim.key)
        return order is not None and any(
            0 <= order.arrival_ns - ns <= age_ns for ns in self._false_ns[order.symbol]
        )

    def _take_false_book(self, line: Line, sequence: int | None) -> None:
        self._false_ns[line["symbol"]].append(line["ns"])
        if sequence is not None:
            self._false_sequences.add((line["symbol"], sequence))

    def _take_fill(self, line: Line, leaders: Collection[str]) -> None:
        if line["account"] in self._accounts:
            self._take_own_fill(line)
        if line["account"] in leaders:
            self._take_leader_fill(line)

    def _take_own_fill(self, line: Line) -> None:
        lane = (line["account"], line["symbol"])
        qty = _signed(line)
        if line["client_order_id"].startswith(FOREIGN_NAMES):
            self.foreign[lane].append(qty)
            return
        self.held[lane] += qty
        self.fill_prices[line["account"], line["client_order_id"]].append(Decimal(line["px"]))

    def _take_leader_fill(self, line: Line) -> None:
        self.leader_fills.append(
            LeaderFill(
                line["account"],
                line["symbol"],
                str(line["trade_id"]),
                _signed(line),
                line["at_ms"],
                line["ns"],
            )
        )
        self.leader_accounts[line["account"]].take(line)

    def _take_order(self, line: Line) -> None:
        is_refused = line["order_id"] is None
        if is_refused or line["client_order_id"].startswith(FOREIGN_NAMES):
            return
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


def _signed(line: Line) -> Decimal:
    qty = Decimal(line["qty"])
    return qty if line["side"] == "BUY" else -qty
