"""Aster V3 request authentication: raw text, agent, nonce ring (reference, 2 and 14)."""

from bisect import insort
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_plus

from slipstream.venues.sim.aster.errors import ApiError, missing, nonce_expired

NONCES_KEPT: Final = 100
NONCE_DIGITS: Final = 16
PERMISSIONS: Final = ("canRead", "canSpotTrade", "canPerpTrade", "canWithdraw")


class NonceRing:
    """The most recent nonces of one agent; refuses repeats and stragglers."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        """Start without nonces."""
        self._kept: list[int] = []

    def accept(self, nonce: int, now_us: int, window_us: int) -> bool:
        """Take a nonce in; False when it is used, too old or outside the window."""
        if abs(nonce - now_us) > window_us:
            return False
        kept = self._kept
        if not kept or nonce > kept[-1]:
            kept.append(nonce)
        elif nonce in kept or (len(kept) >= NONCES_KEPT and nonce < kept[0]):
            return False
        else:
            insort(kept, nonce)
        if len(kept) > NONCES_KEPT:
            del kept[0]
        return True


@dataclass(slots=True)
class Agent:
    """An API wallet and the accounts that approved it."""

    address: str
    accounts: list[str]
    name: str = "agent"
    expired_ms: int = 1_967_945_395_040
    permissions: dict[str, bool] = field(
        default_factory=lambda: {
            "canRead": True,
            "canSpotTrade": False,
            "canPerpTrade": True,
            "canWithdraw": False,
        }
    )
    ip_whitelist: str = ""
    is_revoked: bool = False
    nonces: NonceRing = field(default_factory=NonceRing)

    def describe(self) -> dict[str, object]:
        """Return the row of ``GET /fapi/v3/agent``."""
        return {
            "agentAddress": self.address,
            "agentName": self.name,
            "ipWhitelist": self.ip_whitelist,
            "expired": self.expired_ms,
            "source": "api",
            **self.permissions,
        }


def parse_parameters(raw: str) -> dict[str, str]:
    """Return the decoded parameters of a raw query or form.

    Raises:
        ApiError: a name appears twice.
    """
    parameters: dict[str, str] = {}
    if not raw:
        return parameters
    for pair in raw.split("&"):
        name, _, value = pair.partition("=")
        if "%" in value or "+" in value:
            value = unquote_plus(value)
        if name in parameters:
            raise ApiError(-1101, f"Duplicate values for parameter '{name}' detected.")
        parameters[name] = value
    return parameters


def cut_signature(raw: str) -> tuple[str, str]:
    """Return (signed text, signature) of a raw text; the signature may stand anywhere.

    Raises:
        ApiError: there is no signature.
    """
    if raw.startswith("signature="):
        signature, _, rest = raw[10:].partition("&")
        return rest, signature
    at = raw.find("&signature=")
    if at < 0:
        raise missing("signature")
    end = raw.find("&", at + 1)
    if end < 0:
        return raw[:at], raw[at + 11 :]
    return raw[:at] + raw[end:], raw[at + 11 : end]


def read_nonce(parameters: dict[str, str]) -> int:
    """Return the nonce in microseconds.

    Raises:
        ApiError: it is missing, or not 16 digits.
    """
    text = parameters.get("nonce")
    if not text:
        raise missing("nonce")
    if len(text) != NONCE_DIGITS or not text.isdigit() or not text.isascii():
        raise nonce_expired()
    return int(text)
