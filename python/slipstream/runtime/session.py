"""What the activity log says of a run before anything happens: bounds, accounts, lots.

With it, a stranger can judge every order from the log and the venue's own records alone.
"""

from collections.abc import Mapping

from slipstream._core import format_fixed
from slipstream.config.model import Config
from slipstream.runtime.hub import VenueHub
from slipstream.units import NS_PER_MS

BOOK_AGE_MS_MAX = 2_000


def session_payload(config: Config, hubs: Mapping[str, VenueHub]) -> dict[str, object]:
    """Return the configured bounds by follower, the lots by symbol and the allowed ages."""
    followers: dict[str, object] = {}
    age_ms = 0
    for follower in config.followers:
        for mirror in follower.mirrors:
            slippage = mirror.slippage
            age_ms = max(age_ms, mirror.max_intent_age_ns // NS_PER_MS)
            followers[follower.id] = {
                "venue": follower.venue,
                "account": follower.account.lower(),
                "mode": follower.mode.value,
                "leader": mirror.leader,
                "entry_ppm": slippage.entry_ppm,
                "exit_ppm": slippage.exit_ppm,
                "emergency_ppm": slippage.emergency_ppm,
                "deviation_ppm": slippage.max_deviation_ppm,
            }
    lots = {
        symbol: format_fixed(instrument.rules.qty_step)
        for hub in hubs.values()
        for symbol, instrument in hub.instruments.items()
    }
    return {
        "followers": followers,
        "lots": lots,
        "limits": {
            "book_age_ms_max": BOOK_AGE_MS_MAX,
            "reference_age_ms_max": age_ms + BOOK_AGE_MS_MAX,
        },
    }
