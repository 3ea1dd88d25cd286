"""
The store that several instances share: PostgreSQL.

Writing, the lease and what other instances do are the part of :class:`~pypinger.store.postgres.sharing.Membership`.
History is read over a connection of its own, in a thread of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from pypinger.domain.databaseurl import shown
from pypinger.domain.model import Check, Delivery, Instant, Outcome, Seconds, Task, TaskState
from pypinger.domain.silence import Silence
from pypinger.ports.sharing import InstanceHealth, InstanceListing, InstanceRequest, Sharer
from pypinger.ports.storing import Blind, HostSeen, Kept, StoreError
from pypinger.store.history import ReaderThread, ReadHistory
from pypinger.store.postgres.sharing import Membership
from pypinger.store.postgres.source import PostgresSource
from pypinger.store.reading import Reader
from pypinger.store.recorder import Recorder
from pypinger.store.threads import Reactor, ThreadWorker, Worker

P = ParamSpec("P")
T = TypeVar("T")

#: How many seconds closing may take.
CLOSING: Seconds = 3.0

#: Seconds after which a thread that waits for the interpreter gets it. Python's default is ten times as long: while the
#: reactor takes thousands of tasks over, the writer would wait as long after each part of an answer.
SWITCH: Seconds = 0.0005


class PostgresStore(ReadHistory):
    """
    A :class:`~pypinger.ports.storing.Store`, :class:`~pypinger.ports.history.History` and
    :class:`~pypinger.ports.sharing.SharedStore`.

    :param url: of the database.
    :param name: of this instance, as it is configured.
    :param keep_days: for how many days history is kept.
    :param worker: makes the threads.
    """

    def __init__(
        self,
        reactor: Reactor,
        url: str,
        *,
        name: str,
        keep_days: float,
        worker: Callable[[Reactor, str], Worker] = ThreadWorker,
    ) -> None:
        self._reactor = reactor
        self._url = url
        self._name = name
        self._make_worker = worker
        self._sharing = Membership(reactor, url, name, keep_days, worker)
        self._reader: ReaderThread | None = None

    @property
    def name(self) -> str:
        """See :attr:`pypinger.ports.sharing.SharedStore.name`."""
        return self._sharing.name

    def now(self) -> Instant:
        """See :meth:`pypinger.ports.sharing.SharedStore.now`."""
        return self._sharing.now()

    def alive(self) -> bool:
        """See :meth:`pypinger.ports.sharing.SharedStore.alive`."""
        return self._sharing.alive()

    def hold(self) -> None:
        """See :meth:`pypinger.ports.sharing.SharedStore.hold`."""
        self._sharing.hold()

    def start(self, sharer: Sharer, health: Callable[[], InstanceHealth]) -> None:
        """See :meth:`pypinger.ports.sharing.SharedStore.start`."""
        self._sharing.start(sharer, health)

    def list(self, listing: InstanceListing) -> None:
        """See :meth:`pypinger.ports.sharing.SharedStore.list`."""
        self._sharing.list(listing)

    def owner(self, task: str) -> str | None:
        """See :meth:`pypinger.ports.sharing.SharedStore.owner`."""
        return self._sharing.owner(task)

    async def ask(self, task: str, request: InstanceRequest) -> Any:
        """See :meth:`pypinger.ports.sharing.SharedStore.ask`."""
        return await self._sharing.ask(task, request)

    async def ask_all(self, request: InstanceRequest) -> Mapping[str, Any]:
        """See :meth:`pypinger.ports.sharing.SharedStore.ask_all`."""
        return await self._sharing.ask_all(request)

    def open(self) -> Kept:
        """See :meth:`pypinger.ports.storing.Store.open`; it starts the threads, so it must follow daemonising."""
        sys.setswitchinterval(SWITCH)
        kept = self._sharing.open()
        worker = self._make_worker(self._reactor, "pypinger-reader")
        url, name = self._url, self._sharing.name
        self._reader = ReaderThread(
            self._reactor, f"url {shown(url)}", worker, lambda: Reader(PostgresSource(url, f"{name} reads"))
        )
        return kept

    def note(self, task: Task, state: TaskState, check: Check) -> None:
        """See :meth:`pypinger.ports.storing.Store.note`."""
        self._sharing.put(Recorder.note, task, state, check)

    async def commit(self, task: Task, state: TaskState, check: Check | None, deliveries: Sequence[Delivery]) -> bool:
        """See :meth:`pypinger.ports.storing.Store.commit`."""
        return await self._sharing.write(Recorder.commit, task, state, check, tuple(deliveries), self.now())

    async def enqueue(self, deliveries: Sequence[Delivery]) -> None:
        """See :meth:`pypinger.ports.storing.Store.enqueue`."""
        await self._sharing.write(Recorder.enqueue, tuple(deliveries))

    async def settle(self, delivery: Delivery, outcome: Outcome) -> None:
        """See :meth:`pypinger.ports.storing.Store.settle`."""
        await self._sharing.write(Recorder.settle, delivery, outcome, self.now())

    def blind(self, start: Instant, end: Instant) -> None:
        """See :meth:`pypinger.ports.storing.Store.blind`."""
        self._sharing.put(Recorder.add_blind, start, end)

    def hosts(self, seen: Mapping[str, HostSeen]) -> None:
        """See :meth:`pypinger.ports.storing.Store.hosts`."""
        self._sharing.put(Recorder.see_hosts, dict(seen))

    def blindness(self, blind: Blind | None, clock: Blind | None = None) -> None:
        """See :meth:`pypinger.ports.storing.Store.blindness`."""
        self._sharing.put(Recorder.set_blindness, (blind, clock))

    async def silences(self, present: Sequence[Silence]) -> None:
        """See :meth:`pypinger.ports.storing.Store.silences`; others may add and remove silences meanwhile."""
        await self._sharing.silences(present)

    def trouble(self) -> str | None:
        """See :meth:`pypinger.ports.storing.Store.trouble`."""
        return self._sharing.trouble()

    async def close(self) -> None:
        """See :meth:`pypinger.ports.storing.Store.close`; it takes at most :data:`CLOSING` seconds."""
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close(CLOSING / 4)
            reader.stop()
        await self._sharing.close(CLOSING * 3 / 4)

    async def _read(self, method: Callable[Concatenate[Reader, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._reader is None:
            raise StoreError(f"[store] url {shown(self._url)}: it is not open")
        return await self._reader.call(method, *args, **kwargs)
