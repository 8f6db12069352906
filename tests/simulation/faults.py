"""The kinds of fault that schedules are mixed from, each under the name the field gives it.

Every fault begins at an instant, ends by itself, and says when it has struck. One kind of the
field's list has no place here: ``broker gone``. Nothing stands between the processes of this
engine, so there is no broker that could go; it is left out by name.
"""

import socket
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from simulation.lives import Lives
from simulation.memory_net import Link
from simulation.world import World
from slipstream.venues.sim.faults import FaultRule

ORDER_ROUTE: Final = "POST /fapi/v3/order"
LEFT_OUT: Final = frozenset({"broker gone"})
ORDER_EVENT: Final = "ORDER_TRADE_UPDATE"


@dataclass(slots=True)
class Chaos:
    """Begins faults in one world and counts which of them struck."""

    world: World
    lives: Lives
    source: Random
    struck: Counter[str] = field(default_factory=Counter)
    begun: list[str] = field(default_factory=list)
    _rules: list[tuple[str, FaultRule]] = field(default_factory=list)
    _stalled: list[Link] = field(default_factory=list)

    def begin(self, kind: str) -> None:
        """Begin one fault of a kind."""
        self.begun.append(kind)
        self.lives.note(f"fault: {kind}")
        KINDS[kind](self, kind)

    def heal(self) -> None:
        """End every fault."""
        world = self.world
        world.admin("/_sim/faults", {"clear": True})
        network = world.loop.network
        network.is_refusing, network.dial_error = False, None
        for link in self._stalled:
            if link.is_open:
                link.resume()
        self._stalled.clear()
        world.venue.clock.skew_ms = 0
        self.lives.trouble()

    def counts(self) -> Counter[str]:
        """Return how often each kind struck."""
        found = Counter(self.struck)
        for kind, rule in self._rules:
            found[kind] += rule.hits
        return +found

    # --- who and for how long ---

    def follower(self) -> str:
        """Draw a follower."""
        return self.source.choice(self.world.followers).name

    def leader(self) -> str:
        """Draw a leader."""
        return self.source.choice(self.world.leaders)

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something after virtual seconds."""
        self.world.loop.call_later(seconds, act)

    def rule(self, kind: str, venue_kind: str, name: str | None, **more: object) -> None:
        """Have the venue misbehave within bounds; its hits are counted."""
        source = self.source
        bounds = {"count": source.randint(1, 5), "duration_ms": source.randint(500, 6_000)}
        self.world.fault(venue_kind, name, **{**bounds, **more})
        rules = self.world.venue.faults.rules
        if rules:
            self._rules.append((kind, rules[-1]))

    def links(self, name: str | None = None) -> list[Link]:
        """Return open connections of the engine, of one account or all."""
        if name is not None:
            return [link for link in self.world.links_of(name) if link.is_open]
        return [link for link in self.world.loop.network.links if link.is_open]

    def cut_some(self, share: float) -> None:
        """Reset a share of the open connections."""
        for link in self.links():
            if self.source.random() < share:
                link.reset()

    def stall(self, link: Link, seconds: float) -> None:
        """Deliver nothing on a connection for a while."""
        link.stall()
        self._stalled.append(link)
        self.later(seconds, lambda: link.resume() if link.is_open else None)


def _dial(make: Callable[[], OSError]) -> Callable[[Chaos, str], None]:
    def begin(chaos: Chaos, kind: str) -> None:
        network = chaos.world.loop.network
        network.dial_error = make()
        chaos.cut_some(chaos.source.choice((0.2, 0.5, 1.0)))
        chaos.struck[kind] += 1

        def end() -> None:
            network.dial_error = None

        chaos.later(chaos.source.uniform(0.3, 5.0), end)

    return begin


def _reset_before_write(chaos: Chaos, kind: str) -> None:
    links = chaos.links(chaos.follower())
    if links:
        chaos.source.choice(links).reset()
        chaos.struck[kind] += 1


def _on_orders(venue_kind: str, **more: object) -> Callable[[Chaos, str], None]:
    def begin(chaos: Chaos, kind: str) -> None:
        chaos.rule(kind, venue_kind, chaos.follower(), route=ORDER_ROUTE, **more)

    return begin


def _ack_late(chaos: Chaos, kind: str) -> None:
    delay_ms = chaos.source.randint(10_200, 14_000)
    chaos.rule(kind, "delay_response", chaos.follower(), route=ORDER_ROUTE, delay_ms=delay_ms)


def _banned(chaos: Chaos, kind: str) -> None:
    if chaos.source.random() < 0.6:
        chaos.rule(kind, "status_429", chaos.follower(), ms=1_000)
    else:
        chaos.rule(
            kind, "status_418", chaos.follower(), count=1, ms=chaos.source.randint(500, 4_000)
        )


def _thin(chaos: Chaos, kind: str) -> None:
    symbol = chaos.source.choice(chaos.world.symbols)
    settings = chaos.world.venue.makers[symbol].settings
    before = settings.level_notional
    chaos.world.market(symbol, level_notional=chaos.source.choice((150, 600)))
    chaos.struck[kind] += 1
    after = before // 10**8

    def end() -> None:
        chaos.world.market(symbol, level_notional=after)

    chaos.later(chaos.source.uniform(1.0, 6.0), end)


def _fill_before_ack(chaos: Chaos, kind: str) -> None:
    delay_ms = chaos.source.randint(20, 700)
    chaos.rule(kind, "delay_response", chaos.follower(), route=ORDER_ROUTE, delay_ms=delay_ms)


def _ack_after_fill(chaos: Chaos, kind: str) -> None:
    name = chaos.follower()
    chaos.rule(kind, "account_first", name)
    delay_ms = chaos.source.randint(200, 3_000)
    chaos.rule(kind, "delay_response", name, route=ORDER_ROUTE, delay_ms=delay_ms)


def _event(venue_kind: str, **more: object) -> Callable[[Chaos, str], None]:
    def begin(chaos: Chaos, kind: str) -> None:
        name = chaos.leader() if chaos.source.random() < 0.6 else chaos.follower()
        chaos.rule(kind, venue_kind, name, **more)

    return begin


def _reordered(chaos: Chaos, kind: str) -> None:
    name = chaos.leader() if chaos.source.random() < 0.6 else chaos.follower()
    if chaos.source.random() < 0.5:
        chaos.rule(kind, "reorder_event", name)
    else:
        chaos.rule(kind, "delay_event", name, delay_ms=chaos.source.randint(20, 600))


def _gap(chaos: Chaos, kind: str) -> None:
    if chaos.source.random() < 0.6:
        _event("drop_event")(chaos, kind)
    else:
        chaos.rule(kind, "gap_book", None, symbol=chaos.source.choice(chaos.world.symbols))


def _silent(chaos: Chaos, kind: str) -> None:
    source = chaos.source
    place = source.random()
    name = chaos.leader() if source.random() < 0.6 else chaos.follower()
    seconds = source.choice((0.3, 2.0, 12.0, 40.0))
    if place < 0.3:
        chaos.rule(kind, "silent_stream", name, count=50, duration_ms=int(seconds * 1_000))
        return
    links = chaos.links(name) if place < 0.7 else chaos.links()
    if not links:
        return
    link = source.choice(links)
    chaos.struck[kind] += 1
    if source.random() < 0.5:
        chaos.stall(link, seconds)
        return
    # Half-closed: what is asked still arrives, nothing comes back.
    link.near.is_stalled = True
    chaos._stalled.append(link)
    chaos.later(seconds, lambda: link.resume() if link.is_open else None)


def _book(*venue_kinds: str) -> Callable[[Chaos, str], None]:
    def begin(chaos: Chaos, kind: str) -> None:
        symbol = chaos.source.choice(chaos.world.symbols)
        chaos.rule(kind, chaos.source.choice(venue_kinds), None, symbol=symbol)

    return begin


def _stream_ends(chaos: Chaos, kind: str) -> None:
    name = chaos.leader() if chaos.source.random() < 0.6 else chaos.follower()
    chaos.world.fault(
        "disconnect_streams" if chaos.source.random() < 0.5 else "listen_key_expired", name
    )
    chaos.struck[kind] += 1


def _skew(chaos: Chaos, kind: str) -> None:
    ms = chaos.source.choice((-1, 1)) * chaos.source.choice((300, 900, 2_000, 4_000))
    chaos.world.fault("clock_skew", ms=ms)
    chaos.struck[kind] += 1

    def end() -> None:
        chaos.world.venue.clock.skew_ms = 0

    chaos.later(chaos.source.uniform(0.5, 6.0), end)


def _store_slow(chaos: Chaos, kind: str) -> None:
    chaos.lives.trouble(delay_ns=int(chaos.source.uniform(0.1, 2.5) * 1e9))
    chaos.struck[kind] += 1
    chaos.later(chaos.source.uniform(0.5, 4.0), chaos.lives.trouble)


def _store_full(chaos: Chaos, kind: str) -> None:
    chaos.lives.trouble(refusal="database or disk is full")
    chaos.struck[kind] += 1
    chaos.later(chaos.source.uniform(0.2, 4.0), chaos.lives.trouble)


def _lease_lost(chaos: Chaos, kind: str) -> None:
    if chaos.lives.is_up:
        chaos.struck[kind] += 1
        chaos.lives.lose_lease(chaos.source.choice((0.001, 0.05, 0.6, 3.0)))


KINDS: Final[dict[str, Callable[[Chaos, str], None]]] = {
    "connect refused": _dial(lambda: ConnectionRefusedError("connection refused")),
    "DNS failure": _dial(lambda: socket.gaierror(-3, "temporary failure in name resolution")),
    "TLS failure": _dial(lambda: ssl.SSLError(1, "handshake failure")),
    "reset before write": _reset_before_write,
    "reset after write": _on_orders("reset_before"),
    "ack lost": _on_orders("lost_ack"),
    "ack after time-out": _ack_late,
    "5xx after execution": _on_orders("status_503_after"),
    "429/418 with ban": _banned,
    "partial fill then cancel": _thin,
    "fill before ack": _fill_before_ack,
    "ack after fill on the other stream": _ack_after_fill,
    "duplicate event": _event("duplicate_event"),
    "reordered events": _reordered,
    "gap in stream": _gap,
    "silent stream": _silent,
    "stale snapshot": _book("stale_book"),
    "book crossed or empty": _book("crossed_book", "empty_book"),
    "clock skew": _skew,
    "store slow": _store_slow,
    "store full": _store_full,
    "lease lost in flight": _lease_lost,
    # Beside the field's list: what this venue does of itself.
    "stream ended by the venue": _stream_ends,
    "request hangs": _on_orders("hang"),
    "request hangs, executed": _on_orders("hang", executed=True),
    "5xx before execution": _on_orders("status_503_before"),
    "undecodable answer": _on_orders("garbage"),
    "refused by the firewall": _on_orders("waf_403"),
    "order refused": _on_orders("reject", code=-2019, msg="Margin is insufficient."),
}
FIELD_KINDS: Final = (
    "connect refused",
    "DNS failure",
    "TLS failure",
    "reset before write",
    "reset after write",
    "ack lost",
    "ack after time-out",
    "5xx after execution",
    "429/418 with ban",
    "partial fill then cancel",
    "fill before ack",
    "ack after fill on the other stream",
    "duplicate event",
    "reordered events",
    "gap in stream",
    "silent stream",
    "stale snapshot",
    "book crossed or empty",
    "clock skew",
    "store slow",
    "store full",
    "writer crash",
    "lease lost in flight",
    "broker gone",
)
"""The 24 kinds, named as in the field's list."""


def drawable() -> list[str]:
    """Return the kinds a schedule is mixed from; crashes and a lost lease are drawn apart."""
    return [each for each in KINDS if each != "lease lost in flight"]
