"""A deliberately broken daemon for drills: it sends first and claims afterwards."""

import asyncio
import sys
from functools import partial

from slipstream.domain.cohort import CohortCommit
from slipstream.drill import daemon
from slipstream.store.base import CommitResult, Line
from slipstream.store.writer_store import WriterStore

CLAIMED_LATE_S = 0.05

_commit = WriterStore.commit


def commit_later(
    store: WriterStore, commit: CohortCommit, *, line: Line | None = None
) -> "asyncio.Future[CommitResult]":
    """Say at once that a cohort is durable, and make it so a little later."""
    loop = asyncio.get_running_loop()
    loop.call_later(CLAIMED_LATE_S, partial(_commit, store, commit, line=line))
    done: asyncio.Future[CommitResult] = loop.create_future()
    done.set_result(CommitResult())
    return done


if __name__ == "__main__":
    WriterStore.commit = commit_later  # type: ignore[method-assign]
    sys.exit(daemon.main())
