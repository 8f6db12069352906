"""Where a leader's tracker goes on after a restart, from the ledger alone."""

import pytest

from slipstream.store.history import Step, last_position


@pytest.mark.parametrize(
    ("steps", "end"),
    [
        ([(0, 5)], 5),
        ([(0, 5), (5, 8), (8, 0)], 0),
        ([(0, 5), (5, 0), (0, 5)], 5),
        # A hole in the middle (a position that grew unseen): the newest end counts.
        ([(0, 5), (9, 10)], 10),
        ([(3, 4), (4, 3)], 3),
    ],
)
def test_the_last_position_is_the_end_of_the_chain(steps: list[tuple[int, int]], end: int) -> None:
    in_order = [Step(*step, recorded_ms) for recorded_ms, step in enumerate(steps)]
    assert last_position(in_order) == end


@pytest.mark.parametrize(
    ("steps", "end"),
    [
        # The fill found late was acted on last: its end is the end.
        ([(4, 3, 2), (0, 4, 1)], 3),
        ([(7, 6, 3), (5, 7, 2), (0, 5, 1)], 6),
        ([(5, 8, 2), (0, 5, 1), (8, 0, 3)], 0),
        # Increases that a reduction overtook are no steps: it goes on from nothing, and the same
        # position reached again later is not what it went on from.
        ([(12, 0, 1), (-8, -1, 2), (-1, 0, 3), (0, -8, 4)], -8),
    ],
)
def test_a_step_goes_on_only_from_what_was_recorded_before_it(
    steps: list[tuple[int, int, int]], end: int
) -> None:
    assert last_position([Step(*step) for step in steps]) == end
