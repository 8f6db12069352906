"""Follows one leader account: fills in, mirror intents out. No I/O, no clock, no logging.

Every position is a chain that starts at a reading of the account and moves by fills. What the
venue states about a position beside its fills (``ACCOUNT_UPDATE``, a reading) is compared with
the chain; where it does not fit, the fills in between are asked for, then the position, and no
intent is built on that position until it fits again. A change that no fill explains is mirrored
when it is a reduction (two readings agree, and the fills were searched in between for as long as
the history may lag) and adopted with an incident when it is not.

Within one socket read, account updates are best handed over before the fills: increases then
need not wait at all. Any other order ends in the same positions.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from slipstream.domain.fill import (
    AccountSnapshot,
    AccountUpdate,
    Fill,
    LeverageUpdate,
    PositionDoubt,
)
from slipstream.domain.ids import FillId, LeaderId, VenueId
from slipstream.engine.account import LeaderAccount
from slipstream.engine.classify import Motion, motion
from slipstream.engine.cursors import Cursors
from slipstream.engine.effects import (
    Backfill,
    Effect,
    ReadPositions,
    ReportIncident,
)
from slipstream.engine.intents import (
    IntentBuilder,
    closed_part_of,
    opened_part_of,
    opening_part,
)
from slipstream.engine.join import MarginJoin, retry_ns
from slipstream.engine.overtaken import venue_order
from slipstream.engine.position import LaneKey, Repair, TrackedPosition
from slipstream.engine.seen import SeenFills
from slipstream.engine.unseen import StatedChanges
from slipstream.units import NS_PER_MS, Px, Qty, TimeNs

CONFIRM_DEADLINE_NS: Final = 250 * NS_PER_MS


class LeaderTracker:
    """One leader's positions and the intents that their changes are."""

    def __init__(
        self,
        leader: LeaderId,
        venue: VenueId,
        account: str,
        *,
        needs_margin: bool,
        needs_initial_margin: bool = False,
    ) -> None:
        """Follow ``account``.

        ``needs_margin``: some mirror sizes increases by the leader's equity. ``needs_initial_
        margin``: some mirror needs the initial margin of the position, which only a read tells.
        """
        self._venue = venue
        self._name = account
        self.account = LeaderAccount()
        self._builder = IntentBuilder(leader, venue, account)
        self._join = MarginJoin(
            self.account,
            self._builder,
            needs_margin=needs_margin,
            needs_initial_margin=needs_initial_margin,
        )
        self._seen = SeenFills()
        self._half_done: dict[FillId, int] = {}
        self._early: list[Fill] = []
        self._changes = StatedChanges()
        self._cursors = Cursors(self.is_settled)
        self._is_started = False
        self._read_deadline_ns: TimeNs | None = None
        self._read_attempt = 0

    def restore(self, positions: Mapping[LaneKey, int], fill_ids: Iterable[FillId]) -> None:
        """Continue from an earlier process: positions after the last intents, identities acted on.

        To be called before the first snapshot, which is then compared instead of believed.
        """
        self.account.is_restored = True
        for key, qty in positions.items():
            lane = self.account.lane(key)
            lane.qty, lane.is_known = qty, True
        for fill_id in fill_ids:
            self._seen.add(fill_id)
            for lane in self.account.lanes(fill_id.symbol):
                lane.restored_at = max(lane.restored_at or (0, 0, False), venue_order(fill_id))
                lane.recorded_ms = max(lane.recorded_ms, fill_id.venue_ts_ms)
            closed, opened = closed_part_of(fill_id), opened_part_of(fill_id)
            if closed is not None and closed[0] not in self._seen:
                self._half_done[closed[0]] = closed[1]
            if opened is not None:
                self._half_done.pop(opened, None)
                self._seen.add(opened)

    def knows(self, fill_id: FillId) -> bool:
        """Whether a fill was taken already, or is too old to tell."""
        return fill_id in self._seen

    def is_settled(self, symbol: str) -> bool:
        """Whether nothing of a symbol waits: no fill for margin, no position for repair."""
        return not self._join.is_parked(symbol) and all(
            lane.repair is None for lane in self.account.lanes(symbol)
        )

    def on_snapshot(
        self, snapshot: AccountSnapshot, *, now_ns: TimeNs, is_audit: bool = False
    ) -> list[Effect]:
        """Take a reading of the whole account: the first one starts, later ones are compared.

        ``is_audit``: fills are searched for every change, heard of or not.
        """
        if snapshot.account != self._name:
            return [self._foreign(snapshot.account, "a snapshot")]
        self._read_deadline_ns, self._read_attempt = None, 0
        if not self._is_started and not self.account.is_restored:
            self.account.floor_ms = snapshot.venue_ts_ms
        self.account.take_settings(snapshot)
        stated = {
            LaneKey(state.symbol, state.position_side): state.qty for state in snapshot.positions
        }
        effects: list[Effect] = []
        if not self._is_started and not self.account.is_restored:
            for key, qty in stated.items():
                self.account.lane(key).adopt(qty, ts_ms=snapshot.venue_ts_ms)
        else:
            for lane in self.account.lanes():
                qty = stated.get(lane.key, Qty(0))
                effects += self._compare(lane, qty, snapshot.venue_ts_ms, now_ns=now_ns)
        if not self._is_started:
            self._is_started, self.account.is_restored = True, False
            early, self._early = self._early, []
            effects += self._take(early, now_ns=now_ns, is_live=False)
        effects += self._changes.on_reading(
            self.account, snapshot.positions, now_ns=now_ns, is_audit=is_audit
        )
        return self._cursors.put_on(effects)

    def on_fills(self, fills: Sequence[Fill], *, now_ns: TimeNs) -> list[Effect]:
        """Take the fills of one socket read."""
        effects: list[Effect] = []
        fresh = self._fresh(fills, effects, is_live=True)
        if self._is_started:
            effects += self._take(fresh, now_ns=now_ns, is_live=True)
        else:
            self._early += fresh
        return self._cursors.put_on(effects)

    def on_account_update(self, update: AccountUpdate, *, now_ns: TimeNs) -> list[Effect]:
        """Take a pushed wallet and positions: confirms margin, checks the chain."""
        if update.account != self._name:
            return [self._foreign(update.account, "an account update")]
        ts_ms = update.venue_ts_ms
        effects: list[Effect] = []
        for state in update.positions:
            lane = self.account.lane(LaneKey(state.symbol, state.position_side))
            if ts_ms <= lane.floor_ms:
                continue
            lane.state(state.qty, state.entry_px, ts_ms=ts_ms)
            repair = lane.repair
            if repair is None:
                lane.expect(ts_ms, state.qty, deadline_ns=TimeNs(now_ns + CONFIRM_DEADLINE_NS))
            elif ts_ms >= repair.ts_ms:
                repair.state(state.qty, ts_ms=ts_ms, now_ns=now_ns)
                effects += self._heal(lane, now_ns=now_ns)
        if update.wallet is not None:
            self.account.set_wallet(update.wallet, ts_ms=ts_ms)
            effects += self._join.on_confirmed(ts_ms, now_ns=now_ns)
        return self._cursors.put_on(effects)

    def on_leverage(self, update: LeverageUpdate, *, now_ns: TimeNs) -> list[Effect]:  # noqa: ARG002
        """Take a change of the leader's leverage."""
        if update.account != self._name:
            return [self._foreign(update.account, "a leverage update")]
        self.account.set_leverage(update.symbol, update.leverage)
        return []

    def on_doubt(self, doubt: PositionDoubt, *, now_ns: TimeNs) -> list[Effect]:
        """Take a hint that a position changed without a fill: it is read, not guessed."""
        if doubt.account != self._name:
            return [self._foreign(doubt.account, "a position doubt")]
        return self._read_positions(f"{doubt.symbol}: {doubt.reason}", now_ns=now_ns)

    def on_mark(
        self,
        symbol: str,
        px: Px | None,
        *,
        now_ns: TimeNs,  # noqa: ARG002
    ) -> list[Effect]:
        """Take a mark price, ``None`` when there is none to rely on: margin is read then."""
        self.account.set_mark(symbol, px)
        return []

    def unpriced(self) -> list[str]:
        """Return the symbols with a doubted position and no price that its change could have."""
        return sorted(
            {
                lane.key.symbol
                for lane in self.account.lanes()
                if lane.repair is not None and self.account.px_of(lane) is None
            }
        )

    def on_price(self, symbol: str, px: Px) -> None:
        """Take what a symbol trades at, for positions no fill or mark ever gave a price."""
        for lane in self.account.lanes(symbol):
            if lane.last_px is None:
                lane.last_px = px

    def on_backfill(
        self, symbol: str, fills: Sequence[Fill], cursor: str | None, *, now_ns: TimeNs
    ) -> list[Effect]:
        """Take the executions of a symbol read over REST, asked for or not.

        ``cursor`` becomes durable with the intent that leaves nothing at or before it waiting.
        """
        if cursor is not None:
            self._cursors.hold(symbol, cursor)
        for lane in self.account.lanes(symbol):
            told = (fill for fill in fills if fill.position_side == lane.key.position_side)
            lane.retold.update(
                {fill.id: fill for fill in told if lane.is_overtaken(fill) and self.knows(fill.id)}
            )
        self._changes.on_search(symbol, now_ns=now_ns)
        effects: list[Effect] = []
        fresh = self._fresh(fills, effects, is_live=False)
        if not self._is_started:
            self._early += fresh
            return effects
        effects += self._take(fresh, now_ns=now_ns, is_live=False)
        for lane in self.account.lanes(symbol):
            repair = lane.repair
            if repair is None or repair.is_backfilled:
                continue
            repair.searched_ns = now_ns
            if not lane.is_known and not lane.begin(repair):
                continue  # searched again at the deadline
            repair.is_backfilled = True
            effects += self._heal(lane, now_ns=now_ns)
            if lane.repair is not None:
                repair.deadline_ns = TimeNs(now_ns + retry_ns(repair.attempt))
                effects += self._read_positions(
                    f"{symbol}: its fills do not explain the position", now_ns=now_ns
                )
        return self._cursors.put_on(effects)

    def on_margin_read(self, snapshot: AccountSnapshot, *, now_ns: TimeNs) -> list[Effect]:
        """Take the answer to ``ReadMargin``."""
        if snapshot.account != self._name:
            return [self._foreign(snapshot.account, "a margin reading")]
        self.account.take_settings(snapshot)
        return self._cursors.put_on(self._join.on_margin_read(snapshot, now_ns=now_ns))

    def on_deadline(self, *, now_ns: TimeNs) -> list[Effect]:
        """Act on what did not come in time."""
        effects = self._join.on_deadline(now_ns=now_ns)
        for lane in self.account.lanes():
            waiting, repair = lane.statement, lane.repair
            if waiting is not None and waiting.deadline_ns <= now_ns:
                effects += self._doubt(lane, waiting.qty, waiting.ts_ms, "pushed", now_ns=now_ns)
            elif repair is not None and repair.deadline_ns <= now_ns:
                effects += self._ask_again(lane, repair, now_ns=now_ns)
        if self._read_deadline_ns is not None and self._read_deadline_ns <= now_ns:
            self._read_deadline_ns = None
            self._read_attempt += 1
            effects.append(
                ReportIncident(
                    "positions_unread", f"no reading of positions, attempt {self._read_attempt}"
                )
            )
            effects += self._read_positions("the last reading never came", now_ns=now_ns)
        return self._cursors.put_on(effects)

    def next_deadline(self) -> TimeNs | None:
        """Return when ``on_deadline`` is next needed, ``None`` while nothing is awaited."""
        deadlines = [self._join.next_deadline(), self._read_deadline_ns]
        for lane in self.account.lanes():
            if lane.statement is not None:
                deadlines.append(lane.statement.deadline_ns)
            if lane.repair is not None:
                deadlines.append(lane.repair.deadline_ns)
        return min((at for at in deadlines if at is not None), default=None)

    # --- fills ---------------------------------------------------------------------------

    def _fresh(self, fills: Sequence[Fill], effects: list[Effect], *, is_live: bool) -> list[Fill]:
        """Return the fills of this account that were never taken, in venue order.

        A read overlaps with what is known; only on the live stream is an old fill worth a word.
        """
        fresh: list[Fill] = []
        for fill in sorted(fills, key=lambda fill: venue_order(fill.id)):
            if fill.id.account != self._name or fill.id.venue != self._venue:
                effects.append(self._foreign(fill.id.account, f"fill {fill.id.trade_id}"))
            elif fill.qty <= 0 or fill.px <= 0:
                detail = f"fill {fill.id.trade_id} of {fill.symbol}: qty {fill.qty}, px {fill.px}"
                effects.append(ReportIncident("fill_refused", detail))
            elif is_live and self._seen.is_forgotten(fill.id):
                detail = f"fill {fill.id.trade_id} of {fill.symbol} is older than what is kept"
                effects.append(ReportIncident("fill_too_old", detail))
            elif self._seen.add(fill.id):
                closed_qty = self._half_done.pop(fill.id, None)
                fresh.append(fill if closed_qty is None else opening_part(fill, closed_qty))
        return fresh

    def _take(self, fills: Sequence[Fill], *, now_ns: TimeNs, is_live: bool) -> list[Effect]:
        """Give each lane its fills, lanes in the order of their first one.

        What a reading included already moves nothing: at the start it came before the mirror.
        """
        effects: list[Effect] = []
        groups: dict[LaneKey, list[Fill]] = {}
        for fill in fills:
            key = LaneKey(fill.symbol, fill.position_side)
            if fill.id.venue_ts_ms > self.account.lane(key).floor_ms:
                groups.setdefault(key, []).append(fill)
            elif is_live:
                detail = f"fill {fill.id.trade_id} of {fill.symbol} was in the last reading already"
                effects.append(ReportIncident("fill_already_covered", detail))
        for key, group in groups.items():
            lane = self.account.lane(key)
            if lane.repair is not None or not lane.is_known:
                lane.held += group
                effects += self._heal(lane, now_ns=now_ns)
                continue
            ahead = [fill for fill in group if lane.is_overtaken(fill)]
            if ahead:
                left = lane.take_overtaken(ahead, lane.qty)
                effects += self._join.resume(lane, left, now_ns=now_ns)
            later = [fill for fill in group if fill not in ahead]
            effects += self._advance(lane, later, now_ns=now_ns)
        return effects

    def _advance(
        self, lane: TrackedPosition, fills: Sequence[Fill], *, now_ns: TimeNs
    ) -> list[Effect]:
        """Move the chain by fills; runs of one direction become one intent."""
        effects: list[Effect] = []
        run: list[Fill] = []
        run_before, run_motion = lane.qty, Motion.GROWTH
        for index, fill in enumerate(fills):
            before = lane.qty
            if fill.position_before not in (None, before):
                effects += self._flush(lane, run, run_before, run_motion, now_ns=now_ns)
                return effects + self._hold(lane, fills[index:], now_ns=now_ns)
            step = motion(before, before + fill.signed_qty)
            if step is not run_motion or step is Motion.FLIP:
                effects += self._flush(lane, run, run_before, run_motion, now_ns=now_ns)
                run, run_before, run_motion = [], before, step
            lane.advance(fill)
            run.append(fill)
        effects += self._flush(lane, run, run_before, run_motion, now_ns=now_ns)
        lane.recheck()
        return effects

    def _flush(
        self,
        lane: TrackedPosition,
        run: Sequence[Fill],
        before: int,
        step: Motion,
        *,
        now_ns: TimeNs,
    ) -> list[Effect]:
        if not run:
            return []
        match step:
            case Motion.GROWTH:
                return self._join.grow(lane, before, run, now_ns=now_ns)
            case Motion.REDUCTION:
                return self._join.reduce(lane, before, run, now_ns=now_ns)
            case Motion.FLIP:
                return self._join.flip(lane, before, run[0], now_ns=now_ns)

    def _hold(
        self, lane: TrackedPosition, fills: Sequence[Fill], *, now_ns: TimeNs
    ) -> list[Effect]:
        """Hold fills whose own word for the position before them does not fit the chain."""
        first = fills[0]
        stated = (first.position_before or 0) + sum(fill.signed_qty for fill in fills)
        lane.held += fills
        return self._doubt(lane, stated, fills[-1].id.venue_ts_ms, "a fill's own", now_ns=now_ns)

    # --- repair --------------------------------------------------------------------------

    def _compare(
        self, lane: TrackedPosition, qty: int, ts_ms: int, *, now_ns: TimeNs
    ) -> list[Effect]:
        """Compare a reading of one position with its chain."""
        repair = lane.repair
        if repair is None:
            if qty in (lane.qty, lane.qty_at(ts_ms)) and (lane.is_known or qty == 0):
                lane.is_known = True
                lane.expect(ts_ms, qty, deadline_ns=TimeNs(now_ns + CONFIRM_DEADLINE_NS))
                if qty == lane.qty and lane.statement is not None:
                    lane.statement = lane.statement if lane.statement.ts_ms > ts_ms else None
                return []
            return self._doubt(lane, qty, ts_ms, "read", now_ns=now_ns)
        is_agreed = repair.is_backfilled and repair.qty == qty
        repair.state(qty, ts_ms=ts_ms, now_ns=now_ns)
        effects = self._heal(lane, now_ns=now_ns)
        if lane.repair is None:
            return effects
        if is_agreed and repair.is_searched:
            return effects + self._adopt(lane, repair, now_ns=now_ns)
        if is_agreed or repair.is_backfilled:
            repair.is_backfilled = False
            repair.deadline_ns = TimeNs(now_ns + retry_ns(repair.attempt))
            # Where the readings agree, its fills may only be late: searched again at the deadline.
            if not is_agreed:
                effects.append(Backfill(lane.key.symbol, "the position was read anew"))
        return effects

    def _doubt(
        self, lane: TrackedPosition, qty: int, ts_ms: int, source: str, *, now_ns: TimeNs
    ) -> list[Effect]:
        """Stop building on a position that is known to be wrong, and ask for its fills."""
        lane.statement = None
        reason = f"{source} position {qty}, tracked {lane.qty_at(ts_ms)}"
        lane.repair = Repair(ts_ms, qty, reason, TimeNs(now_ns + retry_ns(0)), now_ns, now_ns)
        return [Backfill(lane.key.symbol, reason)]

    def _heal(self, lane: TrackedPosition, *, now_ns: TimeNs) -> list[Effect]:
        """End the repair when the held fills explain what the venue says."""
        repair = lane.repair
        if repair is None or not lane.is_known:
            return []
        if repair.qty not in (lane.qty_with_held(repair.ts_ms), lane.qty_with_held()):
            # Recorded reductions may have passed increases that waited for their margin: the
            # position recorded last counts them, or what is left, although no record names them.
            left = lane.take_passed(repair)
            if left is None:
                return []
            return self._join.resume(lane, left, now_ns=now_ns) + self._go_on(lane, now_ns=now_ns)
        return self._go_on(lane, now_ns=now_ns)

    def _go_on(self, lane: TrackedPosition, *, now_ns: TimeNs) -> list[Effect]:
        lane.restored_at = None
        lane.retold.clear()
        lane.repair = None
        return self._advance(lane, lane.take_held(), now_ns=now_ns)

    def _adopt(self, lane: TrackedPosition, repair: Repair, *, now_ns: TimeNs) -> list[Effect]:
        """Take a position that no fill explains: mirror it as far as it is a reduction."""
        key, before = lane.key, lane.qty
        included = [fill for fill in lane.held if fill.id.venue_ts_ms <= repair.ts_ms]
        target = repair.qty - sum(fill.signed_qty for fill in included)
        reduced = target if before * target > 0 else 0
        is_reduction = abs(reduced) < abs(before)
        px = self.account.px_of(lane)
        effects: list[Effect] = []
        if is_reduction and px is None:
            detail = f"{key.symbol}: fell from {before} to {reduced} and no price is known"
            return [ReportIncident("position_unpriced", detail)]
        if is_reduction and px is not None:
            stand_in = self._builder.read_fill(
                key, before, reduced, px=px, ts_ms=repair.ts_ms, now_ns=now_ns
            )
            lane.advance(stand_in)
            effects += self._join.reduce(lane, before, [stand_in], now_ns=now_ns)
        if target != lane.qty:
            detail = f"{key.symbol}: {lane.qty} became {target} without a fill; not mirrored"
            effects.append(ReportIncident("position_grew_unseen", detail))
        lane.repair = None
        lane.adopt(target, ts_ms=repair.ts_ms)
        return effects + self._advance(lane, lane.take_held(), now_ns=now_ns)

    def _ask_again(self, lane: TrackedPosition, repair: Repair, *, now_ns: TimeNs) -> list[Effect]:
        repair.attempt += 1
        repair.deadline_ns = TimeNs(now_ns + retry_ns(repair.attempt))
        symbol = lane.key.symbol
        detail = f"{symbol}: {repair.reason}; {len(lane.held)} fills held, try {repair.attempt}"
        effects: list[Effect] = [ReportIncident("position_unrepaired", detail)]
        if repair.is_backfilled:
            return effects + self._read_positions(f"{symbol}: still unexplained", now_ns=now_ns)
        return [*effects, Backfill(symbol, repair.reason)]

    def _read_positions(self, reason: str, *, now_ns: TimeNs) -> list[Effect]:
        """Ask for a reading, once until it is answered or late."""
        if self._read_deadline_ns is not None:
            return []
        self._read_deadline_ns = TimeNs(now_ns + retry_ns(self._read_attempt + 1))
        return [ReadPositions(reason)]

    def _foreign(self, account: str, what: str) -> ReportIncident:
        return ReportIncident(
            "foreign_account", f"{what} of account {account!r} on the stream of {self._name!r}"
        )
