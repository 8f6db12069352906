"""Orders of unknown fate: what ends them, and what must not."""

import pytest

from slipstream._core import PositionSide, Side
from slipstream.domain.fill import Fill
from slipstream.domain.ids import ClientOrderId, FillId, VenueId
from slipstream.domain.order import OrderReport, OrderState
from slipstream.engine.unknown import (
    OrderAbsent,
    OrderFilledUnlisted,
    OrderFound,
    OrderUnresolved,
    QueryOrder,
    ReadOrderFills,
    UnknownOrders,
)

ID = ClientOrderId("sabc")
LAG, ABSENT, ALARM = 10, 1_000, 5_000


@pytest.fixture
def orders() -> UnknownOrders:
    machine = UnknownOrders(absent_after_ns=ABSENT, lookup_lag_ns=LAG, alarm_after_ns=ALARM)
    machine.add(ID, "BTCUSDT", sent_ns=0, now_ns=100)
    return machine


def report(state: OrderState, filled_qty: int = 0) -> OrderReport:
    return OrderReport(ID, "9", "BTCUSDT", state, filled_qty, None, 1)


def fill(client_order_id: str, qty: int = 3) -> Fill:
    return Fill(
        id=FillId(VenueId("aster"), "a", "BTCUSDT", "9", "1", 1),
        position_side=PositionSide.NET,
        side=Side.BUY,
        qty=qty,
        px=5,
        is_taker=True,
        is_liquidation=False,
        received_ns=0,
        decoded_ns=0,
        client_order_id=client_order_id,
    )


def deny_orders(orders: UnknownOrders, now_ns: int) -> list[object]:
    """Let the order be asked for at an instant and denied by the venue's orders."""
    orders.on_deadline(now_ns=now_ns)
    return orders.on_report(ID, None, now_ns=now_ns)


def test_it_is_first_asked_about_after_the_lookup_lag(orders: UnknownOrders) -> None:
    assert orders.next_deadline() == 110
    assert orders.on_deadline(now_ns=109) == []
    assert orders.on_deadline(now_ns=110) == [QueryOrder(ID, "BTCUSDT")]
    assert orders.on_deadline(now_ns=111) == []


@pytest.mark.parametrize("state", [state for state in OrderState if state.is_final])
def test_a_final_report_ends_it(orders: UnknownOrders, state: OrderState) -> None:
    found = report(state, 3)
    assert orders.on_report(ID, found, now_ns=120) == [OrderFound(ID, found)]
    assert len(orders) == 0
    assert orders.next_deadline() is None


def test_an_order_still_working_is_asked_about_again(orders: UnknownOrders) -> None:
    orders.on_deadline(now_ns=110)
    assert orders.on_report(ID, report(OrderState.NEW), now_ns=111) == []
    assert orders.next_deadline() == 121


def test_a_denial_while_the_request_may_still_arrive_proves_nothing(
    orders: UnknownOrders,
) -> None:
    for now_ns in (110, 300, 600):
        assert deny_orders(orders, now_ns) == []
    assert len(orders) == 1


def test_a_denial_asked_for_too_early_does_not_count_when_it_comes_late(
    orders: UnknownOrders,
) -> None:
    orders.on_deadline(now_ns=990)
    assert orders.on_report(ID, None, now_ns=1_500) == []


def test_absent_needs_orders_and_fills_to_deny_it_twice(orders: UnknownOrders) -> None:
    assert deny_orders(orders, 1_000) == [ReadOrderFills(ID, "BTCUSDT", 0)]
    assert orders.on_fills(ID, [], now_ns=1_001) == []
    assert orders.next_deadline() == 1_001 + LAG
    assert deny_orders(orders, 1_011) == [ReadOrderFills(ID, "BTCUSDT", 0)]
    assert orders.on_fills(ID, [], now_ns=1_012) == [OrderAbsent(ID)]
    assert len(orders) == 0


def test_a_fill_of_its_own_proves_it_although_orders_deny_it(orders: UnknownOrders) -> None:
    deny_orders(orders, 1_000)
    fills = [fill(ID, 3), fill(ID, 4)]
    assert orders.on_fills(ID, fills, now_ns=1_001) == [OrderFilledUnlisted(ID, 7)]


def test_a_fill_that_names_no_order_keeps_it_unknown(orders: UnknownOrders) -> None:
    for now_ns in (1_000, 2_000, 3_000):
        deny_orders(orders, now_ns)
        assert orders.on_fills(ID, [fill("")], now_ns=now_ns) == []
    assert len(orders) == 1


def test_the_alarm_is_raised_once_and_asking_goes_on(orders: UnknownOrders) -> None:
    assert OrderUnresolved(ID, "BTCUSDT", ALARM) in orders.on_deadline(now_ns=ALARM)
    orders.on_failure(ID, now_ns=ALARM)
    deadline = orders.next_deadline()
    assert deadline is not None
    assert orders.on_deadline(now_ns=deadline) == [QueryOrder(ID, "BTCUSDT")]


def test_pauses_grow_to_a_bound(orders: UnknownOrders) -> None:
    now_ns, pauses = 2_000, []
    for _ in range(40):
        orders.on_deadline(now_ns=now_ns)
        orders.on_failure(ID, now_ns=now_ns)
        orders.on_deadline(now_ns=now_ns)
        deadline = orders.next_deadline()
        assert deadline is not None
        pauses.append(deadline - now_ns)
        now_ns = max(deadline, ALARM)
    assert pauses[0] == LAG
    assert pauses == sorted(pauses)
    assert pauses[-1] <= 30_000_000_000


def test_the_operator_ends_it_and_late_answers_are_harmless(orders: UnknownOrders) -> None:
    orders.drop(ID)
    assert orders.on_report(ID, report(OrderState.FILLED), now_ns=1) == []
    assert orders.on_fills(ID, [], now_ns=1) == []
    orders.on_failure(ID, now_ns=1)
    assert orders.on_deadline(now_ns=10**12) == []


def test_it_is_asked_right_when_a_denial_begins_to_count(orders: UnknownOrders) -> None:
    for _ in range(8):
        orders.on_failure(ID, now_ns=990)
    assert orders.next_deadline() == ABSENT


def test_what_an_earlier_process_sent_is_asked_about_at_once_and_absent_no_sooner() -> None:
    machine = UnknownOrders(absent_after_ns=ABSENT, lookup_lag_ns=LAG, alarm_after_ns=ALARM)
    machine.add(ID, "BTCUSDT", sent_ns=100, now_ns=100, is_due=True)
    assert machine.on_deadline(now_ns=100) == [QueryOrder(ID, "BTCUSDT")]
    assert machine.on_report(ID, None, now_ns=100) == []
    assert deny_orders(machine, 100 + ABSENT - 1) == []
    [question] = deny_orders(machine, 100 + ABSENT)
    assert isinstance(question, ReadOrderFills)
