"""Every exception Slipstream raises, under one root made by the extension.

Not trading is a value (``Skip``), never an exception. What an exchange of messages with a
venue came to is a value too (``domain.outcome``); the ``VenueError`` family is for callers who
asked a question (a read, a setting) and cannot go on without the answer.
"""

from slipstream._core import (
    BookError,
    BookGapError,
    CoreError,
    FixedError,
    KeystoreError,
    SchemaError,
    SignerError,
    SlipstreamError,
)

__all__ = [
    "BookError",
    "BookGapError",
    "ConfigError",
    "CoreError",
    "DecodeError",
    "FeedError",
    "FixedError",
    "InvariantError",
    "KeystoreError",
    "NotSent",
    "RateLimited",
    "Rejected",
    "SchemaError",
    "SignerError",
    "SlipstreamError",
    "StoreError",
    "Unauthorized",
    "UnknownOutcome",
    "VenueError",
]


class ConfigError(SlipstreamError):
    """Bad usage or configuration: says where, what was found and what was expected."""


class VenueError(SlipstreamError):
    """A venue did not give the answer that was asked for."""


class NotSent(VenueError):
    """No byte of the request left this process: asking again is safe."""


class Rejected(VenueError):
    """The venue understood and refused; ``code`` is the venue's own."""

    def __init__(self, message: str, *, code: int | None = None) -> None:
        """Keep the venue's code beside its words."""
        super().__init__(message)
        self.code = code


class RateLimited(VenueError):
    """The venue or our own budget said later; ``retry_after_ns`` if it said when."""

    def __init__(self, message: str, *, retry_after_ns: int | None = None) -> None:
        """Keep the pause that was asked for."""
        super().__init__(message)
        self.retry_after_ns = retry_after_ns


class UnknownOutcome(VenueError):
    """The request may have been carried out: only the venue can tell."""


class Unauthorized(VenueError):
    """The venue refused the signature or the key."""


class FeedError(SlipstreamError):
    """A stream can no longer be trusted."""


class DecodeError(FeedError):
    """A venue's message is not what its protocol says: names the place and the expectation."""


class StoreError(SlipstreamError):
    """The database did not do what was asked.

    ``is_unavailable``: it cannot work at the moment (not reached, full, read-only, locked, broken
    disk), whatever it is asked; ``False`` says that it refused this one thing.
    """

    def __init__(self, message: str, *, is_unavailable: bool = False) -> None:
        """Keep whether asking for something else could have gone better."""
        super().__init__(message)
        self.is_unavailable = is_unavailable


class LedgerTakenError(StoreError):
    """Another process writes the database now: what this one remembers is old, and it must send
    nothing more."""


class InvariantError(SlipstreamError):
    """A bug: something that cannot be is."""
