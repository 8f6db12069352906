"""What Aster's live signer is asked to sign: operation names and parameters in wire order.

The signer builds the message itself, appends ``user``, ``signer`` and ``signature``, and refuses
operations and parameter names outside its closed list. Scheme: aster.md, section 2.1.
"""

from typing import Final

from slipstream._core import PositionSide, Side
from slipstream.domain.order import OrderRequest
from slipstream.errors import ConfigError

__all__ = ["CLIENT_ORDER_ID_OFFSET", "Parameters", "order_parameters", "purpose"]

Parameters = tuple[tuple[str, str], ...]

CLIENT_ORDER_ID_OFFSET: Final = len("newClientOrderId=")
"""Where the client order id stands in a signed order: we put it first."""

_PURPOSES: Final = {"mainnet": "aster-mainnet", "testnet": "aster-testnet"}

_BUY: Final = ("side", "BUY")
_SELL: Final = ("side", "SELL")
_LONG: Final = ("positionSide", "LONG")
_SHORT: Final = ("positionSide", "SHORT")
_LIMIT: Final = ("type", "LIMIT")
_IOC: Final = ("timeInForce", "IOC")
_REDUCE_ONLY: Final = ("reduceOnly", "true")
_RESULT: Final = ("newOrderRespType", "RESULT")


def purpose(chain: str) -> str:
    """Return the signer's purpose for ``mainnet`` or ``testnet``.

    Raises:
        ConfigError: another chain.
    """
    found = _PURPOSES.get(chain)
    if found is None:
        raise ConfigError(f"aster chain: expected mainnet or testnet, found {chain!r}")
    return found


def order_parameters(order: OrderRequest, nonce: int) -> Parameters:
    """Return an IOC limit order's parameters.

    One-way mode leaves ``positionSide`` out and marks reductions ``reduceOnly``; hedge mode
    names the side, where the venue refuses the flag.
    """
    client_order_id = ("newClientOrderId", order.client_order_id)
    symbol = ("symbol", order.symbol)
    side = _BUY if order.side == Side.BUY else _SELL
    qty = ("quantity", order.qty_text)
    px = ("price", order.limit_px_text)
    last = ("nonce", str(nonce))
    if order.position_side == PositionSide.NET:
        if order.is_reduction:
            return (
                client_order_id, symbol, side, _LIMIT, _IOC, qty, px, _REDUCE_ONLY, _RESULT, last
            )  # fmt: skip
        return (client_order_id, symbol, side, _LIMIT, _IOC, qty, px, _RESULT, last)
    lane = _LONG if order.position_side == PositionSide.LONG else _SHORT
    return (client_order_id, symbol, side, lane, _LIMIT, _IOC, qty, px, _RESULT, last)
