"""How orders ended, on the way to the ledger; nothing is told of a lane before it is there.

A line of the activity log speaks of a lane as a result left it. If the ledger refuses the result
and everything is then rebuilt from the ledger, that lane never was: its order is asked about and
ends again. So a result that was refused is handed over again until it is taken, and the lines that
came after it wait. Whoever rebuilds from the ledger drops both.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from slipstream.domain.cohort import LegResult
from slipstream.engine.cohort import Cohort
from slipstream.engine.leglife import Leg
from slipstream.units import NS_PER_MS, TimeNs

AGAIN_NS: Final = TimeNs(500 * NS_PER_MS)
"""Pause before results that the ledger refused are handed over again."""

OnRecorded = Callable[[Exception | None], None]
"""Told why the ledger did not take the results, ``None`` when it did."""

Record = Callable[[Sequence[LegResult], OnRecorded], None]
Later = Callable[[TimeNs, Callable[[], None]], None]


@dataclass(slots=True)
class _Result:
    leg: Leg
    cohort: Cohort
    result: LegResult

    def as_it_is(self) -> LegResult:
        """Return the result with its lane as it is by now: rows written since hold newer ones."""
        lane = self.cohort.table.lane(self.leg.row, self.leg.symbol_index)
        return self.result._replace(lane=lane.encode())


class Results:
    """One leader's results, handed over in their order."""

    def __init__(self, record: Record, later: Later, on_taken: Callable[[], None]) -> None:
        """``on_taken`` is called when the ledger took everything that was handed over."""
        self._record = record
        self._later = later
        self._on_taken = on_taken
        self._gathered: list[_Result] = []
        self._held: list[_Result] = []
        self._refused: list[_Result] = []
        self._is_held = False
        self._is_over = False
        self._given_count = 0
        self._answered_count = 0
        self._is_answered = asyncio.Event()
        self._is_answered.set()

    def add(self, leg: Leg, cohort: Cohort, result: LegResult) -> None:
        """Gather a result."""
        (self._held if self._is_held else self._gathered).append(_Result(leg, cohort, result))

    def hold(self) -> None:
        """Keep back what is added from now on."""
        self._is_held = True

    def release(self) -> None:
        """Gather what was kept back."""
        self._is_held = False
        self._gathered += self._held
        self._held = []

    @property
    def mark(self) -> int:
        """The place up to which results must be in the ledger before today's lanes are told of."""
        return self._given_count + bool(self._gathered or self._held)

    def is_taken(self, mark: int) -> bool:
        """Return whether every result up to a place is in the ledger."""
        return not self._refused and mark <= self._answered_count

    def give(self) -> None:
        """Hand over what was gathered."""
        if self._gathered:
            given, self._gathered = self._gathered, []
            self._hand_over(given, [each.result for each in given])

    def _hand_over(self, given: list[_Result], results: list[LegResult]) -> None:
        self._given_count += 1
        self._is_answered.clear()
        number = self._given_count
        self._record(results, lambda refusal: self._on_recorded(number, given, refusal))

    def _on_recorded(self, number: int, given: list[_Result], refusal: Exception | None) -> None:
        self._answered_count = max(self._answered_count, number)
        if refusal is not None:
            if not self._refused:
                self._later(AGAIN_NS, self._give_again)
            self._refused += given
        if self._answered_count == self._given_count:
            self._is_answered.set()
        if not self._refused:
            self._on_taken()

    def _give_again(self) -> None:
        """Hand over what was refused; not while lanes hold an event that may never be."""
        if self._is_over:
            return
        if self._is_held or not self._is_answered.is_set():
            self._later(AGAIN_NS, self._give_again)
            return
        again, self._refused = self._refused, []
        self._hand_over(again, [each.as_it_is() for each in again])

    async def finish(self) -> None:
        """Hand over the rest and wait for the ledger's word. What it refuses is left to whoever
        reads the ledger next."""
        self._is_over = True
        self.give()
        await self._is_answered.wait()
