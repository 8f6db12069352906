"""What must hold in every schedule: at every step, and when everything is quiet again.

Judged from the venue's own log and positions wherever that is possible; the engine is only asked
what it believes of itself, which is then compared.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from simulation.lives import Lives
from simulation.world import Who, World, account_of, agent_key_of
from slipstream._core import SCALE, TARGET_SCALE
from slipstream.engine.lane import excess_qty
from slipstream.engine.leader import LeaderTracker
from slipstream.runtime.engine import Engine
from slipstream.telemetry.recount import recount

NOT_COUNTED: Final = "unjudged"
"""What the recount cannot judge from the logs: an order decided on a book the venue falsified."""
CAP_SLACK: Final = Decimal("1.03")
"""Caps are counted at the price of the plan; fills come at theirs."""


@dataclass(slots=True)
class Watch:
    """Looks at every line the venue writes, and at every lane between two steps."""

    world: World
    lives: Lives
    findings: list[str] = field(default_factory=list)
    _orders: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    _positions: dict[tuple[str, str, str], Decimal] = field(default_factory=dict)
    _followers: dict[str, Who] = field(default_factory=dict)

    def begin(self) -> None:
        """Read along from now on."""
        self._followers = {account_of(who.name).lower(): who for who in self.world.followers}
        log = self.world.venue.log
        append = log.append

        def read_along(kind: str, now_ns: int, fields: dict[str, Any]) -> None:
            append(kind, now_ns, fields)
            if kind in {"order", "fill"}:
                self._on_line(kind, fields)

        log.append = read_along  # type: ignore[method-assign]

    def say(self, finding: str) -> None:
        """Keep a finding."""
        self.lives.note(f"FINDING {finding}")
        self.findings.append(finding)

    def _on_line(self, kind: str, line: Mapping[str, Any]) -> None:
        words = " ".join(f"{key}={line[key]}" for key in _SHOWN if key in line)
        self.lives.note(f"venue {kind} {words}")
        who = self._followers.get(line["account"])
        if who is None:
            return
        if kind == "order":
            self._on_order(who, line)
        else:
            self._on_fill(who, line)

    def _on_order(self, who: Who, line: Mapping[str, Any]) -> None:
        if "order_id" not in line:
            return
        key = (line["account"], line["client_order_id"])
        known = self._orders.setdefault(key, dict(line))
        if known["order_id"] != line["order_id"]:
            self.say(f"duplicate: {who.name} {key[1]}: a second order of one name at the venue")
        if not key[1].startswith("s"):
            self.say(f"duplicate: {who.name}: an order under a name that is not ours: {key[1]}")

    def _on_fill(self, who: Who, line: Mapping[str, Any]) -> None:
        lane = (line["account"], line["symbol"], line["position_side"])
        before = self._positions.get(lane, Decimal(0))
        after = Decimal(line["position_after"])
        self._positions[lane] = after
        what = f"{who.name} {line['symbol']} {line['client_order_id']}: {before} -> {after}"
        if before * after < 0:
            self.say(f"risk: a fill turned a position round: {what}")
        order = self._orders.get((line["account"], line["client_order_id"]))
        if order is not None:
            is_worse = Decimal(line["px"]) > Decimal(order["limit_px"])
            if order["side"] == "SELL":
                is_worse = Decimal(line["px"]) < Decimal(order["limit_px"])
            if is_worse:
                self.say(f"breach: {what} filled at {line['px']} beyond its limit")
            if order["reduce_only"] and abs(after) > abs(before):
                self.say(f"risk: a reduction opened: {what}")
        caps = who.mirror.get("caps")
        if caps is not None and caps.symbol is not None and abs(after) > abs(before):
            worth = abs(after) * Decimal(line["px"])
            if worth > Decimal(caps.symbol).scaleb(-8) * CAP_SLACK:
                self.say(f"risk: {what} is worth {worth}, more than its cap")

    def look(self) -> None:
        """Compare every lane with the venue: inside the interval of what may have happened."""
        if not self.lives.is_up:
            return
        for name, symbol, lane, _ in lanes_of(self.world):
            held = int(self.world.position(name, symbol).scaleb(8))
            ours = sum(lane.position_qty)
            moves = (*lane.in_flight_qty, *lane.unknown_qty)
            low = ours + sum(min(0, move) for move in moves)
            high = ours + sum(max(0, move) for move in moves)
            if not low <= held <= high:
                self.say(f"adrift: {name} {symbol} holds {held}, believed in {low}..{high}")


_SHOWN: Final = (
    "account",
    "client_order_id",
    "symbol",
    "side",
    "qty",
    "px",
    "limit_px",
    "reduce_only",
    "status",
    "filled_qty",
    "position_after",
)


def lanes_of(world: World) -> list[tuple[str, str, Any, int]]:
    """Return (follower, symbol, lane, lot) of everything the engine keeps."""
    found = []
    for parts in world.engine.parts.values():
        for mirror in parts.mirrors:
            for symbol, index in mirror.cohort.symbols.items():
                lot = mirror.hub.instruments[symbol].rules.qty_step
                for member in mirror.cohort.members:
                    lane = mirror.cohort.table.lane(member.row, index)
                    found.append((str(member.follower), symbol, lane, lot))
    return found


def unquiet(world: World, lives: Lives) -> str | None:
    """Return why the engine is not at rest yet; ``None`` = it is."""
    if not lives.is_up:
        return "no engine is up"
    if world.engine.store.stats().is_down:
        return "the database is behind its side log"
    return next(_unrest(world), None)


def _unrest(world: World) -> Iterator[str]:
    engine = world.engine
    if len(engine.parts) < len(world.leaders):
        yield "a leader is not followed"
    for supervisor in engine.supervisors:
        if not supervisor.health.is_live.is_set() or supervisor.health.down_since_ns is not None:
            yield f"leader {supervisor.health.leader} is down"
    yield from _unrest_of_leaders(engine)
    for name, symbol, lane, lot in lanes_of(world):
        if any(lane.unknown_qty) or any(lane.in_flight_qty):
            yield f"{name} {symbol}: an order is out or unknown"
        if excess_qty(lane) >= lot:
            yield f"{name} {symbol}: more is held than wanted"


def _unrest_of_leaders(engine: Engine) -> Iterator[str]:
    for parts in engine.parts.values():
        if not parts.pipeline.is_running or parts.pipeline.is_busy:
            yield f"pipeline of {parts.leader} is busy"
        for symbol in _waiting_symbols(parts.pipeline._tracker):
            yield f"fills of {parts.leader} in {symbol} wait for its margin or position"
        if any(mirror.is_busy for mirror in parts.mirrors):
            yield f"a mirror of {parts.leader} is busy"


def _waiting_symbols(tracker: LeaderTracker) -> list[str]:
    symbols = sorted({lane.key.symbol for lane in tracker.account.lanes()})
    return [symbol for symbol in symbols if not tracker.is_settled(symbol)]


def adrift(world: World) -> list[str]:
    """Return the lanes that are not at the venue what the engine believes, or too much."""
    found = []
    for name, symbol, lane, lot in lanes_of(world):
        held = world.position(name, symbol)
        ours = Decimal(sum(lane.position_qty)) / SCALE
        if held != ours or excess_qty(lane) >= lot:
            wanted = sum(lane.wanted_target) / TARGET_SCALE
            found.append(f"adrift: {name} {symbol} holds {held}, ours {ours}, wanted {wanted}")
    return found


def judge(world: World) -> list[str]:
    """Return what the logs and the ledger say against the promises."""
    lines, venue = world.store.lines(), world.venue_lines()
    findings = adrift(world)
    try:
        counted = recount(venue, lines)
    except KeyError as error:
        findings.append(f"incomplete: the log does not tell of {error}")
    else:
        findings += [each for each in counted.findings if not each.startswith(NOT_COUNTED)]
    findings += _told(world, lines)
    if world.venue.face.bad_signatures:
        findings.append(f"signatures: {world.venue.face.bad_signatures} bad ones")
    findings += _keys(world, lines)
    return findings


def _told(world: World, lines: Sequence[Mapping[str, Any]]) -> list[str]:
    intents: dict[str, str] = {}
    repeated = []
    for line in lines:
        if line["kind"] == "intent":
            if line["intent_id"] in intents:
                repeated.append(f"told: intent {line['intent_id']} is told twice")
            intents[line["intent_id"]] = line["leader"]
    told = Counter(
        (line["intent_id"], line["follower"], line["payload"]["leg"])
        for line in lines
        if line["kind"] == "leg"
    )
    return [
        *repeated,
        *(
            f"told: {who.name} has {told[intent, who.name, 0]} outcomes of {intent}"
            for intent, leader in intents.items()
            for who in world.followers
            if who.leader == leader and told[intent, who.name, 0] != 1
        ),
        *(
            f"told: {key} has {count} outcomes"
            for key, count in told.items()
            if key[2] and count > 1
        ),
    ]


def _keys(world: World, lines: Sequence[Mapping[str, Any]]) -> list[str]:
    text = str(lines).lower()
    names = [*world.leaders, *(who.name for who in world.followers)]
    return [
        f"keys: the key of {name} is in the log" for name in names if agent_key_of(name) in text
    ]
