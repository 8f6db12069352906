"""A leader's stream dies for twenty minutes while others trade: each follower's own policy."""

from dataclasses import replace
from decimal import Decimal
from functools import cache
from typing import Final

from simulation.virtual_loop import VirtualLoop, run_virtual
from simulation.world import LEADERS, Who, World, follower_name
from slipstream.config.model import Config, ResumePolicy, StalePolicy
from slipstream.units import NS_PER_S

SILENT, OTHER = LEADERS[0], LEADERS[1]
HOLD, CLOSE_ONLY, FLATTEN, MANUAL, ELSEWHERE = map(follower_name, range(5))
POLICIES: Final = {
    CLOSE_ONLY: {"stale_leader": StalePolicy.CLOSE_ONLY},
    FLATTEN: {"stale_leader": StalePolicy.FLATTEN_AFTER, "flatten_after_ns": 900 * NS_PER_S},
    MANUAL: {"stale_resume": ResumePolicy.MANUAL},
}
SILENCE_S: Final = 1_200
BEGIN_S: Final = 20


class StaleWorld(World):
    """A world whose followers have policies of their own. ``seen``: positions by instant."""

    seen: dict[str, dict[str, Decimal]]

    def config(self) -> Config:
        config = super().config()
        followers = (replace(each, **POLICIES.get(each.id, {})) for each in config.followers)  # type: ignore[arg-type]
        return replace(config, followers=tuple(followers))

    def look(self, when: str) -> None:
        self.seen[when] = {who.name: self.position(who.name, "BTCUSDT") for who in self.followers}


@cache
def played() -> StaleWorld:
    """Open 2; silence; 1 closed and 1 opened unseen; back; 1 more opened."""

    async def main(loop: VirtualLoop) -> StaleWorld:
        crowd = [Who(name) for name in (HOLD, CLOSE_ONLY, FLATTEN, MANUAL)]
        crowd.append(Who(ELSEWHERE, leader=OTHER))
        world = StaleWorld(loop, crowd, leaders=(SILENT, OTHER))
        world.seen = {}
        for symbol in world.symbols:
            world.market(symbol, level_notional=100_000, walk_ppm=0)
        await world.start()
        await world.until(BEGIN_S)
        world.trade(SILENT, "BTCUSDT", "BUY", "2")
        world.trade(SILENT, "ETHUSDT", "BUY", "10")
        await world.until(BEGIN_S + 5)
        world.look("before")
        world.fault("status_503_before", SILENT, duration_ms=SILENCE_S * 1_000)
        world.fault("listen_key_expired", SILENT)
        world.fault("disconnect_streams", SILENT)
        await world.until(BEGIN_S + 60)
        world.trade(SILENT, "BTCUSDT", "SELL", "1")
        for minute in range(2, 20):
            await world.until(BEGIN_S + minute * 60)
            world.trade(OTHER, "BTCUSDT", "BUY" if minute % 2 else "SELL", "0.5")
            if minute == 14:
                world.look("14 minutes")
        world.trade(SILENT, "ETHUSDT", "BUY", "5")
        await world.until(BEGIN_S + SILENCE_S)
        world.look("silent")
        await world.until(BEGIN_S + SILENCE_S + 120)
        world.look("back")
        world.trade(SILENT, "BTCUSDT", "BUY", "1")
        await world.until(BEGIN_S + SILENCE_S + 140)
        world.look("after")
        world.sent = world.orders()
        await world.stop()
        assert loop.faults == []
        return world

    return run_virtual(main)


def test_silence_closes_nothing_but_where_the_policy_says_so_and_when() -> None:
    seen = played().seen
    assert all(qty > 0 for name, qty in seen["before"].items() if name != ELSEWHERE)
    for name in (HOLD, CLOSE_ONLY, MANUAL):
        assert seen["silent"][name] == seen["before"][name]
    assert seen["14 minutes"][FLATTEN] == seen["before"][FLATTEN]
    assert seen["silent"][FLATTEN] == 0


def test_what_was_closed_unseen_is_closed_when_the_stream_is_back() -> None:
    seen = played().seen
    for name in (HOLD, CLOSE_ONLY, MANUAL):
        assert 0 < seen["back"][name] < seen["before"][name]
    assert seen["back"][FLATTEN] == 0


def test_what_was_opened_unseen_is_too_old() -> None:
    world = played()
    for name in (HOLD, CLOSE_ONLY, FLATTEN):
        assert "STALE_INTENT" in world.reasons(name)
    eth = {name: world.position(name, "ETHUSDT") for name in (HOLD, CLOSE_ONLY, MANUAL)}
    assert all(qty > 0 for qty in eth.values())


def test_opens_pass_again_by_themselves_or_wait_for_the_operator() -> None:
    world = played()
    seen = world.seen
    for name in (HOLD, CLOSE_ONLY, FLATTEN):
        assert seen["after"][name] > seen["back"][name]
    assert seen["after"][MANUAL] == seen["back"][MANUAL]
    assert world.reasons(MANUAL)[-1] == "LEADER_STALE"
    assert len(world.incidents("RESUME_WANTED")) == 1


def test_those_who_follow_somebody_else_trade_on() -> None:
    world = played()
    assert len(world.sent[ELSEWHERE]) == 18
