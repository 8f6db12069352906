"""Names of changes."""

import pytest

from slipstream.domain.intent import IntentKind
from slipstream.engine.classify import Motion, classify, motion
from slipstream.errors import InvariantError


@pytest.mark.parametrize(
    ("before", "after", "kind", "step"),
    [
        (0, 5, IntentKind.OPEN, Motion.GROWTH),
        (0, -5, IntentKind.OPEN, Motion.GROWTH),
        (5, 6, IntentKind.INCREASE, Motion.GROWTH),
        (-5, -6, IntentKind.INCREASE, Motion.GROWTH),
        (6, 5, IntentKind.PARTIAL_CLOSE, Motion.REDUCTION),
        (-6, -5, IntentKind.PARTIAL_CLOSE, Motion.REDUCTION),
        (6, 0, IntentKind.FULL_CLOSE, Motion.REDUCTION),
        (-6, 0, IntentKind.FULL_CLOSE, Motion.REDUCTION),
        (6, -1, IntentKind.FLIP, Motion.FLIP),
        (-1, 6, IntentKind.FLIP, Motion.FLIP),
    ],
)
def test_a_change_is_named_from_zero(
    before: int, after: int, kind: IntentKind, step: Motion
) -> None:
    assert classify(before, after) is kind
    assert motion(before, after) is step


def test_no_change_has_no_name() -> None:
    with pytest.raises(InvariantError, match="found 3 twice"):
        classify(3, 3)
