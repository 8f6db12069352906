"""A follower's breaker."""

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from slipstream.engine.breaker import Breaker, BreakerState
from slipstream.engine.effects import ReportIncident
from slipstream.units import TimeNs


def breaker() -> Breaker:
    return Breaker(refusal_count_max=3, pause_min_ns=100, pause_max_ns=250)


def refuse(machine: Breaker, now_ns: int, count: int = 1) -> list[object]:
    return [
        effect
        for _ in range(count)
        for effect in machine.on_refused("margin", now_ns=TimeNs(now_ns))
    ]


def test_refusals_in_a_row_open_it_and_say_so_once() -> None:
    machine = breaker()
    assert refuse(machine, 5, 2) == []
    (incident,) = refuse(machine, 5)
    assert isinstance(incident, ReportIncident)
    assert incident.kind == "breaker_open"
    assert machine.blocks_opens(now_ns=TimeNs(104))
    assert refuse(machine, 6) == []
    assert machine.next_deadline(now_ns=TimeNs(6)) == 105


def test_an_accepted_order_begins_the_count_anew() -> None:
    machine = breaker()
    refuse(machine, 1, 2)
    machine.on_accepted()
    assert refuse(machine, 2, 2) == []
    assert machine.state(now_ns=TimeNs(2)) is BreakerState.CLOSED


def test_the_timer_half_opens_it_and_a_success_closes_it() -> None:
    machine = breaker()
    refuse(machine, 0, 3)
    assert machine.state(now_ns=TimeNs(100)) is BreakerState.HALF_OPEN
    assert not machine.blocks_opens(now_ns=TimeNs(100))
    assert machine.next_deadline(now_ns=TimeNs(100)) is None
    machine.on_accepted()
    assert machine.state(now_ns=TimeNs(100)) is BreakerState.CLOSED


def test_a_refusal_of_the_trial_doubles_the_pause_up_to_its_bound() -> None:
    machine = breaker()
    refuse(machine, 0, 3)
    now_ns, pauses = 100, []
    for _ in range(3):
        refuse(machine, now_ns)
        until_ns = machine.next_deadline(now_ns=TimeNs(now_ns))
        assert until_ns is not None
        pauses.append(until_ns - now_ns)
        now_ns = until_ns
    assert pauses == [200, 250, 250]


class BreakerAgainstCounting(RuleBasedStateMachine):
    """The oracle counts refusals since the last success and remembers one instant."""

    def __init__(self) -> None:
        """Begin closed."""
        super().__init__()
        self.machine, self.now_ns, self.count, self.until_ns = breaker(), 0, 0, -1

    @rule(ns=st.integers(0, 300))
    def wait(self, ns: int) -> None:
        self.now_ns += ns

    @rule()
    def succeed(self) -> None:
        self.machine.on_accepted()
        self.count, self.until_ns = 0, -1

    @rule()
    def fail(self) -> None:
        was_open = self.now_ns < self.until_ns
        was_opened = self.until_ns >= 0
        effects = refuse(self.machine, self.now_ns)
        self.count += 1
        opens = not was_open and (was_opened or self.count >= 3)
        assert bool(effects) is opens
        if opens:
            until_ns = self.machine.next_deadline(now_ns=TimeNs(self.now_ns))
            assert until_ns is not None
            assert 100 <= until_ns - self.now_ns <= 250
            self.until_ns = until_ns

    @invariant()
    def blocks_exactly_while_open(self) -> None:
        is_blocked = self.machine.blocks_opens(now_ns=TimeNs(self.now_ns))
        assert is_blocked is (self.now_ns < self.until_ns)


TestBreakerAgainstCounting = BreakerAgainstCounting.TestCase
