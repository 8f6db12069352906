"""The port of the store: what the runtime asks of a database, and nothing about which one.

Invariants of every implementation: one transaction per cohort, committed durably before its
future is done; nothing handed out holds a connection, so no database work can span a venue call;
the activity log is only ever appended to.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from slipstream.domain.cohort import ActivityRow, CohortCommit, LegResult
from slipstream.domain.ids import ClientOrderId, FollowerId, IntentId, LeaderId
from slipstream.errors import StoreError
from slipstream.units import VenueMs

CHAIN_START = bytes(32)
"""The hash before the first row of the activity log."""


class LegKey(NamedTuple):
    """What is unique in the order ledger."""

    intent_id: IntentId
    follower_id: FollowerId
    leg: int
    attempt: int


@dataclass(frozen=True, slots=True)
class CommitResult:
    """What one cohort's transaction did. Rows named nowhere below are durable now.

    ``duplicates``: fill keys that already belong to an intent; when there is one, nothing of the
    cohort was written. ``already``: rows that were there with the same claim; they must not be
    sent again. ``conflicts``: rows that were there with another claim; not written, not to be
    sent, and an alarm. ``is_sidelogged``: durable, but in the side log, because the database does
    not take claims: nothing of it may open.
    """

    duplicates: tuple[str, ...] = ()
    already: tuple[LegKey, ...] = ()
    conflicts: tuple[LegKey, ...] = ()
    is_sidelogged: bool = False

    @property
    def is_clean(self) -> bool:
        """Whether every row was written."""
        return not (self.duplicates or self.already or self.conflicts)


@dataclass(frozen=True, slots=True)
class RecordResult:
    """What one ``record`` did. ``repeated``: legs that had ended before; what was written first
    stays. ``missing``: legs that the ledger does not have. Both are for the caller to report."""

    repeated: tuple[LegKey, ...] = ()
    missing: tuple[LegKey, ...] = ()


class Line:
    """One leader's writes from one reading of its lanes on: each is made of the lanes before it.

    A commit that is refused ends its line. What was asked for after it holds lanes that have what
    was refused, so the store takes none of it; who reads the lanes again begins a new line.
    """

    __slots__ = ("is_over",)

    def __init__(self) -> None:
        """Begin."""
        self.is_over = False

    def refusal(self) -> StoreError:
        """Return why nothing more of it is written."""
        return StoreError("an earlier write of the same lanes was refused")


def is_refused(result: object) -> bool:
    """Return whether a commit wrote nothing, because its fills have an intent."""
    return isinstance(result, CommitResult) and bool(result.duplicates)


class OpenLeg(NamedTuple):
    """A claim whose outcome is not known: after a restart the venue must be asked.

    ``leg_end`` is ``"unknown"`` when that was recorded, ``None`` when nothing was.
    """

    intent_id: IntentId
    follower_id: FollowerId
    leg: int
    attempt: int
    symbol: str
    position_side: int
    client_order_id: ClientOrderId
    side: int
    qty: int
    limit_px: int
    is_reduction: int
    leg_end: str | None
    venue_ts_ms: int | None


class LedgerIntent(NamedTuple):
    """A leader's event as the ledger keeps it; without a venue it names only its legs.

    Quantities and the price at 10**-8, ``side`` 1 or -1, ``position_side`` the value of the
    core's enum. ``fill_keys``: identities of its fills, left empty when ``is_told``: when the
    activity log has its line. ``sequence``: intents became durable in its order; ``recorded_ms``:
    when one was last worked on.
    """

    intent_id: IntentId
    leader_id: LeaderId
    venue: str | None
    account: str | None
    symbol: str | None
    position_side: int | None
    kind: str | None
    side: int | None
    before_qty: int | None
    after_qty: int | None
    qty: int | None
    px: int | None
    leader_equity: int | None
    leader_margin: int | None
    venue_ts_ms: int | None
    recorded_ms: int
    sequence: int
    is_told: bool = True
    fill_keys: tuple[str, ...] = ()


class LedgerLeg(NamedTuple):
    """One attempt at a leg as the ledger keeps it, with its result; see ``LegRow``, ``LegResult``.

    ``is_told``: the activity log has the leg's line.
    """

    intent_id: IntentId
    follower_id: FollowerId
    leg: int
    attempt: int
    status: str
    symbol: str
    position_side: int
    wanted_qty: int
    reason: str | None
    observed: int | None
    limit_value: int | None
    client_order_id: ClientOrderId | None
    claim_hash: bytes | None
    side: int | None
    qty: int | None
    limit_px: int | None
    is_reduction: int | None
    reference: int | None
    reference_px: int | None
    reference_sequence: int | None
    bound_ppm: int | None
    book_sequence: int | None
    leg_end: str | None
    filled_qty: int | None
    average_px: int | None
    venue_order_id: str | None
    is_told: bool = False


@dataclass(frozen=True, slots=True)
class Untold:
    """Legs with all their attempts, in the order of their intents, and every intent they belong to
    (and, of ``Store.untold``, intents whose own line is missing).

    ``order_ids``, of ``Store.unsettled``: what the venue called other orders of those followers
    since about the time of the oldest open claim.
    """

    intents: list[LedgerIntent]
    legs: list[LedgerLeg]
    order_ids: list[tuple[FollowerId, str]] = field(default_factory=list)


class LaneRow(NamedTuple):
    """The newest state of one (follower, symbol), as ``LaneState.encode`` wrote it."""

    follower_id: FollowerId
    symbol: str
    intent_id: IntentId
    lane: str


class LeaderHistory(NamedTuple):
    """What an earlier process knew of a leader.

    ``positions``: (symbol, value of ``PositionSide``, signed position after its last intent).
    ``fill_keys``: identities acted on, oldest first. ``cursors``: by symbol. ``newest``: (symbol,
    its newest intent).
    """

    positions: list[tuple[str, int, int]]
    fill_keys: list[str]
    cursors: dict[str, str]
    newest: tuple[tuple[str, IntentId], ...] = ()


class ControlRow(NamedTuple):
    """One order of the operator's. ``None`` = not restricted to one."""

    ts_ms: int
    action: str
    leader: LeaderId | None = None
    follower: FollowerId | None = None
    symbol: str | None = None
    is_all: bool = False


class ActivityEntry(NamedTuple):
    """One row of the activity log as it stands. ``payload`` is JSON text."""

    seq: int
    ts_ms: int
    kind: str
    leader: str | None
    follower: str | None
    intent_id: str | None
    reason: str | None
    payload: str


@dataclass(frozen=True, slots=True)
class ActivityFilter:
    """Which rows of the log to read; all conditions hold together.

    ``since_ms`` is included, ``until_ms`` is not. ``after_seq`` reads on from a row seen before.
    ``limit`` keeps the newest rows, or with ``after_seq`` the next ones; the order is always
    oldest first.
    """

    since_ms: int | None = None
    until_ms: int | None = None
    leader: str | None = None
    follower: str | None = None
    intent_id: str | None = None
    reason: str | None = None
    kind: str | None = None
    after_seq: int | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class ChainReport:
    """Whether the log is what was written. ``broken_seq`` is the first row that does not fit,
    ``None`` when all do. Rows cut off at the end leave no trace in the rest: keep ``last_hash``
    elsewhere to notice that."""

    row_count: int
    broken_seq: int | None
    last_hash: bytes


@dataclass(frozen=True, slots=True)
class StoreStats:
    """Counters since the store was opened. ``slow_wait_count``: waits above 500 ms.
    ``journal_lost_count``: rows dropped because the database refused them for too long.
    ``is_down``: the database takes no claims now. ``side_record_count``: records that wait in the
    side log."""

    commit_count: int
    slow_wait_count: int
    error_count: int
    journal_pending_count: int
    journal_lost_count: int
    is_down: bool = False
    side_record_count: int = 0


class Store(Protocol):
    """The ledger, the activity log and the operator's orders. Every method raises (or its future
    ends with) ``StoreError`` when the database refuses; nothing of that call was written then."""

    def commit(
        self, commit: CohortCommit, *, line: Line | None = None
    ) -> asyncio.Future[CommitResult]:
        """Make a cohort durable in one transaction. Cancelling the future cancels nothing.

        ``line``: refused when an earlier commit of it was, also when that was asked for before
        anybody knew; ended when this one writes nothing.
        """

    def record(
        self, results: Sequence[LegResult], *, line: Line | None = None
    ) -> asyncio.Future[RecordResult]:
        """Write how legs ended. ``unknown`` may be written over later, any other end may not.

        ``line``: as for ``commit``; refused results end none, they may be handed over again.
        """

    def log(self, rows: Sequence[ActivityRow]) -> None:
        """Append to the activity log within 50 ms; the payloads must not change afterwards."""

    async def flush(self) -> None:
        """Return when everything logged so far is durable."""

    async def open_legs(self, leader: LeaderId) -> list[OpenLeg]:
        """Return the claims of a leader's legs that have no known outcome."""

    async def unsettled(self, leader: LeaderId) -> Untold:
        """Return the legs that have a claim without a known outcome, with every attempt at them."""

    async def untold(self, leader: LeaderId) -> Untold:
        """Return what the ledger knows and the activity log does not; a leg with an open claim is
        left out, it is told when that is resolved.

        Exact for what a process may have left untold: what was worked on in the last minute before
        the newest work that the log tells of, everything after the last event that it tells of, and
        legs that waited, however old. So the cost is that of a minute's legs and of those waiting
        ones, not of the ledger.
        Tell what is returned oldest first: whoever is killed in between finds the rest.
        """

    async def lanes(self, leader: LeaderId) -> list[LaneRow]:
        """Return the newest state of every lane a leader ever moved."""

    async def intent_seen(self, fill_keys: Sequence[str]) -> Mapping[str, IntentId]:
        """Return the intents that fills already belong to; unknown keys are left out."""

    async def cursor(self, leader: LeaderId, symbol: str) -> str | None:
        """Return how far a leader's history was read, ``None`` = never."""

    async def history(self, leader: LeaderId, *, fill_count_max: int) -> LeaderHistory:
        """Return where a leader's tracker is to go on, with its newest fill identities."""

    async def controls(self) -> list[ControlRow]:
        """Return the operator's orders, oldest first."""

    async def save_control(self, row: ControlRow) -> None:
        """Make one order of the operator's durable."""

    def activity(self, wanted: ActivityFilter) -> AsyncIterator[ActivityEntry]:
        """Iterate over the log, oldest first, in pages; flushed rows only."""

    async def verify_chain(self) -> ChainReport:
        """Compute the whole log's hash chain again."""

    async def prune(self, older_than_ms: VenueMs) -> int:
        """Forget intents from before then whose legs have all ended, with their legs and fill
        identities; return how many. Lanes, cursors, controls and the log stay."""

    def stats(self) -> StoreStats:
        """Return the counters."""

    async def close(self) -> None:
        """Write what is queued and close the database; safe to repeat."""
