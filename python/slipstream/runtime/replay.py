"""Runs a recorded leader through the real pipeline, offline: what a follower would have done.

Recorded fills are put in order, followed by the leader tracker, planned by ``plan_cohort`` on a
book whose best level on the taken side is the leader's own price with depth for everything, and
settled into the follower's table as filled. Nothing is sent. The clock is the recorded time.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from slipstream._core import (
    Book,
    CohortIntent,
    CohortPlan,
    DepthReservation,
    FollowerLimits,
    FollowerTable,
    LaneState,
    PositionSide,
    Side,
    SizingRule,
    format_fixed,
    format_target,
    plan_cohort,
)
from slipstream.domain.fill import AccountSnapshot, Fill, PositionState
from slipstream.domain.ids import LeaderId
from slipstream.domain.intent import IntentKind, MirrorIntent
from slipstream.engine.chain import Chained
from slipstream.engine.effects import EmitIntent
from slipstream.engine.leader import LeaderTracker
from slipstream.errors import InvariantError
from slipstream.units import (
    NS_PER_MS,
    SCALE,
    TARGET_PER_QTY,
    Qty,
    Quote,
    TimeNs,
    VenueMs,
)
from slipstream.venues.hyperliquid.recorded import (
    RECORDED_ACCOUNT,
    VENUE,
    RecordedInstrument,
    at_clock,
)

AMPLE: Final = 40_000_000_000 * SCALE
"""Depth of a level, and equity and margin where a mode does not ask for any: 4 * 10**18 raw."""

PX_MAX: Final = 2**63 - 1

BOUND_PPM: Final = 100_000
"""Every bound of the follower: the book fills at the leader's price, so none is ever near."""


@dataclass(frozen=True, slots=True)
class ReplaySizing:
    """The follower's rule, its equity, and the leader's margin (quote amounts; ``None`` where
    the mode needs none)."""

    rule: SizingRule
    equity: Quote
    leader_margin: Quote | None


@dataclass(frozen=True, slots=True)
class TraceLine:
    """What one intent came to. Quantities at 10**-8, targets at 10**-18; ``order_qty`` positive,
    both legs of a flip together; ``reason`` is ``None`` when everything wanted was traded."""

    trade_ids: tuple[str, ...]
    coin: str
    kind: IntentKind
    leader_before: int
    leader_after: int
    target: int
    order_qty: int
    position_after: int
    reason: str | None

    def to_json(self) -> dict[str, object]:
        """Return the line as the trace file holds it: quantities as decimal text."""
        return {
            "tids": [int(trade_id) for trade_id in self.trade_ids],
            "coin": self.coin,
            "kind": self.kind.value,
            "leader_before": format_fixed(self.leader_before),
            "leader_after": format_fixed(self.leader_after),
            "target": format_target(self.target),
            "order_qty": format_fixed(self.order_qty),
            "position_after": format_fixed(self.position_after),
            "reason": self.reason,
        }


@dataclass(slots=True)
class ReplayReport:
    """All trace lines and what they sum up to."""

    chained: Chained
    lot_by_coin: Mapping[str, int]
    lines: list[TraceLine] = field(default_factory=list)
    skips: Counter[str] = field(default_factory=Counter)

    @property
    def max_gap_lots(self) -> tuple[int, int]:
        """Return the largest distance from an exact target among traded lines, as a fraction of
        a lot: (numerator, denominator)."""
        worst = (0, 1)
        for line in self.lines:
            if line.reason is None:
                gap = abs(line.target - line.position_after * TARGET_PER_QTY)
                lot = self.lot_by_coin[line.coin] * TARGET_PER_QTY
                if gap * worst[1] > worst[0] * lot:
                    worst = (gap, lot)
        return worst

    @property
    def is_clean(self) -> bool:
        """Whether no fill was missing and every traded line came within a lot of its target."""
        gap, lot = self.max_gap_lots
        return not self.chained.breaks and gap < lot

    def to_json(self) -> dict[str, object]:
        """Return the summary object of the contract."""
        kinds = Counter(line.kind.value for line in self.lines)
        final = {line.coin: line for line in self.lines}
        gap, lot = self.max_gap_lots
        return {
            "fills": len(self.chained.fills),
            "intents": len(self.lines),
            "kinds": {kind.value: kinds[kind.value] for kind in IntentKind},
            "chain_breaks": len(self.chained.breaks),
            "final": {
                coin: {
                    "leader": format_fixed(final[coin].leader_after),
                    "follower": format_fixed(final[coin].position_after),
                    "target": format_target(final[coin].target),
                }
                for coin in sorted(final)
            },
            "skips": dict(sorted(self.skips.items())),
            "max_gap_lots": format_target(gap * 10**18 // lot),
        }


class Replay:
    """One follower behind one recorded leader."""

    def __init__(self, table: Mapping[str, RecordedInstrument], sizing: ReplaySizing) -> None:
        """Take the instruments and the follower's rule.

        Raises:
            CoreError: a rule that does not fit.
        """
        self._instruments = table
        self._index = {coin: index for index, coin in enumerate(table)}
        self._sizing = sizing
        self._books: dict[str, Book] = {}
        self._depth: dict[str, DepthReservation] = {}
        self._sequence = 0
        self._followers = FollowerTable()
        limits = FollowerLimits(
            entry_ppm=BOUND_PPM,
            exit_ppm=BOUND_PPM,
            emergency_ppm=BOUND_PPM,
            deviation_ppm=BOUND_PPM,
        )
        self._row = self._followers.add(sizing=sizing.rule, limits=limits)
        for coin, recorded in table.items():
            leverage = recorded.leverage_max
            self._followers.set_leverage(self._row, self._index[coin], leverage)

    def run(self, chained: Chained) -> ReplayReport:
        """Replay fills in their order, one intent each.

        Raises:
            InvariantError: the tracker did not make one intent of a fill: a bug.
        """
        lots = {coin: row.instrument.rules.qty_step for coin, row in self._instruments.items()}
        report = ReplayReport(chained, lots)
        if not chained.fills:
            return report
        tracker = _tracker_at_start(chained.fills)
        for fill in chained.fills:
            now_ns = TimeNs(fill.venue_ts_ms * NS_PER_MS)
            effects = tracker.on_fills([at_clock(fill, now_ns)], now_ns=now_ns)
            if len(effects) != 1 or not isinstance(effects[0], EmitIntent):
                raise InvariantError(f"one intent of fill {fill.id.trade_id}: found {effects}")
            report.lines.append(self._mirror(effects[0].intent, report.skips))
        return report

    def _mirror(self, intent: MirrorIntent, skips: Counter[str]) -> TraceLine:
        """Plan and settle one intent."""
        now_ns = intent.created_ns
        self._account(now_ns)
        reservation = self._refresh_book(intent)
        cohort = self._cohort_intent(intent)
        view = self._books[intent.symbol].view()
        order_qty, reasons = 0, list[str]()
        plan = plan_cohort(cohort, self._followers, view, reservation, now_ns=now_ns)
        order_qty += self._settle(intent, plan, reservation)
        reasons += _reasons(plan)
        if plan.pending_open_rows:
            rows = list(plan.pending_open_rows)
            plan = plan_cohort(
                cohort, self._followers, view, reservation, now_ns=now_ns, rows=rows, leg=1
            )
            order_qty += self._settle(intent, plan, reservation)
            reasons += _reasons(plan)
        skips.update(reasons)
        lane = self._lane(intent.symbol)
        return TraceLine(
            trade_ids=tuple(fill.id.trade_id for fill in intent.fills),
            coin=intent.symbol,
            kind=intent.kind,
            leader_before=intent.before,
            leader_after=intent.after,
            target=lane.exact_target[0],
            order_qty=order_qty,
            position_after=lane.position_qty[0],
            reason=reasons[0] if reasons else None,
        )

    def _lane(self, coin: str) -> LaneState:
        return self._followers.lane(self._row, self._index[coin])

    def _account(self, now_ns: TimeNs) -> None:
        """Keep the follower's account fresh: what it owns does not change in a replay."""
        self._followers.set_account(
            self._row, equity=self._sizing.equity, free_margin=AMPLE, ts_ns=now_ns
        )

    def _refresh_book(self, intent: MirrorIntent) -> DepthReservation:
        """Make the book of this instant: the leader's price on the side that will be taken."""
        self._sequence += 1
        beside_px = intent.px + 1 if intent.side is Side.SELL else intent.px - 1
        taken = [(format_fixed(intent.px), format_fixed(AMPLE))]
        is_level = 0 < beside_px <= PX_MAX
        beside = [(format_fixed(beside_px), format_fixed(AMPLE))] if is_level else []
        bids, asks = (beside, taken) if intent.side is Side.BUY else (taken, beside)
        book = self._books.setdefault(intent.symbol, Book())
        book.load(
            bids,
            asks,
            sequence=self._sequence,
            ts_ns=intent.created_ns,
            venue_ts_ms=intent.venue_ts_ms,
        )
        view = book.view()
        if view is None:
            raise InvariantError(f"the book of {intent.symbol} has no view after a load")
        reservation = self._depth.get(intent.symbol)
        if reservation is None:
            reservation = self._depth[intent.symbol] = DepthReservation(view)
        else:
            reservation.refresh(view)
        return reservation

    def _cohort_intent(self, intent: MirrorIntent) -> CohortIntent:
        margin = self._sizing.leader_margin
        return CohortIntent(
            symbol_index=self._index[intent.symbol],
            rules=self._instruments[intent.symbol].instrument.rules,
            leader_before=intent.before * TARGET_PER_QTY,
            leader_after=intent.after * TARGET_PER_QTY,
            leader_px=intent.px,
            created_ns=intent.created_ns,
            leader_margin=margin,
            arrival_px=intent.px,
            mark_px=intent.px,
        )

    def _settle(self, intent: MirrorIntent, plan: CohortPlan, reservation: DepthReservation) -> int:
        """Fill a plan's orders whole; return the quantity traded."""
        traded = 0
        for order in plan.orders:
            if order.depth_token is not None:
                reservation.settle(
                    order.depth_token, filled_qty=order.qty, venue_ts_ms=intent.venue_ts_ms - 1
                )
            self._followers.settle(
                order.row,
                self._index[intent.symbol],
                order.position_side,
                filled_qty=order.qty if order.side is Side.BUY else -order.qty,
                is_opening=order.is_opening,
            )
            traded += order.qty
        return traded


def _reasons(plan: CohortPlan) -> list[str]:
    """Return why not everything was traded: skips, then what clipped an order."""
    reasons = [skip.reason.code for skip in plan.skips]
    reasons += [order.clip_reason.code for order in plan.orders if order.clip_reason is not None]
    return reasons


def _tracker_at_start(fills: Sequence[Fill]) -> LeaderTracker:
    """Return a tracker that knows what the leader held before the first fill of each coin."""
    tracker = LeaderTracker(LeaderId("recorded"), VENUE, RECORDED_ACCOUNT, needs_margin=False)
    first: dict[str, Fill] = {}
    for fill in fills:
        first.setdefault(fill.symbol, fill)
    snapshot = AccountSnapshot(
        account=RECORDED_ACCOUNT,
        wallet=Quote(0),
        equity=Quote(0),
        available=Quote(0),
        initial_margin=Quote(0),
        positions=tuple(
            PositionState(coin, PositionSide.NET, fill.position_before or Qty(0))
            for coin, fill in first.items()
        ),
        is_hedge=False,
        venue_ts_ms=VenueMs(fills[0].venue_ts_ms - 1),
        received_ns=TimeNs(0),
    )
    tracker.on_snapshot(snapshot, now_ns=TimeNs(0))
    return tracker
