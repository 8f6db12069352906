"""What is sent over HTTP, and what it came to."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from slipstream.transport.origin import Origin
from slipstream.units import TimeNs

__all__ = ["Answered", "HttpResult", "NotSent", "RequestTemplate", "ResultSink", "Unknown"]


class NotSent(NamedTuple):
    """No byte of the request left this process."""

    reason: str


class Unknown(NamedTuple):
    """Bytes were handed to the socket and no complete reply came."""

    reason: str


class Answered(NamedTuple):
    """A complete reply. ``headers`` holds those asked for, names in lower case."""

    status: int
    headers: Mapping[bytes, bytes]
    body: bytes


HttpResult = NotSent | Unknown | Answered
ResultSink = Callable[[HttpResult, TimeNs], None]
"""Takes a result and when it was read. Must not raise."""


class RequestTemplate:
    """The unchanging head of a request: one join of bytes makes a request of it."""

    __slots__ = ("_body_head", "_head", "_tail")

    def __init__(self, method: str, path: str, origin: Origin, headers: Mapping[str, str]) -> None:
        """Prepare the head. ``path`` begins with a slash."""
        fixed = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._head = f"{method} {origin.path}{path}".encode()
        self._tail = f" HTTP/1.1\r\nHost: {origin.authority}\r\n{fixed}\r\n".encode()
        self._body_head = (
            f"{method} {origin.path}{path} HTTP/1.1\r\nHost: {origin.authority}\r\n{fixed}"
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: "
        ).encode()

    def with_body(self, body: bytes) -> bytes:
        """Return the request with a form as its body."""
        return b"%b%d\r\n\r\n%b" % (self._body_head, len(body), body)

    def with_query(self, query: bytes = b"") -> bytes:
        """Return the request without a body, with a query when one is given."""
        return self._head + (b"?" + query if query else b"") + self._tail
