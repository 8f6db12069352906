"""Decodes recorded ``userFills`` lines and the ``meta`` instrument table.

Formats: the venue's ``userFills`` rows, one JSON object a line (numbers that are money as text,
``time`` in ms, side ``B`` or ``A``, ``startPosition`` signed and before the fill), and the answer
to ``meta`` (``universe`` of name, szDecimals, maxLeverage). Price rule of the venue: at most five
significant digits and 6 - szDecimals decimals; sizes have szDecimals decimals.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from slipstream._core import InstrumentRules, PositionSide, Side, format_fixed
from slipstream.domain.fill import Fill
from slipstream.domain.ids import FillId, VenueId
from slipstream.domain.instrument import Instrument
from slipstream.errors import ConfigError
from slipstream.units import SCALE_DIGITS, Px, Qty, TimeNs
from slipstream.venues.hyperliquid.strict_json import INT_MAX, StrictObject, parse_json

VENUE: Final = VenueId("hyperliquid")
RECORDED_ACCOUNT: Final = "recorded"
PX_DECIMALS_MAX: Final = 6
PX_DIGITS_MAX: Final = 5
LEVERAGE_MAX: Final = 1_000
LINE_LENGTH_MAX: Final = 65_536

_SIDES: Final = {"B": Side.BUY, "A": Side.SELL}


class RecordedInstrument:
    """One row of the table: the instrument and its greatest leverage."""

    __slots__ = ("instrument", "leverage_max")

    def __init__(self, instrument: Instrument, leverage_max: int) -> None:
        """Keep both."""
        self.instrument = instrument
        self.leverage_max = leverage_max


def read_meta(path: Path, *, notional_min: int = 0) -> dict[str, RecordedInstrument]:
    """Read an instrument table, by coin. ``notional_min``: quote amount at 10**-8.

    Raises:
        ConfigError: the file cannot be read or is not such a table.
    """
    root = StrictObject.of(parse_json(_read(path), str(path)), str(path))
    rows = root.fields.get("universe")
    if not isinstance(rows, list):
        root.refuse("universe", "a list of instruments")
    table: dict[str, RecordedInstrument] = {}
    for index, found in enumerate(rows):
        row = StrictObject.of(found, f"{path}: universe[{index}]")
        name = row.text("name")
        if name in table:
            row.refuse("name", "a name that no row before has")
        table[name] = _instrument(row, name, notional_min)
    return table


def _instrument(row: StrictObject, name: str, notional_min: int) -> RecordedInstrument:
    size_decimals = row.integer("szDecimals", least=0, most=PX_DECIMALS_MAX)
    leverage_max = row.integer("maxLeverage", least=1, most=LEVERAGE_MAX)
    qty_step = 10 ** (SCALE_DIGITS - size_decimals)
    rules = InstrumentRules(
        px_step=10 ** (SCALE_DIGITS - PX_DECIMALS_MAX + size_decimals),
        qty_step=qty_step,
        qty_min=qty_step,
        notional_min=notional_min,
        px_digits_max=PX_DIGITS_MAX,
        is_reduction_exempt=False,  # partial closes under the minimum are refused, 2026-10
    )
    instrument = Instrument(
        venue=VENUE,
        symbol=name,
        base=name.rpartition(":")[2],
        quote="USDC",
        rules=rules,
        is_trading=not row.truth("isDelisted", default=False),
    )
    return RecordedInstrument(instrument, leverage_max)


def decode_fill(line: bytes, place: str, coins: Mapping[str, object]) -> Fill:
    """Decode one line. ``coins``: the instrument table.

    Raises:
        ConfigError: names the place, the field, what was found and what was expected.
    """
    if len(line) > LINE_LENGTH_MAX:
        raise ConfigError(
            f"{place}: found a line of {len(line)} bytes, expected at most {LINE_LENGTH_MAX}"
        )
    row = StrictObject.of(parse_json(line, place), place)
    coin = row.text("coin")
    if coin not in coins:
        row.refuse("coin", "a coin of the instrument table")
    side_name = row.text("side", length_max=1)
    if side_name not in _SIDES:
        row.refuse("side", "B or A")
    row.checked(
        "liquidation", "an object or null", lambda found: found is None or isinstance(found, dict)
    )
    side = _SIDES[side_name]
    qty = row.decimal("sz", is_positive=True)
    before = row.decimal("startPosition", is_positive=False)
    if abs(before + side.value * qty) > INT_MAX:
        row.refuse("sz", f"a size that leaves a position of at most {format_fixed(INT_MAX)}")
    return Fill(
        id=FillId(
            VENUE,
            RECORDED_ACCOUNT,
            coin,
            str(row.integer("oid", least=0)),
            str(row.integer("tid", least=0)),
            row.integer("time", least=1, most=2**53),
        ),
        position_side=PositionSide.NET,
        side=side,
        qty=Qty(qty),
        px=Px(row.decimal("px", is_positive=True)),
        is_taker=row.truth("crossed", default=True),
        is_liquidation=row.fields.get("liquidation") is not None,
        received_ns=TimeNs(0),
        decoded_ns=TimeNs(0),
        position_before=Qty(before),
    )


def read_fills(paths: Iterable[Path], coins: Mapping[str, object]) -> list[Fill]:
    """Read one account's recorded fills from any number of files; doubled lines count once.

    Raises:
        ConfigError: a file or line is broken, or two lines give one identity different content.
    """
    fills: dict[FillId, tuple[Fill, str]] = {}
    for path in paths:
        for number, line in enumerate(_read(path).split(b"\n"), start=1):
            if not line.strip():
                continue
            place = f"{path}:{number}"
            fill = decode_fill(line, place, coins)
            known, first_place = fills.setdefault(fill.id, (fill, place))
            if known != fill:
                raise ConfigError(
                    f"{place}: field tid: found {fill.id.trade_id} with other content than in "
                    f"{first_place}, expected one content for one identity"
                )
    return [fill for fill, _ in fills.values()]


def at_clock(fill: Fill, now_ns: TimeNs) -> Fill:
    """Return a recorded fill as if it came in at ``now_ns``."""
    return replace(fill, received_ns=now_ns, decoded_ns=now_ns)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
