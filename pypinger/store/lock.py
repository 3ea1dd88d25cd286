"""
Locks, so that one process uses a database. The kernel releases them when the process ends.

Note [Two locks]
~~~~~~~~~~~~~~~~
``<path>.lock`` exists before the database does, and holds the process id. The lock on the database itself holds however
it is reached: through a hard link, or after the lock file was removed. It is a ``flock``, which is independent of the
``fcntl`` locks that SQLite uses, except on NFS, which emulates one with the other; there the lock file alone counts.

The descriptor of the database is opened before SQLite opens the file and closed after it: closing any descriptor of a
file releases all ``fcntl`` locks that the process has on it.
"""

from __future__ import annotations

import fcntl
import os

from pypinger.ports.storing import StoreError


class Lock:
    """
    Holds ``<file>.lock``.

    :param path: as it is configured.
    :param file: its real path.
    :raises StoreError: another process holds the lock, or the directory cannot be written.
    """

    def __init__(self, path: str, file: str) -> None:
        self._path = path
        self._file = file
        self._database: int | None = None
        name = f"{file}.lock"
        try:
            self._beside = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        except OSError as error:
            raise StoreError(
                f"[store] path {path}: cannot create {name}: {error.strerror}; let the user that runs Py Pinger write"
                " there, or change the path"
            ) from None
        try:
            fcntl.flock(self._beside, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._beside, 20, 0).decode("ascii", "replace").strip()
            os.close(self._beside)
            if not isinstance(error, BlockingIOError):
                raise StoreError(f"[store] path {path}: cannot lock {name}: {error.strerror}") from None
            raise self._used(f"process {holder}" if holder.isdecimal() else "a process") from None
        try:
            os.ftruncate(self._beside, 0)
            os.pwrite(self._beside, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            # A full disk: the lock holds all the same.
            pass

    def lock_database(self) -> None:
        """
        Lock the database itself: see Note [Two locks].

        :raises StoreError: another process holds the lock.
        """
        database = os.open(self._file, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(database, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(database)
            raise self._used("a process that opened it by another name") from None
        except OSError:
            os.close(database)
        else:
            self._database = database

    def header(self, size: int) -> bytes:
        """The first bytes of the database, read without opening it again; empty if it is not locked."""
        return b"" if self._database is None else os.pread(self._database, size, 0)

    def unlock_database(self) -> None:
        """Release the lock on the database itself."""
        if self._database is not None:
            os.close(self._database)
            self._database = None

    def release(self) -> None:
        """Release both locks. The lock file stays: without it two processes could lock two files of one name."""
        self.unlock_database()
        os.close(self._beside)

    def _used(self, holder: str) -> StoreError:
        return StoreError(
            f"[store] path {self._path}: another Py Pinger ({holder}) is using it; stop that one, or give this one a"
            " path of its own"
        )
