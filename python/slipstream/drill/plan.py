"""What a drill does, drawn from its seed: the leader's trades, and where the daemon is killed.

The plan is repeatable; what it meets is not, for processes race on a real clock.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Final

from slipstream.runtime import points

RANDOM_INSTANT: Final = "random-instant"
"""Killed from outside, some milliseconds after a trade of the leader."""

LEADER_PX: Final = {"BTCUSDT": "66410", "ETHUSDT": "3480"}
UNIT: Final = {"BTCUSDT": Decimal("0.1"), "ETHUSDT": Decimal(2)}
"""What the leader's positions are multiples of."""

STEPS: Final = (2, 5, -3, -1, 2, 6, 4, 0, -4, 3, 1, 0)
"""Positions of the leader in units, one after another, again and again: opens, increases,
partial closes, flips and full closes, three of the twelve flips."""

STARTING: Final = (
    points.LANES_RESTORED,
    points.CLAIMS_RESTORED,
    points.UNTOLD_TOLD,
    points.FEED_UP,
    points.FILLS_BACKFILLED,
    points.CURSOR_SAVED,
)
"""Points that a daemon comes to while it starts."""

OUTAGE: Final = points.SIDELOG_APPENDED
"""The point that needs a database which does not work."""

LIVING: Final = tuple(each for each in points.LIFE if each not in STARTING)
"""Points that a daemon comes to while it trades."""

IN_FLIGHT: Final = (
    points.CLAIM_DURABLE,
    points.FIRST_ORDER_SENT,
    points.LATER_ORDER_SENT,
    points.ALL_ORDERS_SENT,
)
"""Killed here, a daemon leaves claims without an outcome."""

DOUBTS: Final = (points.ORDER_UNKNOWN, points.ORDER_ASKED_ABOUT, points.ORDER_RESOLVED)
HIT_MAX: Final = {
    points.LATER_ORDER_SENT: 60,
    points.ANSWER_ARRIVED: 60,
    points.ANSWER_SETTLED: 60,
    points.INTENT_ACCEPTED: 4,
    points.COHORT_PLANNED: 4,
    points.CLAIM_ASKED: 4,
    points.CLAIM_DURABLE: 4,
    points.FIRST_ORDER_SENT: 4,
    points.ALL_ORDERS_SENT: 4,
    points.RECORD_ASKED: 6,
    points.RECORD_DURABLE: 6,
    points.LINES_GIVEN: 6,
}
"""Up to which visit of a point the kill may wait; 1 where nothing is said."""

MISSED_MAX: Final = 4
INSTANT_MS_MAX: Final = 30
PAUSE_MS: Final = (40, 140)


@dataclass(frozen=True, slots=True)
class LeaderTrade:
    """One event of a leader. ``fills``: price and quantity text. ``pause_ms``: before it."""

    leader: int
    symbol: str
    side: str
    fills: tuple[tuple[str, str], ...]
    pause_ms: int


@dataclass(frozen=True, slots=True)
class Kill:
    """How one life of the daemon ends. ``after_ms``: of a random instant, after a trade."""

    point: str
    hit: int = 1
    after_ms: int = 0


@dataclass(frozen=True, slots=True)
class Stretch:
    """One life of the daemon: its end, what happens in it, and how many trades it misses after."""

    kill: Kill
    trades: int
    missed: int
    is_thin: bool
    loses_answers: bool
    holds_ledger: bool
    """Whether somebody else holds the database's write lock for a while."""


@dataclass(frozen=True, slots=True)
class CrashPlan:
    """One crash drill. ``leaders``: 1 trades all symbols, of 2 each trades one."""

    seed: str
    leaders: int
    stretches: tuple[Stretch, ...]


def crash_plans(runs: int, seed: int) -> list[CrashPlan]:
    """Draw the plans of a series: each named point once before any comes twice."""
    source = Random(f"drill crash {seed}")  # noqa: S311 - a drill, repeated by seed
    living, starting = deck(LIVING, source), deck(STARTING, source)
    return [
        CrashPlan(f"{seed}:{index}", source.randint(1, 2), _stretches(source, living, starting))
        for index in range(runs)
    ]


def deck(names: tuple[str, ...], source: Random) -> Iterator[str]:
    """Yield names without end, drawn: each once before any comes again."""
    while True:
        yield from source.sample(names, len(names))


def _stretches(
    source: Random, living: Iterator[str], starting: Iterator[str]
) -> tuple[Stretch, ...]:
    """Draw three or four lives: a point of trading, one of starting, and an instant or a point."""
    kills = [_kill(next(living), source)]
    if source.random() < 1 / 2:
        kills.append(_instant(source))
    else:
        kills.append(_kill(next(living), source))
    start = next(starting)
    if start in (points.CLAIMS_RESTORED, points.UNTOLD_TOLD):
        # There must be something to restore: let go what was in flight.
        kills.append(_kill(source.choice(IN_FLIGHT), source))
    kills.append(Kill(start))
    return tuple(_stretch(each, source) for each in kills)


def _instant(source: Random) -> Kill:
    return Kill(RANDOM_INSTANT, after_ms=source.randint(1, INSTANT_MS_MAX))


def _kill(point: str, source: Random) -> Kill:
    return Kill(point, source.randint(1, HIT_MAX.get(point, 1)))


def _stretch(kill: Kill, source: Random) -> Stretch:
    is_thin = kill.point == points.REDUCTION_CLAIMED_AGAIN or source.random() < 1 / 6
    loses_answers = kill.point in DOUBTS or source.random() < 1 / 6
    holds_ledger = kill.point == OUTAGE or source.random() < 1 / 10
    return Stretch(
        kill,
        source.randint(4, 6),
        source.randint(2, MISSED_MAX),
        is_thin,
        loses_answers,
        holds_ledger,
    )


def trades(seed: str, leaders: int) -> Iterator[LeaderTrade]:
    """Yield a leader's trades without end; each symbol walks through ``STEPS`` for itself."""
    source = Random(f"drill trades {seed}")  # noqa: S311 - a drill, repeated by seed
    symbols = sorted(LEADER_PX)
    held = dict.fromkeys(symbols, Decimal(0))
    at = {symbol: source.randrange(0, len(STEPS), 4) for symbol in symbols}
    while True:
        symbol = source.choice(symbols)
        target = STEPS[at[symbol] % len(STEPS)] * UNIT[symbol]
        at[symbol] += 1
        change, held[symbol] = target - held[symbol], target
        if change:
            yield LeaderTrade(
                symbols.index(symbol) % leaders,
                symbol,
                "BUY" if change > 0 else "SELL",
                _fills(LEADER_PX[symbol], abs(change), source),
                source.randint(*PAUSE_MS),
            )


def _fills(px: str, qty: Decimal, source: Random) -> tuple[tuple[str, str], ...]:
    """Split a trade into one to three fills."""
    count = source.randint(1, 3)
    part = (qty / count).quantize(Decimal("0.001"))
    parts = [part] * (count - 1) + [qty - part * (count - 1)]
    return tuple((px, str(each)) for each in parts)
