"""A follower's exact target, computed again from the leader's events and the follower's settings.

The arithmetic is that of the documents, with decimals of sixty digits: an increase adds what the
mode says, a reduction keeps the share that the leader kept. Nothing of the engine is used.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from slipstream.telemetry.evidence import LeaderEvent, Line

_ZERO: Final = Decimal(0)


def unjudgeable(sizing: Line) -> str | None:
    """Return why a follower's targets cannot be computed from the files, ``None`` if they can."""
    mode = sizing["mode"]
    if mode == "position":
        return "position mode: the files do not hold the follower's equity"
    if mode == "margin" and sizing["allocation"] is None:
        return "a share of equity: the files do not hold the follower's equity"
    return None


@dataclass(slots=True)
class ExactTarget:
    """One lane's exact target. ``mirrored``: the leader's position as far as it is mirrored."""

    sizing: Line
    mirrored: Decimal = _ZERO
    target: Decimal = _ZERO

    def apply(self, event: LeaderEvent) -> None:
        """Take the leader's next event."""
        kept = event.kept
        self.mirrored *= kept
        self.target *= kept
        if event.grown:
            self._grow(event)

    def reset(self, target: Decimal) -> None:
        """Take a target that was set beside the leader's events."""
        if self.sizing["mode"] != "notional":
            self.mirrored *= target / self.target if self.target else 0
        elif not target:
            self.mirrored = _ZERO
        self.target = target

    def _grow(self, event: LeaderEvent) -> None:
        least = Decimal(self.sizing["min_leader_notional"])
        if least and abs(event.grown) * event.px < least:
            return
        added = self._added(event)
        if added is None:
            return
        self.mirrored += event.grown
        self.target += added

    def _added(self, event: LeaderEvent) -> Decimal | None:
        """Return by how much the target grows, signed; ``None``: the mode refuses the event."""
        sign = -1 if self.sizing["reverse"] else 1
        match self.sizing["mode"]:
            case "ratio":
                return sign * event.grown * Decimal(self.sizing["ratio"])
            case "margin":
                if event.margin is None or event.margin <= 0:
                    return None
                return sign * event.grown * Decimal(self.sizing["allocation"]) / event.margin
            case "notional" if self.mirrored:
                return self.target * event.grown / self.mirrored
            case _:
                size = Decimal(self.sizing["notional"]) / event.px
                return (sign * size).copy_sign(sign * event.grown)
