"""One venue as everybody shares it: instruments, books, and the depth that is spoken for.

Depth reservations belong to the (venue, symbol) book, not to a leader or an intent: whoever
plans on a book sees what all others have taken from it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from slipstream._core import BookView, DepthReservation, SkipReason
from slipstream.domain.instrument import Instrument
from slipstream.domain.order import OrderReport
from slipstream.engine.cohort import Market
from slipstream.transport.clock import Clock
from slipstream.units import NS_PER_S, Px
from slipstream.venues.base import BookFeed, VenueTraits

BOOK_WAIT_NS: Final = 3 * NS_PER_S
BOOK_LOOK_S: Final = 0.02


async def wait_for_books(books: Sequence[tuple[BookFeed, str]], clock: Clock) -> None:
    """Give new books time to come; without one, opens are skipped as BOOK_MISSING."""
    deadline_ns = clock.now_ns() + BOOK_WAIT_NS
    is_missing = True
    while is_missing and clock.now_ns() < deadline_ns:
        is_missing = any(feed.view(symbol) is None for feed, symbol in books)
        if is_missing:
            await asyncio.sleep(BOOK_LOOK_S)


class VenueHub:
    """Shared state of one venue."""

    def __init__(
        self,
        traits: VenueTraits,
        instruments: Mapping[str, Instrument],
        books: BookFeed,
        *,
        is_reserving: bool = True,
        gates: Callable[[], int] = lambda: 0,
    ) -> None:
        """Keep the venue's instruments and its running book feed.

        ``gates`` returns the mask of what holds for everybody at this instant (the ledger, the
        clock); it is asked for every plan.
        ``is_reserving=False`` plans everybody on the whole book: only to show what that does.
        """
        self._is_reserving = is_reserving
        self._gates = gates
        self.traits = traits
        self.instruments = instruments
        self.books = books
        self._reservations: dict[str, DepthReservation] = {}
        self._symbol_by_asset = {
            (each.base, each.quote, each.multiplier): each.symbol for each in instruments.values()
        }

    def symbol_for(self, instrument: Instrument) -> str | None:
        """Return this venue's symbol for another venue's instrument, ``None`` when it has none."""
        if instrument.venue == self.traits.venue:
            return instrument.symbol
        for multiplier in (instrument.multiplier, 1, 1000):
            symbol = self._symbol_by_asset.get((instrument.base, instrument.quote, multiplier))
            if symbol is not None:
                return symbol
        return None

    def market(self, symbol: str, *, gates: int = 0) -> Market:
        """Return what is known of a symbol's market now."""
        instrument = self.instruments[symbol]
        gates |= self._gates()
        if not instrument.is_trading:
            gates |= SkipReason.SYMBOL_HALTED.mask
        view = self.books.view(symbol)
        if view is None and self.books.is_gapped(symbol):
            gates |= SkipReason.BOOK_GAPPED.mask
        mid_px, mid_sequence = self._mid(symbol, view)
        return Market(instrument, view, self.books.mark_px(symbol), mid_px, mid_sequence, gates)

    def _mid(self, symbol: str, view: BookView | None) -> tuple[Px | None, int | None]:
        """Return the newest mid and the book sequence it belongs to.

        A book whose best levels were dropped for a newer best bid and offer has no mid of its
        own sequence: the newer one is taken then. At one sequence the best bid and offer is
        taken too: it is whole in one message, and a book is a chain of changes.
        """
        if view is None:
            return None, None
        best = self.books.best(symbol)
        if best is not None and best.sequence >= view.sequence:
            return best.mid_px, best.sequence
        mid = view.mid()
        return (None, None) if mid is None else (Px(mid), view.sequence)

    def reservation(self, symbol: str, view: BookView | None) -> DepthReservation | None:
        """Return the symbol's reservation, brought up to the given view."""
        if view is None or not self._is_reserving:
            return None
        known = self._reservations.get(symbol)
        if known is None:
            known = self._reservations[symbol] = DepthReservation(view)
        else:
            known.refresh(view)
        return known

    def depth(self, symbol: str) -> DepthReservation | None:
        """Return the symbol's reservation as it stands."""
        return self._reservations.get(symbol)

    def release(self, symbol: str, token: int, report: OrderReport | None) -> None:
        """Let go what an order had reserved: ``None``, it never was; else what it took stays."""
        depth = self.depth(symbol)
        if depth is None:
            return
        if report is None:
            depth.give_back(token)
        else:
            depth.settle(token, filled_qty=report.filled_qty, venue_ts_ms=report.venue_ts_ms)
