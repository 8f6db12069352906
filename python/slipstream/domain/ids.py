"""Identities: of leaders, followers, fills, intents and orders.

A fill's identity is everything a venue says of it that cannot repeat; an intent's follows from
its fills, an order's from its intent. The same cause always gives the same name, in every
process and after every restart.
"""

import base64
import hashlib
from typing import Final, NamedTuple, NewType

LeaderId = NewType("LeaderId", str)
FollowerId = NewType("FollowerId", str)
VenueId = NewType("VenueId", str)
IntentId = NewType("IntentId", str)
ClientOrderId = NewType("ClientOrderId", str)

_SEPARATOR: Final = "\x1f"
_CLIENT_ORDER_DIGEST_SIZE: Final = 15


class FillId(NamedTuple):
    """What makes a fill one fill. Trade ids alone repeat (self-trades, liquidations)."""

    venue: VenueId
    account: str
    symbol: str
    order_id: str
    trade_id: str
    venue_ts_ms: int

    @property
    def key(self) -> str:
        """Return the identity as one text, for a unique column."""
        return _SEPARATOR.join(map(str, self))


def intent_id(leader: LeaderId, fills: tuple[FillId, ...]) -> IntentId:
    """Derive an intent's name from its leader and its fills, in whatever order they came."""
    digest = hashlib.blake2b(leader.encode(), digest_size=12)
    for key in sorted(fill.key for fill in fills):
        digest.update(b"\x1e" + key.encode())
    return IntentId(digest.hexdigest())


class ClientOrderIds:
    """Client order ids of one intent: 25 characters of [a-z2-7], which every venue accepts.

    Aster allows ``^[.A-Z:/a-z0-9_-]{1,36}$``. The id is a function of (leader, intent,
    follower, leg, attempt) and says nothing else.
    """

    def __init__(self, leader: LeaderId, intent: IntentId) -> None:
        """Hash the part all orders of the intent share once."""
        self._shared = hashlib.blake2b(
            f"{leader}{_SEPARATOR}{intent}".encode(),
            digest_size=_CLIENT_ORDER_DIGEST_SIZE,
        )

    def make(self, follower: FollowerId, *, leg: int, attempt: int) -> ClientOrderId:
        """Return the id of one attempt at one leg."""
        digest = self._shared.copy()
        digest.update(f"{_SEPARATOR}{follower}{_SEPARATOR}{leg}{_SEPARATOR}{attempt}".encode())
        return ClientOrderId("s" + base64.b32encode(digest.digest()).decode().lower())
