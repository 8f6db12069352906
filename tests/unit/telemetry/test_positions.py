"""Each lane's recorded numbers, followed by hand: what must be caught, and what must not."""

import copy
from collections.abc import Callable
from decimal import Decimal

import pytest

from evidence_parts import ALICE, BOB, Evidence, Line, counts

CLEAN = (0, 0, 0, 0)
ONE = (0, 0, 0, 1)


def opened_less(evidence: Evidence, *, missed: str, target: str, place: int = 3) -> Line:
    """Let a follower's open have missed something of what it wanted."""
    payload: Line = evidence.activity[place]["payload"]
    payload.update(missed_qty=missed, target=target)
    payload["wanted_qty"] = str(Decimal(payload["filled_qty"]) + Decimal(missed))
    return payload


def wider(evidence: Evidence, ratio: str) -> None:
    """Let alice follow with another ratio, and her exact targets say so."""
    evidence.mirror("alice")["sizing"]["ratio"] = ratio
    for place, leader in ((3, 10), (6, 5)):
        evidence.activity[place]["payload"]["exact_target"] = str(Decimal(ratio) * leader)


def a_miss_of_three(evidence: Evidence) -> None:
    """Alice wanted 5, built 2 and gave 3 up; the half close leaves half of each."""
    wider(evidence, "0.5")
    opened_less(evidence, missed="3", target="2")
    evidence.activity[6]["payload"]["target"] = "1"


def test_what_an_open_gave_up_keeps_the_share_the_leader_kept() -> None:
    evidence = Evidence()
    a_miss_of_three(evidence)
    assert evidence.count().findings == ()


def test_what_nobody_recorded_as_missed_is_caught() -> None:
    evidence = Evidence()
    a_miss_of_three(evidence)
    evidence.activity[3]["payload"]["missed_qty"] = "2.9"
    assert counts(evidence.count()) == ONE


def test_what_is_missed_is_given_up_once_only() -> None:
    evidence = Evidence()
    a_miss_of_three(evidence)
    # The close gives up another half unit, and no opening leg recorded one.
    evidence.activity[6]["payload"].update(target="0.5", position="0.5")
    assert counts(evidence.count())[3] >= 1


def test_what_was_given_up_does_not_come_back() -> None:
    evidence = Evidence()
    a_miss_of_three(evidence)
    evidence.activity[6]["payload"]["target"] = "1.05"
    assert counts(evidence.count()) == ONE


def test_where_all_is_caught_up_nothing_may_be_given_up() -> None:
    evidence = Evidence()
    a_miss_of_three(evidence)
    evidence.mirror("alice")["sizing"]["missed"] = "catch_up"
    assert counts(evidence.count()) == ONE


@pytest.mark.parametrize("reason", ["BELOW_LOT", "BELOW_MIN_QTY", "DIRECTION"])
def test_what_is_carried_is_not_given_up(reason: str) -> None:
    evidence = Evidence()
    a_miss_of_three(evidence)
    evidence.activity[3]["reason"] = reason
    assert counts(evidence.count()) == ONE


def test_below_the_minimum_is_given_up_where_that_is_the_policy() -> None:
    evidence = Evidence()
    a_miss_of_three(evidence)
    evidence.activity[3]["reason"] = "BELOW_MIN_QTY"
    evidence.mirror("alice")["sizing"]["below_minimum"] = "skip"
    assert counts(evidence.count()) == CLEAN


def test_a_leg_that_ends_after_a_newer_event_is_followed() -> None:
    evidence = Evidence()
    a_miss_of_three(evidence)
    # The half close ended first: the open was still out when both numbers were read.
    first, second = evidence.activity[3], evidence.activity[6]
    first["payload"].update(newest="half-1", exact_target="2.5", target="1", position="1")
    second["payload"].update(target="2.5", position="3")
    evidence.activity[3:7] = [*evidence.activity[4:6], second, first]
    assert counts(evidence.count()) == CLEAN
    # What the open gave up may show before its line, and is then used up.
    second["payload"].update(target="1")
    assert counts(evidence.count()) == CLEAN
    first["payload"]["missed_qty"] = "1"
    assert counts(evidence.count())[3] == 1


def test_numbers_older_than_those_before_them_are_caught() -> None:
    evidence = Evidence()
    evidence.leg("alice", "half-1", None, target="2", position="1", newest="open-1")
    evidence.activity[-1]["intent_id"] = "beside"
    assert counts(evidence.count())[3] >= 1


# --- exact targets -----------------------------------------------------------------------------


@pytest.mark.parametrize("exact", ["1.09", "0.91", "1.00000001", "0.99999999"])
def test_an_exact_target_that_is_not_the_configured_share_is_caught(exact: str) -> None:
    evidence = Evidence()
    evidence.activity[6]["payload"].update(exact_target=exact, target=exact)
    assert counts(evidence.count()) == ONE


def test_the_last_place_of_a_target_may_be_rounded() -> None:
    evidence = Evidence()
    rounded = "0.999999999999999999"
    evidence.activity[6]["payload"].update(exact_target=rounded, target=rounded)
    assert counts(evidence.count()) == CLEAN


@pytest.mark.parametrize("is_rounded", [False, True])
def test_targets_rounded_with_every_event_are_caught(*, is_rounded: bool) -> None:
    evidence = Evidence()
    target, before = Decimal(1), Decimal(5)
    for step in range(20):
        after = before + (1 if step % 2 else Decimal("-0.777"))
        name = f"{'more' if after > before else 'half'}-{step + 2}"
        kind = "increase" if after > before else "partial_close"
        evidence.event(name, kind, str(before), str(after))
        target = target * after / before if after < before else target + (after - before) / 5
        target = target.quantize(Decimal("1e-3" if is_rounded else "1e-18"), rounding="ROUND_DOWN")
        for follower, share in (("alice", target), ("bob", after * 2 / 5)):
            text = f"{share:f}"
            line = evidence.leg(follower, name, None, target=text, position="1")
            line["payload"]["missed_qty"] = "9"
        before = after
    for line in evidence.activity:
        if line["kind"] == "leg" and line["follower"] == "bob":
            line["payload"]["position"] = "2"
    for name, at in (("alice", -2), ("bob", -1)):
        evidence.activity[at]["payload"]["missed_qty"] = "9"
        assert evidence.activity[at]["follower"] == name
    assert counts(evidence.count()) == (ONE if is_rounded else CLEAN)


def margin_mode(evidence: Evidence, margin: str | None) -> None:
    """Let alice follow by margin: 1,000 of the leader's."""
    sizing = evidence.mirror("alice")["sizing"]
    sizing.update(mode="margin", allocation="1000", ratio=None)
    evidence.activity[2]["payload"]["leader_margin"] = margin


def test_margin_mode_is_computed_from_the_leaders_margin() -> None:
    evidence = Evidence()
    margin_mode(evidence, "5000")
    assert counts(evidence.count()) == CLEAN
    margin_mode(evidence, "5000.00001")
    assert counts(evidence.count()) == ONE


def test_without_a_confirmed_margin_nothing_is_wanted() -> None:
    evidence = Evidence()
    margin_mode(evidence, None)
    assert counts(evidence.count())[3] >= 1


def test_a_reversed_mirror_has_the_other_sign() -> None:
    evidence = Evidence()
    evidence.mirror("alice")["sizing"]["reverse"] = True
    assert counts(evidence.count())[3] >= 1


def test_notional_mode_is_computed_from_the_leaders_price() -> None:
    evidence = Evidence()
    sizing = evidence.mirror("alice")["sizing"]
    sizing.update(mode="notional", notional="200")
    assert counts(evidence.count()) == CLEAN
    sizing["notional"] = "200.1"
    assert counts(evidence.count()) == ONE


@pytest.mark.parametrize(("least", "expected"), [("1000", 0), ("1000.1", 1)])
def test_a_trade_of_the_leader_below_the_least_is_not_mirrored(least: str, expected: int) -> None:
    evidence = Evidence()
    sizing = evidence.mirror("alice")["sizing"]
    sizing["min_leader_notional"] = least
    assert min(1, counts(evidence.count())[3]) == expected


@pytest.mark.parametrize(
    "sizing",
    [{"mode": "position"}, {"mode": "margin", "allocation": None, "allocation_ppm": 400_000}],
)
def test_what_the_files_cannot_say_is_named(sizing: Line) -> None:
    evidence = Evidence()
    evidence.mirror("alice")["sizing"].update(sizing)
    found = evidence.count()
    assert counts(found) == CLEAN
    assert found.unjudged == 1
    assert "equity" in found.findings[0]


# --- targets set beside the leader's events ------------------------------------------------------


def _lane_line(reason: str, target: str, position: str) -> Line:
    payload = {"symbol": "XUSDT", "exact_target": target, "target": target, "position": position}
    return {
        "seq": 99,
        "kind": "lane",
        "leader": "whale",
        "follower": "alice",
        "intent_id": None,
        "reason": reason,
        "payload": payload | {"newest": "half-1"},
    }


def test_a_flatten_explains_targets_of_zero() -> None:
    evidence = Evidence()
    evidence.activity.append(_lane_line("FLATTENED", "0", "1"))
    evidence.leg("alice", "close", "a-3 SELL 1 98", target="0", position="0", sequence=7)
    evidence.activity[-1]["payload"]["newest"] = "half-1"
    evidence.order(ALICE, "a-3 SELL 1 98", fills=[("99", "1")], at=7)
    assert evidence.count().findings == ()
    del evidence.activity[8]
    assert counts(evidence.count())[3] >= 1


def test_a_recovered_leg_of_the_operators_stands_for_its_flatten() -> None:
    evidence = Evidence()
    evidence.leg("alice", "close", "a-3 SELL 1 98", target="0", position="0", sequence=7)
    evidence.activity[-1]["payload"].update(newest="half-1", recovered=True)
    evidence.order(ALICE, "a-3 SELL 1 98", fills=[("99", "1")], at=7)
    assert evidence.count().findings == ()


def _closed_by_hand(evidence: Evidence, qty: str) -> None:
    fill = copy.deepcopy(evidence.at_venue("a-2", "fill"))
    evidence.venue.append(fill | {"client_order_id": "web_9", "qty": qty})


def test_what_somebody_else_closed_shrinks_a_lane() -> None:
    evidence = Evidence()
    evidence.activity.append(_lane_line("POSITION_SHRUNK", "0.4", "0.4"))
    _closed_by_hand(evidence, "0.6")
    assert evidence.count().findings == ()


def test_a_lane_may_not_shrink_by_more_than_others_closed() -> None:
    evidence = Evidence()
    evidence.activity.append(_lane_line("POSITION_SHRUNK", "0.4", "0.4"))
    _closed_by_hand(evidence, "0.5")
    assert counts(evidence.count()) == ONE


def test_targets_may_not_grow_beside_the_leader() -> None:
    evidence = Evidence()
    evidence.activity.append(_lane_line("POSITION_SHRUNK", "1.5", "1"))
    assert counts(evidence.count())[3] >= 1


# --- positions at the end ------------------------------------------------------------------------


@pytest.mark.parametrize(("filled", "expected"), [("0.9", 1), ("1", 0), ("1.1", 1)])
def test_a_position_one_lot_off_is_caught(filled: str, expected: int) -> None:
    evidence = Evidence()
    evidence.at_venue("a-2", "fill")["qty"] = filled
    assert counts(evidence.count())[3] == expected


def test_a_position_one_lot_off_that_the_line_repeats_is_caught() -> None:
    evidence = Evidence()
    evidence.at_venue("a-2", "fill")["qty"] = "0.9"
    evidence.activity[6]["payload"]["position"] = "1.1"
    assert counts(evidence.count()) == ONE
    evidence.activity[6]["payload"].update(missed_qty="0.1", wanted_qty="1", filled_qty="0.9")
    assert counts(evidence.count()) == CLEAN


def test_what_is_carried_stays_explained_until_it_is_traded() -> None:
    evidence = Evidence()
    # Alice's open wanted 4, built 2 and keeps wanting the rest; the half close says nothing of it.
    wider(evidence, "0.4")
    evidence.mirror("alice")["sizing"]["missed"] = "catch_up"
    opened_less(evidence, missed="2", target="4")
    evidence.activity[6]["payload"]["target"] = "2"
    assert counts(evidence.count()) == CLEAN
    opened_less(evidence, missed="0.5", target="4")
    assert counts(evidence.count()) == ONE


def test_what_an_older_order_left_open_comes_on_top_of_what_newer_legs_lack() -> None:
    evidence = Evidence()
    for name in ("alice", "bob"):
        evidence.mirror(name)["sizing"]["missed"] = "catch_up"
    evidence.event("more-1", "increase", "5", "10")
    evidence.event("more-2", "increase", "10", "15")
    # Her order for one unit is out when the next one is wanted, and turns out never to have come.
    evidence.leg("alice", "more-2", None, target="3", position="1", missed="1")
    late: Line = {"end": "failed", "newest": "more-2"}
    asked = "a-3 BUY 1 102"
    old = evidence.leg("alice", "more-1", asked, target="3", position="1", missed="1", **late)
    for event, target in (("more-1", "4"), ("more-2", "6")):
        evidence.leg("bob", event, None, target=target, position="2", missed=str(int(target) - 2))
    assert counts(evidence.count()) == CLEAN
    old["payload"].update(missed_qty="0.8", filled_qty="0.2")
    assert counts(evidence.count()) == ONE


def test_a_close_that_waits_is_explained_by_what_it_recorded() -> None:
    evidence = Evidence()
    evidence.event("close-1", "full_close", "5", "0")
    evidence.leg("alice", "close-1", None, target="0", position="1", missed="1")
    evidence.leg("bob", "close-1", None, target="0", position="2", missed="2")
    assert counts(evidence.count()) == CLEAN
    evidence.activity[-1]["payload"]["missed_qty"] = "1.9"
    assert counts(evidence.count()) == ONE


def test_a_position_nobody_recorded_is_caught() -> None:
    evidence = Evidence()
    evidence.at_venue("a-2", "fill")["symbol"] = "YUSDT"
    evidence.activity[0]["payload"]["lots"]["YUSDT"] = "0.1"
    # One lot of another symbol, and one lot too much of this one.
    assert counts(evidence.count()) == (0, 0, 0, 2)


def _never_durable(evidence: Evidence) -> None:
    evidence.activity[6]["payload"]["newest"] = "gone"


def _hedged(evidence: Evidence) -> None:
    evidence.activity[2]["payload"]["position_side"] = "LONG"


def _planned_otherwise(evidence: Evidence) -> None:
    """Let the open be told after its legs, which planned it larger than it became."""
    for place in (3, 4):
        evidence.activity[place]["payload"].update(exact_target="7", target="7", position="7")
    evidence.activity.insert(4, evidence.activity.pop(2))


def test_an_event_that_was_lost_with_the_process_may_be_less_when_it_is_met_again() -> None:
    evidence = Evidence()
    _planned_otherwise(evidence)
    assert counts(evidence.count())[3] >= 1
    evidence.activity.insert(4, copy.deepcopy(evidence.activity[0]))
    found = evidence.count()
    assert (counts(found), found.unjudged) == (CLEAN, 2)


@pytest.mark.parametrize("spoil", [_never_durable, _hedged])
def test_numbers_that_cannot_be_followed_are_named(spoil: Callable[[Evidence], None]) -> None:
    evidence = Evidence()
    spoil(evidence)
    assert evidence.count().unjudged >= 1


def test_bob_is_judged_like_alice() -> None:
    evidence = Evidence()
    evidence.at_venue("b-2", "fill")["qty"] = "2.1"
    found = evidence.count()
    assert counts(found) == ONE
    assert BOB not in found.findings[0]
    assert "bob" in found.findings[0]
