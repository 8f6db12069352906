"""A lane is told of when the results that made it so are in the ledger, and not before."""

from collections.abc import Callable, Sequence

from mirror_parts import SYMBOL, Stage, units
from slipstream.domain.cohort import LegResult
from slipstream.errors import StoreError
from slipstream.units import TimeNs

REFUSED = StoreError("database or disk is full")
OnRecorded = Callable[[Exception | None], None]


class Ledger:
    """Takes or refuses results when the test says so."""

    def __init__(self, stage: Stage) -> None:
        """Answer a stage, by hand."""
        self.asked: list[tuple[list[LegResult], OnRecorded]] = []
        self.later: list[Callable[[], None]] = []
        results = stage.journal._results
        results._record = self.record
        results._later = self.call_later

    def record(self, results: Sequence[LegResult], on_recorded: OnRecorded) -> None:
        self.asked.append((list(results), on_recorded))

    def call_later(self, _delay: TimeNs, call: Callable[[], None]) -> None:
        self.later.append(call)

    def answer(self, refusal: Exception | None) -> None:
        _, on_recorded = self.asked.pop(0)
        on_recorded(refusal)


async def filled(stage: Stage, qty: int) -> None:
    await stage.move(qty)
    stage.take_sent()[0].fill()
    stage.journal.drain()


async def test_no_line_is_written_before_its_result_is_durable() -> None:
    stage = Stage(("live",))
    ledger = Ledger(stage)
    await filled(stage, units(4))
    assert [line for line in stage.store.lines if line.kind == "leg"] == []
    ledger.answer(None)
    stage.journal.drain()
    assert len([line for line in stage.store.lines if line.kind == "leg"]) == 1


async def test_refused_results_are_given_again_with_the_lane_as_it_is_then() -> None:
    stage = Stage(("live",))
    ledger = Ledger(stage)
    await filled(stage, units(4))
    ledger.answer(REFUSED)
    stage.journal.drain()
    assert [line for line in stage.store.lines if line.kind == "leg"] == []
    await filled(stage, units(6))
    (again,) = ledger.later
    ledger.answer(None)  # what came later is taken, and still nothing is told
    stage.journal.drain()
    assert [line for line in stage.store.lines if line.kind == "leg"] == []
    again()
    ((result,), _) = ledger.asked[0]
    assert result.lane == stage.cohort.table.lane(0, stage.cohort.symbol_index(SYMBOL)).encode()
    assert result.filled_qty == units(4)
    ledger.answer(None)
    stage.journal.drain()
    assert len([line for line in stage.store.lines if line.kind == "leg"]) == 2


async def test_what_the_ledger_refused_is_not_told_at_the_end() -> None:
    stage = Stage(("live",))
    ledger = Ledger(stage)
    await filled(stage, units(4))
    ledger.answer(REFUSED)
    await stage.journal.finish()
    for call in ledger.later:
        call()
    assert ledger.asked == []
    assert [line for line in stage.store.lines if line.kind == "leg"] == []
