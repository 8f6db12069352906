"""The promises, judged from both logs after seeded trades and seeded faults.

A schedule is drawn from its seed alone. When it is over the faults stop, the engine gets time to
settle, and ``telemetry/recount.py`` counts from the venue's log what must be zero. A failure names
its seed; a seed that ever failed is kept in ``FAILED_ONCE``.

Beside it, positions are compared with what the engine attributes to itself, and nothing may be
held too much.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any, Final

import pytest

from simulation.memory_net import Network
from simulation.virtual_loop import VirtualLoop, run_virtual
from simulation.world import Who, World, follower_name
from slipstream._core import SCALE, TARGET_SCALE
from slipstream.engine.lane import excess_qty
from slipstream.telemetry.recount import Recount, recount

SEED_COUNT: Final = 30
FAILED_ONCE: Final[dict[str, int]] = {
    "an exit that waited was forgotten when a newer one came to wait": 16,
    "an order left seven seconds late, behind one that hung": 9,
    "a flip's opening leg was tried again as its closing leg": 23,
    "what was given up beside an unknown order was miscounted": 12,
}
FOLLOWER_COUNT: Final = 6
SYMBOLS: Final = ("BTCUSDT", "ETHUSDT")
ORDER_ROUTE: Final = "POST /fapi/v3/order"
UNITS: Final = {"BTCUSDT": 0.05, "ETHUSDT": 0.8}
CALM_S: Final = 150
"""After the last trade: an unknown order is given up for absent within a minute or two."""

FOLLOWER_FAULTS: Final[tuple[dict[str, Any], ...]] = (
    {"kind": "hang", "route": ORDER_ROUTE},
    {"kind": "hang", "route": ORDER_ROUTE, "executed": True},
    {"kind": "lost_ack", "route": ORDER_ROUTE},
    {"kind": "lost_ack"},
    {"kind": "reset_before", "route": ORDER_ROUTE},
    {"kind": "status_503_before", "route": ORDER_ROUTE},
    {"kind": "status_503_after", "route": ORDER_ROUTE},
    {"kind": "garbage", "route": ORDER_ROUTE},
    {"kind": "waf_403", "route": ORDER_ROUTE},
    {"kind": "reject", "route": ORDER_ROUTE, "code": -2019, "msg": "Margin is insufficient."},
    {"kind": "delay_response", "route": ORDER_ROUTE, "delay_ms": 700},
    {"kind": "delay_request", "route": ORDER_ROUTE, "delay_ms": 400},
    {"kind": "drop_event"},
    {"kind": "duplicate_event"},
    {"kind": "reorder_event"},
    {"kind": "delay_event", "delay_ms": 300},
    {"kind": "disconnect_streams"},
    {"kind": "listen_key_expired"},
)
BOOK_FAULTS: Final[tuple[dict[str, Any], ...]] = (
    {"kind": "stale_book"},
    {"kind": "gap_book"},
)
"""Not the crossed and the empty book: there the venue lies about the very prices it is judged
by. What these may do is in ``test_poison.py``."""
LEADER_FAULTS: Final[tuple[dict[str, Any], ...]] = (
    {"kind": "duplicate_event"},
    {"kind": "reorder_event"},
    {"kind": "delay_event", "delay_ms": 300},
    {"kind": "account_first"},
    {"kind": "disconnect_streams"},
    {"kind": "listen_key_expired"},
)


@dataclass(frozen=True, slots=True)
class Verdict:
    counted: Recount
    unmirrored: int
    """Leader fills in the venue's history that are in no intent."""
    unexplained_legs: list[str]
    """Intents for which a follower has not exactly one outcome."""
    bad_signatures: int
    adrift: list[str]
    """Positions that are not ours to the last digit, or a lot or more above what is wanted."""
    hits: Counter[str]


def draw_followers(source: Random) -> list[Who]:
    return [
        Who(
            follower_name(index),
            allocation=source.choice((500, 1_000, 2_000, 4_000)),
            mirror={"reverse": source.random() < 0.15},
        )
        for index in range(FOLLOWER_COUNT)
    ]


def draw_trade(source: Random, held: dict[str, int]) -> tuple[str, str, list[int]]:
    """Return a symbol, a side and sizes in units, of a kind the position allows."""
    symbol = source.choice(SYMBOLS)
    position = held[symbol]
    size = source.randint(2, 30)
    if position and source.random() < 0.55:
        share = source.choice((0.3, 0.5, 1.0, 1.6))  # partly, wholly, through zero
        size = max(1, round(abs(position) * share))
        is_buy = position < 0
    else:
        is_buy = position > 0 if position else source.random() < 0.5
    held[symbol] = position + (size if is_buy else -size)
    cut = source.randint(1, size)
    parts = [part for part in (cut, size - cut) if part]
    return symbol, "BUY" if is_buy else "SELL", parts


def strike(world: World, source: Random) -> None:
    """Begin one fault that ends by itself."""
    bounds = {"count": source.randint(1, 6), "duration_ms": source.randint(500, 6_000)}
    place = source.random()
    if place < 0.6:
        fault = dict(source.choice(FOLLOWER_FAULTS))
        name = source.choice(world.followers).name
    elif place < 0.8:
        fault, name = dict(source.choice(LEADER_FAULTS)), "alpha"
    else:
        fault, name = dict(source.choice(BOOK_FAULTS)), None
        fault["symbol"] = source.choice(SYMBOLS)
    world.fault(fault.pop("kind"), name, **bounds, **fault)


def cut_somebody(world: World, source: Random) -> None:
    links = [link for link in world.loop.network.links if link.is_open]
    link = source.choice(links)
    if source.random() < 0.5:
        link.reset()
    else:
        link.stall()
        world.loop.call_later(source.uniform(0.05, 3.0), link.resume)


def run_schedule(seed: int) -> Verdict:
    source = Random(f"schedule {seed}")
    network = Network(
        latency_ns=source.randint(20_000, 2_000_000),
        jitter_ns=source.choice((0, 100_000, 1_500_000)),
        seed=seed,
    )

    async def main(loop: VirtualLoop) -> Verdict:
        world = World(
            loop,
            draw_followers(source),
            seed=seed,
            symbols=SYMBOLS,
            commit_ns=source.randint(200_000, 8_000_000),
            match_ms=source.choice((0.0, 1.0, 12.0)),
        )
        for symbol in SYMBOLS:
            world.market(symbol, level_notional=source.choice((1_500, 6_000, 30_000)))
        await world.start()
        await asyncio.sleep(2)
        held = dict.fromkeys(SYMBOLS, 0)
        for _ in range(16):
            if source.random() < 0.4:
                strike(world, source)
            if source.random() < 0.1:
                cut_somebody(world, source)
            await asyncio.sleep(source.choice((0.002, 0.05, 0.6, 1.5)))
            symbol, side, parts = draw_trade(source, held)
            unit = UNITS[symbol]
            world.trade("alpha", symbol, side, *[f"{part * unit:.3f}" for part in parts])
            await asyncio.sleep(source.choice((0.001, 0.3, 2.0)))
        world.admin("/_sim/faults", {"clear": True})
        await asyncio.sleep(5)
        for symbol in SYMBOLS:  # what a stream swallowed shows as a hole in the next event
            world.trade("alpha", symbol, "BUY", str(UNITS[symbol]))
        await asyncio.sleep(CALM_S)
        await world.engine.settle()
        verdict = judge(world)
        await world.stop()
        return verdict

    return run_virtual(main, network=network)


def judge(world: World) -> Verdict:
    lines = world.store.lines()
    venue = world.venue_lines()
    intents = [line["intent_id"] for line in lines if line["kind"] == "intent"]
    told = Counter(
        (line["intent_id"], line["follower"])
        for line in lines
        if line["kind"] == "leg" and line["payload"]["leg"] == 0
    )
    wrong = [
        f"{who.name} has {told[intent, who.name]} outcomes of {intent}"
        for intent in intents
        for who in world.followers
        if told[intent, who.name] != 1
    ]
    leader = world.account("alpha")
    trades = {
        str(line["trade_id"])
        for line in venue
        if line["kind"] == "fill" and line["account"] == leader
    }
    # A fill whose margin is not confirmed yet may be mirrored in parts: "7/close:5", "7/open".
    mirrored = {key.split("\x1f")[4].partition("/")[0] for key in world.store.ledger.fills}
    return Verdict(
        counted=recount(venue, lines),
        unmirrored=len(trades - mirrored),
        unexplained_legs=wrong,
        bad_signatures=world.venue.face.bad_signatures,
        adrift=adrift(world),
        hits=Counter(line["fault"] for line in venue if line["kind"] == "fault"),
    )


def adrift(world: World) -> list[str]:
    found = []
    for parts in world.engine.parts.values():
        for mirror in parts.mirrors:
            for symbol, index in mirror.cohort.symbols.items():
                lot = mirror.hub.instruments[symbol].rules.qty_step
                for member in mirror.cohort.members:
                    lane = mirror.cohort.table.lane(member.row, index)
                    held = world.position(member.follower, symbol)
                    ours = Decimal(sum(lane.position_qty)) / SCALE
                    if held != ours or excess_qty(lane) >= lot:
                        wanted = sum(lane.wanted_target) / TARGET_SCALE
                        found.append(
                            f"{member.follower} {symbol} holds {held}, ours {ours}, wanted {wanted}"
                        )
    return found


def assert_promises(seed: int) -> None:
    verdict = run_schedule(seed)
    assert verdict.counted.findings == (), f"seed {seed}: {verdict.counted.findings}"
    assert verdict.adrift == [], f"seed {seed}: {verdict.adrift}"
    assert verdict.unmirrored == 0, f"seed {seed}: {verdict.unmirrored} fills in no intent"
    assert verdict.unexplained_legs == [], f"seed {seed}: {verdict.unexplained_legs}"
    assert verdict.bad_signatures == 0, f"seed {seed}"


@pytest.mark.parametrize("seed", range(SEED_COUNT))
def test_the_promises_hold_under_seeded_faults(seed: int) -> None:
    assert_promises(seed)


@pytest.mark.parametrize("name", FAILED_ONCE)
def test_a_schedule_that_failed_once_holds_now(name: str) -> None:
    assert_promises(FAILED_ONCE[name])


def test_a_schedule_replays_from_its_seed() -> None:
    first, again = run_schedule(3), run_schedule(3)
    assert first == again
    assert sum(first.hits.values()) > 0
