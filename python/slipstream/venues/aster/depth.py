"""One symbol's book on Aster: snapshot and diffs brought in step. No I/O, no clock.

Rule (aster.md, section 9): buffer diffs; take a snapshot; drop diffs older than it; the first one
used spans the snapshot's id; afterwards each ``pu`` equals the ``u`` before it, else start again.
The book itself checks the sequence; this decides when to ask for a snapshot.

A stream that says nothing is no proof that nothing changed: a book is as old as its last diff, or
as the venue's last word that the sequence it stands at is the newest.
"""

from collections import deque
from typing import Final

from slipstream._core import Book, BookError, BookView
from slipstream.units import Px, TimeNs
from slipstream.venues.aster.market import DepthSnapshot, DepthUpdate, Ticker
from slipstream.venues.base import Best

__all__ = ["SymbolBook"]

_BUFFER_MAX: Final = 2_000


class SymbolBook:
    """A book, its best bid and offer, and its mark. One owner: the feed.

    ``is_waiting`` says that a snapshot is needed; ``gap_count`` counts how often the sequence
    broke, ``fault`` says why the last time.
    """

    __slots__ = (
        "_behind",
        "_best",
        "_book",
        "_buffer",
        "_is_synced",
        "_marked_ns",
        "_one_sided",
        "_sequence",
        "_was_synced",
        "fault",
        "gap_count",
        "mark_px",
        "symbol",
    )

    def __init__(self, symbol: str, *, depth_max: int) -> None:
        """Begin without a book."""
        self.symbol = symbol
        self.mark_px: Px | None = None
        self._marked_ns = TimeNs(0)
        self.gap_count = 0
        self.fault: str | None = None
        self._book = Book(depth_max=depth_max)
        self._buffer: deque[tuple[DepthUpdate, TimeNs]] = deque(maxlen=_BUFFER_MAX)
        self._best: Best | None = None
        self._sequence = 0
        self._behind: int | None = None
        self._is_synced = False
        self._was_synced = False
        self._one_sided = 0

    @property
    def is_waiting(self) -> bool:
        """Whether a snapshot is needed and diffs have begun to come."""
        return not self._is_synced and bool(self._buffer)

    @property
    def is_synced(self) -> bool:
        """Whether the book stands."""
        return self._is_synced

    @property
    def is_gapped(self) -> bool:
        """Whether a book that stood broke and is being repaired."""
        return self._was_synced and not self._is_synced

    @property
    def is_outrun(self) -> bool:
        """Whether a side of the book is gone by a newer best bid and offer: neither its best
        prices nor a middle of them are any sequence's then."""
        return self._one_sided > self._sequence

    @property
    def best(self) -> Best | None:
        """The newest best bid and offer, ``None`` while unknown or one-sided."""
        return self._best

    def view(self) -> BookView | None:
        """Return the newest consistent book, ``None`` while there is none."""
        return self._book.view() if self._is_synced else None

    def on_diff(self, update: DepthUpdate, received_ns: TimeNs) -> None:
        """Apply a diff, or keep it until the snapshot comes."""
        if not self._is_synced:
            self._buffer.append((update, received_ns))
            return
        try:
            self._apply(update, received_ns)
        except BookError as error:
            self.on_gap(str(error))
            self._buffer.append((update, received_ns))

    def on_partial(self, update: DepthUpdate, received_ns: TimeNs) -> None:
        """Take a message that holds the whole top of the book."""
        try:
            self._book.load(
                update.b, update.a, sequence=update.u, ts_ns=received_ns, venue_ts_ms=update.T
            )
        except BookError as error:
            self.on_gap(str(error))
            return
        self._sequence = update.u
        self._is_synced = self._was_synced = True

    def on_snapshot(self, snapshot: DepthSnapshot, received_ns: TimeNs) -> bool:
        """Load a snapshot and what was buffered; False when another snapshot is needed."""
        if self._best is not None and snapshot.lastUpdateId < self._best.sequence:
            newer = f"the best bid and offer is at {self._best.sequence}"
            self.gap_count += 1
            self.fault = f"a snapshot at {snapshot.lastUpdateId} is old: {newer}"
            return False
        self._behind = None
        try:
            self._book.load(
                snapshot.bids,
                snapshot.asks,
                sequence=snapshot.lastUpdateId,
                ts_ns=received_ns,
                venue_ts_ms=snapshot.T,
            )
            self._sequence = snapshot.lastUpdateId
            while self._buffer:
                update, at_ns = self._buffer[0]
                self._apply(update, at_ns)
                self._buffer.popleft()
        except BookError as error:
            self.gap_count += 1
            self.fault = str(error)
            return False
        self._is_synced = self._was_synced = True
        self.fault = None
        return True

    def confirm(self, sequence: int, asked_ns: TimeNs) -> bool:
        """Take the venue's word that ``sequence`` was its newest when it was asked.

        Return False when the stream is behind: it was so the last time already.
        """
        if not self._is_synced or self._book.confirm(sequence, asked_ns):
            self._behind = None
            return True
        is_behind = self._behind is not None and self._sequence < self._behind
        self._behind = sequence if sequence > self._sequence else None
        return not is_behind

    def on_ticker(self, ticker: Ticker) -> None:
        """Take the real-time best; drop levels of an older book that are better than it."""
        if ticker.bid_px is None or ticker.ask_px is None:
            self._best = None
            self._one_sided = ticker.update_id
        else:
            self._one_sided = 0
            self._best = Best(ticker.bid_px, ticker.ask_px, ticker.update_id)
        if not self._is_synced or ticker.update_id <= self._sequence:
            return
        try:
            self._book.trim_better_than(ticker.bid_px, ticker.ask_px)
        except BookError as error:
            self.on_gap(str(error))

    def on_mark(self, px: Px, received_ns: TimeNs) -> None:
        """Take the newest mark price."""
        self.mark_px, self._marked_ns = px, received_ns

    def fresh_mark_px(self, now_ns: TimeNs, *, age_ns_max: int) -> Px | None:
        """Return the mark price, ``None`` while unknown or when it was told too long ago."""
        return self.mark_px if now_ns - self._marked_ns <= age_ns_max else None

    def on_gap(self, reason: str) -> None:
        """The book can no longer be trusted: begin again."""
        self._is_synced = False
        self._buffer.clear()
        self._book.invalidate()
        self.gap_count += 1
        self.fault = reason

    def on_lost(self) -> None:
        """The socket is gone: nothing that is known here is known to be current."""
        self._is_synced = False
        self._buffer.clear()
        self._book.invalidate()
        self._best = None
        self._one_sided = 0
        self.mark_px = None

    def _apply(self, update: DepthUpdate, received_ns: TimeNs) -> None:
        is_newer = self._book.apply(
            update.b,
            update.a,
            first_sequence=update.U,
            sequence=update.u,
            previous_sequence=update.pu,
            ts_ns=received_ns,
            venue_ts_ms=update.T,
        )
        if is_newer:
            self._sequence = update.u
