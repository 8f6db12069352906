"""One symbol's book: what makes it stand, what makes it younger, what breaks it."""

from slipstream._core import SCALE
from slipstream.units import Px, TimeNs
from slipstream.venues.aster.depth import SymbolBook
from slipstream.venues.aster.market import DepthSnapshot, DepthUpdate, Ticker

LEVELS = ([("99", "1")], [("101", "1")])


def snapshot(sequence: int) -> DepthSnapshot:
    return DepthSnapshot(sequence, *LEVELS)


def diff(first: int, last: int, previous: int) -> DepthUpdate:
    return DepthUpdate(E=1, T=1, s="BTCUSDT", U=first, u=last, pu=previous, b=[("98", "2")], a=[])


def standing(sequence: int = 10) -> SymbolBook:
    book = SymbolBook("BTCUSDT", depth_max=100)
    assert book.on_snapshot(snapshot(sequence), TimeNs(5))
    return book


def age_of(book: SymbolBook) -> int:
    view = book.view()
    assert view is not None
    return view.ts_ns


def test_the_word_for_its_sequence_makes_a_silent_book_younger() -> None:
    book = standing()
    assert book.confirm(10, TimeNs(70))
    assert age_of(book) == 70


def test_a_stream_that_is_behind_once_gets_time_and_twice_is_broken() -> None:
    book = standing()
    assert book.confirm(12, TimeNs(70))
    assert age_of(book) == 5
    assert not book.confirm(12, TimeNs(80))


def test_a_stream_that_catches_up_in_between_is_not_behind() -> None:
    book = standing()
    assert book.confirm(12, TimeNs(70))
    book.on_diff(diff(11, 12, 10), TimeNs(75))
    assert book.confirm(14, TimeNs(80))
    assert age_of(book) == 75


def test_an_answer_older_than_the_stream_says_nothing() -> None:
    book = standing()
    book.on_diff(diff(11, 14, 10), TimeNs(60))
    assert book.confirm(12, TimeNs(70))
    assert book.confirm(12, TimeNs(80))
    assert age_of(book) == 60


def test_a_snapshot_older_than_the_best_bid_and_offer_is_refused() -> None:
    book = SymbolBook("BTCUSDT", depth_max=100)
    book.on_ticker(Ticker("BTCUSDT", 20, Px(99 * SCALE), Px(101 * SCALE)))
    assert not book.on_snapshot(snapshot(19), TimeNs(5))
    assert book.view() is None
    assert book.on_snapshot(snapshot(20), TimeNs(6))
    assert age_of(book) == 6


def test_a_hole_breaks_the_book_until_a_snapshot_spans_it() -> None:
    book = standing()
    book.on_diff(diff(11, 12, 10), TimeNs(6))
    book.on_diff(diff(15, 16, 14), TimeNs(7))
    assert book.is_gapped
    assert book.is_waiting
    assert not book.on_snapshot(snapshot(12), TimeNs(8))
    assert book.on_snapshot(snapshot(16), TimeNs(9))
    assert not book.is_gapped


def test_a_book_is_outrun_while_a_newer_best_bid_and_offer_lacks_a_side() -> None:
    book = standing()
    book.on_ticker(Ticker("BTCUSDT", 12, Px(99 * SCALE), None))
    assert book.best is None
    assert book.is_outrun
    book.on_diff(diff(11, 12, 10), TimeNs(6))
    assert not book.is_outrun


def test_a_best_bid_and_offer_with_both_sides_ends_it() -> None:
    book = standing()
    book.on_ticker(Ticker("BTCUSDT", 12, None, Px(101 * SCALE)))
    book.on_ticker(Ticker("BTCUSDT", 13, Px(99 * SCALE), Px(101 * SCALE)))
    assert not book.is_outrun
