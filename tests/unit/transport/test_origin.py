"""Base URLs, split and pinned."""

import pytest

from slipstream.transport.origin import Origin, shared_tls


@pytest.mark.parametrize(
    ("url", "authority", "port", "path", "is_tls"),
    [
        ("https://venue.test", "venue.test", 443, "", True),
        ("http://127.0.0.1:8080/base/", "127.0.0.1:8080", 8080, "/base", False),
        ("wss://venue.test:9443", "venue.test:9443", 9443, "", True),
        ("ws://[::1]:81", "[::1]:81", 81, "", False),
    ],
)
def test_a_base_url_is_split(
    url: str, authority: str, port: int, path: str, *, is_tls: bool
) -> None:
    origin = Origin(url)
    assert (origin.authority, origin.port, origin.path) == (authority, port, path)
    assert origin.is_tls is is_tls
    assert (origin.tls is shared_tls()) is is_tls


async def test_a_numeric_address_is_pinned_until_it_is_forgotten() -> None:
    origin = Origin("http://127.0.0.1:1")
    assert await origin.address() == "127.0.0.1"
    origin.forget_address()
    assert await origin.address() == "127.0.0.1"
