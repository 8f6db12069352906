"""Aster's user-data stream, decoded into domain events. No I/O.

Sources: the venue's futures V3 document, user data streams; liquidation and ADL marks from the
same family of venues (client ids ``autoclose-…`` and ``adl_autoclose…``).
"""

from typing import Final

import msgspec

from slipstream.domain.fill import (
    AccountUpdate,
    Fill,
    LeverageUpdate,
    PositionDoubt,
    PositionState,
)
from slipstream.domain.ids import ClientOrderId, FillId
from slipstream.domain.order import OrderReport
from slipstream.errors import DecodeError
from slipstream.transport.clock import Clock
from slipstream.units import Px, Qty, Quote, TimeNs, VenueMs
from slipstream.venues.aster import wire

__all__ = ["HeartbeatReply", "ListenKeyExpired", "ModeChanged", "UserEventDecoder"]

_LIQUIDATION_IDS: Final = ("autoclose-", "adl_autoclose")
_ORDER_MARK: Final = b'"ORDER_TRADE_UPDATE"'
_MARK_LENGTH: Final = 48


class ListenKeyExpired:
    """Nothing more will come on this key, although the socket stays open."""


class ModeChanged:
    """The account switched between one-way and hedge, or its margin mode."""


class HeartbeatReply:
    """The venue answered a control message: the stream is alive."""


class _Order(msgspec.Struct):
    s: str
    c: str
    S: str
    x: str
    X: str
    i: wire.Count
    l: str  # noqa: E741 - the wire's name
    z: str
    L: str
    ap: str
    t: wire.Count
    T: wire.Count
    m: bool
    ps: str
    o: str = ""


class _OrderUpdate(msgspec.Struct, tag_field="e", tag="ORDER_TRADE_UPDATE"):
    E: wire.Count
    T: wire.Count
    o: _Order


class _Balance(msgspec.Struct):
    a: str
    wb: str


class _Position(msgspec.Struct):
    s: str
    pa: str
    ps: str
    ep: str = "0"
    up: str = "0"


class _AccountBody(msgspec.Struct):
    m: str
    B: list[_Balance] = []
    P: list[_Position] = []


class _AccountUpdate(msgspec.Struct, tag_field="e", tag="ACCOUNT_UPDATE"):
    E: wire.Count
    T: wire.Count
    a: _AccountBody


class _SymbolConfig(msgspec.Struct):
    s: str
    l: wire.Count  # noqa: E741 - the wire's name


class _ConfigUpdate(msgspec.Struct, tag_field="e", tag="ACCOUNT_CONFIG_UPDATE"):
    E: wire.Count
    ac: _SymbolConfig | None = None
    ai: dict[str, object] | None = None


class _Expired(msgspec.Struct, tag_field="e", tag="listenKeyExpired"):
    E: wire.Count


class _Kind(msgspec.Struct):
    e: str | None = None
    stream: str | None = None
    wrapped: msgspec.Raw = msgspec.field(name="data", default=msgspec.Raw(b""))
    id: object = None
    code: object = None
    error: object = None


_KNOWN: Final = frozenset(
    {"ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "ACCOUNT_CONFIG_UPDATE", "listenKeyExpired"}
)
_event = msgspec.json.Decoder(_OrderUpdate | _AccountUpdate | _ConfigUpdate | _Expired).decode
_kind = msgspec.json.Decoder(_Kind).decode

Decoded = (
    Fill
    | AccountUpdate
    | LeverageUpdate
    | PositionDoubt
    | OrderReport
    | ListenKeyExpired
    | ModeChanged
    | HeartbeatReply
)


class UserEventDecoder:
    """Decodes one account's frames. ``quote_asset`` is the asset whose wallet is reported."""

    __slots__ = ("_account", "_clock", "_quote_asset", "_wants_orders")

    def __init__(
        self,
        account: str,
        clock: Clock,
        *,
        quote_asset: str = "USDT",
        wants_orders: bool = True,
    ) -> None:
        """Name the account that owns the stream: events do not.

        ``wants_orders=False`` passes order events over unread: for accounts whose orders are all
        ours and answered to us.
        """
        self._wants_orders = wants_orders
        self._account = account
        self._clock = clock
        self._quote_asset = quote_asset

    def decode(
        self, raw: bytes, received_ns: TimeNs, *, stream: str | None = None
    ) -> list[Decoded]:
        """Decode one frame; unknown kinds of events decode to nothing.

        Args:
            raw: the frame.
            received_ns: when it was read.
            stream: the name a combined frame must carry, when it is known.

        Raises:
            DecodeError: a known kind that is not what the protocol says, or another stream's.
        """
        if not self._wants_orders and _ORDER_MARK in raw[:_MARK_LENGTH]:
            return []
        try:
            event = _event(raw)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            return self._decode_other(raw, received_ns, stream, error)
        if isinstance(event, _OrderUpdate):
            wire.refuse_repeated_keys(raw, "ORDER_TRADE_UPDATE")
            return self._on_order(event, received_ns)
        if isinstance(event, _AccountUpdate):
            wire.refuse_repeated_keys(raw, "ACCOUNT_UPDATE")
            return [self._on_account(event, received_ns)]
        if isinstance(event, _ConfigUpdate):
            wire.refuse_repeated_keys(raw, "ACCOUNT_CONFIG_UPDATE")
            return self._on_config(event, received_ns)
        return [ListenKeyExpired()]

    def _decode_other(
        self, raw: bytes, received_ns: TimeNs, stream: str | None, error: Exception
    ) -> list[Decoded]:
        kind = wire.checked(_kind, raw, "user stream", is_unique=False)
        if bytes(kind.wrapped) and kind.stream is not None:
            if stream is not None and kind.stream != stream:
                raise DecodeError("user stream $.stream: expected this account's stream")
            if kind.e is not None:
                raise DecodeError("user stream: both an event and a wrapped event")
            return self.decode(bytes(kind.wrapped), received_ns)
        if kind.e in _KNOWN:
            raise DecodeError(f"{kind.e}: {str(error)[:160]}") from error
        if kind.e is None and not (kind.id is None and kind.code is None and kind.error is None):
            return [HeartbeatReply()]
        if kind.e is None:
            raise DecodeError("user stream $.e: expected an event's name") from error
        return []

    def _on_order(self, event: _OrderUpdate, received_ns: TimeNs) -> list[Decoded]:
        order = event.o
        where = "ORDER_TRADE_UPDATE $.o"
        symbol = wire.require_symbol(order.s, f"{where}.s")
        events: list[Decoded] = []
        is_liquidation = (
            order.c.startswith(_LIQUIDATION_IDS)
            or order.x == "CALCULATED"
            or order.o == "LIQUIDATION"
        )
        last_qty = wire.number(order.l, f"{where}.l")
        is_execution = order.x in ("TRADE", "CALCULATED") and last_qty > 0
        if is_execution and order.t:
            events.append(
                Fill(
                    id=FillId(
                        wire.VENUE, self._account, symbol, str(order.i), str(order.t), order.T
                    ),
                    position_side=wire.position(order.ps, f"{where}.ps"),
                    side=wire.side(order.S, f"{where}.S"),
                    qty=Qty(last_qty),
                    px=Px(wire.positive(order.L, f"{where}.L")),
                    is_taker=not order.m,
                    is_liquidation=is_liquidation,
                    received_ns=received_ns,
                    decoded_ns=self._clock.now_ns(),
                    client_order_id=order.c,
                )
            )
        filled_qty = wire.number(order.z, f"{where}.z")
        average_px = Px(wire.positive(order.ap, f"{where}.ap")) if filled_qty else None
        state = wire.order_state(order.X, f"{where}.X")
        events.append(
            OrderReport(
                ClientOrderId(order.c),
                str(order.i),
                symbol,
                state,
                Qty(filled_qty),
                average_px,
                VenueMs(event.T),
            )
        )
        if (is_execution and not order.t) or (is_liquidation and order.x != "NEW"):
            reason = "liquidation" if is_liquidation else "execution without a trade id"
            events.append(PositionDoubt(self._account, symbol, reason, received_ns))
        return events

    def _on_account(self, event: _AccountUpdate, received_ns: TimeNs) -> AccountUpdate:
        where = "ACCOUNT_UPDATE $.a"
        wallet: Quote | None = None
        for index, balance in enumerate(event.a.B):
            value = wire.amount(balance.wb, f"{where}.B[{index}].wb")
            if balance.a == self._quote_asset:
                if wallet is not None:
                    raise DecodeError(f"{where}.B[{index}].a: expected each asset once")
                wallet = Quote(value)
        positions = tuple(
            _position(each, f"{where}.P[{index}]") for index, each in enumerate(event.a.P)
        )
        return AccountUpdate(
            account=self._account,
            venue_ts_ms=VenueMs(event.T),
            reason=event.a.m,
            wallet=wallet,
            positions=positions,
            received_ns=received_ns,
        )

    def _on_config(self, event: _ConfigUpdate, received_ns: TimeNs) -> list[Decoded]:
        events: list[Decoded] = []
        if event.ac is not None:
            where = "ACCOUNT_CONFIG_UPDATE $.ac"
            symbol = wire.require_symbol(event.ac.s, f"{where}.s")
            leverage = wire.leverage_of(event.ac.l, f"{where}.l")
            events.append(LeverageUpdate(self._account, symbol, leverage, received_ns))
        if event.ai is not None:
            events.append(ModeChanged())
        return events


def _position(each: _Position, where: str) -> PositionState:
    lane = wire.position(each.ps, f"{where}.ps")
    qty = wire.position_qty(each.pa, lane, f"{where}.pa")
    entry_px = wire.number(each.ep, f"{where}.ep")
    return PositionState(
        symbol=wire.require_symbol(each.s, f"{where}.s"),
        position_side=lane,
        qty=qty,
        entry_px=Px(entry_px) if entry_px else None,
        unrealised=Quote(wire.amount(each.up, f"{where}.up")),
    )
