"""Recorded fills find their order again, whatever order they are given in.

The oracle walks positions with plain integers: a result is an order if each fill begins where
the one before ended, and it is complete if it uses every fill.
"""

import random

import hypothesis.strategies as st
from hypothesis import given

from slipstream._core import PositionSide, Side
from slipstream.domain.fill import Fill
from slipstream.domain.ids import FillId, VenueId
from slipstream.engine.chain import chain

STEPS = st.lists(
    st.tuples(st.integers(-5, 5).filter(bool), st.integers(0, 2)), min_size=1, max_size=25
)


def walk(start: int, steps: list[tuple[int, int]], coin: str = "BTC") -> list[Fill]:
    """Return fills along a walk: (change, ms since the last one)."""
    fills, position, at_ms = [], start, 1_000
    for index, (change, pause_ms) in enumerate(steps):
        at_ms += pause_ms
        name = str((index * 7919) % 10_007)  # trade ids say nothing about order
        fills.append(
            Fill(
                id=FillId(VenueId("hyperliquid"), "a", coin, "1", name, at_ms),
                position_side=PositionSide.NET,
                side=Side.BUY if change > 0 else Side.SELL,
                qty=abs(change),
                px=1,
                is_taker=True,
                is_liquidation=False,
                received_ns=0,
                decoded_ns=0,
                position_before=position,
            )
        )
        position += change
    return fills


@given(start=st.integers(-3, 3), steps=STEPS, seed=st.integers(0, 2**32))
def test_shuffled_fills_form_a_whole_chain_again(
    start: int, steps: list[tuple[int, int]], seed: int
) -> None:
    fills = walk(start, steps)
    shuffled = random.Random(seed).sample(fills, len(fills))
    result = chain(shuffled)
    assert result == chain(fills)
    assert result.breaks == ()
    assert {fill.id for fill in result.fills} == {fill.id for fill in fills}
    times = [fill.venue_ts_ms for fill in result.fills]
    assert times == sorted(times)
    for earlier, later in zip(result.fills, result.fills[1:], strict=False):
        assert earlier.position_before + earlier.signed_qty == later.position_before


@given(
    changes=st.lists(st.integers(1, 5), min_size=3, max_size=20),
    pauses=st.lists(st.integers(0, 1), min_size=20, max_size=20),
    lost=st.integers(1, 18),
    seed=st.integers(0, 2**32),
)
def test_a_lost_fill_is_reported_and_nothing_past_it_is_used(
    changes: list[int], pauses: list[int], lost: int, seed: int
) -> None:
    fills = walk(0, list(zip(changes, pauses, strict=False)))
    lost = 1 + lost % (len(fills) - 2)
    kept = fills[:lost] + fills[lost + 1 :]
    other = walk(5, [(1, 1), (-2, 0), (3, 4)], coin="ETH")
    result = chain(random.Random(seed).sample(kept + other, len(kept + other)))
    (hole,) = result.breaks
    assert (hole.symbol, hole.trade_id) == ("BTC", fills[lost + 1].id.trade_id)
    assert hole.expected_qty == fills[lost].position_before
    assert hole.found_qty == fills[lost + 1].position_before
    assert [fill for fill in result.fills if fill.symbol == "BTC"] == fills[:lost]
    assert [fill for fill in result.fills if fill.symbol == "ETH"] == other


@given(start=st.integers(-3, 3), steps=STEPS, lost=st.integers(0, 24))
def test_any_hole_leaves_a_chain_without_holes(
    start: int, steps: list[tuple[int, int]], lost: int
) -> None:
    fills = walk(start, steps)
    kept = [fill for index, fill in enumerate(fills) if index != lost % len(fills)]
    result = chain(kept)
    for earlier, later in zip(result.fills, result.fills[1:], strict=False):
        assert earlier.position_before + earlier.signed_qty == later.position_before
    assert (len(result.fills) < len(kept)) is bool(result.breaks)


def used(fills: list[Fill]) -> list[tuple[int, int]]:
    """Return the chain as (from, to)."""
    return [
        (fill.position_before, fill.position_before + fill.signed_qty)
        for fill in chain(fills).fills
    ]


def test_a_hole_inside_a_loop_stops_where_the_loop_is_open() -> None:
    loop = walk(0, [(1, 0), (1, 0), (-1, 0), (1, 0), (1, 0)])
    assert used(loop) == [(0, 1), (1, 2), (2, 1), (1, 2), (2, 3)]
    del loop[2]
    assert used(loop) == [(0, 1), (1, 2)]


def test_a_first_group_with_a_hole_begins_with_the_piece_that_leads_to_it() -> None:
    fills = walk(9, [(-2, 0), (-3, 0), (-3, 0), (2, 5), (-3, 1)])
    del fills[1]
    result = chain(fills)
    assert used(fills) == [(9, 7)]
    assert (result.breaks[0].expected_qty, result.breaks[0].found_qty) == (7, 4)


def test_pieces_of_a_group_are_told_apart_by_where_the_next_group_begins() -> None:
    fills = walk(0, [(1, 0), (8, 0), (-7, 0), (3, 5)])
    del fills[1]
    assert used(fills) == [(0, 1)]


def test_a_closed_loop_with_an_unknown_start_begins_flat_or_where_the_next_group_says() -> None:
    loop = [(1, 0), (1, 0), (-2, 0)]
    assert used(walk(-1, loop))[0][0] == 0
    assert used(walk(-1, [*loop, (5, 1)]))[0][0] == -1
