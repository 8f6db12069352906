"""Aster's error answers: code, message, HTTP status (reference, section 11)."""

from slipstream.venues.sim.orders import Why


class ApiError(Exception):
    """An answer that refuses; ``status`` is the HTTP status."""

    def __init__(self, code: int, msg: str, status: int = 400) -> None:
        """Keep the code, message and HTTP status of the answer."""
        super().__init__(msg)
        self.code = code
        self.msg = msg
        self.status = status


def missing(name: str) -> ApiError:
    """Return the answer to a mandatory parameter that is not there."""
    return ApiError(
        -1102,
        f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.",
    )


def illegal(name: str) -> ApiError:
    """Return the answer to a parameter whose text is not legal."""
    return ApiError(-1100, f"Illegal characters found in parameter '{name}'.")


def no_agent() -> ApiError:
    """Return the answer to an unknown, expired or revoked agent (seen live)."""
    return ApiError(-1000, "No agent found")


def bad_signature() -> ApiError:
    """Return the answer to a signature that is not the signer's (seen live)."""
    return ApiError(-1000, "Signature check failed")


def nonce_expired() -> ApiError:
    """Return the answer to a nonce that is used, too old or too far ahead."""
    return ApiError(-4225, "Nonce Expired")


def unknown_order() -> ApiError:
    """Return the answer to a query of an order that is not there."""
    return ApiError(-2013, "Order does not exist.")


REFUSALS = {
    Why.DUPLICATE_ID: (-4116, "ClientOrderId is duplicated."),
    Why.POSITION_SIDE: (-4061, "Order's position side does not match user's setting."),
    Why.REDUCE_ONLY_VALUE: (-4062, "Invalid or improper reduceOnly value."),
    Why.REDUCE_ONLY: (-2022, "ReduceOnly Order is rejected."),
    Why.MARGIN: (-2019, "Margin is insufficient."),
    Why.OPEN_ORDER_CAP: (-2025, "Reach max open order limit."),
}


def of_refusal(why: Why) -> ApiError:
    """Return the answer to a refusal of the core."""
    code, msg = REFUSALS[why]
    return ApiError(code, msg)
