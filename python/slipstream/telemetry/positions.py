"""Whether every follower's position at the venue is what the records say it should be.

Per lane, in the order of the log, two quantities explain a gap between exact target and
position: what opening legs gave up (it shrinks by the leader's own fraction with every
reduction, and is gone when the leader closes), and what the newest leg still wanted when it
ended. Neither is ever more than a recorded missed quantity.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from slipstream.telemetry.evidence import Activity, LeaderEvent, LegEndLine
from slipstream.telemetry.venue_record import VenueRecord

_ZERO = Decimal(0)


@dataclass(slots=True)
class _GivenUp:
    """One opening's recorded loss, signed like the target; ``least`` and ``most`` differ where
    a later reduction overlapped it, because then either order of the two explains the records."""

    seq: int
    least: Decimal
    most: Decimal


def unexplained(told: Activity, seen: VenueRecord) -> Iterator[str]:
    """Yield one finding for each position and each event that the records do not explain."""
    yield from _uncounted(told)
    names = told.follower_by_account
    held = {(names[account], symbol): qty for (account, symbol), qty in seen.held.items()}
    live = {name for name, each in told.followers.items() if each["mode"] == "live"}
    for lane in sorted(held.keys() | {key for key in told.lanes if key[0] in live}):
        position = held.get(lane, _ZERO)
        lines = told.lanes.get(lane, [])
        exact = lines[-1].exact_target if lines else _ZERO
        least, most = _explained(lines, told)
        gap = exact - position
        lot = told.lots[lane[1]]
        if gap - most >= lot or least - gap >= lot:
            yield (
                f"unexplained: {lane[0]} {lane[1]} holds {position}, exact target {exact}; "
                f"the records explain a gap of {least} to {most}"
            )


def _uncounted(told: Activity) -> Iterator[str]:
    """Yield each (event, follower, leg) that has not exactly one recorded outcome."""
    for intent_id, event in told.events.items():
        for follower, each in told.followers.items():
            if each["leader"] != event.leader:
                continue
            for leg in (0, 1) if event.kind == "flip" else (0,):
                count = told.outcomes.get((intent_id, follower, leg), 0)
                if count != 1:
                    yield (
                        f"unexplained: {follower}: {event.kind} {intent_id} leg {leg} has "
                        f"{count} recorded outcomes"
                    )


def _explained(lines: list[LegEndLine], told: Activity) -> tuple[Decimal, Decimal]:
    """Return the least and the most gap, signed, that the records of a lane explain."""
    given_up: list[_GivenUp] = []
    open_qty = _ZERO
    for line in lines:
        event = told.events[line.intent_id]
        kept = event.kept if line.leg == 0 else Decimal(1)
        if kept != 1:
            given_up = _scaled(given_up, kept, event)
            open_qty *= kept
        rest = line.target - line.position
        carried = line.missed_qty
        if rest * open_qty > 0:
            carried = max(carried, abs(open_qty))
        open_qty = min(abs(rest), carried).copy_sign(rest)
        lost = line.missed_qty - abs(open_qty)
        if line.is_opening and lost > 0:
            signed = lost.copy_sign(line.exact_target)
            given_up.append(_GivenUp(line.seq, signed, signed))
    sums = (
        sum((each.least for each in given_up), open_qty),
        sum((each.most for each in given_up), open_qty),
    )
    return min(sums), max(sums)


def _scaled(given_up: list[_GivenUp], kept: Decimal, event: LeaderEvent) -> list[_GivenUp]:
    """Shrink what was given up by a reduction of the leader."""
    scaled: list[_GivenUp] = []
    for each in given_up:
        most = each.most * kept if each.seq < event.seq else each.most
        if most:
            scaled.append(_GivenUp(each.seq, each.least * kept, most))
    return scaled
