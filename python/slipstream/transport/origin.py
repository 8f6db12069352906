"""Where to connect: a host, its port, how it is encrypted, and its pinned address.

One ``Origin`` is shared by all connections to a host. Its name is looked up once and again only
when a connection failed, never on the way of a request.
"""

import asyncio
import socket
import ssl
from functools import cache
from urllib.parse import urlsplit

from slipstream.errors import ConfigError

__all__ = ["Origin", "shared_tls"]

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


@cache
def shared_tls() -> ssl.SSLContext:
    """Return the one TLS context of this process: verifying, TLS 1.2 or newer, HTTP/1.1."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


class Origin:
    """One base URL. ``tls`` is ``None`` for plain text."""

    __slots__ = ("_address", "_failure_count", "host", "is_tls", "path", "port", "tls", "url")

    def __init__(self, url: str, *, tls: ssl.SSLContext | None = None) -> None:
        """Split a base URL such as ``https://host:port/prefix``.

        Raises:
            ConfigError: not an absolute http, https, ws or wss URL.
        """
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"base URL {url!r}: expected a port number") from error
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ConfigError(f"base URL {url!r}: expected http(s)://host or ws(s)://host")
        self.url = url.rstrip("/")
        self.host = parts.hostname
        self.port = port or _PORTS[parts.scheme]
        self.path = parts.path.rstrip("/")
        self.is_tls = parts.scheme in ("https", "wss")
        self.tls = (tls or shared_tls()) if self.is_tls else None
        self._address: str | None = None
        self._failure_count = 0

    @property
    def authority(self) -> str:
        """The value of a ``Host`` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port in (80, 443) else f"{host}:{self.port}"

    async def address(self) -> str:
        """Return the pinned numeric address, looking it up when there is none.

        Raises:
            OSError: the name cannot be looked up.
        """
        if self._address is None:
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
            self._address = str(found[self._failure_count % len(found)][4][0])
        return self._address

    def forget_address(self) -> None:
        """Look the name up again before the next connection, and try its next address."""
        self._address = None
        self._failure_count += 1
