"""One account's user-data stream on Aster, with its listen key's whole life.

A key lives 60 minutes and is kept alive each 30; a connection lives 24 hours and is replaced
before, new socket first, so that events of the overlap come twice and none is missed. A frame
that cannot be decoded may hide a fill: the stream is then declared down and dialled again, and
whoever listens reads what it missed.
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from slipstream import errors
from slipstream.transport.reconnect import Backoff
from slipstream.transport.websocket import WebSocket, open_websocket
from slipstream.units import NS_PER_MS, NS_PER_S, TimeNs
from slipstream.venues.aster import answers, faults
from slipstream.venues.aster.events import (
    HeartbeatReply,
    ListenKeyExpired,
    ModeChanged,
    UserEventDecoder,
)
from slipstream.venues.aster.limits import Endpoint
from slipstream.venues.aster.rest import HEADERS, AsterAccess, AsterRest
from slipstream.venues.base import AccountEvent, AccountSink, FeedDown, FeedUp

__all__ = ["AsterAccountFeed"]

_KEEP_ALIVE_NS: Final = 30 * 60 * NS_PER_S
_REDIAL_NS: Final = (23 * 60 + 30) * 60 * NS_PER_S
_OVERLAP_NS: Final = 5 * NS_PER_S
_HEARTBEAT_NS: Final = 10 * NS_PER_S
_SILENCE_NS: Final = 30 * NS_PER_S
_MESSAGE_SIZE_MAX: Final = 1024 * 1024
_KEY_EXPIRED: Final = "listen key expired"


class _Session:
    """One socket of one listen key, and what it decodes."""

    __slots__ = ("ended", "key", "reason", "socket")

    def __init__(self, key: str) -> None:
        self.key = key
        self.socket: WebSocket | None = None
        self.reason: str | None = None
        self.ended = asyncio.Event()

    def end(self, reason: str) -> None:
        """Say why it must end; the runner does the rest."""
        if self.reason is None:
            self.reason = reason
        self.ended.set()


class AsterAccountFeed:
    """Implements ``AccountFeed``."""

    def __init__(
        self,
        access: AsterAccess,
        rest: AsterRest,
        *,
        account: str,
        wants_orders: bool = True,
        keep_alive_ns: int = _KEEP_ALIVE_NS,
        redial_ns: int = _REDIAL_NS,
        overlap_ns: int = _OVERLAP_NS,
    ) -> None:
        """Share ``rest`` with the account's gateway.

        Args:
            access: what the egress address shares.
            rest: the calls of the account's key.
            account: the address events are reported for.
            wants_orders: whether fills and order reports are decoded and pushed.
            keep_alive_ns: how often the listen key is extended.
            redial_ns: age at which a connection is replaced.
            overlap_ns: how long the old connection lives beside the new one.
        """
        self._keep_alive_ns = keep_alive_ns
        self._redial_ns = redial_ns
        self._overlap_ns = overlap_ns
        self._access = access
        self._rest = rest
        self._clock = access.clock
        self._account = account
        self._decoder = UserEventDecoder(account, access.clock, wants_orders=wants_orders)
        self._backoff = Backoff(access.random, first_ns=50 * NS_PER_MS)
        self._sink: AccountSink | None = None
        self._message_id = 0
        self._sessions: set[_Session] = set()

    async def run(self, sink: AccountSink) -> None:
        """Connect, push events, reconnect with jittered backoff; return only when cancelled.

        Every ``FeedUp`` but the one of a planned replacement follows a ``FeedDown``, except the
        first. When cancelled, sockets are closed and nothing more is pushed.
        """
        self._sink = sink
        try:
            while True:
                try:
                    session = await self._open()
                except (errors.FeedError, errors.VenueError) as error:
                    self._push([FeedDown(f"cannot open: {error}", self._clock.now_ns())])
                    await asyncio.sleep(self._pause_ns(error) / NS_PER_S)
                    continue
                self._push([FeedUp(self._clock.now_ns())])
                reason = await self._live(session)
                self._push([FeedDown(reason, self._clock.now_ns())])
                self._abort_all()
                if reason != _KEY_EXPIRED:
                    await asyncio.sleep(self._backoff.next_delay_ns() / NS_PER_S)
        finally:
            self._sink = None
            self._abort_all()

    def _abort_all(self) -> None:
        """End every socket at once."""
        while self._sessions:
            session = self._sessions.pop()
            if session.socket is not None:
                session.socket.abort("closed by us")

    def _pause_ns(self, error: errors.SlipstreamError) -> int:
        """Return how long to wait after a failure; at least what the venue asked for."""
        asked_ns = error.retry_after_ns if isinstance(error, errors.RateLimited) else None
        return max(self._backoff.next_delay_ns(), asked_ns or 0)

    async def _open(self) -> _Session:
        """Take a listen key and connect with it."""
        session = _Session(
            answers.decode_listen_key(await self._rest.call(Endpoint.LISTEN_KEY_OPEN))
        )

        def on_messages(messages: Sequence[bytes], received_ns: TimeNs) -> None:
            self._on_messages(session, messages, received_ns)

        session.socket = await open_websocket(
            self._access.stream,
            f"/ws/{session.key}",
            sink=on_messages,
            clock=self._clock,
            silence_ns=_SILENCE_NS,
            size_max=_MESSAGE_SIZE_MAX,
            user_agent=HEADERS["User-Agent"],
            local_addr=self._access.local_addr,
        )
        self._sessions.add(session)
        return session

    async def _live(self, session: _Session) -> str:
        """Look after a session, and those that replace it, until one ended; return why."""
        now_ns = self._clock.now_ns()
        keep_ns, redial_ns = now_ns + self._keep_alive_ns, now_ns + self._redial_ns
        beat_ns = now_ns + _HEARTBEAT_NS
        while True:
            wait_ns = max(0, min(keep_ns, redial_ns, beat_ns) - self._clock.now_ns())
            if await self._wait_end(session, wait_ns):
                return session.reason or "ended"
            now_ns = self._clock.now_ns()
            if now_ns >= beat_ns:
                beat_ns = now_ns + _HEARTBEAT_NS
                await self._beat(session)
            if now_ns >= keep_ns:
                keep_ns = now_ns + await self._keep_alive(session)
            if now_ns >= redial_ns:
                session, redial_ns = await self._replace(session)

    async def _wait_end(self, session: _Session, wait_ns: int) -> bool:
        """Wait for the end of a session; False when it still lives after ``wait_ns``."""
        socket = session.socket
        if socket is None:
            return True
        lost = asyncio.ensure_future(socket.wait_lost())
        ended = asyncio.ensure_future(session.ended.wait())
        try:
            done, _ = await asyncio.wait(
                (lost, ended), timeout=wait_ns / NS_PER_S, return_when=asyncio.FIRST_COMPLETED
            )
            if lost in done:
                session.end(lost.result())
            return bool(done)
        finally:
            lost.cancel()
            ended.cancel()

    async def _beat(self, session: _Session) -> None:
        """Ask something harmless: the answer shows that more than the socket is alive."""
        self._message_id += 1
        message = json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": self._message_id})
        if session.socket is not None:
            with suppress(errors.FeedError):  # a lost socket is noticed where it is awaited
                await session.socket.send(message)

    async def _keep_alive(self, session: _Session) -> int:
        """Extend the key; return how long to wait before the next time."""
        try:
            await self._rest.call(Endpoint.LISTEN_KEY_KEEP)
        except errors.Rejected as error:
            if error.code == faults.IS_LISTEN_KEY_GONE:
                session.end(_KEY_EXPIRED)
            return self._keep_alive_ns // 30
        except errors.VenueError as error:
            # The key has 30 minutes left: try again in a minute or when the venue says.
            asked_ns = error.retry_after_ns if isinstance(error, errors.RateLimited) else None
            return max(self._keep_alive_ns // 30, asked_ns or 0)
        return self._keep_alive_ns

    async def _replace(self, session: _Session) -> tuple[_Session, int]:
        """Dial again before the venue ends the connection; the old one goes after the new."""
        try:
            fresh = await self._open()
        except (errors.FeedError, errors.VenueError) as error:
            return session, self._clock.now_ns() + self._pause_ns(error) + 60 * NS_PER_S
        await self._wait_end(fresh, self._overlap_ns)
        self._sessions.discard(session)
        if session.socket is not None:
            await session.socket.close()
        return fresh, self._clock.now_ns() + self._redial_ns

    def _on_messages(
        self, session: _Session, messages: Sequence[bytes], received_ns: TimeNs
    ) -> None:
        """Decode one read's frames and push what they say, in order."""
        if session not in self._sessions and session.socket is not None:
            return  # replaced or given up
        events: list[AccountEvent] = []
        try:
            for raw in messages:
                for event in self._decoder.decode(raw, received_ns, stream=session.key):
                    if isinstance(event, HeartbeatReply):
                        self._on_heartbeat_reply(session)
                    elif isinstance(event, ListenKeyExpired):
                        session.end(_KEY_EXPIRED)
                    elif isinstance(event, ModeChanged):
                        session.end("the account's mode changed")
                    else:
                        events.append(event)
        except errors.DecodeError as error:
            session.end(str(error))
        if events:
            self._backoff.reset()
            self._push(events)

    def _on_heartbeat_reply(self, session: _Session) -> None:
        """From now on silence of messages counts, not only of the socket."""
        if session.socket is not None:
            session.socket.is_held_to_messages = True
        self._backoff.reset()

    def _push(self, events: list[AccountEvent]) -> None:
        if self._sink is not None:
            self._sink(events)
