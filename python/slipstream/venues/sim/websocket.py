"""Server-side WebSocket framing (RFC 6455): text, ping, pong, close; no extensions."""

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from typing import Final

TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA
MESSAGE_BYTES_MAX: Final = 64 * 1024
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SHORT: Final = 126
_MEDIUM: Final = 65536
_CONTROL_MAX: Final = 125


class FrameError(Exception):
    """The peer broke the protocol; ``code`` is the close code to answer with."""

    def __init__(self, code: int, reason: str) -> None:
        """Keep the close code."""
        super().__init__(reason)
        self.code = code


def accept_token(key: bytes) -> bytes:
    """Return the Sec-WebSocket-Accept value of a client's key (RFC 6455 4.2.2)."""
    return b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def encode_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """Return one unmasked, final frame."""
    size = len(payload)
    head = 0x80 | opcode
    if size < _SHORT:
        return bytes((head, size)) + payload
    if size < _MEDIUM:
        return bytes((head, 126)) + size.to_bytes(2, "big") + payload
    return bytes((head, 127)) + size.to_bytes(8, "big") + payload


def encode_close(code: int, reason: str = "") -> bytes:
    """Return a close frame."""
    return encode_frame(code.to_bytes(2, "big") + reason.encode(), CLOSE)


class FrameReader:
    """Cuts a client's byte stream into messages; fragments are joined."""

    def __init__(self) -> None:
        """Start empty."""
        self._buffer = bytearray()
        self._fragments = bytearray()
        self._opcode = 0

    def feed(self, received: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield (opcode, payload) of each message that is complete.

        Raises:
            FrameError: unmasked, oversized, reserved or misplaced frame.
        """
        self._buffer += received
        while (frame := self._next_frame()) is not None:
            is_final, opcode, payload = frame
            if opcode >= CLOSE:
                if not is_final:
                    raise FrameError(1002, "fragmented control frame")
                yield opcode, payload
                continue
            if (opcode == 0) == (self._opcode == 0):
                raise FrameError(1002, "continuation out of place")
            self._opcode = self._opcode or opcode
            self._fragments += payload
            if len(self._fragments) > MESSAGE_BYTES_MAX:
                raise FrameError(1009, "message too big")
            if is_final:
                message, kind = bytes(self._fragments), self._opcode
                self._fragments.clear()
                self._opcode = 0
                yield kind, message

    def _next_frame(self) -> tuple[bool, int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:  # noqa: PLR2004 - a header has two bytes
            return None
        first, second = buffer[0], buffer[1]
        opcode = first & 0x0F
        if first & 0x70 or opcode not in (0, TEXT, BINARY, CLOSE, PING, PONG):
            raise FrameError(1002, "reserved bits or opcode")
        if not second & 0x80:
            raise FrameError(1002, "client frames must be masked")
        size, start = second & 0x7F, 2
        if opcode >= CLOSE and size > _CONTROL_MAX:
            raise FrameError(1002, "control frame too long")
        extra = {126: 2, 127: 8}.get(size, 0)
        if extra:
            if len(buffer) < start + extra:
                return None
            size = int.from_bytes(buffer[start : start + extra], "big")
            start += extra
        if size > MESSAGE_BYTES_MAX:
            raise FrameError(1009, "frame too big")
        end = start + 4 + size
        if len(buffer) < end:
            return None
        mask = bytes(buffer[start : start + 4])
        payload = bytes(buffer[start + 4 : end])
        del buffer[:end]
        return bool(first & 0x80), opcode, _unmask(payload, mask)


def _unmask(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    if not size:
        return payload
    key = (mask * (size // 4 + 1))[:size]
    mixed = int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")
    return mixed.to_bytes(size, "little")
