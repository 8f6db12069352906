"""The serial baseline: one order per follower, each sent when the one before was answered.

What a mirror without a fan-out takes, on the same connections, with the same signatures, against
the same venue in the same run. The orders are immediate-or-cancel at the best bid, so they cross
nothing and no account changes; a venue takes as long to say so as to report a fill.
"""

import asyncio
from typing import Final

from slipstream._core import (
    PositionSide,
    Rounding,
    Side,
    SignerError,
    format_fixed,
    mul_div,
    sign_many,
)
from slipstream.domain.ids import ClientOrderId
from slipstream.domain.order import OrderRequest
from slipstream.domain.outcome import Accepted, RequestOutcome
from slipstream.errors import VenueError
from slipstream.runtime.engine import Engine
from slipstream.runtime.hub import VenueHub
from slipstream.transport.clock import Clock
from slipstream.units import NS_PER_S, SCALE, Px, Qty, TimeNs
from slipstream.venues.base import OrderGateway

ANSWER_TIMEOUT_NS: Final = 10 * NS_PER_S


async def serial_baseline_ns(engine: Engine, symbol: str, *, clock: Clock) -> int:
    """Return how long all followers' orders take one after another, last answer included.

    Takes as long as it measures. To be called when the run has been judged: the venue's log has
    orders afterwards that no activity log explains.

    Raises:
        VenueError: there is no book, or the venue did not take one of the orders.
    """
    start_ns = clock.now_ns()
    for index, (follower_id, follower) in enumerate(engine.followers.items()):
        hub = engine.hubs[follower.config.venue]
        order = _resting_order(hub, symbol, ClientOrderId(f"serial-{start_ns}-{index}"))
        outcome = await _ask(follower.gateway, order, TimeNs(clock.now_ns() + ANSWER_TIMEOUT_NS))
        if not isinstance(outcome, Accepted):
            raise VenueError(
                f"serial baseline: {follower_id}: expected acceptance, found {outcome}"
            )
    return clock.now_ns() - start_ns


def _resting_order(hub: VenueHub, symbol: str, client_order_id: ClientOrderId) -> OrderRequest:
    """Return the smallest order the venue takes, at the best bid."""
    view = hub.books.view(symbol)
    best = None if view is None else view.best_bid
    if best is None:
        raise VenueError(f"serial baseline: {symbol}: no bid in the book")
    px, rules = best[0], hub.instruments[symbol].rules
    value_qty = mul_div(2 * rules.notional_min, SCALE, px, Rounding.CEIL)
    qty = rules.round_qty(max(rules.qty_min, value_qty), Rounding.CEIL)
    return OrderRequest(
        client_order_id=client_order_id,
        symbol=symbol,
        side=Side.BUY,
        position_side=PositionSide.NET,
        qty=Qty(qty),
        limit_px=Px(px),
        is_reduction=False,
        qty_text=format_fixed(qty),
        limit_px_text=format_fixed(px),
    )


async def _ask(gateway: OrderGateway, order: OrderRequest, deadline_ns: TimeNs) -> RequestOutcome:
    """Sign and send one order, and wait for what became of it."""
    (signed,) = sign_many([gateway.sign_job(order)])
    if isinstance(signed, SignerError):
        raise signed
    answer: asyncio.Future[RequestOutcome] = asyncio.get_running_loop().create_future()
    gateway.transmit(
        signed,
        deadline_ns=deadline_ns,
        on_outcome=lambda outcome, _: answer.set_result(outcome),
    )
    return await answer
