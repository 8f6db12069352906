"""Aster's REST calls off the way of a fill: one question, one answer or one error.

Holds what all calls from one address share (origin, budget, the venue's clock) and what all
calls of one account share (signer, nonces, a connection for reads beside the one for orders).
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar
from urllib.parse import quote

from slipstream import errors
from slipstream._core import Signer, SignerError
from slipstream.transport import http
from slipstream.transport.budget import AddressBudget
from slipstream.transport.clock import Clock
from slipstream.transport.origin import Origin
from slipstream.transport.reconnect import Backoff
from slipstream.units import NS_PER_S, TimeNs
from slipstream.venues.aster import faults
from slipstream.venues.aster.auth import Parameters
from slipstream.venues.aster.limits import Endpoint
from slipstream.venues.nonce import NonceSource, VenueClock

__all__ = ["HEADERS", "HEADERS_WANTED", "AsterAccess", "AsterRest"]

HEADERS: Final[Mapping[str, str]] = {
    "User-Agent": "slipstream",
    "Accept": "application/json",
    "Connection": "keep-alive",
}
HEADERS_WANTED: Final = frozenset({b"x-mbx-used-weight-1m", b"retry-after"})
_OK: Final = 200
_CALL_NS: Final = 10 * NS_PER_S

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class AsterAccess:
    """What every connection from one egress address to one venue shares."""

    rest: Origin
    stream: Origin
    clock: Clock
    venue_clock: VenueClock
    budget: AddressBudget
    random: random.Random
    local_addr: str | None = None
    templates: dict[Endpoint, http.RequestTemplate] = field(default_factory=dict)

    def template(self, endpoint: Endpoint) -> http.RequestTemplate:
        """Return the prepared head of an endpoint's requests."""
        found = self.templates.get(endpoint)
        if found is None:
            found = http.RequestTemplate(endpoint.method, endpoint.path, self.rest, HEADERS)
            self.templates[endpoint] = found
        return found

    def connection(self, *, is_warm: bool) -> http.PinnedConnection:
        """Return a new connection of its own to the REST host."""
        return http.PinnedConnection(
            self.rest,
            clock=self.clock,
            backoff=Backoff(self.random),
            is_warm=is_warm,
            headers_wanted=HEADERS_WANTED,
            local_addr=self.local_addr,
        )

    def learn(self, answer: http.Answered, now_ns: TimeNs) -> int | None:
        """Take what an answer says of the address's budget; return the pause it asks for."""
        used = answer.headers.get(b"x-mbx-used-weight-1m", b"")
        if used.isdigit() and len(used) <= 9:  # noqa: PLR2004 - no real count is longer
            self.budget.learn(int(used), now_ns)
        if answer.status == _OK or not faults.is_limited(answer.status, answer.body):
            return None
        pause_ns = faults.pause_of(
            answer.status,
            answer.headers,
            answer.body,
            venue_ms=self.venue_clock.now_ms(),
            window_left_ns=self.budget.window_left_ns(now_ns),
        )
        if answer.status in (418, 429) and b"-1015" not in answer.body:
            self.budget.block(now_ns + pause_ns)
        return pause_ns


class AsterRest:
    """Calls of one account, or of nobody (public calls only, without a signer)."""

    __slots__ = ("_access", "_connection", "nonces", "signer")

    def __init__(self, access: AsterAccess, signer: Signer | None = None) -> None:
        """Connect when the first call is made."""
        self._access = access
        self._connection = access.connection(is_warm=False)
        self.signer = signer
        self.nonces = NonceSource(access.venue_clock)

    async def close(self) -> None:
        """Close the connection; a later call opens a new one."""
        closing, self._connection = self._connection, self._access.connection(is_warm=False)
        await closing.close()

    async def ask(
        self,
        endpoint: Endpoint,
        decode: Callable[[bytes], _T],
        parameters: Parameters = (),
        *,
        is_urgent: bool = False,
        weight: int | None = None,
    ) -> _T:
        """Make one call and decode its answer.

        Raises:
            VenueError: as ``call``; an answer that cannot be decoded is ``UnknownOutcome``.
        """
        body = await self.call(endpoint, parameters, is_urgent=is_urgent, weight=weight)
        try:
            return decode(body)
        except errors.DecodeError as error:
            raise errors.UnknownOutcome(f"{endpoint.method} {endpoint.path}: {error}") from error

    async def call(
        self,
        endpoint: Endpoint,
        parameters: Parameters = (),
        *,
        is_urgent: bool = False,
        weight: int | None = None,
    ) -> bytes:
        """Make one call and return the body of its answer.

        Args:
            endpoint: what to ask.
            parameters: (name, text) pairs in wire order, without nonce and signature.
            is_urgent: may use the part of the budget kept for reductions.
            weight: of this call, where it depends on the parameters.

        Raises:
            RateLimited: our own budget or the venue said later.
            NotSent: no byte left.
            Rejected: the venue refused; carries its code.
            Unauthorized: signature or agent refused.
            UnknownOutcome: no answer that can be read.
        """
        access = self._access
        now_ns = access.clock.now_ns()
        needed = endpoint.weight if weight is None else weight
        wait_ns = access.budget.take(needed, is_urgent=is_urgent, now_ns=now_ns)
        what = f"{endpoint.method} {endpoint.path}"
        if wait_ns is not None:
            raise errors.RateLimited(f"{what}: own budget is used up", retry_after_ns=wait_ns)
        request = self._request(endpoint, parameters, what)
        result = await self._connection.fetch(request, deadline_ns=now_ns + _CALL_NS)
        if isinstance(result, http.NotSent):
            raise errors.NotSent(f"{what}: {result.reason}")
        if isinstance(result, http.Unknown):
            raise errors.UnknownOutcome(f"{what}: {result.reason}")
        pause_ns = access.learn(result, access.clock.now_ns())
        if result.status != _OK:
            raise faults.error_of(what, result.status, result.body, pause_ns=pause_ns)
        return result.body

    def _request(self, endpoint: Endpoint, parameters: Parameters, what: str) -> bytes:
        template = self._access.template(endpoint)
        if endpoint.operation is None:
            text = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters)
            return template.with_query(text.encode())
        if self.signer is None:
            raise errors.Unauthorized(f"{what}: this needs a key")
        signed_parameters = (*parameters, ("nonce", str(self.nonces.take())))
        try:
            signed = self.signer.sign(endpoint.operation, signed_parameters)
        except SignerError as error:
            raise errors.NotSent(f"{what}: {error}") from error
        if endpoint.method == "GET":
            return template.with_query(signed)
        return template.with_body(signed)
