"""Fills of orders that are not sent: for followers in paper and shadow mode.

Paper takes what the live book shows inside the limit at the instant of sending; shadow assumes
what the plan expected. Plan, claim and log are the production ones, so a follower can be watched
before it is trusted with money.
"""

from slipstream._core import BookView
from slipstream.domain.order import OrderReport, OrderState
from slipstream.domain.outcome import Accepted
from slipstream.engine.leglife import Leg
from slipstream.units import Px, Qty, VenueMs


def paper_fill(leg: Leg, view: BookView | None) -> Accepted:
    """Return what the leg's newest order takes from ``view`` (paper) or expected (shadow)."""
    attempt = leg.current
    request = attempt.request
    if leg.member.mode == "paper" and view is not None:
        estimate = view.walk(request.side, request.qty, request.limit_px)
        filled, average = estimate.filled_qty, estimate.vwap_px
    else:
        filled, average = request.qty, attempt.plan.expected_px or request.limit_px
    return Accepted(
        OrderReport(
            client_order_id=request.client_order_id,
            venue_order_id="",
            symbol=request.symbol,
            state=OrderState.FILLED if filled == request.qty else OrderState.EXPIRED,
            filled_qty=Qty(filled),
            average_px=None if average is None or not filled else Px(average),
            venue_ts_ms=VenueMs(0 if view is None else view.venue_ts_ms),
        )
    )
