"""The connection that history is read through."""

from __future__ import annotations

import os
import time
from functools import lru_cache
from socket import SHUT_RDWR, socket
from typing import Any

import psycopg

from pypinger.domain.databaseurl import shown
from pypinger.domain.model import Seconds
from pypinger.ports.storing import StoreError
from pypinger.store.postgres.connection import connect, unusable
from pypinger.store.sources import Dialect

#: PostgreSQL's.
POSTGRES = Dialect(
    "greatest",
    "least",
    "json_array_elements_text({}::json) AS elements (value)",
    "(body::json ->> 'event')",
    "instance = ''",
)


#: Seconds after a failure in which it does not connect again.
PAUSE: Seconds = 1.0


class PostgresSource:
    """
    A :class:`~pypinger.store.sources.Source`, which connects when it is first read, and again after a failure.

    :param name: of the session.
    """

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._connection: psycopg.Connection | None = None
        self._closed = False
        self._failure: Exception | None = None
        self._failed: Seconds = 0.0

    @property
    def dialect(self) -> Dialect:
        """See :attr:`pypinger.store.sources.Source.dialect`."""
        return POSTGRES

    def all(self, query: str, *values: object) -> list[Any]:
        """See :meth:`pypinger.store.sources.Source.all`."""
        fitting = [_fit(value) for value in values]
        try:
            kept = self._connection
            if kept is not None:
                try:
                    return kept.execute(_query(query), fitting).fetchall()
                except psycopg.Error:
                    if not kept.closed or self._closed:
                        raise
                    # The server was started again since the last call.
                    self._connection = None
            return self._connected().execute(_query(query), fitting).fetchall()
        except psycopg.Error as error:
            raise unusable(self._url, error) from error

    def damaged(self, words: str) -> StoreError:
        """See :meth:`pypinger.store.sources.Source.damaged`."""
        return damaged(self._url, words)

    def backup(self, path: str) -> None:
        """See :meth:`pypinger.store.sources.Source.backup`."""
        raise self._no_backup()

    def copy_to(self, descriptor: int) -> int:
        """See :meth:`pypinger.store.sources.Source.copy_to`."""
        raise self._no_backup()

    def interrupt(self) -> None:
        """See :meth:`pypinger.store.sources.Source.interrupt`."""
        self._closed = True
        connection = self._connection
        if connection is None or connection.closed:
            return
        try:
            # Asking the server to cancel would wait for it.
            with socket(fileno=os.dup(connection.fileno())) as ours:
                ours.shutdown(SHUT_RDWR)
        except (OSError, psycopg.Error):
            pass

    def close(self) -> None:
        """See :meth:`pypinger.store.sources.Source.close`."""
        self._closed = True
        if self._connection is not None:
            self._connection.close()

    def _connected(self) -> psycopg.Connection:
        """Connect, unless that has just failed: a server that does not answer must not delay page after page."""
        now = time.monotonic()
        if self._failure is not None and now < self._failed + PAUSE:
            raise self._failure
        try:
            self._connection = connect(self._url, self._name)
        except (psycopg.Error, StoreError) as error:
            self._failed, self._failure = time.monotonic(), error
            raise
        self._failure = None
        return self._connection

    def _no_backup(self) -> StoreError:
        return StoreError(f"the store is in {shown(self._url)}: back it up with pg_dump")


def damaged(url: str, words: str) -> StoreError:
    """The operator decides what happens to a damaged database."""
    return StoreError(f"[store] url {shown(url)}: it is damaged ({' '.join(words.split())}); restore a backup")


def _fit(value: object) -> object:
    """A value that PostgreSQL takes; a text with U+0000 equals none there."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


@lru_cache(maxsize=200)
def _query(query: str) -> bytes:
    return query.replace("?", "%s").encode()
