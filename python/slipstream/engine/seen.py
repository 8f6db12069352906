"""Remembers which fills were taken, in bounded memory.

Identities are kept for a day of venue time or up to a count, whichever is less. What had to be
forgotten leaves its time behind: nothing at or before that instant counts as new again, so that
forgetting can never make a fill trade twice.
"""

from collections.abc import Iterable
from typing import Final

from slipstream.domain.ids import FillId

SEEN_AGE_MS: Final = 86_400_000
SEEN_COUNT_MAX: Final = 100_000


class SeenFills:
    """A set of fill identities in order of arrival."""

    def __init__(self, *, count_max: int = SEEN_COUNT_MAX, age_ms: int = SEEN_AGE_MS) -> None:
        """Keep at most ``count_max`` identities, none older than ``age_ms`` of venue time."""
        self._count_max = count_max
        self._age_ms = age_ms
        self._ids: dict[FillId, None] = {}
        self._newest_ms = 0
        self._forgotten_ms = -1

    def __len__(self) -> int:
        """Return how many identities are held."""
        return len(self._ids)

    def __contains__(self, fill_id: FillId) -> bool:
        """Whether the fill was taken, or is too old to tell."""
        return fill_id in self._ids or fill_id.venue_ts_ms <= self._forgotten_ms

    def is_forgotten(self, fill_id: FillId) -> bool:
        """Whether the fill is refused only because its time lies behind what is remembered."""
        return fill_id not in self._ids and fill_id.venue_ts_ms <= self._forgotten_ms

    def add(self, fill_id: FillId) -> bool:
        """Take a fill; return whether it was new."""
        if fill_id in self:
            return False
        self._ids[fill_id] = None
        self._newest_ms = max(self._newest_ms, fill_id.venue_ts_ms)
        self._prune()
        return True

    def restore(self, fill_ids: Iterable[FillId]) -> None:
        """Take identities that an earlier process acted on."""
        for fill_id in fill_ids:
            self.add(fill_id)

    def _prune(self) -> None:
        while self._ids:
            oldest = next(iter(self._ids))
            is_old = oldest.venue_ts_ms < self._newest_ms - self._age_ms
            if not is_old and len(self._ids) <= self._count_max:
                return
            del self._ids[oldest]
            self._forgotten_ms = max(self._forgotten_ms, oldest.venue_ts_ms)
