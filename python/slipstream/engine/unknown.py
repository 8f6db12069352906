"""Finds out what became of orders whose fate is unknown. No I/O, no clock.

An order is asked about by its client id, first after the venue's lookup lag, then with growing
pauses. It is *absent* only when, asked after the request could no longer be accepted, the venue
denies it in its orders, its fills show nothing of it, and both said so twice with the lag in
between. Until then it stays unknown, and past a bound an alarm is raised once; asking goes on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from slipstream.domain.fill import Fill
from slipstream.domain.ids import ClientOrderId
from slipstream.domain.order import OrderReport
from slipstream.units import NS_PER_S, Qty, TimeNs

PAUSE_MAX_NS: Final = 30 * NS_PER_S
ALARM_AFTER_NS: Final = 60 * NS_PER_S
DENIAL_COUNT: Final = 2


@dataclass(frozen=True, slots=True)
class QueryOrder:
    """Ask the venue for an order; answer with ``on_report`` or ``on_failure``."""

    client_order_id: ClientOrderId
    symbol: str


@dataclass(frozen=True, slots=True)
class ReadOrderFills:
    """Read the account's fills of a symbol since ``sent_ns`` that no other order explains;
    answer with ``on_fills`` or ``on_failure``."""

    client_order_id: ClientOrderId
    symbol: str
    sent_ns: TimeNs


@dataclass(frozen=True, slots=True)
class OrderFound:
    """The order exists and ended: ``report`` is final."""

    client_order_id: ClientOrderId
    report: OrderReport


@dataclass(frozen=True, slots=True)
class OrderFilledUnlisted:
    """The venue's orders deny it and its fills prove it. ``filled_qty`` positive."""

    client_order_id: ClientOrderId
    filled_qty: Qty


@dataclass(frozen=True, slots=True)
class OrderAbsent:
    """The order never came to be and cannot any more."""

    client_order_id: ClientOrderId


@dataclass(frozen=True, slots=True)
class OrderUnresolved:
    """Alarm: still unknown after ``age_ns``; increases stay blocked."""

    client_order_id: ClientOrderId
    symbol: str
    age_ns: int


UnknownEffect = (
    QueryOrder | ReadOrderFills | OrderFound | OrderFilledUnlisted | OrderAbsent | OrderUnresolved
)


@dataclass(slots=True)
class _Case:
    client_order_id: ClientOrderId
    symbol: str
    sent_ns: TimeNs
    ask_ns: TimeNs
    alarm_ns: TimeNs
    deny_from_ns: TimeNs
    attempt: int = 0
    denial_count: int = 0
    is_alarmed: bool = False
    asked_ns: TimeNs | None = None


class UnknownOrders:
    """All unknown orders of one follower."""

    def __init__(
        self, *, absent_after_ns: int, lookup_lag_ns: int, alarm_after_ns: int = ALARM_AFTER_NS
    ) -> None:
        """Use the venue's traits; raise the alarm ``alarm_after_ns`` after an order was sent."""
        self._absent_after_ns = absent_after_ns
        self._lookup_lag_ns = max(lookup_lag_ns, 1)
        self._alarm_after_ns = alarm_after_ns
        self._cases: dict[ClientOrderId, _Case] = {}

    def __len__(self) -> int:
        """Return how many orders are unknown."""
        return len(self._cases)

    def add(
        self,
        client_order_id: ClientOrderId,
        symbol: str,
        *,
        sent_ns: TimeNs,
        now_ns: TimeNs,
        is_due: bool = False,
    ) -> None:
        """Take an order whose fate is unknown; adding it again changes nothing.

        ``sent_ns``: when it may have been sent at the latest. ``is_due``: ask at once, for it was
        sent long enough ago to be listed.
        """
        self._cases.setdefault(
            client_order_id,
            _Case(
                client_order_id,
                symbol,
                sent_ns,
                ask_ns=TimeNs(now_ns if is_due else now_ns + self._lookup_lag_ns),
                alarm_ns=TimeNs(sent_ns + self._alarm_after_ns),
                deny_from_ns=TimeNs(sent_ns + self._absent_after_ns),
            ),
        )

    def on_report(
        self, client_order_id: ClientOrderId, report: OrderReport | None, *, now_ns: TimeNs
    ) -> list[UnknownEffect]:
        """Take the venue's word on an order, asked for or pushed; ``None`` = it denies it."""
        case = self._cases.get(client_order_id)
        if case is None:
            return []
        if report is None:
            if case.asked_ns is not None and case.asked_ns >= case.deny_from_ns:
                return [ReadOrderFills(client_order_id, case.symbol, case.sent_ns)]
            self._pause(case, now_ns=now_ns)
            return []
        case.denial_count = 0
        if not report.state.is_final:
            self._pause(case, now_ns=now_ns)
            return []
        del self._cases[client_order_id]
        return [OrderFound(client_order_id, report)]

    def on_fills(
        self, client_order_id: ClientOrderId, unexplained: Sequence[Fill], *, now_ns: TimeNs
    ) -> list[UnknownEffect]:
        """Take the fills that no other order explains.

        A fill that names this order proves it. One that names no order might be its: then
        nothing is denied and asking goes on.
        """
        case = self._cases.get(client_order_id)
        if case is None:
            return []
        own = [fill for fill in unexplained if fill.client_order_id == client_order_id]
        if own:
            del self._cases[client_order_id]
            filled_qty = Qty(sum(fill.qty for fill in own))
            return [OrderFilledUnlisted(client_order_id, filled_qty)]
        if any(not fill.client_order_id for fill in unexplained):
            case.denial_count = 0
            self._pause(case, now_ns=now_ns)
            return []
        case.denial_count += 1
        if case.denial_count >= DENIAL_COUNT:
            del self._cases[client_order_id]
            return [OrderAbsent(client_order_id)]
        case.asked_ns, case.ask_ns = None, TimeNs(now_ns + self._lookup_lag_ns)
        return []

    def on_failure(self, client_order_id: ClientOrderId, *, now_ns: TimeNs) -> None:
        """A question was not answered: it is asked again later."""
        case = self._cases.get(client_order_id)
        if case is not None:
            self._pause(case, now_ns=now_ns)

    def unresolved(self) -> list[tuple[ClientOrderId, str, TimeNs]]:
        """Return (name, symbol, when it was sent) of each order whose fate is unknown."""
        return [(each.client_order_id, each.symbol, each.sent_ns) for each in self._cases.values()]

    def drop(self, client_order_id: ClientOrderId) -> None:
        """The operator settled it."""
        self._cases.pop(client_order_id, None)

    def on_deadline(self, *, now_ns: TimeNs) -> list[UnknownEffect]:
        """Ask what is due, and raise what is overdue."""
        effects: list[UnknownEffect] = []
        for case in self._cases.values():
            if not case.is_alarmed and case.alarm_ns <= now_ns:
                case.is_alarmed = True
                age_ns = now_ns - case.sent_ns
                effects.append(OrderUnresolved(case.client_order_id, case.symbol, age_ns))
            if case.ask_ns <= now_ns:
                case.asked_ns = now_ns
                case.ask_ns = TimeNs(now_ns + PAUSE_MAX_NS)  # if no answer ever comes
                effects.append(QueryOrder(case.client_order_id, case.symbol))
        return effects

    def next_deadline(self) -> TimeNs | None:
        """Return when ``on_deadline`` is next needed."""
        instants = [case.ask_ns for case in self._cases.values()]
        instants += [case.alarm_ns for case in self._cases.values() if not case.is_alarmed]
        return min(instants, default=None)

    def _pause(self, case: _Case, *, now_ns: TimeNs) -> None:
        """Ask again later, but right when denial begins to count if that is sooner."""
        case.asked_ns = None
        pause_ns = min(self._lookup_lag_ns << min(case.attempt, 16), PAUSE_MAX_NS)
        case.attempt += 1
        ask_ns = now_ns + pause_ns
        if now_ns < case.deny_from_ns < ask_ns:
            ask_ns = case.deny_from_ns
        case.ask_ns = TimeNs(ask_ns)
