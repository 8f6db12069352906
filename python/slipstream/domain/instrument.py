"""An instrument as a venue lists it."""

from dataclasses import dataclass

from slipstream._core import InstrumentRules
from slipstream.domain.ids import VenueId


@dataclass(frozen=True, slots=True)
class Instrument:
    """One perpetual contract: what it is called, what one unit is, what the venue accepts.

    ``multiplier`` is base units per contract unit (1000 for ``1000PEPE``). ``band_up_ppm`` and
    ``band_down_ppm`` bound a limit price against the mark (Aster PERCENT_PRICE), ``None`` = no
    band. ``market_qty_max`` is the largest market order, ``None`` = no limit of its own.
    """

    venue: VenueId
    symbol: str
    base: str
    quote: str
    rules: InstrumentRules
    is_trading: bool
    multiplier: int = 1
    band_up_ppm: int | None = None
    band_down_ppm: int | None = None
    market_qty_max: int | None = None
