"""How a running engine stands, in plain JSON values: what ``slipstream status`` shows."""

from typing import TYPE_CHECKING

from slipstream._core import SkipReason
from slipstream.runtime.follower import GATES, Follower
from slipstream.units import NS_PER_S

if TYPE_CHECKING:
    from slipstream.runtime.engine import Engine


def engine_status(engine: "Engine") -> dict[str, object]:
    """Return leaders, followers, venues and the store. Never a key, never an account's money."""
    now_ns = engine.now_ns()
    leaders: list[dict[str, object]] = []
    for supervisor in engine.supervisors:
        health = supervisor.health
        parts = engine.parts.get(health.leader)
        down_ns = health.down_since_ns
        leaders.append(
            {
                "id": health.leader,
                "live": health.is_live.is_set(),
                "running": health.is_running,
                "stale_s": None if down_ns is None else (now_ns - down_ns) // NS_PER_S,
                "restarts": health.restart_count,
                "last_error": health.last_error,
                "intents": 0 if parts is None else parts.journal.kinds.total(),
                "busy": parts is not None and parts.pipeline.is_busy,
                "idle": parts is not None
                and not parts.pipeline.is_busy
                and parts.pipeline.is_settled
                and not any(mirror.is_busy for mirror in parts.mirrors),
                "orders_out": 0
                if parts is None
                else sum(mirror.order_count for mirror in parts.mirrors),
            }
        )
    venues = [
        {
            "venue": name,
            "weight_used": budget.used,
            "weight_max": budget.window_max,
            "told_to_wait": budget.refused_count,
            "banned": budget.blocked_until_ns > now_ns,
        }
        for name, budget in engine.budgets.items()
    ]
    unresolved = [
        {
            "leader": leader,
            "follower": each.follower,
            "order": each.client_order_id,
            "symbol": each.symbol,
            "age_s": each.age_ns // NS_PER_S,
        }
        for leader, parts in engine.parts.items()
        for mirror in parts.mirrors
        for each in mirror.resolver.unresolved()
    ]
    stats = engine.store.stats()
    return {
        "leaders": leaders,
        "followers": [_follower(each, now_ns) for each in engine.followers.values()],
        "venues": venues,
        "unresolved": unresolved,
        "commits": stats.commit_count,
        "store_errors": stats.error_count,
        "ledger_down": stats.is_down,
        "side_log_records": stats.side_record_count,
        "log_lines_lost": stats.journal_lost_count,
        "failed_tasks": list(engine.failed_tasks),
    }


def _follower(follower: Follower, now_ns: int) -> dict[str, object]:
    gates = follower.gates
    for membership in follower.memberships:
        gates |= membership.mask
    age_ns = None if not follower.is_ready else now_ns - follower.stated_ns
    return {
        "id": follower.id,
        "mode": follower.config.mode.value,
        "ready": follower.is_ready,
        "stream": follower.is_streaming,
        "gates": [reason.code for reason in GATES if reason.mask & gates],
        "breaker": bool(follower.gates & SkipReason.BREAKER_OPEN.mask),
        "state_age_s": None if age_ns is None else age_ns // NS_PER_S,
    }
