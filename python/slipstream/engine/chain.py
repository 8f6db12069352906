"""Puts recorded fills into the order in which they happened, by the positions they state.

Each fill says the position before it, so the fills of one coin and one millisecond are edges
from position to position, and their order is a trail that uses every edge once. A trail that
cannot be completed shows a missing fill: the hole is reported and nothing past it is used. The
result depends on the set of fills alone, never on the order in which they were given.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from slipstream.domain.fill import Fill
from slipstream.errors import InvariantError


@dataclass(frozen=True, slots=True)
class ChainBreak:
    """The first hole of a coin: a fill states ``found_qty`` where ``expected_qty`` was reached.
    Signed positions; ``trade_id`` names the first fill that is not used."""

    symbol: str
    expected_qty: int
    found_qty: int
    trade_id: str
    venue_ts_ms: int


@dataclass(frozen=True, slots=True)
class Chained:
    """Fills in order of time (coins of one millisecond by name), and at most one hole a coin."""

    fills: tuple[Fill, ...]
    breaks: tuple[ChainBreak, ...]


def chain(fills: Iterable[Fill]) -> Chained:
    """Order fills whose identities are distinct.

    Raises:
        InvariantError: a fill does not state the position before it.
    """
    by_symbol: dict[str, list[Fill]] = defaultdict(list)
    for fill in fills:
        by_symbol[fill.symbol].append(fill)
    ordered: list[Fill] = []
    breaks: list[ChainBreak] = []
    for symbol in sorted(by_symbol):
        used, hole = _chain_symbol(by_symbol[symbol])
        ordered += used
        if hole is not None:
            breaks.append(hole)
    ordered.sort(key=lambda fill: fill.id.venue_ts_ms)  # stable: chains stay in order
    return Chained(tuple(ordered), tuple(breaks))


def _chain_symbol(fills: list[Fill]) -> tuple[list[Fill], ChainBreak | None]:
    fills.sort(key=lambda fill: (fill.id.venue_ts_ms, _key(fill)))
    groups = [list(group) for _, group in groupby(fills, key=lambda fill: fill.id.venue_ts_ms)]
    position = _first_position(groups)
    used: list[Fill] = []
    for group in groups:
        trail = _trail(group, position)
        used += trail
        if trail:
            position = _after(trail[-1])
        if len(trail) < len(group):
            return used, _hole(group, trail, position)
    return used, None


def _before(fill: Fill) -> int:
    if fill.position_before is None:
        raise InvariantError(f"fill {fill.id.trade_id} of {fill.symbol} states no position")
    return fill.position_before


def _after(fill: Fill) -> int:
    return _before(fill) + fill.signed_qty


def _key(fill: Fill) -> tuple[int, str, int, str]:
    """Order ids and trade ids as numbers, shorter ones first."""
    order_id, trade_id = fill.id.order_id, fill.id.trade_id
    return len(order_id), order_id, len(trade_id), trade_id


def _surplus(group: Sequence[Fill]) -> dict[int, int]:
    """Return, by position, how many more fills leave it than reach it."""
    surplus: dict[int, int] = defaultdict(int)
    for fill in group:
        surplus[_before(fill)] += 1
        surplus[_after(fill)] -= 1
    return surplus


def _starts(group: Sequence[Fill]) -> list[int]:
    """Return the positions at which a trail through a sorted group may begin, likeliest first.

    One position left more often than reached is the start. Where every position is balanced the
    group is a closed cycle and any position may be.
    """
    surplus = _surplus(group)
    open_starts = [qty for qty, count in surplus.items() if count > 0]
    return open_starts or list(dict.fromkeys(_before(fill) for fill in group))


def _first_position(groups: Sequence[list[Fill]]) -> int:
    """Return where the first group begins.

    A closed cycle ends where it began, so the next group tells; where none does, a flat start
    is likelier than another. Several open starts mean a hole: the one whose trail ends where the
    next group begins lies behind it, and of orders of the pieces the one with the smallest jump
    between them is likeliest.
    """
    candidates = _starts(groups[0])
    if len(candidates) == 1:
        return candidates[0]
    is_cycle = not any(_surplus(groups[0]).values())
    if is_cycle:
        for group in groups[1:]:
            starts = _starts(group)
            narrowed = [qty for qty in candidates if qty in starts]
            if narrowed:
                candidates = narrowed
            if len(starts) == 1 or not narrowed:
                break
        return 0 if 0 in candidates else candidates[0]
    following = _starts(groups[1]) if len(groups) > 1 else []

    def rank(start: int) -> tuple[bool, int]:
        trail = _trail(groups[0], start)
        end = _after(trail[-1]) if trail else start
        jump = min(abs(other - end) for other in candidates if other != start)
        return end in following, jump

    return min(candidates, key=rank)


def _trail(group: Sequence[Fill], start: int) -> list[Fill]:
    """Return fills of a sorted group as one trail from ``start``: all of them if that can be,
    else those that come before the hole."""
    trail = _whole_trail(group, start)
    return _walk(group, start) if trail is None else trail


def _whole_trail(group: Sequence[Fill], start: int) -> list[Fill] | None:
    """Return the trail through every fill of a group (Hierholzer), ``None`` if there is none."""
    leaving = _leaving(group)
    path: list[tuple[int, Fill | None]] = [(start, None)]
    backwards: list[Fill] = []
    while path:
        qty, reached_by = path[-1]
        edges = leaving.get(qty)
        if edges:
            fill = edges.pop()
            path.append((_after(fill), fill))
            continue
        path.pop()
        if reached_by is not None:
            backwards.append(reached_by)
    trail = backwards[::-1]
    position = start
    for fill in trail:
        if _before(fill) != position:
            return None
        position = _after(fill)
    return trail if len(trail) == len(group) else None


def _walk(group: Sequence[Fill], start: int) -> list[Fill]:
    """Follow fills from ``start`` until a position that is reached more often than left."""
    leaving, surplus = _leaving(group), _surplus(group)
    walked: list[Fill] = []
    position = start
    while leaving.get(position) and (surplus[position] >= 0 or position == start):
        walked.append(leaving[position].pop())
        position = _after(walked[-1])
    return walked


def _leaving(group: Sequence[Fill]) -> dict[int, list[Fill]]:
    """Return fills by the position they leave, each list's next one last."""
    leaving: dict[int, list[Fill]] = defaultdict(list)
    for fill in reversed(group):
        leaving[_before(fill)].append(fill)
    return leaving


def _hole(group: Sequence[Fill], trail: Sequence[Fill], position: int) -> ChainBreak:
    """Name the fill of a group at which the chain goes on behind the hole."""
    taken = {fill.id for fill in trail}
    rest = [fill for fill in group if fill.id not in taken]
    starts = _starts(rest)
    first = next(fill for fill in rest if _before(fill) == starts[0])
    return ChainBreak(
        first.symbol, position, _before(first), first.id.trade_id, first.id.venue_ts_ms
    )
