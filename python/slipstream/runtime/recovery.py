"""Claims that an earlier process left without an outcome.

A claim is durable before the first byte leaves, so a claim without an outcome may be an order at
the venue. It is asked about by its client order id; until the venue says how it ended the lane
stays unknown and blocks increases. It is never sent again.
"""

from typing import Final

from slipstream._core import PositionSide
from slipstream.domain.cohort import ActivityRow, LegResult
from slipstream.domain.outcome import LegEnd
from slipstream.engine.cohort import Cohort
from slipstream.errors import FeedError, VenueError
from slipstream.runtime.follower import Follower
from slipstream.store.base import OpenLeg, Store

REASON: Final = "RECOVERED"


async def recover(
    claim: OpenLeg, cohort: Cohort, row: int, follower: Follower, store: Store
) -> None:
    """Settle one claim from the venue's own record, or leave its lane unknown."""
    index = cohort.symbol_index(claim.symbol)
    side = PositionSide(claim.position_side)
    cohort.table.mark_unknown(row, index, side)
    try:
        report = await follower.gateway.order(claim.symbol, claim.client_order_id)
    except (VenueError, FeedError) as error:
        store.log([_incident(claim, cohort, f"not answered: {error}")])
        return
    if report is None or not report.state.is_final:
        store.log([_incident(claim, cohort, "the venue does not list it as ended")])
        return
    lane = cohort.table.settle(
        row,
        index,
        side,
        filled_qty=report.filled_qty * claim.side,
        is_opening=not claim.is_reduction,
    )
    end = LegEnd.FILLED if report.filled_qty == claim.qty else LegEnd.PARTIAL
    store.record(
        [
            LegResult(
                claim.intent_id,
                claim.follower_id,
                claim.leg,
                claim.attempt,
                end.value,
                REASON,
                report.filled_qty,
                report.average_px,
                report.venue_order_id,
                lane.encode(),
                str(sum(lane.exact_target)),
                str(sum(lane.wanted_target)),
                sum(lane.position_qty),
            )
        ]
    )


def _incident(claim: OpenLeg, cohort: Cohort, why: str) -> ActivityRow:
    return ActivityRow(
        ts_ms=claim.venue_ts_ms or 0,
        kind="incident",
        leader=cohort.leader,
        follower=claim.follower_id,
        intent_id=claim.intent_id,
        reason="CLAIM_UNRESOLVED",
        payload={"client_order_id": claim.client_order_id, "detail": why},
    )
