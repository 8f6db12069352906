"""Aster's market-data frames and depth snapshots, decoded or refused by name. No I/O.

Prices and quantities of book levels stay text: the book parses them itself, exactly.
"""

from typing import Final

import msgspec

from slipstream.errors import DecodeError
from slipstream.units import Px
from slipstream.venues.aster import wire

__all__ = [
    "ControlReply",
    "DepthSnapshot",
    "DepthUpdate",
    "MarkPrice",
    "Ticker",
    "decode_depth_snapshot",
    "decode_market",
]

Level = tuple[str, str]
_DEPTH_KEY_COUNT: Final = 9


class DepthUpdate(msgspec.Struct, tag_field="e", tag="depthUpdate"):
    """Changed levels (diff) or the best levels (partial): absolute quantities, zero deletes.

    ``U`` and ``u``: first and last update id inside; ``pu``: last id of the message before;
    ``T``: matching time in ms.
    """

    E: wire.Count
    T: wire.Count
    s: str
    U: wire.Count
    u: wire.Count
    pu: wire.Count
    b: list[Level]
    a: list[Level]


class DepthSnapshot(msgspec.Struct):
    """A book over REST. ``T``: of its last change, ``E``: of the answer, both in ms."""

    lastUpdateId: wire.Count  # noqa: N815 - the wire's name
    bids: list[Level]
    asks: list[Level]
    T: wire.Count = 0
    E: wire.Count = 0


class _Ticker(msgspec.Struct, tag_field="e", tag="bookTicker"):
    u: wire.Count
    T: wire.Count
    s: str
    b: str
    B: str
    a: str
    A: str


class _Mark(msgspec.Struct, tag_field="e", tag="markPriceUpdate"):
    E: wire.Count
    s: str
    p: str


class Ticker(msgspec.Struct, frozen=True):
    """The best bid and offer; ``None`` for a side that is empty. ``update_id`` as in the book."""

    symbol: str
    update_id: int
    bid_px: Px | None
    ask_px: Px | None


class MarkPrice(msgspec.Struct, frozen=True):
    """A mark price."""

    symbol: str
    px: Px


class ControlReply(msgspec.Struct, frozen=True):
    """The answer to a control message; ``reason`` says why it was refused, ``None`` = done."""

    id: int | None = None
    reason: str | None = None


class _Kind(msgspec.Struct):
    e: str | None = None
    id: int | None = None
    code: int | None = None
    msg: str | None = None
    error: object = None
    stream: str | None = None
    wrapped: msgspec.Raw = msgspec.field(name="data", default=msgspec.Raw(b""))


_KNOWN: Final = frozenset({"depthUpdate", "bookTicker", "markPriceUpdate"})
_frame = msgspec.json.Decoder(DepthUpdate | _Ticker | _Mark).decode
_kind = msgspec.json.Decoder(_Kind).decode
_snapshot = msgspec.json.Decoder(DepthSnapshot).decode

MarketFrame = DepthUpdate | Ticker | MarkPrice | ControlReply | None


def decode_market(raw: bytes) -> MarketFrame:
    """Decode one frame; ``None`` for kinds that nobody asked for.

    Raises:
        DecodeError: a known kind that is not what the protocol says.
    """
    try:
        frame = _frame(raw)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        return _decode_other(raw, error)
    if isinstance(frame, DepthUpdate):
        # All nine keys were found, each with its colon; one more could be a repetition.
        if raw.count(b":") != _DEPTH_KEY_COUNT:
            wire.refuse_repeated_keys(raw, "depthUpdate")
        if frame.u < frame.U:
            raise DecodeError(f"depthUpdate $.U: expected at most u, found {frame.U} > {frame.u}")
        return frame
    if isinstance(frame, _Ticker):
        wire.refuse_repeated_keys(raw, "bookTicker")
        bid_px = wire.number(frame.b, "bookTicker $.b")
        ask_px = wire.number(frame.a, "bookTicker $.a")
        if bid_px and ask_px and bid_px >= ask_px:
            raise DecodeError(f"bookTicker: expected bid below ask, found {frame.b} and {frame.a}")
        return Ticker(
            wire.require_symbol(frame.s, "bookTicker $.s"),
            frame.u,
            Px(bid_px) if bid_px else None,
            Px(ask_px) if ask_px else None,
        )
    wire.refuse_repeated_keys(raw, "markPriceUpdate")
    return MarkPrice(
        wire.require_symbol(frame.s, "markPriceUpdate $.s"),
        Px(wire.positive(frame.p, "markPriceUpdate $.p")),
    )


def _decode_other(raw: bytes, error: Exception) -> MarketFrame:
    kind = wire.checked(_kind, raw, "market stream", is_unique=False)
    if bytes(kind.wrapped) and kind.stream is not None and kind.e is None:
        return decode_market(bytes(kind.wrapped))
    if kind.e in _KNOWN:
        raise DecodeError(f"{kind.e}: {str(error)[:160]}") from error
    if kind.code is not None or kind.error is not None:
        return ControlReply(kind.id, f"code {kind.code}: {(kind.msg or '')[:80]}")
    if kind.id is not None:
        return ControlReply(kind.id)
    if kind.e is None:
        raise DecodeError("market stream $.e: expected an event's name") from error
    return None


def decode_depth_snapshot(raw: bytes) -> DepthSnapshot:
    """Decode ``GET depth``.

    Raises:
        DecodeError: not a snapshot.
    """
    return wire.checked(_snapshot, raw, "depth")
