"""One follower's share of an intent, from its plan to its one recorded end.

A leg may need several attempts (a reduction that the book could not take at once) but ends
exactly once. It gathers what the activity log will say: what was wanted, against which
reference, what was sent when, what was filled, and why the rest was not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from slipstream._core import format_fixed, format_target
from slipstream.domain.outcome import LegEnd
from slipstream.engine.leg import LegEvent, LegState, next_state
from slipstream.units import NS_PER_MS, Px, TimeNs

if TYPE_CHECKING:
    from slipstream._core import (
        OrderPlan,
        PositionSide,
        ReferenceKind,
        Side,
        Skip,
        SkipReason,
    )
    from slipstream.domain.ids import IntentId
    from slipstream.domain.order import OrderRequest
    from slipstream.engine.cohort import Event, Member

STAGES = ("planned", "claimed", "signed", "sent", "acked", "filled")


@dataclass(frozen=True, slots=True)
class KeptPlan:
    """What the ledger keeps of an order's plan: enough to settle and to tell it after a restart.

    ``None`` where an earlier version did not keep it.
    """

    side: Side
    position_side: PositionSide
    is_opening: bool
    wanted_qty: int
    reference_kind: ReferenceKind | None
    reference_px: int | None
    bound_ppm: int | None
    book_sequence: int | None
    clip_reason: SkipReason | None = None
    expected_px: int | None = None
    depth_token: int | None = None


class Attempt:
    """One order of a leg: its plan, its request and when what happened to it (monotonic ns)."""

    __slots__ = (
        "acked_ns",
        "claimed_ns",
        "filled_ns",
        "number",
        "plan",
        "planned_ns",
        "rank",
        "reference_sequence",
        "request",
        "sent_ns",
        "signed_ns",
        "state",
    )

    def __init__(
        self,
        number: int,
        plan: OrderPlan | KeptPlan,
        request: OrderRequest,
        reference_sequence: int | None,
        planned_ns: TimeNs | None,
    ) -> None:
        """Begin with nothing sent. ``reference_sequence``: of the book its bound refers to."""
        self.number = number
        self.plan = plan
        self.request = request
        self.rank = 0
        self.state = LegState.PLANNED
        self.reference_sequence = reference_sequence
        self.planned_ns = planned_ns
        self.claimed_ns: TimeNs | None = None
        self.signed_ns: TimeNs | None = None
        self.sent_ns: TimeNs | None = None
        self.acked_ns: TimeNs | None = None
        self.filled_ns: TimeNs | None = None

    def on(self, event: LegEvent) -> None:
        """Move on in the table of states.

        Raises:
            InvariantError: the table has no such step.
        """
        self.state = next_state(self.state, event)


class Leg:
    """One leg. Mutated only by its pipeline, on the event loop."""

    __slots__ = (
        "attempt",
        "attempts",
        "average_px",
        "end",
        "event",
        "exit_since_ns",
        "filled_qty",
        "index",
        "is_counted",
        "is_opening",
        "is_recovered",
        "is_told",
        "limit",
        "member",
        "missed_qty",
        "notional",
        "observed",
        "reason",
        "retry_count",
        "row",
        "symbol_index",
        "wanted_qty",
    )

    def __init__(self, member: Member, row: int, index: int, symbol_index: int) -> None:
        """Begin without an order."""
        self.member = member
        self.row = row
        self.index = index
        self.symbol_index = symbol_index
        self.event: Event | None = None
        self.attempt = 0
        self.attempts: list[Attempt] = []
        self.is_opening = False
        self.is_recovered = False
        """Begun by an earlier process, known from the ledger."""
        self.is_counted = False
        """Its order's fill is in the lane already; only its end is not known yet."""
        self.is_told = False
        self.wanted_qty = 0
        self.filled_qty = 0
        self.notional = 0
        self.missed_qty = 0
        self.average_px: Px | None = None
        self.reason: SkipReason | str | None = None
        self.observed: int | None = None
        self.limit: int | None = None
        self.end: LegEnd | None = None
        self.exit_since_ns: TimeNs | None = None
        self.retry_count = 0

    @property
    def current(self) -> Attempt:
        """The newest order."""
        return self.attempts[-1]

    @property
    def reason_code(self) -> str | None:
        """The recorded reason as text."""
        if self.reason is None or isinstance(self.reason, str):
            return self.reason
        return self.reason.code

    def on_order(
        self,
        plan: OrderPlan | KeptPlan,
        request: OrderRequest,
        reference_sequence: int | None,
        planned_ns: TimeNs | None,
    ) -> None:
        """Another order was planned for this leg."""
        if not self.attempts:
            self.wanted_qty = plan.wanted_qty
        self.is_opening = not request.is_reduction
        self.reason = plan.clip_reason
        self.observed = self.limit = None
        self.attempts.append(Attempt(self.attempt, plan, request, reference_sequence, planned_ns))

    def on_skip(self, skip: Skip) -> None:
        """No order now, and why."""
        is_other_kind = skip.is_opening != self.is_opening
        if not self.attempts and (is_other_kind or not self.wanted_qty):
            self.wanted_qty = abs(skip.wanted_qty)
        self.is_opening = skip.is_opening
        self.reason = skip.reason
        self.observed = skip.observed
        self.limit = skip.limit

    def on_filled(self, qty: int, average_px: int | None) -> None:
        """Add what an order filled (positive quantity, volume-weighted price)."""
        if qty and average_px is not None:
            self.notional += qty * average_px
            self.filled_qty += qty
            self.average_px = Px(self.notional // self.filled_qty)

    def finish(self) -> LegEnd:
        """Return how the leg ended, by what it filled and why it stopped."""
        if self.end is None:
            if self.filled_qty and self.filled_qty >= self.wanted_qty:
                self.end = LegEnd.FILLED
            elif self.attempts:
                self.end = LegEnd.PARTIAL
            else:
                self.end = LegEnd.SKIPPED
        self.missed_qty = max(0, self.wanted_qty - self.filled_qty)
        return self.end

    def payload(
        self,
        *,
        exact_target: int,
        wanted_target: int,
        position_qty: int,
        newest: IntentId | None,
        received_ns: TimeNs,
    ) -> dict[str, object]:
        """Return the leg as the activity log keeps it: money as decimal text.

        ``newest`` names the newest leader event that the lane's numbers include.
        """
        plan = self.attempts[-1].plan if self.attempts else None
        body: dict[str, object] = {
            "symbol": None if self.event is None else self.event.symbol,
            "leg": self.index,
            "end": self.finish().value,
            "mode": self.member.mode,
            "is_opening": self.is_opening,
            "wanted_qty": format_fixed(abs(self.wanted_qty)),
            "filled_qty": format_fixed(self.filled_qty),
            "missed_qty": format_fixed(self.missed_qty),
            "average_px": None if self.average_px is None else format_fixed(self.average_px),
            "exact_target": format_target(exact_target),
            "target": format_target(wanted_target),
            "position": format_fixed(position_qty),
            "newest": newest,
            "observed": self.observed,
            "limit": self.limit,
        }
        if self.is_recovered:
            body["recovered"] = True
        if plan is not None:
            body["side"] = plan.side.name
            body["rank"] = self.attempts[0].rank
            body["stages"] = (
                {} if self.is_recovered else self._stages(self.attempts[0], received_ns)
            )
            body["orders"] = [_order_payload(attempt) for attempt in self.attempts]
        return body

    def _stages(self, attempt: Attempt, received_ns: TimeNs) -> dict[str, int]:
        instants = (
            attempt.planned_ns,
            attempt.claimed_ns,
            attempt.signed_ns,
            attempt.sent_ns,
            attempt.acked_ns,
            attempt.filled_ns,
        )
        return {
            stage: at - received_ns
            for stage, at in zip(STAGES, instants, strict=True)
            if at is not None
        }


def _order_payload(attempt: Attempt) -> dict[str, object]:
    plan, request = attempt.plan, attempt.request
    return {
        "client_order_id": request.client_order_id,
        "attempt": attempt.number,
        # In hedge mode the orders of one leg may be on both sides.
        "side": plan.side.name,
        "qty": request.qty_text,
        "limit_px": request.limit_px_text,
        "is_reduction": request.is_reduction,
        "reference": None if plan.reference_kind is None else plan.reference_kind.name,
        "reference_px": None if plan.reference_px is None else format_fixed(plan.reference_px),
        "reference_sequence": attempt.reference_sequence,
        "bound_ppm": plan.bound_ppm,
        "book_sequence": plan.book_sequence,
        "expected_px": None if plan.expected_px is None else format_fixed(plan.expected_px),
        "has_depth": plan.expected_px is not None,
        "state": attempt.state.value,
        "answer_ms": _answer_ms(attempt),
    }


def _answer_ms(attempt: Attempt) -> int | None:
    """Return whole milliseconds from an order's way onto its socket to its answer, rounded up."""
    if attempt.sent_ns is None or attempt.acked_ns is None:
        return None
    return -(-(attempt.acked_ns - attempt.sent_ns) // NS_PER_MS)
