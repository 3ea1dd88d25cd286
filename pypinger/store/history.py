"""A reader of history in a worker's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from twisted.internet.defer import TimeoutError
from twisted.logger import Logger

from pypinger.domain.model import Seconds
from pypinger.ports.storing import StoreError
from pypinger.store.reading import Reader
from pypinger.store.threads import Reactor, Worker

P = ParamSpec("P")
T = TypeVar("T")


class ReaderThread:
    """
    A reader with a worker.

    :param connection: of a database in memory, with the worker that writes it; None to open the database at `path`.
    """

    _log = Logger()

    def __init__(
        self, reactor: Reactor, path: str, worker: Worker, connection: sqlite3.Connection | None = None
    ) -> None:
        self._reactor = reactor
        self._path = path
        self._worker = worker
        self._own = connection is None
        self._reader: Reader | None = Reader(path, connection)

    async def call(self, method: Callable[Concatenate[Reader, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """
        Call a method of the reader in its thread.

        :raises StoreError: the store is closed, or cannot be read.
        """
        if self._reader is None:
            raise StoreError(f"[store] path {self._path}: it is not open")
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
        self._reader = Reader(self._path)

    def stop(self) -> None:
        """End the worker."""
        if self._own:
            self._worker.stop()
