"""What the engine's machines ask of the runtime: plain frozen values, carried out in order.

A machine never does what it wants done; it says so here. Every effect is a request or a report
and none carries a way to answer: answers come back through the machine's own ``on_`` methods.
"""

from dataclasses import dataclass

from slipstream.domain.intent import MirrorIntent


@dataclass(frozen=True, slots=True)
class EmitIntent:
    """Mirror this. ``cursor`` is the newest backfill cursor of the intent's symbol, ``None``
    while fills at or before it still wait (it must not become durable before they do)."""

    intent: MirrorIntent
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class ReadMargin:
    """Read the leader's account; the answer goes to ``on_margin_read``."""

    symbol: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReadPositions:
    """Read the leader's account; the answer goes to ``on_snapshot``."""

    reason: str


@dataclass(frozen=True, slots=True)
class Backfill:
    """Read the leader's executions of a symbol from its cursor; answer with ``on_backfill``."""

    symbol: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReportIncident:
    """Something that a person should know. ``kind`` is a stable word, ``detail`` a sentence."""

    kind: str
    detail: str


Effect = EmitIntent | ReadMargin | ReadPositions | Backfill | ReportIncident
