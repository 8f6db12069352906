"""When a leader's account is read, and when a fill shows that its stream lost it."""

from hand_clock import HandClock
from slipstream._core import SCALE, PositionSide, Side
from slipstream.domain.fill import Fill
from slipstream.domain.ids import FillId, VenueId
from slipstream.runtime.leaderwatch import LOST_NS, QUIET_NS, READ_NS, LeaderWatch
from slipstream.units import NS_PER_MS, Px, Qty, TimeNs


def watched() -> tuple[HandClock, LeaderWatch]:
    clock = HandClock()
    return clock, LeaderWatch(clock, clock.venue_ms)


def fill(venue_ts_ms: int) -> Fill:
    return Fill(
        FillId(VenueId("aster"), "0xwhale", "BTCUSDT", "1", "7", venue_ts_ms),
        PositionSide.NET,
        Side.BUY,
        Qty(SCALE),
        Px(SCALE),
        is_taker=True,
        is_liquidation=False,
        received_ns=TimeNs(1),
        decoded_ns=TimeNs(1),
    )


def test_a_quiet_account_is_read_each_time_that_it_is_due() -> None:
    clock, watch = watched()
    clock.at_ns += READ_NS - 1
    assert not watch.is_due
    clock.at_ns += 1
    assert watch.is_due
    watch.on_read()
    assert not watch.is_due


def test_a_busy_stream_puts_the_reading_off_but_not_for_ever() -> None:
    clock, watch = watched()
    clock.at_ns += READ_NS
    watch.on_heard()
    clock.at_ns += QUIET_NS - 1
    assert not watch.is_due
    clock.at_ns += READ_NS
    watch.on_heard()
    assert watch.is_due


def test_a_fill_too_young_to_be_lost_is_judged_again_unless_the_stream_brings_it() -> None:
    clock, watch = watched()
    watch.on_up()
    clock.at_ns += NS_PER_MS
    first, second = fill(clock.venue_ms()), fill(clock.venue_ms() + 1)
    assert watch.lost([first, second]) is None
    watch.on_heard([first])
    clock.at_ns += LOST_NS + NS_PER_MS
    assert watch.lost() is None
    clock.at_ns += NS_PER_MS
    assert watch.lost() is second
    assert watch.lost() is None


def test_a_new_stream_is_not_blamed_for_what_the_old_one_lost() -> None:
    clock, watch = watched()
    watch.on_up()
    clock.at_ns += NS_PER_MS
    assert watch.lost([fill(clock.venue_ms())]) is None
    clock.at_ns += NS_PER_MS
    watch.on_up()
    clock.at_ns += 2 * LOST_NS
    assert watch.lost() is None


def test_only_an_old_fill_of_a_stream_that_was_up_is_lost_and_told_once() -> None:
    clock, watch = watched()
    begin_ms = clock.venue_ms()
    clock.at_ns += LOST_NS
    old = fill(begin_ms + 1)
    assert watch.lost([old]) is None
    watch.on_up()
    clock.at_ns += 2 * LOST_NS
    now_ms = clock.venue_ms()
    assert watch.lost([old]) is None
    late = fill(now_ms - LOST_NS // NS_PER_MS)
    assert watch.lost([late]) is None
    lost = fill(now_ms - LOST_NS // NS_PER_MS - 1)
    assert watch.lost([late, lost]) is lost
    assert watch.lost([lost]) is None
    watch.on_up()
    watch.on_down()
    assert watch.lost([fill(clock.venue_ms() - 1)]) is None
