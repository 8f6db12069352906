"""One account's user-data stream on Aster, with its listen key's whole life.

A socket lives 24 hours and is replaced before, new one first, so that events of the overlap come
twice and none is missed. It counts as dead when our own control messages stay unanswered, however
alive its TCP connection looks. The key is extended by asking for it again: the venue names the
active key, so a key that somebody deleted or replaced shows although the old socket stays open and
says nothing. A frame that cannot be decoded may hide a fill: the stream is then declared down and
dialled again, and whoever listens reads what it missed.
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
from slipstream.venues.aster import answers, faults, limits
from slipstream.venues.aster.events import (
    HeartbeatReply,
    ListenKeyExpired,
    ModeChanged,
    UserEventDecoder,
)
from slipstream.venues.aster.limits import Endpoint, StreamBounds
from slipstream.venues.aster.rest import HEADERS, AsterAccess, AsterRest
from slipstream.venues.base import AccountEvent, AccountSink, FeedDown, FeedUp

__all__ = ["AsterAccountFeed"]

_REDIAL_RETRY_NS: Final = 60 * NS_PER_S
_KEY_RETRY_NS: Final = 10 * NS_PER_S
_STEADY_NS: Final = 10 * NS_PER_S
"""A session that lived this long is no part of a row of failures: each one that is dialled costs
readings of the account."""

_MESSAGE_SIZE_MAX: Final = 1024 * 1024
_KEY_EXPIRED: Final = "listen key expired"


class _Session:
    """One socket of one listen key, and what it decodes."""

    __slots__ = ("ended", "key", "opened_ns", "reason", "socket", "tending")

    def __init__(self, key: str, opened_ns: TimeNs) -> None:
        self.key = key
        self.opened_ns = opened_ns
        self.socket: WebSocket | None = None
        self.tending: asyncio.Task[None] | None = None
        self.reason: str | None = None
        self.ended = asyncio.Event()

    @property
    def is_live(self) -> bool:
        """Whether nothing ended it, as far as is known."""
        return not self.ended.is_set() and self.socket is not None and self.socket.is_open

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
        is_first: bool = False,
        bounds: StreamBounds = limits.FOLLOWER_STREAM,
    ) -> None:
        """Share ``rest`` with the account's gateway.

        Args:
            access: what the egress address shares.
            rest: the calls of the account's key.
            account: the address events are reported for.
            wants_orders: whether fills and order reports are decoded and pushed.
            is_first: may dial when the address has used up what it may ask, before others.
            bounds: when the stream counts as dead, when its key is asked for, when it is replaced.
        """
        self._bounds = bounds
        self._is_first = is_first
        self._access = access
        self._rest = rest
        self._clock = access.clock
        self._account = account
        self._decoder = UserEventDecoder(account, access.clock, wants_orders=wants_orders)
        self._backoff = Backoff(access.random, first_ns=50 * NS_PER_MS)
        self._sink: AccountSink | None = None
        self._message_id = 0
        self._sessions: set[_Session] = set()
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self, sink: AccountSink) -> None:
        """Connect, push events, reconnect with jittered backoff; return only when cancelled.

        Every ``FeedUp`` follows a ``FeedDown``, except the first; a planned replacement says
        neither. When cancelled, sockets are closed and nothing more is pushed.
        """
        self._sink = sink
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                while True:
                    await self._follow()
        finally:
            self._sink = self._tasks = None
            self._abort_all()

    async def _follow(self) -> None:
        """Dial, push until the stream ended, and pause."""
        try:
            session = await self._open()
        except (errors.FeedError, errors.VenueError) as error:
            self._push([FeedDown(f"cannot open: {error}", self._clock.now_ns())])
            await asyncio.sleep(self._pause_ns(error) / NS_PER_S)
            return
        opened_ns = session.opened_ns
        self._push([FeedUp(self._clock.now_ns())])
        reason = await self._live(session)
        now_ns = self._clock.now_ns()
        self._push([FeedDown(reason, now_ns)])
        self._abort_all()
        is_steady = now_ns - opened_ns >= _STEADY_NS
        if is_steady:
            self._backoff.reset()
        if reason != _KEY_EXPIRED or not is_steady:
            await asyncio.sleep(self._backoff.next_delay_ns() / NS_PER_S)

    def redial(self, reason: str) -> None:
        """Give the stream up and dial again: somebody knows that it lost something."""
        for session in self._sessions:
            session.end(reason)

    def _abort_all(self) -> None:
        """End every socket at once."""
        for session in list(self._sessions):
            self._forget(session)
            if session.socket is not None:
                session.socket.abort("closed by us")

    def _forget(self, session: _Session) -> None:
        """Hear nothing more of a session, and stop looking after it."""
        self._sessions.discard(session)
        if session.tending is not None:
            session.tending.cancel()

    def _pause_ns(self, error: errors.SlipstreamError) -> int:
        """Return how long to wait after a failure; at least what the venue asked for."""
        asked_ns = error.retry_after_ns if isinstance(error, errors.RateLimited) else None
        return max(self._backoff.next_delay_ns(), asked_ns or 0)

    async def _active_key(self) -> str:
        """Return the account's listen key, extended; a new one when there is none."""
        return answers.decode_listen_key(
            await self._rest.call(Endpoint.LISTEN_KEY_OPEN, is_urgent=self._is_first)
        )

    async def _open(self) -> _Session:
        """Take a listen key and connect with it."""
        session = _Session(await self._active_key(), self._clock.now_ns())

        def on_messages(messages: Sequence[bytes], received_ns: TimeNs) -> None:
            self._on_messages(session, messages, received_ns)

        session.socket = await open_websocket(
            self._access.stream,
            f"/ws/{session.key}",
            sink=on_messages,
            clock=self._clock,
            silence_ns=self._bounds.silence_ns,
            size_max=_MESSAGE_SIZE_MAX,
            user_agent=HEADERS["User-Agent"],
            local_addr=self._access.local_addr,
        )
        self._sessions.add(session)
        if self._tasks is not None:
            session.tending = self._tasks.create_task(self._tend(session))
        return session

    async def _live(self, session: _Session) -> str:
        """Wait for the end of a session, or of those that replace it; return why."""
        redial_ns = self._clock.now_ns() + self._bounds.redial_ns
        while not await self._wait_end(session, max(0, redial_ns - self._clock.now_ns())):
            session, redial_ns = await self._replace(session)
        return session.reason or "ended"

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

    async def _tend(self, session: _Session) -> None:
        """Ask for signs of life, and for the key, for as long as the session is heard."""
        bounds = self._bounds
        now_ns = self._clock.now_ns()
        beat_ns, key_ns = TimeNs(now_ns), TimeNs(now_ns + bounds.key_check_ns)
        while True:
            now_ns = self._clock.now_ns()
            if now_ns >= beat_ns:
                beat_ns = TimeNs(now_ns + bounds.heartbeat_ns)
                await self._beat(session)
            if now_ns >= key_ns:
                key_ns = TimeNs(now_ns + await self._check_key(session))
            wait_ns = min(beat_ns, key_ns) - self._clock.now_ns()
            await asyncio.sleep(max(0, wait_ns) / NS_PER_S)

    async def _beat(self, session: _Session) -> None:
        """Ask something harmless: the answer shows that more than the socket is alive."""
        self._message_id += 1
        message = json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": self._message_id})
        if session.socket is not None:
            with suppress(errors.FeedError):  # a lost socket is noticed where it is awaited
                await session.socket.send(message)

    async def _check_key(self, session: _Session) -> int:
        """Extend the key, end the session if it is another one; return when to ask again.

        Extending it with PUT would also succeed for a key that somebody made after deleting
        ours, and our socket would stay silent for ever.
        """
        retry_ns = min(_KEY_RETRY_NS, self._bounds.key_check_ns)
        try:
            if await self._active_key() != session.key:
                session.end(_KEY_EXPIRED)
        except errors.RateLimited as error:
            return max(retry_ns, error.retry_after_ns or 0)
        except errors.Rejected as error:
            if error.code == faults.IS_LISTEN_KEY_GONE:
                session.end(_KEY_EXPIRED)
            return retry_ns
        except (errors.VenueError, errors.DecodeError):
            return retry_ns  # the key has most of its hour left
        return self._bounds.key_check_ns

    async def _replace(self, session: _Session) -> tuple[_Session, int]:
        """Dial again before the venue ends the connection; the old one goes after the new."""
        try:
            fresh = await self._open()
        except (errors.FeedError, errors.VenueError) as error:
            pause_ns = max(self._pause_ns(error), self._retry_ns)
            return session, self._clock.now_ns() + pause_ns
        if not session.is_live:
            # Between its end and the new socket nobody listened: that time must be read.
            now_ns = self._clock.now_ns()
            self._push([FeedDown(session.reason or "ended while replaced", now_ns)])
            self._push([FeedUp(now_ns)])
        elif await self._wait_end(fresh, self._bounds.overlap_ns) and session.is_live:
            self._forget(fresh)
            return session, self._clock.now_ns() + self._retry_ns
        self._forget(session)
        if session.socket is not None:
            await session.socket.close()
        return fresh, self._clock.now_ns() + self._bounds.redial_ns

    @property
    def _retry_ns(self) -> int:
        return min(_REDIAL_RETRY_NS, self._bounds.redial_ns)

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
            self._push(events)

    def _on_heartbeat_reply(self, session: _Session) -> None:
        """From now on silence of messages counts, not only of the socket."""
        if session.socket is not None:
            session.socket.is_held_to_messages = True

    def _push(self, events: list[AccountEvent]) -> None:
        if self._sink is not None:
            self._sink(events)
