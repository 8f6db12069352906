"""What a step of the simulated venue's clock moves, and what it never moves back."""

from slipstream.venues.sim.clock import NS_PER_MS, VenueClock


class HeldClock(VenueClock):
    """A venue's clock that stands until it is moved."""

    at_ns = 10**15

    def now_ns(self) -> int:
        """Return the instant it was moved to."""
        return self.at_ns


def test_times_of_events_stand_still_where_the_wall_clock_goes_back() -> None:
    clock = HeldClock()
    start_ms = clock.event_ms(clock.now_ns())
    clock.skew_ms = 4_000
    assert clock.event_ms(clock.now_ns()) == start_ms + 4_000
    clock.skew_ms = 0
    assert clock.wall_ms(clock.now_ns()) == start_ms
    seen = []
    for _ in range(6):
        clock.at_ns += 1_000 * NS_PER_MS
        seen.append(clock.event_ms(clock.now_ns()) - start_ms)
    assert seen == [4_000, 4_000, 4_000, 4_000, 5_000, 6_000]


def test_a_clock_that_is_put_back_stamps_on_from_where_it_was() -> None:
    clock = HeldClock()
    start_ms = clock.event_ms(clock.now_ns())
    clock.skew_ms = -2_000
    assert clock.wall_ms(clock.now_ns()) == start_ms - 2_000
    assert clock.event_ms(clock.now_ns()) == start_ms
