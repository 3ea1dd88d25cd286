"""A reader of history in a worker's thread, and the history that it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Concatenate, ParamSpec, TypeVar

from twisted.internet.defer import TimeoutError
from twisted.logger import Logger

from pypinger.domain.model import Delivery, Instant, Seconds
from pypinger.ports.history import (
    ALL_DELIVERIES,
    ALL_INCIDENTS,
    Day,
    DeliveryFilter,
    Gap,
    IncidentFilter,
    PastDelivery,
    PastIncident,
    Run,
    VerdictChange,
)
from pypinger.ports.storing import StoreError
from pypinger.store.reading import Reader
from pypinger.store.threads import Reactor, Worker

P = ParamSpec("P")
T = TypeVar("T")


class ReaderThread:
    """
    A reader with a worker.

    :param option: the option that names the database, and its value, for errors.
    :param connect: makes a reader; it is called at once, and again by :meth:`reopen`.
    :param shared: whether `worker` writes the database, too, over the same connection.
    """

    _log = Logger()

    def __init__(
        self, reactor: Reactor, option: str, worker: Worker, connect: Callable[[], Reader], *, shared: bool = False
    ) -> None:
        self._reactor = reactor
        self._option = option
        self._worker = worker
        self._connect = connect
        self._own = not shared
        self._reader: Reader | None = connect()

    async def call(self, method: Callable[Concatenate[Reader, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Call a method of the reader in its thread.

        :raises StoreError: the store is closed, or cannot be read.
        """
        if self._reader is None:
            raise StoreError(f"[store] {self._option}: it is not open")
        return await self._worker.run(method, self._reader, *args, **kwargs)

    async def close(self, limit: Seconds) -> None:
        """Close the connection, within `limit` seconds; a call that runs fails soon."""
        reader, self._reader = self._reader, None
        if reader is None or not self._own:
            return
        reader.interrupt()
        try:
            await self._worker.run(reader.close).addTimeout(limit, self._reactor)  # type: ignore[arg-type]
        except TimeoutError:
            self._log.warn("a page of history is still being read")

    def reopen(self) -> None:
        """Open another connection."""
        self._reader = self._connect()

    def stop(self) -> None:
        """End the worker."""
        if self._own:
            self._worker.stop()


class ReadHistory:
    """A :class:`~pypinger.ports.history.History`; those that inherit from it say how a reader is called."""

    async def _read(self, method: Callable[Concatenate[Reader, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        raise NotImplementedError

    async def dead(self) -> Sequence[Delivery]:
        """See :meth:`pypinger.ports.storing.Store.dead`."""
        return await self._read(Reader.dead)

    async def backup(self, path: str) -> None:
        """See :meth:`pypinger.ports.storing.Store.backup`."""
        await self._read(Reader.backup, path)

    async def copy_to(self, descriptor: int) -> int:
        """See :meth:`pypinger.ports.storing.Store.copy_to`."""
        return await self._read(Reader.copy_to, descriptor)

    async def runs(self, task: str, before: int | None = None, limit: int = 50) -> Sequence[Run]:
        """See :meth:`pypinger.ports.history.History.runs`."""
        return await self._read(Reader.runs, task, before, limit)

    async def verdicts(self, task: str, before: int | None = None, limit: int = 50) -> Sequence[VerdictChange]:
        """See :meth:`pypinger.ports.history.History.verdicts`."""
        return await self._read(Reader.verdicts, task, before, limit)

    async def incidents(
        self,
        task: str | None = None,
        before: int | None = None,
        limit: int = 50,
        which: IncidentFilter = ALL_INCIDENTS,
    ) -> Sequence[PastIncident]:
        """See :meth:`pypinger.ports.history.History.incidents`."""
        return await self._read(Reader.incidents, task, before, limit, which)

    async def deliveries(
        self,
        task: str | None = None,
        before: int | None = None,
        limit: int = 50,
        which: DeliveryFilter = ALL_DELIVERIES,
    ) -> Sequence[PastDelivery]:
        """See :meth:`pypinger.ports.history.History.deliveries`."""
        return await self._read(Reader.deliveries, task, before, limit, which)

    async def tasks(self) -> Sequence[str]:
        """See :meth:`pypinger.ports.history.History.tasks`."""
        return await self._read(Reader.tasks)

    async def channels(self) -> Sequence[str]:
        """See :meth:`pypinger.ports.history.History.channels`."""
        return await self._read(Reader.channels)

    async def uptime(self, task: str, now: Instant) -> Mapping[str, float | None]:
        """See :meth:`pypinger.ports.history.History.uptime`."""
        return await self._read(Reader.uptime, task, now)

    async def days(self, task: str, now: Instant, count: int = 90) -> Sequence[Day]:
        """See :meth:`pypinger.ports.history.History.days`."""
        return await self._read(Reader.days, task, now, count)

    async def beginning(self, task: str) -> Instant | None:
        """See :meth:`pypinger.ports.history.History.beginning`."""
        return await self._read(Reader.beginning, task)

    async def gaps(self, task: str, limit: int = 50) -> Sequence[Gap]:
        """See :meth:`pypinger.ports.history.History.gaps`."""
        return await self._read(Reader.gaps, task, limit)
