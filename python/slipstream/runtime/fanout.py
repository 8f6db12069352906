"""Claim, sign and send the orders of one planning pass, each follower for itself.

The one way an order leaves: one durable commit for the whole cohort, then each order as soon as
it is signed, on its follower's own warm connection. Signing runs beside the commit; nothing is
written to a socket before the claim is durable and the switches have been asked once more.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from slipstream._core import SignerError
from slipstream.domain.cohort import CohortCommit
from slipstream.domain.ids import FollowerId, LeaderId
from slipstream.domain.outcome import NotSent, RequestOutcome
from slipstream.engine.cohort import Planned
from slipstream.engine.leglife import Leg
from slipstream.errors import InvariantError, StoreError
from slipstream.runtime.signing import Signed, SigningThread
from slipstream.store.base import Store
from slipstream.transport.clock import Clock
from slipstream.units import NS_PER_S, TimeNs
from slipstream.venues.base import OrderGateway, SignJob

ANSWER_TIMEOUT_NS: Final = 10 * NS_PER_S

OnOutcome = Callable[[Leg, RequestOutcome, TimeNs], None]
MaySend = Callable[[Leg], str | None]
"""Returns why a leg must not be sent at this instant, ``None`` when it may."""

PaperFill = Callable[[Leg], RequestOutcome]
"""Returns what an order that is not sent would have come to."""

LIVE: Final = "live"


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
    ) -> None:
        """Keep the partners."""
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
        self, planned: Planned, *, is_event: bool, cursor: tuple[str, str] | None = None
    ) -> bool:
        """Make a pass durable and send it; return False when its fills were mirrored before.

        Raises:
            StoreError: nothing was made durable and nothing was sent.
        """
        commit = CohortCommit(
            leader=self._leader,
            intent=planned.event.intent if is_event else None,
            legs=planned.rows,
            cursor=cursor,
        )
        live = [leg for leg in planned.legs if leg.member.mode == LIVE]
        burst = _Burst(self, live)
        claim = self._store.commit(commit)
        try:
            if live:
                burst.start(self._signing, self._jobs(live))
            result = await claim
        except StoreError:
            burst.abandon()
            raise
        if result.duplicates:
            burst.abandon()
            return False
        refused = {(each.follower_id, each.leg, each.attempt) for each in result.conflicts}
        burst.release(self._clock.now_ns(), refused)
        for leg in planned.legs:
            if leg.member.mode != LIVE:
                self._imitate(leg)
        return True

    def _jobs(self, legs: list[Leg]) -> list[SignJob]:
        gateways = self._gateways
        return [gateways[leg.member.follower].sign_job(leg.current.request) for leg in legs]

    def send(self, leg: Leg, signed: Signed, rank: int) -> None:
        """Hand one signed order to its connection. Never raises."""
        attempt = leg.current
        attempt.rank = rank
        if isinstance(signed, SignerError):
            self._withdraw(leg, f"SIGNER: {signed}")
            return
        refusal = self._may_send(leg)
        if refusal is not None:
            self._withdraw(leg, refusal)
            return
        attempt.sent_ns = self._gateways[leg.member.follower].transmit(
            signed,
            deadline_ns=TimeNs(self._clock.now_ns() + ANSWER_TIMEOUT_NS),
            on_outcome=partial(self._on_outcome, leg),
        )

    def _imitate(self, leg: Leg) -> None:
        """Fill a paper or shadow order inside this process."""
        now_ns = self._clock.now_ns()
        leg.current.sent_ns = now_ns
        self._on_outcome(leg, self._paper(leg), now_ns)

    def refuse(self, leg: Leg) -> None:
        """Do not send a leg whose claim the ledger already holds."""
        self._withdraw(leg, "CLAIM_CONFLICT")

    def _withdraw(self, leg: Leg, reason: str) -> None:
        self._on_outcome(leg, NotSent(reason), self._clock.now_ns())


def _unbound(_leg: Leg, _outcome: RequestOutcome, _at_ns: TimeNs) -> None:
    raise InvariantError("a fan-out was used before it was bound to its mirror")


class _Burst:
    """The meeting of one claim and its signatures: whichever comes last lets orders go."""

    def __init__(self, fan_out: FanOut, legs: list[Leg]) -> None:
        self._fan_out = fan_out
        self._legs = legs
        self._signed: list[tuple[int, list[Signed]]] = []
        self._refused: set[tuple[FollowerId, int, int]] = set()
        self._is_claimed = False
        self._is_abandoned = False

    def start(self, signing: SigningThread, jobs: list[SignJob]) -> None:
        signing.sign(jobs, self._on_signed)

    def abandon(self) -> None:
        self._is_abandoned = True
        self._signed.clear()

    def release(self, claimed_ns: TimeNs, refused: set[tuple[FollowerId, int, int]]) -> None:
        self._is_claimed = True
        self._refused = refused
        for leg in self._legs:
            leg.current.claimed_ns = claimed_ns
        for start, signed in self._signed:
            self._send(start, signed)
        self._signed.clear()

    def _on_signed(self, start: int, signed: list[Signed], signed_ns: TimeNs) -> None:
        for leg in self._legs[start : start + len(signed)]:
            leg.current.signed_ns = signed_ns
        if self._is_claimed:
            self._send(start, signed)
        elif not self._is_abandoned:
            self._signed.append((start, signed))

    def _send(self, start: int, signed: list[Signed]) -> None:
        fan_out, refused = self._fan_out, self._refused
        for offset, payload in enumerate(signed):
            leg = self._legs[start + offset]
            key = (leg.member.follower, leg.index, leg.current.number)
            if refused and key in refused:
                fan_out.refuse(leg)
            else:
                fan_out.send(leg, payload, start + offset)
