"""What became of a request, and of a leg. Values, decided by bytes and replies, never by the
class of an exception.

| outcome | can the order exist? | then |
| --- | --- | --- |
| ``NotSent`` | no | may be sent again, same client order id |
| ``Accepted`` | yes | the report says how it ended |
| ``Refused`` | no | final; the reason is recorded |
| ``Limited`` | no | again only inside the leg's deadline |
| ``Denied`` | no | the follower is paused: signature or key refused |
| ``Unknown`` | yes | asked about by client order id, never sent again |
"""

from dataclasses import dataclass
from enum import StrEnum

from slipstream.domain.order import OrderReport


@dataclass(frozen=True, slots=True)
class NotSent:
    """No byte left this process."""

    reason: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """The venue took the order and says how it stands."""

    report: OrderReport


@dataclass(frozen=True, slots=True)
class Refused:
    """The venue refused the order. ``is_resync`` asks for a fresh account or clock reading,
    ``is_shrinkable`` says a smaller order may pass (margin, maximum quantity)."""

    code: int | None
    reason: str
    is_resync: bool = False
    is_shrinkable: bool = False


@dataclass(frozen=True, slots=True)
class Limited:
    """The venue or our own budget said later. ``is_ours``: our budget, before any byte left."""

    reason: str
    retry_after_ns: int | None = None
    is_ours: bool = False


@dataclass(frozen=True, slots=True)
class Denied:
    """The venue refused the signature or the agent."""

    code: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Bytes left and no decodable answer came."""

    reason: str


RequestOutcome = NotSent | Accepted | Refused | Limited | Denied | Unknown


def is_unsent(outcome: RequestOutcome) -> bool:
    """Return whether no byte of the order left this process."""
    return isinstance(outcome, NotSent) or (isinstance(outcome, Limited) and outcome.is_ours)


class LegEnd(StrEnum):
    """How a leg ended: exactly one of these, recorded once."""

    FILLED = "filled"
    PARTIAL = "partial"
    SKIPPED = "skipped"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    FAILED = "failed"
