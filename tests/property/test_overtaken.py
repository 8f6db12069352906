"""Increases that wait for margin while reductions pass them, in any order, across restarts.

The oracle is a follower at ratio one in exact fractions: what mirroring every fill at once would
have given. The documented rule gives the same but for one unit of the leader's quantity (10**-8)
for each reduction that passed a waiting fill, and nothing at all after a full close.
"""

from fractions import Fraction

import hypothesis.strategies as st
from hypothesis import given, settings

from slipstream._core import SCALE, PositionSide, Side
from slipstream.domain.fill import AccountSnapshot, Fill, PositionState
from slipstream.domain.ids import FillId, LeaderId, VenueId
from slipstream.domain.intent import IntentKind, MirrorIntent
from slipstream.engine.effects import Effect, EmitIntent
from slipstream.engine.leader import LeaderTracker
from slipstream.engine.position import LaneKey

VENUE, ACCOUNT, BTC = VenueId("aster"), "0xleader", "BTCUSDT"
KEY = LaneKey(BTC, PositionSide.NET)
PX, WALLET = 100 * SCALE, 1_000 * SCALE
STEPS = st.one_of(
    st.tuples(st.just("grow"), st.integers(1, 10**9)),
    st.tuples(st.just("keep"), st.integers(1, 99)),
    st.tuples(st.just("read"), st.just(0)),
)


class Mirrored:
    """A leader, its tracker, which may die, and a follower at ratio one."""

    def __init__(self) -> None:  # noqa: D107 - of a test
        self.now = 0
        self.position = 0
        self.at_once = Fraction(0)
        self.follower = Fraction(0)
        self.fills: list[Fill] = []
        self.intents: list[MirrorIntent] = []
        self.tracker = self._new()
        self.tracker.on_snapshot(self.snapshot(), now_ns=0)

    def _new(self) -> LeaderTracker:
        return LeaderTracker(LeaderId("whale"), VENUE, ACCOUNT, needs_margin=True)

    def snapshot(self) -> AccountSnapshot:
        state = PositionState(BTC, PositionSide.NET, self.position, PX, 0, 10, 0)
        return AccountSnapshot(
            account=ACCOUNT,
            wallet=WALLET,
            equity=WALLET,
            available=WALLET,
            initial_margin=0,
            positions=(state,),
            is_hedge=False,
            venue_ts_ms=1_000 + self.now,
            received_ns=self.now,
        )

    def take(self, effects: list[Effect]) -> None:
        for effect in effects:
            if not isinstance(effect, EmitIntent):
                continue
            intent = effect.intent
            self.intents.append(intent)
            if intent.kind in (IntentKind.OPEN, IntentKind.INCREASE):
                self.follower += intent.after - intent.before
            else:
                self.follower *= Fraction(intent.after, intent.before)

    def trade(self, change: int) -> None:
        before, self.position = self.position, self.position + change
        if abs(self.position) < abs(before):
            self.at_once *= Fraction(self.position, before)
        else:
            self.at_once += change
        self.now += 1
        number = len(self.fills) + 1
        fill = Fill(
            id=FillId(VENUE, ACCOUNT, BTC, str(number), str(number), 1_000 + self.now),
            position_side=PositionSide.NET,
            side=Side.BUY if change > 0 else Side.SELL,
            qty=abs(change),
            px=PX,
            is_taker=True,
            is_liquidation=False,
            received_ns=self.now,
            decoded_ns=self.now,
        )
        self.fills.append(fill)
        self.take(self.tracker.on_fills([fill], now_ns=self.now))

    def read(self) -> None:
        self.take(self.tracker.on_margin_read(self.snapshot(), now_ns=self.now))

    def restart(self) -> None:
        """Begin again from what the ledger holds; the history is read from its beginning."""
        self.tracker = self._new()
        self.tracker.account.floor_ms = 1_000
        newest = {KEY: self.intents[-1].after} if self.intents else {}
        self.tracker.restore(newest, [fill.id for each in self.intents for fill in each.fills])
        self.take(self.tracker.on_snapshot(self.snapshot(), now_ns=self.now))
        self.take(self.tracker.on_backfill(BTC, self.fills, None, now_ns=self.now))
        assert self.is_whole()

    def is_whole(self) -> bool:
        return self.tracker.account.position(BTC) == self.position


@settings(max_examples=300, deadline=None)
@given(
    st.lists(STEPS, min_size=1, max_size=12),
    st.sampled_from((1, -1)),
    st.sets(st.integers(0, 11), max_size=3),
)
def test_what_waits_shrinks_as_if_it_had_been_mirrored_at_once(
    steps: list[tuple[str, int]], sign: int, deaths: set[int]
) -> None:
    run = Mirrored()
    for index, (what, number) in enumerate(steps):
        if what == "grow":
            run.trade(sign * number)
        elif what == "keep" and abs(run.position) > 1:
            kept = max(1, abs(run.position) * number // 100)
            run.trade(sign * (kept - abs(run.position)))
        elif what == "read":
            run.read()
        if index in deaths:
            run.restart()
    run.now += 1
    run.read()
    assert run.is_whole()
    assert run.tracker.is_settled(BTC)
    assert abs(run.follower - run.at_once) <= len(steps) ** 2
    if run.position:
        run.trade(-run.position)
        assert run.follower == 0
    listed = [fill.id for intent in run.intents for fill in intent.fills]
    assert sorted(listed) == sorted(fill.id for fill in run.fills)
