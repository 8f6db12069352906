"""A plan's ledger rows against hashlib and the plan itself."""

import hashlib
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort_factory import FREE_RULES, PX, limits
from slipstream._core import (
    SCALE,
    TARGET_SCALE,
    Book,
    CohortIntent,
    CohortPlan,
    CoreError,
    DepthReservation,
    FollowerTable,
    LaneState,
    LedgerNames,
    PositionSide,
    SizingMode,
    SizingRule,
    plan_cohort,
)
from slipstream.domain.cohort import LegRow, LegStatus
from slipstream.domain.ids import FollowerId, follower_key

INTENT = "0123456789abcdef01234567"
ASTER_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
FOLLOWERS = [FollowerId(f"follower-{index}") for index in range(6)]


def planned(
    table: FollowerTable, *, depth: str = "1000", before: int = 0, after: int = 10
) -> CohortPlan:
    """Plan one leader event on a book of one level a side."""
    book = Book()
    book.load([("99.99", depth)], [("100.01", depth)], sequence=7, ts_ns=0)
    view = book.view()
    assert view is not None
    intent = CohortIntent(
        symbol_index=0,
        rules=FREE_RULES,
        leader_before=before * TARGET_SCALE,
        leader_after=after * TARGET_SCALE,
        leader_px=PX,
        created_ns=0,
    )
    return plan_cohort(intent, table, view, DepthReservation(view), now_ns=1)


def cohort() -> tuple[FollowerTable, LedgerNames]:
    """Return followers of growing ratios, and their names."""
    table, names = FollowerTable(), LedgerNames()
    for index, follower in enumerate(FOLLOWERS):
        rule = SizingRule(mode=SizingMode.RATIO, ratio=(index + 1) * SCALE // 10)
        row = table.add(sizing=rule, limits=limits())
        table.set_account(row, equity=10**15, free_margin=10**15, ts_ns=0)
        assert names.add(follower, key=follower_key(follower), claimant=f"aster|0x{row}") == row
    return table, names


def rows_of(
    names: LedgerNames,
    plan: CohortPlan,
    table: FollowerTable,
    attempts: dict[tuple[int, int], int] | None = None,
) -> list[LegRow]:
    made = names.rows(
        plan, table, intent_id=INTENT, symbol="BTCUSDT", symbol_index=0, attempts=attempts or {}
    )
    return [LegRow._make(row) for row in made]


def test_a_claim_says_what_the_order_says() -> None:
    table, names = cohort()
    plan = planned(table)
    rows = rows_of(names, plan, table)
    assert len(rows) == len(names) == len(FOLLOWERS)
    for order, row in zip(plan.orders, rows, strict=True):
        assert row.status == LegStatus.CLAIMED
        assert row.follower_id == FOLLOWERS[order.row]
        assert (row.intent_id, row.leg, row.attempt) == (INTENT, order.leg, 0)
        assert (row.qty, row.limit_px) == (order.qty, order.limit_px)
        assert (row.side, row.position_side) == (order.side.value, order.position_side.value)
        assert row.is_reduction == int(not order.is_opening)
        assert row.wanted_qty == order.wanted_qty
        assert row.reference == order.reference_kind.value
        assert (row.reference_px, row.bound_ppm) == (order.reference_px, order.bound_ppm)
        assert row.book_sequence == order.book_sequence == 7
        lane = LaneState.decode(row.lane)
        assert lane.in_flight_qty[0] == order.qty
        assert lane.wanted_target[0] == order.wanted_target


def test_an_opening_and_a_reduction_name_the_book_their_reference_belongs_to() -> None:
    table, names = cohort()
    for opens in (True, False):
        for row in range(len(FOLLOWERS)):
            filled = table.lane(row, 0).in_flight_qty[0]
            table.settle(row, 0, PositionSide.NET, filled_qty=filled, is_opening=True)
        plan = planned(table) if opens else planned(table, before=10, after=0)
        made = names.rows(
            plan,
            table,
            intent_id=INTENT,
            symbol="BTCUSDT",
            symbol_index=0,
            attempts={},
            sequence=9,
            opening_sequence=8,
        )
        rows = [LegRow._make(each) for each in made]
        assert len(rows) == len(plan.orders) == len(FOLLOWERS)
        assert {row.is_reduction for row in rows} == {int(not opens)}
        assert {row.reference_sequence for row in rows} == {8 if opens else 9}


def test_the_fingerprint_is_sha256_of_what_is_asked_of_whom() -> None:
    table, names = cohort()
    plan = planned(table)
    for order, row in zip(plan.orders, rows_of(names, plan, table), strict=True):
        text = f"aster|0x{order.row}|BTCUSDT|0|1|{order.qty}|{order.limit_px}|0"
        assert row.claim_hash == hashlib.sha256(text.encode()).digest()[:16]


@given(
    leg=st.integers(0, 1),
    attempt=st.integers(0, 46_655),
    row=st.integers(0, len(FOLLOWERS) - 1),
)
def test_client_order_ids_fit_aster_and_name_one_attempt(leg: int, attempt: int, row: int) -> None:
    table, names = cohort()
    plan = planned(table)
    attempts = {(each, leg): attempt for each in range(len(FOLLOWERS))}
    ids = [each.client_order_id for each in rows_of(names, plan, table, attempts)]
    assert all(each is not None and ASTER_ID.fullmatch(each) for each in ids)
    assert len(set(ids)) == len(ids)
    again = rows_of(names, plan, table, {(row, 0): attempt + 1})
    assert not {each.client_order_id for each in again if each.attempt} & set(ids)


def test_attempts_in_a_row_never_share_an_id() -> None:
    table, names = cohort()
    plan = planned(table)
    ids = [
        rows_of(names, plan, table, {(0, 0): attempt})[0].client_order_id
        for attempt in (*range(80), 1_295, 1_296, 1_297)
    ]
    assert all(one != other for one, other in pairwise(ids))
    assert len(set(ids)) == len(ids)


def test_skips_and_waiting_rows_follow_the_orders() -> None:
    table, names = cohort()
    first = planned(table, depth="2")
    rows = rows_of(names, first, table)
    skipped = [row for row in rows if row.status == LegStatus.SKIPPED]
    assert len(skipped) == len(first.skips) > 0
    for skip, row in zip(first.skips, skipped, strict=True):
        assert (row.reason, row.observed, row.limit_value) == (
            skip.reason.code,
            skip.observed,
            skip.limit,
        )
        assert row.client_order_id is None
        assert row.qty is None
        assert row.is_reduction == int(not skip.is_opening)
        assert row[-5:] == (None,) * 5
    second = planned(table, depth="2", before=10, after=20)
    waiting = [row for row in rows_of(names, second, table) if row.status == LegStatus.WAITING]
    assert [row.follower_id for row in waiting] == [FOLLOWERS[row] for row in second.waiting_rows]
    assert {row.is_reduction for row in waiting} == {None}
    assert waiting


def test_a_row_without_a_name_is_refused() -> None:
    table, _ = cohort()
    with pytest.raises(CoreError, match="expected one of the 0 named rows"):
        rows_of(LedgerNames(), planned(table), table)
