"""What the side log holds, as MessagePack: one byte for the kind, then the value.

Rows of the ledger are arrays in the order of their columns; columns added later are missing at
the end of older records and take their defaults.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from slipstream._core import PositionSide, Side
from slipstream.domain.cohort import ActivityRow, CohortCommit, LegResult
from slipstream.domain.ids import FollowerId, IntentId, LeaderId
from slipstream.errors import StoreError
from slipstream.store.base import ControlRow
from slipstream.store.journal import payload_text

Results = tuple[LegResult, ...]
Lines = tuple[ActivityRow, ...]
Entry = CohortCommit | Results | Lines | ControlRow
"""What one record holds. Results and lines are never empty, so their first item names them."""

_Line = tuple[int, str, str | None, str | None, str | None, str | None, str]
"""A line of the activity log; the payload as its JSON text."""

_GROUP_COUNT: Final = 256
_COMMIT: Final = b"C"
_RESULTS: Final = b"R"
_LINES: Final = b"A"
_CONTROL: Final = b"O"
_ENUMS: Final[dict[type, tuple[Any, ...]]] = {
    PositionSide: (PositionSide.NET, PositionSide.LONG, PositionSide.SHORT),
    Side: (Side.BUY, Side.SELL),
}


def _number(value: object) -> int:
    """Return the place of one of the core's enums' members."""
    for kind, members in _ENUMS.items():
        if isinstance(value, kind):
            return members.index(value)
    raise TypeError(f"the side log cannot hold {type(value).__name__}")


def _member(kind: type, value: Any) -> Any:  # noqa: ANN401 - whatever the enum is
    return _ENUMS[kind][value]


_ENCODER: Final = msgspec.msgpack.Encoder(enc_hook=_number)
_DECODERS: Final[dict[bytes, Callable[[bytes], Any]]] = {
    _COMMIT: msgspec.msgpack.Decoder(CohortCommit, dec_hook=_member).decode,
    _RESULTS: msgspec.msgpack.Decoder(Results).decode,
    _LINES: msgspec.msgpack.Decoder(tuple[_Line, ...]).decode,
    _CONTROL: msgspec.msgpack.Decoder(ControlRow).decode,
}


def encode_entry(entry: Entry) -> bytes:
    """Return an entry's text.

    Raises:
        StoreError: a value that the ledger could not hold either.
    """
    try:
        match entry:
            case CohortCommit():
                return _COMMIT + _ENCODER.encode(entry)
            case ControlRow():
                return _CONTROL + _ENCODER.encode(entry)
            case (LegResult(), *_):
                return _RESULTS + _ENCODER.encode(entry)
            case _:
                return _LINES + _ENCODER.encode(
                    [_line(row) for row in entry if isinstance(row, ActivityRow)]
                )
    except (OverflowError, TypeError, UnicodeError, msgspec.MsgspecError) as error:
        raise StoreError(f"the side log cannot hold this: {error}") from error


def encode_lines(
    lines: Sequence[ActivityRow], refuse: Callable[[ActivityRow, StoreError], None]
) -> Iterator[tuple[Lines, bytes]]:
    """Yield lines in groups with their texts; who has none goes to ``refuse`` and nowhere else."""
    for start in range(0, len(lines), _GROUP_COUNT):
        group = tuple(lines[start : start + _GROUP_COUNT])
        try:
            text = encode_entry(group)
        except StoreError as error:
            if len(group) > 1:
                for row in group:
                    yield from encode_lines((row,), refuse)
            else:
                refuse(group[0], error)
        else:
            yield group, text


def decode_entry(text: bytes) -> Entry:
    """Return the entry of a text.

    Raises:
        StoreError: not such a text.
    """
    kind, body = text[:1], text[1:]
    try:
        decoded = _DECODERS[kind](body)
    except (KeyError, IndexError, msgspec.MsgspecError) as error:
        raise StoreError(f"the side log holds what cannot be read: {error}") from error
    if kind == _LINES:
        return tuple(_row(line) for line in decoded)
    return decoded  # type: ignore[no-any-return] # one of the decoders' types


def _line(row: ActivityRow) -> _Line:
    return (
        row.ts_ms,
        str(row.kind),
        _storable(row.leader),
        _storable(row.follower),
        _storable(row.intent_id),
        _storable(row.reason),
        payload_text(row.payload),
    )


def _storable(text: str | None) -> str | None:
    """Return text that UTF-8 can hold: a venue's words may carry half a surrogate pair."""
    return None if text is None else text.encode(errors="backslashreplace").decode()


def _row(line: _Line) -> ActivityRow:
    ts_ms, kind, leader, follower, intent_id, reason, payload = line
    return ActivityRow(
        ts_ms=ts_ms,
        kind=kind,
        leader=None if leader is None else LeaderId(leader),
        follower=None if follower is None else FollowerId(follower),
        intent_id=None if intent_id is None else IntentId(intent_id),
        reason=reason,
        payload=_payload(payload),
    )


def _payload(text: str) -> dict[str, object]:
    """Return a payload; one that is no strict JSON (a number that is none) is kept as its text."""
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except msgspec.MsgspecError:
        return {"text": text}
