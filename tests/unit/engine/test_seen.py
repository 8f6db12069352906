"""Bounded memory of identities."""

from slipstream.domain.ids import FillId, VenueId
from slipstream.engine.seen import SeenFills


def name(trade_id: int, ts_ms: int) -> FillId:
    return FillId(VenueId("aster"), "a", "BTC", "1", str(trade_id), ts_ms)


def test_an_identity_is_new_once() -> None:
    seen = SeenFills()
    assert seen.add(name(1, 10))
    assert not seen.add(name(1, 10))
    assert seen.add(name(1, 11))


def test_memory_is_bounded_by_count_and_the_forgotten_stay_taken() -> None:
    seen = SeenFills(count_max=3)
    for index in range(10):
        assert seen.add(name(index, index))
    assert len(seen) == 3
    assert not seen.add(name(2, 2))
    assert not seen.add(name(99, 6))
    assert seen.is_forgotten(name(99, 6))
    assert not seen.is_forgotten(name(9, 9))


def test_memory_is_bounded_by_age() -> None:
    seen = SeenFills(age_ms=100)
    seen.add(name(1, 1))
    seen.add(name(2, 101))
    assert len(seen) == 2
    seen.add(name(3, 102))
    assert len(seen) == 2
    assert name(1, 1) in seen
