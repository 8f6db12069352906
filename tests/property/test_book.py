"""The book and shared depth at the boundary, against dicts of levels and fractions."""

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream._core import (
    SCALE,
    Book,
    BookError,
    BookGapError,
    BookView,
    CoreError,
    DepthReservation,
    LatencyHistogram,
    Side,
)

Levels = dict[int, int]
BIDS = st.dictionaries(st.integers(1, 500), st.integers(1, 10**9), max_size=8)
ASKS = st.dictionaries(st.integers(501, 999), st.integers(1, 10**9), max_size=8)


def texts(levels: Levels, side: Side) -> list[tuple[str, str]]:
    """Write levels (price in whole units, raw quantity) as a venue does, best first."""
    ordered = sorted(levels.items(), reverse=side == Side.SELL)
    return [(str(px), format(Decimal(qty).scaleb(-8), "f")) for px, qty in ordered]


def loaded(bids: Levels, asks: Levels, *, venue_ts_ms: int = 1, sequence: int = 10) -> Book:
    book = Book()
    book.load(
        texts(bids, Side.SELL),
        texts(asks, Side.BUY),
        sequence=sequence,
        ts_ns=7,
        venue_ts_ms=venue_ts_ms,
    )
    return book


def view_of(book: Book) -> BookView:
    view = book.view()
    assert view is not None
    return view


@given(BIDS, ASKS)
def test_a_snapshot_is_read_as_sent(bids: Levels, asks: Levels) -> None:
    view = view_of(loaded(bids, asks))
    expected_bids = [(px * SCALE, qty) for px, qty in sorted(bids.items(), reverse=True)]
    expected_asks = [(px * SCALE, qty) for px, qty in sorted(asks.items())]
    assert view.levels(Side.SELL, 100) == expected_bids
    assert view.levels(Side.BUY, 100) == expected_asks
    assert view.best_bid == (expected_bids[0] if bids else None)
    assert view.best_ask == (expected_asks[0] if asks else None)
    assert (view.sequence, view.ts_ns, view.venue_ts_ms) == (10, 7, 1)
    if bids and asks:
        (bid, bid_qty), (ask, ask_qty) = expected_bids[0], expected_asks[0]
        assert view.mid() == round(Fraction(bid + ask, 2))
        weighted = Fraction(bid * ask_qty + ask * bid_qty, bid_qty + ask_qty)
        assert view.microprice() == round(weighted)
    else:
        assert view.mid() is None
        assert view.microprice() is None


@given(
    BIDS,
    ASKS,
    st.lists(st.dictionaries(st.integers(501, 999), st.integers(0, 9), max_size=6)),
)
def test_deltas_agree_with_a_dict(bids: Levels, asks: Levels, deltas: list[Levels]) -> None:
    book = loaded(bids, asks)
    model = dict(asks)
    for sequence, delta in enumerate(deltas, start=11):
        model.update(delta)
        changes = [list(pair) for pair in texts(delta, Side.BUY)]
        assert book.apply(
            [],
            changes,  # type: ignore[arg-type]  # JSON gives lists of two
            first_sequence=sequence,
            sequence=sequence,
            previous_sequence=sequence - 1,
            ts_ns=sequence,
        )
    expected = [(px * SCALE, qty) for px, qty in sorted(model.items()) if qty]
    assert view_of(book).levels(Side.BUY, 100) == expected


@given(BIDS, ASKS, st.sampled_from([Side.BUY, Side.SELL]), st.data())
def test_a_walk_fills_the_best_levels(
    bids: Levels, asks: Levels, side: Side, draw: st.DataObject
) -> None:
    view = view_of(loaded(bids, asks))
    qty = draw.draw(st.integers(1, 10**10))
    limit = draw.draw(st.none() | st.integers(1, 999))
    sign = side.value
    open_qty, cost, count, worst = qty, 0, 0, None
    for px, level_qty in sorted((asks if sign > 0 else bids).items(), key=lambda x: x[0] * sign):
        if open_qty == 0 or (limit is not None and px * sign > limit * sign):
            break
        taken = min(open_qty, level_qty)
        cost += px * SCALE * taken
        open_qty -= taken
        count += 1
        worst = px * SCALE
    estimate = view.walk(side, qty, None if limit is None else limit * SCALE)
    filled = qty - open_qty
    assert (estimate.filled_qty, estimate.unfilled_qty) == (filled, open_qty)
    assert (estimate.level_count, estimate.worst_px) == (count, worst)
    against = math.ceil if sign > 0 else math.floor
    assert estimate.notional == against(Fraction(cost, SCALE))
    if limit is not None:
        assert view.depth_to(side, limit * SCALE) >= filled
    if not filled:
        assert estimate.vwap_px is None
        with pytest.raises(BookError):
            estimate.slippage_ppm(SCALE)
        return
    vwap = Fraction(cost, filled)
    assert estimate.vwap_px == against(vwap)
    reference = 500 * SCALE
    expected = math.ceil(sign * (vwap - reference) / reference * 10**6)
    assert estimate.slippage_ppm(reference) == expected


@pytest.mark.parametrize(
    ("bids", "asks", "named"),
    [
        ([("2", "1")], [("1", "1")], "bids at 2 and asks at 1"),
        ([("2", "1")], [("2", "1")], "bids at 2 and asks at 2"),
        ([("-2", "1")], [], "bids level 0"),
        ([("0", "1")], [], "bids level 0"),
        ([], [("1", "1"), ("2", "-3")], "asks level 1.*2 x -3"),
        ([], [("1", "1"), ("1", "1")], "asks level 1"),
        ([("1", "1"), ("2", "1")], [], "bids level 1"),
        ([("x", "1")], [], "bids level 0.*x"),
    ],
)
def test_wrong_input_takes_the_view_away(
    bids: list[tuple[str, str]], asks: list[tuple[str, str]], named: str
) -> None:
    book = loaded({1: 5}, {900: 5})
    with pytest.raises(BookError, match=named):
        book.load(bids, asks, sequence=11, ts_ns=0)
    assert book.view() is None


def apply(book: Book, first: int, last: int, previous: int | None) -> bool:
    return book.apply(
        [("3", "1")],
        [],
        first_sequence=first,
        sequence=last,
        previous_sequence=previous,
        ts_ns=0,
    )


@pytest.mark.parametrize(
    ("first", "last", "previous", "outcome"),
    [
        (5, 9, 4, False),
        (5, 10, 4, True),
        (8, 14, 7, True),
        (11, 14, None, True),
        (15, 19, 10, True),
        (12, 14, None, None),
        (12, 14, 11, None),
    ],
)
def test_the_first_delta_must_join_the_snapshot(
    first: int, last: int, previous: int | None, *, outcome: bool | None
) -> None:
    book = loaded({1: 5}, {900: 5}, sequence=10)
    if outcome is not None:
        assert apply(book, first, last, previous) is outcome
        assert view_of(book).sequence == (last if outcome else 10)
        return
    with pytest.raises(BookGapError):
        apply(book, first, last, previous)
    assert book.view() is None


def test_later_deltas_must_follow_one_another() -> None:
    book = loaded({1: 5}, {900: 5}, sequence=10)
    assert apply(book, 9, 12, 8)
    assert not apply(book, 9, 12, 8)
    assert apply(book, 14, 15, 12)
    with pytest.raises(BookGapError, match="15"):
        apply(book, 17, 18, 16)
    with pytest.raises(BookGapError):
        apply(book, 16, 19, 15)
    assert book.view() is None


def test_a_view_does_not_change_and_is_shared() -> None:
    book = loaded({1: 5}, {900: 5}, sequence=10)
    before = view_of(book)
    assert apply(book, 11, 11, 10)
    assert before.best_bid == (SCALE, 5)
    assert view_of(book).best_bid == (3 * SCALE, SCALE)


def test_depth_beyond_the_maximum_is_dropped_from_the_far_end() -> None:
    book = Book(depth_max=2)
    book.load([("3", "1"), ("2", "1"), ("1", "1")], [], sequence=1, ts_ns=0)
    assert [px for px, _ in view_of(book).levels(Side.SELL, 9)] == [3 * SCALE, 2 * SCALE]
    with pytest.raises(BookError):
        Book(depth_max=0)


def test_levels_better_than_a_newer_best_are_trimmed() -> None:
    book = loaded({1: 5, 2: 5, 3: 5}, {900: 5, 901: 5})
    book.trim_better_than(2 * SCALE, 901 * SCALE)
    assert view_of(book).best_bid == (2 * SCALE, 5)
    assert view_of(book).best_ask == (901 * SCALE, 5)


@given(ASKS.filter(bool), st.lists(st.integers(1, 10**9), max_size=20))
def test_a_cohort_never_counts_on_more_than_is_there(asks: Levels, wanted: list[int]) -> None:
    view = view_of(loaded({}, asks))
    reservation = DepthReservation(view)
    limit = 800 * SCALE
    tokens = [reservation.take(Side.BUY, qty, limit) for qty in wanted]
    taken = [reservation.taken_qty(token) for token in tokens]
    there = sum(qty for px, qty in asks.items() if px <= 800)
    assert sum(taken) == reservation.outstanding_qty == min(sum(wanted), there)
    for token in tokens:
        reservation.give_back(token)
    whole = reservation.walk(Side.BUY, 10**12)
    assert whole.filled_qty == sum(asks.values())


def test_a_fill_stays_subtracted_until_a_later_view() -> None:
    reservation = DepthReservation(view_of(loaded({}, {600: 10}, venue_ts_ms=5)))
    token = reservation.take(Side.BUY, 8, 700 * SCALE)
    reservation.settle(token, filled_qty=6, venue_ts_ms=7)
    assert reservation.walk(Side.BUY, 10).filled_qty == 4
    reservation.refresh(view_of(loaded({}, {600: 10}, venue_ts_ms=7)))
    assert reservation.walk(Side.BUY, 10).filled_qty == 4
    reservation.refresh(view_of(loaded({}, {600: 10}, venue_ts_ms=8)))
    assert reservation.walk(Side.BUY, 10).filled_qty == 10
    with pytest.raises(BookError):
        reservation.settle(token, filled_qty=6, venue_ts_ms=7)


def test_a_newer_view_counts_although_the_venues_clock_was_put_back() -> None:
    reservation = DepthReservation(view_of(loaded({}, {600: 10}, venue_ts_ms=9, sequence=10)))
    reservation.refresh(view_of(loaded({}, {600: 4}, venue_ts_ms=5, sequence=11)))
    assert reservation.walk(Side.BUY, 10).filled_qty == 4


def test_an_older_view_is_not_counted_on() -> None:
    reservation = DepthReservation(view_of(loaded({}, {600: 4}, venue_ts_ms=9, sequence=11)))
    reservation.refresh(view_of(loaded({}, {600: 10}, venue_ts_ms=5, sequence=10)))
    assert reservation.walk(Side.BUY, 10).filled_qty == 4


def test_a_leaders_fill_that_the_view_shows_is_not_subtracted_again() -> None:
    reservation = DepthReservation(view_of(loaded({}, {600: 10}, venue_ts_ms=5)))
    reservation.take_foreign(Side.BUY, 3, venue_ts_ms=4)
    assert reservation.walk(Side.BUY, 10).filled_qty == 10
    reservation.take_foreign(Side.BUY, 3, venue_ts_ms=5)
    assert reservation.walk(Side.BUY, 10).filled_qty == 7


@given(st.lists(st.integers(1_000, 3_600_000_000_000), min_size=1), st.integers(0, 10_000))
def test_a_percentile_is_the_value_of_its_rank(values: list[int], hundredths: int) -> None:
    histogram = LatencyHistogram()
    for value in values:
        histogram.record(value)
    rank = max(1, math.ceil(Fraction(hundredths * len(values), 10_000)))
    exact = sorted(values)[rank - 1]
    found = histogram.percentile(format(Decimal(hundredths) / 100, "f"))
    assert found is not None
    assert exact <= found <= exact + max(512, exact // 1_000)
    again = LatencyHistogram.decode(histogram.encode())
    again.merge(histogram)
    assert again.count == 2 * len(values)
    assert again.max == histogram.max


def test_an_empty_histogram_has_no_answer() -> None:
    histogram = LatencyHistogram()
    assert histogram.percentile("99.9") is None
    assert histogram.max is None
    with pytest.raises(CoreError):
        histogram.record(-1)
    with pytest.raises(CoreError):
        histogram.percentile("100.1")
    with pytest.raises(CoreError):
        LatencyHistogram.decode(b"nothing")


@given(st.integers(0, 30), st.integers(0, 30))
def test_only_the_word_for_its_own_sequence_makes_a_book_younger(sequence: int, ts_ns: int) -> None:
    book = loaded({1: 5}, {901: 5}, sequence=10)
    assert book.confirm(sequence, ts_ns) is (sequence == 10)
    view = view_of(book)
    assert view.ts_ns == (max(7, ts_ns) if sequence == 10 else 7)
    assert (view.sequence, view.venue_ts_ms, view.best_bid) == (10, 1, (1 * SCALE, 5))
    book.invalidate()
    assert not book.confirm(10, ts_ns)
    assert book.view() is None
