"""A recorded leader's trades, as the demo and the benches play them.

The packaged slice holds real fills of one account. They are grouped by order and matching time,
because that is how a venue's account stream brings them, and played in their order through the
simulated leader's account at their recorded prices, the simulated book moved along.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from slipstream.venues.sim.recorded import leader_fills, symbol_of_coin


@dataclass(frozen=True, slots=True)
class Trade:
    """One event of the leader: fills of one order at one instant. Decimal text, as recorded."""

    symbol: str
    side: str
    fills: tuple[tuple[str, str], ...]
    before: Decimal
    after: Decimal


def recorded_trades() -> list[Trade]:
    """Return every recorded event, oldest first."""
    groups: dict[tuple[str, int, int], list[dict[str, Any]]] = {}
    for row in leader_fills():
        groups.setdefault((row["coin"], row["oid"], row["time"]), []).append(row)
    return [_trade(rows) for rows in groups.values()]


def _trade(rows: Sequence[dict[str, Any]]) -> Trade:
    first = rows[0]
    is_buy = first["side"] == "B"
    size = sum((Decimal(row["sz"]) for row in rows), Decimal(0))
    before = Decimal(first["startPosition"])
    return Trade(
        symbol=symbol_of_coin(first["coin"]),
        side="BUY" if is_buy else "SELL",
        fills=tuple((row["px"], row["sz"]) for row in rows),
        before=before,
        after=before + size if is_buy else before - size,
    )


_OPENING_COUNT = 4
_BEFORE_FLIP_COUNT = 6


@dataclass(frozen=True, slots=True)
class Score:
    """What is played: positions the leader holds before, and the trades."""

    opening: dict[str, tuple[Decimal, str]]
    """By symbol: (signed quantity, entry price text)."""
    trades: tuple[Trade, ...]


def demo_score() -> Score:
    """Return the recorded stretch around the leader's flip: every kind of intent is in it.

    The stretch is the leader's first increases of the short it will turn, the last reductions
    before it turns, and everything recorded from there on. What the leader held before follows
    from the recorded positions, less what the stretch leaves out.
    """
    trades = recorded_trades()
    turn = next(i for i, each in enumerate(trades) if each.before * each.after < 0)
    symbol = trades[turn].symbol
    openings = [i for i, each in enumerate(trades[:turn]) if _grows(each) and each.symbol == symbol]
    closes = [
        i for i, each in enumerate(trades[:turn]) if not _grows(each) and each.symbol == symbol
    ]
    chosen = [*openings[:_OPENING_COUNT], *closes[-_BEFORE_FLIP_COUNT:]]
    played = [trades[i] for i in chosen] + trades[turn:]
    skipped_before_turn = sum((trades[i].after - trades[i].before for i in chosen), Decimal(0))
    opening = {symbol: (trades[turn].before - skipped_before_turn, trades[0].fills[0][0])}
    for each in reversed(trades[turn:]):
        if each.symbol != symbol:
            opening[each.symbol] = (each.before, each.fills[0][0])
    return Score(opening, tuple(played))


def _grows(trade: Trade) -> bool:
    return abs(trade.after) > abs(trade.before)
