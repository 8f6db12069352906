"""Whether every follower's position at the venue is what the records say it should be.

A lane's recorded numbers are followed line by line. Each line names the newest leader event that
its numbers include, so the events between two lines are known, whatever order legs ended in:

* the exact target is computed again from those events and the follower's settings;
* what was given up, exact target less target, keeps the share that the leader kept, and grows by
  no more than the opening legs told of as missed;
* at the end, target less position is less than a lot or what the newest lines recorded as missed.

``docs/evidence.md`` has the rule and why it holds.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from slipstream.telemetry.evidence import Activity, Lane, LaneLine, LeaderEvent, Line
from slipstream.telemetry.exact_targets import ExactTarget, unjudgeable
from slipstream.telemetry.venue_record import VenueRecord

_ZERO: Final = Decimal(0)
_STEP: Final = Decimal("4e-18")
"""Exact target and target are kept at 10**-18 and each may be rounded once with every event."""

_QTY_STEP: Final = Decimal("1e-8")
"""Missed quantities are told at 10**-8, rounded down."""

_RELATIVE: Final = Decimal("1e-9")
_NEVER_GIVEN_UP: Final = ("BELOW_LOT", "DIRECTION", "NO_CHANGE")
_BELOW_MINIMUM: Final = ("BELOW_MIN_QTY", "BELOW_MIN_NOTIONAL")


@dataclass(slots=True)
class _Miss:
    """What an opening leg may give up or raise from its event on, until it is told."""

    event_index: int
    place: int
    given_up: Decimal
    raised: Decimal


@dataclass(slots=True)
class _Walk:
    """One lane while its lines are followed."""

    name: str
    chain: list[LeaderEvent]
    exact: ExactTarget | None
    misses: list[_Miss]
    lot: Decimal
    ignored: set[str]
    applied: int = -1
    given_up: Decimal = _ZERO
    carried: Decimal = _ZERO
    target: Decimal = _ZERO
    position: Decimal = _ZERO
    is_unknown: bool = False
    shrunk: Decimal = _ZERO
    findings: list[str] = field(default_factory=list)

    def follow(self, place: int, line: LaneLine, index: int) -> None:
        """Take the next line, whose numbers include the events up to ``index``."""
        kept = Decimal(1)
        for event in self.chain[self.applied + 1 : index + 1]:
            if event.intent_id in self.ignored:
                continue
            kept *= event.kept
            if self.exact is not None:
                self.exact.apply(event)
        if index < self.applied:
            self._find(line, f"its numbers are older than the line before it ({line.newest})")
        self.applied = max(self.applied, index)
        rounding = _STEP * (self.applied + 2)
        if line.is_reset or self._is_told_reset(line):
            self._reset(line)
        else:
            self._compare_exact(line, rounding)
            self._compare_given_up(place, line, kept, rounding)
        self.given_up = line.exact_target - line.target
        rest = line.target - line.position
        self.carried = min(abs(rest), self._missing(line, abs(self.carried * kept)))
        self.target, self.position = line.target, line.position
        self.is_unknown |= line.is_unknown
        self.misses = [each for each in self.misses if each.place > place]

    def _missing(self, line: LaneLine, before: Decimal) -> Decimal:
        """Return what may be missing after a line, of which so much was recorded before.

        A leg wants all that its lane lacks, what is out elsewhere counted as there. So what an
        order of an older event did not fill was left out by the newer ones, and comes on top.
        """
        own = next((e.index for e in self.chain if e.intent_id == line.intent_id), self.applied)
        if line.had_order and own < self.applied:
            return before + line.missed_qty
        return max(before, line.missed_qty)

    def _is_told_reset(self, line: LaneLine) -> bool:
        """Whether a leg of an order of the operator's is all that is left of its flatten."""
        is_beside = line.is_recovered and all(
            event.intent_id != line.intent_id for event in self.chain
        )
        return is_beside and not line.exact_target and not line.target

    def _reset(self, line: LaneLine) -> None:
        """Take targets that were set beside the leader's events: they may only shrink."""
        if self.exact is not None:
            before = self.exact.target
            if line.exact_target * before < 0 or abs(line.exact_target) > abs(before):
                self._find(line, f"exact target {before} became {line.exact_target} by itself")
            self.exact.reset(line.exact_target)
        if line.reason == "POSITION_SHRUNK":
            self.shrunk += line.position - self.position

    def _compare_exact(self, line: LaneLine, rounding: Decimal) -> None:
        if self.exact is None:
            return
        expected = self.exact.target
        apart = abs(line.exact_target - expected)
        if apart > max(_RELATIVE * abs(expected), rounding) or apart >= self.lot:
            self._find(line, f"exact target {line.exact_target}, computed again {expected:.18f}")
            self.exact = None  # one word for a lane: every later line would say the same

    def _compare_given_up(
        self, place: int, line: LaneLine, kept: Decimal, rounding: Decimal
    ) -> None:
        expected = self.given_up * kept
        direction = Decimal(1).copy_sign(line.exact_target or line.target or expected)
        grown = (line.exact_target - line.target - expected) * direction
        begun = [each for each in self.misses if each.event_index <= self.applied]
        most = sum((each.given_up for each in begun), _ZERO)
        least = sum((each.raised for each in begun), _ZERO)
        if expected * direction < 0:
            most -= expected * direction  # what was raised is used up before more is wanted
        if not -least - rounding <= grown <= most + rounding:
            self._find(
                line,
                f"gave up {line.exact_target - line.target}, where {expected} was given up before "
                f"and {most} was recorded as missed",
            )
        self._use_up(place, begun, grown)

    def _use_up(self, place: int, begun: list[_Miss], grown: Decimal) -> None:
        """Use misses up, those first that are told by now."""
        for each in sorted(begun, key=lambda each: each.place > place):
            used = min(max(grown, _ZERO), each.given_up)
            each.given_up -= used
            grown -= used

    def _find(self, line: LaneLine, what: str) -> None:
        self.findings.append(f"unexplained: {self.name}: line {line.seq}: {what}")


def unexplained(told: Activity, seen: VenueRecord, unjudged: list[str]) -> Iterator[str]:
    """Yield one finding for each lane's line and each position that the records do not explain."""
    accounts = {name: each["account"] for name, each in told.followers.items()}
    names = told.follower_by_account
    live = {name for name, each in told.followers.items() if each["mode"] == "live"}
    held = {(names[account], symbol) for account, symbol in seen.held}
    for lane in sorted(held | {key for key in told.lanes if key[0] in live}):
        place = (accounts[lane[0]], lane[1])
        walk = _walked(lane, told, unjudged)
        yield from walk.findings
        ours = seen.held.get(place, _ZERO) + walk.shrunk
        yield from _at_the_end(walk, ours)
        taken = sum((abs(qty) for qty in seen.foreign.get(place, ())), _ZERO)
        if abs(walk.shrunk) > taken:
            yield (
                f"unexplained: {walk.name}: shrunk by {abs(walk.shrunk)}, "
                f"of which others closed {taken}"
            )


def _at_the_end(walk: _Walk, ours: Decimal) -> Iterator[str]:
    gap = abs(walk.target - ours)
    if gap >= walk.lot and gap - walk.carried >= walk.lot:
        yield (
            f"unexplained: {walk.name} holds {ours}, target {walk.target}; "
            f"recorded as still missing {walk.carried}"
        )
    elif ours != walk.position and not walk.is_unknown:
        yield f"unexplained: {walk.name} holds {ours}, its newest line says {walk.position}"


def _walked(lane: Lane, told: Activity, unjudged: list[str]) -> _Walk:
    """Follow a lane's lines from the first to the last."""
    follower, symbol = lane
    lines, chain = told.lanes.get(lane, []), told.chain_of(lane)
    sizing = told.mirrors[follower, told.leader_of(lane)]["sizing"]
    name = f"{follower} {symbol}"
    why = unjudgeable(sizing)
    is_net = all(event.is_net for event in chain)
    if not is_net:
        why = "the leader holds a long and a short side apart"
    if why is not None:
        unjudged.append(f"unjudged: {name}: exact target: {why}")
    walk = _Walk(
        name,
        chain,
        ExactTarget(sizing) if why is None else None,
        [
            each
            for place, line in enumerate(lines)
            if (each := _miss_of(place, line, told, sizing)) is not None
        ],
        told.lots[symbol],
        {intent for intent, whose in told.overflows if whose == follower},
    )
    for place, line in enumerate(lines):
        index = _index_of(line, told, walk)
        if index is None:
            unjudged.append(
                f"unjudged: {name}: line {line.seq} speaks of an event that never became durable"
            )
        elif is_net:
            walk.follow(place, line, index)
        else:
            walk.target, walk.position = line.target, line.position
            walk.carried = line.missed_qty
    return walk


def _index_of(line: LaneLine, told: Activity, walk: _Walk) -> int | None:
    """Return the place of the newest event in a line's numbers, -1 before the first."""
    if line.newest is None:
        return -1
    event = told.events.get(line.newest)
    if event is None or event not in walk.chain[event.index :][:1]:
        return None
    # An event that only a later life told of was planned and lost, then met again, perhaps
    # with less left of it: its name is made of the same fills.
    return None if event.life > line.life else event.index


def _miss_of(place: int, line: LaneLine, told: Activity, sizing: Line) -> _Miss | None:
    """Return what a line lets its lane give up or raise."""
    event = told.events.get(line.intent_id)
    if event is None or not line.is_opening or line.reason in _NEVER_GIVEN_UP:
        return None
    is_given_up = sizing["missed"] == "give_up"
    if line.reason in _BELOW_MINIMUM:
        is_given_up = sizing["below_minimum"] == "skip"
    raised = line.raised_qty if sizing["below_minimum"] == "bump" else _ZERO
    given_up = line.missed_qty + _QTY_STEP if is_given_up and line.missed_qty else _ZERO
    return _Miss(event.index, place, given_up, raised) if given_up or raised else None
