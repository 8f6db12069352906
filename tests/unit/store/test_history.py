"""Where a leader's tracker goes on after a restart, from the ledger alone."""

import pytest

from slipstream.domain.cohort import CohortCommit
from slipstream.domain.ids import LeaderId, parse_fill_key
from slipstream.store.history import last_position
from slipstream.store.sqlite import SqliteStore
from unit.store.store_rows import LEADER, cohort, fill


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


async def test_positions_fills_and_cursors_come_back(store: SqliteStore) -> None:
    await store.commit(cohort(1, 2))
    await store.commit(cohort(3))
    await store.commit(CohortCommit(LEADER, None, [], ("", "1700")))
    history = await store.history(LEADER, fill_count_max=10)
    assert history.positions == [("BTCUSDT", 0, 5)]
    assert [parse_fill_key(key) for key in history.fill_keys] == [fill(n).id for n in (1, 2, 3)]
    assert history.cursors == {"BTCUSDT": "cursor-3", "": "1700"}
    assert len((await store.history(LEADER, fill_count_max=2)).fill_keys) == 2


async def test_a_leader_that_was_never_mirrored_has_no_history(store: SqliteStore) -> None:
    await store.commit(cohort(1))
    history = await store.history(LeaderId("other"), fill_count_max=10)
    assert (history.positions, history.fill_keys, history.cursors) == ([], [], {})
