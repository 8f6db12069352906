"""The matching venue behind every wire face: books, accounts, orders, events.

Everything happens in single steps on one thread: an order is accepted, then executed
(possibly later, by the matching delay); each step flushes its book once and tells the
listener what happened. The core knows no socket and no wire format.
"""

from collections.abc import Callable
from typing import Final, Protocol

from slipstream.venues.sim.accounts import Account, Income, Position
from slipstream.venues.sim.amounts import UNIT, notional_of, to_plain
from slipstream.venues.sim.clock import VenueClock
from slipstream.venues.sim.instruments import Instrument
from slipstream.venues.sim.log import EventLog
from slipstream.venues.sim.matching import BACKGROUND, BUY, Book, Change, Match
from slipstream.venues.sim.orders import (
    Fill,
    Order,
    OrderSpec,
    Refused,
    Status,
    TimeInForce,
    Why,
)

MAKER_PPM: Final = 100
TAKER_PPM: Final = 350
OPEN_ORDERS_MAX: Final = 200
SNAPSHOT_EVERY: Final = 500


class Listener(Protocol):
    """What a wire face hears from the core."""

    def on_order(self, account: Account, order: Order, execution: str, fill: Fill | None) -> None:
        """An order changed: NEW, TRADE, CANCELED or EXPIRED."""

    def on_account(
        self, account: Account, reason: str, positions: list[Position], at_ms: int
    ) -> None:
        """A wallet, and the listed positions, changed."""

    def on_change(self, symbol: str, change: Change, now_ns: int) -> None:
        """A book changed."""

    def on_print(self, fill: Fill, taker: str, maker: str) -> None:
        """A trade was printed. An empty maker is the background."""

    def on_settled(self) -> None:
        """The step is over: what was told may be sent."""


class Exchange:
    """Books, accounts and orders of one venue."""

    def __init__(
        self, instruments: dict[str, Instrument], clock: VenueClock, log: EventLog
    ) -> None:
        """Open an empty book for each instrument."""
        self.instruments = instruments
        self.clock = clock
        self.log = log
        self.listener: Listener
        self.books = {symbol: Book(symbol) for symbol in instruments}
        self.marks = {symbol: item.centre_px for symbol, item in instruments.items()}
        self._shown_marks: dict[str, int] = {}
        self.accounts: dict[str, Account] = {}
        self.on_taken: Callable[[str, int, int, int], None] | None = None
        self._orders: dict[int, Order] = {}
        self._next_order_id = 22_542_179
        self._next_trade_id = 128_884_613

    # -- orders -------------------------------------------------------------------

    def accept(self, account: Account, spec: OrderSpec, now_ns: int) -> Order:
        """Check an order against the account and take it in, not yet executed.

        Raises:
            Refused: the account's state forbids it.
        """
        self._check(account, spec)
        book = self.books[spec.symbol]
        now_ms = self.clock.event_ms(now_ns)
        self._next_order_id += 1
        order = Order(
            order_id=self._next_order_id,
            account=account.address,
            spec=spec,
            arrival_ns=now_ns,
            created_ms=now_ms,
            updated_ms=now_ms,
            arrival_sequence=book.sequence,
            orig_qty=spec.qty,
        )
        self._remember(account, order)
        account.open_orders[order.order_id] = order
        account.open_by_client[spec.client_order_id] = order
        self.listener.on_order(account, order, "NEW", None)
        return order

    def execute(self, order: Order, now_ns: int) -> None:
        """Match an accepted order against the book, rest or expire what is left."""
        if not order.is_open:
            return
        account = self.accounts[order.account]
        spec = order.spec
        book = self.books[spec.symbol]
        executed_on = book.sequence
        if self._may_match(order, book):
            wanted = min(order.remaining_qty, self._reducible(account, spec))
            matches = book.take(spec.side, wanted, spec.limit_px)
            self._settle_matches(account, order, matches, now_ns)
        if order.is_open:
            self._rest_or_expire(account, order, book, now_ns)
        self._flush(book, now_ns, f"order:{order.order_id}")
        self.log_order(order, now_ns, executed_on)
        self.listener.on_settled()

    def cancel(self, account: Account, order: Order, now_ns: int) -> None:
        """Cancel an open order."""
        book = self.books[order.spec.symbol]
        if order.spec.limit_px is not None:
            book.remove(order.spec.side, order.spec.limit_px, order.order_id)
        self._close(account, order, Status.CANCELED, now_ns)
        self._flush(book, now_ns, f"cancel:{order.order_id}")
        self.log_order(order, now_ns, book.sequence)
        self.listener.on_settled()

    def print_fills(
        self,
        account: Account,
        spec: OrderSpec,
        fills: list[tuple[int, int]],
        now_ns: int,
    ) -> Order:
        """Fill an order off the book, exactly as told: ``fills`` are (px, qty)."""
        order = self._printed_order(account, spec, now_ns)
        at_ms = self.clock.event_ms(now_ns)
        for px, qty in fills:
            self._apply_fill(account, order, Match(px, qty, BACKGROUND), at_ms, None)
        position = account.position(spec.symbol, spec.position_side)
        self.listener.on_account(account, "ORDER", [position], at_ms)
        self.log_order(order, now_ns, order.arrival_sequence)
        self.listener.on_settled()
        return order

    def _printed_order(self, account: Account, spec: OrderSpec, now_ns: int) -> Order:
        at_ms = self.clock.event_ms(now_ns)
        self._next_order_id += 1
        sequence = self.books[spec.symbol].sequence
        order = Order(
            self._next_order_id,
            account.address,
            spec,
            now_ns,
            at_ms,
            at_ms,
            sequence,
            spec.qty,
        )
        self._remember(account, order)
        self.listener.on_order(account, order, "NEW", None)
        return order

    def _remember(self, account: Account, order: Order) -> None:
        self._orders[order.order_id] = order
        account.orders[order.order_id] = order
        spec = order.spec
        account.latest_by_client[spec.symbol, spec.client_order_id] = order

    def _check(self, account: Account, spec: OrderSpec) -> None:
        if spec.client_order_id in account.open_by_client:
            raise Refused(Why.DUPLICATE_ID)
        if account.hedge != (spec.position_side != "BOTH"):
            raise Refused(Why.POSITION_SIDE)
        if account.hedge and spec.reduce_only:
            raise Refused(Why.REDUCE_ONLY_VALUE)
        if len(account.open_orders) >= OPEN_ORDERS_MAX:
            raise Refused(Why.OPEN_ORDER_CAP)
        held = account.position(spec.symbol, spec.position_side).qty
        if account.hedge:
            long_side = spec.position_side == "LONG"
            closes = long_side != (spec.side == BUY)
            if closes and spec.qty > abs(held):
                raise Refused(Why.REDUCE_ONLY)
        elif spec.reduce_only and held * spec.side >= 0:
            raise Refused(Why.REDUCE_ONLY)
        if not spec.reduce_only:
            self._check_margin(account, spec)

    def _check_margin(self, account: Account, spec: OrderSpec) -> None:
        signed_qty = spec.side * spec.qty
        growth = account.increase_of(spec.symbol, spec.position_side, signed_qty)
        if growth == 0:
            return
        px = spec.limit_px
        if px is None:
            best = self.books[spec.symbol].half(-spec.side).best_px()
            px = best if best is not None else self.marks[spec.symbol]
        needed = notional_of(px, growth) // account.leverage_of(spec.symbol)
        if needed > account.available(self.marks):
            raise Refused(Why.MARGIN)

    def _may_match(self, order: Order, book: Book) -> bool:
        spec = order.spec
        if spec.time_in_force is TimeInForce.GTX and spec.limit_px is not None:
            return False
        if spec.time_in_force is TimeInForce.FOK:
            return book.available(spec.side, spec.limit_px) >= order.remaining_qty
        return True

    def _reducible(self, account: Account, spec: OrderSpec) -> int:
        """How much may execute: a reducing order stops at flat."""
        closes_hedge = (spec.position_side == "LONG") != (spec.side == BUY)
        if spec.reduce_only or (spec.position_side != "BOTH" and closes_hedge):
            held = account.position(spec.symbol, spec.position_side).qty
            return max(-held * spec.side, 0)
        return spec.qty

    def _rest_or_expire(self, account: Account, order: Order, book: Book, now_ns: int) -> None:
        spec = order.spec
        px = spec.limit_px
        rests = spec.time_in_force in (TimeInForce.GTC, TimeInForce.GTX)
        if px is None or not rests or book.crosses(spec.side, px):
            self._close(account, order, Status.EXPIRED, now_ns)
        else:
            book.insert(spec.side, px, order.remaining_qty, order.order_id)

    def _close(self, account: Account, order: Order, status: Status, now_ns: int) -> None:
        order.status = status
        order.updated_ms = self.clock.event_ms(now_ns)
        self._forget_open(account, order)
        self.listener.on_order(account, order, status.value, None)

    def _forget_open(self, account: Account, order: Order) -> None:
        account.open_orders.pop(order.order_id, None)
        client_id = order.spec.client_order_id
        if account.open_by_client.get(client_id) is order:
            del account.open_by_client[client_id]

    # -- fills --------------------------------------------------------------------

    def _settle_matches(
        self, taker: Account | None, order: Order, matches: list[Match], now_ns: int
    ) -> None:
        if not matches:
            return
        at_ms = self.clock.event_ms(now_ns)
        spec = order.spec
        sequence = self.books[spec.symbol].sequence + 1
        touched: dict[str, tuple[Account, set[str]]] = {}
        for match in matches:
            if taker is not None:
                self._apply_fill(taker, order, match, at_ms, sequence)
                touched.setdefault(taker.address, (taker, set()))[1].add(spec.position_side)
            if match.maker_id == BACKGROUND:
                if self.on_taken is not None:
                    self.on_taken(spec.symbol, -spec.side, match.px, now_ns)
            else:
                maker = self._fill_maker(match, at_ms, sequence)
                resting = self._orders[match.maker_id]
                touched.setdefault(maker.address, (maker, set()))[1].add(resting.spec.position_side)
        for account, sides in touched.values():
            positions = [account.position(spec.symbol, side) for side in sorted(sides)]
            self.listener.on_account(account, "ORDER", positions, at_ms)

    def _fill_maker(self, match: Match, at_ms: int, sequence: int) -> Account:
        order = self._orders[match.maker_id]
        account = self.accounts[order.account]
        self._next_trade_id -= 1  # both sides of one trade share its id
        self._apply_fill(account, order, match, at_ms, sequence, is_maker=True)
        return account

    def _apply_fill(
        self,
        account: Account,
        order: Order,
        match: Match,
        at_ms: int,
        sequence: int | None,
        *,
        is_maker: bool = False,
    ) -> None:
        spec = order.spec
        self._next_trade_id += 1
        position = account.position(spec.symbol, spec.position_side)
        realized = position.apply(spec.side * match.qty, match.px)
        position.updated_ms = at_ms
        rate_ppm = MAKER_PPM if is_maker else TAKER_PPM
        commission = notional_of(match.px, match.qty) * rate_ppm // 1_000_000
        account.balance += realized - commission
        book_sequence = order.arrival_sequence if sequence is None else sequence
        fill = Fill(
            self._next_trade_id,
            order.order_id,
            spec.symbol,
            spec.side,
            spec.position_side,
            match.px,
            match.qty,
            commission,
            realized,
            is_maker,
            at_ms,
            book_sequence,
        )
        order.fills.append(fill)
        order.filled_qty += match.qty
        order.filled_cost += match.px * match.qty
        order.updated_ms = at_ms
        done = order.remaining_qty == 0
        order.status = Status.FILLED if done else Status.PARTIALLY_FILLED
        if done:
            self._forget_open(account, order)
        account.fills.setdefault(spec.symbol, []).append(fill)
        self._book_income(account, fill)
        self._log_fill(order, fill, position, wallet=account.balance, off_book=sequence is None)
        self.listener.on_order(account, order, "TRADE", fill)
        if not is_maker:
            resting = self._orders.get(match.maker_id)
            maker = "" if resting is None else resting.account
            self.listener.on_print(fill, account.address, maker)

    def _book_income(self, account: Account, fill: Fill) -> None:
        rows = account.incomes
        symbol, trade_id, at_ms = fill.symbol, fill.trade_id, fill.at_ms
        rows.append(Income(symbol, "COMMISSION", -fill.commission, at_ms, trade_id))
        if fill.realized:
            rows.append(Income(symbol, "REALIZED_PNL", fill.realized, at_ms, trade_id))

    # -- books --------------------------------------------------------------------

    def quote(
        self,
        symbol: str,
        rows: list[tuple[int, int, int]],
        now_ns: int,
        cause: str = "market",
    ) -> None:
        """Set background levels, as (side, px, qty); crossing quotes execute.

        A background quote that crosses a client's resting order fills it first.
        """
        book = self.books[symbol]
        for side, px, qty in sorted(rows, key=lambda row: row[2] != 0):
            left = qty
            if qty and book.crosses(side, px):
                held = book.background_at(side, px)
                matches = book.take(side, max(qty - held, 0), px)
                left = qty - sum(match.qty for match in matches)
                self._fill_resting(matches, symbol, now_ns)
            book.quote(side, px, left)
        self._flush(book, now_ns, cause)
        self.listener.on_settled()

    def _fill_resting(self, matches: list[Match], symbol: str, now_ns: int) -> None:
        at_ms = self.clock.event_ms(now_ns)
        sequence = self.books[symbol].sequence + 1
        for match in matches:
            if match.maker_id == BACKGROUND:
                continue
            self._next_trade_id += 1
            account = self._fill_maker(match, at_ms, sequence)
            side = self._orders[match.maker_id].spec.position_side
            position = account.position(symbol, side)
            self.listener.on_account(account, "ORDER", [position], at_ms)

    def _flush(self, book: Book, now_ns: int, cause: str) -> None:
        change = book.flush()
        if change is None:
            return
        fields = {
            "symbol": book.symbol,
            "sequence": change.sequence,
            "cause": cause,
            "bids": rows_text(change.bids),
            "asks": rows_text(change.asks),
        }
        self.log.append("book", now_ns, fields)
        if change.sequence % SNAPSHOT_EVERY == 0:
            self.log_snapshot(book, now_ns)
        self.listener.on_change(book.symbol, change, now_ns)

    # -- log ----------------------------------------------------------------------

    def log_snapshot(self, book: Book, now_ns: int) -> None:
        """Write the whole book at its present sequence into the log."""
        fields = {
            "symbol": book.symbol,
            "sequence": book.sequence,
            "snapshot": True,
            "bids": rows_text(book.bids.top(len(book.bids.prices))),
            "asks": rows_text(book.asks.top(len(book.asks.prices))),
        }
        self.log.append("book", now_ns, fields)

    def log_order(self, order: Order, now_ns: int, executed_on: int) -> None:
        """Write an order as it now stands; the last line of an order is its end."""
        spec = order.spec
        limit = None if spec.limit_px is None else to_plain(spec.limit_px)
        fields = {
            "account": order.account,
            "order_id": order.order_id,
            "client_order_id": spec.client_order_id,
            "symbol": spec.symbol,
            "side": order.side_text,
            "position_side": spec.position_side,
            "reduce_only": spec.reduce_only,
            "time_in_force": spec.time_in_force.value,
            "qty": to_plain(order.orig_qty),
            "limit_px": limit,
            "arrival_ns": order.arrival_ns,
            "arrival_sequence": order.arrival_sequence,
            "executed_on_sequence": executed_on,
            "status": order.status.value,
            "filled_qty": to_plain(order.filled_qty),
            "average_px": to_plain(order.average_px),
        }
        self.log.append("order", now_ns, fields)

    def _log_fill(
        self, order: Order, fill: Fill, position: Position, *, wallet: int, off_book: bool
    ) -> None:
        fields = {
            "account": order.account,
            "order_id": fill.order_id,
            "client_order_id": order.spec.client_order_id,
            "trade_id": fill.trade_id,
            "symbol": fill.symbol,
            "side": order.side_text,
            "position_side": fill.position_side,
            "px": to_plain(fill.px),
            "qty": to_plain(fill.qty),
            "maker": fill.is_maker,
            "off_book": off_book,
            "book_sequence": fill.book_sequence,
            "position_after": to_plain(position.qty),
            "commission": to_plain(fill.commission),
            "realized": to_plain(fill.realized),
            "entry_after": to_plain(position.entry_px),
            "wallet_after": to_plain(wallet),
            "at_ms": fill.at_ms,
        }
        self.log.append("fill", self.clock.now_ns(), fields)

    def show_mark(self, symbol: str) -> int:
        """Return a mark that somebody is told now; the log has each mark that was ever told."""
        px = self.marks[symbol]
        if self._shown_marks.get(symbol) != px:
            self._shown_marks[symbol] = px
            self.log.append("mark", self.clock.now_ns(), {"symbol": symbol, "px": to_plain(px)})
        return px

    def show_marks(self, account: Account) -> dict[str, int]:
        """Return the marks of all symbols, of which an account is told those it holds."""
        for item in account.positions.values():
            if item.qty:
                self.show_mark(item.symbol)
        return self.marks

    def log_account(self, account: Account) -> None:
        """Write down what an account begins with."""
        fields = {
            "account": account.address,
            "wallet": to_plain(account.balance),
            "positions": [
                [item.symbol, item.position_side, to_plain(item.qty), to_plain(item.entry_px)]
                for item in account.positions.values()
                if item.qty
            ],
        }
        self.log.append("account", self.clock.now_ns(), fields)


def rows_text(rows: list[tuple[int, int]]) -> list[tuple[str, str]]:
    """Return (px, qty) rows as plain decimal texts."""
    return [(to_plain(px), to_plain(qty)) for px, qty in rows]


def new_account(address: str, balance: int) -> Account:
    """Return an account with a wallet and nothing else."""
    if balance < 0 or balance > 10**12 * UNIT:
        message = f"balance must be between 0 and 10**12, found {to_plain(balance)}"
        raise ValueError(message)
    return Account(address=address, balance=balance)
