"""What the ledger knows of a leader: where its tracker goes on after a restart."""

from slipstream.domain.ids import IntentId, LeaderId
from slipstream.store.base import LeaderHistory
from slipstream.store.database import Database


def read_history(database: Database, leader: LeaderId, *, fill_count_max: int) -> LeaderHistory:
    """Return a leader's positions after its last intents, its newest fills and its cursors.

    Last is what became durable last: fills found late were acted on after newer ones.
    """
    positions: dict[tuple[str, int], int] = {}
    newest: dict[str, IntentId] = {}
    for symbol, side, after, intent_id in database.fetch(
        "SELECT symbol, position_side, after_qty, intent_id FROM intent"
        " WHERE leader_id = ? AND venue IS NOT NULL ORDER BY sequence",
        (leader,),
    ):
        positions[symbol, side] = after
        newest[symbol] = intent_id
    fills = database.fetch(
        "SELECT fill_key FROM fill JOIN intent USING (intent_id) WHERE leader_id = ?"
        " ORDER BY venue_ts_ms DESC, fill_key DESC LIMIT ?",
        (leader, fill_count_max),
    )
    cursors = database.fetch("SELECT symbol, cursor FROM cursor WHERE leader_id = ?", (leader,))
    return LeaderHistory(
        [(symbol, side, after) for (symbol, side), after in positions.items()],
        [row[0] for row in reversed(fills)],
        dict(cursors),
        tuple(newest.items()),
    )
