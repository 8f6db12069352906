"""What a mirror tells: results for the ledger and lines for the activity log.

Both are gathered as they happen and written in small groups between turns of the event loop, so
that telling never delays an order. A leg's lane is noted at the instant the leg ends; its line is
written when the results that made the lane so are in the ledger.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from slipstream._core import LaneState, format_fixed, format_target
from slipstream.domain.cohort import ActivityRow, LegResult
from slipstream.domain.fill import Fill
from slipstream.domain.ids import FollowerId, IntentId, LeaderId, parse_fill_key
from slipstream.domain.intent import MirrorIntent
from slipstream.domain.order import OrderReport
from slipstream.domain.outcome import LegEnd
from slipstream.engine.cohort import Cohort, Event
from slipstream.engine.leglife import Leg
from slipstream.runtime import points
from slipstream.runtime.results import Record, Results
from slipstream.store.base import LedgerIntent
from slipstream.telemetry.execution import FanOutTimes
from slipstream.telemetry.stages import StageRecorder
from slipstream.units import NS_PER_MS, TimeNs

DRAIN_AFTER_NS: Final = TimeNs(20 * NS_PER_MS)
SLICE: Final = 24
_POSITION_SIDE_NAMES: Final = ("NET", "LONG", "SHORT")
"""By value, as the ledger keeps them."""


@dataclass(slots=True)
class _Line:
    """Something to be told. ``mark``: the results that must be in the ledger before."""

    mark: int
    told: "_Ended | ActivityRow"


@dataclass(slots=True)
class _Ended:
    leg: Leg
    event: Event
    exact_target: int
    wanted_target: int
    position_qty: int
    newest: IntentId | None


class Journal:
    """One leader's gatherer of results and lines."""

    def __init__(
        self,
        leader: LeaderId,
        *,
        log: Callable[[Sequence[ActivityRow]], None],
        record: Record,
        wall_ms: Callable[[], int],
        later: Callable[[TimeNs, Callable[[], None]], None],
        stages: StageRecorder,
        times: FanOutTimes,
        at_point: points.AtPoint = points.pass_by,
    ) -> None:
        """Write nothing until something happened."""
        self._leader = leader
        self._log = log
        self._wall_ms = wall_ms
        self._later = later
        self._stages = stages
        self._times = times
        self._at_point = at_point
        self._ended: deque[_Line] = deque()
        self._results = Results(record, later, self._arm)
        self._is_held = False
        self._held_ended: list[_Ended | ActivityRow] = []
        self._is_due = False
        self.ends: Counter[str] = Counter()
        self.skips: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()

    def intent(self, intent: MirrorIntent) -> None:
        """Tell of a leader's event that is being mirrored."""
        self.kinds[intent.kind.value] += 1
        self._line("intent", intent, None, intent_payload(intent))

    def recovered_intent(self, intent: LedgerIntent) -> None:
        """Tell of a leader's event whose line died with an earlier process."""
        self._log(
            [
                ActivityRow(
                    ts_ms=self._wall_ms(),
                    kind="intent",
                    leader=self._leader,
                    intent_id=intent.intent_id,
                    payload=recovered_payload(intent),
                )
            ]
        )

    def _line(
        self, kind: str, intent: MirrorIntent, reason: str | None, payload: dict[str, object]
    ) -> None:
        self._log(
            [
                ActivityRow(
                    ts_ms=self._wall_ms(),
                    kind=kind,
                    leader=self._leader,
                    intent_id=intent.id,
                    reason=reason,
                    payload=payload,
                )
            ]
        )

    def incident(
        self,
        reason: str,
        *,
        detail: str,
        follower: FollowerId | None = None,
        fills: Sequence[Fill] = (),
    ) -> None:
        """Tell of something an operator should see, and which fills of the leader it is about."""
        payload: dict[str, object] = {"detail": detail}
        if fills:
            payload["fills"] = fill_names(fills)
        self._log(
            [
                ActivityRow(
                    ts_ms=self._wall_ms(),
                    kind="incident",
                    leader=self._leader,
                    follower=follower,
                    reason=reason,
                    payload=payload,
                )
            ]
        )

    def result(
        self, leg: Leg, event: Event, cohort: Cohort, report: OrderReport | None, end: LegEnd
    ) -> None:
        """Keep for the ledger how a leg's newest order ended, and its lane as it is now."""
        lane = cohort.table.lane(leg.row, leg.symbol_index)
        self._results.add(
            leg,
            cohort,
            LegResult(
                event.intent.id,
                leg.member.follower,
                leg.index,
                leg.current.number,
                end.value,
                leg.reason_code,
                0 if report is None else report.filled_qty,
                None if report is None else report.average_px,
                None if report is None else report.venue_order_id,
                lane.encode(),
            ),
        )
        self._arm()

    def leg(self, leg: Leg, event: Event, cohort: Cohort) -> None:
        """Keep a leg's end for the activity log; its lane is read now."""
        lane = cohort.table.lane(leg.row, leg.symbol_index)
        self.leg_of_lane(leg, event, lane, cohort.newest_intent(leg.symbol_index))

    def leg_of_lane(self, leg: Leg, event: Event, lane: LaneState, newest: IntentId | None) -> None:
        """Keep a leg's end for the activity log, with a lane and its newest event."""
        end = leg.end or leg.finish()
        self.ends[end.value] += 1
        if end is LegEnd.SKIPPED:
            self.skips[leg.reason_code or "UNEXPLAINED"] += 1
        self._tell(
            _Ended(
                leg,
                event,
                sum(lane.exact_target),
                sum(lane.wanted_target),
                sum(lane.position_qty),
                newest,
            )
        )

    def lane(self, reason: str, cohort: Cohort, row: int, symbol: str) -> None:
        """Keep for the log that a lane's targets were set beside the leader's events."""
        index = cohort.symbol_index(symbol)
        lane = cohort.table.lane(row, index)
        self._tell(
            ActivityRow(
                ts_ms=self._wall_ms(),
                kind="lane",
                leader=self._leader,
                follower=cohort.members[row].follower,
                reason=reason,
                payload=lane_payload(symbol, lane, cohort.newest_intent(index)),
            )
        )

    def hold(self) -> None:
        """Keep back what happens from now on: lanes hold an event that the ledger has not taken.

        If it never does, what is kept back is dropped with these lanes: written down, they would
        have the event although it comes again. What became of orders meanwhile is then read from
        the venue, as after a restart.
        """
        self._is_held = True
        self._results.hold()

    def release(self) -> None:
        """The ledger took the event: let go what was kept back."""
        self._is_held = False
        self._results.release()
        held, self._held_ended = self._held_ended, []
        for told in held:
            self._tell(told)
        self._arm()

    def _tell(self, ended: _Ended | ActivityRow) -> None:
        if self._is_held:
            self._held_ended.append(ended)
        else:
            self._ended.append(_Line(self._results.mark, ended))
            self._arm()

    def _arm(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._later(DRAIN_AFTER_NS, self._drain_slice)

    def _drain_slice(self) -> None:
        """Write a few lines and come back for the rest."""
        self._is_due = False
        self._write(SLICE)
        if self._can_write():
            self._is_due = True
            self._later(TimeNs(NS_PER_MS), self._drain_slice)

    def drain(self) -> None:
        """Write everything that may be told by now."""
        self._write(len(self._ended))

    async def finish(self) -> None:
        """Write everything that is left: nothing more comes. What the ledger has not taken is not
        told: whoever reads the ledger next finds it there."""
        await self._results.finish()
        self.drain()

    def give_results(self) -> None:
        """Hand over the results gathered so far.

        What is asked of the ledger is done in order: before a later plan's rows are, so that no
        lane of the past is written over a newer one and no claim is open that a newer row of its
        lane has counted.
        """
        self._results.give()

    def _can_write(self) -> bool:
        return bool(self._ended) and self._results.is_taken(self._ended[0].mark)

    def _write(self, count: int) -> None:
        self.give_results()
        rows: list[ActivityRow] = []
        while len(rows) < count and self._can_write():
            rows.append(self._row(self._ended.popleft().told))
        if rows:
            self._log(rows)
            self._at_point(points.LINES_GIVEN)

    def _row(self, ended: _Ended | ActivityRow) -> ActivityRow:
        if isinstance(ended, ActivityRow):
            return ended
        leg, intent = ended.leg, ended.event.intent
        payload = leg.payload(
            exact_target=ended.exact_target,
            wanted_target=ended.wanted_target,
            position_qty=ended.position_qty,
            newest=ended.newest,
            received_ns=intent.received_ns,
        )
        payload["kind"] = intent.kind.value
        is_first = leg.index == 0 and not leg.is_recovered
        if leg.attempts and is_first and leg.attempts[0].number == 0:
            self._stages.on_leg(leg.attempts[0].rank, intent, leg.attempts[0])
            self._times.on_first_attempt(intent, leg.attempts[0])
        return ActivityRow(
            ts_ms=self._wall_ms(),
            kind="leg",
            leader=self._leader,
            follower=leg.member.follower,
            intent_id=intent.id,
            reason=leg.reason_code,
            payload=payload,
        )


def fill_names(fills: Sequence[Fill]) -> list[list[str]]:
    """Return the identities of fills, part by part."""
    return [[str(part) for part in fill.id] for fill in fills]


def lane_payload(symbol: str, lane: LaneState, newest: IntentId | None) -> dict[str, object]:
    """Return a lane's targets and position as the activity log keeps them."""
    return {
        "symbol": symbol,
        "exact_target": format_target(sum(lane.exact_target)),
        "target": format_target(sum(lane.wanted_target)),
        "position": format_fixed(sum(lane.position_qty)),
        "newest": newest,
    }


def recovered_payload(intent: LedgerIntent) -> dict[str, object]:
    """Return an intent as the activity log keeps it, from the ledger."""
    equity = intent.leader_equity
    return {
        "kind": intent.kind,
        "symbol": intent.symbol,
        "side": "BUY" if (intent.side or 0) > 0 else "SELL",
        "position_side": _POSITION_SIDE_NAMES[intent.position_side or 0],
        "before": format_fixed(intent.before_qty or 0),
        "after": format_fixed(intent.after_qty or 0),
        "qty": format_fixed(intent.qty or 0),
        "px": format_fixed(intent.px or 0),
        "venue_ts_ms": intent.venue_ts_ms,
        "fills": [[str(part) for part in parse_fill_key(key)] for key in intent.fill_keys],
        "leader_margin": None if equity is None else format_fixed(equity),
        "stages": {},
        "recovered": True,
    }


def intent_payload(intent: MirrorIntent) -> dict[str, object]:
    """Return an intent as the activity log keeps it: money as decimal text."""
    margin = intent.margin
    return {
        "kind": intent.kind.value,
        "symbol": intent.symbol,
        "side": intent.side.name,
        "position_side": intent.position_side.name,
        "before": format_fixed(intent.before),
        "after": format_fixed(intent.after),
        "qty": format_fixed(intent.qty),
        "px": format_fixed(intent.px),
        "venue_ts_ms": intent.venue_ts_ms,
        "fills": fill_names(intent.fills),
        "leader_margin": None if margin is None else format_fixed(margin.equity),
        "stages": {
            "decoded": intent.decoded_ns - intent.received_ns,
            "margin": None if intent.margin_ns is None else intent.margin_ns - intent.received_ns,
            "intent": intent.created_ns - intent.received_ns,
        },
    }
