"""What the operator switched, put into force, and the status that tells of it.

An order is made durable before it is carried out; after a restart the same switches are in force
before anything may trade. Pause and kill stop opens and still mirror exits; freeze and ``kill
--all`` stop everything. Whatever was held back meanwhile is planned again on resume, as far as it
is a reduction.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from slipstream._core import SkipReason
from slipstream.domain.cohort import ActivityRow
from slipstream.domain.ids import FollowerId, LeaderId
from slipstream.runtime.control import (
    ControlAction,
    ControlCommand,
    ControlError,
    ControlReply,
    Switches,
)
from slipstream.runtime.follower import Follower, Membership
from slipstream.store.base import Store

MASKS: Final[Mapping[ControlAction, int]] = {
    ControlAction.PAUSE: SkipReason.FOLLOWER_PAUSED.mask,
    ControlAction.CLOSE_ONLY: SkipReason.CLOSE_ONLY.mask,
    ControlAction.OPEN_ONLY: SkipReason.OPEN_ONLY.mask,
    ControlAction.FREEZE: SkipReason.FROZEN.mask,
    ControlAction.KILL: SkipReason.KILL_SWITCH.mask,
    ControlAction.LEADER_STALE: SkipReason.LEADER_STALE.mask,
}


class Floor(Protocol):
    """Those who reduce and who know how everything stands: the engine."""

    def is_listed(self, symbol: str) -> bool:
        """Whether any venue lists a symbol."""

    async def flatten(self, command: ControlCommand) -> list[str]:
        """Close what our orders built; return what could not be done, and why."""

    async def catch_up(self, command: ControlCommand) -> list[str]:
        """Plan again the reductions that were held back."""

    def settle_order(self, command: ControlCommand) -> list[str]:
        """End an order of unknown fate by the operator's word; return why that cannot be."""

    def status(self) -> dict[str, object]:
        """Return how everything stands, as plain JSON values."""


class Switchboard:
    """Carries out the operator's orders."""

    def __init__(
        self,
        switches: Switches,
        *,
        store: Store,
        followers: Mapping[FollowerId, Follower],
        leaders: Sequence[LeaderId],
        wall_ms: Callable[[], int],
        tell: Callable[[str], None],
    ) -> None:
        """Keep the partners; ``bind`` says who reduces."""
        self._switches = switches
        self._store = store
        self._followers = followers
        self._leaders = frozenset(leaders)
        self._wall_ms = wall_ms
        self._tell = tell
        self._floor: Floor | None = None

    def bind(self, floor: Floor) -> None:
        """Say who reduces and reports."""
        self._floor = floor

    def apply(self, follower: Follower, membership: Membership) -> None:
        """Put into force what is switched on for a follower under a leader."""
        leader = membership.cohort.leader
        gates = _mask(self._switches.active(follower=follower.id, leader=leader))
        symbols = {scope[2] for scope, _ in self._switches.listed() if scope[2] is not None}
        by_symbol = {
            symbol: mask
            for symbol in symbols
            if (
                mask := _mask(
                    self._switches.active(follower=follower.id, leader=leader, symbol=symbol)
                )
                & ~gates
            )
        }
        follower.set_switches(membership, gates, by_symbol)

    def apply_all(self) -> None:
        """Put into force what is switched on, for everybody."""
        for follower in self._followers.values():
            for membership in follower.memberships:
                self.apply(follower, membership)

    async def carry_out(self, command: ControlCommand) -> ControlReply:
        """Carry out an order, durably first, and say what came of it.

        Raises:
            ControlError: it names something that is not there.
            StoreError: it could not be made durable; nothing was done.
        """
        floor = self._floor
        if floor is None:
            raise ControlError("the engine is not ready yet")
        if command.action is ControlAction.STATUS:
            return ControlReply(
                ok=True, message="running", payload={**floor.status(), "switches": self.listed()}
            )
        if command.action is ControlAction.LEADER_STALE:
            raise ControlError("leader-stale: set by the engine only; close-only does the same")
        self._check(command, floor)
        if command.action is ControlAction.SETTLE:
            return await self._settle(command, floor)
        if command.action is ControlAction.FLATTEN and not _is_scoped(command):
            raise ControlError("flatten: expected a follower, a leader, a symbol or all")
        await self._store.save_control(command.row(self._wall_ms()))
        self._log(command)
        self._tell(f"control: {describe(command)}")
        self._switches.apply(command)
        if command.action is ControlAction.RESUME:
            self._lift(command)
        self.apply_all()
        problems: list[str] = []
        if command.action is ControlAction.FLATTEN:
            problems = await floor.flatten(command)
        elif command.action in (ControlAction.RESUME, ControlAction.UNFREEZE):
            problems = await floor.catch_up(command)
        message = f"{describe(command)}: done"
        if problems:
            message = f"{describe(command)}: {'; '.join(problems)}"
        return ControlReply(ok=not problems, message=message, payload={"switches": self.listed()})

    async def _settle(self, command: ControlCommand, floor: Floor) -> ControlReply:
        if None in (command.follower, command.order, command.filled):
            raise ControlError("settle: expected a follower, an order and what of it was filled")
        self._log(command)
        await self._store.flush()
        self._tell(f"control: {describe(command)}")
        problems = floor.settle_order(command)
        message = f"{describe(command)}: {'; '.join(problems) or 'done'}"
        return ControlReply(ok=not problems, message=message)

    async def latch(self, leader: LeaderId, follower: FollowerId) -> None:
        """Stop a follower's opens under a leader until ``resume``, durably first.

        Raises:
            StoreError: it could not be made durable; nothing was done.
        """
        if ControlAction.LEADER_STALE in self._switches.active(follower=follower, leader=leader):
            return
        command = ControlCommand(ControlAction.LEADER_STALE, follower, leader)
        await self._store.save_control(command.row(self._wall_ms()))
        self._log(command)
        self._tell(f"control: {describe(command)}")
        self._switches.apply(command)
        self.apply_all()

    def _check(self, command: ControlCommand, floor: Floor) -> None:
        if command.follower is not None and command.follower not in self._followers:
            raise ControlError(f"no follower {command.follower!r}")
        if command.leader is not None and command.leader not in self._leaders:
            raise ControlError(f"no leader {command.leader!r}")
        if command.symbol is not None and not floor.is_listed(command.symbol):
            raise ControlError(f"no symbol {command.symbol!r}")

    def _lift(self, command: ControlCommand) -> None:
        """Take back the pause that a refused signature brought about, once a person says so."""
        if command.leader is not None or command.symbol is not None:
            return
        for follower in self._followers.values():
            if command.follower in (None, follower.id):
                follower.set_gate(SkipReason.FOLLOWER_PAUSED, is_on=False)

    def _log(self, command: ControlCommand) -> None:
        self._store.log(
            [
                ActivityRow(
                    ts_ms=self._wall_ms(),
                    kind="control",
                    leader=command.leader,
                    follower=command.follower,
                    reason=command.action.value.upper(),
                    payload=_payload(command),
                )
            ]
        )

    def listed(self) -> list[dict[str, object]]:
        """Return the switches in force, as plain JSON values."""
        return [
            {
                "follower": follower,
                "leader": leader,
                "symbol": symbol,
                "on": sorted(str(action) for action in actions),
            }
            for (follower, leader, symbol), actions in self._switches.listed()
        ]


def describe(command: ControlCommand) -> str:
    """Return an order in words."""
    scope = [
        f"{key} {value}"
        for key, value in (
            ("follower", command.follower),
            ("leader", command.leader),
            ("symbol", command.symbol),
            ("order", command.order),
        )
        if value is not None
    ]
    return " ".join([command.action.value.replace("_", "-"), *(scope or ["everybody"])])


def _payload(command: ControlCommand) -> dict[str, object]:
    payload: dict[str, object] = {"symbol": command.symbol, "all": command.is_all}
    if command.order is not None:
        payload |= {"order": command.order, "filled": command.filled, "price": command.price}
    return payload


def _is_scoped(command: ControlCommand) -> bool:
    return command.is_all or any((command.follower, command.leader, command.symbol))


def _mask(actions: frozenset[ControlAction]) -> int:
    mask = 0
    for action in actions:
        mask |= MASKS[action]
    return mask
