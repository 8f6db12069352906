"""Whether every fill of a leader was mirrored once and has one outcome for every follower."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from slipstream.telemetry.evidence import Activity, LeaderEvent
from slipstream.telemetry.venue_record import LeaderFill, VenueRecord

_PARTS: Final = ("/close:", "/open")
_RAW: Final = Decimal(10) ** -8
_Place = tuple[str, str]
"""(account, symbol)."""


def lost_fills(told: Activity, seen: VenueRecord) -> Iterator[str]:
    """Yield one finding for each fill and each outcome that is not there exactly once."""
    listed = Counter(name for event in told.events.values() for name in event.fills)
    by_trade: dict[tuple[str, str, str], Counter[str]] = {}
    for (account, symbol, name), count in listed.items():
        trade_id, part = cut(name)
        by_trade.setdefault((account, symbol, trade_id), Counter())[part] += count
    since_ms = {
        each["account"]: told.since_ms[name]
        for name, each in told.leaders.items()
        if name in told.since_ms
    }
    missing: list[LeaderFill] = []
    for fill in seen.leader_fills:
        began_ms = since_ms.get(fill.account)
        parts = by_trade.get((fill.account, fill.symbol, fill.trade_id))
        is_due = began_ms is not None and fill.at_ms > began_ms
        if parts is not None:
            problem = _problem(parts)
            if problem is not None:
                yield f"lost fill: {fill.symbol} {fill.trade_id} of {fill.account}: {problem}"
        elif is_due and (fill.account, fill.symbol, fill.trade_id) not in told.unmirrored:
            missing.append(fill)
    yield from _unread(missing, told)
    yield from _uncounted(told)


def cut(name: str) -> tuple[str, str]:
    """Return a listed identity as the fill's own and the part that is meant."""
    for mark in _PARTS:
        trade_id, found, _ = name.partition(mark)
        if found:
            return trade_id, mark
    return name, ""


def _problem(parts: Counter[str]) -> str | None:
    """Return what is wrong with how often a fill is listed, ``None`` when it is listed once."""
    if parts in (Counter({"": 1}), Counter(dict.fromkeys(_PARTS, 1))):
        return None
    if sum(parts.values()) == 1:
        return f"only its part {next(iter(parts))!r} is in an intent"
    return f"in {sum(parts.values())} intents"


def _unread(missing: list[LeaderFill], told: Activity) -> Iterator[str]:
    """Yield the missing fills that no reading of the position stands for."""
    stands = {(each["account"], name) for name, each in told.leaders.items()}
    by_place: dict[_Place, list[LeaderFill]] = {}
    for fill in missing:
        by_place.setdefault((fill.account, fill.symbol), []).append(fill)
    for (account, symbol), fills in by_place.items():
        left = fills
        for event in told.events.values():
            if event.symbol == symbol and (account, event.leader) in stands:
                left = _read(event, left)
        for fill in left:
            yield f"lost fill: {symbol} {fill.trade_id} of {account}: in no intent"


def _read(event: LeaderEvent, fills: list[LeaderFill]) -> list[LeaderFill]:
    """Return the fills that are left once an event's readings have taken theirs."""
    for what, at_ms in event.reads:
        before, _, after = what.rpartition(":")[2].partition(">")
        changed = (int(after) - int(before)) * _RAW
        older = [fill for fill in fills if fill.at_ms <= at_ms]
        if sum((fill.qty for fill in older), Decimal(0)) == changed:
            fills = [fill for fill in fills if fill.at_ms > at_ms]
    return fills


def _uncounted(told: Activity) -> Iterator[str]:
    """Yield each event told twice and each (event, follower, leg) without exactly one outcome."""
    for intent_id, event in told.events.items():
        if told.event_counts[intent_id] != 1:
            yield f"lost fill: intent {intent_id} is told {told.event_counts[intent_id]} times"
        for follower, leader in told.mirrors:
            if leader != event.leader:
                continue
            # A number too large stops the event of a follower as a whole: one line tells of it.
            is_whole = (intent_id, follower) in told.overflows
            for leg in (0, 1) if event.is_flip and not is_whole else (0,):
                count = told.outcomes.get((intent_id, follower, leg), 0)
                if count != 1:
                    yield (
                        f"lost fill: {follower}: intent {intent_id} leg {leg} has "
                        f"{count} recorded outcomes"
                    )
