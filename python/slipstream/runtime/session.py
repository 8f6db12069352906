"""What the activity log says of a run before anything happens: bounds, accounts, lots.

With it, a stranger can judge every order from the log and the venue's own records alone.
"""

from collections.abc import Mapping

from slipstream._core import format_fixed
from slipstream.config.model import Config, MirrorConfig
from slipstream.config.rules import missed_policy
from slipstream.runtime.hub import VenueHub
from slipstream.units import NS_PER_MS

BOOK_AGE_MS_MAX = 2_000


def session_payload(config: Config, hubs: Mapping[str, VenueHub]) -> dict[str, object]:
    """Return the leaders, each follower's mirrors, the lots and the allowed ages."""
    followers: dict[str, object] = {}
    age_ms = 0
    for follower in config.followers:
        ages_ms = [each.max_intent_age_ns // NS_PER_MS for each in follower.mirrors]
        age_ms = max([age_ms, *ages_ms])
        followers[follower.id] = {
            "venue": follower.venue,
            "account": follower.account.lower(),
            "mode": follower.mode.value,
            "mirrors": {mirror.leader: _mirror(mirror) for mirror in follower.mirrors},
        }
    lots = {
        symbol: format_fixed(instrument.rules.qty_step)
        for hub in hubs.values()
        for symbol, instrument in hub.instruments.items()
    }
    return {
        "leaders": {
            each.id: {"venue": each.venue, "account": each.account.lower()}
            for each in config.leaders
        },
        "followers": followers,
        "lots": lots,
        "limits": {
            "book_age_ms_max": BOOK_AGE_MS_MAX,
            "reference_age_ms_max": age_ms + BOOK_AGE_MS_MAX,
        },
    }


def _mirror(mirror: MirrorConfig) -> dict[str, object]:
    """Return how one leader is mirrored: the bounds in ppm, and the sizing."""
    slippage = mirror.slippage
    return {
        "entry_ppm": slippage.entry_ppm,
        "exit_ppm": slippage.exit_ppm,
        "emergency_ppm": slippage.emergency_ppm,
        "deviation_ppm": slippage.max_deviation_ppm,
        "sizing": _sizing(mirror),
    }


def _sizing(mirror: MirrorConfig) -> dict[str, object]:
    """Return how a mirror sizes, as configured: amounts and ratios as decimal text."""
    return {
        "mode": mirror.mode.value,
        "allocation": _text(mirror.allocation),
        "allocation_ppm": mirror.allocation_ppm,
        "ratio": _text(mirror.ratio),
        "notional": _text(mirror.notional),
        "margin_ppm": mirror.margin_ppm,
        "multiplier": _text(mirror.multiplier),
        "min_leader_notional": _text(mirror.min_leader_notional),
        "reverse": mirror.reverse,
        "missed": missed_policy(mirror).value,
        "below_minimum": mirror.below_minimum.value,
    }


def _text(raw: int | None) -> str | None:
    return None if raw is None else format_fixed(raw)
