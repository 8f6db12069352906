"""Public reads of Aster: instruments, limits and the venue's clock."""

from collections.abc import Callable, Mapping

from slipstream.domain.instrument import Instrument
from slipstream.units import VenueMs
from slipstream.venues.aster import answers
from slipstream.venues.aster.limits import Endpoint
from slipstream.venues.aster.rest import AsterAccess, AsterRest
from slipstream.venues.aster.rules import decode_exchange

__all__ = ["AsterReader"]


class AsterReader:
    """Implements ``MarketReader``. Reading the clock also steps nonces and budget windows."""

    __slots__ = ("_access", "_on_report", "_rest", "unfit")

    def __init__(
        self,
        access: AsterAccess,
        rest: AsterRest,
        *,
        on_report: Callable[[str], None] | None = None,
    ) -> None:
        """``unfit``: symbols left out by the last ``instruments``, and why; also reported."""
        self._on_report = on_report
        self._access = access
        self._rest = rest
        self.unfit: Mapping[str, str] = {}

    async def instruments(self) -> Mapping[str, Instrument]:
        """Return every instrument that fits; take the venue's published weight limit.

        Raises:
            VenueError: as ``AsterRest.ask``; also when nothing in it fits.
        """
        rules = await self._rest.ask(Endpoint.EXCHANGE, decode_exchange)
        self.unfit = rules.unfit
        if self._on_report is not None:
            for symbol, reason in rules.unfit.items():
                self._on_report(f"instrument {symbol} is left out: {reason}")
        if rules.weight_max is not None:
            self._access.budget.set_window_max(rules.weight_max)
        return rules.instruments

    async def venue_time_ms(self) -> VenueMs:
        """Return the venue's clock, and follow it from here on.

        Raises:
            VenueError: as ``AsterRest.ask``.
        """
        clock = self._access.clock
        sent_ns = clock.now_ns()
        venue_ms = await self._rest.ask(Endpoint.TIME, answers.decode_time)
        self._access.venue_clock.set_from(venue_ms, sent_ns=sent_ns, received_ns=clock.now_ns())
        self._access.budget.align(clock.now_ns(), venue_ms)
        return venue_ms

    async def close(self) -> None:
        """Close the connection."""
        await self._rest.close()
