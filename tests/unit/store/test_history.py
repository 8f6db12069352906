"""Where a leader's tracker goes on after a restart, from the ledger alone."""

import pytest

from slipstream.store.history import last_position


@pytest.mark.parametrize(
    ("steps", "end"),
    [
        ([(0, 5)], 5),
        ([(0, 5), (5, 8), (8, 0)], 0),
        ([(0, 5), (5, 0), (0, 5)], 5),
        # The fill found late was acted on last: its end is the end.
        ([(4, 3), (0, 4)], 3),
        ([(7, 6), (5, 7), (0, 5)], 6),
        # A hole in the middle (a position that grew unseen): the newest end counts.
        ([(0, 5), (9, 10)], 10),
        ([(3, 4), (4, 3)], 3),
    ],
)
def test_the_last_position_is_the_end_of_the_chain(steps: list[tuple[int, int]], end: int) -> None:
    assert last_position(steps) == end
