"""Each rule that keeps a promise, broken on purpose: a checker finds it.

Every schedule is made to hit the one rule, runs with the whole engine first, where nothing may
be found, and then with the broken one, where the named checker must find something.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import pytest

from simulation import broken_builds
from simulation.broken_builds import Break
from simulation.memory_net import Network
from simulation.schedule import CALLBACKS_MAX, FIRST_TRADE_S, Plan, Run, Trade
from simulation.virtual_loop import VirtualLoop, run_virtual
from simulation.world import LEADERS, Who
from slipstream._core import SCALE
from slipstream.config.model import MirrorMode
from slipstream.runtime import points
from slipstream.telemetry.recount import Recount, recount

ALPHA, BETA = LEADERS
ETH: Final = "ETHUSDT"
ORDERS: Final = "POST /fapi/v3/order"
Script = Callable[[Run], Awaitable[None]]


def by_ratio(name: str, leader: str, ratio: int) -> Who:
    """Return a follower that mirrors a fixed share of quantities (10**-8)."""
    mirror = {"mode": MirrorMode.RATIO, "ratio": ratio, "allocation": None, "max_leverage": None}
    return Who(name, leader=leader, mirror=mirror)


SOME: Final = (by_ratio("f00", ALPHA, SCALE // 10), by_ratio("f01", BETA, SCALE // 10))
UNEVEN: Final = (by_ratio("f00", ALPHA, SCALE * 123 // 10_000), SOME[1])
GREEDY: Final = (by_ratio("f00", ALPHA, SCALE), by_ratio("f01", BETA, SCALE))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the venue's log says, and what was seen while it went on."""

    counted: Recount
    findings: tuple[str, ...]

    def of(self, kind: str) -> list[str]:
        return [each for each in self.findings if each.startswith(kind)]


def play(script: Script, followers: tuple[Who, ...], *, depth: int = 30_000) -> Verdict:
    """Run one script on a venue without faults of its own, and judge."""
    plan = Plan(
        seed=1,
        followers=list(followers),
        steps=[],
        latency_ns=500_000,
        jitter_ns=0,
        commit_ns=2_000_000,
        match_ms=1.0,
        depth={"BTCUSDT": 30_000, ETH: depth},
    )

    async def main(loop: VirtualLoop) -> Verdict:
        run = Run(loop, plan)
        run.lives.pause = lambda: 0.3
        run.world.open_venue()
        run.watch.begin()
        run.lives.begin()
        await run.until_quiet(30.0, 1)
        await run.until_quiet(FIRST_TRADE_S + 1, int(FIRST_TRADE_S))
        await script(run)
        await run._rest()
        verdict = Verdict(
            recount(run.world.venue_lines(), run.world.store.lines()), run.result().findings
        )
        await run.end()
        return verdict

    network = Network(latency_ns=plan.latency_ns, jitter_ns=0, seed=plan.seed)
    return run_virtual(main, network=network, step_count_max=CALLBACKS_MAX)


def trade(run: Run, side: str, *parts: int, leader: str = ALPHA) -> None:
    """Let a leader trade so many units of ETHUSDT, one fill for each."""
    run._trade(Trade(leader, ETH, side, parts))


async def settle(run: Run) -> None:
    await run.until_quiet(30.0, 1)


async def die_before_the_claim(run: Run) -> None:
    """The engine dies when the claim is asked for and not durable."""
    trade(run, "BUY", 4)
    await settle(run)
    run.lives.arm(points.CLAIM_ASKED, 1)
    trade(run, "SELL", 2)
    await settle(run)
    assert run.lives.crashes[points.CLAIM_ASKED] == 1


async def lose_an_answer(run: Run) -> None:
    """The venue takes a partial close and its answer is lost."""
    trade(run, "BUY", 9)
    await settle(run)
    run.world.fault("lost_ack", "f00", route=ORDERS, count=1)
    trade(run, "SELL", 3)
    await settle(run)
    assert [rule.hits for rule in run.world.venue.faults.rules] == [1]


async def trade_unheard(run: Run) -> None:
    """The leader trades while its stream is down."""
    trade(run, "BUY", 4)
    await settle(run)
    run.loop.network.is_refusing = True
    run.world.fault("disconnect_streams", ALPHA)
    await run.until_quiet(1.0, 1)
    trade(run, "BUY", 3)
    await run.until_quiet(1.0, 1)
    run.loop.network.is_refusing = False
    await settle(run)


async def share_a_thin_book(run: Run) -> None:
    """Two leaders buy at once where the book holds what one of them wants."""
    trade(run, "BUY", 1, leader=ALPHA)
    trade(run, "BUY", 1, leader=BETA)
    await settle(run)


async def trade_in_crumbs(run: Run) -> None:
    """Events that come to less than a lot, and to parts of one."""
    for side, parts in (("BUY", (1, 1, 2)), ("BUY", (3,)), ("SELL", (2,)), ("BUY", (1, 2))):
        trade(run, side, *parts)
        await settle(run)


@dataclass(frozen=True, slots=True)
class Case:
    """A rule, what breaks it, the schedule that needs it, and which checker sees that."""

    breaks: Break
    script: Script
    caught: Callable[[Verdict], bool]
    followers: tuple[Who, ...] = SOME
    depth: int = 30_000


CASES: Final[dict[str, Case]] = {
    "claim after send": Case(
        broken_builds.claim_after_send,
        die_before_the_claim,
        lambda seen: seen.counted.duplicate_orders > 0,
    ),
    "retry on timeout": Case(
        broken_builds.send_again_on_timeout,
        lose_an_answer,
        lambda seen: seen.counted.duplicate_orders > 0 and bool(seen.of("duplicate: f00")),
    ),
    "retry on timeout by another name": Case(
        broken_builds.plan_again_on_timeout,
        lose_an_answer,
        lambda seen: any("record does not know" in each for each in seen.of("duplicate")),
    ),
    "no backfill": Case(
        broken_builds.no_backfill,
        trade_unheard,
        lambda seen: seen.counted.lost_fills > 0,
    ),
    "reservation per intent": Case(
        broken_builds.reservation_per_intent,
        share_a_thin_book,
        lambda seen: seen.counted.depth_overcommits > 0,
        followers=GREEDY,
        depth=150,
    ),
    "target rounded per event": Case(
        broken_builds.target_rounded_per_event,
        trade_in_crumbs,
        lambda seen: any("computed again" in each for each in seen.of("unexplained")),
        followers=UNEVEN,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_whole_engine_is_clean_where_a_rule_is_needed(name: str) -> None:
    case = CASES[name]
    assert play(case.script, case.followers, depth=case.depth).findings == ()


@pytest.mark.parametrize("name", CASES)
def test_a_broken_rule_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[name]
    case.breaks(monkeypatch)
    verdict = play(case.script, case.followers, depth=case.depth)
    assert case.caught(verdict), verdict
