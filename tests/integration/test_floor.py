"""The floor: real signatures, real sockets, another process that reads."""

import resource

import pytest

from slipstream.errors import ConfigError
from slipstream.telemetry import floor, machine, peers


@pytest.mark.parametrize("count", [1, 40])
def test_the_floor_measures_what_it_says(count: int) -> None:
    found = floor.measure(count, rounds=3)
    assert (found.count, found.rounds) == (count, 3)
    assert found.signer == (peers.SECP256K1_PEER if peers.has_coincurve() else peers.STAND_IN)
    assert 0 < found.signatures_ns <= found.sum_ns
    assert 0 < found.writes_ns <= found.sum_ns
    assert found.in_ms()["orders"] == count


def test_without_coincurve_our_own_core_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "has_coincurve", lambda: False)
    assert floor.measure(3, rounds=1).signer == peers.STAND_IN


def test_more_sockets_than_allowed_is_said_before_any_is_opened() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY:
        floor.allow_files(100)
    else:
        with pytest.raises(ConfigError, match="hard limit"):
            floor.allow_files(hard + 1)


def test_a_report_s_head_names_the_machine_and_no_directory() -> None:
    head = machine.describe(seed=7, scenario="quick")
    assert head["seed"] == 7
    assert all(head[name] for name in ("machine", "cores", "python", "build", "command"))
    assert "/" not in str(head["command"]).split(" ", maxsplit=1)[0]
