"""How long each fan-out took: its first order, its last, and its last fill.

One fan-out is the first wave of one intent: the orders planned from the leader's event itself.
What follows from an outcome (a flip's opening leg, the rest of a reduction) waits for the venue
and is not part of it.
"""

from dataclasses import dataclass

from slipstream.domain.ids import IntentId
from slipstream.domain.intent import MirrorIntent
from slipstream.telemetry.stages import AttemptStamps, milliseconds
from slipstream.units import TimeNs

_PERCENT = 100


@dataclass(slots=True)
class _Wave:
    received_ns: TimeNs
    first_sent_ns: TimeNs | None = None
    last_sent_ns: TimeNs | None = None
    last_filled_ns: TimeNs | None = None
    order_count: int = 0


class FanOutTimes:
    """Collects the waves of a run."""

    def __init__(self) -> None:
        """Begin without any."""
        self._waves: dict[IntentId, _Wave] = {}

    def on_first_attempt(self, intent: MirrorIntent, attempt: AttemptStamps) -> None:
        """Count one order of an intent's first wave."""
        sent_ns = attempt.sent_ns
        if sent_ns is None:
            return
        wave = self._waves.get(intent.id)
        if wave is None:
            wave = self._waves[intent.id] = _Wave(intent.received_ns)
        wave.order_count += 1
        if wave.first_sent_ns is None or sent_ns < wave.first_sent_ns:
            wave.first_sent_ns = sent_ns
        if wave.last_sent_ns is None or sent_ns > wave.last_sent_ns:
            wave.last_sent_ns = sent_ns
        filled_ns = attempt.filled_ns
        if filled_ns is not None and (
            wave.last_filled_ns is None or filled_ns > wave.last_filled_ns
        ):
            wave.last_filled_ns = filled_ns

    @property
    def order_counts(self) -> list[int]:
        """Orders of each wave, in the order the waves came."""
        return [wave.order_count for wave in self._waves.values()]

    def summary_ms(self, *, orders_min: int = 1) -> dict[str, dict[str, float | None]]:
        """Return p50, p99 and max in milliseconds over the waves of at least so many orders."""
        waves = [wave for wave in self._waves.values() if wave.order_count >= orders_min]
        return {
            "first_sent": _spread([_since(w, w.first_sent_ns) for w in waves]),
            "last_sent": _spread([_since(w, w.last_sent_ns) for w in waves]),
            "last_filled": _spread([_since(w, w.last_filled_ns) for w in waves]),
        }


def _since(wave: _Wave, at_ns: TimeNs | None) -> int | None:
    return None if at_ns is None else at_ns - wave.received_ns


def _spread(durations: list[int | None]) -> dict[str, float | None]:
    known = sorted(each for each in durations if each is not None)
    return {
        "p50": milliseconds(_rank(known, 50)),
        "p99": milliseconds(_rank(known, 99)),
        "max": milliseconds(known[-1] if known else None),
    }


def _rank(ordered: list[int], percent: int) -> int | None:
    """Return the nearest-rank percentile, ``None`` of nothing."""
    if not ordered:
        return None
    index = -(-len(ordered) * percent // _PERCENT) - 1
    return ordered[max(0, index)]
