"""The leader tracker against a venue that delivers badly.

The oracle is a dict of positions and, for followers, exact fractions: increases add their
change, reductions scale by the leader's fraction. Whatever is lost, doubled or reordered, every
fill ends in exactly one intent and a follower at ratio one ends where the leader is.
"""

from collections import Counter
from fractions import Fraction

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from slipstream._core import SCALE, PositionSide, Side
from slipstream.domain.fill import AccountSnapshot, AccountUpdate, Fill, PositionState
from slipstream.domain.ids import FillId, LeaderId, VenueId
from slipstream.domain.intent import IntentKind, MirrorIntent
from slipstream.engine.effects import Backfill, EmitIntent, ReadMargin, ReadPositions
from slipstream.engine.leader import LeaderTracker
from slipstream.engine.position import HISTORY_LAG_NS

VENUE = VenueId("aster")
ACCOUNT = "0xleader"
SYMBOLS = ("BTCUSDT", "ETHUSDT")
WALLET = 1_000 * SCALE
PX = 100 * SCALE
MS = 1_000_000
GROWING = (IntentKind.OPEN, IntentKind.INCREASE)


class BadlyDeliveredLeader(RuleBasedStateMachine):
    """One leader, two symbols, one-way mode."""

    @initialize(needs_margin=st.booleans(), needs_initial_margin=st.booleans())
    def start(self, *, needs_margin: bool, needs_initial_margin: bool) -> None:
        self.now = 0
        self.ts_ms = 1_000
        self.truth = dict.fromkeys(SYMBOLS, 0)
        self.fills: list[Fill] = []
        self.cursors = dict.fromkeys(SYMBOLS, 0)
        self.wire: list[Fill | AccountUpdate] = []
        self.asked: list[object] = []
        self.intents: list[MirrorIntent] = []
        self.mirrored = dict.fromkeys(SYMBOLS, Fraction(0))
        self.needs_margin = needs_margin or needs_initial_margin
        self.tracker = LeaderTracker(
            LeaderId("whale"),
            VENUE,
            ACCOUNT,
            needs_margin=needs_margin,
            needs_initial_margin=needs_initial_margin,
        )
        for symbol in SYMBOLS:
            self.take(self.tracker.on_mark(symbol, PX, now_ns=0))
        self.take(self.tracker.on_snapshot(self.snapshot(), now_ns=0))

    def snapshot(self) -> AccountSnapshot:
        states = tuple(
            PositionState(symbol, PositionSide.NET, qty, PX, 0, 10, abs(qty) // 10)
            for symbol, qty in self.truth.items()
        )
        return AccountSnapshot(
            account=ACCOUNT,
            wallet=WALLET,
            equity=WALLET,
            available=WALLET,
            initial_margin=0,
            positions=states,
            is_hedge=False,
            venue_ts_ms=self.ts_ms,
            received_ns=self.now,
        )

    def take(self, effects: list[object]) -> None:
        for effect in effects:
            if isinstance(effect, EmitIntent):
                self.mirror(effect.intent)
            elif isinstance(effect, Backfill | ReadMargin | ReadPositions):
                self.asked.append(effect)

    def mirror(self, intent: MirrorIntent) -> None:
        self.intents.append(intent)
        held = self.mirrored[intent.symbol]
        if intent.kind in GROWING:
            assert (intent.margin is not None) is self.needs_margin
            held += intent.after - intent.before
        elif intent.kind is IntentKind.FLIP:
            held = Fraction(intent.after)
        else:
            assert intent.margin is None
            held = held * intent.after / intent.before
        if intent.margin is not None:
            assert intent.margin.equity == WALLET
        self.mirrored[intent.symbol] = held

    @rule(
        symbol=st.sampled_from(SYMBOLS),
        qtys=st.lists(st.integers(-30, 30).filter(bool), min_size=1, max_size=4),
        is_flat=st.booleans(),
    )
    def trade(self, symbol: str, qtys: list[int], *, is_flat: bool) -> None:
        """The venue matches fills in one millisecond; one account update covers them."""
        self.ts_ms += 1
        if is_flat and self.truth[symbol]:
            qtys = [-self.truth[symbol] // SCALE]
        for qty in qtys:
            self.truth[symbol] += qty * SCALE
            fill = Fill(
                FillId(VENUE, ACCOUNT, symbol, "7", str(len(self.fills) + 1), self.ts_ms),
                PositionSide.NET,
                Side.BUY if qty > 0 else Side.SELL,
                abs(qty) * SCALE,
                PX,
                is_taker=True,
                is_liquidation=False,
                received_ns=self.now,
                decoded_ns=self.now,
            )
            self.fills.append(fill)
            self.wire.append(fill)
        state = PositionState(symbol, PositionSide.NET, self.truth[symbol], PX)
        self.wire.append(AccountUpdate(ACCOUNT, self.ts_ms, "ORDER", WALLET, (state,), self.now))

    @precondition(lambda self: self.wire)
    @rule(picks=st.lists(st.integers(0, 7), min_size=1, max_size=6), is_doubled=st.booleans())
    def deliver(self, picks: list[int], *, is_doubled: bool) -> None:
        """One socket read brings some of what is on the wire, in any order."""
        batch = [self.wire.pop(pick % len(self.wire)) for pick in picks if self.wire]
        if is_doubled:
            self.wire += batch
        self.take(
            self.tracker.on_fills(
                [event for event in batch if isinstance(event, Fill)], now_ns=self.now
            )
        )
        for event in batch:
            if isinstance(event, AccountUpdate):
                self.take(self.tracker.on_account_update(event, now_ns=self.now))

    @precondition(lambda self: self.wire)
    @rule(pick=st.integers(0, 7))
    def lose(self, pick: int) -> None:
        self.wire.pop(pick % len(self.wire))

    @rule(ms=st.sampled_from([1, 100, 300, 10_000]))
    def wait(self, ms: int) -> None:
        self.now += ms * MS
        self.take(self.tracker.on_deadline(now_ns=self.now))

    @precondition(lambda self: self.asked)
    @rule(pick=st.integers(0, 3), is_lost=st.booleans(), lag=st.integers(0, 6))
    def answer(self, pick: int, lag: int, *, is_lost: bool) -> None:
        request = self.asked.pop(pick % len(self.asked))
        if not is_lost:
            self.reply(request, lag=lag)

    def reply(self, request: object, *, lag: int = 0) -> None:
        if isinstance(request, Backfill):
            self.backfill(request.symbol, lag=lag)
        elif isinstance(request, ReadMargin):
            self.take(self.tracker.on_margin_read(self.snapshot(), now_ns=self.now))
        else:
            self.take(self.tracker.on_snapshot(self.snapshot(), now_ns=self.now))

    @rule(symbol=st.sampled_from(SYMBOLS), again=st.integers(0, 6), lag=st.integers(0, 6))
    def reconnect(self, symbol: str, again: int, lag: int) -> None:
        """A new stream reads what it may have missed, from the cursor or before it."""
        self.backfill(symbol, again=again, lag=lag)

    @rule()
    def look(self) -> None:
        """The positions are read although nobody asked."""
        self.take(self.tracker.on_snapshot(self.snapshot(), now_ns=self.now))

    def backfill(self, symbol: str, *, again: int = 1_000, lag: int = 0) -> None:
        """Read a symbol's history, which may not show its newest fills yet."""
        fills = [fill for fill in self.fills if fill.symbol == symbol]
        settled = sum(self.now - fill.received_ns >= HISTORY_LAG_NS for fill in fills)
        end = max(settled, self.cursors[symbol], len(fills) - lag)
        page = fills[max(0, self.cursors[symbol] - again) : end]
        self.cursors[symbol] = end
        self.take(self.tracker.on_backfill(symbol, page, str(end), now_ns=self.now))

    def teardown(self) -> None:
        """Faults stop: a reconnect reads everything, then all that was asked is answered."""
        if not hasattr(self, "tracker"):
            return
        for symbol in SYMBOLS:
            self.backfill(symbol)
        self.take(self.tracker.on_snapshot(self.snapshot(), now_ns=self.now))
        for _ in range(60):
            while self.asked:
                self.reply(self.asked.pop(0))
            deadline = self.tracker.next_deadline()
            if deadline is None:
                break
            self.now = max(self.now, deadline)
            self.take(self.tracker.on_deadline(now_ns=self.now))
        assert self.tracker.next_deadline() is None
        listed = Counter(whole(fill.id) for intent in self.intents for fill in intent.fills)
        assert set(listed) == {fill.id for fill in self.fills}
        for symbol in SYMBOLS:
            assert self.tracker.account.position(symbol) == self.truth[symbol]
            assert abs(self.mirrored[symbol] - self.truth[symbol]) < len(self.fills) + 1
        for symbol in SYMBOLS:
            traded = [fill for fill in self.fills if fill.symbol == symbol]
            moved = sum(
                fill.signed_qty
                for intent in self.intents
                if intent.symbol == symbol
                for fill in intent.fills
            )
            assert moved == sum(fill.signed_qty for fill in traded)
        identities = [fill.id for intent in self.intents for fill in intent.fills]
        assert len(identities) == len(set(identities))


def whole(fill_id: FillId) -> FillId:
    """Return the venue's fill that a part belongs to."""
    return fill_id._replace(trade_id=fill_id.trade_id.partition("/")[0])


BadlyDeliveredLeader.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None
)
TestBadlyDeliveredLeader = BadlyDeliveredLeader.TestCase
