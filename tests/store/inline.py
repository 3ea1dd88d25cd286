"""A store without threads, for tests on a fake clock: each call is done when it returns."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock

from pypinger.ports.clock import WallClock
from pypinger.ports.storing import Kept
from pypinger.store.accounting import millis
from pypinger.store.loading import load
from pypinger.store.recorder import Recorder
from pypinger.store.sqlite import SqliteStore
from pypinger.store.threads import Reactor

P = ParamSpec("P")
T = TypeVar("T")


class InlineWorker:
    """A :class:`pypinger.store.threads.Worker` that makes each call at once."""

    def __init__(self, reactor: object, name: str) -> None:
        pass

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        return execute(function, *args, **kwargs)

    def stop(self) -> None:
        pass


class InlineStore(SqliteStore):
    """
    An open SQLite store in memory, without threads and timers.

    What is noted is written with the next commit, or when the store is opened again.
    """

    def __init__(self, now: WallClock = time.time, path: str = ":memory:") -> None:
        # The clock stands still.
        super().__init__(cast(Reactor, Clock()), now, path, keep_days=90, worker=InlineWorker)
        super().open()

    def open(self) -> Kept:
        """What a restarted process would load."""
        Deferred.fromCoroutine(self.enqueue([]))
        assert self._queue is not None
        return load(self._queue._writer._open.tables.connection, Recorder(), millis(self._now()))
