"""The life of one attempt at a leg, as a table: every state, every event, what follows.

An event that the table does not name for a state is a bug and raises; an event that may really
come twice or late is named. Every state that is not an end has a ``Timeout`` exit, so that no
leg can be forgotten.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from slipstream.errors import InvariantError


class LegState(StrEnum):
    """Where a leg stands."""

    PLANNED = "planned"
    CLAIMED = "claimed"
    SIGNED = "signed"
    SENT = "sent"
    WORKING = "working"
    UNKNOWN = "unknown"
    DONE = "done"
    SKIPPED = "skipped"
    REJECTED = "rejected"
    FAILED = "failed"
    UNRESOLVED = "unresolved"

    @property
    def is_final(self) -> bool:
        """Whether the table has no way on."""
        return self not in LEG_TRANSITIONS


@dataclass(frozen=True, slots=True)
class LegEvent:
    """Something that happened to a leg."""


class Claimed(LegEvent):
    """Its ledger row is durable."""


class Withdrawn(LegEvent):
    """It was given up before anything left: a skip with a reason."""


class Signed(LegEvent):
    """Its bytes are made."""


class Sent(LegEvent):
    """Its bytes are on the socket."""


class NotSent(LegEvent):
    """No byte left this process."""


class Acked(LegEvent):
    """The venue took the order."""


class Refused(LegEvent):
    """The venue refused the order."""


class PartlyFilled(LegEvent):
    """Some of it was executed."""


class Closed(LegEvent):
    """Nothing more can happen to the order at the venue."""


class Found(LegEvent):
    """The venue knows an order whose fate was unknown."""


class Absent(LegEvent):
    """Orders and fills deny it, and it can no longer be accepted."""


class Timeout(LegEvent):
    """What was awaited did not come by its deadline."""


LEG_TRANSITIONS: Final[Mapping[LegState, Mapping[type[LegEvent], LegState]]] = {
    LegState.PLANNED: {
        Claimed: LegState.CLAIMED,
        Withdrawn: LegState.SKIPPED,
        Timeout: LegState.SKIPPED,
    },
    LegState.CLAIMED: {
        Signed: LegState.SIGNED,
        Withdrawn: LegState.SKIPPED,
        Timeout: LegState.FAILED,
    },
    LegState.SIGNED: {
        Sent: LegState.SENT,
        Withdrawn: LegState.SKIPPED,  # a switch was thrown since it was planned
        NotSent: LegState.FAILED,
        Timeout: LegState.FAILED,
    },
    LegState.SENT: {
        Acked: LegState.WORKING,
        PartlyFilled: LegState.WORKING,  # a fill may come before its ack
        Closed: LegState.DONE,
        Refused: LegState.REJECTED,
        Timeout: LegState.UNKNOWN,
    },
    LegState.WORKING: {
        PartlyFilled: LegState.WORKING,
        Closed: LegState.DONE,
        Timeout: LegState.UNKNOWN,
    },
    LegState.UNKNOWN: {  # a claim without an outcome begins here after a restart
        Found: LegState.WORKING,
        PartlyFilled: LegState.WORKING,
        Closed: LegState.DONE,
        Absent: LegState.FAILED,
        Timeout: LegState.UNRESOLVED,
    },
}


def next_state(state: LegState, event: LegEvent) -> LegState:
    """Return where a leg stands after an event.

    Raises:
        InvariantError: the table has no such transition.
    """
    follows = LEG_TRANSITIONS.get(state, {}).get(type(event))
    if follows is None:
        raise InvariantError(f"a leg that is {state.value} met {type(event).__name__}")
    return follows
