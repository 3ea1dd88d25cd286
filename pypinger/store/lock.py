"""One process a database: a lock on a file beside it, which the kernel lets go of however the process ends."""

from __future__ import annotations

import fcntl
import os

from pypinger.ports.storing import StoreError


class Lock:
    """
    Holds ``<path>.lock``. SQLite's own locks are on the database itself, and other programs may read it meanwhile.

    :raises StoreError: another process holds it, or the directory cannot be written.
    """

    def __init__(self, path: str) -> None:
        name = f"{path}.lock"
        try:
            self._file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        except OSError as error:
            raise StoreError(
                f"[store] path {path}: cannot make {name}: {error.strerror}; let the user that runs Py Pinger write"
                " there, or change the path"
            ) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._file, 20, 0).decode("ascii", "replace").strip()
            os.close(self._file)
            if not isinstance(error, BlockingIOError):
                raise StoreError(f"[store] path {path}: cannot lock {name}: {error.strerror}") from None
            who = f"process {holder}" if holder.isdecimal() else "a process"
            raise StoreError(
                f"[store] path {path}: another Py Pinger ({who}) is using it; stop that one, or give this one a path"
                " of its own"
            ) from None
        try:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            # The lock holds, only nobody can say who has it: the disk is full.
            pass

    def release(self) -> None:
        """Let go of it. The file stays: removing it would let two processes lock two files of one name."""
        os.close(self._file)
