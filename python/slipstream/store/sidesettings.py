"""How patient a store with a side log is."""

from dataclasses import dataclass
from typing import Final

from slipstream.store.sidefile import SIDE_FILE_SIZE

_RESERVED_SIZE: Final = SIDE_FILE_SIZE // 4
"""Bytes that only claims, ends and orders of the operator's may take: lines can wait in memory."""


@dataclass(frozen=True, slots=True)
class SideSettings:
    """``answer_s``: how long the database may take over one write before it counts as down.
    ``retry_s`` and ``retry_max_s``: the first and the longest pause between two replays.
    ``close_s``: how long closing it may take. ``reserved_size``: bytes of the side log that lines
    of the activity log may not take."""

    answer_s: float = 1.0
    retry_s: float = 0.25
    retry_max_s: float = 5.0
    close_s: float = 10.0
    reserved_size: int = _RESERVED_SIZE
