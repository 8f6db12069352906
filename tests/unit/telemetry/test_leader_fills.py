"""Every fill of a leader is in one intent, and every intent has one outcome for each follower."""

import copy
from collections.abc import Callable

import pytest

from evidence_parts import ALICE, WHALE, Evidence, Line, counts, leader_fill
from slipstream.telemetry.recount import Recount


def lost(found: Recount) -> int:
    assert counts(found)[:3] == (0, 0, 0)
    return found.lost_fills


def fill(evidence: Evidence, trade_id: str, **more: object) -> Line:
    """Let the venue have one more fill of the leader's."""
    line = leader_fill(trade_id, "5", "6") | more
    evidence.venue.append(line)
    return line


def _fill_in_no_intent(evidence: Evidence) -> None:
    fill(evidence, "unseen")


def _fill_in_two_intents(evidence: Evidence) -> None:
    names = evidence.activity[5]["payload"]["fills"]
    names.append(evidence.activity[2]["payload"]["fills"][0])


def _only_the_closing_part(evidence: Evidence) -> None:
    evidence.activity[5]["payload"]["fills"][0][4] = "half-1/close:500000000"


def _whole_and_part(evidence: Evidence) -> None:
    names = evidence.activity[5]["payload"]["fills"]
    names.append([*names[0][:4], "half-1/open", "1000"])


def _intent_told_twice(evidence: Evidence) -> None:
    evidence.activity.append(copy.deepcopy(evidence.activity[5]))


def _leg_not_told(evidence: Evidence) -> None:
    evidence.activity[6]["intent_id"] = "beside"


def _leg_told_twice(evidence: Evidence) -> None:
    again = copy.deepcopy(evidence.activity[6])
    del again["payload"]["orders"]
    evidence.activity.append(again)


@pytest.mark.parametrize(
    "spoil",
    [
        _fill_in_no_intent,
        _fill_in_two_intents,
        _only_the_closing_part,
        _whole_and_part,
        _intent_told_twice,
        _leg_not_told,
        _leg_told_twice,
    ],
)
def test_what_is_not_there_exactly_once_is_counted_once(
    spoil: Callable[[Evidence], None],
) -> None:
    evidence = Evidence()
    spoil(evidence)
    assert lost(evidence.count()) == 1


def test_a_fill_across_zero_may_be_listed_in_its_two_parts() -> None:
    evidence = Evidence()
    _only_the_closing_part(evidence)
    names = evidence.activity[5]["payload"]["fills"]
    names.append([*names[0][:4], "half-1/open", "1000"])
    assert lost(evidence.count()) == 0


def test_fills_before_the_mirror_began_are_not_due() -> None:
    evidence = Evidence()
    fill(evidence, "old", at_ms=999)
    assert lost(evidence.count()) == 0
    evidence.activity[1]["payload"]["since_ms"] = 998
    assert lost(evidence.count()) == 1


def test_a_later_life_of_the_engine_does_not_move_the_beginning() -> None:
    evidence = Evidence()
    fill(evidence, "missed", at_ms=1500)
    again = copy.deepcopy(evidence.activity[1])
    again["payload"]["since_ms"] = 2000
    evidence.activity.append(again)
    assert lost(evidence.count()) == 1


def test_a_symbol_that_is_not_mirrored_has_its_recorded_reason() -> None:
    evidence = Evidence()
    fill(evidence, "odd", symbol="ZUSDT")
    assert lost(evidence.count()) == 1
    evidence.activity.append(
        {
            "seq": 50,
            "kind": "incident",
            "leader": "whale",
            "follower": None,
            "intent_id": None,
            "reason": "NOT_MIRRORED",
            "payload": {"detail": "", "fills": [["sim", WHALE, "ZUSDT", "1", "odd", "1000"]]},
        }
    )
    assert lost(evidence.count()) == 0


@pytest.mark.parametrize(("after", "expected"), [("600000000", 0), ("650000000", 1)])
def test_a_reading_stands_for_fills_that_never_came(after: str, expected: int) -> None:
    evidence = Evidence()
    fill(evidence, "gone")
    name = ["sim", WHALE, "XUSDT", "position-read", f"NET:500000000>{after}", "1000"]
    evidence.activity[5]["payload"]["fills"].append(name)
    assert lost(evidence.count()) == expected


def test_fills_of_others_are_not_ours_to_mirror() -> None:
    evidence = Evidence()
    fill(evidence, "theirs", account="0xe15e")
    assert lost(evidence.count()) == 0


def test_a_flip_has_two_outcomes() -> None:
    evidence = Evidence()
    evidence.event("flip-1", "flip", "5", "-5")
    for follower, target in (("alice", "-1"), ("bob", "-2")):
        for leg in (0, 1):
            evidence.leg(follower, "flip-1", None, target=target, position="0", leg=leg)
    assert evidence.count().lost_fills == 0
    del evidence.activity[-1]
    assert evidence.count().lost_fills == 1


# --- lives of the engine --------------------------------------------------------------------------


def _as_recovered(line: Line) -> Line:
    """Return a leg's line as it is told from the ledger after a restart."""
    found = copy.deepcopy(line)
    found["payload"]["recovered"] = True
    del found["payload"]["stages"], found["payload"]["rank"]
    return found


def test_a_leg_told_from_the_ledger_is_judged_like_any() -> None:
    evidence = Evidence()
    evidence.activity.append(copy.deepcopy(evidence.activity[0]))
    recovered = _as_recovered(evidence.activity[6])
    evidence.activity.append(recovered)
    del evidence.activity[6]
    assert evidence.count().findings == ()
    recovered["payload"]["orders"][0]["bound_ppm"] = 20_000
    for order in (recovered["payload"]["orders"][0], evidence.at_venue("a-2")):
        order["limit_px"] = "97.99"
    assert counts(evidence.count())[0] == 1


def test_an_unknown_end_is_told_again_once_it_is_known() -> None:
    evidence = Evidence()
    evidence.activity.append(_as_recovered(evidence.activity[6]))
    evidence.activity[6]["payload"].update(end="unknown", position="2")
    assert evidence.count().findings == ()
    evidence.activity.append(copy.deepcopy(evidence.activity[8]))
    found = evidence.count()
    assert (found.lost_fills, found.duplicate_orders) == (1, 1)


def test_an_order_that_no_line_names_is_one_nobody_recorded() -> None:
    evidence = Evidence()
    evidence.order(ALICE, "a-9 BUY 1 101", fills=[], at=7)
    (finding,) = evidence.count().findings
    assert finding.endswith("an order nobody recorded")
