"""
Watches the open database file: whether the path still leads to it, and whether another program has changed it.

Note [Foreign changes]
~~~~~~~~~~~~~~~~~~~~~~
Changes go to the log (``-wal``) until a checkpoint writes them into the file, and only our own checkpoints do so. If
the file changes at another time, either another program made a checkpoint through SQLite, which does no harm, or it was
overwritten (``cp backup.sqlite pypinger.sqlite``) and our log no longer fits. A random token tells them apart. It is
written before each checkpoint, so a copy that was made before the latest checkpoint holds another token. A newer one
has another schema cookie, because SQLite's backup sets it, while no transaction of another program explains that. A
copy that has the same token and cookie fits the log.

A connection that closes last writes the log into the file, which would damage a file that was overwritten. So a second,
read-only connection, the guard, stays open until the first one is closed.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from secrets import token_hex
from typing import NamedTuple, TypeAlias

from pypinger.store.database import connect
from pypinger.store.lock import Lock

#: Size in bytes from which the log is written into the file.
LOG_SIZE = 4_000_000

_Identity: TypeAlias = tuple[int, int] | None


class FileProblem(NamedTuple):
    """
    A problem with the file.

    :ivar words: what happened to it.
    :ivar final: whether the open file must be left. Else another program still changes it.
    """

    words: str
    final: bool


class FileWatch:
    """
    Watches the file of a connection that writes.

    :ivar token: to be written with each transaction.
    """

    def __init__(self, path: str, connection: sqlite3.Connection, lock: Lock) -> None:
        self._path = path
        self._file = os.path.realpath(path)
        self._connection = connection
        self._lock = lock
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        self._guard = connect(self._file, query="?mode=ro")
        self._guard.execute("SELECT count(*) FROM life").fetchone()
        self.token = token_hex(8)
        # The tokens that the file may hold.
        self._tokens: set[str] = set()
        self._identity = _identity(self._file)
        self._log: dict[str, _Identity] = {}
        self._content: tuple[int, int] | None = None
        self._foreign: tuple[int, int] | None = None
        self._cookie = _pragma(connection, "schema_version")
        self._version = _pragma(connection, "data_version")

    def before_write(self) -> None:
        """Call before each transaction: changes the token if a checkpoint is due."""
        if self._tokens == {self.token} and self._log_size() >= LOG_SIZE:
            self.token = token_hex(8)

    def after_write(self) -> None:
        """Call after each transaction: makes a checkpoint if one is due."""
        if self._tokens == {self.token}:
            return
        self._tokens.add(self.token)
        if self._checkpoint():
            self._tokens = {self.token}
        if not self._log:
            self._log = {suffix: _identity(self._file + suffix) for suffix in ("-wal", "-shm")}
        self._content = _content(self._file)

    def look(self) -> FileProblem | None:
        """Call before each transaction: a problem with the file."""
        identity = _identity(self._path)
        if identity is None:
            return FileProblem("its file was deleted or moved", final=True)
        if identity != self._identity:
            return FileProblem("its file was replaced", final=True)
        for suffix, known in self._log.items():
            if _identity(self._file + suffix) != known:
                return FileProblem(
                    f"its file {os.path.basename(self._file)}{suffix} was deleted or replaced", final=True
                )
        content = _content(self._file)
        if self._content is None or content == self._content:
            return None
        if self._fits():
            self._content = content
            return None
        if content != self._foreign:
            self._foreign = content
            return FileProblem("another program is changing its file", final=False)
        return FileProblem("its file was overwritten", final=True)

    def leave(self) -> None:
        """
        Call before the connection is closed because of a final problem.

        A file that was moved becomes complete without its log; one that was overwritten is not changed.
        """
        if _identity(self._path) != self._identity or not self._log_is_ours():
            with suppress(sqlite3.Error):
                self._checkpoint()

    def clean(self) -> None:
        """Remove our log files beside the path, after all connections are closed: they do not fit another database."""
        if _identity(self._path) is None:
            return
        for suffix, known in self._log.items():
            if known is not None and _identity(self._file + suffix) == known:
                with suppress(OSError):
                    os.unlink(self._file + suffix)

    def close(self) -> None:
        """Close the guard."""
        self._guard.close()

    def _checkpoint(self) -> bool:
        """Write the log into the file; returns whether all of it could be written."""
        execute = self._connection.execute
        (timeout,) = execute("PRAGMA busy_timeout").fetchone()
        # Do not wait for pages of history that are being read.
        execute("PRAGMA busy_timeout = 0")
        try:
            busy, _, _ = execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error:
            return False
        finally:
            execute(f"PRAGMA busy_timeout = {timeout}")
        return not busy

    def _fits(self) -> bool:
        """Whether the log fits the file: see Note [Foreign changes]."""
        if self._lock.header(20)[18:] not in (b"", b"\2\2"):
            return False
        try:
            with closing(connect(self._file, query="?mode=ro&immutable=1")) as connection:
                row = connection.execute("SELECT token FROM life").fetchone()
                cookie = _pragma(connection, "schema_version")
            version = _pragma(self._connection, "data_version")
        except sqlite3.Error:
            return False
        if row is None or row[0] not in self._tokens or (cookie != self._cookie and version == self._version):
            return False
        self._cookie, self._version = cookie, version
        return True

    def _log_is_ours(self) -> bool:
        return all(_identity(self._file + suffix) == known for suffix, known in self._log.items())

    def _log_size(self) -> int:
        try:
            return os.stat(f"{self._file}-wal").st_size
        except OSError:
            return 0


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def _identity(path: str) -> _Identity:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _content(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
