"""The recount on hand-made evidence: each kind of violation is counted once, and nothing else."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from evidence_parts import ALICE, BOB, MS, Evidence, book, counts
from slipstream.telemetry.recount import recount_files

CLEAN = (0, 0, 0, 0)
BREACH = (1, 0, 0, 0)
DUPLICATE = (0, 1, 0, 0)
OVERCOMMIT = (0, 0, 1, 0)


def test_counts_nothing_in_clean_evidence() -> None:
    found = Evidence().count()
    assert counts(found) == CLEAN
    assert found.unjudged == 0
    assert found.findings == ()


def _limit(evidence: Evidence, name: str, limit_px: str) -> None:
    evidence.orders(name)["limit_px"] = limit_px
    evidence.at_venue(name)["limit_px"] = limit_px


def _open_a_tick_outside_the_mid(evidence: Evidence) -> None:
    # The mid at sequence 6 is 100 and the bound 2 %: 102 is the last price inside.
    _limit(evidence, "a-1", "102.01")


def _open_outside_the_leaders_price(evidence: Evidence) -> None:
    evidence.activity[2]["payload"]["px"] = "99.9"


def _exit_a_tick_outside_the_mid(evidence: Evidence) -> None:
    _limit(evidence, "a-2", "97.99")


def _exit_outside_the_leaders_price(evidence: Evidence) -> None:
    evidence.orders("a-2")["reference"] = "LEADER_PX"
    evidence.activity[5]["payload"]["px"] = "100.01"


def _exit_outside_the_best_bid(evidence: Evidence) -> None:
    # The best bid is 99: the last price inside is 97.02.
    evidence.orders("a-2").update(reference="BEST", reference_sequence=None)
    _limit(evidence, "a-2", "97.01")


def _fill_beyond_the_limit(evidence: Evidence) -> None:
    evidence.at_venue("a-1", "fill")["px"] = "102.01"


def _venue_limit_is_the_one_judged(evidence: Evidence) -> None:
    evidence.orders("a-2")["limit_px"] = "97.99"
    evidence.at_venue("a-2")["limit_px"] = "97.99"


def _reference_superseded_too_long(evidence: Evidence) -> None:
    # Sequence 6 ended when 7 came, at 9 ms; 7,000 ms later is the last instant allowed, and 2 ms
    # on the way.
    order = evidence.at_venue("b-1")
    order["arrival_ns"] = 7_011 * MS + 1
    order["ns"] = order["arrival_ns"] + MS
    order["executed_on_sequence"] = 7


def _reference_that_never_was(evidence: Evidence) -> None:
    evidence.orders("a-1")["reference_sequence"] = 66


@pytest.mark.parametrize(
    "spoil",
    [
        _open_a_tick_outside_the_mid,
        _exit_a_tick_outside_the_mid,
        _exit_outside_the_leaders_price,
        _exit_outside_the_best_bid,
        _fill_beyond_the_limit,
        _venue_limit_is_the_one_judged,
        _reference_superseded_too_long,
        _reference_that_never_was,
    ],
)
def test_counts_a_breach_once(spoil: Callable[[Evidence], None]) -> None:
    evidence = Evidence()
    spoil(evidence)
    found = evidence.count()
    assert counts(found) == BREACH
    assert len(found.findings) == 1


def test_judges_every_open_by_the_leaders_price() -> None:
    evidence = Evidence()
    _open_outside_the_leaders_price(evidence)
    assert counts(evidence.count()) == (2, 0, 0, 0)


def test_an_open_is_not_judged_by_the_bound_of_exits() -> None:
    evidence = Evidence()
    evidence.mirror("alice")["exit_ppm"] = 40_000
    _limit(evidence, "a-1", "102.01")
    evidence.activity[2]["payload"]["px"] = "101"
    assert counts(evidence.count()) == BREACH


def test_a_book_that_is_repeated_whole_is_not_superseded() -> None:
    evidence = Evidence()
    levels = ([("99", "9"), ("98", "7")], [("101", "4"), ("102", "4")])
    at = next(i for i, line in enumerate(evidence.venue) if line.get("sequence") == 7)
    evidence.venue.insert(at + 1, book(10, 7, *levels, snapshot=True))
    evidence.at_venue("a-2")["arrival_ns"] = 9_000 * MS
    assert counts(evidence.count()) == CLEAN


def test_a_reference_may_be_as_old_as_allowed() -> None:
    evidence = Evidence()
    _reference_superseded_too_long(evidence)
    evidence.at_venue("b-1")["arrival_ns"] -= 1
    assert counts(evidence.count()) == CLEAN


@pytest.mark.parametrize(("answer_ms", "is_judged"), [(2_992, True), (2_993, True), (None, False)])
def test_what_a_network_holds_back_is_not_late(answer_ms: int | None, *, is_judged: bool) -> None:
    evidence = Evidence()
    _reference_superseded_too_long(evidence)
    evidence.at_venue("b-1")["arrival_ns"] = 10_002 * MS
    evidence.orders("b-1")["answer_ms"] = answer_ms
    found = evidence.count()
    late = answer_ms == 2_992
    assert counts(found) == (BREACH if late else CLEAN)
    assert found.unjudged == (not is_judged)


def test_an_emergency_exit_has_the_wider_bound_only() -> None:
    evidence = Evidence()
    evidence.orders("a-2")["bound_ppm"] = 50_000
    _limit(evidence, "a-2", "95")
    assert counts(evidence.count()) == CLEAN
    _limit(evidence, "a-2", "94.99")
    assert counts(evidence.count()) == BREACH


def test_says_what_it_cannot_judge() -> None:
    evidence = Evidence()
    evidence.orders("a-2").update(reference="MID", reference_sequence=None)
    found = evidence.count()
    assert counts(found) == CLEAN
    assert found.unjudged == 1
    assert found.findings[0].startswith("unjudged: a-2")


def _exit_by_the_mark(evidence: Evidence, px: str, *, superseded_ms: int = 0) -> None:
    """Let alice's exit refer to a mark that the venue told once, and to nothing else."""
    evidence.orders("a-2").update(reference="MARK", reference_px=px, reference_sequence=None)
    arrival_ns = evidence.at_venue("a-2")["arrival_ns"]
    for told_px, before_ms in (("99", superseded_ms + 1_000), ("99.5", superseded_ms)):
        line = {"kind": "mark", "ns": arrival_ns - before_ms * MS, "symbol": "XUSDT"}
        evidence.venue.append(line | {"px": told_px})


@pytest.mark.parametrize(
    ("px", "limit_px", "superseded_ms", "expected"),
    [
        ("99.5", "97.51", 0, CLEAN),
        ("99.5", "97.50", 0, BREACH),
        ("99", "97.02", 7_000, CLEAN),
        ("99", "97.02", 7_001, BREACH),
        ("99.4", "98", 0, BREACH),
    ],
)
def test_an_exit_by_the_mark_is_judged_by_the_marks_the_venue_told(
    px: str, limit_px: str, superseded_ms: int, expected: tuple[int, int, int, int]
) -> None:
    evidence = Evidence()
    _exit_by_the_mark(evidence, px, superseded_ms=superseded_ms)
    _limit(evidence, "a-2", limit_px)
    found = evidence.count()
    assert counts(found) == expected
    assert found.unjudged == 0


@pytest.mark.parametrize(("age_ms", "expected"), [(7_000, (0, 1)), (7_001, (1, 0))])
def test_a_false_book_of_the_venue_excuses_nobody_for_long(
    age_ms: int, expected: tuple[int, int]
) -> None:
    evidence = Evidence()
    _limit(evidence, "a-2", "97.99")
    arrival_ns = 8_000 * MS
    evidence.at_venue("a-2")["arrival_ns"] = arrival_ns
    evidence.orders("a-2")["reference_sequence"] = 7
    ns = arrival_ns - age_ms * MS
    fault = {"kind": "fault", "fault": "crossed_book", "symbol": "XUSDT", "ns": ns}
    place = next(i for i, line in enumerate(evidence.venue) if line.get("sequence") == 7)
    evidence.venue.insert(place, fault)
    found = evidence.count()
    assert (found.slippage_breaches, found.unjudged) == expected


def _order_missing_in_the_activity(evidence: Evidence) -> None:
    evidence.order(ALICE, "a-9 BUY 1 101", fills=[], at=7)


def _id_repeated_at_the_venue(evidence: Evidence) -> None:
    evidence.order(ALICE, "a-1 BUY 2 102", fills=[], at=7, order_id=77)


def _id_recorded_twice(evidence: Evidence) -> None:
    orders = evidence.activity[3]["payload"]["orders"]
    orders.append(copy.deepcopy(orders[0]))
    evidence.orders("a-1")["has_depth"] = False


def _id_of_another_follower(evidence: Evidence) -> None:
    evidence.order(BOB, "a-1 BUY 2 102", fills=[], at=7)


def _another_quantity_than_recorded(evidence: Evidence) -> None:
    evidence.at_venue("a-1")["qty"] = "2.1"


def _another_side_than_recorded(evidence: Evidence) -> None:
    evidence.at_venue("a-2")["side"] = "BUY"


def _sent_without_a_claim(evidence: Evidence) -> None:
    del evidence.activity[3]["payload"]["stages"]["claimed"]


def _sent_before_the_claim(evidence: Evidence) -> None:
    evidence.activity[3]["payload"]["stages"] = {"claimed": 7, "sent": 6}


def _second_attempt_beside_a_live_first(evidence: Evidence) -> None:
    # The first attempt ends half a millisecond after it arrived.
    orders = evidence.activity[3]["payload"]["orders"]
    orders.append(orders[0] | {"client_order_id": "a-1b", "attempt": 1, "has_depth": False})
    arrival_ns = evidence.at_venue("a-1")["arrival_ns"] + MS // 4
    evidence.order(ALICE, "a-1b BUY 2 102", fills=[], at=6, arrival_ns=arrival_ns)


def _second_reduction(evidence: Evidence) -> None:
    # Half of the close, and its other half when the first has ended.
    first = evidence.orders("a-2")
    first["qty"] = evidence.at_venue("a-2")["qty"] = "0.5"
    evidence.at_venue("a-2", "fill")["qty"] = evidence.at_venue("a-2")["filled_qty"] = "0.5"
    leg = next(line for line in evidence.activity if first in line["payload"].get("orders", ()))
    leg["payload"]["orders"].append(first | {"client_order_id": "a-2b", "attempt": 1})
    arrival_ns = evidence.at_venue("a-2")["arrival_ns"] + MS
    evidence.order(ALICE, "a-2b SELL 0.5 98", fills=[("99", "0.5")], at=7, arrival_ns=arrival_ns)


def _second_attempt_after_one_taken_for_none(evidence: Evidence) -> None:
    _second_reduction(evidence)
    evidence.orders("a-2")["state"] = "failed"


def _second_attempt_after_one_nobody_asked_about(evidence: Evidence) -> None:
    _second_reduction(evidence)
    evidence.orders("a-2")["state"] = "unknown"


def _second_opening_of_a_leg(evidence: Evidence) -> None:
    _second_attempt_beside_a_live_first(evidence)
    evidence.at_venue("a-1b")["arrival_ns"] += MS


@pytest.mark.parametrize(
    "spoil",
    [
        _second_attempt_after_one_taken_for_none,
        _second_attempt_after_one_nobody_asked_about,
        _second_opening_of_a_leg,
        _order_missing_in_the_activity,
        _id_repeated_at_the_venue,
        _id_recorded_twice,
        _id_of_another_follower,
        _another_quantity_than_recorded,
        _another_side_than_recorded,
        _sent_without_a_claim,
        _sent_before_the_claim,
        _second_attempt_beside_a_live_first,
    ],
)
def test_counts_a_duplicate_once(spoil: Callable[[Evidence], None]) -> None:
    evidence = Evidence()
    spoil(evidence)
    found = evidence.count()
    assert counts(found) == DUPLICATE
    assert len(found.findings) == 1


def test_a_later_reduction_after_the_first_ended_is_no_duplicate() -> None:
    evidence = Evidence()
    _second_reduction(evidence)
    assert counts(evidence.count()) == CLEAN


def test_orders_of_other_accounts_are_not_ours_to_explain() -> None:
    evidence = Evidence()
    evidence.order("0x1eade4", "web BUY 10 102", fills=[("101", "10")], at=6)
    assert counts(evidence.count()) == CLEAN


def _asked(evidence: Evidence, name: str, qty: str) -> None:
    """Let an order have asked for more than it got, all of it explained as missed."""
    for line in evidence.activity:
        for each in line["payload"].get("orders", ()):
            if each["client_order_id"] == name:
                each["qty"] = qty
    evidence.at_venue(name)["qty"] = qty


def test_a_cohort_may_take_all_there_is() -> None:
    evidence = Evidence()
    _asked(evidence, "b-1", "6")
    assert counts(evidence.count()) == CLEAN


def test_counts_a_take_of_one_lot_too_much_once() -> None:
    evidence = Evidence()
    _asked(evidence, "b-1", "6.1")
    assert counts(evidence.count()) == OVERCOMMIT


def test_counts_depth_inside_each_limit_of_its_own() -> None:
    evidence = Evidence()
    _limit(evidence, "b-1", "101")
    evidence.at_venue("b-1", "fill")["px"] = "101"
    evidence.venue = [
        line for line in evidence.venue if not (line["kind"] == "fill" and line["px"] == "102")
    ]
    evidence.venue.append(evidence.at_venue("b-1", "fill") | {"px": "101", "qty": "2"})
    # Inside 101 there are 4; inside 102 there are 8, for 4 and 2 together.
    assert counts(evidence.count()) == CLEAN
    _asked(evidence, "b-1", "4.1")
    assert counts(evidence.count()) == OVERCOMMIT


def test_an_order_still_out_counts_on_the_newer_book_too() -> None:
    evidence = Evidence()
    # Alice decides on the next sequence, where Bob's order of 4 has not been matched yet.
    evidence.venue.insert(2, book(3, 7, [], []))
    evidence.venue = [
        line | {"sequence": 8} if line.get("sequence") == 7 and line["ns"] == 9 * MS else line
        for line in evidence.venue
    ]
    for name in ("a-2", "b-2"):
        evidence.orders(name).update(reference_sequence=8, book_sequence=8)
        evidence.at_venue(name)["executed_on_sequence"] = 8
    evidence.orders("a-1").update(book_sequence=7, attempt=1)
    evidence.at_venue("a-1")["executed_on_sequence"] = 7
    evidence.at_venue("b-1")["executed_on_sequence"] = 7
    evidence.at_venue("b-1")["arrival_ns"] = evidence.at_venue("a-1")["arrival_ns"] + 1
    _asked(evidence, "a-1", "4")
    assert counts(evidence.count()) == CLEAN
    _asked(evidence, "a-1", "4.1")
    assert counts(evidence.count()) == OVERCOMMIT
    # Matched on the older book, Bob's order is not on the newer one any more.
    evidence.at_venue("b-1")["executed_on_sequence"] = 6
    assert counts(evidence.count()) == CLEAN


def test_an_order_that_had_ended_counts_with_what_it_filled() -> None:
    evidence = Evidence()
    # Alice's second pass on the same book, with Bob's order of 6 before it, of which 4 filled.
    evidence.orders("a-1").update(attempt=1)
    _asked(evidence, "b-1", "6")
    _asked(evidence, "a-1", "4")
    first, second = evidence.at_venue("b-1"), evidence.at_venue("a-1")
    first["arrival_ns"], first["ns"] = 3 * MS, 4 * MS
    second["arrival_ns"] = 4 * MS
    assert counts(evidence.count()) == CLEAN
    second["arrival_ns"] = 4 * MS - 1
    assert counts(evidence.count()) == OVERCOMMIT


def test_an_order_that_counted_on_no_depth_cannot_overcommit() -> None:
    evidence = Evidence()
    _asked(evidence, "b-2", "500")
    assert counts(evidence.count()) == OVERCOMMIT
    evidence.orders("b-2")["has_depth"] = False
    assert counts(evidence.count()) == CLEAN


def test_reads_the_two_files_and_skips_what_it_does_not_need(tmp_path: Path) -> None:
    evidence = Evidence()
    request = {"seq": 1, "kind": "request", "ns": 0}
    for name, lines in (
        ("venue.jsonl", [request, *evidence.venue]),
        ("activity.jsonl", evidence.activity),
    ):
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        (tmp_path / name).write_text(text)
    assert counts(recount_files(tmp_path)) == CLEAN


def test_incomplete_evidence_is_an_error() -> None:
    evidence = Evidence()
    del evidence.orders("a-1")["book_sequence"]
    with pytest.raises(KeyError, match="book_sequence"):
        evidence.count()
