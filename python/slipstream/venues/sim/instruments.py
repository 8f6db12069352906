"""The instruments the simulated venue lists, and their filters.

Steps of the crypto majors follow the Aster reference sample; the others follow the
price and size decimals of the recorded fills. Centre prices are where a generated
book starts.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from slipstream.venues.sim.amounts import UNIT, parse_raw


@dataclass(frozen=True, slots=True)
class Instrument:
    """One perpetual contract. Prices, quantities and notionals are raw (10**-8)."""

    symbol: str
    base: str
    centre_px: int
    px_step: int
    px_digits: int
    qty_step: int
    qty_digits: int
    qty_max: int
    market_qty_max: int
    leverage_max: int
    notional_min: int = 5 * UNIT
    px_max: int = 10_000_000 * UNIT

    @property
    def px_min(self) -> int:
        """The lowest price, one step."""
        return self.px_step

    @property
    def qty_min(self) -> int:
        """The smallest quantity, one step."""
        return self.qty_step

    def floor_px(self, px: int) -> int:
        """Return a price rounded down to the tick, at least one tick."""
        return max(px // self.px_step, 1) * self.px_step

    def floor_qty(self, qty: int) -> int:
        """Return a quantity rounded down to the lot, at least one lot."""
        return max(qty // self.qty_step, 1) * self.qty_step


_LISTING: Final = (
    # base, centre, px digits, qty digits, leverage
    ("BTC", "66410", 1, 3, 125),
    ("ETH", "3480", 2, 3, 100),
    ("SOL", "172.5", 2, 2, 75),
    ("ASTER", "0.5", 4, 0, 50),
    ("SP500", "7460", 1, 3, 20),
    ("BRENTOIL", "88.4", 3, 2, 20),
    ("CL", "84.85", 3, 3, 20),
    ("GRAM", "1.5423", 4, 0, 10),
    ("HYPE", "60.9", 3, 2, 25),
    ("WLD", "0.3592", 5, 1, 25),
    ("PUMP", "0.00205", 6, 0, 25),
    ("LTC", "47.3", 3, 2, 25),
    ("BCH", "224", 2, 3, 25),
    ("UNI", "3.52", 4, 1, 25),
    ("ENA", "0.0805", 6, 0, 25),
    ("ACE", "0.0963", 4, 2, 10),
    ("MERL", "0.01745", 6, 0, 10),
    ("SKHX", "1213", 1, 3, 10),
    ("SMSN", "165.4", 2, 3, 10),
)


def _listed(row: tuple[str, str, int, int, int]) -> Instrument:
    base, centre, px_digits, qty_digits, leverage = row
    centre_px = parse_raw(centre)
    qty_step = UNIT // 10**qty_digits
    # Caps scale with the price: about 20 M quote per order, 2 M per market order.
    qty_max = 20_000_000 * UNIT * UNIT // centre_px // qty_step * qty_step
    return Instrument(
        symbol=base + "USDT",
        base=base,
        centre_px=centre_px,
        px_step=UNIT // 10**px_digits,
        px_digits=px_digits,
        qty_step=qty_step,
        qty_digits=qty_digits,
        qty_max=qty_max,
        market_qty_max=qty_max // 10 // qty_step * qty_step,
        leverage_max=leverage,
    )


def listed_instruments(symbols: Iterable[str] | None = None) -> dict[str, Instrument]:
    """Return the listed instruments by symbol, or only the named ones.

    Raises:
        KeyError: a named symbol is not listed.
    """
    listing = {item.symbol: item for item in map(_listed, _LISTING)}
    return listing if symbols is None else {name: listing[name] for name in symbols}
