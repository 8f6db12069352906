"""What each reason code means, in the words of a reader of the activity log.

The codes themselves are ``SkipReason`` of the core; a test keeps this table equal to it.
"""

from typing import Final

REASONS: Final[dict[str, str]] = {
    "KILL_SWITCH": "the kill switch is on: nothing is opened",
    "FROZEN": "the follower or leader is frozen: nothing is sent",
    "FOLLOWER_PAUSED": "the follower is paused: nothing is opened",
    "CLOSE_ONLY": "only closing is allowed",
    "OPEN_ONLY": "only opening is allowed",
    "BREAKER_OPEN": "the venue refused this follower repeatedly; opens wait",
    "DUPLICATE": "this fill was mirrored before",
    "SUPERSEDED": "a newer target of the same lane took its place",
    "NOT_MIRRORED": "the leader held this before the mirror began",
    "SYMBOL_DENIED": "the mirror does not allow this symbol",
    "SYMBOL_HALTED": "the venue does not trade this symbol now",
    "STALE_INTENT": "the leader's trade is older than allowed",
    "LEADER_STALE": "the leader's stream was silent past its bound",
    "LEADER_TRADE_TOO_SMALL": "the leader's trade is below the mirror's minimum",
    "MARGIN_UNCONFIRMED": "the leader's margin is not confirmed",
    "FOLLOWER_STATE_STALE": "the follower's balance is unknown or too old",
    "FOREIGN_POSITION": "the follower holds quantity we did not build",
    "LEVERAGE_SYNC_FAILED": "the follower's leverage could not be set",
    "BOOK_MISSING": "no order book is known",
    "BOOK_STALE": "the order book is older than allowed",
    "BOOK_GAPPED": "the order book misses updates and is being repaired",
    "UNKNOWN_PENDING": "an earlier order's fate is not known yet",
    "NO_CHANGE": "the target is already held",
    "DIRECTION": "the target lies the other way than the leader's trade",
    "BELOW_LOT": "the change is smaller than one lot",
    "BELOW_MIN_QTY": "the order is below the venue's minimum quantity",
    "BELOW_MIN_NOTIONAL": "the order is below the venue's minimum value",
    "MARGIN_BREACH": "the order needs more margin than is free",
    "LEVERAGE_CAP": "the leverage cap is reached",
    "ORDER_CAP": "the order is above the cap per order",
    "SYMBOL_CAP": "the cap of this symbol is reached",
    "NOTIONAL_CAP": "the cap of all positions together is reached",
    "POSITION_COUNT_CAP": "the cap on open positions is reached",
    "DAILY_LOSS": "the daily loss limit is reached",
    "DRAWDOWN": "the drawdown limit is reached",
    "DEVIATION_BREACH": "the price left the bound around the leader's price",
    "DEPTH_SHORT": "too little depth inside the bound, others counted first",
    "SLIPPAGE_BREACH": "the expected price is outside the bound",
    "RATE_LIMITED": "the request budget is used up",
    "OVERFLOW": "this follower's numbers do not fit the arithmetic",
}
