"""The address budget, the token bucket and the backoff: arithmetic on given instants."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipstream.transport.budget import AddressBudget
from slipstream.transport.reconnect import Backoff
from slipstream.transport.token_bucket import TokenBucket
from slipstream.units import NS_PER_S, TimeNs

MINUTE_NS = 60 * NS_PER_S
START = TimeNs(5 * NS_PER_S)


def take_all(budget: AddressBudget, now_ns: int, *, is_urgent: bool) -> int:
    count = 0
    while budget.take(1, is_urgent=is_urgent, now_ns=TimeNs(now_ns)) is None:
        count += 1
    return count


def test_the_reserve_is_left_for_urgent_calls() -> None:
    budget = AddressBudget(window_max=100, reserve=20)
    assert take_all(budget, START, is_urgent=False) == 80
    assert take_all(budget, START, is_urgent=True) == 20
    assert budget.used == 100
    assert budget.refused_count == 2


def test_a_refused_call_takes_nothing_and_learns_when_the_window_ends() -> None:
    budget = AddressBudget(window_max=10, reserve=0)
    assert budget.take(8, is_urgent=False, now_ns=START) is None
    assert budget.take(5, is_urgent=False, now_ns=TimeNs(START + 7)) == MINUTE_NS - 7
    assert budget.used == 8
    assert budget.take(5, is_urgent=False, now_ns=TimeNs(START + MINUTE_NS)) is None
    assert budget.used == 5


def test_windows_end_with_those_of_the_host() -> None:
    budget = AddressBudget(window_max=10, reserve=0)
    budget.align(START, 59_000)
    assert budget.window_left_ns(START) == NS_PER_S
    assert budget.take(10, is_urgent=False, now_ns=START) is None
    assert budget.take(1, is_urgent=False, now_ns=START) == NS_PER_S
    later = TimeNs(START + NS_PER_S)
    assert budget.take(10, is_urgent=False, now_ns=later) is None
    assert budget.window_left_ns(later) == MINUTE_NS


def test_the_hosts_count_corrects_ours_upwards_only() -> None:
    budget = AddressBudget(window_max=100, reserve=0)
    assert budget.take(50, is_urgent=False, now_ns=START) is None
    budget.learn(20, START)
    assert budget.used == 50
    budget.learn(95, START)
    assert budget.take(6, is_urgent=True, now_ns=START) == MINUTE_NS


def test_a_ban_stops_urgent_calls_too_until_it_ends() -> None:
    budget = AddressBudget(window_max=100, reserve=0)
    budget.block(START + 9)
    budget.block(START + 3)
    assert budget.take(1, is_urgent=True, now_ns=START) == 9
    assert budget.take(1, is_urgent=True, now_ns=TimeNs(START + 9)) is None


def test_a_published_limit_keeps_the_share_of_the_reserve() -> None:
    budget = AddressBudget(window_max=100, reserve=20)
    budget.set_window_max(1_000)
    assert take_all(budget, START, is_urgent=False) == 800


@pytest.mark.parametrize(("window_max", "reserve"), [(10, 10), (10, -1), (0, 0)])
def test_a_reserve_outside_the_window_is_refused(window_max: int, reserve: int) -> None:
    with pytest.raises(ValueError, match="reserve"):
        AddressBudget(window_max=window_max, reserve=reserve)


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 40 * NS_PER_S), st.integers(1, 9), st.booleans()), max_size=60
    )
)
def test_no_window_ever_holds_more_than_its_weight(steps: list[tuple[int, int, bool]]) -> None:
    budget = AddressBudget(window_max=20, reserve=5)
    now = START
    taken: dict[int, int] = {}
    for pause, weight, is_urgent in steps:
        now = TimeNs(now + pause)
        if budget.take(weight, is_urgent=is_urgent, now_ns=now) is None:
            window = now + budget.window_left_ns(now)
            taken[window] = taken.get(window, 0) + weight
            assert taken[window] <= (20 if is_urgent else 15) or is_urgent
    assert all(weight <= 20 for weight in taken.values())


def test_a_bucket_gives_its_burst_and_then_one_token_an_interval() -> None:
    bucket = TokenBucket(burst=3, interval_ns=10)
    assert [bucket.take(1, TimeNs(100)) for _ in range(4)] == [True, True, True, False]
    assert bucket.wait_ns(1, TimeNs(100)) == 10
    assert not bucket.take(1, TimeNs(109))
    assert bucket.take(1, TimeNs(110))
    assert bucket.wait_ns(3, TimeNs(110)) == 30
    assert bucket.take(3, TimeNs(140))


@given(
    pauses=st.lists(st.tuples(st.integers(0, 50), st.integers(1, 4)), max_size=80),
    burst=st.integers(1, 9),
    interval_ns=st.integers(1, 20),
)
def test_a_bucket_never_gives_more_than_burst_and_refill(
    pauses: list[tuple[int, int]], burst: int, interval_ns: int
) -> None:
    bucket = TokenBucket(burst=burst, interval_ns=interval_ns)
    now = 1_000
    given_at: list[tuple[int, int]] = []
    for pause, count in pauses:
        now += pause
        wait = bucket.wait_ns(count, TimeNs(now))
        is_given = bucket.take(count, TimeNs(now))
        assert is_given == (wait == 0)
        if is_given:
            given_at.append((now, count))
    for index, (begin, _) in enumerate(given_at):
        total = 0
        for at, count in given_at[index:]:
            total += count
            assert (total - burst) * interval_ns <= at - begin


@pytest.mark.parametrize(("burst", "interval_ns"), [(0, 1), (1, 0)])
def test_an_empty_bucket_is_refused(burst: int, interval_ns: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        TokenBucket(burst=burst, interval_ns=interval_ns)


def test_delays_double_up_to_the_cap_with_jitter_and_start_again() -> None:
    backoff = Backoff(random.Random(3), first_ns=100, cap_ns=1_000)
    delays = [backoff.next_delay_ns() for _ in range(60)]
    for index, delay in enumerate(delays):
        whole = min(100 * 2**index, 1_000)
        assert whole // 2 <= delay <= whole
    assert len(set(delays[4:])) > 10
    assert backoff.failure_count == 60
    backoff.reset()
    assert backoff.next_delay_ns() <= 100
