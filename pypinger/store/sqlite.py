"""
The durable store: SQLite, written by one thread.

Here is the reactor's side of it, which waits and tells. What is recorded is the :mod:`~pypinger.store.recorder`'s
business, when it is written the :mod:`~pypinger.store.writer`'s, the SQL that of :mod:`~pypinger.store.tables`, and
the file that of :mod:`~pypinger.store.database`.

Note [Going on after a commit]
~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
A thousand tasks that fail at once are one transaction, and all thousand who waited for it may go on at the same moment.
What they do then (logging, queueing alerts, showing the state) takes its time too, so only a few go on in each turn of
the reactor. And nobody waits for ever: if the disk does not answer, they go on as if it could not be written.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from pypinger.domain.model import Check, Delivery, Instant, Outcome, Seconds, Task, TaskState
from pypinger.ports.clock import WallClock
from pypinger.ports.history import Change, Day, Gap, PastDelivery, PastIncident, Run, Span
from pypinger.ports.storing import Kept, StoreError
from pypinger.store.accounting import millis
from pypinger.store.database import damaged, open_database, scripts, unusable
from pypinger.store.loading import load
from pypinger.store.reading import Reader
from pypinger.store.recorder import Recorder
from pypinger.store.tables import Tables
from pypinger.store.threads import Reactor, Worker
from pypinger.store.writer import RETRY, Writer

P = ParamSpec("P")
T = TypeVar("T")

#: How long anybody waits for the writer, in seconds.
PATIENCE: Seconds = 10.0

#: How long closing may take, in seconds.
CLOSING: Seconds = 3.0

#: How many of those who waited go on in one turn of the reactor.
TURN = 25

#: With so many calls in the queue the writer hangs, and notes are dropped, for memory is not without end.
QUEUE = 200_000


class SqliteStore:
    """
    A :class:`~pypinger.ports.storing.Store` and :class:`~pypinger.ports.history.History` in a file.

    :param path: the database; see :mod:`pypinger.store.database` for what it says of one that it cannot use.
    :param keep_days: for how many days history is kept.
    """

    _log = Logger()

    def __init__(self, reactor: Reactor, now: WallClock, path: str, *, keep_days: float) -> None:
        self._reactor = reactor
        self._now = now
        self._path = path
        self._keep_days = keep_days
        self._recorder = Recorder()
        self._writer: Writer | None = None
        self._reader: Reader | None = None
        self._worker: Worker | None = None
        self._trouble: str | None = None
        # Who waits, and since when.
        self._waiting: dict[Deferred[None], Seconds] = {}
        self._watchdog: IDelayedCall | None = None
        self._ready: deque[Deferred[None]] = deque()
        self._turn: IDelayedCall | None = None
        self._ended: Deferred[None] = Deferred()

    def open(self) -> Kept:
        """See :meth:`pypinger.ports.storing.Store.open`; its threads start here, so this must be after daemonising."""
        now = self._now()
        tables = Tables(*open_database(self._path, scripts()))
        try:
            kept = load(tables.connection, self._recorder, millis(now))
            tables.write(self._recorder.pending, millis(now), durable=True)
        except sqlite3.Error as error:
            tables.close()
            raise unusable(self._path, error) from error
        except (ValueError, TypeError) as error:
            # What was read is not what was written.
            tables.close()
            raise damaged(self._path, str(error)) from error
        self._recorder.pending.clear()
        self._reader = Reader(self._path)
        self._worker = Worker(self._reactor, "pypinger-reader")
        self._writer = Writer(
            self._reactor, self._now, self._recorder, tables, self._keep_days, self._report, self._end
        )
        return kept

    def note(self, task: Task, state: TaskState, check: Check) -> None:
        """See :meth:`pypinger.ports.storing.Store.note`."""
        writer = self._writer
        if writer is not None and len(writer) < QUEUE:
            writer.put(self._recorder.note, (task, state, check))

    async def commit(self, task: Task, state: TaskState, check: Check | None, deliveries: Sequence[Delivery]) -> None:
        """See :meth:`pypinger.ports.storing.Store.commit`."""
        await self._put(self._recorder.commit, task, state, check, tuple(deliveries), self._now())

    async def enqueue(self, deliveries: Sequence[Delivery]) -> None:
        """See :meth:`pypinger.ports.storing.Store.enqueue`."""
        await self._put(self._recorder.enqueue, tuple(deliveries))

    async def settle(self, delivery: Delivery, outcome: Outcome) -> None:
        """See :meth:`pypinger.ports.storing.Store.settle`."""
        await self._put(self._recorder.settle, delivery, outcome, self._now())

    def blind(self, start: Instant, end: Instant) -> None:
        """See :meth:`pypinger.ports.storing.Store.blind`."""
        if self._writer is not None:
            self._writer.put(self._recorder.add_blind, (start, end))

    def trouble(self) -> str | None:
        """See :meth:`pypinger.ports.storing.Store.trouble`."""
        return None if self._trouble is None else f"the store cannot be written: {self._trouble}"

    async def close(self) -> None:
        """See :meth:`pypinger.ports.storing.Store.close`; it takes at most :data:`CLOSING` seconds."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        assert self._reader is not None
        assert self._worker is not None
        self._reader.interrupt()
        closed = self._worker.run(self._reader.close)
        self._worker.stop()
        try:
            # First the reader: the last connection to close makes the database one file again, if it may write.
            await closed.addTimeout(CLOSING / 4, self._reactor)  # type: ignore[arg-type]
        except TimeoutError:
            self._log.warn("a page of history is still being read")
        writer.stop()
        try:
            await self._ended.addTimeout(CLOSING * 3 / 4, self._reactor)  # type: ignore[arg-type]
        except TimeoutError:
            self._log.error("the store could not be closed within {limit:g} s; the disk does not answer", limit=CLOSING)
        if self._trouble is not None:
            self._log.error("the store could not be written to the end: {words}", words=self._trouble)
        self._release(list(self._waiting))
        if self._turn is not None and self._turn.active():
            self._turn.cancel()
        while self._ready:
            self._ready.popleft().callback(None)

    async def runs(self, url: str, before: int | None = None, limit: int = 50) -> Sequence[Run]:
        """See :meth:`pypinger.ports.history.History.runs`."""
        return await self._read(Reader.runs, url, before, limit)

    async def verdicts(self, url: str, before: int | None = None, limit: int = 50) -> Sequence[Change]:
        """See :meth:`pypinger.ports.history.History.verdicts`."""
        return await self._read(Reader.verdicts, url, before, limit)

    async def incidents(
        self, url: str | None = None, before: int | None = None, limit: int = 50
    ) -> Sequence[PastIncident]:
        """See :meth:`pypinger.ports.history.History.incidents`."""
        return await self._read(Reader.incidents, url, before, limit)

    async def deliveries(
        self, url: str | None = None, before: int | None = None, limit: int = 50
    ) -> Sequence[PastDelivery]:
        """See :meth:`pypinger.ports.history.History.deliveries`."""
        return await self._read(Reader.deliveries, url, before, limit)

    async def uptime(self, url: str, now: Instant) -> Mapping[str, float | None]:
        """See :meth:`pypinger.ports.history.History.uptime`."""
        return await self._read(Reader.uptime, url, now)

    async def days(self, url: str, now: Instant, count: int = 90) -> Sequence[Day]:
        """See :meth:`pypinger.ports.history.History.days`."""
        return await self._read(Reader.days, url, now, count)

    async def gaps(self, url: str, limit: int = 50) -> Sequence[Gap]:
        """See :meth:`pypinger.ports.history.History.gaps`."""
        return await self._read(Reader.gaps, url, limit)

    async def findings(self, url: str, since: Instant, until: Instant) -> Sequence[Run]:
        """See :meth:`pypinger.ports.history.History.findings`."""
        return await self._read(Reader.findings, url, since, until)

    async def blind_times(self, since: Instant, until: Instant) -> Sequence[Span]:
        """See :meth:`pypinger.ports.history.History.blind_times`."""
        return await self._read(Reader.blind_times, since, until)

    async def _read(self, method: Callable[Concatenate[Reader, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Read in the reader's thread."""
        if self._writer is None:
            raise StoreError(f"[store] path {self._path}: it is not open")
        assert self._reader is not None
        assert self._worker is not None
        return await self._worker.run(method, self._reader, *args, **kwargs)

    def _end(self) -> None:
        self._ended.callback(None)

    async def _put(self, call: Callable[..., None], *args: Any) -> None:
        """Record something, and wait until it is written unless nothing can be."""
        writer = self._writer
        if writer is None:
            return
        if self._trouble is not None:
            writer.put(call, args)
            return
        waiter: Deferred[None] = Deferred()
        self._waiting[waiter] = self._reactor.seconds()
        if self._watchdog is None:
            self._watchdog = self._reactor.callLater(PATIENCE, self._look)
        writer.put(call, args, waiter)
        await waiter

    def _report(self, words: str | None, waiters: Sequence[Deferred[None]]) -> None:
        """The writer has tried to write."""
        before, self._trouble = self._trouble, words
        if words is not None and before is None:
            self._log.error(
                "the store cannot be written: {words}; going on from memory, trying again every {retry:g} s",
                words=words,
                retry=RETRY,
            )
        elif words is None and before is not None:
            self._log.warn("the store can be written again, and has caught up")
        self._release(waiters)

    def _release(self, waiters: Sequence[Deferred[None]]) -> None:
        """Let them go on: see Note [Going on after a commit]."""
        idle = not self._ready
        # Those who have gone on already, because it took too long, are not in the list of those who wait.
        self._ready.extend(waiter for waiter in waiters if self._waiting.pop(waiter, None) is not None)
        if not self._waiting and self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        if idle:
            self._go_on()

    def _go_on(self) -> None:
        for _ in range(min(TURN, len(self._ready))):
            self._ready[0].callback(None)
            self._ready.popleft()
        if self._ready:
            self._turn = self._reactor.callLater(0, self._go_on)

    def _look(self) -> None:
        """Those who wait have waited for long."""
        self._watchdog = None
        oldest = next(iter(self._waiting.values())) + PATIENCE - self._reactor.seconds()
        if oldest > 0:
            self._watchdog = self._reactor.callLater(oldest, self._look)
        else:
            self._report(f"the disk has not answered for {PATIENCE:g} s", list(self._waiting))
