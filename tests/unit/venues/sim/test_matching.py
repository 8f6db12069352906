"""The order book against a model that is too simple to be wrong."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from slipstream.venues.sim.matching import BACKGROUND, BUY, SELL, Book


@dataclass
class Entry:
    side: int
    px: int
    qty: int
    owner: int
    turn: int


@dataclass
class NaiveBook:
    """Every entry in one list, sorted anew for every order."""

    entries: list[Entry] = field(default_factory=list)
    turn: int = 0

    def insert(self, side: int, px: int, qty: int, owner: int) -> None:
        self.turn += 1
        self.entries.append(Entry(side, px, qty, owner, self.turn))

    def remove(self, side: int, px: int, owner: int) -> int:
        gone = [e for e in self.entries if (e.side, e.px, e.owner) == (side, px, owner)]
        self.entries = [e for e in self.entries if e not in gone]
        return sum(e.qty for e in gone)

    def take(self, side: int, qty: int, limit_px: int | None) -> list[tuple[int, int, int]]:
        ranked = sorted(
            (e for e in self.entries if e.side == -side), key=lambda e: (e.px * side, e.turn)
        )
        matches = []
        for entry in ranked:
            beyond = limit_px is not None and (entry.px - limit_px) * side > 0
            if beyond or qty == 0:
                break
            part = min(qty, entry.qty)
            matches.append((entry.px, part, entry.owner))
            entry.qty -= part
            qty -= part
        self.entries = [e for e in self.entries if e.qty]
        return matches

    def totals(self, side: int) -> dict[int, int]:
        sums: dict[int, int] = {}
        for entry in self.entries:
            if entry.side == side:
                sums[entry.px] = sums.get(entry.px, 0) + entry.qty
        return sums


SIDES = st.sampled_from([BUY, SELL])
PRICES = st.integers(1, 12)
SIZES = st.integers(1, 20)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("insert"), SIDES, PRICES, SIZES),
        st.tuples(st.just("remove"), SIDES, PRICES, st.integers(1, 40)),
        st.tuples(st.just("take"), SIDES, st.one_of(st.none(), PRICES), SIZES),
    ),
    max_size=40,
)


@given(STEPS)
def test_book_agrees_with_the_naive_model(steps: list[tuple[str, int, int, int]]) -> None:
    book, naive = Book("X"), NaiveBook()
    shown: dict[tuple[int, int], int] = {}
    for owner, (act, side, px, number) in enumerate(steps, start=1):
        before = book.sequence
        if act == "insert":
            book.insert(side, px, number, owner)
            naive.insert(side, px, number, owner)
        elif act == "remove":
            assert book.remove(side, px, number) == naive.remove(side, px, number)
        else:
            expected = naive.take(side, number, px)
            assert [tuple(match) for match in book.take(side, number, px)] == expected
        change = book.flush()
        if change is not None:
            assert change.sequence == before + 1 == book.sequence
            for half, rows in ((BUY, change.bids), (SELL, change.asks)):
                shown.update({(half, level_px): qty for level_px, qty in rows})
        for half in (BUY, SELL):
            totals = naive.totals(half)
            assert dict(book.half(half).top(100)) == totals
            rebuilt = {px: qty for (of, px), qty in shown.items() if of == half and qty}
            assert rebuilt == totals


def test_top_is_best_first_on_both_sides() -> None:
    book = Book("X")
    for px in (3, 1, 2):
        book.insert(BUY, px, 5, 1)
        book.insert(SELL, px + 10, 5, 2)
    assert book.bids.top(2) == [(3, 5), (2, 5)]
    assert book.asks.top(2) == [(11, 5), (12, 5)]


def test_background_growth_queues_behind_a_resting_order() -> None:
    book = Book("X")
    book.quote(SELL, 10, 4)
    book.insert(SELL, 10, 3, 7)
    book.quote(SELL, 10, 6)
    owners = [(m.maker_id, m.qty) for m in book.take(BUY, 9, 10)]
    assert owners == [(BACKGROUND, 4), (7, 3), (BACKGROUND, 2)]


@given(SIDES, PRICES, st.lists(st.tuples(PRICES, SIZES), max_size=8))
def test_available_is_what_a_large_order_would_take(
    side: int, limit_px: int, rows: list[tuple[int, int]]
) -> None:
    book = Book("X")
    for owner, (px, qty) in enumerate(rows, start=1):
        book.insert(-side, px, qty, owner)
    expected = book.available(side, limit_px)
    assert sum(match.qty for match in book.take(side, 10**9, limit_px)) == expected
