"""
Where a reader reads from: a database, and how its SQL differs.

Queries have ``?`` for their values.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from typing import Any, NamedTuple, Protocol

from pypinger.ports.storing import StoreError
from pypinger.store.database import MEMORY, connect, copy, damaged, unusable


class Dialect(NamedTuple):
    """
    The words of one engine's SQL.

    :ivar greatest: the function that returns its greatest argument; `least` likewise.
    :ivar elements: a table with the column ``value`` of the elements of a JSON array; ``{}`` stands for the array.
    :ivar event: the event of an alert in the column ``body``.
    :ivar nowhere: the condition of rows of ``blind`` in which no instance saw any task.
    """

    greatest: str
    least: str
    elements: str
    event: str
    nowhere: str


class Source(Protocol):
    """A database that is read by one thread at a time."""

    @property
    def dialect(self) -> Dialect:
        """How its SQL differs."""

    def all(self, query: str, *values: object) -> list[Any]:
        """
        All rows of a query.

        :raises StoreError: it cannot be read.
        """

    def damaged(self, words: str) -> StoreError:
        """The error for a row that cannot be understood."""

    def backup(self, path: str) -> None:
        """
        Copy the database to another file; a daemon continues to write meanwhile.

        :raises StoreError: it cannot be copied.
        """

    def copy_to(self, descriptor: int) -> int:
        """
        Write a copy to an open file.

        :returns: the bytes written.
        :raises StoreError: it cannot be copied.
        """

    def interrupt(self) -> None:
        """Make a call that runs in another thread fail soon."""

    def close(self) -> None:
        """Close the connection."""


#: SQLite's.
SQLITE = Dialect("max", "min", "json_each({})", "json_extract(body, '$.event')", "1 = 1")


class SqliteSource:
    """
    An SQLite database.

    :param connection: of the database; None to open another one, which only reads.
    :raises StoreError: it cannot be read.
    """

    def __init__(self, path: str, connection: sqlite3.Connection | None = None) -> None:
        self._path = path
        try:
            self._connection = connect(path, query="?mode=ro") if connection is None else connection
        except sqlite3.Error as error:
            raise unusable(path, error) from error

    @property
    def dialect(self) -> Dialect:
        """See :attr:`Source.dialect`."""
        return SQLITE

    def all(self, query: str, *values: object) -> list[Any]:
        """See :meth:`Source.all`."""
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise unusable(self._path, error) from error

    def damaged(self, words: str) -> StoreError:
        """See :meth:`Source.damaged`."""
        return damaged(self._path, words)

    def interrupt(self) -> None:
        """See :meth:`Source.interrupt`."""
        self._connection.interrupt()

    def close(self) -> None:
        """See :meth:`Source.close`."""
        self._connection.close()

    def backup(self, path: str) -> None:
        """See :meth:`Source.backup`."""
        try:
            copy(self._connection, path)
        except (sqlite3.Error, OSError) as error:
            words = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise StoreError(f"the backup {path} cannot be written: {words}") from error

    def copy_to(self, descriptor: int) -> int:
        """
        See :meth:`Source.copy_to`.

        The copy is first made beside the database: SQLite needs a path, and the caller's may be where this process must
        not open files.
        """
        beside = None if self._path == MEMORY else os.path.dirname(os.path.abspath(self._path))
        try:
            with tempfile.TemporaryDirectory(prefix=".backup-", dir=beside) as directory:
                path = os.path.join(directory, "copy.sqlite")
                self.backup(path)
                with open(path, "rb") as copied, open(descriptor, "wb", closefd=False) as target:
                    shutil.copyfileobj(copied, target)
                return os.path.getsize(path)
        except OSError as error:
            raise StoreError(f"the backup cannot be written: {error.strerror or error}") from error
