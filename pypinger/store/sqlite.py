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
from pypinger.ports.history import Day, Gap, PastDelivery, PastIncident, Run, VerdictChange
from pypinger.ports.storing import Blind, HostSeen, Kept, StoreError
from pypinger.store.accounting import millis
from pypinger.store.database import MEMORY
from pypinger.store.history import ReaderThread
from pypinger.store.loading import open_store
from pypinger.store.queue import WriteQueue
from pypinger.store.reading import Reader
from pypinger.store.recorder import Recorder
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


class SqliteStore:
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
        if self._path == MEMORY:
            reader = ReaderThread(self._reactor, self._path, writing, opened.tables.connection)
        else:
            reading = self._make_worker(self._reactor, "pypinger-reader")
            reader = ReaderThread(self._reactor, self._path, reading)
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

    async def dead(self) -> Sequence[Delivery]:
        """See :meth:`pypinger.ports.storing.Store.dead`."""
        return await self._read(Reader.dead)

    def trouble(self) -> str | None:
        """See :meth:`pypinger.ports.storing.Store.trouble`."""
        if self._queue is None:
            return None
        if self._queue.trouble is not None:
            return f"the store cannot be written: {self._queue.trouble}"
        return None if self._queue.notice is None else f"the store: {self._queue.notice}"

    async def backup(self, path: str) -> None:
        """See :meth:`pypinger.ports.storing.Store.backup`."""
        await self._read(Reader.backup, path)

    async def copy_to(self, descriptor: int) -> int:
        """See :meth:`pypinger.ports.storing.Store.copy_to`."""
        return await self._read(Reader.copy_to, descriptor)

    async def close(self) -> None:
        """See :meth:`pypinger.ports.storing.Store.close`; it takes at most :data:`CLOSING` seconds."""
        queue, self._queue = self._queue, None
        if queue is not None:
            await queue.close(CLOSING)

    async def runs(self, task: str, before: int | None = None, limit: int = 50) -> Sequence[Run]:
        """See :meth:`pypinger.ports.history.History.runs`."""
        return await self._read(Reader.runs, task, before, limit)

    async def verdicts(self, task: str, before: int | None = None, limit: int = 50) -> Sequence[VerdictChange]:
        """See :meth:`pypinger.ports.history.History.verdicts`."""
        return await self._read(Reader.verdicts, task, before, limit)

    async def incidents(
        self, task: str | None = None, before: int | None = None, limit: int = 50
    ) -> Sequence[PastIncident]:
        """See :meth:`pypinger.ports.history.History.incidents`."""
        return await self._read(Reader.incidents, task, before, limit)

    async def deliveries(
        self, task: str | None = None, before: int | None = None, limit: int = 50
    ) -> Sequence[PastDelivery]:
        """See :meth:`pypinger.ports.history.History.deliveries`."""
        return await self._read(Reader.deliveries, task, before, limit)

    async def uptime(self, task: str, now: Instant) -> Mapping[str, float | None]:
        """See :meth:`pypinger.ports.history.History.uptime`."""
        return await self._read(Reader.uptime, task, now)

    async def days(self, task: str, now: Instant, count: int = 90) -> Sequence[Day]:
        """See :meth:`pypinger.ports.history.History.days`."""
        return await self._read(Reader.days, task, now, count)

    async def gaps(self, task: str, limit: int = 50) -> Sequence[Gap]:
        """See :meth:`pypinger.ports.history.History.gaps`."""
        return await self._read(Reader.gaps, task, limit)

    async def _read(self, method: Callable[Concatenate[Reader, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._reader is None:
            raise StoreError(f"[store] path {self._path}: it is not open")
        return await self._reader.call(method, *args, **kwargs)
