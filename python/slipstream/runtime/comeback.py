"""How one leader's pipeline comes up from the ledger, and how it goes down so that it can.

The ledger is the only memory: a pipeline that is built again, in this process or the next, knows
what it knew before from there alone.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from slipstream.config.model import LeaderConfig, MirrorConfig
from slipstream.config.rules import sizing_rule
from slipstream.domain.cohort import LegResult
from slipstream.domain.ids import FollowerId, LeaderId, VenueId, parse_fill_key
from slipstream.domain.instrument import Instrument
from slipstream.engine.leader import LeaderTracker
from slipstream.engine.position import LaneKey
from slipstream.errors import StoreError
from slipstream.runtime import points
from slipstream.runtime.journal import Journal
from slipstream.runtime.mirror import Mirror
from slipstream.runtime.restored import POSITION_SIDES
from slipstream.runtime.results import OnRecorded
from slipstream.store.base import LeaderHistory, Line, RecordResult, Store
from slipstream.transport.clock import Clock
from slipstream.units import NS_PER_S

WATCHED_MAX: Final = 40
"""Most symbols whose history is read at every start although they may never have been traded."""

BEGAN: Final = ""
"""The cursor of no symbol: the venue time at which the mirror of a leader began."""

ORDERS_END_NS: Final = 12 * NS_PER_S
"""An order that is out has an outcome within 10 s."""

LOOK_S: Final = 0.02
NOTHING: Final = "(nothing)"
"""Stands in a list of allowed symbols that would otherwise be empty and mean all."""

Report = Callable[[str, FollowerId | None, str], None]
"""Takes (kind, follower, detail) of an incident."""


def new_tracker(config: LeaderConfig, mirrors: Sequence[MirrorConfig]) -> LeaderTracker:
    """Return a tracker that knows nothing yet."""
    rules = [sizing_rule(each) for each in mirrors]
    return LeaderTracker(
        LeaderId(config.id),
        VenueId(config.venue),
        config.account,
        needs_margin=any(each.needs_leader_margin for each in rules),
        needs_initial_margin=any(each.margin_pct is not None for each in mirrors),
    )


def go_on(tracker: LeaderTracker, history: LeaderHistory, *, oldest_ms: int) -> bool:
    """Let a tracker go on where the ledger ends; return False when the ledger knows no beginning.

    What was filled before the mirror began is never acted on, nor is what is older than
    ``oldest_ms``: the ledger may have forgotten that it was.
    """
    began = history.cursors.get(BEGAN)
    if began is None:
        return False
    tracker.account.floor_ms = max(int(began), oldest_ms)
    tracker.restore(
        {LaneKey(symbol, POSITION_SIDES[side]): qty for symbol, side, qty in history.positions},
        [parse_fill_key(key) for key in history.fill_keys],
    )
    return True


async def retire(mirrors: Sequence[Mirror], journal: Journal, clock: Clock) -> None:
    """Let the orders that are out end before the ledger is read again; what is left is known from
    there."""
    deadline_ns = clock.now_ns() + ORDERS_END_NS
    is_busy = True
    while is_busy and clock.now_ns() < deadline_ns:
        is_busy = any(each.order_count for each in mirrors)
        await asyncio.sleep(LOOK_S if is_busy else 0)
    for mirror in mirrors:
        await mirror.resolver.close()
    await journal.finish()


def watched(
    instruments: Mapping[str, Instrument], config: LeaderConfig, mirrors: Sequence[MirrorConfig]
) -> list[str]:
    """Return the symbols that somebody named: their history is read at every start."""
    names = {each.upper() for each in config.symbols}
    for mirror in mirrors:
        names |= {each.upper() for each in mirror.symbols_allow}
    found = [
        each.symbol
        for each in instruments.values()
        if {each.symbol.upper(), each.base.upper()} & names
    ]
    return found[:WATCHED_MAX]


def allowed(mirror: MirrorConfig, leader: LeaderConfig) -> frozenset[str]:
    """Return the symbols a mirror may open, empty = all: what both lists name."""
    allow = frozenset(each.upper() for each in mirror.symbols_allow)
    listed = frozenset(each.upper() for each in leader.symbols)
    if not listed or not allow:
        return allow or listed
    return allow & listed or frozenset({NOTHING})


class Recorder:
    """Writes how legs ended; what the ledger does not take becomes an incident."""

    def __init__(
        self,
        store: Store,
        report: Report,
        at_point: points.AtPoint = points.pass_by,
        *,
        line: Line,
    ) -> None:
        """Keep the partners."""
        self._line = line
        self._at_point = at_point
        self._store = store
        self._report = report

    def __call__(self, results: Sequence[LegResult], on_recorded: OnRecorded) -> None:
        """Write; say whether the ledger took them when that is known."""
        recorded = self._store.record(results, line=self._line)
        self._at_point(points.RECORD_ASKED)
        recorded.add_done_callback(partial(self._on_recorded, len(results), on_recorded))

    def _on_recorded(
        self, count: int, on_recorded: OnRecorded, done: "asyncio.Future[RecordResult]"
    ) -> None:
        if done.cancelled():
            on_recorded(StoreError("the store was closed"))
            return
        error = done.exception()
        if error is not None:
            detail = f"{count} results: {type(error).__name__}: {error}"
            self._report("RECORD_FAILED", None, detail)
            on_recorded(StoreError(str(error)))
            return
        self._at_point(points.RECORD_DURABLE)
        on_recorded(None)
        result = done.result()
        for kind, keys in (
            ("RECORD_REPEATED", result.repeated),
            ("RECORD_MISSING", result.missing),
        ):
            for key in keys:
                detail = f"intent {key.intent_id} leg {key.leg} attempt {key.attempt}"
                self._report(kind, key.follower_id, detail)
