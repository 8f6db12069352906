"""A cohort in motion without a network: real planning, real followers, fakes at the edges.

The store's commits, the signatures, the venue's answers and the time of retries are the test's
to give. Nothing here decides what is right.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import count
from typing import Final, cast

from slipstream._core import (
    SCALE,
    Book,
    BookView,
    FollowerLimits,
    InstrumentRules,
    PositionSide,
    Side,
    Signer,
    SignerError,
    SizingMode,
    SizingRule,
    TypedSchema,
    format_fixed,
)
from slipstream.config.model import FollowerConfig, RunMode
from slipstream.domain.cohort import ActivityRow, CohortCommit, LegResult
from slipstream.domain.fill import AccountSnapshot, Fill
from slipstream.domain.ids import (
    ClientOrderId,
    FillId,
    FollowerId,
    IntentId,
    LeaderId,
    VenueId,
)
from slipstream.domain.instrument import Instrument
from slipstream.domain.intent import IntentKind, MirrorIntent
from slipstream.domain.order import OrderReport, OrderRequest, OrderState
from slipstream.domain.outcome import Accepted, RequestOutcome
from slipstream.engine.cohort import Cohort
from slipstream.engine.leglife import Leg
from slipstream.runtime.fanout import FanOut
from slipstream.runtime.follower import OPEN_STOPPERS, Follower, Membership
from slipstream.runtime.hub import VenueHub
from slipstream.runtime.journal import Journal
from slipstream.runtime.mirror import Mirror
from slipstream.runtime.paper import paper_fill
from slipstream.runtime.resolver import Resolver, Unresolved
from slipstream.runtime.signing import Deliver, Signed, SigningThread
from slipstream.store.base import CommitResult, Line, RecordResult, Store
from slipstream.telemetry.execution import FanOutTimes
from slipstream.telemetry.stages import StageRecorder
from slipstream.units import NS_PER_MS, Px, Qty, Quote, TimeNs, VenueMs
from slipstream.venues.base import (
    AccountSink,
    Best,
    BookFeed,
    KeyStatus,
    OrderGateway,
    OutcomeSink,
    SignJob,
    VenueTraits,
)

SYMBOL: Final = "XUSDT"
LEADER: Final = LeaderId("whale")
VENUE: Final = VenueId("sim")
PX: Final = 100 * SCALE
TICK: Final = SCALE // 100
LOT: Final = SCALE // 1000
ROOMY: Final = Quote(10**9 * SCALE)
INSTRUMENT: Final = Instrument(
    venue=VENUE,
    symbol=SYMBOL,
    base="X",
    quote="USDT",
    rules=InstrumentRules(px_step=TICK, qty_step=LOT, qty_min=LOT),
    is_trading=True,
)
SCHEMA: Final = TypedSchema("Order", {"Order": [("name", "string")]}, {"name": "test"})
LIMITS: Final = FollowerLimits(
    entry_ppm=10_000, exit_ppm=10_000, emergency_ppm=30_000, deviation_ppm=10_000
)


class HandClock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        """Begin at one second."""
        self.at_ns = 1_000 * NS_PER_MS

    def now_ns(self) -> TimeNs:
        return TimeNs(self.at_ns)

    def wall_us(self) -> int:
        return self.at_ns // 1_000


class FixedBooks:
    """A book feed that shows one book."""

    def __init__(self) -> None:
        """Show a deep book at sequence 1."""
        self.book = Book()
        self.show(10**5 * SCALE)

    def show(self, qty: int, *, sequence: int = 1, venue_ts_ms: int = 0, ts_ns: int = 0) -> None:
        text = format_fixed(qty)
        rows = [format_fixed(PX - place * TICK) for place in range(1, 6)]
        mirrored = [format_fixed(PX + place * TICK) for place in range(1, 6)]
        self.book.load(
            [(px, text) for px in rows],
            [(px, text) for px in mirrored],
            sequence=sequence,
            ts_ns=ts_ns or 1_000 * NS_PER_MS,
            venue_ts_ms=venue_ts_ms,
        )

    async def run(self) -> None:
        raise NotImplementedError

    def subscribe(self, symbol: str) -> None:
        raise NotImplementedError(symbol)

    def view(self, symbol: str) -> BookView | None:
        return self.book.view() if symbol == SYMBOL else None

    def best(self, symbol: str) -> Best | None:
        del symbol
        return None

    def mark_px(self, symbol: str) -> Px | None:
        return Px(PX) if symbol == SYMBOL else None

    def is_gapped(self, symbol: str) -> bool:
        del symbol
        return False


class Sent:
    """One order that left, waiting for its answer."""

    def __init__(self, signed: bytes, request: OrderRequest, answer: OutcomeSink) -> None:
        """Keep what went out."""
        self.signed = signed
        self.request = request
        self._answer = answer

    def answer(self, outcome: RequestOutcome, at_ns: int = 2_000 * NS_PER_MS) -> None:
        self._answer(outcome, TimeNs(at_ns))

    def fill(self, qty: int | None = None, *, px: int = PX) -> None:
        """Answer with what was taken: all of it, or so much, the rest expired."""
        filled = self.request.qty if qty is None else qty
        self.answer(Accepted(report_of(self.request, filled, px=px)))


def report_of(request: OrderRequest, filled: int, *, px: int = PX) -> OrderReport:
    return OrderReport(
        request.client_order_id,
        f"venue-{request.client_order_id}",
        request.symbol,
        OrderState.FILLED if filled == request.qty else OrderState.EXPIRED,
        Qty(filled),
        Px(px) if filled else None,
        VenueMs(0),
    )


class DeskGateway:
    """A gateway whose orders lie on the desk until the test answers them."""

    def __init__(self, desk: list[Sent], seed: int) -> None:
        """Make a throw-away key."""
        self._desk = desk
        self._signer = Signer.from_secret(seed.to_bytes(32, "big"), SCHEMA)
        self._asked: list[OrderRequest] = []
        self.is_signing_broken = False
        self.is_sending_broken = False

    async def start(self) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError

    def sign_job(self, order: OrderRequest) -> SignJob:
        self._asked.append(order)
        return self._signer, () if self.is_signing_broken else (order.client_order_id,)

    def transmit(self, signed: bytes, *, deadline_ns: TimeNs, on_outcome: OutcomeSink) -> TimeNs:
        del deadline_ns
        if self.is_sending_broken:
            raise RuntimeError("a bug in the way out")
        self._desk.append(Sent(signed, self._asked[-1], on_outcome))
        return TimeNs(1_500 * NS_PER_MS)

    async def account(self) -> AccountSnapshot:
        raise NotImplementedError

    async def key_status(self) -> KeyStatus | None:
        raise NotImplementedError

    async def order(self, symbol: str, client_order_id: ClientOrderId) -> OrderReport | None:
        raise NotImplementedError

    async def name_of(self, symbol: str, venue_order_id: str) -> ClientOrderId | None:
        raise NotImplementedError

    async def fills_since(self, symbol: str, cursor: str | None) -> tuple[list[Fill], str | None]:
        raise NotImplementedError

    async def set_leverage(self, symbol: str, leverage: int) -> None:
        raise NotImplementedError


class SilentFeed:
    """An account stream that says nothing."""

    async def run(self, sink: AccountSink) -> None:
        raise NotImplementedError(sink)


class HandSigning(SigningThread):
    """Signs at once; hands the signatures over when asked, or when the test says so."""

    def __init__(self) -> None:
        """Hand over when asked."""
        self.is_held = False
        self._held: list[tuple[Deliver, list[Signed]]] = []

    def sign(self, jobs: Sequence[SignJob], deliver: Deliver) -> int | None:
        signed: list[Signed] = []
        for signer, values in jobs:
            try:
                signed.append(signer.sign(*values))
            except Exception as error:  # noqa: BLE001 - whatever is wrong with it is its result
                signed.append(SignerError(str(error)))
        if signed:
            self._held.append((deliver, signed))
        return None

    def hand_over(self) -> None:
        held, self._held = self._held, []
        for deliver, signed in held:
            deliver(0, signed, TimeNs(1_200 * NS_PER_MS))

    def wait(self, numbers: Collection[int], turn_ns: int) -> bool:
        del numbers, turn_ns
        if not self.is_held:
            self.hand_over()
        return not self._held

    def close(self) -> None:
        raise NotImplementedError


class HandStore:
    """Commits that are durable at once, or when the test says so."""

    def __init__(self) -> None:
        """Commit at once."""
        self.is_held = False
        self.commits: list[CohortCommit] = []
        self.pending: list[asyncio.Future[CommitResult]] = []
        self.answer = CommitResult()
        self.results: list[LegResult] = []
        self.lines: list[ActivityRow] = []

    def commit(
        self, commit: CohortCommit, *, line: Line | None = None
    ) -> asyncio.Future[CommitResult]:
        del line
        future: asyncio.Future[CommitResult] = asyncio.get_running_loop().create_future()
        self.commits.append(commit)
        if self.is_held:
            self.pending.append(future)
        else:
            future.set_result(self.answer)
        return future

    def take_results(
        self, results: Sequence[LegResult], on_recorded: Callable[[Exception | None], None]
    ) -> None:
        self.record(results)
        on_recorded(None)

    def record(self, results: Sequence[LegResult]) -> RecordResult:
        self.results += results
        return RecordResult()

    def log(self, rows: Sequence[ActivityRow]) -> None:
        self.lines += rows


class HandResolver(Resolver):
    """Orders of unknown fate, to be resolved by the test."""

    def __init__(self) -> None:
        """Know of none."""
        self.asked: list[Leg] = []

    def bind(self, on_resolved: Callable[[Leg, OrderReport | None, TimeNs], None]) -> None:
        self.resolve = on_resolved

    def add(self, leg: Leg, *, since_ms: VenueMs | None = None) -> None:
        del since_ms
        self.asked.append(leg)

    def unresolved(self) -> list[Unresolved]:
        return []


class Stage:
    """One leader, some followers, one book. Followers mirror one to one."""

    def __init__(
        self,
        modes: Sequence[str] = ("live", "live"),
        *,
        sizing: SizingRule | None = None,
        reserving: bool = True,
    ) -> None:
        """Put everybody in place, flat."""
        self.clock = HandClock()
        self.books = FixedBooks()
        self.store = HandStore()
        self.signing = HandSigning()
        self.resolver = HandResolver()
        self.sent: list[Sent] = []
        self.due: list[tuple[int, Callable[[], None]]] = []
        self.leader_qty = 0
        self._numbers = count(1)
        traits = VenueTraits(
            venue=VENUE,
            absent_after_ns=0,
            lookup_lag_ns=0,
        )
        self.hub = VenueHub(
            traits, {SYMBOL: INSTRUMENT}, cast("BookFeed", self.books), is_reserving=reserving
        )
        self.cohort = Cohort(LEADER)
        self.followers: dict[FollowerId, Follower] = {}
        self.gateways: dict[FollowerId, DeskGateway] = {}
        for number, mode in enumerate(modes, 1):
            self._add(FollowerId(f"f{number}"), mode, number, sizing)
        self.journal = Journal(
            LEADER,
            log=self.store.log,
            record=self.store.take_results,
            wall_ms=lambda: 0,
            later=lambda _delay, _call: None,
            stages=StageRecorder(),
            times=FanOutTimes(),
        )
        self.fan_out = FanOut(
            leader=LEADER,
            store=cast("Store", self.store),
            signing=self.signing,
            gateways=cast("Mapping[FollowerId, OrderGateway]", self.gateways),
            clock=self.clock,
            may_send=self.may_send,
            paper=lambda leg: paper_fill(leg, self.books.view(SYMBOL)),
            line=Line(),
        )
        self.mirror = Mirror(
            self.cohort,
            hub=self.hub,
            followers=self.followers,
            fan_out=self.fan_out,
            clock=self.clock,
            journal=self.journal,
            later=lambda delay_ns, call: self.due.append((delay_ns, call)),
            resolver=self.resolver,
        )
        self.stopped: set[str] = set()

    def _add(self, name: FollowerId, mode: str, number: int, sizing: SizingRule | None) -> None:
        member = self.cohort.add(
            name,
            venue=VENUE,
            account=f"0x{number:040x}",
            mode=mode,
            sizing=sizing or SizingRule(mode=SizingMode.RATIO, ratio=SCALE),
            limits=LIMITS,
            is_hedge=False,
            is_dedicated=False,
        )
        self.gateways[name] = DeskGateway(self.sent, number)
        follower = Follower(
            FollowerConfig(name, VENUE, member.account, name, mode=RunMode(mode)),
            gateway=self.gateways[name],
            feed=SilentFeed(),
            hub=self.hub,
            clock=self.clock,
        )
        follower.memberships.append(
            Membership(self.cohort, member.row, None, frozenset(), frozenset())
        )
        self.followers[name] = follower
        self.cohort.table.set_account(
            member.row, equity=ROOMY, free_margin=ROOMY, ts_ns=self.clock.at_ns
        )
        index = self.cohort.symbol_index(SYMBOL)
        self.cohort.table.set_leverage(member.row, index, 10)

    def may_send(self, leg: Leg) -> str | None:
        """Ask the switches once more, as the wiring does."""
        gates = self.followers[leg.member.follower].gates
        if leg.member.follower in self.stopped or (leg.is_opening and gates & OPEN_STOPPERS):
            return "STOPPED"
        return None

    def intent(self, after: int) -> MirrorIntent:
        """Return the leader's step to a position (whole units at 10**-8), at 100."""
        before, self.leader_qty = self.leader_qty, after
        number = next(self._numbers)
        side = Side.BUY if after > before else Side.SELL
        now_ns = self.clock.now_ns()
        fill = Fill(
            FillId(VENUE, "0xwhale", SYMBOL, str(number), str(number), number),
            PositionSide.NET,
            side,
            Qty(abs(after - before)),
            Px(PX),
            is_taker=False,
            is_liquidation=False,
            received_ns=now_ns,
            decoded_ns=now_ns,
        )
        return MirrorIntent(
            id=IntentId(f"{number:024x}"),
            leader=LEADER,
            venue=VENUE,
            account="0xwhale",
            symbol=SYMBOL,
            position_side=PositionSide.NET,
            kind=kind_of(before, after),
            side=side,
            before=Qty(before),
            after=Qty(after),
            qty=fill.qty,
            px=fill.px,
            fills=(fill,),
            margin=None,
            venue_ts_ms=VenueMs(number),
            received_ns=now_ns,
            decoded_ns=now_ns,
            margin_ns=None,
            created_ns=now_ns,
        )

    async def move(self, after: int) -> bool:
        """Let the leader step to a position; False when it was mirrored before."""
        intent = self.intent(after)
        self.journal.intent(intent)
        done = await self.mirror.mirror(intent, SYMBOL, gates=0, cursor=None)
        return done is not None

    def take_sent(self) -> list[Sent]:
        """Return what left since the last call."""
        sent = list(self.sent)
        self.sent.clear()
        return sent

    async def fire(self) -> list[int]:
        """Let every pause that was asked for be over; return the pauses."""
        due, self.due = self.due, []
        for _, call in due:
            call()
        await self.mirror.replan()
        return [delay_ns for delay_ns, _ in due]

    def position(self, row: int = 0) -> int:
        return sum(self.cohort.table.lane(row, 0).position_qty)

    def ends(self) -> list[tuple[str, str, int, str, str | None]]:
        """Return (intent, follower, leg, end, reason) of every line told so far."""
        self.journal.drain()
        return [
            (
                str(row.intent_id),
                str(row.follower),
                cast("int", row.payload["leg"]),
                str(row.payload["end"]),
                row.reason,
            )
            for row in self.store.lines
            if row.kind == "leg"
        ]

    def end_of(self, follower: str = "f1") -> tuple[str, str | None]:
        """Return the newest (end, reason) of one follower."""
        return [each[3:] for each in self.ends() if each[1] == follower][-1]

    def incidents(self) -> list[tuple[str | None, str | None]]:
        return [(row.reason, row.follower) for row in self.store.lines if row.kind == "incident"]


def kind_of(before: int, after: int) -> IntentKind:
    """Return how a position changed."""
    if before * after < 0:
        return IntentKind.FLIP
    if not before:
        return IntentKind.OPEN
    if not after:
        return IntentKind.FULL_CLOSE
    return IntentKind.INCREASE if abs(after) > abs(before) else IntentKind.PARTIAL_CLOSE


def units(number: int) -> int:
    """Return whole units as a raw quantity."""
    return number * SCALE
