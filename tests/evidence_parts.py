"""Hand-made evidence of a run, to be spoilt one line at a time.

Two followers of one leader who opens 10 and closes half on a small book: alice follows with a
fifth, bob with two fifths. What may be counted of it is worked out on paper, not by the engine.
"""

import copy
from decimal import Decimal
from typing import Any

from slipstream.telemetry.recount import Recount, recount

MS = 1_000_000
ALICE, BOB, WHALE = "0xa11ce", "0xb0b", "0xaa1e"

Line = dict[str, Any]


class Evidence:
    """Lines of both logs, to be spoiled one at a time."""

    def __init__(self) -> None:
        """Write the clean evidence."""
        self.activity: list[Line] = [_session(), _began()]
        self.venue: list[Line] = [
            book(1, 5, [("99", "8"), ("98", "8")], [("101", "4"), ("102", "4")], snapshot=True),
            book(2, 6, [("99", "9")], []),
        ]
        self.event("open-1", "open", "0", "10")
        self.leg("alice", "open-1", "a-1 BUY 2 102", target="2", position="2")
        self.leg("bob", "open-1", "b-1 BUY 4 102", target="4", position="4")
        self.order(ALICE, "a-1 BUY 2 102", fills=[("101", "2")], at=6)
        self.order(BOB, "b-1 BUY 4 102", fills=[("101", "2"), ("102", "2")], at=6)
        self.event("half-1", "partial_close", "10", "5")
        self.venue.append(book(9, 7, [("98", "7")], [("101", "4"), ("102", "4")]))
        self.leg("alice", "half-1", "a-2 SELL 1 98", target="1", position="1", sequence=7)
        self.leg("bob", "half-1", "b-2 SELL 2 98", target="2", position="2", sequence=7)
        self.order(ALICE, "a-2 SELL 1 98", fills=[("99", "1")], at=7)
        self.order(BOB, "b-2 SELL 2 98", fills=[("99", "2")], at=7)

    def leg(
        self,
        follower: str,
        intent: str,
        order: str | None,
        *,
        target: str,
        position: str,
        sequence: int = 6,
        missed: str = "0",
        exact: str | None = None,
        newest: str | None = None,
        **more: object,
    ) -> Line:
        """Record a leg's end, with an order given as "id side quantity limit"."""
        is_reduction = intent.startswith(("half", "close"))
        payload: Line = {
            "symbol": "XUSDT",
            "leg": 0,
            "is_opening": not is_reduction,
            "end": "partial" if order else "skipped",
            "exact_target": exact or target,
            "target": target,
            "position": position,
            "wanted_qty": missed,
            "filled_qty": "0",
            "missed_qty": missed,
            "newest": newest or intent,
        }
        if order is not None:
            name, side, qty, limit_px = order.split()
            payload |= {"side": side, "rank": 0, "stages": {"claimed": 5, "sent": 6}}
            payload |= {"wanted_qty": qty, "filled_qty": str(Decimal(qty) - Decimal(missed))}
            payload["orders"] = [
                {
                    "client_order_id": name,
                    "attempt": 0,
                    "qty": qty,
                    "limit_px": limit_px,
                    "is_reduction": is_reduction,
                    "reference": "MID" if is_reduction else "ARRIVAL_MID",
                    "reference_px": "99",
                    "reference_sequence": sequence,
                    "book_sequence": sequence,
                    "bound_ppm": 20_000,
                    "has_depth": True,
                    "state": "done",
                    "answer_ms": 2,
                }
            ]
        payload |= more
        line: Line = {
            "seq": len(self.activity) + 1,
            "kind": "leg",
            "leader": "whale",
            "follower": follower,
            "intent_id": intent,
            "reason": None,
            "payload": payload,
        }
        self.activity.append(line)
        return line

    def event(self, name: str, kind: str, before: str, after: str) -> Line:
        """Record a leader's event, and let the venue have its fill."""
        line = intent(len(self.activity) + 1, name, kind, before, after)
        self.activity.append(line)
        self.venue.append(leader_fill(name, before, after))
        return line

    def order(
        self,
        account: str,
        asked: str,
        *,
        fills: list[tuple[str, str]],
        at: int,
        order_id: int | None = None,
        arrival_ns: int | None = None,
    ) -> None:
        """Let the venue have an order, given as "id side quantity limit", and its fills."""
        name, side, qty, limit_px = asked.split()
        ns = len(self.venue) * MS if arrival_ns is None else arrival_ns
        common = {"account": account, "client_order_id": name, "symbol": "XUSDT", "side": side}
        common["order_id"] = str(order_id or len(self.venue))
        for px, filled in fills:
            self.venue.append(common | {"kind": "fill", "ns": ns, "px": px, "qty": filled})
        self.venue.append(
            common
            | {
                "kind": "order",
                "ns": ns + MS // 2,
                "arrival_ns": ns,
                "qty": qty,
                "limit_px": limit_px,
                "executed_on_sequence": at,
                "filled_qty": str(sum(Decimal(filled) for _, filled in fills)),
            }
        )

    def mirror(self, follower: str) -> Line:
        """The settings by which somebody mirrors the leader."""
        found: Line = self.activity[0]["payload"]["followers"][follower]["mirrors"]["whale"]
        return found

    def orders(self, name: str) -> Line:
        """The recorded order of a client id."""
        for line in self.activity:
            for each in line["payload"].get("orders", ()):
                if each["client_order_id"] == name:
                    found: Line = each
                    return found
        raise LookupError(name)

    def at_venue(self, name: str, kind: str = "order") -> Line:
        return next(
            line for line in self.venue if line["kind"] == kind and line["client_order_id"] == name
        )

    def count(self) -> Recount:
        return recount(copy.deepcopy(self.venue), copy.deepcopy(self.activity))


def _session() -> Line:
    common = {"venue": "sim", "mode": "live"}
    bounds = {
        "entry_ppm": 20_000,
        "exit_ppm": 20_000,
        "emergency_ppm": 50_000,
        "deviation_ppm": 20_000,
    }
    return {
        "seq": 1,
        "kind": "session",
        "payload": {
            "leaders": {"whale": {"venue": "sim", "account": WHALE}},
            "followers": {
                name: {"account": account, "mirrors": {"whale": bounds | {"sizing": sizing}}}
                | common
                for name, account, sizing in (
                    ("alice", ALICE, _sizing("0.2")),
                    ("bob", BOB, _sizing("0.4")),
                )
            },
            "lots": {"XUSDT": "0.1"},
            "limits": {"book_age_ms_max": 2_000, "reference_age_ms_max": 7_000},
        },
    }


def intent(seq: int, name: str, kind: str, before: str, after: str) -> Line:
    payload: Line = {"symbol": "XUSDT", "kind": kind, "px": "100"}
    payload |= {"before": before, "after": after, "leader_margin": None, "position_side": "NET"}
    payload["fills"] = [["sim", WHALE.upper(), "XUSDT", "1", name, "1000"]]
    return {
        "seq": seq,
        "kind": "intent",
        "leader": "whale",
        "follower": None,
        "intent_id": name,
        "payload": payload,
    }


def book(
    ns_ms: int,
    sequence: int,
    bids: list[tuple[str, str]],
    asks: list[tuple[str, str]],
    *,
    snapshot: bool = False,
) -> Line:
    line: Line = {"kind": "book", "ns": ns_ms * MS, "symbol": "XUSDT", "sequence": sequence}
    line |= {"bids": bids, "asks": asks}
    return line | {"snapshot": True} if snapshot else line


def _sizing(ratio: str) -> Line:
    return {
        "mode": "ratio",
        "ratio": ratio,
        "allocation": None,
        "min_leader_notional": "0",
        "reverse": False,
        "missed": "give_up",
        "below_minimum": "carry",
    }


def _began() -> Line:
    return {"seq": 2, "kind": "leader", "leader": "whale", "payload": {"since_ms": 999}}


def leader_fill(name: str, before: str, after: str) -> Line:
    change = Decimal(after) - Decimal(before)
    return {
        "kind": "fill",
        "ns": 0,
        "account": WHALE,
        "client_order_id": "web_1",
        "symbol": "XUSDT",
        "side": "BUY" if change > 0 else "SELL",
        "px": "100",
        "qty": str(abs(change)),
        "trade_id": name,
        "at_ms": 1000,
    }


def counts(found: Recount) -> tuple[int, int, int, int]:
    """Return breaches, duplicates, overcommits and what is unexplained."""
    return (
        found.slippage_breaches,
        found.duplicate_orders,
        found.depth_overcommits,
        found.unexplained,
    )
