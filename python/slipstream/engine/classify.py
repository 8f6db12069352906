"""Names the change of one position. Signed quantities, long positive."""

from enum import Enum

from slipstream.domain.intent import IntentKind
from slipstream.errors import InvariantError


class Motion(Enum):
    """Which way a position moved, seen from zero."""

    GROWTH = "growth"
    REDUCTION = "reduction"
    FLIP = "flip"


def motion(before: int, after: int) -> Motion:
    """Return which way ``before`` to ``after`` goes.

    Raises:
        InvariantError: nothing changed, so there is nothing to name.
    """
    if before == after:
        raise InvariantError(f"a change of position was expected, found {before} twice")
    if before * after < 0:
        return Motion.FLIP
    return Motion.GROWTH if abs(after) > abs(before) else Motion.REDUCTION


def classify(before: int, after: int) -> IntentKind:
    """Return the kind of a change from ``before`` to ``after``.

    Raises:
        InvariantError: nothing changed.
    """
    match motion(before, after):
        case Motion.FLIP:
            return IntentKind.FLIP
        case Motion.GROWTH:
            return IntentKind.INCREASE if before else IntentKind.OPEN
        case Motion.REDUCTION:
            return IntentKind.PARTIAL_CLOSE if after else IntentKind.FULL_CLOSE
