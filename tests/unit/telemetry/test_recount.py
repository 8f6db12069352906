"""The recount on hand-made evidence: each kind of violation is counted once, and nothing else.

The evidence is written by hand: two followers of one leader who opens 10 and closes half on a
small book. What the counters say of it is worked out on paper, not by any code of the engine.
"""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slipstream.telemetry.recount import Recount, recount, recount_files

MS = 1_000_000
ALICE, BOB = "0xa11ce", "0xb0b"

Line = dict[str, Any]


class Evidence:
    """Lines of both logs, to be spoiled one at a time."""

    def __init__(self) -> None:
        """Write the clean evidence."""
        self.activity: list[Line] = [_session(), _intent(2, "open-1", "open", "0", "10")]
        self.venue: list[Line] = [
            _book(1, 5, [("99", "8"), ("98", "8")], [("101", "4"), ("102", "4")], snapshot=True),
            _book(2, 6, [("99", "9")], []),
        ]
        self.leg("alice", "open-1", "a-1 BUY 2 102", target="2", position="2")
        self.leg("bob", "open-1", "b-1 BUY 4 102", target="4", position="4")
        self.order(ALICE, "a-1 BUY 2 102", fills=[("101", "2")], at=6)
        self.order(BOB, "b-1 BUY 4 102", fills=[("101", "2"), ("102", "2")], at=6)
        self.activity.append(_intent(5, "half-1", "partial_close", "10", "5"))
        self.venue.append(_book(9, 7, [("98", "7")], [("101", "4"), ("102", "4")]))
        self.leg("alice", "half-1", "a-2 SELL 1 98", target="1", position="1", sequence=7)
        self.leg("bob", "half-1", "b-2 SELL 2 98", target="2", position="2", sequence=7)
        self.order(ALICE, "a-2 SELL 1 98", fills=[("99", "1")], at=7)
        self.order(BOB, "b-2 SELL 2 98", fills=[("99", "2")], at=7)

    def leg(
        self,
        follower: str,
        intent: str,
        order: str | None,
        *,
        target: str,
        position: str,
        sequence: int = 6,
        missed: str = "0",
    ) -> None:
        """Record a leg's end, with an order given as "id side quantity limit"."""
        is_reduction = intent == "half-1"
        payload: Line = {
            "symbol": "XUSDT",
            "leg": 0,
            "is_opening": not is_reduction,
            "exact_target": target,
            "target": target,
            "position": position,
            "missed_qty": missed,
        }
        if order is not None:
            name, side, qty, limit_px = order.split()
            payload |= {"side": side, "rank": 0, "stages": {"claimed": 5, "sent": 6}}
            payload["orders"] = [
                {
                    "client_order_id": name,
                    "attempt": 0,
                    "qty": qty,
                    "limit_px": limit_px,
                    "is_reduction": is_reduction,
                    "reference": "MID" if is_reduction else "ARRIVAL_MID",
                    "reference_sequence": sequence,
                    "book_sequence": sequence,
                    "bound_ppm": 20_000,
                    "has_depth": True,
                }
            ]
        self.activity.append(
            {
                "seq": len(self.activity) + 1,
                "kind": "leg",
                "leader": "whale",
                "follower": follower,
                "intent_id": intent,
                "reason": None,
                "payload": payload,
            }
        )

    def order(
        self,
        account: str,
        asked: str,
        *,
        fills: list[tuple[str, str]],
        at: int,
        order_id: int | None = None,
        arrival_ns: int | None = None,
    ) -> None:
        """Let the venue have an order, given as "id side quantity limit", and its fills."""
        name, side, qty, limit_px = asked.split()
        ns = len(self.venue) * MS if arrival_ns is None else arrival_ns
        common = {"account": account, "client_order_id": name, "symbol": "XUSDT", "side": side}
        common["order_id"] = str(order_id or len(self.venue))
        for px, filled in fills:
            self.venue.append(common | {"kind": "fill", "ns": ns, "px": px, "qty": filled})
        self.venue.append(
            common
            | {
                "kind": "order",
                "ns": ns + MS // 2,
                "arrival_ns": ns,
                "qty": qty,
                "limit_px": limit_px,
                "executed_on_sequence": at,
                "filled_qty": str(sum(int(filled) for _, filled in fills)),
            }
        )

    def orders(self, name: str) -> Line:
        """The recorded order of a client id."""
        for line in self.activity:
            for each in line["payload"].get("orders", ()):
                if each["client_order_id"] == name:
                    found: Line = each
                    return found
        raise LookupError(name)

    def at_venue(self, name: str, kind: str = "order") -> Line:
        return next(
            line for line in self.venue if line["kind"] == kind and line["client_order_id"] == name
        )

    def count(self) -> Recount:
        return recount(copy.deepcopy(self.venue), copy.deepcopy(self.activity))


def _session() -> Line:
    bounds = {
        "venue": "sim",
        "mode": "live",
        "leader": "whale",
        "entry_ppm": 20_000,
        "exit_ppm": 20_000,
        "emergency_ppm": 50_000,
        "deviation_ppm": 20_000,
    }
    return {
        "seq": 1,
        "kind": "session",
        "payload": {
            "followers": {"alice": {"account": ALICE} | bounds, "bob": {"account": BOB} | bounds},
            "lots": {"XUSDT": "0.1"},
            "limits": {"book_age_ms_max": 2_000, "reference_age_ms_max": 7_000},
        },
    }


def _intent(seq: int, name: str, kind: str, before: str, after: str) -> Line:
    payload = {"symbol": "XUSDT", "kind": kind, "px": "100", "before": before, "after": after}
    return {
        "seq": seq,
        "kind": "intent",
        "leader": "whale",
        "follower": None,
        "intent_id": name,
        "payload": payload,
    }


def _book(
    ns_ms: int,
    sequence: int,
    bids: list[tuple[str, str]],
    asks: list[tuple[str, str]],
    *,
    snapshot: bool = False,
) -> Line:
    line: Line = {"kind": "book", "ns": ns_ms * MS, "symbol": "XUSDT", "sequence": sequence}
    line |= {"bids": bids, "asks": asks}
    return line | {"snapshot": True} if snapshot else line


def counts(found: Recount) -> tuple[int, int, int, int]:
    return (
        found.slippage_breaches,
        found.duplicate_orders,
        found.depth_overcommits,
        found.unexplained,
    )


CLEAN = (0, 0, 0, 0)
BREACH = (1, 0, 0, 0)
DUPLICATE = (0, 1, 0, 0)
OVERCOMMIT = (0, 0, 1, 0)
UNEXPLAINED = (0, 0, 0, 1)


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
    evidence.activity[1]["payload"]["px"] = "99.9"


def _exit_a_tick_outside_the_mid(evidence: Evidence) -> None:
    _limit(evidence, "a-2", "97.99")


def _exit_outside_the_leaders_price(evidence: Evidence) -> None:
    evidence.orders("a-2")["reference"] = "LEADER_PX"
    evidence.activity[4]["payload"]["px"] = "100.01"


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
    # Sequence 6 ended when 7 came, at 9 ms; 7,000 ms later is the last instant allowed.
    order = evidence.at_venue("b-1")
    order["arrival_ns"] = 7_009 * MS + 1
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
    evidence.activity[0]["payload"]["followers"]["alice"]["exit_ppm"] = 40_000
    _limit(evidence, "a-1", "102.01")
    evidence.activity[1]["payload"]["px"] = "101"
    assert counts(evidence.count()) == BREACH


def test_a_book_that_is_repeated_whole_is_not_superseded() -> None:
    evidence = Evidence()
    levels = ([("99", "9"), ("98", "7")], [("101", "4"), ("102", "4")])
    at = next(i for i, line in enumerate(evidence.venue) if line.get("sequence") == 7)
    evidence.venue.insert(at + 1, _book(10, 7, *levels, snapshot=True))
    evidence.at_venue("a-2")["arrival_ns"] = 9_000 * MS
    assert counts(evidence.count()) == CLEAN


def test_a_reference_may_be_as_old_as_allowed() -> None:
    evidence = Evidence()
    _reference_superseded_too_long(evidence)
    evidence.at_venue("b-1")["arrival_ns"] -= 1
    assert counts(evidence.count()) == CLEAN


def test_an_emergency_exit_has_the_wider_bound_only() -> None:
    evidence = Evidence()
    evidence.orders("a-2")["bound_ppm"] = 50_000
    _limit(evidence, "a-2", "95")
    assert counts(evidence.count()) == CLEAN
    _limit(evidence, "a-2", "94.99")
    assert counts(evidence.count()) == BREACH


@pytest.mark.parametrize(
    "order", [{"reference": "MARK"}, {"reference": "MID", "reference_sequence": None}]
)
def test_says_what_it_cannot_judge(order: Line) -> None:
    evidence = Evidence()
    evidence.orders("a-2").update(order)
    found = evidence.count()
    assert counts(found) == CLEAN
    assert found.unjudged == 1
    assert found.findings[0].startswith("unjudged: a-2")


def _order_missing_in_the_activity(evidence: Evidence) -> None:
    evidence.order(ALICE, "a-9 BUY 1 101", fills=[], at=7)


def _id_repeated_at_the_venue(evidence: Evidence) -> None:
    evidence.order(ALICE, "a-1 BUY 2 102", fills=[], at=7, order_id=77)


def _id_recorded_twice(evidence: Evidence) -> None:
    orders = evidence.activity[2]["payload"]["orders"]
    orders.append(copy.deepcopy(orders[0]))
    evidence.orders("a-1")["has_depth"] = False


def _id_of_another_follower(evidence: Evidence) -> None:
    evidence.order(BOB, "a-1 BUY 2 102", fills=[], at=7)


def _another_quantity_than_recorded(evidence: Evidence) -> None:
    evidence.at_venue("a-1")["qty"] = "2.1"


def _another_side_than_recorded(evidence: Evidence) -> None:
    evidence.at_venue("a-2")["side"] = "BUY"


def _sent_without_a_claim(evidence: Evidence) -> None:
    del evidence.activity[2]["payload"]["stages"]["claimed"]


def _sent_before_the_claim(evidence: Evidence) -> None:
    evidence.activity[2]["payload"]["stages"] = {"claimed": 7, "sent": 6}


def _second_attempt_beside_a_live_first(evidence: Evidence) -> None:
    # The first attempt ends half a millisecond after it arrived.
    orders = evidence.activity[2]["payload"]["orders"]
    orders.append(orders[0] | {"client_order_id": "a-1b", "attempt": 1, "has_depth": False})
    arrival_ns = evidence.at_venue("a-1")["arrival_ns"] + MS // 4
    evidence.order(ALICE, "a-1b BUY 2 102", fills=[], at=6, arrival_ns=arrival_ns)


@pytest.mark.parametrize(
    "spoil",
    [
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


def test_a_later_attempt_after_the_first_ended_is_no_duplicate() -> None:
    evidence = Evidence()
    _second_attempt_beside_a_live_first(evidence)
    evidence.at_venue("a-1b")["arrival_ns"] += MS
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
    evidence.venue.insert(2, _book(3, 7, [], []))
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


def _gap(evidence: Evidence, exact: str) -> None:
    evidence.activity[5]["payload"]["exact_target"] = exact


@pytest.mark.parametrize("exact", ["1.1", "0.9"])
def test_counts_a_position_one_lot_off_once(exact: str) -> None:
    evidence = Evidence()
    _gap(evidence, exact)
    assert counts(evidence.count()) == UNEXPLAINED


@pytest.mark.parametrize("exact", ["1.099999999999999999", "0.900000000000000001"])
def test_less_than_a_lot_is_rounding(exact: str) -> None:
    evidence = Evidence()
    _gap(evidence, exact)
    assert counts(evidence.count()) == CLEAN


def test_what_an_open_gave_up_explains_a_gap_less_what_the_leader_closed() -> None:
    evidence = Evidence()
    evidence.activity[2]["payload"].update(exact_target="5", missed_qty="3")
    # Half of the 3 that were given up is what the leader's half close leaves of it.
    _gap(evidence, "2.5")
    assert counts(evidence.count()) == CLEAN
    _gap(evidence, "2.6")
    assert counts(evidence.count()) == UNEXPLAINED


def test_a_miss_explains_only_a_gap_on_its_side() -> None:
    evidence = Evidence()
    evidence.activity[2]["payload"].update(exact_target="5", missed_qty="3")
    _gap(evidence, "0.5")
    assert counts(evidence.count()) == UNEXPLAINED


def test_a_full_close_leaves_nothing_to_be_explained_by_older_misses() -> None:
    evidence = Evidence()
    evidence.activity[2]["payload"].update(exact_target="5", missed_qty="3")
    evidence.activity[4]["payload"].update(kind="full_close", after="0")
    for index in (5, 6):
        evidence.activity[index]["payload"].update(exact_target="0", target="0")
    # Alice holds 1 and Bob 2 with nothing recorded as missed by the close.
    assert counts(evidence.count()) == (0, 0, 0, 2)
    for index, missed in ((5, "1"), (6, "2")):
        evidence.activity[index]["payload"]["missed_qty"] = missed
    assert counts(evidence.count()) == CLEAN


def test_what_is_carried_is_not_counted_again_with_every_event() -> None:
    evidence = Evidence()
    del evidence.activity[4:]
    evidence.venue = [
        line for line in evidence.venue if line.get("client_order_id") not in {"a-2", "b-2"}
    ]
    for step in range(1, 4):
        evidence.activity.append(
            _intent(10 * step, f"more-{step}", "open", str(9 + step), str(10 + step))
        )
        carried = f"0.{step}"
        target = f"2.{step}"
        evidence.leg("alice", f"more-{step}", None, target=target, position="2", missed=carried)
        evidence.leg("bob", f"more-{step}", None, target="4", position="4")
    assert counts(evidence.count()) == CLEAN
    # 0.1 + 0.2 + 0.3 were recorded, but only the newest 0.3 is what is missing.
    evidence.activity[-2]["payload"]["exact_target"] = "2.5"
    assert counts(evidence.count()) == UNEXPLAINED


@pytest.mark.parametrize(("exact", "expected"), [("2", CLEAN), ("2.2", UNEXPLAINED)])
def test_what_is_carried_shrinks_with_the_leaders_reductions(
    exact: str, expected: tuple[int, int, int, int]
) -> None:
    evidence = Evidence()
    # Alice's open still wanted 2 more; the half close leaves 1 of them wanted, and says nothing.
    evidence.activity[2]["payload"].update(exact_target="4", target="4", missed_qty="2")
    evidence.activity[5]["payload"].update(exact_target=exact, target=exact)
    assert counts(evidence.count()) == expected


def test_a_position_nobody_recorded_is_unexplained() -> None:
    evidence = Evidence()
    evidence.at_venue("a-2", "fill")["symbol"] = "YUSDT"
    evidence.activity[0]["payload"]["lots"]["YUSDT"] = "0.1"
    # One lot of another symbol, and one lot too much of this one.
    assert counts(evidence.count()) == (0, 0, 0, 2)


@pytest.mark.parametrize("index", [5, 6])
def test_counts_an_event_without_an_outcome_once(index: int) -> None:
    evidence = Evidence()
    lost = copy.deepcopy(evidence.activity[index])
    evidence.activity[index] = lost | {"intent_id": "open-1"}
    found = evidence.count()
    assert found.unexplained == 2  # one outcome too few, and one too many


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
