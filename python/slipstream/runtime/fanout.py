"""Claim, sign and send the orders of one planning pass, each follower for itself.

The one way an order leaves: one durable commit for the whole cohort, then each order as soon as
it is signed, on its follower's own warm connection. The first orders are signed beside the
commit; nothing is written to a socket before the claim is durable and the switches have been
asked once more.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from slipstream._core import SignerError, SkipReason
from slipstream.domain.cohort import CohortCommit
from slipstream.domain.ids import FollowerId, LeaderId
from slipstream.domain.outcome import NotSent, RequestOutcome, Unknown
from slipstream.engine import leg as leg_events
from slipstream.engine.cohort import Planned
from slipstream.engine.leglife import Leg
from slipstream.errors import InvariantError, StoreError
from slipstream.runtime import points
from slipstream.runtime.signing import Deliver, Signed, SigningThread
from slipstream.store.base import Line, Store
from slipstream.transport.clock import Clock
from slipstream.units import NS_PER_MS, NS_PER_S, TimeNs
from slipstream.venues.base import OrderGateway, SignJob

ANSWER_TIMEOUT_NS: Final = 10 * NS_PER_S
FIRST_LEGS: Final = 16
"""Legs that are made and signed while the claim is being committed."""

CHUNK_LEGS: Final = 64
TURN_NS: Final = 4 * NS_PER_MS
"""How long a burst may hold the event loop: other leaders wait no longer for their turn."""

OnOutcome = Callable[[Leg, RequestOutcome, TimeNs], None]
MaySend = Callable[[Leg], str | None]
"""Returns why a leg must not be sent at this instant, ``None`` when it may."""

PaperFill = Callable[[Leg], RequestOutcome]
"""Returns what an order that is not sent would have come to."""

LIVE: Final = "live"

_CLAIMED: Final = leg_events.Claimed()
_SIGNED: Final = leg_events.Signed()


class FanOut:
    """Sends cohorts of one leader. Holds no state between calls but its partners."""

    def __init__(
        self,
        *,
        leader: LeaderId,
        store: Store,
        signing: SigningThread,
        gateways: Mapping[FollowerId, OrderGateway],
        clock: Clock,
        may_send: MaySend,
        paper: PaperFill,
        line: Line,
        at_point: points.AtPoint = points.pass_by,
    ) -> None:
        """Keep the partners."""
        self._line = line
        self.at_point = at_point
        self._paper = paper
        self._leader = leader
        self._store = store
        self._signing = signing
        self._gateways = gateways
        self._clock = clock
        self._may_send = may_send
        self._on_outcome: OnOutcome = _unbound

    def bind(self, on_outcome: OnOutcome) -> None:
        """Say who is told what became of each order: once for each leg of a pass."""
        self._on_outcome = on_outcome

    async def run(
        self,
        planned: Planned,
        take_legs: Callable[[Planned, int], list[Leg]],
        *,
        is_event: bool,
        cursor: tuple[str, str] | None = None,
        claimed: str = points.CLAIM_DURABLE,
    ) -> bool:
        """Make a pass durable and send it; return False when its fills were mirrored before.

        ``take_legs`` makes the next legs of the pass: the first few before the commit, so that
        they are signed when it is done, the others after it, while those are on their way.

        Raises:
            StoreError: nothing was made durable and nothing was sent.
        """
        commit = CohortCommit(
            leader=self._leader,
            intent=planned.event.intent if is_event else None,
            legs=planned.rows,
            cursor=cursor,
        )
        burst = _Burst(self)
        claim = self._store.commit(commit, line=self._line)
        self.at_point(points.CLAIM_ASKED)
        self._sign(burst, take_legs(planned, FIRST_LEGS))
        try:
            result = await claim
        except StoreError:
            burst.abandon()
            raise
        self.at_point(points.SIDELOG_APPENDED if result.is_sidelogged else claimed)
        if result.duplicates:
            burst.abandon()
            return False
        refused = (*result.conflicts, *result.already)
        self._signing.wait(burst.numbers, 0)
        burst.release(
            self._clock.now_ns(),
            {(each.follower_id, each.leg, each.attempt) for each in refused},
            is_sidelogged=result.is_sidelogged,
        )
        await self._send_rest(burst, planned, take_legs)
        return True

    async def _send_rest(
        self, burst: "_Burst", planned: Planned, take_legs: Callable[[Planned, int], list[Leg]]
    ) -> None:
        """Sign and send what is left, in turns that hold the loop so long and no longer."""
        turn_ends_ns = self._clock.now_ns() + TURN_NS
        while legs := take_legs(planned, CHUNK_LEGS):
            self._sign(burst, legs)
            self._signing.wait(burst.numbers, 0)
            if self._clock.now_ns() > turn_ends_ns:
                await asyncio.sleep(0)
                turn_ends_ns = self._clock.now_ns() + TURN_NS
        while True:
            if self._signing.wait(burst.numbers, TURN_NS):
                if burst.has_sent:
                    self.at_point(points.ALL_ORDERS_SENT)
                return
            await asyncio.sleep(0)

    def _sign(self, burst: "_Burst", legs: list[Leg]) -> None:
        """Hand legs to the signing thread; paper and shadow legs need no signature."""
        gateways = self._gateways
        live = [leg for leg in legs if leg.member.mode == LIVE]
        jobs: list[SignJob] = []
        able: list[Leg] = []
        for leg in live:
            try:
                jobs.append(gateways[leg.member.follower].sign_job(leg.current.request))
                able.append(leg)
            except Exception as error:  # noqa: BLE001 - the leg's bulkhead: a bug stays its own
                burst.spoil(leg, f"BUG: {type(error).__name__}: {error}")
        number = self._signing.sign(jobs, burst.receiver(able))
        if number is not None:
            burst.numbers.append(number)
        if len(live) != len(legs):
            burst.imitate([leg for leg in legs if leg.member.mode != LIVE])

    def send(self, leg: Leg, signed: Signed) -> None:
        """Hand one signed order to its connection. Never raises."""
        if isinstance(signed, SignerError):
            self._withdraw(leg, f"SIGNER: {signed}")
            return
        try:
            refusal = self._may_send(leg)
        except Exception as error:  # noqa: BLE001 - the leg's bulkhead: a bug stays its own
            refusal = f"BUG: {type(error).__name__}: {error}"
        if refusal is not None:
            self._withdraw(leg, refusal)
            return
        deadline_ns = TimeNs(self._clock.now_ns() + ANSWER_TIMEOUT_NS)
        on_outcome = partial(self._on_outcome, leg)
        try:
            gateway = self._gateways[leg.member.follower]
            leg.current.sent_ns = gateway.transmit(
                signed, deadline_ns=deadline_ns, on_outcome=on_outcome
            )
        except Exception as error:  # noqa: BLE001 - the leg's bulkhead: bytes may have left
            on_outcome(Unknown(f"BUG: {type(error).__name__}: {error}"), self._clock.now_ns())

    def imitate(self, leg: Leg) -> None:
        """Fill a paper or shadow order inside this process."""
        now_ns = self._clock.now_ns()
        for event in (_CLAIMED, _SIGNED):
            leg.current.on(event)
        leg.current.sent_ns = now_ns
        self._on_outcome(leg, self._paper(leg), now_ns)

    def refuse(self, leg: Leg) -> None:
        """Do not send a leg whose claim the ledger already holds."""
        self._withdraw(leg, "CLAIM_CONFLICT")

    def spoil(self, leg: Leg, reason: str) -> None:
        """End a leg that cannot be signed."""
        self._withdraw(leg, reason)

    def _withdraw(self, leg: Leg, reason: str) -> None:
        self._on_outcome(leg, NotSent(reason), self._clock.now_ns())


def _unbound(_leg: Leg, _outcome: RequestOutcome, _at_ns: TimeNs) -> None:
    raise InvariantError("a fan-out was used before it was bound to its mirror")


class _Burst:
    """The meeting of one claim and its signatures: whichever comes last lets orders go."""

    def __init__(self, fan_out: FanOut) -> None:
        self._fan_out = fan_out
        self.numbers: list[int] = []
        """What the signing thread calls this burst's jobs."""
        self._held: list[tuple[list[Leg], list[Signed]]] = []
        self._imitated: list[Leg] = []
        self._spoilt: list[tuple[Leg, str]] = []
        self._refused: set[tuple[FollowerId, int, int]] = set()
        self._claimed_ns: TimeNs | None = None
        self._is_sidelogged = False
        self._is_abandoned = False
        self._rank = 0

    @property
    def has_sent(self) -> bool:
        """Whether any order of the pass was let go."""
        return bool(self._rank)

    def abandon(self) -> None:
        """The claim did not come to be: nothing that is signed goes out."""
        self._is_abandoned = True
        self._held.clear()

    def release(
        self,
        claimed_ns: TimeNs,
        refused: set[tuple[FollowerId, int, int]],
        *,
        is_sidelogged: bool,
    ) -> None:
        """The claim is durable: let go what is signed, and what is signed from now on.

        Openings stay here when the claim is in the side log, or took so long that the leader's
        trade is too old by now.
        """
        self._claimed_ns = claimed_ns
        self._refused = refused
        self._is_sidelogged = is_sidelogged
        for legs, signed in self._held:
            self._send(legs, signed)
        self._held.clear()
        for leg, reason in self._spoilt:
            self.spoil(leg, reason)
        self.imitate(self._imitated)

    def spoil(self, leg: Leg, reason: str) -> None:
        """End a leg that cannot be signed, once its claim is durable."""
        if self._claimed_ns is None:
            self._spoilt.append((leg, reason))
            return
        for event in (_CLAIMED, _SIGNED):
            leg.current.on(event)
        self._fan_out.spoil(leg, reason)

    def imitate(self, legs: list[Leg]) -> None:
        """Fill legs that are not sent, once their claim is durable."""
        if self._claimed_ns is None:
            self._imitated = legs
            return
        for leg in legs:
            leg.current.claimed_ns = self._claimed_ns
            reason = self._why_not(leg, self._claimed_ns)
            if reason is None:
                self._fan_out.imitate(leg)
            else:
                self.spoil(leg, reason)

    def _why_not(self, leg: Leg, claimed_ns: TimeNs) -> str | None:
        """Return why a leg may not open although it is claimed, ``None`` when it may go."""
        if not leg.is_opening or leg.event is None:
            return None
        if self._is_sidelogged:
            return SkipReason.LEDGER_DOWN.code
        age_ns = claimed_ns - leg.event.intent.created_ns
        return SkipReason.STALE_INTENT.code if age_ns > leg.member.intent_age_ns_max else None

    def receiver(self, legs: list[Leg]) -> Deliver:
        """Return what takes the signatures of these legs."""
        return partial(self._on_signed, legs)

    def _on_signed(
        self, legs: list[Leg], start: int, signed: list[Signed], signed_ns: TimeNs
    ) -> None:
        part = legs[start : start + len(signed)]
        for leg in part:
            leg.current.signed_ns = signed_ns
        if self._claimed_ns is not None:
            self._send(part, signed)
        elif not self._is_abandoned:
            self._held.append((part, signed))

    def _send(self, legs: list[Leg], signed: list[Signed]) -> None:
        fan_out, refused, claimed_ns = self._fan_out, self._refused, self._claimed_ns
        for leg, payload in zip(legs, signed, strict=True):
            attempt = leg.current
            attempt.claimed_ns = claimed_ns
            attempt.on(_CLAIMED)
            attempt.on(_SIGNED)
            attempt.rank = self._rank
            self._rank += 1
            if refused and (leg.member.follower, leg.index, attempt.number) in refused:
                fan_out.refuse(leg)
            elif claimed_ns is not None and (reason := self._why_not(leg, claimed_ns)) is not None:
                fan_out.spoil(leg, reason)
            else:
                fan_out.send(leg, payload)
                is_first = attempt.rank == 0
                fan_out.at_point(points.FIRST_ORDER_SENT if is_first else points.LATER_ORDER_SENT)
