"""A leg gathers its orders and ends once, with what it wanted, filled and missed."""

from decimal import Decimal
from typing import Any, cast

import pytest

from mirror_parts import PX, TICK, Stage, units


async def leg_lines(stage: Stage) -> list[dict[str, Any]]:
    stage.journal.drain()
    return [row.payload for row in stage.store.lines if row.kind == "leg"]


@pytest.mark.parametrize(
    ("filled", "end", "missed"), [(4, "filled", "0"), (1, "partial", "3"), (0, "partial", "4")]
)
async def test_an_open_ends_by_what_it_filled(filled: int, end: str, missed: str) -> None:
    stage = Stage(("live",))
    await stage.move(units(4))
    stage.take_sent()[0].fill(units(filled))
    (line,) = await leg_lines(stage)
    assert (line["end"], line["missed_qty"]) == (end, missed)
    assert (line["wanted_qty"], line["filled_qty"]) == ("4", str(filled))


async def test_a_skipped_leg_says_what_was_wanted_and_names_no_order() -> None:
    stage = Stage(("live",))
    stage.books.show(units(1) // 10)
    await stage.move(units(4))
    (line,) = await leg_lines(stage)
    assert (line["end"], line["wanted_qty"], line["missed_qty"]) == ("skipped", "4", "4")
    assert "orders" not in line
    assert line["exact_target"] == "4"
    assert line["position"] == "0"


async def test_the_average_price_is_weighted_by_volume_over_all_orders() -> None:
    stage = Stage(("live",))
    await stage.move(units(4))
    stage.take_sent()[0].fill()
    await stage.move(0)
    stage.take_sent()[0].fill(units(1), px=PX)
    await stage.fire()
    stage.take_sent()[0].fill(units(3), px=PX - 4 * TICK)
    line = (await leg_lines(stage))[-1]
    assert Decimal(line["average_px"]) == Decimal("99.97")
    assert line["filled_qty"] == "4"
    assert [order["attempt"] for order in line["orders"]] == [0, 1]
    assert [order["qty"] for order in line["orders"]] == ["4", "3"]


async def test_an_order_says_what_it_was_decided_on() -> None:
    stage = Stage(("live",))
    await stage.move(units(4))
    stage.take_sent()[0].fill()
    (line,) = await leg_lines(stage)
    (order,) = line["orders"]
    assert (order["qty"], order["limit_px"], order["is_reduction"]) == ("4", "101", False)
    assert order["reference"] in {"ARRIVAL_MID", "LEADER_PX"}
    assert (order["reference_sequence"], order["book_sequence"]) == (1, 1)
    assert order["bound_ppm"] == 10_000
    assert order["has_depth"]


async def test_the_stages_are_in_their_order() -> None:
    stage = Stage(("live",))
    await stage.move(units(4))
    stage.take_sent()[0].fill()
    (line,) = await leg_lines(stage)
    stages = cast("dict[str, int]", line["stages"])
    assert list(stages) == ["planned", "claimed", "signed", "sent", "acked", "filled"]
    assert stages["planned"] <= stages["claimed"] <= stages["sent"]
    assert stages["sent"] <= stages["acked"] <= stages["filled"]


async def test_an_order_that_was_never_sent_has_no_later_stage() -> None:
    stage = Stage(("live",))
    stage.stopped.add("f1")
    await stage.move(units(4))
    (line,) = await leg_lines(stage)
    assert line["end"] == "failed"
    assert {"sent", "acked", "filled"}.isdisjoint(line["stages"])
