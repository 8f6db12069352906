"""Joins a leader's fills with its confirmed margin (DESIGN, "Two-event join").

Fills that enlarge a position wait here, in ``pending fills`` by lane, until the venue confirmed
the wallet for their venue time, or a reading of the account answered. Reductions never wait. A
reduction that overtakes waiting increases shrinks what is left of them by the same fraction, so
that followers end where they would have ended in the right order; increases of which nothing is
left are listed in the reduction's intent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from slipstream.domain.fill import AccountSnapshot, Fill, PositionState
from slipstream.domain.intent import LeaderMargin
from slipstream.engine.account import LeaderAccount
from slipstream.engine.effects import Effect, EmitIntent, ReadMargin, ReportIncident
from slipstream.engine.intents import IntentBuilder, closing_part, opening_part
from slipstream.engine.overtaken import Left
from slipstream.engine.position import LaneKey, TrackedPosition
from slipstream.units import NS_PER_MS, TimeNs

MARGIN_DEADLINE_NS: Final = 250 * NS_PER_MS
RETRY_MIN_NS: Final = 500 * NS_PER_MS
RETRY_MAX_NS: Final = 8_000 * NS_PER_MS
CONFIRMED_COUNT_MAX: Final = 4096


def retry_ns(attempt: int) -> int:
    """Return the pause before the next attempt: doubling, bounded."""
    return min(RETRY_MIN_NS << min(attempt, 16), RETRY_MAX_NS)


@dataclass(slots=True)
class _Waiting:
    """A fill and what of it is still to be mirrored (signed)."""

    fill: Fill
    remaining: int


@dataclass(slots=True)
class _Parked:
    """The waiting increases of one lane, oldest first."""

    lane: TrackedPosition
    deadline_ns: TimeNs
    fills: list[_Waiting] = field(default_factory=list)
    is_read_asked: bool = False
    attempt: int = 0

    @property
    def remaining(self) -> int:
        return sum(waiting.remaining for waiting in self.fills)

    @property
    def newest_ms(self) -> int:
        return max(waiting.fill.id.venue_ts_ms for waiting in self.fills)

    def shrink(self, before: int, after: int) -> list[Fill]:
        """Lower what is left as the position fell, rounded down; return the fills used up."""
        for waiting in self.fills:
            left = abs(waiting.remaining) * abs(after) // abs(before)
            waiting.remaining = left if waiting.remaining > 0 else -left
        gone = [waiting.fill for waiting in self.fills if not waiting.remaining]
        self.fills = [waiting for waiting in self.fills if waiting.remaining]
        return gone


class MarginJoin:
    """Turns changes of tracked positions into intents, now or when margin is confirmed."""

    def __init__(
        self,
        account: LeaderAccount,
        builder: IntentBuilder,
        *,
        needs_margin: bool,
        needs_initial_margin: bool,
    ) -> None:
        """Wait for margin when any mirror sizes increases by it."""
        self._account = account
        self._builder = builder
        self._needs_margin = needs_margin or needs_initial_margin
        self._needs_initial_margin = needs_initial_margin
        self._parked: dict[LaneKey, _Parked] = {}
        self._confirmed: dict[int, None] = {}

    def is_parked(self, symbol: str) -> bool:
        """Whether fills of a symbol wait for margin."""
        return any(key.symbol == symbol for key in self._parked)

    def grow(
        self, lane: TrackedPosition, before: int, fills: Sequence[Fill], *, now_ns: TimeNs
    ) -> list[Effect]:
        """Take fills that enlarged ``lane`` from ``before`` to what it is."""
        if not self._needs_margin:
            return [self._emit(lane, before, lane.qty, fills, now_ns=now_ns)]
        return self._park(lane, [Left(fill, fill.signed_qty) for fill in fills], now_ns=now_ns)

    def resume(
        self, lane: TrackedPosition, left: Sequence[Left], *, now_ns: TimeNs
    ) -> list[Effect]:
        """Take what is left of fills that are in ``lane`` and were never mirrored."""
        if not self._needs_margin:
            before = lane.qty - sum(each.qty for each in left)
            fills = [each.fill for each in left]
            return [self._emit(lane, before, lane.qty, fills, now_ns=now_ns)]
        return self._park(lane, left, now_ns=now_ns)

    def _park(self, lane: TrackedPosition, left: Sequence[Left], *, now_ns: TimeNs) -> list[Effect]:
        parked = self._parked.get(lane.key)
        if parked is None:
            parked = _Parked(lane, TimeNs(now_ns + MARGIN_DEADLINE_NS))
            self._parked[lane.key] = parked
        parked.fills += [_Waiting(each.fill, each.qty) for each in left]
        return self._release(parked, now_ns=now_ns)

    def reduce(
        self, lane: TrackedPosition, before: int, fills: Sequence[Fill], *, now_ns: TimeNs
    ) -> list[Effect]:
        """Take fills that lowered ``lane`` from ``before`` to what it is; never waits."""
        absorbed = self._shrink(lane, before, lane.qty)
        intent = self._builder.build(
            lane.key, before, lane.qty, fills, absorbed=absorbed, now_ns=now_ns
        )
        return [EmitIntent(intent)]

    def flip(
        self, lane: TrackedPosition, before: int, fill: Fill, *, now_ns: TimeNs
    ) -> list[Effect]:
        """Take one fill that took ``lane`` through zero.

        With margin at hand (or none needed) it is one intent. Otherwise its closing part leaves
        at once and its opening part waits like any increase.
        """
        after = lane.qty
        absorbed = self._shrink(lane, before, after=0)
        margin = self._margin_of(fill)
        if margin is None and self._needs_margin:
            intent = self._builder.build(
                lane.key, before, 0, [closing_part(fill, before)], absorbed=absorbed, now_ns=now_ns
            )
            opening = opening_part(fill, abs(before))
            return [EmitIntent(intent), *self.grow(lane, 0, [opening], now_ns=now_ns)]
        intent = self._builder.build(
            lane.key, before, after, [fill], absorbed=absorbed, margin=margin, now_ns=now_ns
        )
        return [EmitIntent(intent)]

    def on_confirmed(self, ts_ms: int, *, now_ns: TimeNs) -> list[Effect]:
        """Take the venue's word that the wallet includes everything matched at ``ts_ms``."""
        self._confirmed.pop(ts_ms, None)
        self._confirmed[ts_ms] = None
        if len(self._confirmed) > CONFIRMED_COUNT_MAX:
            del self._confirmed[next(iter(self._confirmed))]
        effects: list[Effect] = []
        for parked in list(self._parked.values()):
            effects += self._release(parked, now_ns=now_ns)
        return effects

    def on_margin_read(self, snapshot: AccountSnapshot, *, now_ns: TimeNs) -> list[Effect]:
        """Take an answer to ``ReadMargin``: it frees every lane whose fills it includes; an answer
        from before them frees nothing."""
        states = {LaneKey(state.symbol, state.position_side): state for state in snapshot.positions}
        effects: list[Effect] = []
        for key, parked in list(self._parked.items()):
            state = states.get(key)
            if not _includes(snapshot, state, parked):
                continue
            initial = None if state is None else state.initial_margin
            if self._needs_initial_margin and initial is None:
                continue
            margin = LeaderMargin(snapshot.equity, initial)
            effects.append(self._emit_parked(parked, len(parked.fills), margin, now_ns=now_ns))
        return effects

    def on_deadline(self, *, now_ns: TimeNs) -> list[Effect]:
        """Ask for the account where confirmation did not come; report where asking did not help."""
        effects: list[Effect] = []
        for key, parked in self._parked.items():
            if parked.deadline_ns > now_ns:
                continue
            if parked.is_read_asked:
                parked.attempt += 1
                detail = (
                    f"{len(parked.fills)} fills of {key.symbol} still wait for the leader's "
                    f"margin after {parked.attempt} reads; none is dropped"
                )
                effects.append(ReportIncident("margin_unconfirmed", detail))
            parked.is_read_asked = True
            parked.deadline_ns = TimeNs(now_ns + retry_ns(parked.attempt))
            effects.append(ReadMargin(key.symbol, "margin was not confirmed in time"))
        return effects

    def next_deadline(self) -> TimeNs | None:
        """Return when ``on_deadline`` is next needed."""
        return min((parked.deadline_ns for parked in self._parked.values()), default=None)

    def _margin_of(self, fill: Fill) -> LeaderMargin | None:
        """Return the margin confirmed for a fill, ``None`` while there is none."""
        if not self._needs_margin or self._needs_initial_margin:
            return None
        if fill.id.venue_ts_ms not in self._confirmed or not self._account.is_whole():
            return None
        equity = self._account.equity()
        if equity is None:
            return None
        return LeaderMargin(equity)

    def _release(self, parked: _Parked, *, now_ns: TimeNs) -> list[Effect]:
        """Emit what is confirmed, or ask (once) for what no push will bring."""
        if self._needs_initial_margin:
            return self._ask(parked, "initial margin is needed", now_ns=now_ns)
        count = 0
        for waiting in parked.fills:
            if waiting.fill.id.venue_ts_ms not in self._confirmed:
                break
            count += 1
        if not count or not self._account.is_whole():
            return []  # told in a moment, or read at the deadline
        equity = self._account.equity()
        if equity is None:
            return self._ask(parked, "a mark or an entry price is unknown", now_ns=now_ns)
        return [self._emit_parked(parked, count, LeaderMargin(equity), now_ns=now_ns)]

    def _ask(self, parked: _Parked, reason: str, *, now_ns: TimeNs) -> list[Effect]:
        if parked.is_read_asked:
            return []
        parked.is_read_asked = True
        parked.deadline_ns = TimeNs(now_ns + MARGIN_DEADLINE_NS)
        return [ReadMargin(parked.lane.key.symbol, reason)]

    def _emit_parked(
        self, parked: _Parked, count: int, margin: LeaderMargin, *, now_ns: TimeNs
    ) -> EmitIntent:
        """Emit the oldest ``count`` waiting fills as one change below those that still wait."""
        lane = parked.lane
        before = lane.qty - parked.remaining
        ready, parked.fills = parked.fills[:count], parked.fills[count:]
        if not parked.fills:
            del self._parked[lane.key]
        after = before + sum(waiting.remaining for waiting in ready)
        fills = [waiting.fill for waiting in ready]
        return self._emit(lane, before, after, fills, margin=margin, now_ns=now_ns)

    def _emit(
        self,
        lane: TrackedPosition,
        before: int,
        after: int,
        fills: Sequence[Fill],
        *,
        margin: LeaderMargin | None = None,
        now_ns: TimeNs,
    ) -> EmitIntent:
        return EmitIntent(
            self._builder.build(lane.key, before, after, fills, margin=margin, now_ns=now_ns)
        )

    def _shrink(self, lane: TrackedPosition, before: int, after: int) -> list[Fill]:
        parked = self._parked.get(lane.key)
        if parked is None:
            return []
        gone = parked.shrink(before, after)
        if not parked.fills:
            del self._parked[lane.key]
        return gone


def _includes(snapshot: AccountSnapshot, state: PositionState | None, parked: _Parked) -> bool:
    """Whether a reading was made after a lane's fills: by its time, or by the position in it."""
    if snapshot.venue_ts_ms >= parked.newest_ms:
        return True
    return (0 if state is None else state.qty) == parked.lane.qty
