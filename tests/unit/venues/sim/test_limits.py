"""Weight windows, order windows and bans that grow."""

import pytest

from slipstream.venues.sim.aster.errors import ApiError
from slipstream.venues.sim.aster.limits import (
    BAN_FIRST_MS,
    MINUTE_MS,
    TOLERATED_AFTER_429,
    RateLimits,
)

START_MS = 100 * MINUTE_MS


def refusal(limits: RateLimits, ip: str, weight: int, now_ms: int) -> ApiError:
    with pytest.raises(ApiError) as refused:
        limits.charge_weight(ip, weight, now_ms)
    return refused.value


def test_weight_is_counted_per_address_and_minute() -> None:
    limits = RateLimits()
    assert limits.charge_weight("a", 2400, START_MS) == 2400
    assert limits.charge_weight("b", 1, START_MS) == 1
    assert refusal(limits, "a", 1, START_MS).status == 429
    assert limits.charge_weight("a", 1, START_MS + MINUTE_MS) == 1


def test_the_factor_raises_only_the_weight_limit() -> None:
    limits = RateLimits(weight_factor=3)
    assert limits.charge_weight("a", 7200, START_MS) == 7200
    assert refusal(limits, "a", 1, START_MS).status == 429


def provoke_ban(limits: RateLimits, now_ms: int) -> int:
    limits.charge_weight("a", 2400, now_ms)
    for _ in range(TOLERATED_AFTER_429):
        assert refusal(limits, "a", 1, now_ms).status == 429
    error = refusal(limits, "a", 1, now_ms)
    assert (error.code, error.status) == (-1003, 418)
    return int(error.msg.rstrip(".").rpartition(" ")[2])


def test_going_on_after_429_is_banned_twice_as_long_each_time() -> None:
    limits = RateLimits()
    first_ms = provoke_ban(limits, START_MS)
    assert first_ms == START_MS + BAN_FIRST_MS
    assert refusal(limits, "a", 1, first_ms - 1).status == 418
    second_ms = provoke_ban(limits, first_ms)
    assert second_ms == first_ms + 2 * BAN_FIRST_MS


def test_orders_are_counted_per_account() -> None:
    limits = RateLimits()
    assert [limits.charge_order("x", 2, START_MS) for _ in range(2)] == [1, 2]
    with pytest.raises(ApiError) as refused:
        limits.charge_order("x", 2, START_MS)
    assert (refused.value.code, refused.value.status) == (-1015, 429)
    assert limits.charge_order("y", 2, START_MS) == 1
