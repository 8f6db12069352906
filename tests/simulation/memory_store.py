"""The ledger in memory: the same commits as a database makes, after a virtual delay.

What a call wrote is there when its future is done and not before, in the order of the calls, so
that a run that ends in between leaves what a killed process would have left.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from simulation.memory_side import SideDisk
from simulation.virtual_loop import EPOCH_US, START_NS
from slipstream.domain.cohort import ActivityRow, CohortCommit, LegResult, LegRow, LegStatus
from slipstream.domain.ids import FollowerId, IntentId, LeaderId
from slipstream.domain.intent import MirrorIntent
from slipstream.errors import StoreError
from slipstream.store.base import (
    CHAIN_START,
    ActivityEntry,
    ActivityFilter,
    ChainReport,
    CommitResult,
    ControlRow,
    LaneRow,
    LeaderHistory,
    LedgerIntent,
    LedgerLeg,
    LegKey,
    Line,
    OpenLeg,
    RecordResult,
    StoreStats,
    Untold,
    is_refused,
)
from slipstream.store.journal import payload_text
from slipstream.units import VenueMs

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulation.virtual_loop import VirtualLoop

_T = TypeVar("_T")
_NO_RESULT: Final[dict[str, Any]] = dict.fromkeys(
    ("leg_end", "filled_qty", "average_px", "venue_order_id")
)


@dataclass(slots=True)
class _Leg:
    leader: LeaderId
    row: LegRow
    result: LegResult | None = None


@dataclass(slots=True)
class Ledger:
    """What is durable: survives the store object, as a file survives a process."""

    fills: dict[str, IntentId] = field(default_factory=dict)
    intents: dict[IntentId, MirrorIntent] = field(default_factory=dict)
    legs: dict[LegKey, _Leg] = field(default_factory=dict)
    lanes: dict[tuple[LeaderId, str, str], LaneRow] = field(default_factory=dict)
    cursors: dict[tuple[LeaderId, str], str] = field(default_factory=dict)
    controls: list[ControlRow] = field(default_factory=list)
    log: list[ActivityEntry] = field(default_factory=list)
    worked_on: dict[IntentId, int] = field(default_factory=dict)
    """When each intent's rows were last written (ms since the epoch); in the order of the first
    time, as the ledger's own sequence."""

    side: SideDisk = field(default_factory=SideDisk)
    """The side log beside it."""

    def touch(self, name: IntentId, wall_ms: int) -> None:
        """An intent is worked on now."""
        self.worked_on[name] = wall_ms


def _ledger_leg(leg: _Leg, *, is_told: bool) -> LedgerLeg:
    row, result = leg.row, leg.result
    columns = row._asdict()
    del columns["lane"]
    if result is None:
        return LedgerLeg(**columns, **_NO_RESULT, is_told=is_told)
    is_open = result.end == "unknown"
    columns |= {
        "status": LegStatus.CLAIMED if is_open else LegStatus.ENDED,
        "reason": result.reason,
    }
    return LedgerLeg(
        **columns,
        leg_end=result.end,
        filled_qty=result.filled_qty,
        average_px=result.average_px,
        venue_order_id=result.venue_order_id,
        is_told=is_told,
    )


class MemoryStore:
    """``Store`` on a ``Ledger``. ``delay_ns`` is how long a transaction takes."""

    def __init__(
        self, loop: "VirtualLoop", ledger: Ledger | None = None, *, delay_ns: int = 1_000_000
    ) -> None:
        """Open; ``refusal`` set to a text makes every commit fail with it."""
        self._loop = loop
        self._delay_ns = delay_ns
        self.ledger = ledger or Ledger()
        self._refusal: str | None = None
        self._held: list[ActivityRow] = []
        self._due_ns = 0
        self.commits: list[tuple[int, set[str]]] = []
        """(instant asked, followers) of every cohort."""
        self.is_closed = self.is_dead = False

    @property
    def refusal(self) -> str | None:
        """With what every call fails; lines wait in memory until there is none."""
        return self._refusal

    @refusal.setter
    def refusal(self, refusal: str | None) -> None:
        self._refusal = refusal
        if refusal is None:
            held, self._held = self._held, []
            self.log(held)

    def _submit(
        self, work: "Callable[[], _T]", *, line: Line | None = None, is_commit: bool = False
    ) -> asyncio.Future[_T]:
        future: asyncio.Future[_T] = self._loop.create_future()
        if self.is_closed:
            future.set_exception(StoreError("the store is closed"))
            return future
        # One after another, in the order of the calls, however fast the database is by then.
        now_ns = self._loop.now_ns
        self._due_ns = max(self._due_ns, now_ns + self._delay_ns)
        self._loop.call_after_ns(
            self._due_ns - now_ns, self._carry_out, work, future, line, is_commit
        )
        return future

    def _carry_out(
        self,
        work: "Callable[[], _T]",
        future: asyncio.Future[_T],
        line: Line | None = None,
        is_commit: bool = False,  # noqa: FBT001, FBT002 - called by the loop
    ) -> None:
        if self.is_closed:
            return
        refusal = None if self.refusal is None else StoreError(self.refusal, is_unavailable=True)
        if line is not None and line.is_over:
            refusal = line.refusal()
        outcome = None if refusal is not None else work()
        if line is not None and is_commit and (refusal is not None or is_refused(outcome)):
            line.is_over = True
        if future.done():
            return
        if refusal is not None:
            future.set_exception(refusal)
            # As a driver's future that nobody awaits: told by whoever does.
            future.exception()
        else:
            future.set_result(outcome)  # type: ignore[arg-type]

    def commit(
        self, commit: CohortCommit, *, line: Line | None = None
    ) -> asyncio.Future[CommitResult]:
        """Write a cohort, or nothing of it when one of its fills has an intent."""
        self.commits.append((self._loop.now_ns, {row.follower_id for row in commit.legs}))
        return self._submit(lambda: self._commit(commit), line=line, is_commit=True)

    def _commit(self, commit: CohortCommit) -> CommitResult:
        ledger, intent = self.ledger, commit.intent
        if intent is not None:
            keys = [fill.id.key for fill in intent.fills]
            seen = tuple(key for key in keys if key in ledger.fills)
            if seen:
                return CommitResult(duplicates=seen)
            ledger.fills.update(dict.fromkeys(keys, intent.id))
            ledger.intents[intent.id] = intent
            ledger.touch(intent.id, self._wall_ms())
        if commit.cursor is not None:
            symbol, cursor = commit.cursor
            ledger.cursors[commit.leader, symbol] = cursor
        already: list[LegKey] = []
        conflicts: list[LegKey] = []
        for row in commit.legs:
            key = LegKey(row.intent_id, row.follower_id, row.leg, row.attempt)
            known = ledger.legs.get(key)
            is_decided = known is None or (
                known.row.status == LegStatus.WAITING and row.status != LegStatus.WAITING
            )
            if not is_decided and known is not None:
                is_same = known.row.claim_hash == row.claim_hash and (
                    row.claim_hash is not None
                    or (known.row.status, known.row.reason) == (row.status, row.reason)
                )
                (already if is_same else conflicts).append(key)
                continue
            ledger.legs[key] = _Leg(commit.leader, row)
            ledger.touch(row.intent_id, self._wall_ms())
            self._move_lane(commit.leader, row, row.symbol)
        return CommitResult(already=tuple(already), conflicts=tuple(conflicts))

    def _wall_ms(self) -> int:
        return (EPOCH_US + (self._loop.now_ns - START_NS) // 1_000) // 1_000

    def _move_lane(self, leader: LeaderId, row: LegRow | LegResult, symbol: str) -> None:
        self.ledger.lanes[leader, symbol, row.follower_id] = LaneRow(
            row.follower_id, symbol, row.intent_id, row.lane
        )

    def record(
        self, results: Sequence[LegResult], *, line: Line | None = None
    ) -> asyncio.Future[RecordResult]:
        """Write how legs ended; an end other than ``unknown`` is written once."""
        kept = list(results)
        return self._submit(lambda: self._record(kept), line=line)

    def _record(self, results: Sequence[LegResult]) -> RecordResult:
        repeated: list[LegKey] = []
        missing: list[LegKey] = []
        for result in results:
            key = LegKey(*result[:4])
            leg = self.ledger.legs.get(key)
            if leg is None:
                missing.append(key)
                continue
            if leg.result is not None and leg.result.end != "unknown":
                repeated.append(key)
            else:
                leg.result = result
            self.ledger.touch(result.intent_id, self._wall_ms())
            self._move_lane(leg.leader, result, leg.row.symbol)
        return RecordResult(repeated=tuple(repeated), missing=tuple(missing))

    def log(self, rows: Sequence[ActivityRow]) -> None:
        """Append to the activity log."""
        if self._refusal is not None:
            self._held += rows
            return
        for row in rows:
            self.ledger.log.append(
                ActivityEntry(
                    len(self.ledger.log) + 1,
                    row.ts_ms,
                    row.kind,
                    row.leader,
                    row.follower,
                    row.intent_id,
                    row.reason,
                    payload_text(row.payload),
                )
            )

    async def flush(self) -> None:
        """Everything logged is there, unless it is refused.

        Raises:
            StoreError: lines wait in memory.
        """
        if self._held:
            raise StoreError(str(self._refusal), is_unavailable=True)

    async def open_legs(self, leader: LeaderId) -> list[OpenLeg]:
        """Return claims without a known outcome."""
        return await self._submit(lambda: self._open_legs(leader))

    def _open_legs(self, leader: LeaderId) -> list[OpenLeg]:
        found: list[OpenLeg] = []
        for key, leg in self.ledger.legs.items():
            row, end = leg.row, None if leg.result is None else leg.result.end
            if leg.leader != leader or row.claim_hash is None or end not in (None, "unknown"):
                continue
            if row.client_order_id is None or row.side is None:
                raise StoreError(f"a claim without an order: {key}")
            intent = self.ledger.intents.get(row.intent_id)
            found.append(
                OpenLeg(
                    *key,
                    row.symbol,
                    row.position_side,
                    row.client_order_id,
                    row.side,
                    row.qty or 0,
                    row.limit_px or 0,
                    row.is_reduction or 0,
                    end,
                    None if intent is None else intent.venue_ts_ms,
                )
            )
        return found

    async def unsettled(self, leader: LeaderId) -> Untold:
        """Return the legs that have a claim without a known outcome."""
        return await self._submit(lambda: self._legs_of(leader, is_open=True))

    async def untold(self, leader: LeaderId) -> Untold:
        """Return what is in the ledger and not in the log."""
        return await self._submit(lambda: self._legs_of(leader, is_open=False))

    def _legs_of(self, leader: LeaderId, *, is_open: bool) -> Untold:
        ledger = self.ledger
        told: set[tuple[object, ...]] = set()
        for entry in ledger.log:
            if entry.kind == "leg":
                leg = json.loads(entry.payload)["leg"]
                told.add((entry.intent_id, entry.follower, leg))
            elif entry.kind == "intent":
                told.add((entry.intent_id,))
        rows = [
            _ledger_leg(each, is_told=key[:3] in told)
            for key, each in ledger.legs.items()
            if each.leader == leader
        ]
        open_keys = {row[:3] for row in rows if row.status == LegStatus.CLAIMED}
        if is_open:
            rows = [row for row in rows if row[:3] in open_keys]
        else:
            rows = [row for row in rows if not row.is_told and row[:3] not in open_keys]
        names = dict.fromkeys(row.intent_id for row in rows)
        if not is_open:
            missing = [
                each.id
                for each in ledger.intents.values()
                if each.leader == leader and (each.id,) not in told
            ]
            names = dict.fromkeys(missing) | names
        places = {name: place for place, name in enumerate(ledger.worked_on)}
        intents = [
            self._ledger_intent(leader, name, is_told=(name,) in told)
            for name in sorted(names, key=places.__getitem__)
        ]
        rows.sort(key=lambda row: (places[row.intent_id], *row[1:4]))
        return Untold(intents, rows, self._order_ids(rows) if is_open else [])

    def _order_ids(self, rows: Sequence[LedgerLeg]) -> list[tuple[FollowerId, str]]:
        followers = {row.follower_id for row in rows}
        return [
            (key.follower_id, each.result.venue_order_id)
            for key, each in self.ledger.legs.items()
            if key.follower_id in followers
            and each.result is not None
            and each.result.venue_order_id
        ]

    def _ledger_intent(self, leader: LeaderId, name: IntentId, *, is_told: bool) -> LedgerIntent:
        intent, recorded_ms = self.ledger.intents.get(name), self.ledger.worked_on[name]
        sequence = list(self.ledger.worked_on).index(name) + 1
        if intent is None:
            return LedgerIntent(name, leader, *(None,) * 13, recorded_ms, sequence)
        margin = intent.margin
        keys = () if is_told else tuple(sorted(fill.id.key for fill in intent.fills))
        return LedgerIntent(
            name,
            leader,
            intent.venue,
            intent.account,
            intent.symbol,
            intent.position_side.value,
            intent.kind.value,
            1 if intent.after > intent.before else -1,
            intent.before,
            intent.after,
            intent.qty,
            intent.px,
            None if margin is None else margin.equity,
            None if margin is None else margin.initial_margin,
            intent.venue_ts_ms,
            recorded_ms,
            sequence,
            is_told=is_told,
            fill_keys=keys,
        )

    async def lanes(self, leader: LeaderId) -> list[LaneRow]:
        """Return the newest state of every lane."""
        return await self._submit(
            lambda: [lane for key, lane in self.ledger.lanes.items() if key[0] == leader]
        )

    async def intent_seen(self, fill_keys: Sequence[str]) -> Mapping[str, IntentId]:
        """Return the intents that fills already belong to."""
        fills = self.ledger.fills
        return await self._submit(lambda: {key: fills[key] for key in fill_keys if key in fills})

    async def cursor(self, leader: LeaderId, symbol: str) -> str | None:
        """Return how far a leader's history was read."""
        return await self._submit(lambda: self.ledger.cursors.get((leader, symbol)))

    async def history(self, leader: LeaderId, *, fill_count_max: int) -> LeaderHistory:
        """Return where a leader's tracker is to go on."""
        return await self._submit(lambda: self._history(leader, fill_count_max))

    def _history(self, leader: LeaderId, fill_count_max: int) -> LeaderHistory:
        ledger = self.ledger
        # In the order they were committed: fills found late were acted on after newer ones.
        mine = [intent for intent in ledger.intents.values() if intent.leader == leader]
        positions = {
            (intent.symbol, intent.position_side.value): int(intent.after) for intent in mine
        }
        names = {intent.id for intent in mine}
        fills = [key for key, intent_id in ledger.fills.items() if intent_id in names]
        return LeaderHistory(
            [(symbol, side, qty) for (symbol, side), qty in positions.items()],
            fills[-fill_count_max:],
            {
                symbol: cursor
                for (whose, symbol), cursor in ledger.cursors.items()
                if whose == leader
            },
            tuple({intent.symbol: intent.id for intent in mine}.items()),
        )

    async def controls(self) -> list[ControlRow]:
        """Return the operator's orders."""
        return list(self.ledger.controls)

    async def save_control(self, row: ControlRow) -> None:
        """Keep one order of the operator's."""
        await self._submit(lambda: self.ledger.controls.append(row))

    async def activity(self, wanted: ActivityFilter) -> AsyncIterator[ActivityEntry]:
        """Iterate over the log; only the filters the simulations use.

        Raises:
            NotImplementedError: any filter but ``kind``, ``reason`` and ``limit``.
        """
        kind, reason, limit = wanted.kind, wanted.reason, wanted.limit
        if wanted != ActivityFilter(kind=kind, reason=reason, limit=limit):
            raise NotImplementedError("kind, reason and limit only")
        found = [
            entry
            for entry in self.ledger.log
            if kind in (None, entry.kind) and reason in (None, entry.reason)
        ]
        for entry in found if limit is None else found[len(found) - min(limit, len(found)) :]:
            yield entry

    async def verify_chain(self) -> ChainReport:
        """There is no chain in memory."""
        return ChainReport(len(self.ledger.log), None, CHAIN_START)

    async def prune(self, older_than_ms: VenueMs) -> int:
        """Nothing is forgotten."""
        del older_than_ms
        return 0

    def stats(self) -> StoreStats:
        """Return the counters."""
        return StoreStats(len(self.commits), 0, 0, 0, 0)

    async def close(self) -> None:
        """Take nothing more."""
        self.is_closed = True

    def lines(self) -> list[dict[str, Any]]:
        """Return the activity log as the evidence file holds it."""
        return [
            {**entry._asdict(), "payload": json.loads(entry.payload)} for entry in self.ledger.log
        ]
