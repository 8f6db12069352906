"""Turn a mirror's configuration into the values the Rust core sizes and bounds with."""

from slipstream._core import (
    BelowMinimum,
    FollowerLimits,
    Missed,
    OnLimit,
    SizingMode,
    SizingRule,
)
from slipstream.config.model import (
    LimitPolicy,
    MinimumPolicy,
    MirrorConfig,
    MirrorMode,
    MissedPolicy,
)


def sizing_rule(mirror: MirrorConfig) -> SizingRule:
    """Return how the follower turns the leader's change into its own.

    Raises:
        CoreError: a mode lacks what it needs (a checked configuration never does).
    """
    modes = {
        MirrorMode.MARGIN: SizingMode.MARGIN,
        MirrorMode.POSITION: SizingMode.POSITION,
        MirrorMode.RATIO: SizingMode.RATIO,
        MirrorMode.NOTIONAL: SizingMode.NOTIONAL,
    }
    missed = {MissedPolicy.GIVE_UP: Missed.GIVE_UP, MissedPolicy.CATCH_UP: Missed.CATCH_UP}
    minimum = {
        MinimumPolicy.CARRY: BelowMinimum.CARRY,
        MinimumPolicy.SKIP: BelowMinimum.SKIP,
        MinimumPolicy.BUMP: BelowMinimum.BUMP,
    }
    return SizingRule(
        mode=modes[mirror.mode],
        ratio=mirror.ratio,
        allocation=mirror.allocation,
        allocation_ppm=mirror.allocation_ppm,
        margin_ppm=mirror.margin_ppm,
        multiplier=mirror.multiplier,
        notional=mirror.notional,
        is_reverse=mirror.reverse,
        missed=None if mirror.missed is None else missed[mirror.missed],
        below_minimum=minimum[mirror.below_minimum],
        on_cap=_on_limit(mirror.on_cap),
        on_thin_book=_on_limit(mirror.on_thin_book),
        leader_notional_min=mirror.min_leader_notional,
    )


def missed_policy(mirror: MirrorConfig) -> MissedPolicy:
    """Return what becomes of an opening that is not built: as configured, or the mode's own."""
    if mirror.missed is not None:
        return mirror.missed
    is_caught_up = mirror.mode is MirrorMode.POSITION
    return MissedPolicy.CATCH_UP if is_caught_up else MissedPolicy.GIVE_UP


def _on_limit(policy: LimitPolicy) -> OnLimit:
    return OnLimit.CLIP if policy is LimitPolicy.CLIP else OnLimit.SKIP


def follower_limits(mirror: MirrorConfig) -> FollowerLimits:
    """Return the follower's bounds in this mirror."""
    slippage, caps = mirror.slippage, mirror.caps
    return FollowerLimits(
        entry_ppm=slippage.entry_ppm,
        exit_ppm=slippage.exit_ppm,
        emergency_ppm=slippage.emergency_ppm,
        deviation_ppm=slippage.max_deviation_ppm,
        leverage_max=mirror.max_leverage,
        order_notional_max=caps.order,
        symbol_notional_max=caps.symbol,
        notional_max=caps.total,
        position_count_max=caps.positions,
        daily_loss_max=caps.daily_loss,
        drawdown_ppm_max=caps.drawdown_ppm,
        intent_age_ns_max=mirror.max_intent_age_ns,
        exit_emergency_after_ns=mirror.exit_emergency_after_ns,
    )
