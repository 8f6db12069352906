"""What is left of increases that an earlier process held back while reductions passed them.

An increase that waits for the leader's margin is in no record yet; a reduction that passes it is,
and shrinks what is left of it by the share of the whole position that the leader closed (DESIGN,
section 4). After a restart the same quantity is found from the fills alone.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from slipstream.domain.fill import Fill
from slipstream.domain.ids import FillId


class Left(NamedTuple):
    """A fill and what of it is still to be mirrored, signed."""

    fill: Fill
    qty: int


def venue_order(fill_id: FillId) -> tuple[int, int, bool]:
    """Return by what fills of one symbol are put in order: venue time, then trade; of a trade
    through zero, what it closed and then what it opened."""
    number, _, part = fill_id.trade_id.partition("/")
    return fill_id.venue_ts_ms, int(number) if number.isdecimal() else 0, part == "open"


def left_of(waiting: Sequence[Fill], recorded: Iterable[Fill], after: int) -> list[Left]:
    """Return what is left of fills that no record has, where ``recorded`` ones have passed them.

    All of them together, in venue order, end at the position ``after``. Rounded down at each
    reduction, but never to nothing: each of these fills belongs to an intent of its own. Never
    more than the position, whatever is not known of the fills in between.
    """
    waits = {fill.id for fill in waiting}
    fills = sorted((*waiting, *recorded), key=lambda fill: venue_order(fill.id))
    position = after - sum(fill.signed_qty for fill in fills)
    left: dict[FillId, int] = {}
    for fill in fills:
        before, position = position, position + fill.signed_qty
        if fill.id in waits:
            left[fill.id] = fill.signed_qty
        elif abs(position) < abs(before):
            left = {name: _share(qty, abs(position), abs(before)) for name, qty in left.items()}
    total = sum(left.values())
    most = abs(after) if total * after > 0 else 0
    if abs(total) > most:
        left = {name: _share(qty, most, abs(total)) for name, qty in left.items()}
    return [Left(fill, left[fill.id]) for fill in fills if fill.id in waits]


def _share(qty: int, numerator: int, denominator: int) -> int:
    size = max(1, abs(qty) * numerator // denominator)
    return size if qty > 0 else -size
