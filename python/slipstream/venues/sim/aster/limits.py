"""Aster's rate limits: weight per address, orders per account, bans that grow.

Windows are calendar minutes. Whoever goes on after a 429 is banned (418) for two
minutes, then twice as long each time, up to three days (reference, section 10).
"""

from dataclasses import dataclass
from typing import Final

from slipstream.venues.sim.aster.errors import ApiError

WEIGHT_PER_MINUTE: Final = 2400
ORDERS_PER_MINUTE: Final = 1200
MINUTE_MS: Final = 60_000
TOLERATED_AFTER_429: Final = 5
BAN_FIRST_MS: Final = 2 * MINUTE_MS
BAN_MAX_MS: Final = 3 * 24 * 60 * MINUTE_MS


@dataclass(slots=True)
class _Window:
    minute: int = -1
    used: int = 0

    def add(self, now_ms: int, amount: int) -> int:
        minute = now_ms // MINUTE_MS
        if minute != self.minute:
            self.minute = minute
            self.used = 0
        self.used += amount
        return self.used


@dataclass(slots=True)
class _Address:
    window: _Window
    refused: int = 0
    refused_minute: int = -1
    bans: int = 0
    banned_until_ms: int = 0


class RateLimits:
    """Counts weight and orders; times are milliseconds given by the caller."""

    def __init__(self, weight_factor: int = 1) -> None:
        """Start with nothing used; ``weight_factor`` multiplies the weight limit."""
        self.weight_limit = WEIGHT_PER_MINUTE * weight_factor
        self._addresses: dict[str, _Address] = {}
        self._orders: dict[str, _Window] = {}

    def charge_weight(self, ip: str, weight: int, now_ms: int) -> int:
        """Count a request; return the weight used this minute.

        Raises:
            ApiError: over the limit (429), or the address is banned (418).
        """
        address = self._addresses.get(ip)
        if address is None:
            address = self._addresses[ip] = _Address(_Window())
        if now_ms < address.banned_until_ms:
            raise self._banned(ip, address)
        used = address.window.add(now_ms, weight)
        if used <= self.weight_limit:
            return used
        minute = now_ms // MINUTE_MS
        if minute != address.refused_minute:
            address.refused_minute = minute
            address.refused = 0
        address.refused += 1
        if address.refused > TOLERATED_AFTER_429:
            self.ban(ip, now_ms)
            raise self._banned(ip, address)
        raise ApiError(
            -1003,
            f"Too many requests; current limit of IP({ip}) is {self.weight_limit} "
            "requests per minute.",
            429,
        )

    def ban(self, ip: str, now_ms: int, ban_ms: int | None = None) -> None:
        """Ban an address; without a duration, the next one of its escalation."""
        address = self._addresses.setdefault(ip, _Address(_Window()))
        grown_ms = min(BAN_FIRST_MS << address.bans, BAN_MAX_MS)
        address.bans = min(address.bans + 1, 32)
        address.banned_until_ms = now_ms + (grown_ms if ban_ms is None else ban_ms)

    def _banned(self, ip: str, address: _Address) -> ApiError:
        until_ms = address.banned_until_ms
        return ApiError(-1003, f"Too many requests; IP({ip}) banned until {until_ms}.", 418)

    def charge_order(self, account: str, limit: int, now_ms: int) -> int:
        """Count an order; return the orders of this minute.

        Raises:
            ApiError: over the account's limit (429).
        """
        window = self._orders.get(account)
        if window is None:
            window = self._orders[account] = _Window()
        used = window.add(now_ms, 1)
        if used > limit:
            raise ApiError(
                -1015,
                f"Too many new orders; current limit is {limit} orders per MINUTE.",
                429,
            )
        return used
