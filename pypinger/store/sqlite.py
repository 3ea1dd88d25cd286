"""
The durable store: SQLite, with one thread that writes and one that reads.

``[store] path = :memory:`` is the same store in memory, with one connection and one thread for both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Concatenate, ParamSpec, TypeVar

from pypinger.domain.model import Check, Delivery, Instant, Outcome, Seconds, Task, TaskState
from pypinger.domain.silence import Silence
from pypinger.ports.clock import WallClock
from pypinger.ports.storing import Blind, HostSeen, Kept, StoreError
from pypinger.store.accounting import millis
from pypinger.store.database import MEMORY
from pypinger.store.history import ReaderThread, ReadHistory
from pypinger.store.loading import open_store
from pypinger.store.queue import WriteQueue
from pypinger.store.reading import Reader
from pypinger.store.recorder import Recorder
from pypinger.store.sources import SqliteSource
from pypinger.store.threads import Reactor, ThreadWorker, Worker
from pypinger.store.writer import Writer

P = ParamSpec("P")
T = TypeVar("T")

#: How many seconds closing may take.
CLOSING: Seconds = 3.0

#: With so many calls in the queue the disk hangs, and notes are dropped to save memory.
QUEUE = 200_000

#: How many days of history are kept in memory at most.
MEMORY_DAYS = 2.0


class SqliteStore(ReadHistory):
    """
    A :class:`~pypinger.ports.storing.Store` and :class:`~pypinger.ports.history.History` in a file.

    :param path: the database, or ``:memory:``.
    :param keep_days: for how many days history is kept.
    :param worker: makes the threads.
    """

    def __init__(
        self,
        reactor: Reactor,
        now: WallClock,
        path: str,
        *,
        keep_days: float,
        worker: Callable[[Reactor, str], Worker] = ThreadWorker,
    ) -> None:
        self._reactor = reactor
        self._now = now
        self._path = path
        self._keep_days = min(keep_days, MEMORY_DAYS) if path == MEMORY else keep_days
        self._make_worker = worker
        self._queue: WriteQueue | None = None
        self._reader: ReaderThread | None = None

    def open(self) -> Kept:
        """See :meth:`pypinger.ports.storing.Store.open`; it starts the threads, so it must follow daemonising."""
        opened = open_store(self._path, millis(self._now()))
        writing = self._make_worker(self._reactor, "pypinger-writer")
        path, option = self._path, f"path {self._path}"
        if path == MEMORY:
            source = SqliteSource(path, opened.tables.connection)
            reader = ReaderThread(self._reactor, option, writing, lambda: Reader(source), shared=True)
        else:
            reading = self._make_worker(self._reactor, "pypinger-reader")
            reader = ReaderThread(self._reactor, option, reading, lambda: Reader(SqliteSource(path)))
        writer = Writer(self._path, self._now, opened, self._keep_days, self._reactor.seconds())
        self._reader = reader
        self._queue = WriteQueue(self._reactor, self._path, writing, writer, reader)
        return opened.kept

    def note(self, task: Task, state: TaskState, check: Check) -> None:
        """See :meth:`pypinger.ports.storing.Store.note`."""
        if self._queue is not None and len(self._queue) < QUEUE:
            self._queue.put(Recorder.note, task, state, check)

    async def commit(self, task: Task, state: TaskState, check: Check | None, deliveries: Sequence[Delivery]) -> bool:
        """See :meth:`pypinger.ports.storing.Store.commit`."""
        if self._queue is None:
            return False
        return await self._queue.write(Recorder.commit, task, state, check, tuple(deliveries), self._now())

    async def enqueue(self, deliveries: Sequence[Delivery]) -> None:
        """See :meth:`pypinger.ports.storing.Store.enqueue`."""
        if self._queue is not None:
            await self._queue.write(Recorder.enqueue, tuple(deliveries))

    async def settle(self, delivery: Delivery, outcome: Outcome) -> None:
        """See :meth:`pypinger.ports.storing.Store.settle`."""
        if self._queue is not None:
            await self._queue.write(Recorder.settle, delivery, outcome, self._now())

    def blind(self, start: Instant, end: Instant) -> None:
        """See :meth:`pypinger.ports.storing.Store.blind`."""
        if self._queue is not None:
            self._queue.put(Recorder.add_blind, start, end)

    def hosts(self, seen: Mapping[str, HostSeen]) -> None:
        """See :meth:`pypinger.ports.storing.Store.hosts`."""
        if self._queue is not None:
            self._queue.put(Recorder.see_hosts, dict(seen))

    def blindness(self, blind: Blind | None, clock: Blind | None = None) -> None:
        """See :meth:`pypinger.ports.storing.Store.blindness`."""
        if self._queue is not None:
            self._queue.put(Recorder.set_blindness, (blind, clock))

    async def silences(self, present: Sequence[Silence]) -> None:
        """See :meth:`pypinger.ports.storing.Store.silences`."""
        if self._queue is not None:
            await self._queue.write(Recorder.set_silences, tuple(present))

    def trouble(self) -> str | None:
        """See :meth:`pypinger.ports.storing.Store.trouble`."""
        if self._queue is None:
            return None
        if self._queue.trouble is not None:
            return f"the store cannot be written: {self._queue.trouble}"
        return None if self._queue.notice is None else f"the store: {self._queue.notice}"

    async def close(self) -> None:
        """See :meth:`pypinger.ports.storing.Store.close`; it takes at most :data:`CLOSING` seconds."""
        queue, self._queue = self._queue, None
        if queue is not None:
            await queue.close(CLOSING)

    async def _read(self, method: Callable[Concatenate[Reader, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._reader is None:
            raise StoreError(f"[store] path {self._path}: it is not open")
        return await self._reader.call(method, *args, **kwargs)
