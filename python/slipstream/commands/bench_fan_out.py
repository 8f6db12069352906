"""Figures of whole fan-outs: the production engine against a simulated venue in another process.

The venue shares this machine's cores. Each leader event begins when everything before it has
ended; latency counts from the instant the leader's fill was read from its socket. Each figure
stands beside the floor of the same number of orders, measured in the same run.
"""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from slipstream.errors import InvariantError
from slipstream.runtime.play import Score, Trade
from slipstream.runtime.serial import serial_baseline_ns
from slipstream.runtime.trial import Trial, TrialResult, TrialSettings
from slipstream.telemetry import floor
from slipstream.telemetry.stages import milliseconds
from slipstream.transport.clock import SystemClock

SYMBOL: Final = "BTCUSDT"
LEADER_QTY: Final = "0.8"
LEADER_PX: Final = "60000"
DEEP_NOTIONAL: Final = "200000000"
"""Quote per level of a book so deep that every follower fills: depth is not what is measured."""

DRAIN_S: Final = 60.0
POLL_S: Final = 0.02
POLL_COUNT_MAX: Final = 3_000
FILES_PER_FOLLOWER: Final = 3
LATENCY_MS: Final = 30
MATCH_MS: Final = 10
ALLOWED_ABOVE_VENUE_MS: Final = 60

Progress = Callable[[str], None]


def _score(count: int) -> Score:
    """Return a leader that grows and shrinks the same long again and again.

    A little is held before, so that the symbol is prepared when the first event comes.
    """
    qty = Decimal(LEADER_QTY)
    trades = [
        Trade(
            symbol=SYMBOL,
            side="SELL" if index % 2 else "BUY",
            fills=((LEADER_PX, LEADER_QTY),),
            before=qty if index % 2 else Decimal(0),
            after=Decimal(0) if index % 2 else qty,
        )
        for index in range(count)
    ]
    held = Decimal("0.001")
    return Score(opening={SYMBOL: (held, LEADER_PX)}, trades=tuple(trades))


def _settings(followers: int, intents: int, seed: int) -> TrialSettings:
    floor.allow_files(followers * FILES_PER_FOLLOWER + 4 * floor.FILES_SPARE)
    return TrialSettings(
        followers=followers,
        score=_score(intents),
        seed=seed,
        level_notional=DEEP_NOTIONAL,
        walk_ppm=0,
    )


async def _play(trial: Trial, progress: Progress) -> Decimal:
    """Play the score, each event into a quiet engine; return the venue's CPU seconds for it."""
    before = await _venue_cpu_s(trial)
    trades = trial.settings.score.trades
    for index, trade in enumerate(trades):
        progress(f"leader event {index + 1}/{len(trades)}")
        await trial.trade(trade)
        await _mirrored(trial, index + 1)
    return await _venue_cpu_s(trial) - before


async def _mirrored(trial: Trial, count: int) -> None:
    """Return when that many of the leader's events were seen and all their legs have ended."""
    for _ in range(POLL_COUNT_MAX):
        if _intent_count(trial) >= count:
            break
        await asyncio.sleep(POLL_S)
    else:
        raise InvariantError(f"bench: event {count} not mirrored after {DRAIN_S:.0f} s")
    if not await trial.engine.drain(timeout_s=DRAIN_S):
        raise InvariantError(f"bench: event {count}: legs still open after {DRAIN_S:.0f} s")


def _intent_count(trial: Trial) -> int:
    return sum(part.journal.kinds.total() for part in trial.engine.parts.values())


async def _venue_cpu_s(trial: Trial) -> Decimal:
    return Decimal((await trial.sim.get("/_sim/cpu"))["cpu_s"])


def _sound(result: TrialResult, followers: int, intents: int) -> None:
    """Refuse figures of a run that was not what it claims to measure."""
    expected, found = followers * intents, sum(result.order_counts)
    if found != expected:
        raise InvariantError(
            f"bench: expected {expected} orders of {intents} events, found {found}: "
            f"{result.ends} {result.skips}"
        )


async def fan_out(
    followers: int, *, intents: int, seed: int, progress: Progress
) -> dict[str, object]:
    """Measure received to first and last order on its socket, venue without added delay."""
    bare = floor.measure(followers)
    async with Trial(_settings(followers, intents, seed), progress) as trial:
        await _play(trial, progress)
        result = await trial.result()
    _sound(result, followers, intents)
    times = result.latency_ms
    last, floor_ms = times["last_sent"]["p50"], milliseconds(bare.sum_ns)
    return {
        "followers": followers,
        "intents": intents,
        "received_to_first_ms": times["first_sent"],
        "received_to_last_ms": times["last_sent"],
        "floor_ms": floor_ms,
        "floor": bare.in_ms(),
        "ratio": None if not last or not floor_ms else round(last / floor_ms, 2),
    }


async def fan_out_with_venue_latency(
    followers: int, *, intents: int, seed: int, progress: Progress
) -> dict[str, object]:
    """Measure received to the last fill with a venue that is far away, and the same orders sent
    one after another."""
    plain = _settings(followers, intents, seed)
    settings = TrialSettings(
        followers=plain.followers,
        score=plain.score,
        seed=plain.seed,
        level_notional=plain.level_notional,
        walk_ppm=plain.walk_ppm,
        latency_ms=LATENCY_MS,
        match_ms=MATCH_MS,
    )
    async with Trial(settings, progress) as trial:
        cpu_s = await _play(trial, progress)
        result = await trial.result()
        _sound(result, followers, intents)
        progress(f"serial baseline: {followers} orders one after another")
        serial_ns = await serial_baseline_ns(trial.engine, SYMBOL, clock=SystemClock())
    venue_cpu_ms = round(float(cpu_s * 1_000 / intents), 1)
    return {
        "followers": followers,
        "intents": intents,
        "round_trip_ms": LATENCY_MS,
        "matching_ms": MATCH_MS,
        "last_filled_ms": result.latency_ms["last_filled"],
        "venue_cpu_ms": venue_cpu_ms,
        "bound_ms": LATENCY_MS + MATCH_MS + ALLOWED_ABOVE_VENUE_MS + venue_cpu_ms,
        "serial_baseline_ms": milliseconds(serial_ns),
    }
