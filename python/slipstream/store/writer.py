"""The one thread that writes: it owns the connection, takes jobs in order, commits in groups.

The event loop hands over rows and gets a future; it never waits for a lock, a page or a disk.
Jobs keep their order (a later state of a lane must never be overwritten by an earlier one);
neighbouring ends of legs share a transaction; the activity log goes when nothing else waits.
Cohorts that were staged are folded when nothing came for a moment, or by the job that needs it.
What no cohort should pay for (checkpoints) is done when the queue has been empty for a while.

When the connection is lost, whoever waits is told so at once and nothing is kept but the activity
log; the thread connects again by itself, with growing pauses. A transaction whose commit got no
answer is asked about by the database's adapter; what stays in doubt ends with an error, and may
be there: repeating it is safe, because rows of the ledger are unique by key and rows of the log
by their hash.
"""

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, TypeVar

from slipstream.domain.cohort import ActivityRow, LegResult
from slipstream.errors import LedgerTakenError, StoreError
from slipstream.store.base import Line, StoreStats, is_refused
from slipstream.store.database import Database, DatabaseFault
from slipstream.store.job import FAILURES, Job, as_store_error
from slipstream.store.journal import JournalWriter
from slipstream.store.orders import fold, write_groups

_LOGGER: Final = logging.getLogger(__name__)
_T = TypeVar("_T")

SLOW_WAIT_NS: Final = 500_000_000
"""Longer waits for the database are counted and logged (DESIGN 6)."""
JOURNAL_DELAY_S: Final = 0.05
JOURNAL_GROUP_COUNT: Final = 512
JOURNAL_ROW_COUNT_MAX: Final = 200_000
_JOURNAL_CHUNK: Final = 128
_RESULT_GROUP_COUNT: Final = 1024
_RETRY_S: Final = 1.0
_IDLE_S: Final = 0.2
_FOLD_DELAY_S: Final = 0.02
_CHECKPOINT_PAGE_COUNT: Final = 1000
_CHECKPOINT_PAGE_COUNT_MAX: Final = 16_384

_REOPEN_FIRST_S: Final = 0.05
_REOPEN_LAST_S: Final = 2.0
"""How long to wait before asking a lost database again: doubling from the first to the last."""


@dataclass(slots=True)
class _Counters:
    commit_count: int = 0
    slow_wait_count: int = 0
    error_count: int = 0
    journal_lost_count: int = 0


_WAKE: Final = object()
_CLOSE: Final = object()


@dataclass(slots=True)
class _State:
    is_closed: bool = False
    is_wake_asked: bool = False
    is_flush_wanted: bool = False
    timer: asyncio.TimerHandle | None = None
    journal_error: StoreError | None = None
    is_fold_due: bool = True
    reopen_at: float = 0.0
    reopen_pause_s: float = _REOPEN_FIRST_S
    lost_words: str = "the connection is lost"
    is_taken: bool = False
    counters: _Counters = field(default_factory=_Counters)


class Writer:
    """Runs jobs against one connection on one thread. Built and used on one event loop."""

    def __init__(
        self,
        connect: Callable[[], Database],
        *,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        """Start the thread; ``connect`` runs on it. Await ``opened`` before anything else."""
        self._loop = asyncio.get_running_loop()
        self._connect = connect
        self._clock_ns = clock_ns
        self._queue: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._rows: deque[ActivityRow] = deque()
        self._state = _State()
        self.opened: asyncio.Future[None] = self._loop.create_future()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._main, name="slipstream-store", daemon=True)
        self._thread.start()

    def submit(
        self,
        name: str,
        run: Callable[[Database], _T],
        *,
        is_transaction: bool = False,
        line: Line | None = None,
    ) -> asyncio.Future[_T]:
        """Queue a job; the future ends with its value or with ``StoreError``."""
        future: asyncio.Future[_T] = self._loop.create_future()
        asked_ns = self._clock_ns()
        self._put(Job(name, run, future, asked_ns, is_transaction=is_transaction, line=line))
        return future

    def submit_results(
        self, results: Sequence[LegResult], *, line: Line | None = None
    ) -> asyncio.Future[Any]:
        """Queue ends of legs; neighbours in the queue share one transaction."""
        future: asyncio.Future[Any] = self._loop.create_future()
        asked_ns = self._clock_ns()
        self._put(Job("record", None, future, asked_ns, results=tuple(results), line=line))
        return future

    def append(self, rows: Sequence[ActivityRow]) -> None:
        """Buffer rows of the activity log and see to it that they are written soon."""
        state = self._state
        if state.is_closed:
            raise StoreError("the store is closed")
        room = JOURNAL_ROW_COUNT_MAX - len(self._rows)
        self._rows.extend(rows[:room] if len(rows) > room else rows)
        state.counters.journal_lost_count += max(0, len(rows) - room)
        if len(self._rows) >= JOURNAL_GROUP_COUNT:
            self._wake()
        elif state.timer is None:
            state.timer = self._loop.call_later(JOURNAL_DELAY_S, self._wake)

    def flush(self) -> asyncio.Future[None]:
        """Write everything logged so far, or end with what the database said."""
        return self.submit("flush", self._flush_or_raise)

    def close(self) -> asyncio.Future[None]:
        """Finish what is queued, write the log, close the connection, end the thread."""
        if not self._state.is_closed:
            self._state.is_closed = True
            self._drop_timer()
            self._queue.put(_CLOSE)
        return self.ended

    def stats(self) -> StoreStats:
        """Return the counters."""
        counters = self._state.counters
        return StoreStats(
            commit_count=counters.commit_count,
            slow_wait_count=counters.slow_wait_count,
            error_count=counters.error_count,
            journal_pending_count=len(self._rows),
            journal_lost_count=counters.journal_lost_count,
        )

    # --- on the loop -----------------------------------------------------------------------

    def _put(self, job: Job) -> None:
        if self._state.is_closed:
            raise StoreError("the store is closed")
        self._queue.put(job)

    def _wake(self) -> None:
        self._drop_timer()
        if not self._state.is_wake_asked:
            self._state.is_wake_asked = True
            self._queue.put(_WAKE)

    def _drop_timer(self) -> None:
        if self._state.timer is not None:
            self._state.timer.cancel()
            self._state.timer = None

    @staticmethod
    def _settle(outcomes: list[tuple[asyncio.Future[Any], Any, StoreError | None]]) -> None:
        for future, value, error in outcomes:
            if future.done():
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

    # --- on the thread ---------------------------------------------------------------------

    def _main(self) -> None:
        try:
            database = self._connect()
            journal = JournalWriter(database)
        except FAILURES as error:
            self._post([(self.opened, None, as_store_error("open", error))])
            return
        self._database, self._journal = database, journal
        self._post([(self.opened, None, None)])
        last_words: StoreError | None = StoreError("the store's thread ended")
        try:
            self._work()
            last_words = self._finish()
        finally:
            self._state.is_closed = True
            self._fail_queued()
            self._post([(self.ended, None, last_words)])

    def _work(self) -> None:
        waiting: deque[object] = deque()
        while True:
            if not waiting:
                item = self._next()
                if item is not None:
                    waiting.append(item)
            self._drain(waiting)
            if waiting and waiting[0] is _CLOSE:
                return
            if self._database.is_lost and not self._reopen():
                self._refuse(waiting)
            elif waiting:
                self._run_first(waiting)
            elif self._state.is_fold_due:
                self._fold()
            elif self._rows and self._is_flush_due():
                self._flush_chunk()
            else:
                self._database.tidy(is_idle=True)
            self._database.tidy(is_idle=False)

    def _next(self) -> object | None:
        """Wait for work; ``None`` = nothing came and something is to be done meanwhile."""
        timeout: float | None = None
        if self._database.is_lost:
            timeout = max(0.0, self._state.reopen_at - time.monotonic())
        elif self._rows and self._is_flush_due():
            timeout = 0.0 if self._state.journal_error is None else _RETRY_S
        elif self._state.is_fold_due:
            timeout = _FOLD_DELAY_S
        elif self._database.is_tidy_wanted:
            timeout = _IDLE_S
        try:
            return self._queue.get(timeout=timeout)
        except queue.Empty:
            return None

    def _reopen(self) -> bool:
        """Connect again when it is time to; whether there is a connection now."""
        state = self._state
        if time.monotonic() < state.reopen_at:
            return False
        try:
            self._database.reopen()
            self._rewind()
        except FAILURES as failure:
            state.lost_words = str(failure)
            state.is_taken = isinstance(failure, LedgerTakenError)
            state.reopen_at = time.monotonic() + state.reopen_pause_s
            state.reopen_pause_s = min(2 * state.reopen_pause_s, _REOPEN_LAST_S)
            state.counters.error_count += 1
            _LOGGER.error("event=database_lost error=%s", failure)  # noqa: TRY400
            return False
        state.reopen_pause_s = _REOPEN_FIRST_S
        state.is_fold_due = True
        _LOGGER.warning("event=database_back pending=%d", len(self._rows))
        return True

    def _refuse(self, waiting: deque[object]) -> None:
        """Tell everybody in the queue that the database is gone; none of it was done."""
        jobs = [item for item in waiting if isinstance(item, Job)]
        others = [item for item in waiting if not isinstance(item, Job)]
        waiting.clear()
        waiting.extend(item for item in others if item is _CLOSE)
        if len(others) > len(waiting):
            self._run_wake()
        for job in jobs:
            job.end_line()
        self._answer([(job, None, self._lost_error(job)) for job in jobs])

    def _lost_error(self, job: Job) -> StoreError:
        words = f"store {job.name}: {self._state.lost_words}"
        if self._state.is_taken:
            return LedgerTakenError(words)
        return StoreError(words, is_unavailable=True)

    def _drain(self, waiting: deque[object]) -> None:
        while True:
            try:
                waiting.append(self._queue.get_nowait())
            except queue.Empty:
                return

    def _is_flush_due(self) -> bool:
        return self._state.is_flush_wanted or self._state.journal_error is not None

    def _run_first(self, waiting: deque[object]) -> None:
        item = waiting.popleft()
        if not isinstance(item, Job):
            self._run_wake()
            return
        if item.is_barred and item.line is not None:
            self._answer([(item, None, item.line.refusal())])
            return
        if item.results is None:
            self._run_job(item)
            return
        group = [item]
        count = len(item.results)
        while waiting and count < _RESULT_GROUP_COUNT:
            follower = waiting[0]
            if not isinstance(follower, Job) or follower.results is None or follower.is_barred:
                break
            group.append(follower)
            count += len(follower.results)
            waiting.popleft()
        self._run_group(group)

    def _run_wake(self) -> None:
        # Rows logged from here on ask anew.
        self._state.is_wake_asked = False
        self._state.is_flush_wanted = bool(self._rows)

    def _run_job(self, job: Job) -> None:
        run = job.run
        if run is None:
            return
        value, error = None, None
        self._state.is_fold_due |= job.is_transaction
        try:
            value = self._transaction(run) if job.is_transaction else run(self._database)
        except FAILURES as failure:
            error = as_store_error(job.name, failure)
        if error is not None or is_refused(value):
            job.end_line()
        self._answer([(job, value, error)])

    def _run_group(self, group: list[Job]) -> None:
        def write_all(database: Database) -> list[Any]:
            return write_groups(database, [job.results or () for job in group])

        try:
            values = self._transaction(write_all)
        except FAILURES as failure:
            if len(group) > 1:
                # One caller's row must not cost the others theirs.
                for job in group:
                    self._run_group([job])
                return
            self._answer([(group[0], None, as_store_error("record", failure))])
            return
        self._answer([(job, value, None) for job, value in zip(group, values, strict=True)])

    def _transaction(self, run: Callable[[Database], _T]) -> _T:
        database = self._database
        try:
            database.begin()
            value = run(database)
            database.commit()
        except FAILURES:
            database.rollback()
            raise
        self._state.counters.commit_count += 1
        return value

    def _fold(self) -> StoreError | None:
        self._state.is_fold_due = False
        try:
            self._transaction(fold)
        except FAILURES as failure:
            # Staged rows stay durable; whoever needs them folded is told the same.
            self._state.counters.error_count += 1
            _LOGGER.error("event=cohorts_not_folded error=%s", failure)  # noqa: TRY400
            return as_store_error("fold", failure)
        return None

    def _flush_or_raise(self, _database: Database) -> None:
        while self._rows:
            self._flush_chunk()
            if self._state.journal_error is not None:
                raise self._state.journal_error

    def _flush_chunk(self) -> None:
        rows = list(islice(self._rows, _JOURNAL_CHUNK))
        try:
            self._write_rows(rows)
        except FAILURES as failure:
            self._state.counters.error_count += 1
            self._state.journal_error = as_store_error("log", failure)
            _LOGGER.error(  # noqa: TRY400 - a full disk needs no stack
                "event=journal_not_written pending=%d error=%s", len(self._rows), failure
            )
            return
        self._state.journal_error = None
        if not self._rows:
            self._state.is_flush_wanted = False

    def _write_rows(self, rows: Sequence[ActivityRow]) -> None:
        """Write the first rows of the buffer and take them out of it."""
        try:
            self._write_journal(rows)
        except DatabaseFault as fault:
            if not fault.is_value:
                raise
            if len(rows) > 1:
                for row in rows:
                    self._write_rows([row])
                return
            self._state.counters.journal_lost_count += 1
            _LOGGER.error(  # noqa: TRY400 - the row is at fault, not the code here
                "event=journal_row_refused kind=%r error=%s", rows[0].kind, fault
            )
            self._rows.popleft()

    def _write_journal(self, rows: Sequence[ActivityRow]) -> None:
        try:
            self._transaction(lambda _database: self._journal.append(rows))
        except FAILURES:
            if not self._database.is_lost and self._rewind():
                return
            raise
        self._journal.written()
        for _ in rows:
            self._rows.popleft()

    def _rewind(self) -> bool:
        """Find the end of the log again; whether what was tried last is there after all."""
        count = self._journal.rewind()
        for _ in range(count):
            self._rows.popleft()
        return count > 0

    def _finish(self) -> StoreError | None:
        last_words = self._write_the_rest()
        if self._database.is_lost:
            # Lost a moment ago, perhaps: one more try, then the rest of the log is.
            last_words = self._write_the_rest()
        self._state.counters.journal_lost_count += len(self._rows)
        self._rows.clear()
        try:
            self._database.close()
        except StoreError as error:
            last_words = last_words or as_store_error("close", error)
        return last_words

    def _write_the_rest(self) -> StoreError | None:
        self._state.reopen_at = 0.0
        if self._database.is_lost and not self._reopen():
            return StoreError(
                f"store close: {len(self._rows)} rows of the log not written: "
                f"{self._state.lost_words}",
                is_unavailable=True,
            )
        last_words = self._fold()
        try:
            self._flush_or_raise(self._database)
        except StoreError as error:
            last_words = last_words or error
        return last_words

    def _fail_queued(self) -> None:
        waiting: deque[object] = deque()
        self._drain(waiting)
        error = StoreError("the store is closed")
        self._post([(job.future, None, error) for job in waiting if isinstance(job, Job)])

    def _answer(self, outcomes: list[tuple[Job, Any, StoreError | None]]) -> None:
        done_ns = self._clock_ns()
        counters = self._state.counters
        for job, _value, error in outcomes:
            counters.error_count += error is not None
            waited_ns = done_ns - job.asked_ns
            if waited_ns > SLOW_WAIT_NS:
                counters.slow_wait_count += 1
                _LOGGER.warning(
                    "event=store_wait job=%s waited_ms=%d", job.name, waited_ns // 1_000_000
                )
        self._post([(job.future, value, error) for job, value, error in outcomes])

    def _post(self, outcomes: list[tuple[asyncio.Future[Any], Any, StoreError | None]]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._settle, outcomes)
        except RuntimeError:
            _LOGGER.warning("event=store_answer_unheard count=%d", len(outcomes))
