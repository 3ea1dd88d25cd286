"""Where reports go: a file that a web server serves, or Py Pinger's push endpoint (contract, section 9)."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
from contextlib import contextmanager
from typing import Callable, Iterator

from pypinger.report.content import (
    EndedRun,
    KeptReport,
    Members,
    TaskDetails,
    end_members,
    read_report,
    start_members,
)

# How long to wait for the lock of a directory, in seconds. Who holds it longer does not keep a report back.
_LOCK_WAIT = 5.0

#: Says what went wrong.
Complain = Callable[[str], None]


class ReportFile:
    """
    A file that always holds a whole report.

    Each report is written beside it and moved into place. Runs at once take turns by a lock of the directory, so that
    the start of one does not undo the end of another.

    :raises ValueError: something else has this path.
    """

    def __init__(self, path: str, details: TaskDetails, complain: Complain) -> None:
        self._path = os.path.realpath(path)
        self._shown = path
        self._details = details
        self._complain = complain
        try:
            regular = stat.S_ISREG(os.stat(self._path).st_mode)
        except OSError:
            regular = not path.endswith("/")
        if not regular:
            raise ValueError(f"{path!r} is no file")

    def begin(self, started: float) -> None:
        """Publish that a run starts, with the outcome of the run before."""
        self._publish(lambda before: start_members(before, started))

    def finish(self, run: EndedRun) -> None:
        """Publish the end of a run, unless one that ended later is published."""
        self._publish(lambda before: _end(before, run))

    def wait(self, seconds: float) -> bool:
        """Whether all is published, or given up."""
        return True

    def _publish(self, make: Callable[[KeptReport], Members | None]) -> None:
        try:
            directory = os.path.dirname(self._path)
            _make_directory(directory)
            with _locked(directory):
                members = make(self._read())
                if members is not None:
                    self._write({**members, **self._details.members()})
        except OSError as error:
            kept = "; the report of the run before stays" if os.path.exists(self._path) else ""
            self._complain(f"cannot write {self._shown}: {error.strerror}{kept}")

    def _read(self) -> KeptReport:
        try:
            with open(self._path, "rb") as file:
                return read_report(file.read(1 << 20))
        except OSError:
            return read_report(b"")

    def _write(self, report: Members) -> None:
        new = os.path.join(os.path.dirname(self._path), f".pypinger-{os.urandom(6).hex()}.new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(json.dumps(report).encode("ascii") + b"\n")
                file.flush()
                os.fchmod(descriptor, 0o644)
                os.fsync(descriptor)
            os.replace(new, self._path)
        except BaseException:
            os.unlink(new)
            raise


def _end(before: KeptReport, run: EndedRun) -> Members | None:
    """The members at the end of `run`; None if a later end is published. The latest start is kept."""
    now = time.time()
    # What lies ahead was written before the clock was set back.
    if before.lastrun is not None and run.ended < before.lastrun <= now:
        return None
    if before.started is not None and run.started < before.started <= now:
        run = run._replace(started=before.started)
    return end_members(run)


def _make_directory(path: str) -> None:
    """Create a directory and those above it, which all may read."""
    if not os.path.isdir(path):
        _make_directory(os.path.dirname(path))
        try:
            os.mkdir(path)
            os.chmod(path, 0o755)
        except FileExistsError:
            pass


@contextmanager
def _locked(directory: str) -> Iterator[None]:
    """Hold the lock of a directory, where it can be had; it leaves no file and ends with the process."""
    descriptor = -1
    try:
        descriptor = os.open(directory, os.O_RDONLY)
        deadline = time.monotonic() + _LOCK_WAIT
        while not _lock(descriptor) and time.monotonic() < deadline:
            time.sleep(0.02)
    except OSError:
        pass
    try:
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """
    Try to lock; whether that succeeded.

    :raises OSError: this file system has no such locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
