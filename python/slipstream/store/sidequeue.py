"""One write after another: into the database, or beside it while it does not take them.

The order asked for is the order written, on both ways: a lane's newest state is the one asked for
last. Callbacks on the loop, no task on the way of a commit.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from slipstream.domain.cohort import ActivityRow, CohortCommit, LegResult
from slipstream.errors import LedgerTakenError, StoreError
from slipstream.store.base import ControlRow, Line, RecordResult, Store, StoreStats, is_refused
from slipstream.store.sideasked import Asked, ends_of, side_result
from slipstream.store.sidecodec import Entry, decode_entry, encode_entry, encode_lines
from slipstream.store.sidereplay import Kept, Replayer
from slipstream.store.sidesettings import SideSettings
from slipstream.store.sidethread import Side
from slipstream.units import NS_PER_MS

DOWN: Final = "LEDGER_DOWN"
BACK: Final = "LEDGER_BACK"
FAILED: Final = "SIDELOG_FAILED"
STUCK: Final = "SIDELOG_STUCK"
TAKEN: Final = "LEDGER_TAKEN"
REFUSED: Final = "LINE_REFUSED"

SLOW_WAIT_NS: Final = 500 * NS_PER_MS
_LINE_DELAY_S: Final = 0.05
_APPEND_LINE_COUNT: Final = 1024
_LINE_COUNT_MAX: Final = 200_000
_RESULT_COUNT_MAX: Final = 1024
_LOGGER: Final = logging.getLogger("slipstream.store")


@dataclass(slots=True)
class _State:
    is_closed: bool = False
    down_since_ns: int | None = None
    replayed_count: int = 0
    is_side_failed: bool = False
    is_stuck: bool = False
    taken: LedgerTakenError | None = None
    """Set once somebody else writes the database: nothing is claimed here any more."""
    slow_wait_count: int = 0
    lost_count: int = 0
    out: list[Asked] = field(default_factory=list)
    """What the database or the side log is working on."""
    bound: asyncio.TimerHandle | None = None
    timer: asyncio.TimerHandle | None = None
    appending: asyncio.Future[int] | None = None
    is_resetting: bool = False
    drain: asyncio.Task[None] | None = None


class SideQueue:
    """What is asked of a store, and where it goes."""

    def __init__(
        self,
        inner: Store,
        side: Side,
        *,
        wall_ms: Callable[[], int],
        tell: Callable[[str, str], None],
        settings: SideSettings,
        clock_ns: Callable[[], int],
    ) -> None:
        """Keep the partners; ``carry_over`` replays what was left."""
        self._inner = inner
        self._side = side
        self._wall_ms = wall_ms
        self._tell = tell
        self._settings = settings
        self._clock_ns = clock_ns
        self._replayer = Replayer(inner, self._report)
        self._waiting: deque[Asked] = deque()
        self._backlog: deque[Kept] = deque()
        self._lines: list[ActivityRow] = []
        self._state = _State()

    @property
    def is_down(self) -> bool:
        """Whether the database takes no claims: nothing may open."""
        return self._state.down_since_ns is not None

    async def carry_over(self) -> None:
        """Replay what an earlier process left; nothing may have been asked before.

        Raises:
            StoreError: the database does not take it.
        """
        left_over = self._side.take_left_over()
        if not left_over:
            return
        for index, (sequence, text) in enumerate(left_over):
            self._backlog.append(Kept(sequence, decode_entry(text), is_doubtful=index == 0))
        await self._replay_backlog()
        await self._side.reset()
        self._report(BACK, f"{len(left_over)} records of an earlier process replayed")

    def log(self, rows: Sequence[ActivityRow]) -> None:
        """Append to the activity log within 50 ms."""
        if not self.is_down:
            self._inner.log(rows)
            return
        if self._state.is_closed:
            raise StoreError("the store is closed")
        self._keep_lines(rows)

    def _keep_lines(self, rows: Sequence[ActivityRow]) -> None:
        room = _LINE_COUNT_MAX - len(self._lines)
        self._lines.extend(rows[: max(0, room)])
        self._state.lost_count += max(0, len(rows) - room)
        self._arm_line_timer()

    def stats(self) -> StoreStats:
        """Return the counters, those of waiting in front of the database included."""
        inner, state = self._inner.stats(), self._state
        return replace(
            inner,
            slow_wait_count=inner.slow_wait_count + state.slow_wait_count,
            journal_pending_count=inner.journal_pending_count + len(self._lines),
            journal_lost_count=inner.journal_lost_count + state.lost_count,
            is_down=self.is_down,
            side_record_count=len(self._backlog),
        )

    async def write_lines(self) -> None:
        """Return when every line logged so far is durable.

        Raises:
            StoreError: there is no place for them now.
        """
        await self.ask(None)
        while self.is_down and self._is_roomy and self._lines:
            await self.ask(None)
        if not self.is_down:
            await self._inner.flush()
        elif self._lines:
            raise StoreError("lines of the activity log wait in memory", is_unavailable=True)

    async def close(self) -> bool:
        """Write what is queued, here or there, and stop; return False when that was done before."""
        state = self._state
        if state.is_closed:
            return False
        settled = self.ask(None)
        state.is_closed = True
        await asyncio.wait((settled,))
        settled.exception()
        if state.drain is not None:
            state.drain.cancel()
            await asyncio.wait((state.drain,))
        if state.timer is not None:
            state.timer.cancel()
        return True

    # --- one write after another ---

    def ask(
        self,
        entry: CohortCommit | tuple[LegResult, ...] | ControlRow | None,
        *,
        is_read: bool = False,
        line: Line | None = None,
    ) -> asyncio.Future[Any]:
        """Ask for a write; with ``None``, for the end of those before. Nothing cancels a write."""
        if self._state.is_closed:
            raise StoreError("the store is closed")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(Asked(entry, future, self._clock_ns(), is_read=is_read, line=line))
        self._advance()
        return future

    async def turn(self) -> None:
        """Wait until what was asked before is written.

        Raises:
            StoreError: the database does not hold all of it.
        """
        await self.ask(None, is_read=True)

    def _advance(self) -> None:
        """Begin the next write, unless one is out."""
        while self._waiting and not self._is_busy:
            if self.is_down:
                self._append()
            elif self._waiting[0].is_barred:
                self._bar(self._waiting.popleft())
            elif self._waiting[0].entry is None:
                self._answer(self._waiting.popleft(), RecordResult())
            else:
                self._give()

    @property
    def _is_busy(self) -> bool:
        state = self._state
        return bool(state.out) or state.appending is not None or state.is_resetting

    def _give(self) -> None:
        """Hand the next write to the database."""
        state = self._state
        state.out = asked = self._next_group()
        now_ns = self._clock_ns()
        for each in asked:
            each.given_ns = now_ns
        try:
            future = self._submit(asked)
        except StoreError as error:
            future = asyncio.get_running_loop().create_future()
            future.set_exception(error)
        loop = asyncio.get_running_loop()
        state.bound = loop.call_later(self._settings.answer_s, self._on_bound, asked)
        future.add_done_callback(partial(self._on_inner, asked))

    def _next_group(self) -> list[Asked]:
        """Take the next write out of the queue; ends of legs that stand together go together."""
        group = [self._waiting.popleft()]
        count = len(ends_of(group[0]))
        while count and self._waiting and not group[0].is_alone and count < _RESULT_COUNT_MAX:
            following = len(ends_of(self._waiting[0]))
            if not following or self._waiting[0].is_barred:
                break
            count += following
            group.append(self._waiting.popleft())
        return group

    def _submit(self, asked: Sequence[Asked]) -> asyncio.Future[Any]:
        match asked[0].entry:
            case CohortCommit() as commit:
                return self._inner.commit(commit)
            case ControlRow() as row:
                return asyncio.ensure_future(self._inner.save_control(row))
            case _:
                return self._inner.record([row for each in asked for row in ends_of(each)])

    def _on_inner(self, asked: list[Asked], future: asyncio.Future[Any]) -> None:
        error = StoreError("cancelled") if future.cancelled() else future.exception()
        state = self._state
        if state.out is not asked:
            return  # Answered by the side log meanwhile; the replay recognises what was taken.
        state.out = []
        if state.bound is not None:
            state.bound.cancel()
        if isinstance(error, StoreError) and error.is_unavailable:
            self._divert(asked, str(error))
        elif error is not None and len(asked) > 1:
            # One caller's row must not cost the others theirs.
            for each in reversed(asked):
                each.is_alone = True
                self._waiting.appendleft(each)
        elif error is not None:
            self._refuse(asked, error)
        else:
            self._answer_all(asked, future.result())
        self._advance()

    def _on_bound(self, asked: list[Asked]) -> None:
        state = self._state
        if state.out is asked:
            state.out = []
            self._divert(asked, f"no answer in {self._settings.answer_s:g} s")
            self._advance()

    def _answer_all(self, asked: Sequence[Asked], result: Any) -> None:  # noqa: ANN401
        if len(asked) == 1:
            self._answer(asked[0], result)
            return
        for each in asked:
            keys = {row[:4] for row in ends_of(each)}
            own = RecordResult(
                repeated=tuple(key for key in result.repeated if key in keys),
                missing=tuple(key for key in result.missing if key in keys),
            )
            self._answer(each, own)

    def _answer(self, asked: Asked, result: Any) -> None:  # noqa: ANN401 - the future's own type
        if is_refused(result):
            asked.end_line()
        now_ns = self._clock_ns()
        waited_ns = now_ns - asked.asked_ns
        if waited_ns > SLOW_WAIT_NS:
            # What the database itself took that long for, it has counted.
            self._state.slow_wait_count += now_ns - asked.given_ns <= SLOW_WAIT_NS
            self._state.slow_wait_count += self.is_down
            _LOGGER.warning("event=store_wait waited_ms=%d", waited_ns // NS_PER_MS)
        if not asked.future.done():
            asked.future.set_result(result)

    @staticmethod
    def _refuse(asked: Sequence[Asked], error: BaseException) -> None:
        for each in asked:
            each.end_line()
            if not each.future.done():
                each.future.set_exception(error)

    def _bar(self, asked: Asked) -> None:
        """Refuse what was asked for after a refused commit of the same lanes."""
        if asked.line is not None:
            self._refuse([asked], asked.line.refusal())

    # --- beside the database ---

    def _divert(self, asked: Sequence[Asked], why: str) -> None:
        """Turn to the side log, first of all with what the database did not take."""
        self._waiting.extendleft(reversed(asked))
        state = self._state
        state.down_since_ns = self._clock_ns()
        state.replayed_count = 0
        state.is_side_failed = state.is_stuck = False
        _LOGGER.error("event=ledger_down error=%s", why)
        self._report(DOWN, f"{why}; claims go to the side log, nothing is opened")
        state.drain = asyncio.get_running_loop().create_task(self._drain())

    def _append(self) -> None:
        """Append everything that waits, lines of the activity log first."""
        asked = list(self._waiting)
        self._waiting.clear()
        entries: list[Entry] = []
        texts: list[bytes] = []
        lines: list[ActivityRow] = []
        for group, text in encode_lines(self._take_lines(), self._drop):
            lines += group
            entries.append(group)
            texts.append(text)
        kept: list[Asked] = []
        for each in asked:
            if each.is_read:
                self._refuse([each], self._behind())
                continue
            if self._state.taken is not None and each.entry is not None:
                self._refuse([each], self._state.taken)
                continue
            if each.is_barred:
                self._bar(each)
                continue
            if each.entry is not None:
                try:
                    text = encode_entry(each.entry)
                except StoreError as error:
                    self._refuse([each], error)
                    continue
                entries.append(each.entry)
                texts.append(text)
            kept.append(each)
        if not texts:
            for each in kept:
                self._answer(each, RecordResult())
            return
        appending = self._state.appending = self._side.append(texts)
        appending.add_done_callback(partial(self._on_appended, kept, entries, lines))

    def _take_lines(self) -> list[ActivityRow]:
        """Take the lines to append now: none when the rest of the file is kept for claims."""
        count = _APPEND_LINE_COUNT if self._is_roomy else 0
        lines = self._lines[:count]
        del self._lines[:count]
        return lines

    def _drop(self, row: ActivityRow, error: StoreError) -> None:
        """Give up a line that nothing can hold: it must not keep claims from being written."""
        self._state.lost_count += 1
        _LOGGER.error("event=journal_row_refused kind=%r error=%s", row.kind, error)
        self._report(REFUSED, f"a line of kind {row.kind!r} was dropped: {error}")

    @property
    def _is_roomy(self) -> bool:
        return self._side.free_size > self._settings.reserved_size

    def _on_appended(
        self,
        asked: Sequence[Asked],
        entries: Sequence[Entry],
        lines: Sequence[ActivityRow],
        future: asyncio.Future[int],
    ) -> None:
        self._state.appending = None
        error = StoreError("cancelled") if future.cancelled() else future.exception()
        if error is not None:
            self._lines[:0] = lines
            self._on_side_failed(error)
            self._refuse(asked, error)
        else:
            first = future.result()
            self._backlog.extend(Kept(first + index, each) for index, each in enumerate(entries))
            for each in asked:
                self._answer(each, side_result(each))
            self._arm_line_timer()
        self._advance()

    def _on_side_failed(self, error: BaseException) -> None:
        _LOGGER.error("event=sidelog_failed error=%s", error)
        if not self._state.is_side_failed:
            self._state.is_side_failed = True
            self._report(FAILED, f"{error}; nothing is sent until the database is back")

    def _arm_line_timer(self) -> None:
        if self._lines and self._is_roomy and self._state.timer is None:
            loop = asyncio.get_running_loop()
            self._state.timer = loop.call_later(_LINE_DELAY_S, self._on_line_timer)

    def _on_line_timer(self) -> None:
        self._state.timer = None
        if self._lines and self.is_down and not self._state.is_closed:
            # Who fails here is told of by the append itself.
            self.ask(None).add_done_callback(lambda done: done.exception())

    def _behind(self) -> StoreError:
        return StoreError(
            f"the database is behind its side log by {len(self._backlog)} records",
            is_unavailable=True,
        )

    # --- back again ---

    async def _drain(self) -> None:
        """Replay until nothing waits, then let the database be asked again."""
        pause_s = self._settings.retry_s
        while self.is_down:
            await asyncio.sleep(pause_s)
            try:
                await self._try_return()
            except StoreError as error:
                pause_s = min(self._settings.retry_max_s, pause_s * 2)
                _LOGGER.warning("event=ledger_still_down error=%s", error)
                if isinstance(error, LedgerTakenError):
                    self._on_taken(error)
                elif not error.is_unavailable and not self._state.is_stuck:
                    self._state.is_stuck = True
                    self._report(STUCK, f"the database refuses a record of the side log: {error}")

    def _on_taken(self, error: LedgerTakenError) -> None:
        if self._state.taken is None:
            self._state.taken = error
            self._report(TAKEN, f"{error}; nothing is sent any more")

    async def _try_return(self) -> None:
        state = self._state
        while self.is_down:
            await self._replay_backlog()
            await self._replay_lines()
            if state.appending is not None:
                await asyncio.wait((state.appending,))
            elif not (self._backlog or self._lines or self._waiting or state.out):
                await self._return()
            await asyncio.sleep(0)

    async def _replay_backlog(self) -> None:
        while self._backlog:
            kept = self._backlog[0]
            await self._replayer.replay(kept)
            await self._side.mark_done(kept.sequence)
            self._backlog.popleft()
            self._state.replayed_count += 1

    async def _replay_lines(self) -> None:
        """Write lines that found no place in the side log; the first tells that it failed."""
        if self._lines and not self._backlog and self._state.appending is None:
            lines, self._lines = self._lines, []
            try:
                await self._inner.flush()
            except StoreError:
                self._lines[:0] = lines
                raise
            self._inner.log(lines)
            await self._inner.flush()

    async def _return(self) -> None:
        state = self._state
        state.is_resetting = True
        try:
            await self._side.reset()
            since_ns, state.down_since_ns = state.down_since_ns, None
        finally:
            state.is_resetting = False
        down_ms = (self._clock_ns() - (since_ns or 0)) // NS_PER_MS
        lines, self._lines = self._lines, []
        self._inner.log(lines)
        _LOGGER.warning("event=ledger_back down_ms=%d", down_ms)
        self._report(BACK, f"after {down_ms} ms, {state.replayed_count} records replayed")
        self._advance()

    def _report(self, kind: str, detail: str) -> None:
        """Tell of a change of state, also while the store is being closed."""
        self._tell(kind, detail)
        payload: dict[str, object] = {"detail": detail}
        row = ActivityRow(self._wall_ms(), "incident", reason=kind, payload=payload)
        if self.is_down:
            self._keep_lines([row])
        else:
            self._inner.log([row])
