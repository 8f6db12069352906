"""Named points of an event's and an order's life, at which something may be made to happen.

The engine says that it has come to a point and goes on; nothing depends on an answer. A drill
ends the process there, the simulation ends the engine there. In a daemon nobody listens.
"""

from collections.abc import Callable
from typing import Final

AtPoint = Callable[[str], None]
"""Called at a point with its name, on the event loop, inside the order's path."""

INTENT_ACCEPTED: Final = "intent-accepted"
"""A leader's event waits to be mirrored; nothing of it is durable."""
COHORT_PLANNED: Final = "cohort-planned"
"""The table has the event; the ledger does not."""
CLAIM_ASKED: Final = "claim-asked"
"""The commit of the whole cohort is with the ledger's writer."""
CLAIM_DURABLE: Final = "claim-durable"
"""The cohort is in the ledger; no byte has left."""
FIRST_ORDER_SENT: Final = "first-order-sent"
"""One order was handed to its socket."""
LATER_ORDER_SENT: Final = "later-order-sent"
"""Another order of the same burst was handed to its socket."""
ALL_ORDERS_SENT: Final = "all-orders-sent"
"""Every order of a pass was handed to its socket."""
ANSWER_ARRIVED: Final = "answer-arrived"
"""An order's outcome is here; nothing has been made of it."""
ANSWER_SETTLED: Final = "answer-settled"
"""The table has an order's end; the ledger has not been asked to keep it."""
RECORD_ASKED: Final = "record-asked"
"""Results are with the ledger's writer."""
RECORD_DURABLE: Final = "record-durable"
"""Results are in the ledger."""
LINES_GIVEN: Final = "lines-given"
"""Lines of the activity log were given to its buffer, which dies with the process."""
ORDER_UNKNOWN: Final = "order-unknown"
"""An order may exist, and nobody has been asked yet."""
ORDER_ASKED_ABOUT: Final = "order-asked-about"
"""The venue is about to be asked about an order of unknown fate."""
ORDER_RESOLVED: Final = "order-resolved"
"""The truth about an unknown order is here; nothing has been made of it."""
REDUCTION_CLAIMED_AGAIN: Final = "reduction-claimed-again"
"""A reduction's next attempt is in the ledger; no byte has left."""
FLIP_OPENING_CLAIMED: Final = "flip-opening-claimed"
"""The opening leg of a flip is in the ledger; no byte has left."""
FILLS_BACKFILLED: Final = "fills-backfilled"
"""Fills were read from the leader's history; the tracker has not seen them."""
CURSOR_SAVED: Final = "cursor-saved"
"""A cursor without an intent is in the ledger."""
FEED_UP: Final = "feed-up"
"""The leader's stream has come up; nothing that was missed has been read yet."""
LANES_RESTORED: Final = "lanes-restored"
"""Every lane is as the ledger left it."""
CLAIMS_RESTORED: Final = "claims-restored"
"""Claims without an outcome block their lanes; the venue has not been asked."""
UNTOLD_TOLD: Final = "untold-told"
"""What the ledger knew and the activity log did not was given to the log."""
SIDELOG_APPENDED: Final = "sidelog-appended"
"""Something the database refused is durable beside it."""

LIFE: Final = (
    INTENT_ACCEPTED,
    COHORT_PLANNED,
    CLAIM_ASKED,
    CLAIM_DURABLE,
    FIRST_ORDER_SENT,
    LATER_ORDER_SENT,
    ALL_ORDERS_SENT,
    ANSWER_ARRIVED,
    ANSWER_SETTLED,
    RECORD_ASKED,
    RECORD_DURABLE,
    LINES_GIVEN,
    ORDER_UNKNOWN,
    ORDER_ASKED_ABOUT,
    ORDER_RESOLVED,
    REDUCTION_CLAIMED_AGAIN,
    FLIP_OPENING_CLAIMED,
    FILLS_BACKFILLED,
    CURSOR_SAVED,
    FEED_UP,
    LANES_RESTORED,
    CLAIMS_RESTORED,
    UNTOLD_TOLD,
    SIDELOG_APPENDED,
)
"""Every point, about in the order of a life."""


def pass_by(_: str) -> None:
    """Do nothing: what a daemon does at every point."""
