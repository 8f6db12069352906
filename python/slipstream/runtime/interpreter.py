"""How the interpreter is set for a process that runs an engine.

Two defaults of CPython cost milliseconds at the worst moment: a thread that wants the interpreter
lock waits up to 5 ms for it, and a full collection walks everything that was ever set up.
"""

import gc
import sys
from typing import Final

SWITCH_INTERVAL_S: Final = 0.0005
"""The store's thread asks for the lock while the loop makes the rest of a cohort; the default of
5 ms would be added to a claim."""

COLLECT_AFTER: Final = (50_000, 20, 100)
"""Thresholds of the three generations: one leader event makes a few objects per follower, and none
of them is worth a walk over thousands of followers' connections."""


def favour_latency() -> None:
    """Shorten the wait for the interpreter lock; to be called when a process starts."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)


def spare_what_stands() -> None:
    """Collect once and leave all that stands now out of later collections; to be called when
    everything is set up."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
