"""The leader tracker, case by case. Positions in whole units for the eye; prices are 100."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from slipstream._core import SCALE, PositionSide, Side
from slipstream.domain.fill import (
    AccountSnapshot,
    AccountUpdate,
    Fill,
    LeverageUpdate,
    PositionDoubt,
    PositionState,
)
from slipstream.domain.ids import FillId, LeaderId, VenueId
from slipstream.domain.intent import IntentKind, MirrorIntent
from slipstream.engine.effects import (
    Backfill,
    Effect,
    EmitIntent,
    ReadMargin,
    ReadPositions,
    ReportIncident,
)
from slipstream.engine.leader import LeaderTracker
from slipstream.engine.position import HISTORY_LAG_NS, LaneKey

VENUE, ACCOUNT, BTC = VenueId("aster"), "0xleader", "BTCUSDT"
PX, WALLET = 100 * SCALE, 1_000 * SCALE
NET, LONG, SHORT = PositionSide.NET, PositionSide.LONG, PositionSide.SHORT
MS = 1_000_000


def fill(trade_id: int, qty: int, ts_ms: int, *, side: PositionSide = NET, px: int = PX) -> Fill:
    return Fill(
        id=FillId(VENUE, ACCOUNT, BTC, "7", str(trade_id), ts_ms),
        position_side=side,
        side=Side.BUY if qty > 0 else Side.SELL,
        qty=abs(qty) * SCALE,
        px=px,
        is_taker=True,
        is_liquidation=False,
        received_ns=ts_ms,
        decoded_ns=ts_ms,
    )


def update(ts_ms: int, qty: int, *, wallet: int | None = WALLET) -> AccountUpdate:
    state = PositionState(BTC, NET, qty * SCALE, PX)
    return AccountUpdate(ACCOUNT, ts_ms, "ORDER", wallet, (state,), ts_ms)


def snapshot(
    qty: int,
    ts_ms: int,
    *,
    side: PositionSide = NET,
    margin: int | None = None,
    account: str = ACCOUNT,
) -> AccountSnapshot:
    state = PositionState(BTC, side, qty * SCALE, PX, 0, 10, margin)
    return AccountSnapshot(
        account=account,
        wallet=WALLET,
        equity=WALLET + 7,
        available=WALLET,
        initial_margin=0,
        positions=(state,),
        is_hedge=side is not NET,
        venue_ts_ms=ts_ms,
        received_ns=0,
    )


def started(
    qty: int = 0, *, needs_margin: bool = False, needs_initial_margin: bool = False
) -> LeaderTracker:
    tracker = LeaderTracker(
        LeaderId("whale"),
        VENUE,
        ACCOUNT,
        needs_margin=needs_margin,
        needs_initial_margin=needs_initial_margin,
    )
    assert tracker.on_snapshot(snapshot(qty, 10), now_ns=0) == []
    assert tracker.on_mark(BTC, PX, now_ns=0) == []
    return tracker


def intents(effects: Sequence[Effect]) -> list[MirrorIntent]:
    """Return the intents; nothing else may be among the effects."""
    found = [effect.intent for effect in effects if isinstance(effect, EmitIntent)]
    assert len(found) == len(effects)
    return found


def shape(intent: MirrorIntent) -> tuple[IntentKind, int, int]:
    return intent.kind, intent.before // SCALE, intent.after // SCALE


def incidents(effects: Sequence[Effect]) -> list[str]:
    return [effect.kind for effect in effects if isinstance(effect, ReportIncident)]


# --- fills -------------------------------------------------------------------------------


def test_fills_of_one_read_and_direction_fold_into_one_intent() -> None:
    (intent,) = intents(
        started().on_fills([fill(1, 3, 20), fill(2, 1, 20, px=104 * SCALE)], now_ns=5)
    )
    assert shape(intent) == (IntentKind.OPEN, 0, 4)
    assert intent.px == 101 * SCALE
    assert [item.id.trade_id for item in intent.fills] == ["1", "2"]
    assert (intent.margin, intent.margin_ns, intent.created_ns) == (None, None, 5)


@pytest.mark.parametrize(("pxs", "expected"), [((1, 2), 2), ((2, 3), 2), ((1, 2, 2), 2)])
def test_the_price_of_a_fold_is_rounded_half_even(pxs: tuple[int, ...], expected: int) -> None:
    fills = [fill(index, 1, 20, px=px) for index, px in enumerate(pxs)]
    (intent,) = intents(started().on_fills(fills, now_ns=5))
    assert intent.px == expected


def test_a_fold_never_crosses_a_change_of_direction() -> None:
    effects = started(4).on_fills(
        [fill(1, 1, 20), fill(2, -2, 21), fill(3, -3, 21), fill(4, -1, 22)], now_ns=5
    )
    assert [shape(intent) for intent in intents(effects)] == [
        (IntentKind.INCREASE, 4, 5),
        (IntentKind.FULL_CLOSE, 5, 0),
        (IntentKind.OPEN, 0, -1),
    ]


def test_one_fill_through_zero_is_a_flip() -> None:
    (intent,) = intents(started(4).on_fills([fill(1, -9, 20)], now_ns=5))
    assert shape(intent) == (IntentKind.FLIP, 4, -5)


def test_a_doubled_fill_falls_out_live_and_in_backfill() -> None:
    tracker = started()
    intents(tracker.on_fills([fill(1, 3, 20), fill(1, 3, 20)], now_ns=5))
    assert tracker.on_fills([fill(1, 3, 20)], now_ns=6) == []
    assert tracker.on_backfill(BTC, [fill(1, 3, 20)], "1", now_ns=7) == []
    assert tracker.account.position(BTC) == 3 * SCALE


def test_hedge_sides_are_positions_of_their_own() -> None:
    tracker = started()
    effects = tracker.on_fills(
        [fill(1, 3, 20, side=LONG), fill(2, -2, 21, side=SHORT), fill(3, 1, 22, side=SHORT)],
        now_ns=5,
    )
    assert [(intent.position_side, *shape(intent)) for intent in intents(effects)] == [
        (LONG, IntentKind.OPEN, 0, 3),
        (SHORT, IntentKind.OPEN, 0, -2),
        (SHORT, IntentKind.PARTIAL_CLOSE, -2, -1),
    ]


def test_fills_before_the_first_snapshot_wait_and_those_it_includes_are_not_mirrored() -> None:
    tracker = LeaderTracker(LeaderId("whale"), VENUE, ACCOUNT, needs_margin=False)
    assert tracker.on_fills([fill(1, 3, 9), fill(2, 1, 11)], now_ns=1) == []
    (intent,) = intents(tracker.on_snapshot(snapshot(3, 10), now_ns=2))
    assert shape(intent) == (IntentKind.INCREASE, 3, 4)
    assert incidents(tracker.on_fills([fill(3, 1, 10)], now_ns=3)) == ["fill_already_covered"]
    assert tracker.on_backfill(BTC, [fill(4, 1, 8), fill(2, 1, 11)], "4", now_ns=4) == []


def test_a_liquidation_of_the_leader_is_a_fill_like_any_other() -> None:
    (intent,) = intents(started(4).on_fills([fill(1, -4, 20)], now_ns=5))
    assert shape(intent) == (IntentKind.FULL_CLOSE, 4, 0)


# --- the join with margin ----------------------------------------------------------------


def test_an_increase_waits_for_the_account_update_of_its_time() -> None:
    tracker = started(needs_margin=True)
    assert tracker.on_fills([fill(1, 3, 20), fill(2, 1, 20)], now_ns=5) == []
    assert tracker.on_account_update(update(19, 0), now_ns=6) == []
    (intent,) = intents(tracker.on_account_update(update(20, 4), now_ns=7))
    assert shape(intent) == (IntentKind.OPEN, 0, 4)
    assert intent.margin is not None
    assert (intent.margin.equity, intent.margin.initial_margin) == (WALLET, None)
    assert intent.margin_ns == 7


def test_an_account_update_that_came_first_lets_it_pass_at_once() -> None:
    tracker = started(needs_margin=True)
    assert tracker.on_account_update(update(20, 4), now_ns=4) == []
    (intent,) = intents(tracker.on_fills([fill(1, 4, 20)], now_ns=5))
    assert intent.margin is not None
    assert tracker.next_deadline() is None


def test_margin_is_wallet_and_unrealised_profit_at_the_newest_mark() -> None:
    tracker = started(-2, needs_margin=True)
    tracker.on_mark(BTC, 90 * SCALE, now_ns=1)
    tracker.on_account_update(update(20, -3), now_ns=4)
    (intent,) = intents(tracker.on_fills([fill(1, -1, 20)], now_ns=5))
    assert intent.margin is not None
    assert intent.margin.equity == WALLET + 30 * SCALE


def test_margin_counts_positions_as_the_venue_states_them_where_fills_were_lost() -> None:
    tracker = started(16, needs_margin=True)
    tracker.on_mark(BTC, 90 * SCALE, now_ns=1)
    tracker.on_account_update(update(20, -8), now_ns=4)
    (intent,) = intents(tracker.on_fills([fill(1, 1, 20)], now_ns=5))
    assert intent.margin is not None
    assert intent.margin.equity == WALLET + 80 * SCALE


def with_another_symbol_untold() -> tuple[LeaderTracker, AccountUpdate]:
    """A fill of another symbol came, its account update (returned) did not, though a later one."""
    tracker = started(needs_margin=True)
    tracker.on_mark("ETHUSDT", 120 * SCALE, now_ns=1)
    other = fill(1, 2, 20)
    other = replace(other, id=other.id._replace(symbol="ETHUSDT"))
    assert tracker.on_fills([other], now_ns=5) == []
    assert tracker.on_fills([fill(2, 3, 21)], now_ns=5) == []
    assert tracker.on_account_update(update(21, 3), now_ns=6) == []
    state = PositionState("ETHUSDT", NET, 2 * SCALE, PX)
    return tracker, replace(update(20, 0), positions=(state,))


def test_a_wallet_beside_a_position_that_was_not_told_is_no_margin() -> None:
    tracker, late = with_another_symbol_untold()
    both = intents(tracker.on_account_update(late, now_ns=7))
    margins = [intent.margin.equity for intent in both if intent.margin is not None]
    assert margins == [WALLET + 40 * SCALE] * 2


def test_a_position_that_is_never_told_is_read() -> None:
    tracker, _ = with_another_symbol_untold()
    asked = tracker.on_deadline(now_ns=5 + 250 * MS)
    assert {type(effect) for effect in asked} == {ReadMargin}
    answer = snapshot(3, 22)
    other = replace(answer.positions[0], symbol="ETHUSDT", qty=2 * SCALE)
    answer = replace(answer, positions=(*answer.positions, other))
    both = intents(tracker.on_margin_read(answer, now_ns=300 * MS))
    assert [intent.margin and intent.margin.equity for intent in both] == [WALLET + 7] * 2
    tracker.on_fills([fill(3, 1, 23)], now_ns=301 * MS)
    (after,) = intents(tracker.on_account_update(update(23, 4), now_ns=302 * MS))
    assert after.margin is not None
    assert after.margin.equity == WALLET + 40 * SCALE


def test_what_is_confirmed_leaves_before_what_still_waits() -> None:
    tracker = started(needs_margin=True)
    tracker.on_fills([fill(1, 3, 20), fill(2, 1, 21)], now_ns=5)
    (first,) = intents(tracker.on_account_update(update(20, 3), now_ns=6))
    assert shape(first) == (IntentKind.OPEN, 0, 3)
    (second,) = intents(tracker.on_account_update(update(21, 4), now_ns=7))
    assert shape(second) == (IntentKind.INCREASE, 3, 4)


def test_a_reduction_never_waits() -> None:
    tracker = started(5, needs_margin=True, needs_initial_margin=True)
    (intent,) = intents(tracker.on_fills([fill(1, -2, 20)], now_ns=5))
    assert shape(intent) == (IntentKind.PARTIAL_CLOSE, 5, 3)
    assert intent.margin is None


def test_a_reduction_that_overtakes_an_increase_shrinks_it_by_its_fraction() -> None:
    tracker = started(20, needs_margin=True)
    assert tracker.on_fills([fill(1, 10, 20)], now_ns=5) == []
    (reduction,) = intents(tracker.on_fills([fill(2, -15, 21)], now_ns=6))
    assert shape(reduction) == (IntentKind.PARTIAL_CLOSE, 30, 15)
    (increase,) = intents(tracker.on_account_update(update(20, 30), now_ns=7))
    assert shape(increase) == (IntentKind.INCREASE, 10, 15)


def test_an_increase_that_was_closed_before_its_margin_came_is_listed_with_the_close() -> None:
    tracker = started(needs_margin=True)
    tracker.on_fills([fill(1, 10, 20)], now_ns=5)
    (close,) = intents(tracker.on_fills([fill(2, -10, 21)], now_ns=6))
    assert shape(close) == (IntentKind.FULL_CLOSE, 10, 0)
    assert [item.id.trade_id for item in close.fills] == ["1", "2"]
    assert tracker.on_account_update(update(20, 10), now_ns=7) == []
    assert tracker.is_settled(BTC)


def test_without_margin_at_hand_a_flip_closes_at_once_and_opens_when_confirmed() -> None:
    tracker = started(4, needs_margin=True)
    (close,) = intents(tracker.on_fills([fill(1, -9, 20)], now_ns=5))
    assert shape(close) == (IntentKind.FULL_CLOSE, 4, 0)
    assert close.margin is None
    (opening,) = intents(tracker.on_account_update(update(20, -5), now_ns=6))
    assert shape(opening) == (IntentKind.OPEN, 0, -5)
    assert opening.margin is not None
    assert not {item.id for item in close.fills} & {item.id for item in opening.fills}


def test_with_margin_at_hand_a_flip_is_one_intent() -> None:
    tracker = started(4, needs_margin=True)
    tracker.on_account_update(update(20, -5), now_ns=4)
    (intent,) = intents(tracker.on_fills([fill(1, -9, 20)], now_ns=5))
    assert shape(intent) == (IntentKind.FLIP, 4, -5)
    assert intent.margin is not None


def test_unconfirmed_margin_is_read_after_its_deadline_once_then_retried_and_reported() -> None:
    tracker = started(needs_margin=True)
    tracker.on_fills([fill(1, 3, 20)], now_ns=0)
    assert tracker.next_deadline() == 250 * MS
    (read,) = tracker.on_deadline(now_ns=250 * MS)
    assert isinstance(read, ReadMargin)
    assert tracker.on_deadline(now_ns=251 * MS) == []
    deadline = tracker.next_deadline()
    assert deadline is not None
    effects = tracker.on_deadline(now_ns=deadline)
    assert incidents(effects) == ["margin_unconfirmed"]
    assert [type(effect) for effect in effects] == [ReportIncident, ReadMargin]
    assert not tracker.is_settled(BTC)
    (intent,) = intents(tracker.on_margin_read(snapshot(3, 20), now_ns=deadline))
    assert intent.margin is not None
    assert intent.margin.equity == WALLET + 7
    assert tracker.next_deadline() is None


def test_a_margin_reading_from_before_the_fill_confirms_nothing() -> None:
    tracker = started(needs_margin=True)
    tracker.on_fills([fill(1, 3, 20)], now_ns=0)
    tracker.on_deadline(now_ns=250 * MS)
    assert tracker.on_margin_read(snapshot(0, 19), now_ns=300 * MS) == []
    assert len(intents(tracker.on_margin_read(snapshot(3, 19), now_ns=301 * MS))) == 1


def test_a_missing_mark_makes_one_read() -> None:
    tracker = LeaderTracker(LeaderId("whale"), VENUE, ACCOUNT, needs_margin=True)
    tracker.on_snapshot(snapshot(0, 10), now_ns=0)
    tracker.on_fills([fill(1, 3, 20)], now_ns=5)
    (read,) = tracker.on_account_update(update(20, 3), now_ns=6)
    assert isinstance(read, ReadMargin)
    assert tracker.on_account_update(update(20, 3), now_ns=7) == []
    assert len(intents(tracker.on_margin_read(snapshot(3, 20), now_ns=8))) == 1


def test_initial_margin_is_read_at_once_and_never_computed() -> None:
    tracker = started(needs_initial_margin=True)
    effects = tracker.on_fills([fill(1, 3, 20)], now_ns=5)
    assert [type(effect) for effect in effects] == [ReadMargin]
    assert tracker.on_account_update(update(20, 3), now_ns=6) == []
    assert tracker.on_margin_read(snapshot(3, 20), now_ns=7) == []
    (intent,) = intents(tracker.on_margin_read(snapshot(3, 20, margin=30), now_ns=8))
    assert intent.margin is not None
    assert intent.margin.initial_margin == 30


# --- the chain ---------------------------------------------------------------------------


def test_a_lost_fill_is_backfilled_and_the_position_waits_for_it() -> None:
    tracker = started(5)
    assert tracker.on_account_update(update(20, 8), now_ns=0) == []
    (ask,) = tracker.on_deadline(now_ns=250 * MS)
    assert ask == Backfill(BTC, f"pushed position {8 * SCALE}, tracked {5 * SCALE}")
    assert tracker.on_fills([fill(2, -4, 30)], now_ns=251 * MS) == []
    effects = tracker.on_backfill(BTC, [fill(1, 3, 20), fill(2, -4, 30)], "2", now_ns=260 * MS)
    assert [shape(intent) for intent in intents(effects)] == [
        (IntentKind.INCREASE, 5, 8),
        (IntentKind.PARTIAL_CLOSE, 8, 4),
    ]
    cursors = [effect.cursor for effect in effects if isinstance(effect, EmitIntent)]
    assert cursors == [None, "2"]
    assert tracker.is_settled(BTC)


def test_a_confirmed_chain_asks_for_nothing_in_either_order_of_arrival() -> None:
    tracker = started(5)
    intents(tracker.on_fills([fill(1, 3, 20)], now_ns=0))
    assert tracker.on_account_update(update(20, 8), now_ns=1) == []
    assert tracker.on_account_update(update(30, 6), now_ns=2) == []
    intents(tracker.on_fills([fill(2, -1, 30), fill(3, -1, 30)], now_ns=3))
    assert tracker.on_account_update(update(20, 8), now_ns=4) == []
    assert tracker.next_deadline() is None


def test_a_statement_about_an_earlier_instant_is_compared_with_the_chain_at_that_instant() -> None:
    tracker = started(5)
    intents(tracker.on_fills([fill(1, 3, 20), fill(2, -1, 30)], now_ns=0))
    assert tracker.on_account_update(update(20, 8), now_ns=1) == []
    assert tracker.next_deadline() is None


def test_a_late_statement_from_between_two_fills_of_one_instant_is_past() -> None:
    tracker = started(5)
    intents(tracker.on_fills([fill(1, 1, 20), fill(2, 2, 20), fill(3, -1, 30)], now_ns=0))
    assert tracker.on_account_update(update(30, 7), now_ns=1) == []
    assert tracker.on_account_update(update(20, 6), now_ns=2) == []
    assert tracker.next_deadline() is None


def test_a_wallet_from_the_past_does_not_replace_a_newer_one() -> None:
    tracker = started(5)
    tracker.on_account_update(update(30, 5, wallet=900), now_ns=0)
    tracker.on_account_update(update(20, 5, wallet=800), now_ns=1)
    assert tracker.account.wallet == 900


def test_a_cursor_waits_for_fills_that_wait_for_margin() -> None:
    tracker = started(5, needs_margin=True)
    effects = tracker.on_backfill(BTC, [fill(1, -1, 20), fill(2, 3, 30)], "2", now_ns=0)
    (reduction,) = effects
    assert isinstance(reduction, EmitIntent)
    assert reduction.cursor is None
    (increase,) = tracker.on_account_update(update(30, 7), now_ns=1)
    assert isinstance(increase, EmitIntent)
    assert increase.cursor == "2"


def unexplained(tracker: LeaderTracker, qty: int) -> list[Effect]:
    """Let readings show a position that no fill explains until the history cannot be behind."""
    (ask,) = tracker.on_snapshot(snapshot(qty, 50), now_ns=0)
    assert isinstance(ask, Backfill)
    (read,) = tracker.on_backfill(BTC, [], None, now_ns=1)
    assert isinstance(read, ReadPositions)
    effects = tracker.on_snapshot(snapshot(qty, 51), now_ns=2)
    assert effects == []
    now_ns = 2
    while not effects:
        now_ns = tracker.next_deadline() or 0
        asked = tracker.on_deadline(now_ns=now_ns)
        assert [type(effect) for effect in asked] == [ReportIncident, Backfill]
        (read,) = tracker.on_backfill(BTC, [], None, now_ns=now_ns)
        assert isinstance(read, ReadPositions)
        effects = tracker.on_snapshot(snapshot(qty, 51), now_ns=now_ns)
    assert HISTORY_LAG_NS < now_ns < 2 * HISTORY_LAG_NS
    return effects


@pytest.mark.parametrize(
    ("qty", "expected"),
    [(2, (IntentKind.PARTIAL_CLOSE, 5, 2)), (0, (IntentKind.FULL_CLOSE, 5, 0))],
)
def test_a_reduction_that_no_fill_explains_is_mirrored_by_the_reading(
    qty: int, expected: tuple[IntentKind, int, int]
) -> None:
    tracker = started(5)
    (intent,) = intents(unexplained(tracker, qty))
    assert shape(intent) == expected
    assert intent.fills[0].id.order_id == "position-read"
    assert tracker.on_snapshot(snapshot(qty, 52), now_ns=3) == []
    assert incidents(tracker.on_fills([fill(1, qty - 5, 40)], now_ns=4)) == ["fill_already_covered"]


def test_a_fill_that_the_history_shows_late_is_mirrored_and_not_adopted() -> None:
    tracker = started(5)
    tracker.on_snapshot(snapshot(9, 50), now_ns=0)
    tracker.on_backfill(BTC, [], None, now_ns=1)
    assert tracker.on_snapshot(snapshot(9, 51), now_ns=2) == []
    deadline = tracker.next_deadline()
    assert deadline is not None
    tracker.on_deadline(now_ns=deadline)
    (intent,) = intents(tracker.on_backfill(BTC, [fill(1, 4, 50)], None, now_ns=deadline))
    assert shape(intent) == (IntentKind.INCREASE, 5, 9)
    assert tracker.next_deadline() is None


def test_readings_that_disagree_are_not_adopted() -> None:
    tracker = started(5)
    tracker.on_snapshot(snapshot(2, 50), now_ns=0)
    tracker.on_backfill(BTC, [], None, now_ns=1)
    (ask,) = tracker.on_snapshot(snapshot(3, 60), now_ns=2)
    assert isinstance(ask, Backfill)
    (intent,) = intents(tracker.on_backfill(BTC, [fill(1, -2, 55)], None, now_ns=3))
    assert shape(intent) == (IntentKind.PARTIAL_CLOSE, 5, 3)


def test_statements_from_before_an_adopted_reading_are_past() -> None:
    tracker = started(5)
    unexplained(tracker, 2)
    assert tracker.on_account_update(update(45, 5), now_ns=3) == []
    assert tracker.next_deadline() is None


def test_a_growth_that_no_fill_explains_is_an_incident_and_not_mirrored() -> None:
    tracker = started(5)
    assert incidents(unexplained(tracker, 9)) == ["position_grew_unseen"]
    assert tracker.account.position(BTC) == 9 * SCALE
    (intent,) = intents(tracker.on_fills([fill(1, -9, 60)], now_ns=5))
    assert shape(intent) == (IntentKind.FULL_CLOSE, 9, 0)


def changed(ts_ms: int, *, at_ms: int, qty: int = 0) -> AccountSnapshot:
    """Return a reading of one position, none unless told, last changed at a time."""
    read = snapshot(qty, ts_ms)
    return replace(read, positions=(replace(read.positions[0], changed_ms=at_ms),))


def test_a_position_opened_and_closed_unheard_is_found_by_the_time_of_its_change() -> None:
    tracker = started()
    (effect,) = tracker.on_snapshot(changed(30, at_ms=21), now_ns=0)
    assert isinstance(effect, Backfill)
    (closing,) = intents(
        tracker.on_backfill(BTC, [fill(1, 4, 20), fill(2, -4, 21)], None, now_ns=5)[1:]
    )
    assert shape(closing) == (IntentKind.FULL_CLOSE, 4, 0)
    assert tracker.on_snapshot(changed(30, at_ms=21), now_ns=6) == []


def test_a_change_without_fills_is_searched_until_the_history_had_time_to_bring_them() -> None:
    tracker = started()
    assert tracker.on_snapshot(changed(30, at_ms=10), now_ns=0) == []
    for now_ns in (0, HISTORY_LAG_NS - 1, HISTORY_LAG_NS):
        (effect,) = tracker.on_snapshot(changed(30, at_ms=21), now_ns=now_ns)
        assert isinstance(effect, Backfill)
        assert tracker.on_backfill(BTC, [], None, now_ns=now_ns) == []
    assert tracker.on_snapshot(changed(30, at_ms=21), now_ns=HISTORY_LAG_NS + 1) == []


def test_an_audit_finds_what_was_opened_and_closed_unheard_before_a_fill_that_was_heard() -> None:
    tracker = started()
    tracker.on_fills([fill(3, 2, 22)], now_ns=0)
    read = changed(30, at_ms=22, qty=2)
    assert tracker.on_snapshot(read, now_ns=1) == []
    (effect,) = tracker.on_snapshot(read, now_ns=2, is_audit=True)
    assert isinstance(effect, Backfill)
    news = [fill(1, 4, 20), fill(2, -4, 21), fill(3, 2, 22)]
    found = intents(tracker.on_backfill(BTC, news, None, now_ns=3 + HISTORY_LAG_NS))
    assert [each.id.trade_id for intent in found for each in intent.fills] == ["1", "2"]
    assert [shape(each) for each in found] == [
        (IntentKind.INCREASE, 2, 6),
        (IntentKind.PARTIAL_CLOSE, 6, 2),
    ]
    assert tracker.on_snapshot(read, now_ns=4 + HISTORY_LAG_NS, is_audit=True) == []


def test_an_audit_searches_nothing_for_a_change_from_before_the_mirror() -> None:
    tracker = started()
    read = changed(30, at_ms=1)
    assert tracker.on_snapshot(read, now_ns=1, is_audit=True) == []


def test_a_doubt_is_read_and_not_guessed() -> None:
    tracker = started(5)
    doubt = PositionDoubt(ACCOUNT, BTC, "autoclose without a trade", 0)
    (read,) = tracker.on_doubt(doubt, now_ns=0)
    assert isinstance(read, ReadPositions)
    assert tracker.on_doubt(doubt, now_ns=1) == []
    deadline = tracker.next_deadline()
    assert deadline is not None
    effects = tracker.on_deadline(now_ns=deadline)
    assert [type(effect) for effect in effects] == [ReportIncident, ReadPositions]
    assert tracker.on_snapshot(snapshot(5, 50), now_ns=deadline) == []
    assert tracker.next_deadline() is None


def test_an_unanswered_backfill_is_asked_again_with_growing_pauses() -> None:
    tracker = started(5)
    tracker.on_snapshot(snapshot(8, 50), now_ns=0)
    now_ns, pauses = 0, []
    for _ in range(4):
        deadline = tracker.next_deadline()
        assert deadline is not None
        pauses.append(deadline - now_ns)
        now_ns = deadline
        effects = tracker.on_deadline(now_ns=now_ns)
        assert [type(effect) for effect in effects] == [ReportIncident, Backfill]
    assert pauses == [500 * MS, 1_000 * MS, 2_000 * MS, 4_000 * MS]


# --- strangers, restarts -----------------------------------------------------------------


def test_another_accounts_events_are_reported_and_ignored() -> None:
    tracker = started(5)
    strange = fill(1, 3, 20)
    strange = Fill(
        id=strange.id._replace(account="0xother"),
        position_side=NET,
        side=Side.BUY,
        qty=SCALE,
        px=PX,
        is_taker=True,
        is_liquidation=False,
        received_ns=0,
        decoded_ns=0,
    )
    other = AccountUpdate("0xother", 20, "ORDER", 5, (PositionState(BTC, NET, 9, PX),), 0)
    effects = [
        *tracker.on_fills([strange], now_ns=1),
        *tracker.on_account_update(other, now_ns=1),
        *tracker.on_snapshot(snapshot(9, 50, account="0xother"), now_ns=1),
        *tracker.on_margin_read(snapshot(9, 50, account="0xother"), now_ns=1),
        *tracker.on_leverage(LeverageUpdate("0xother", BTC, 99, 0), now_ns=1),
        *tracker.on_doubt(PositionDoubt("0xother", BTC, "x", 0), now_ns=1),
    ]
    assert incidents(effects) == ["foreign_account"] * 6
    assert tracker.account.position(BTC) == 5 * SCALE
    assert tracker.account.wallet == WALLET
    assert tracker.account.leverage(BTC) == 10


def test_leverage_is_followed() -> None:
    tracker = started()
    assert tracker.on_leverage(LeverageUpdate(ACCOUNT, BTC, 25, 0), now_ns=1) == []
    assert tracker.account.leverage(BTC) == 25


def restarted(positions: dict[LaneKey, int], seen: list[FillId]) -> LeaderTracker:
    tracker = LeaderTracker(LeaderId("whale"), VENUE, ACCOUNT, needs_margin=False)
    tracker.restore(positions, seen)
    return tracker


def test_after_a_restart_missed_fills_are_mirrored_and_old_ones_are_not() -> None:
    old, missed = fill(1, 5, 20), fill(2, -2, 30)
    tracker = restarted({LaneKey(BTC, NET): 5 * SCALE}, [old.id])
    (ask,) = tracker.on_snapshot(snapshot(3, 40), now_ns=0)
    assert isinstance(ask, Backfill)
    (intent,) = intents(tracker.on_backfill(BTC, [old, missed], "2", now_ns=1))
    assert shape(intent) == (IntentKind.PARTIAL_CLOSE, 5, 3)


def test_after_a_restart_a_position_from_before_the_mirror_is_taken_as_it_is() -> None:
    tracker = restarted({}, [])
    (ask,) = tracker.on_snapshot(snapshot(9, 40), now_ns=0)
    assert isinstance(ask, Backfill)
    later = fill(2, -2, 30)
    assert tracker.on_backfill(BTC, [later], "2", now_ns=1) == []
    at_ns = HISTORY_LAG_NS + 1
    assert Backfill(BTC, ask.reason) in tracker.on_deadline(now_ns=at_ns)
    (intent,) = intents(tracker.on_backfill(BTC, [later], "2", now_ns=at_ns))
    assert shape(intent) == (IntentKind.PARTIAL_CLOSE, 11, 9)
    assert tracker.is_settled(BTC)


def test_after_a_restart_fills_that_the_history_brings_late_are_not_taken_as_held_before() -> None:
    tracker = restarted({}, [])
    assert tracker.on_snapshot(snapshot(3, 40), now_ns=0)
    assert tracker.on_backfill(BTC, [], None, now_ns=1) == []
    told = tracker.on_backfill(BTC, [fill(1, 3, 30)], "1", now_ns=2)
    (intent,) = intents(told)
    assert shape(intent) == (IntentKind.OPEN, 0, 3)
    assert tracker.is_settled(BTC)


def test_after_a_restart_a_flip_that_only_closed_goes_on_to_open() -> None:
    before = started(4, needs_margin=True)
    whole = fill(1, -9, 20)
    (close,) = intents(before.on_fills([whole], now_ns=5))
    tracker = restarted({LaneKey(BTC, NET): 0}, [item.id for item in close.fills])
    tracker.on_snapshot(snapshot(-5, 40), now_ns=0)
    (opening,) = intents(tracker.on_backfill(BTC, [whole], "1", now_ns=1))
    assert shape(opening) == (IntentKind.OPEN, 0, -5)
    done = restarted(
        {LaneKey(BTC, NET): -5 * SCALE},
        [item.id for intent in (close, opening) for item in intent.fills],
    )
    assert done.on_snapshot(snapshot(-5, 40), now_ns=0) == []
    assert done.on_backfill(BTC, [whole], "1", now_ns=1) == []


def test_after_a_restart_what_a_flip_opened_comes_after_what_it_closed() -> None:
    whole = fill(1, -9, 20)
    (close,) = intents(started(4, needs_margin=True).on_fills([whole], now_ns=5))
    tracker = restarted({LaneKey(BTC, NET): 0}, [item.id for item in close.fills])
    # The leader holds nothing again, as recorded: what happened in between is mirrored.
    assert tracker.on_snapshot(snapshot(0, 40), now_ns=0) == []
    told = tracker.on_backfill(BTC, [whole, fill(2, 4, 30), fill(3, 1, 35)], "3", now_ns=1)
    assert [shape(intent) for intent in intents(told)] == [
        (IntentKind.OPEN, 0, -5),
        (IntentKind.FULL_CLOSE, -5, 0),
    ]
    assert tracker.is_settled(BTC)


def test_a_new_symbol_after_a_restart_is_followed_from_zero() -> None:
    tracker = restarted({}, [])
    empty = snapshot(0, 10)
    tracker.on_snapshot(empty, now_ns=0)
    (intent,) = intents(tracker.on_fills([fill(1, 2, 20)], now_ns=1))
    assert shape(intent) == (IntentKind.OPEN, 0, 2)


def test_increases_that_a_recorded_reduction_overtook_are_mirrored_after_a_restart() -> None:
    tracker = LeaderTracker(LeaderId("whale"), VENUE, ACCOUNT, needs_margin=False)
    key = LaneKey(BTC, PositionSide.NET)
    overtaken, recorded, later = fill(1, 4, 10), fill(2, -4, 20), fill(3, -1, 20)
    tracker.restore({key: 4 * SCALE}, [recorded.id])
    (ask,) = tracker.on_snapshot(snapshot(3, 50), now_ns=0)
    assert isinstance(ask, Backfill)
    told = tracker.on_backfill(BTC, [overtaken, recorded, later], None, now_ns=1)
    assert [shape(intent) for intent in intents(told)] == [
        (IntentKind.INCREASE, 2, 4),  # the leader kept half of its 8
        (IntentKind.PARTIAL_CLOSE, 4, 3),
    ]
    assert tracker.next_deadline() is None


def test_overtaken_increases_are_mirrored_once_where_the_position_is_as_recorded() -> None:
    tracker = LeaderTracker(LeaderId("whale"), VENUE, ACCOUNT, needs_margin=True)
    overtaken, recorded = fill(1, 4, 10), fill(2, -4, 20)
    tracker.restore({LaneKey(BTC, NET): 4 * SCALE}, [recorded.id])
    assert tracker.on_snapshot(snapshot(4, 50), now_ns=0) == []
    assert intents(tracker.on_backfill(BTC, [overtaken, recorded], None, now_ns=1)) == []
    (late,) = intents(tracker.on_margin_read(snapshot(4, 60), now_ns=2))
    assert shape(late) == (IntentKind.INCREASE, 2, 4)
    assert tracker.account.position(BTC) == 4 * SCALE


def test_a_position_that_fell_unseen_is_mirrored_once_it_has_a_price() -> None:
    tracker = restarted({LaneKey(BTC, NET): 5 * SCALE}, [])
    gone = replace(snapshot(0, 40), positions=())
    tracker.on_snapshot(gone, now_ns=0)
    assert tracker.unpriced() == [BTC]
    now_ns = HISTORY_LAG_NS + 1
    tracker.on_backfill(BTC, [], None, now_ns=now_ns)
    assert incidents(tracker.on_snapshot(gone, now_ns=now_ns)) == ["position_unpriced"]
    tracker.on_price(BTC, PX)
    assert tracker.unpriced() == []
    (close,) = intents(tracker.on_snapshot(gone, now_ns=now_ns))
    assert shape(close) == (IntentKind.FULL_CLOSE, 5, 0)
    assert close.px == PX
