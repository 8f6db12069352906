"""Identities: of leaders, followers, fills, intents and orders.

A fill's identity is everything a venue says of it that cannot repeat; an intent's follows from
its fills, an order's from its intent. The same cause always gives the same name, in every
process and after every restart.
"""

import hashlib
from typing import Final, NamedTuple, NewType

LeaderId = NewType("LeaderId", str)
FollowerId = NewType("FollowerId", str)
VenueId = NewType("VenueId", str)
IntentId = NewType("IntentId", str)
ClientOrderId = NewType("ClientOrderId", str)

_SEPARATOR: Final = "\x1f"


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


def parse_fill_key(key: str) -> FillId:
    """Return the identity that a ``FillId.key`` names.

    Raises:
        ValueError: not such a text.
    """
    venue, account, symbol, order_id, trade_id, venue_ts_ms = key.split(_SEPARATOR)
    return FillId(VenueId(venue), account, symbol, order_id, trade_id, int(venue_ts_ms))


def intent_id(leader: LeaderId, fills: tuple[FillId, ...]) -> IntentId:
    """Derive an intent's name from its leader and its fills, in whatever order they came."""
    digest = hashlib.blake2b(leader.encode(), digest_size=12)
    for key in sorted(fill.key for fill in fills):
        digest.update(b"\x1e" + key.encode())
    return IntentId(digest.hexdigest())


def follower_key(follower: FollowerId) -> str:
    """Return the follower's part of a client order id: 12 characters of [0-9a-f]."""
    return hashlib.blake2b(follower.encode(), digest_size=6).hexdigest()
