"""The durable record of a cohort: what one commit holds before the first byte leaves.

Plain tuples, because five hundred of them are made on the way of one fill and handed to the
database as they are.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from slipstream.domain.ids import ClientOrderId, FollowerId, IntentId, LeaderId
from slipstream.domain.intent import MirrorIntent


class LegStatus(StrEnum):
    """A leg's row in the ledger."""

    CLAIMED = "claimed"
    SKIPPED = "skipped"
    WAITING = "waiting"
    ENDED = "ended"


class LegRow(NamedTuple):
    """One leg of one follower: a claim, a skip or a waiting target.

    ``lane`` is the whole lane after this row as ``LaneState.encode`` writes it: what a restart
    begins from. Quantities and prices are at 10**-8; a skip's ``wanted_qty`` is signed. Of the
    order columns a skip has ``is_reduction`` alone: what its order would have been.
    ``position_side``, ``side`` and ``reference`` are the values of the core's enums. The bound is
    ``bound_ppm`` around ``reference_px``, which belongs to book ``reference_sequence``;
    ``book_sequence`` is the book whose depth the plan counted on.
    ``_core.LedgerNames.rows`` makes these tuples.
    """

    intent_id: IntentId
    follower_id: FollowerId
    leg: int
    attempt: int
    status: str
    symbol: str
    position_side: int
    lane: str
    wanted_qty: int
    reason: str | None = None
    observed: int | None = None
    limit_value: int | None = None
    client_order_id: ClientOrderId | None = None
    claim_hash: bytes | None = None
    side: int | None = None
    qty: int | None = None
    limit_px: int | None = None
    is_reduction: int | None = None
    reference: int | None = None
    reference_px: int | None = None
    reference_sequence: int | None = None
    bound_ppm: int | None = None
    book_sequence: int | None = None


class LegResult(NamedTuple):
    """How a claimed or waiting leg ended, and the lane after it."""

    intent_id: IntentId
    follower_id: FollowerId
    leg: int
    attempt: int
    end: str
    reason: str | None
    filled_qty: int
    average_px: int | None
    venue_order_id: str | None
    lane: str


@dataclass(frozen=True, slots=True)
class CohortCommit:
    """Everything one transaction makes durable: fill identities, cursor, intent, legs.

    ``intent`` is ``None`` when lanes are planned again without a leader event; ``intent_id`` then
    names the intent the legs belong to.
    """

    leader: LeaderId
    intent: MirrorIntent | None
    legs: list[LegRow]
    cursor: tuple[str, str] | None = None
    """(symbol, adapter's cursor text)."""


@dataclass(frozen=True, slots=True)
class ActivityRow:
    """One line of the append-only activity log. ``payload`` holds plain JSON values; numbers that
    are money are decimal text. ``kind``: intent, leg, control, incident, session."""

    ts_ms: int
    kind: str
    leader: LeaderId | None = None
    follower: FollowerId | None = None
    intent_id: IntentId | None = None
    reason: str | None = None
    payload: dict[str, object] = field(default_factory=dict)
