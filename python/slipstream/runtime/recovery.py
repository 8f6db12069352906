"""What an earlier process left: claims without an outcome, legs never told of, lanes that waited.

All of it is in the ledger, and all of it goes the way it would have gone in that process. A claim
without an outcome is an order of unknown fate; it is never sent again. A leg whose line died with
the process is told. A leg of the leader's newest event that waited goes on waiting.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

from slipstream._core import LaneState, PositionSide
from slipstream.domain.ids import FollowerId, IntentId, LeaderId
from slipstream.engine.cohort import Event, Member
from slipstream.engine.lane import excess_qty, with_orders
from slipstream.engine.leglife import Leg
from slipstream.runtime.follower import Follower
from slipstream.runtime.journal import Journal
from slipstream.runtime.mirror import Mirror
from slipstream.runtime.restored import (
    POSITION_SIDES,
    Instants,
    restored_event,
    restored_intent,
    restored_leg,
)
from slipstream.store.base import LedgerIntent, LedgerLeg, Store, Untold
from slipstream.units import TimeNs, VenueMs

REASON: Final = "RECOVERED"
SUPERSEDED: Final = "SUPERSEDED"
SHRUNK: Final = "POSITION_SHRUNK"
"""Rows of this reason are no legs: an incident told of them."""

LIVE: Final = "live"
BESIDE_MS: Final = 3_600_000
"""A claim that stands beside the leader's events was made at most this long before its intent was
last worked on."""

LONG_AGO_NS: Final = 10**15
"""Older than any order may be that opens."""


@dataclass(frozen=True, slots=True)
class Place:
    """A follower's place under the leader."""

    mirror: Mirror
    member: Member


@dataclass(slots=True)
class _Claim:
    """An open claim: every attempt up to it, and whether its fill is in its lane already."""

    place: Place
    rows: list[LedgerLeg]
    is_counted: bool = False

    @property
    def row(self) -> LedgerLeg:
        return self.rows[-1]

    @property
    def signed_qty(self) -> int:
        return (self.row.qty or 0) * (self.row.side or 0)


class Recovery:
    """Takes over one leader's lanes from the ledger; once, in the order of its methods."""

    def __init__(
        self,
        leader: LeaderId,
        mirrors: Sequence[Mirror],
        followers: Mapping[FollowerId, Follower],
        *,
        store: Store,
        journal: Journal,
        at: Instants,
        newest: Mapping[str, IntentId],
    ) -> None:
        """Keep the partners. ``newest``: the leader's newest event in the ledger, by its symbol."""
        self._leader = leader
        self._mirrors = mirrors
        self._followers = followers
        self._store = store
        self._journal = journal
        self._at = at
        self._newest = newest
        self._lanes: dict[tuple[FollowerId, str], LaneState] = {}
        self._intents: dict[IntentId, LedgerIntent] = {}
        self._events: dict[tuple[IntentId, str, str], Event] = {}
        self._claimed: list[tuple[Mirror, Leg, VenueMs]] = []
        self._waiting: list[tuple[Mirror, Leg]] = []

    @property
    def claim_count(self) -> int:
        """Claims whose outcome is not known."""
        return len(self._claimed)

    @property
    def waiting_symbols(self) -> list[str]:
        """The leader's symbols of which legs waited."""
        found = {leg.event.intent.symbol for _, leg in self._waiting if leg.event is not None}
        return sorted(found)

    # --- lanes and claims ---

    async def restore(self) -> None:
        """Take over every lane as the ledger left it, and block those with an open claim.

        Raises:
            StoreError: the ledger cannot be read.
            CoreError: a lane in it is none.
        """
        for row in await self._store.lanes(self._leader):
            lane = self._lanes[row.follower_id, row.symbol] = LaneState.decode(row.lane)
            place = self._place(row.follower_id)
            if place is not None:
                cohort = place.mirror.cohort
                index = cohort.symbol_index(row.symbol)
                cohort.table.restore_lane(place.member.row, index, lane)
        for symbol, newest in self._newest.items():
            for mirror in self._mirrors:
                mirror.cohort.restore_newest(symbol, newest)
        unsettled = await self._store.unsettled(self._leader)
        self._learn(unsettled)
        for follower in self._followers.values():
            for membership in follower.memberships:
                if any(membership.cohort is mirror.cohort for mirror in self._mirrors):
                    follower.doubted |= membership.cohort.symbols.keys()
        for whose, order_id in unsettled.order_ids:
            if whose in self._followers:
                self._followers[whose].order_ids.append(order_id)
        self._restore_claims(self._claims(unsettled))

    def _learn(self, found: Untold) -> None:
        self._intents.update({row.intent_id: row for row in found.intents})

    def _claims(self, unsettled: Untold) -> list[_Claim]:
        """Return the open claims, oldest first."""
        claims: list[_Claim] = []
        for rows in _legs(unsettled.legs):
            place = self._place(rows[0].follower_id)
            if place is None:
                detail = f"{rows[-1].client_order_id}: its follower follows this leader no more"
                self._journal.incident(
                    "CLAIM_UNRESOLVED", follower=rows[0].follower_id, detail=detail
                )
                continue
            # An earlier attempt is told with the newest one: of it, only its end is missing.
            claims += [
                _Claim(place, [row._replace(is_told=True)])
                for row in rows[:-1]
                if row.status == "claimed"
            ]
            if rows[-1].status == "claimed":
                claims.append(_Claim(place, rows))
        return claims

    def _restore_claims(self, claims: list[_Claim]) -> None:
        by_slot: dict[tuple[FollowerId, str, int], list[_Claim]] = {}
        for claim in claims:
            key = (claim.row.follower_id, claim.row.symbol, _slot(claim.row))
            by_slot.setdefault(key, []).append(claim)
        for (follower, symbol), lane in self._lanes.items():
            place = self._place(follower)
            for slot in (0, 1):
                mine = by_slot.get((follower, symbol, slot), [])
                is_busy = bool(lane.in_flight_qty[slot] or lane.unknown_qty[slot])
                if place is not None and (mine or is_busy):
                    self._take_slot(place, symbol, slot, mine)
        for claim in claims:
            self._take_claim(claim)

    def _take_slot(self, place: Place, symbol: str, slot: int, claims: Sequence[_Claim]) -> None:
        """Find the claims that a lane counts as out; what no claim stands for is out no more.

        A lane's state is written with each row and each result of it. A claim that is open and not
        out in its lane ended, and a newer row of the lane counted its fill, before its own result
        was written: only how it ended is missing.
        """
        table, index = place.mirror.cohort.table, place.mirror.cohort.symbol_index(symbol)
        lane = table.lane(place.member.row, index)
        left = list(reversed(claims))
        in_flight = _pick(left, lane.in_flight_qty[slot])
        unknown = _pick(left, lane.unknown_qty[slot])
        for claim in left:
            claim.is_counted = True
        out = (
            0 if in_flight is None else lane.in_flight_qty[slot],
            0 if unknown is None else lane.unknown_qty[slot],
        )
        if out != (lane.in_flight_qty[slot], lane.unknown_qty[slot]):
            freed = with_orders(lane, slot, in_flight_qty=out[0], unknown_qty=out[1])
            table.restore_lane(place.member.row, index, freed)
        if in_flight is not None:
            side = POSITION_SIDES[in_flight.row.position_side]
            table.mark_unknown(place.member.row, index, side)

    def _take_claim(self, claim: _Claim) -> None:
        row, place = claim.row, claim.place
        px = row.reference_px or row.limit_px
        if px:
            # Until its symbol is planned again or has a mark, this is what its margin is taken by.
            cohort = place.mirror.cohort
            cohort.table.note_reference(cohort.symbol_index(row.symbol), px)
        event = self._event(row, place)
        leg = restored_leg(claim.rows, event, place.member)
        leg.reason, leg.end, leg.is_counted = REASON, None, claim.is_counted
        if not leg.is_told or row is claim.rows[-1]:
            event.legs.setdefault((leg.row, leg.index), leg)
        intent = self._intents[row.intent_id]
        since_ms = intent.venue_ts_ms
        if since_ms is None:
            # Recorded by our wall clock, which may have stood ahead then.
            since_ms = min(intent.recorded_ms, self._at.venue_ms) - BESIDE_MS
        self._claimed.append((place.mirror, leg, VenueMs(since_ms)))

    def ask(self) -> None:
        """Have the venue asked about every open claim; what was never to be sent is absent."""
        for mirror, leg, since_ms in self._claimed:
            if leg.member.mode == LIVE:
                mirror.resolver.add(leg, since_ms=since_ms)
            else:
                mirror.on_resolved(leg, None, self._at.now_ns)

    # --- what was never told ---

    async def tell(self) -> None:
        """Tell what is in the ledger and not in the log, oldest first; durable when this returns.

        Raises:
            StoreError: the ledger cannot be read, or the log not written.
        """
        untold = await self._store.untold(self._leader)
        self._learn(untold)
        legs: dict[IntentId, list[list[LedgerLeg]]] = {}
        for rows in _legs(untold.legs):
            legs.setdefault(rows[0].intent_id, []).append(rows)
        for intent in untold.intents:
            if not intent.is_told:
                self._journal.recovered_intent(intent)
            for rows in legs.get(intent.intent_id, []):
                self._tell_leg(intent, rows)
            self._journal.drain()
        await self._store.flush()

    def _tell_leg(self, intent: LedgerIntent, rows: list[LedgerLeg]) -> None:
        newest = rows[-1]
        if newest.reason == SHRUNK and intent.venue is None:
            return
        place = self._place(newest.follower_id)
        if place is not None and self._goes_on(intent, newest, place):
            self._keep_waiting(place, rows)
            return
        lane = self._lanes.get((newest.follower_id, newest.symbol)) or LaneState()
        event = self._event(newest, place)
        member = _gone(newest.follower_id) if place is None else place.member
        leg = restored_leg(rows, event, member)
        if newest.status == "waiting" and not leg.attempts:
            leg.reason = SUPERSEDED
        leg.is_told = True
        leg.finish()
        self._journal.leg_of_lane(leg, event, lane, self._newest.get(event.intent.symbol))

    def _goes_on(self, intent: LedgerIntent, newest: LedgerLeg, place: Place) -> bool:
        """Whether a leg is to be planned again: of the leader's newest event, and not done."""
        if intent.symbol is None or self._newest.get(intent.symbol) != intent.intent_id:
            return False
        if newest.status == "waiting":
            return True
        instrument = place.mirror.hub.instruments.get(newest.symbol)
        if newest.status != "ended" or not newest.is_reduction or instrument is None:
            return False
        cohort = place.mirror.cohort
        lane = cohort.table.lane(place.member.row, cohort.symbol_index(newest.symbol))
        return excess_qty(lane) >= instrument.rules.qty_step

    # --- what waited ---

    def _keep_waiting(self, place: Place, rows: list[LedgerLeg]) -> None:
        """Let a leg wait for its lane as it did: a newer event supersedes it."""
        event = self._event(rows[-1], place)
        leg = restored_leg(rows, event, place.member)
        # How an earlier attempt ended is not how the leg will.
        leg.end = None
        event.legs[leg.row, leg.index] = leg
        wishes, lane = place.mirror.cohort.wishes, (leg.row, leg.symbol_index)
        state = place.mirror.cohort.table.lane(*lane)
        is_free = not any((*state.in_flight_qty, *state.unknown_qty))
        if not leg.index:
            wishes.want(lane, event, leg, is_timed=False)
        elif is_free and wishes.of(lane) is None and excess_qty(state):
            # Its close is told and unfinished: whatever closes the rest comes too late for it.
            wishes.want_opening(lane, _made_old(leg, event, self._at.now_ns), leg)
        else:
            wishes.want_opening(lane, event, leg)
        self._waiting.append((place.mirror, leg))

    def take_up(self) -> None:
        """Have planned what waited: reductions at any age, openings while they are young enough.
        Books should be there by now. What a newer event took over is its business."""
        for mirror, leg in self._waiting:
            state = mirror.cohort.table.lane(leg.row, leg.symbol_index)
            is_free = not any((*state.in_flight_qty, *state.unknown_qty))
            if is_free or not leg.is_opening:
                mirror.take_up(leg)
        self._waiting.clear()

    # --- who and what ---

    def _place(self, follower: FollowerId) -> Place | None:
        for mirror in self._mirrors:
            row = mirror.cohort.row_of(follower)
            if row is not None:
                return Place(mirror, mirror.cohort.members[row])
        return None

    def _event(self, leg: LedgerLeg, place: Place | None) -> Event:
        """Return the event of a leg in its follower's cohort; one that left has one of its own."""
        mirror = self._mirrors[0] if place is None else place.mirror
        whose = leg.follower_id if place is None else mirror.hub.traits.venue
        key = (leg.intent_id, leg.symbol, str(whose))
        event = self._events.get(key)
        if event is None:
            row = self._intents[leg.intent_id]
            event = self._events[key] = restored_event(
                restored_intent(row, leg, self._at),
                mirror.cohort,
                leg.symbol,
                is_leaders=row.venue is not None,
            )
        return event


def _legs(rows: Iterable[LedgerLeg]) -> list[list[LedgerLeg]]:
    """Return rows leg by leg, in the order they came."""
    return [list(found) for _, found in groupby(rows, key=lambda row: row[:3])]


def _slot(row: LedgerLeg) -> int:
    """Return the index of a leg's side in its lane."""
    return int(POSITION_SIDES[row.position_side] is PositionSide.SHORT)


def _pick(claims: list[_Claim], qty: int) -> _Claim | None:
    """Take out the claim that an order of a lane stands for: the newest of its quantity, one known
    to be unknown before others; failing that, the newest of its direction."""
    if qty == 0:
        return None
    found = sorted(
        (claim for claim in claims if claim.signed_qty * qty > 0),
        key=lambda claim: (claim.signed_qty != qty, claim.row.leg_end != "unknown"),
    )
    if not found:
        return None
    claims.remove(found[0])
    return found[0]


def _gone(follower: FollowerId) -> Member:
    """Return who stands for a follower that follows this leader no more."""
    return Member(-1, follower, "", "", LIVE)


def _made_old(leg: Leg, event: Event, now_ns: TimeNs) -> Event:
    """Give a leg an event of its own that is too old to open; return it."""
    created_ns = TimeNs(now_ns - LONG_AGO_NS)
    old = replace(event, intent=replace(event.intent, created_ns=created_ns), legs={})
    old.legs[leg.row, leg.index] = leg
    leg.event = old
    return old
