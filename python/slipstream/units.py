"""Names for the integers that money and time are made of.

Every price, quantity and quote amount is an ``int`` at 10**-8, every target an ``int`` at
10**-18, every time a count of nanoseconds of one monotonic clock. The names below exist for
readers and type checkers; at run time they are plain integers.
"""

from typing import Final, NewType

from slipstream._core import SCALE, SCALE_DIGITS, TARGET_SCALE

__all__ = [
    "NS_PER_MS",
    "NS_PER_S",
    "PPM_PER_BPS",
    "SCALE",
    "SCALE_DIGITS",
    "TARGET_PER_QTY",
    "TARGET_SCALE",
    "Ppm",
    "Px",
    "Qty",
    "Quote",
    "Target",
    "TimeNs",
    "VenueMs",
]

Px = NewType("Px", int)
"""A price in quote per base unit, at 10**-8."""

Qty = NewType("Qty", int)
"""A quantity in base units, at 10**-8. Orders: positive. Positions: signed, long positive."""

Quote = NewType("Quote", int)
"""An amount of quote currency, at 10**-8."""

Target = NewType("Target", int)
"""A signed quantity in base units, at 10**-18."""

Ppm = NewType("Ppm", int)
"""Parts per million; 1 bp is 100."""

TimeNs = NewType("TimeNs", int)
"""Nanoseconds of the monotonic clock of this process."""

VenueMs = NewType("VenueMs", int)
"""Milliseconds since the epoch, as a venue stamped them."""

TARGET_PER_QTY: Final = TARGET_SCALE // SCALE
PPM_PER_BPS: Final = 100
NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000
