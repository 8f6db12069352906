"""Where a leader's tracker goes on after a restart, from the ledger alone."""

from dataclasses import replace

import pytest

from slipstream.domain.cohort import CohortCommit
from slipstream.domain.intent import MirrorIntent
from slipstream.store.sqlite import SqliteStore
from slipstream.units import Qty, VenueMs
from unit.store.store_rows import LEADER, claim, intent, result


def step(number: int, before: int, after: int, venue_ts_ms: int) -> MirrorIntent:
    return replace(
        intent(number), before=Qty(before), after=Qty(after), venue_ts_ms=VenueMs(venue_ts_ms)
    )


@pytest.mark.parametrize(
    "venue_times",
    [(1, 2, 3), (2, 2, 2), (3, 1, 2), (2, 3, 1)],
    ids=["in order", "at once", "late ones", "a late one at last"],
)
async def test_the_last_position_is_what_became_durable_last(
    store: SqliteStore, venue_times: tuple[int, int, int]
) -> None:
    steps = [(0, 5), (5, 8), (8, 0)]
    causes = [step(n, *steps[n], venue_times[n]) for n in range(3)]
    for cause in causes:
        await store.commit(CohortCommit(LEADER, cause, [claim(cause.id, 0)]))
    # An older intent that is worked on again comes last no more than before.
    await store.record([result(claim(causes[0].id, 0))])
    history = await store.history(LEADER, fill_count_max=10)
    assert history.positions == [("BTCUSDT", 0, 0)]
    assert dict(history.newest) == {"BTCUSDT": causes[2].id}


async def test_a_leader_that_never_traded_has_no_history(store: SqliteStore) -> None:
    assert await store.history(LEADER, fill_count_max=10) == ([], [], {}, ())
