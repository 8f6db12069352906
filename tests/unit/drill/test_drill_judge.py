"""How the counts of drills are added up and shown."""

from slipstream.drill.judge import DrillCounts, expected_legs, unresolved


def session(**leaders: str) -> dict[str, object]:
    followers = {name: {"mirrors": {leader: {}}} for name, leader in leaders.items()}
    return {"kind": "session", "payload": {"followers": followers}}


def intent(leader: str, kind: str) -> dict[str, object]:
    return {"kind": "intent", "leader": leader, "payload": {"kind": kind}}


def test_an_event_must_end_once_for_each_follower_of_its_leader_and_a_flip_twice() -> None:
    lines = [session(a="one", b="one", c="two"), intent("one", "open"), intent("two", "flip")]
    assert expected_legs([*lines, session(a="one", b="one", c="two")]) == 2 + 2


def test_a_leg_whose_order_stayed_unknown_is_a_finding() -> None:
    def leg(end: str) -> dict[str, object]:
        payload = {"leg": 0, "end": end}
        return {"kind": "leg", "follower": "a", "intent_id": "i", "payload": payload}

    assert unresolved([leg("filled"), leg("skipped")]) == []
    assert unresolved([leg("filled"), leg("unknown")]) == ["unresolved: a i leg 0"]


def test_counts_add_up_and_every_point_is_shown_hit_or_not() -> None:
    total = DrillCounts()
    for seconds in (0.5, 1.5, 1.0):
        run = DrillCounts(runs=1, kills=2, leader_fills=20, recovery_s=[seconds])
        run.points["claim-durable"] += 1
        total.add(run)
    shown = total.summary(("claim-durable", "feed-up"))
    assert shown["runs"] == 3
    assert shown["kills"] == 6
    assert shown["leader_fills"] == 60
    assert shown["points"] == {"claim-durable": 3, "feed-up": 0}
    assert shown["recovery_s"] == {"p50": 1.0, "max": 1.5}
    assert total.is_kept


def test_any_count_or_finding_breaks_a_drill() -> None:
    assert not DrillCounts(duplicate_orders=1).is_kept
    assert not DrillCounts(lost_fills=1).is_kept
    assert not DrillCounts(outside_bound=1).is_kept
    assert not DrillCounts(unexplained=1).is_kept
    assert not DrillCounts(findings=["did not settle"]).is_kept
    assert DrillCounts().summary(())["recovery_s"] == {"p50": None, "max": None}
