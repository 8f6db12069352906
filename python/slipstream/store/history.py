"""What the ledger knows of a leader: where its tracker goes on after a restart."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from slipstream.domain.ids import IntentId, LeaderId
from slipstream.store.base import LeaderHistory
from slipstream.store.database import Database


class Step(NamedTuple):
    """What one intent did to a leader's position, and when the database last worked on it."""

    before: int
    after: int
    recorded_ms: int


def read_history(database: Database, leader: LeaderId, *, fill_count_max: int) -> LeaderHistory:
    """Return a leader's positions after its last intents, its newest fills and its cursors."""
    steps: dict[tuple[str, int], list[Step]] = defaultdict(list)
    newest: dict[str, IntentId] = {}
    for symbol, side, before, after, recorded_ms, intent_id in database.fetch(
        "SELECT symbol, position_side, before_qty, after_qty, recorded_ms, intent_id FROM intent"
        " WHERE leader_id = ? AND venue IS NOT NULL ORDER BY venue_ts_ms, recorded_ms",
        (leader,),
    ):
        steps[symbol, side].append(Step(before, after, recorded_ms))
        newest[symbol] = intent_id
    fills = database.fetch(
        "SELECT fill_key FROM fill JOIN intent USING (intent_id) WHERE leader_id = ?"
        " ORDER BY venue_ts_ms DESC, fill_key DESC LIMIT ?",
        (leader, fill_count_max),
    )
    cursors = database.fetch("SELECT symbol, cursor FROM cursor WHERE leader_id = ?", (leader,))
    return LeaderHistory(
        [(symbol, side, last_position(found)) for (symbol, side), found in steps.items()],
        [row[0] for row in reversed(fills)],
        dict(cursors),
        tuple(newest.items()),
    )


def last_position(steps: Sequence[Step]) -> int:
    """Return where a chain of steps, sorted by venue time, ends.

    A step goes on from the newest one before it that ended where it begins. Fills found late were
    acted on after newer ones: such a step goes on from one of a later venue time that was
    recorded before it. A step that lists increases which never were steps of their own goes on
    from none. The chain ends with the newest step that no other goes on from.
    """
    open_ends: dict[int, list[int]] = defaultdict(list)
    unmatched: list[int] = []
    for index, step in enumerate(steps):
        if open_ends[step.before]:
            open_ends[step.before].pop()
        else:
            unmatched.append(index)
        open_ends[step.after].append(index)
    for index in unmatched:
        step = steps[index]
        for later in open_ends[step.before]:
            if later > index and steps[later].recorded_ms <= step.recorded_ms:
                open_ends[step.before].remove(later)
                break
    newest = max((found[-1] for found in open_ends.values() if found), default=len(steps) - 1)
    return steps[newest].after
