"""The leader's margin of an event, judged by the wallet and the marks in the venue's log.

The whale begins with 1,000 and buys 10 at 100 for a fee of 1; the mark is 101 and then 102, so its
margin is from 1,009 to 1,019.
"""

from decimal import Decimal

import pytest

from evidence_parts import MS, WHALE, Evidence, Line


def mark(ns: int, px: str) -> Line:
    return {"kind": "mark", "ns": ns, "symbol": "XUSDT", "px": px}


def with_margin(margin: str) -> Evidence:
    """Say that the opening was sized by a margin."""
    evidence = Evidence()
    evidence.activity[2]["payload"]["leader_margin"] = margin
    fill = next(line for line in evidence.venue if line.get("trade_id") == "open-1")
    after = {"position_after": "10", "entry_after": "100", "wallet_after": "999"}
    fill.update(ns=100 * MS, position_side="BOTH", **after)
    half = next(line for line in evidence.venue if line.get("trade_id") == "half-1")
    after = {"position_after": "5", "entry_after": "100", "wallet_after": "1050"}
    half.update(ns=9_000 * MS, position_side="BOTH", **after)
    for line in evidence.venue:
        if line["kind"] == "order":
            line["arrival_ns"] = 1_000 * MS
    began = {"kind": "account", "ns": 1, "account": WHALE, "wallet": "1000", "positions": []}
    evidence.venue[:0] = [began, mark(50 * MS, "101"), mark(600 * MS, "102")]
    evidence.venue.insert(3, mark(2_000 * MS, "190"))
    return evidence


@pytest.mark.parametrize("margin", ["1009", "1012.5", "1019"])
def test_a_margin_the_venue_confirmed_is_no_finding(margin: str) -> None:
    found = with_margin(margin).count()
    assert [each for each in found.findings if "margin" in each] == []


@pytest.mark.parametrize("margin", ["999", "1008.9", "1019.1", "1050"])
def test_a_margin_of_another_moment_is_found(margin: str) -> None:
    found = with_margin(margin).count()
    assert [each for each in found.findings if "margin" in each] != []
    assert found.unexplained > 0


def test_a_position_of_another_symbol_counts() -> None:
    evidence = with_margin("1029")
    evidence.venue[0]["positions"] = [["YUSDT", "BOTH", "-2", "50"]]
    evidence.venue.insert(1, mark(2, "40") | {"symbol": "YUSDT"})
    assert [each for each in evidence.count().findings if "margin" in each] == []


@pytest.mark.parametrize("missing", ["account", "mark"])
def test_what_the_log_does_not_hold_is_named(missing: str) -> None:
    evidence = with_margin("1012")
    evidence.venue = [line for line in evidence.venue if line["kind"] != missing]
    found = evidence.count()
    assert found.unjudged == 1
    assert found.findings[-1].startswith("unjudged: whale open-1: margin 1012: the venue's log")


def test_the_entry_price_may_be_told_with_five_decimals() -> None:
    evidence = with_margin(str(Decimal("1019.00005")))
    assert [each for each in evidence.count().findings if "margin" in each] == []


def test_a_venue_whose_clock_stepped_back_is_named() -> None:
    evidence = with_margin("999")
    fill = next(line for line in evidence.venue if line.get("trade_id") == "open-1")
    earlier = fill | {"ns": 99 * MS, "at_ms": 2_000, "trade_id": "earlier", "symbol": "YUSDT"}
    evidence.venue.insert(1, earlier)
    found = evidence.count()
    assert any("clock had stepped back" in each for each in found.findings)
    assert not any(each.startswith("unexplained: whale") for each in found.findings)


@pytest.mark.parametrize(("at_ms", "is_one"), [(0, True), (-1, False)])
def test_the_fills_of_one_millisecond_are_not_told_apart(at_ms: int, is_one: bool) -> None:  # noqa: FBT001
    evidence = with_margin("950")
    fill = next(line for line in evidence.venue if line.get("trade_id") == "open-1")
    earlier = {"position_after": "3", "entry_after": "50", "symbol": "XUSDT"}
    earlier |= {"at_ms": fill["at_ms"] + at_ms, "ns": 60 * MS, "trade_id": "earlier"}
    evidence.venue.insert(2, fill | earlier | {"wallet_after": "900"})
    findings = [each for each in evidence.count().findings if "whale open-1: margin" in each]
    assert (findings == []) is is_one


@pytest.mark.parametrize(("margin", "is_right"), [("1012.5", True), ("1050", False)])
def test_a_later_fill_the_other_way_that_was_heard_first_is_not_sized(
    margin: str,
    is_right: bool,  # noqa: FBT001
) -> None:
    evidence = with_margin(margin)
    opening = evidence.activity[2]["payload"]["fills"]
    names = [each for line in evidence.activity for each in line["payload"].get("fills", [])]
    later = next(each for each in names if "half-1" in each)
    evidence.activity[2]["payload"]["fills"] = [later, *opening]
    findings = [each for each in evidence.count().findings if "whale open-1: margin" in each]
    assert (findings == []) is is_right


@pytest.mark.parametrize("is_found", [True, False])
def test_a_position_whose_fill_the_stream_lost_may_be_the_one_before(is_found: bool) -> None:  # noqa: FBT001
    evidence = with_margin("1029")
    evidence.venue[0]["positions"] = [["YUSDT", "BOTH", "-2", "50"]]
    evidence.venue.insert(1, mark(2, "40") | {"symbol": "YUSDT"})
    fill = next(line for line in evidence.venue if line.get("trade_id") == "open-1")
    lost: Line = {"ns": 3, "trade_id": "lost", "symbol": "YUSDT", "position_after": "0"}
    lost["at_ms"] = fill["at_ms"] - 1
    evidence.venue.insert(2, fill | lost | {"entry_after": "0", "wallet_after": "1000"})
    for line in evidence.venue:
        if line["ns"] > 3:
            line["ns"] += 100_000 * MS
        if line["kind"] == "order":
            line["arrival_ns"] += 100_000 * MS
    began = next(line for line in evidence.activity if line["kind"] == "leader")
    began["payload"] = began["payload"] | {"since_ms": fill["at_ms"] - 2}
    if is_found:
        told = {"kind": "incident", "reason": "FILL_LOST_BY_STREAM", "leader": "whale"}
        evidence.activity.append(told | {"payload": {}})
    findings = [each for each in evidence.count().findings if "whale open-1: margin" in each]
    assert (findings == []) is is_found
