"""One seeded schedule: two leaders trade, faults strike, engines die, everything is judged.

A schedule is drawn from its seed before anything runs: nothing that happens changes what comes.
This is the second generator of schedules. The first is in ``test_promises.py``; seeds mean
something to one generator only, so a generator whose seeds are kept is never changed: what draws
otherwise goes into a new one.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import pairwise
from random import Random
from typing import Any, Final

from simulation.checkers import Watch, judge, unquiet
from simulation.faults import Chaos, drawable
from simulation.lives import Lives
from simulation.memory_net import Network
from simulation.virtual_loop import VirtualLoop, run_virtual
from simulation.world import LEADERS, UNBOUND, Who, World, follower_name
from slipstream.config.model import LimitPolicy, MirrorMode
from slipstream.runtime import points
from slipstream.units import SCALE

SYMBOLS: Final = ("BTCUSDT", "ETHUSDT")
UNITS: Final = {"BTCUSDT": 0.05, "ETHUSDT": 0.8}
FILL_COUNT_MIN: Final = 30
STEP_COUNT_MIN: Final = 14
CLOSE_AT, FLIP_AT, BURST_AT = 6, 9, 11
"""Steps that are a full close, a flip and a burst in every schedule."""
BURST_PARTS_MIN: Final = 4
ENGINE_WAIT_S: Final = 90.0
FIRST_TRADE_S: Final = 6.0
"""More than a venue's clock is ever put back, or its fills came from before the mirror began."""
CALM_S: Final = 6.0
CALM_MAX_S: Final = 260.0
"""An unknown order is given up for absent within a minute or two; a follower that could not
start is tried again within one."""
NOTICE_S: Final = 24.0
"""A stream that stands still is given up within 15 s; what one lost that looks alive is found by
the reading that a leader's account has every 20 s."""
CALLBACKS_MAX: Final = 600_000


@dataclass(frozen=True, slots=True)
class Trade:
    """What a leader does at once. ``parts``: its fills, in units of the symbol."""

    leader: str
    symbol: str
    side: str
    parts: tuple[int, ...]


@dataclass(slots=True)
class Step:
    """A pause, faults, a trade, a pause."""

    before_s: float
    trade: Trade
    after_s: float
    faults: list[str] = field(default_factory=list)
    crash: "Crash | None" = None


@dataclass(frozen=True, slots=True)
class Crash:
    """Where an engine dies: at a named point's n-th passing, or so long after the trade."""

    point: str | None
    passing: int
    after_s: float
    is_lease: bool = False


@dataclass(slots=True)
class Plan:
    """Everything that a seed decides."""

    seed: int
    followers: list[Who]
    steps: list[Step]
    latency_ns: int
    jitter_ns: int
    commit_ns: int
    match_ms: float
    depth: dict[str, int]
    again: "Crash | None" = None
    """A second crash, while the engine comes back from the first."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one schedule came to."""

    seed: int
    findings: tuple[str, ...]
    faults: Counter[str]
    points: Counter[str]
    crashes: Counter[str]
    intents: Counter[str]
    legs: Counter[str]
    fill_count: int
    order_count: int
    callback_count: int
    virtual_s: float
    fingerprint: str
    """Of every order and fill at the venue with its instant: equal when a run is replayed."""
    timeline: tuple[tuple[int, str], ...]


# --- drawing ---


def draw(seed: int) -> Plan:
    """Draw a schedule."""
    source = Random(f"second generator {seed}")
    steps = _draw_steps(source)
    kinds = source.sample(drawable(), source.randint(4, 7))
    for kind in kinds * source.choice((1, 1, 2)):
        source.choice(steps[2:]).faults.append(kind)
    again = _draw_crashes(source, steps) if source.random() < 0.37 else None
    if source.random() < 0.08:
        source.choice(steps[2:]).crash = Crash(None, 1, source.uniform(0, 0.05), is_lease=True)
    return Plan(
        seed=seed,
        followers=_draw_followers(source),
        steps=steps,
        latency_ns=source.randint(20_000, 2_000_000),
        jitter_ns=source.choice((0, 100_000, 1_500_000)),
        commit_ns=source.randint(200_000, 8_000_000),
        match_ms=source.choice((0.0, 1.0, 12.0)),
        depth={symbol: source.choice((1_500, 6_000, 30_000)) for symbol in SYMBOLS},
        again=again,
    )


COMMON: Final = frozenset(points.LIFE[:12])
"""Points that every order passes."""
PROVOKED: Final[dict[str, tuple[str, ...]]] = {
    points.ORDER_UNKNOWN: ("request hangs, executed", "ack lost", "5xx after execution"),
    points.ORDER_ASKED_ABOUT: ("ack lost", "5xx after execution", "undecodable answer"),
    points.ORDER_RESOLVED: ("ack lost", "5xx after execution", "undecodable answer"),
    points.FILLS_BACKFILLED: ("stream ended by the venue", "gap in stream"),
    points.CURSOR_SAVED: ("stream ended by the venue", "gap in stream"),
    points.FEED_UP: ("stream ended by the venue", "stream ended by the venue"),
    points.REDUCTION_CLAIMED_AGAIN: ("partial fill then cancel", "order refused"),
    points.SIDELOG_APPENDED: ("store full", "store full"),
}
"""Faults that bring an engine to points it seldom comes to."""
COMING_BACK: Final = (points.LANES_RESTORED, points.CLAIMS_RESTORED, points.UNTOLD_TOLD)
"""Points that are passed only after a crash."""


def _draw_crashes(source: Random, steps: list[Step]) -> "Crash | None":
    """Put a crash into a step; return a second one, for the engine that comes back."""
    number = source.randrange(2, len(steps) - 2)
    again = None
    if source.random() < 0.1:
        again = Crash(source.choice((*COMING_BACK, None)), 1, source.uniform(0.0, 0.4))
    if source.random() < 0.25:
        steps[number].crash = Crash(None, 1, source.choice((0.0005, 0.003, 0.01, 0.05, 0.5)))
        return again
    point = source.choice(points.LIFE)
    if point in COMING_BACK:
        steps[number].crash = Crash(None, 1, source.choice((0.0005, 0.003, 0.01)))
        return Crash(point, 1, 30.0)
    if point == points.FLIP_OPENING_CLAIMED:
        number = FLIP_AT
    passing = source.choice((1, 1, 2, 5)) if point in COMMON else 1
    steps[number].crash = Crash(point, passing, source.uniform(3.0, 9.0))
    for kind in PROVOKED.get(point, ()) * 3:
        steps[number].faults.append(kind)
    return again


def _draw_followers(source: Random) -> list[Who]:
    found = []
    for index in range(source.randint(5, 7)):
        mirror: dict[str, Any] = {"reverse": source.random() < 0.15}
        if source.random() < 0.2:
            mirror["mode"] = MirrorMode.RATIO
            mirror["ratio"] = source.choice((SCALE // 100, SCALE // 20, SCALE // 7))
            mirror["allocation"] = None
            mirror["max_leverage"] = None
        if source.random() < 0.25:
            mirror["on_thin_book"] = LimitPolicy.CLIP
        if source.random() < 0.25:
            cap = source.choice((1_000, 4_000)) * SCALE
            mirror["caps"] = replace(UNBOUND, symbol=cap)
            mirror["on_cap"] = source.choice((LimitPolicy.CLIP, LimitPolicy.SKIP))
        found.append(
            Who(
                follower_name(index),
                leader=LEADERS[index % 2],
                allocation=source.choice((500, 1_000, 2_000, 4_000)),
                mirror=mirror,
                hedge=source.random() < 0.2,
            )
        )
    return found


def _draw_steps(source: Random) -> list[Step]:
    held: dict[tuple[str, str], int] = {(who, symbol): 0 for who in LEADERS for symbol in SYMBOLS}
    steps: list[Step] = []
    fill_count = 0
    while len(steps) < STEP_COUNT_MIN or fill_count < FILL_COUNT_MIN:
        trade = _draw_trade(source, held, len(steps))
        is_close_by = source.random() < 0.25 or len(steps) == BURST_AT
        steps.append(
            Step(
                source.choice((0.002, 0.05, 0.6, 1.5)),
                trade,
                0.0 if is_close_by else source.choice((0.001, 0.3, 1.5)),
            )
        )
        fill_count += len(trade.parts)
    return steps


def _draw_trade(source: Random, held: dict[tuple[str, str], int], number: int) -> Trade:
    open_lanes = [lane for lane, size in held.items() if size]
    if number < len(held):
        lane = list(held)[number]
    elif number in (CLOSE_AT, FLIP_AT) and open_lanes:
        lane = source.choice(open_lanes)
    else:
        lane = source.choice(list(held))
    position = held[lane]
    size = source.randint(2, 30)
    is_buy = position > 0 if position else source.random() < 0.5
    is_forced = number in (CLOSE_AT, FLIP_AT)
    if position and (is_forced or source.random() < 0.55):
        share = source.choice((0.3, 0.5, 1.0, 1.6))  # partly, wholly, through zero
        if is_forced:
            share = 1.0 if number == CLOSE_AT else 1.6
        size = max(1, round(abs(position) * share))
        if number == FLIP_AT:
            size = max(size, abs(position) + 1)
        is_buy = position < 0
    is_last_closed = position + (size if is_buy else -size) == 0 and open_lanes == [lane]
    if number == FLIP_AT - 1 and (is_last_closed or not open_lanes):
        is_buy = position >= 0  # something must be there to be turned round
    if number == BURST_AT:
        size = max(size, BURST_PARTS_MIN)
    held[lane] = position + (size if is_buy else -size)
    count = 8 if number == BURST_AT else source.choice((1, 2, 2, 3))
    if number == FLIP_AT:
        count = 1  # one fill through zero; several may stop at it
    parts = _cut(source, size, count)
    if number == BURST_AT and len(parts) < BURST_PARTS_MIN:
        parts = (1, 1, 1, size - 3)
    return Trade(*lane, "BUY" if is_buy else "SELL", parts)


def _cut(source: Random, size: int, count: int) -> tuple[int, ...]:
    """Cut a size into at most so many parts."""
    edges = sorted({0, size, *(source.randint(0, size) for _ in range(count - 1))})
    return tuple(high - low for low, high in pairwise(edges))


# --- running ---


class Run:
    """One schedule as it happens."""

    def __init__(self, loop: VirtualLoop, plan: Plan) -> None:
        """Build the world; nothing runs yet."""
        self.plan = plan
        self.loop = loop
        self.source = Random(f"while it runs {plan.seed}")
        self.world = World(
            loop,
            plan.followers,
            leaders=LEADERS,
            seed=plan.seed,
            symbols=SYMBOLS,
            commit_ns=plan.commit_ns,
            match_ms=plan.match_ms,
            level_count=24,
        )
        self.world.quote_s = 0.25
        self.world.has_side_log = True
        for symbol, notional in plan.depth.items():
            self.world.market(symbol, level_notional=notional)
        self.lives = Lives(self.world)
        self.lives.pause = lambda: self.source.choice((0.02, 0.3, 1.0, 3.0, 8.0))
        self.chaos = Chaos(self.world, self.lives, self.source)
        self.watch = Watch(self.world, self.lives)

    async def play(self) -> None:
        """Trade through everything, then let it come to rest."""
        self.world.open_venue()
        self.watch.begin()
        self.lives.begin()
        await self.until_quiet(ENGINE_WAIT_S, 1)
        await asyncio.sleep(FIRST_TRADE_S)
        for step in self.plan.steps:
            await self._take(step)
        await self._rest()

    async def _take(self, step: Step) -> None:
        for kind in step.faults:
            self.chaos.begin(kind)
        await asyncio.sleep(step.before_s)
        if step.crash is not None:
            self._prepare(step.crash)
        self._trade(step.trade)
        if step.after_s:
            await asyncio.sleep(step.after_s)
        self.watch.look()

    def _trade(self, trade: Trade) -> None:
        unit = UNITS[trade.symbol]
        parts = [f"{part * unit:.3f}" for part in trade.parts]
        self.lives.note(f"leader {trade.leader} {trade.side} {trade.symbol} {parts}")
        self.world.trade(trade.leader, trade.symbol, trade.side, *parts)

    def _prepare(self, crash: Crash) -> None:
        if crash.is_lease:
            self.loop.call_later(crash.after_s, self.chaos.begin, "lease lost in flight")
            return
        before = self.lives.crash_count

        if self.plan.again is not None:
            self.lives.again = (self.plan.again.point, self.plan.again.after_s)

        def die() -> None:
            """Die here when the point has not come by."""
            if self.lives.crash_count == before:
                self.lives.armed.clear()
                self.lives.crash()

        if crash.point is not None:
            self.lives.arm(crash.point, crash.passing)
        self.loop.call_later(crash.after_s, die)

    async def _rest(self) -> None:
        await asyncio.sleep(0.5)
        self.lives.armed.clear()
        self.chaos.heal()
        await asyncio.sleep(2.0)
        await self.until_quiet(CALM_MAX_S, 1)
        for leader in self.world.leaders:  # what a stream swallowed shows in the next event
            for symbol in SYMBOLS:
                self._trade(Trade(leader, symbol, "BUY", (1,)))
        await asyncio.sleep(2.0)
        self.world.quote_s = 0.8
        await asyncio.sleep(NOTICE_S)
        reason = await self.until_quiet(CALM_MAX_S, 3)
        if reason is not None:
            self.watch.say(f"unsettled: {reason}")
        self.watch.look()
        if self.lives.is_up:
            await self.world.engine.settle()
            await self.world.store.flush()

    async def until_quiet(self, most_s: float, times: int) -> str | None:
        """Wait until the engine was at rest so many looks on end; return why it is not."""
        until_s = self.loop.time() + most_s
        quiet_count = 0
        reason: str | None = "nobody looked"
        while quiet_count < times and self.loop.time() < until_s:
            await asyncio.sleep(1.0)
            if self.lives.broken is not None:
                raise self.lives.broken
            reason = unquiet(self.world, self.lives)
            quiet_count = quiet_count + 1 if reason is None else 0
        return reason

    def result(self) -> Result:
        """Judge."""
        world, lives = self.world, self.lives
        venue = world.venue_lines()
        lines = world.store.lines()
        findings = [*self.watch.findings, *judge(world)]
        happened = [line for line in venue if line["kind"] in {"order", "fill"}]
        legs = Counter(
            f"{line['payload'].get('end')} {line['reason'] or ''}".strip()
            for line in lines
            if line["kind"] == "leg"
        )
        faults = self.chaos.counts()
        if lives.crashes:
            faults["writer crash"] += sum(
                count for where, count in lives.crashes.items() if where != "lease lost"
            )
        return Result(
            seed=self.plan.seed,
            findings=tuple(dict.fromkeys(findings)),
            faults=+faults,
            points=lives.points,
            crashes=lives.crashes,
            intents=Counter(
                line["payload"].get("intent_kind", line["payload"].get("kind"))
                for line in lines
                if line["kind"] == "intent"
            ),
            legs=legs,
            fill_count=sum(len(step.trade.parts) for step in self.plan.steps),
            order_count=sum(line["kind"] == "order" for line in venue),
            callback_count=self.loop.step_count,
            virtual_s=self.loop.time() - 1_000,
            fingerprint=sha256(str(happened).encode()).hexdigest()[:16],
            timeline=tuple(lives.timeline),
        )

    async def end(self) -> None:
        """Stop whatever still runs."""
        self.lives._end(self.lives.number, self.world.store)
        for task in self.world._tasks:
            task.cancel()
        await asyncio.wait(self.world._tasks)


def run(seed: int) -> Result:
    """Run one schedule to its end and judge it.

    Raises:
        AssertionError: something nobody handled reached the loop.
        TooLongError: it did not come to an end.
    """
    plan = draw(seed)
    network = Network(latency_ns=plan.latency_ns, jitter_ns=plan.jitter_ns, seed=seed)

    async def main(loop: VirtualLoop) -> Result:
        now = Run(loop, plan)
        await now.play()
        result = now.result()
        await now.end()
        return result

    return run_virtual(main, network=network, step_count_max=CALLBACKS_MAX)
