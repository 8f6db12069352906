"""What the ledger knows of a leader: where its tracker goes on after a restart."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from slipstream.domain.ids import IntentId, LeaderId
from slipstream.store.base import LeaderHistory
from slipstream.store.database import Database


def read_history(database: Database, leader: LeaderId, *, fill_count_max: int) -> LeaderHistory:
    """Return a leader's positions after its last intents, its newest fills and its cursors."""
    steps: dict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
    newest: dict[str, IntentId] = {}
    for symbol, side, before, after, intent_id in database.fetch(
        "SELECT symbol, position_side, before_qty, after_qty, intent_id FROM intent"
        " WHERE leader_id = ? AND venue IS NOT NULL ORDER BY venue_ts_ms, recorded_ms",
        (leader,),
    ):
        steps[symbol, side].append((before, after))
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


def last_position(steps: Sequence[tuple[int, int]]) -> int:
    """Return where a chain of (before, after), sorted by venue time, ends.

    Fills found late were acted on after newer ones, so the newest step need not be the last one:
    that is the one whose end no other step goes on from.
    """
    ends = Counter(after for _, after in steps)
    ends.subtract(before for before, _ in steps)
    return next((after for _, after in reversed(steps) if ends[after] > 0), steps[-1][1])
