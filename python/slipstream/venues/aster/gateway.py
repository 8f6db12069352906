"""One account's own way to Aster: its warm connection, signer, nonces and order bucket.

``sign_job`` and ``transmit`` are on the way of a fill: no await, no task, no lookup. Everything
else asks over a second connection, so that a slow read never stands before an order.
"""

from functools import partial
from typing import Final

from slipstream import errors
from slipstream._core import Signer
from slipstream.domain.fill import AccountSnapshot, Fill
from slipstream.domain.ids import ClientOrderId
from slipstream.domain.order import OrderReport, OrderRequest
from slipstream.domain.outcome import (
    Accepted,
    Limited,
    NotSent,
    RequestOutcome,
    Unknown,
)
from slipstream.transport import http
from slipstream.transport.token_bucket import TokenBucket
from slipstream.units import NS_PER_S, TimeNs
from slipstream.venues.aster import answers, faults, limits, wire
from slipstream.venues.aster.auth import CLIENT_ORDER_ID_OFFSET, Parameters, order_parameters
from slipstream.venues.aster.limits import Endpoint
from slipstream.venues.aster.rest import AsterAccess, AsterRest
from slipstream.venues.base import KeyStatus, OutcomeSink, SignJob

__all__ = ["AsterGateway"]

_OK: Final = 200
QUEUED_NS_MAX: Final = NS_PER_S
"""How long an order may wait behind another one of its follower: its bound is of its moment."""

_PAGE_SIZE: Final = 1_000
_PAGE_COUNT_MAX: Final = 50
_CLOSING_MAX: Final = 1_000

HISTORY_MS: Final = (7 * 24 - 1) * 3_600 * 1_000
"""How far back a history without a cursor begins: the venue's week, less what clocks differ by."""


class AsterGateway:
    """Implements ``OrderGateway`` for one agent key."""

    __slots__ = (
        "_access",
        "_account",
        "_bucket",
        "_budget",
        "_clock",
        "_closing",
        "_connection",
        "_is_first",
        "_nonces",
        "_rest",
        "_signer",
        "_template",
    )

    def __init__(
        self,
        access: AsterAccess,
        rest: AsterRest,
        *,
        account: str,
        signer: Signer,
        orders_per_minute: int | None = None,
        is_first: bool = False,
    ) -> None:
        """Share ``rest`` with the account's feed: nonces are one sequence per key.

        ``orders_per_minute``: the account's own limit on opens, ``None`` = the venue's.
        ``is_first``: reads of the account and its trades come before those of others, and may
        use the part of the budget that is kept for reductions.
        """
        self._is_first = is_first
        self._access = access
        self._rest = rest
        self._account = account
        self._signer = signer
        self._nonces = rest.nonces
        self._clock = access.clock
        self._budget = access.budget
        self._template = access.template(Endpoint.ORDER)
        self._connection = access.connection(is_warm=True)
        self._bucket = TokenBucket(**limits.order_bucket(orders_per_minute))
        self._closing: set[str] = set()

    async def start(self) -> None:
        """Open and warm the connection.

        Raises:
            NotSent: the venue cannot be reached.
        """
        await self._connection.start()

    async def close(self) -> None:
        """Close both connections; what is in flight becomes ``Unknown``."""
        await self._connection.close()
        await self._rest.close()

    # --- the way of a fill ---

    def sign_job(self, order: OrderRequest) -> SignJob:
        """Return what ``_core.sign_many`` needs; takes the nonce."""
        if order.is_reduction:
            if len(self._closing) >= _CLOSING_MAX:
                self._closing.clear()  # signed and never sent: they only lose their priority
            self._closing.add(order.client_order_id)
        return self._signer, ("order", order_parameters(order, self._nonces.take()))

    def transmit(self, signed: bytes, *, deadline_ns: TimeNs, on_outcome: OutcomeSink) -> TimeNs:
        """Write a signed order at once; call ``on_outcome`` exactly once; return the instant.

        Reductions draw on the reserved part of the address budget. Never raises.
        """
        end = signed.find(b"&", CLIENT_ORDER_ID_OFFSET)
        client_order_id = signed[CLIENT_ORDER_ID_OFFSET:end].decode("ascii", "replace")
        is_reduction = client_order_id in self._closing
        if is_reduction:
            self._closing.discard(client_order_id)
        now_ns = self._clock.now_ns()
        wait_ns = self._budget.take(1, is_urgent=is_reduction, now_ns=now_ns)
        if wait_ns is None and not self._bucket.take(1, now_ns) and not is_reduction:
            wait_ns = self._bucket.wait_ns(1, now_ns)
        if wait_ns is not None:
            limited = Limited("own budget is used up", wait_ns, is_ours=True)
            self._connection.call_soon(partial(on_outcome, limited, now_ns))
            return now_ns
        sent_ns = self._connection.send(
            self._template.with_body(signed),
            deadline_ns=deadline_ns,
            write_by_ns=now_ns + QUEUED_NS_MAX,
            on_result=partial(self._on_result, client_order_id, on_outcome),
        )
        return now_ns if sent_ns is None else sent_ns

    def _on_result(
        self,
        client_order_id: str,
        on_outcome: OutcomeSink,
        result: http.HttpResult,
        received_ns: TimeNs,
    ) -> None:
        on_outcome(self._outcome(client_order_id, result, received_ns), received_ns)

    def _outcome(
        self, client_order_id: str, result: http.HttpResult, received_ns: TimeNs
    ) -> RequestOutcome:
        if isinstance(result, http.Answered):
            pause_ns = self._access.learn(result, received_ns)
            if result.status != _OK:
                return faults.refusal(result.status, result.body, pause_ns=pause_ns)
            try:
                return Accepted(answers.decode_order_answer(result.body, client_order_id))
            except errors.DecodeError as error:
                if wire.decode_error_body(result.body) is not None:
                    return faults.refusal(result.status, result.body, pause_ns=None)
                return Unknown(str(error))
        if isinstance(result, http.NotSent):
            return NotSent(result.reason)
        return Unknown(result.reason)

    # --- questions ---

    async def account(self) -> AccountSnapshot:
        """Read the whole account (weight 5).

        Raises:
            VenueError: as ``AsterRest.ask``.
        """

        def decode(raw: bytes) -> AccountSnapshot:
            received_ns = self._clock.now_ns()
            return answers.decode_account(raw, account=self._account, received_ns=received_ns)

        return await self._rest.ask(Endpoint.ACCOUNT, decode, is_urgent=self._is_first)

    async def order(self, symbol: str, client_order_id: ClientOrderId) -> OrderReport | None:
        """Ask what became of an order; ``None`` when the venue denies knowing it (-2013).

        Raises:
            VenueError: as ``AsterRest.ask``.
        """
        report = await self._ask_order(symbol, ("origClientOrderId", client_order_id))
        if report is not None and report.client_order_id != client_order_id:
            found = wire.shown(report.client_order_id)
            raise errors.UnknownOutcome(f"order: expected {client_order_id}, found {found}")
        return report

    async def name_of(self, symbol: str, venue_order_id: str) -> ClientOrderId | None:
        """Ask for the client order id of an order; ``None`` when the venue denies knowing it.

        Raises:
            VenueError: as ``AsterRest.ask``.
        """
        report = await self._ask_order(symbol, ("orderId", venue_order_id))
        if report is not None and report.venue_order_id != venue_order_id:
            found = wire.shown(report.venue_order_id)
            raise errors.UnknownOutcome(f"order: expected {venue_order_id}, found {found}")
        return None if report is None else report.client_order_id

    async def _ask_order(self, symbol: str, key: tuple[str, str]) -> OrderReport | None:
        def decode(raw: bytes) -> OrderReport:
            report = answers.decode_order(raw)
            if report.symbol != symbol:
                found = wire.shown(report.symbol)
                raise errors.DecodeError(f"order $.symbol: expected {symbol}, found {found}")
            return report

        parameters = (("symbol", symbol), key)
        try:
            return await self._rest.ask(Endpoint.QUERY_ORDER, decode, parameters, is_urgent=True)
        except errors.Rejected as error:
            if error.code == faults.IS_ABSENT_CODE:
                return None
            raise

    async def fills_since(self, symbol: str, cursor: str | None) -> tuple[list[Fill], str | None]:
        """Read executions behind a cursor (the last trade id), oldest first.

        A self-trade has two rows of one id: a full page is continued from its last id, and rows
        seen twice are dropped. ``cursor=None`` begins ``HISTORY_MS`` back, at a named time: the
        venue answers a window without a beginning with its newest page, and the cursor would
        pass what is older.

        Raises:
            VenueError: as ``AsterRest.ask``; also for a cursor that is not ours.
        """
        if cursor is not None and not (cursor.isascii() and cursor.isdigit()):
            found = wire.shown(cursor)
            raise errors.NotSent(f"cursor of {symbol}: expected a trade id, found {found}")
        last_id = None if cursor is None else int(cursor)
        from_id = None if last_id is None else last_id + 1
        fills: dict[object, Fill] = {}
        for _ in range(_PAGE_COUNT_MAX):
            page = await self._page(symbol, from_id)
            for _, fill in page:
                fills[fill.id, fill.side] = fill
            is_full = len(page) >= _PAGE_SIZE
            if is_full and page[-1][0] == from_id:
                raise errors.UnknownOutcome(f"userTrades: one id fills a page: {from_id}")
            if page:
                last_id = from_id = page[-1][0]
            if not is_full:
                return list(fills.values()), None if last_id is None else str(last_id)
        raise errors.UnknownOutcome(f"userTrades: more than {_PAGE_COUNT_MAX} pages of {symbol}")

    async def _page(self, symbol: str, from_id: int | None) -> list[tuple[int, Fill]]:
        """Read one page of executions, oldest first: from an id on, or the window's first."""

        def decode(raw: bytes) -> list[tuple[int, Fill]]:
            received_ns = self._clock.now_ns()
            page = answers.decode_trades(
                raw, account=self._account, symbol=symbol, received_ns=received_ns
            )
            if from_id is not None and page and page[0][0] < from_id:
                raise errors.DecodeError(f"userTrades: expected ids from {from_id}")
            return page

        parameters: Parameters = (("symbol", symbol), ("limit", str(_PAGE_SIZE)))
        if from_id is None:
            begin_ms = self._access.venue_clock.now_ms() - HISTORY_MS
            parameters = (*parameters, ("startTime", str(begin_ms)))
        else:
            parameters = (*parameters, ("fromId", str(from_id)))
        return await self._rest.ask(Endpoint.TRADES, decode, parameters, is_urgent=self._is_first)

    async def set_leverage(self, symbol: str, leverage: int) -> None:
        """Set the leverage of a symbol; setting what is set is success.

        Raises:
            VenueError: as ``AsterRest.ask``; ``UnknownOutcome`` when the venue answers with
                another leverage.
        """
        parameters = (("symbol", symbol), ("leverage", str(leverage)))
        try:
            found = await self._rest.ask(Endpoint.LEVERAGE, answers.decode_leverage, parameters)
        except errors.Rejected as error:
            if error.code in faults.IS_SETTLED_CODES:
                return
            raise
        if found != (symbol, leverage):
            raise errors.UnknownOutcome(
                f"leverage: expected {symbol} at {leverage}, found {found[0]} at {found[1]}"
            )

    async def agents(self) -> list[answers.Agent]:
        """Read the account's agent keys, their expiry and permissions.

        Raises:
            VenueError: as ``AsterRest.ask``.
        """
        return await self._rest.ask(Endpoint.AGENT, answers.decode_agents)

    async def agent(self) -> answers.Agent | None:
        """Return what the venue says of the key we sign with; ``None`` when it is not listed.

        Raises:
            VenueError: as ``AsterRest.ask``.
        """
        own = self._signer.address.lower()
        for each in await self.agents():
            if each.agentAddress.lower() == own:
                return each
        return None

    async def key_status(self) -> KeyStatus | None:
        """Return what the venue says of our key in the port's words.

        Raises:
            VenueError: as ``AsterRest.ask``.
        """
        found = await self.agent()
        if found is None:
            return None
        return KeyStatus(found.agentAddress, found.expired, found.canPerpTrade, found.canWithdraw)
