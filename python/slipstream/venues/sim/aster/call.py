"""One REST call on its way through the Aster face, and the table of routes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipstream.venues.sim.accounts import Account
from slipstream.venues.sim.aster.auth import Agent
from slipstream.venues.sim.aster.errors import ApiError
from slipstream.venues.sim.faults import FaultRule
from slipstream.venues.sim.http import Request

if TYPE_CHECKING:
    from slipstream.venues.sim.aster.face import AsterFace

Weight = int | Callable[[Mapping[str, str]], int]


class Call:
    """A parsed call; a signed one has its agent and account."""

    __slots__ = (
        "agent",
        "extra",
        "fault",
        "is_answered",
        "now_ns",
        "parameters",
        "request",
        "route",
        "signed_account",
    )

    def __init__(self, request: Request, route: "Route", now_ns: int) -> None:
        """Start a call on its route; nothing is parsed yet."""
        self.request = request
        self.route = route
        self.now_ns = now_ns
        self.parameters: dict[str, str] = {}
        self.agent: Agent | None = None
        self.signed_account: Account | None = None
        self.fault: FaultRule | None = None
        self.extra = b""
        self.is_answered = False

    @property
    def account(self) -> Account:
        """The account of a signed call."""
        if self.signed_account is None:
            raise ApiError(-1001, "Internal error; the call is not signed.", 500)
        return self.signed_account


Handler = Callable[["AsterFace", Call], Any]


@dataclass(frozen=True, slots=True)
class Route:
    """How one path is served. A handler returns the answer, or LATER."""

    name: str
    handler: Handler
    weight: Weight
    is_signed: bool = False
    is_trade: bool = False
    is_order: bool = False
    needs_deposit: bool = True

    def weight_of(self, parameters: Mapping[str, str]) -> int:
        """Return the weight of a call with these parameters."""
        return self.weight if isinstance(self.weight, int) else self.weight(parameters)


LATER = object()
"""What a handler returns when it answers by itself, later."""
