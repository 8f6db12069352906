"""The recount of a follower that mirrors two leaders: each lane by the settings of its leader."""

import pytest

from evidence_parts import Evidence, counts, leader_fill

SHARK = "0x5a2c"


def mirrors_a_second_leader(evidence: Evidence, *, exact: str) -> None:
    """Let alice follow the shark with a half, on a symbol of its own, and miss its opening."""
    session = evidence.activity[0]["payload"]
    session["leaders"]["shark"] = {"venue": "sim", "account": SHARK}
    session["lots"]["YUSDT"] = "0.1"
    settings = evidence.mirror("alice")
    sizing = settings["sizing"] | {"ratio": "0.5"}
    session["followers"]["alice"]["mirrors"]["shark"] = settings | {"sizing": sizing}
    began = {"kind": "leader", "leader": "shark", "payload": {"since_ms": 999}}
    evidence.activity.append(began)
    event = evidence.event("open-2", "open", "0", "10")
    event["leader"] = "shark"
    event["payload"].update(symbol="YUSDT", fills=[["sim", SHARK, "YUSDT", "1", "open-2", "1000"]])
    evidence.venue[-1] = leader_fill("open-2", "0", "10") | {"account": SHARK, "symbol": "YUSDT"}
    leg = evidence.leg(
        "alice", "open-2", None, target="0", position="0", exact=exact, missed="5", symbol="YUSDT"
    )
    leg["leader"] = "shark"


def test_each_lane_is_judged_by_its_own_leader_and_settings() -> None:
    evidence = Evidence()
    mirrors_a_second_leader(evidence, exact="5")
    found = evidence.count()
    assert found.findings == ()


def test_the_other_mirrors_settings_do_not_do() -> None:
    evidence = Evidence()
    mirrors_a_second_leader(evidence, exact="2")
    assert counts(evidence.count())[3] == 1


@pytest.mark.parametrize("leader", ["whale", "shark"])
def test_each_leader_is_owed_an_outcome(leader: str) -> None:
    evidence = Evidence()
    mirrors_a_second_leader(evidence, exact="5")
    place = max(
        index
        for index, line in enumerate(evidence.activity)
        if line["kind"] == "leg" and line["leader"] == leader and line["follower"] == "alice"
    )
    del evidence.activity[place]
    assert evidence.count().lost_fills == 1
