"""A leader's account as its venue confirmed it: wallet, positions, leverage, newest marks.

Equity is wallet balance plus unrealised profit at mark, over all positions. It is ``None`` while
any part of it is unknown: a guess would size every follower wrongly.
"""

from collections.abc import Iterator

from slipstream._core import PositionSide
from slipstream.domain.fill import AccountSnapshot
from slipstream.engine.position import LaneKey, TrackedPosition
from slipstream.units import SCALE, Px, Qty, Quote


class LeaderAccount:
    """Positions by lane and what values them. Mutated by ``LeaderTracker`` alone."""

    def __init__(self) -> None:
        """Start with nothing known."""
        self._lanes: dict[LaneKey, TrackedPosition] = {}
        self._marks: dict[str, Px] = {}
        self._leverage: dict[str, int] = {}
        self._wallet: Quote | None = None
        self._wallet_ms = -1
        self.floor_ms = -1
        self.is_restored = False

    def lane(self, key: LaneKey) -> TrackedPosition:
        """Return a lane, made empty when it was never seen."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = TrackedPosition(key, self.floor_ms, is_known=not self.is_restored)
            self._lanes[key] = lane
        return lane

    def lanes(self, symbol: str | None = None) -> Iterator[TrackedPosition]:
        """Iterate over the lanes of one symbol, or over all, in a stable order."""
        return (lane for key, lane in list(self._lanes.items()) if symbol in (None, key.symbol))

    def position(self, symbol: str, position_side: PositionSide = PositionSide.NET) -> Qty:
        """Return a tracked position, signed; 0 when there is none."""
        lane = self._lanes.get(LaneKey(symbol, position_side))
        return Qty(0) if lane is None else lane.signed_qty

    def leverage(self, symbol: str) -> int | None:
        """Return the leader's leverage on a symbol, ``None`` while unknown."""
        return self._leverage.get(symbol)

    def set_leverage(self, symbol: str, leverage: int) -> None:
        """Record the leader's leverage on a symbol."""
        self._leverage[symbol] = leverage

    def mark(self, symbol: str) -> Px | None:
        """Return the newest mark price, ``None`` while unknown."""
        return self._marks.get(symbol)

    def px_of(self, lane: TrackedPosition) -> Px | None:
        """Return the best known price of a position's symbol, ``None`` when nothing gave one."""
        return self.mark(lane.key.symbol) or lane.last_px or lane.entry_px

    def set_mark(self, symbol: str, px: Px | None) -> None:
        """Record the newest mark price; ``None``: what was told last is too old to be used."""
        if px is None:
            self._marks.pop(symbol, None)
        else:
            self._marks[symbol] = px

    @property
    def wallet(self) -> Quote | None:
        """Wallet balance as last confirmed, ``None`` while unknown."""
        return self._wallet

    def set_wallet(self, wallet: Quote, *, ts_ms: int) -> None:
        """Record a wallet balance unless a newer one is known."""
        if ts_ms >= self._wallet_ms:
            self._wallet, self._wallet_ms = wallet, ts_ms

    def take_settings(self, snapshot: AccountSnapshot) -> None:
        """Record what a reading says besides position quantities."""
        self.set_wallet(snapshot.wallet, ts_ms=snapshot.venue_ts_ms)
        for state in snapshot.positions:
            if state.leverage is not None:
                self._leverage[state.symbol] = state.leverage
            lane = self.lane(LaneKey(state.symbol, state.position_side))
            lane.state(state.qty, state.entry_px, ts_ms=snapshot.venue_ts_ms)
        held = {LaneKey(state.symbol, state.position_side) for state in snapshot.positions}
        for key, lane in self._lanes.items():
            if key not in held:
                lane.state(0, None, ts_ms=snapshot.venue_ts_ms)

    def is_whole(self) -> bool:
        """Whether the venue told of every position what its wallet counts already."""
        return all(lane.is_stated_by(self._wallet_ms) for lane in self._lanes.values())

    def equity(self) -> Quote | None:
        """Return wallet plus unrealised profit at mark, rounded down at 10**-8.

        Positions count as the venue stated them: the wallet is of the same account, while fills
        that came here may not be in it yet, and fills that are in it may not have come. ``None``
        while the wallet, or the mark or entry price of any position, is unknown.
        """
        if self._wallet is None:
            return None
        unrealised = 0
        for key, lane in self._lanes.items():
            if not lane.stated_qty:
                continue
            mark_px = self._marks.get(key.symbol)
            if mark_px is None or lane.entry_px is None:
                return None
            unrealised += (mark_px - lane.entry_px) * lane.stated_qty
        return Quote(self._wallet + unrealised // SCALE)
