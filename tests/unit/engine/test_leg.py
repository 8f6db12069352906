"""The table of a leg's life, walked."""

import pytest

from slipstream.engine import leg
from slipstream.engine.leg import LEG_TRANSITIONS, LegEvent, LegState, Timeout, next_state
from slipstream.errors import InvariantError

EVENTS = [
    found
    for found in vars(leg).values()
    if isinstance(found, type) and issubclass(found, LegEvent) and found is not LegEvent
]


def test_every_state_is_reached_from_planned() -> None:
    reached = {LegState.PLANNED}
    while True:
        more = {then for state in reached for then in LEG_TRANSITIONS.get(state, {}).values()}
        if more <= reached:
            break
        reached |= more
    assert reached == set(LegState)


def test_every_state_without_end_has_a_timeout_and_every_end_is_final() -> None:
    for state, ways in LEG_TRANSITIONS.items():
        assert Timeout in ways
        assert not state.is_final
    assert {state for state in LegState if state.is_final} == {
        LegState.DONE,
        LegState.SKIPPED,
        LegState.REJECTED,
        LegState.FAILED,
        LegState.UNRESOLVED,
    }


def test_every_event_is_used_and_every_other_pair_is_a_bug() -> None:
    assert {event for ways in LEG_TRANSITIONS.values() for event in ways} == set(EVENTS)
    for state in LegState:
        for event in EVENTS:
            if event in LEG_TRANSITIONS.get(state, {}):
                assert next_state(state, event()) is LEG_TRANSITIONS[state][event]
            else:
                with pytest.raises(InvariantError, match=event.__name__):
                    next_state(state, event())


def test_nothing_that_may_have_left_fails_without_being_read_back() -> None:
    for state in (LegState.SENT, LegState.WORKING):
        assert next_state(state, Timeout()) is LegState.UNKNOWN
    assert LegState.FAILED not in LEG_TRANSITIONS[LegState.SENT].values()
