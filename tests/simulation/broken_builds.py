"""Engines that are broken on purpose, one rule at a time, to see who notices.

Each function changes production code through a ``pytest.MonkeyPatch``, so that it is whole again
when the test ends. Nothing here is ever used to make a test pass.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import pytest

from slipstream._core import DepthReservation, LaneState, sign_many
from slipstream.domain.cohort import CohortCommit
from slipstream.domain.outcome import NotSent, RequestOutcome, Unknown
from slipstream.engine.cohort import Cohort, Planned
from slipstream.engine.leg import LegState
from slipstream.engine.leglife import Leg
from slipstream.runtime import points
from slipstream.runtime.fanout import ANSWER_TIMEOUT_NS, FanOut, _Burst
from slipstream.runtime.hub import VenueHub
from slipstream.runtime.mirror import Mirror
from slipstream.runtime.pipeline import Pipeline
from slipstream.units import TARGET_PER_QTY, TimeNs

Break = Callable[[pytest.MonkeyPatch], None]
ALL_LEGS: Final = 10_000


def claim_after_send(patch: pytest.MonkeyPatch) -> None:
    """Send every order of a pass, and ask the ledger to keep the claims afterwards."""

    async def run(
        self: FanOut,
        planned: Planned,
        take_legs: Callable[[Planned, int], list[Leg]],
        *,
        is_event: bool,
        cursor: tuple[str, str] | None = None,
        claimed: str = points.CLAIM_DURABLE,
    ) -> bool:
        burst = _Burst(self)
        self._sign(burst, take_legs(planned, ALL_LEGS))
        self._signing.wait(burst.numbers, 0)
        burst.release(self._clock.now_ns(), set(), is_sidelogged=False)
        intent = planned.event.intent if is_event else None
        claim = self._store.commit(
            CohortCommit(leader=self._leader, intent=intent, legs=planned.rows, cursor=cursor)
        )
        self.at_point(points.CLAIM_ASKED)
        result = await claim
        self.at_point(claimed)
        return not result.duplicates

    patch.setattr(FanOut, "run", run)


def send_again_on_timeout(patch: pytest.MonkeyPatch) -> None:
    """Take an order without an answer for one that never left: send it again as it was."""

    def doubt(self: Mirror, leg: Leg) -> None:
        follower = self._followers[leg.member.follower]
        leg.current.state = LegState.SIGNED
        job = follower.gateway.sign_job(leg.current.request)
        (signed,) = sign_many([job])
        assert isinstance(signed, bytes)
        follower.gateway.transmit(
            signed,
            deadline_ns=TimeNs(self._clock.now_ns() + ANSWER_TIMEOUT_NS),
            on_outcome=partial(self.on_outcome, leg),
        )

    patch.setattr(Mirror, "_doubt", doubt)


def plan_again_on_timeout(patch: pytest.MonkeyPatch) -> None:
    """Take an order without an answer for one that never left: try again by another name."""
    take_outcome = Mirror._take_outcome

    def believe(self: Mirror, leg: Leg, outcome: RequestOutcome, at_ns: TimeNs) -> None:
        is_unknown = isinstance(outcome, Unknown)
        take_outcome(self, leg, NotSent("no answer") if is_unknown else outcome, at_ns)

    patch.setattr(Mirror, "_take_outcome", believe)


def no_backfill(patch: pytest.MonkeyPatch) -> None:
    """Never read what the leader did while nobody listened."""

    async def read_nothing(self: Pipeline, symbol: str, reason: str) -> bool:
        del self, symbol, reason
        return True

    patch.setattr(Pipeline, "_backfill", read_nothing)


def reservation_per_intent(patch: pytest.MonkeyPatch) -> None:
    """Begin each planning pass with the whole book, whoever has counted on it before."""
    reservation = VenueHub.reservation

    def begin_again(self: VenueHub, symbol: str, view: Any) -> DepthReservation | None:  # noqa: ANN401
        self._reservations.pop(symbol, None)
        return reservation(self, symbol, view)

    def let_go(self: VenueHub, symbol: str, token: int, report: object) -> None:
        del self, symbol, token, report  # whoever holds no depth has none to give back

    patch.setattr(VenueHub, "reservation", begin_again)
    patch.setattr(VenueHub, "release", let_go)


def target_rounded_per_event(patch: pytest.MonkeyPatch) -> None:
    """Keep targets in whole lots: what an event leaves below a lot is dropped."""
    begin = Cohort.begin

    def round_after(self: Cohort, *arguments: Any, **named: Any) -> Planned:  # noqa: ANN401
        planned = begin(self, *arguments, **named)
        index, lot = planned.event.symbol_index, arguments[1].instrument.rules.qty_step
        for member in self.members:
            lane = self.table.lane(member.row, index)
            self.table.restore_lane(member.row, index, _in_lots(lane, lot * TARGET_PER_QTY))
        return planned

    patch.setattr(Cohort, "begin", round_after)


def _in_lots(lane: LaneState, lot: int) -> LaneState:
    def rounded(targets: tuple[int, int]) -> tuple[int, int]:
        long, short = targets
        return _whole(long, lot), _whole(short, lot)

    return LaneState(
        mirrored_target=lane.mirrored_target,
        exact_target=rounded(lane.exact_target),
        wanted_target=rounded(lane.wanted_target),
        peak_target=lane.peak_target,
        frozen_leader_margin=lane.frozen_leader_margin,
        position_qty=lane.position_qty,
        in_flight_qty=lane.in_flight_qty,
        unknown_qty=lane.unknown_qty,
        foreign_qty=lane.foreign_qty,
        leverage=lane.leverage,
        gates=lane.gates,
    )


def _whole(target: int, lot: int) -> int:
    """Return a signed target without what is less than a lot."""
    size = abs(target) // lot * lot
    return size if target > 0 else -size
