"""
The writer records calls and writes what they change, in one transaction a turn. It runs in a worker's thread.

Note [Failed writes]
~~~~~~~~~~~~~~~~~~~~
While the store cannot be written, checks and alerts continue from memory. The rows stay pending, coalesced, and are
tried again every :data:`RETRY` seconds; the first transaction that succeeds holds all of them.

Note [Lost files]
~~~~~~~~~~~~~~~~~
If the path no longer leads to the open file, what is written there is lost when the process is killed. The writer then
leaves that file, opens what is at the path now as at a start (a new database if there is none), and carries the present
over: see :mod:`pypinger.store.carrying`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

from twisted.python.failure import Failure

from pypinger.domain.model import Seconds
from pypinger.ports.clock import WallClock
from pypinger.ports.storing import StoreError
from pypinger.store.accounting import millis
from pypinger.store.loading import Opened, open_store
from pypinger.store.retention import sweep
from pypinger.store.watching import FileProblem

#: A method of :class:`~pypinger.store.recorder.Recorder`, and its arguments.
Call: TypeAlias = tuple[Callable[..., None], tuple[Any, ...]]

#: Seconds between two attempts to write while writing fails.
RETRY: Seconds = 3.0

#: Seconds that rows wait at least after a transaction, unless a caller waits for them.
BATCH: Seconds = 0.4

#: Seconds between two records of the time at which the process was alive.
PULSE: Seconds = 10.0

#: Seconds from the start to the first deletion of old history, and between two of them.
FIRST_SWEEP: Seconds = 60.0
SWEEP: Seconds = 3600.0


class Turn(NamedTuple):
    """
    The result of one turn of the writer.

    :ivar trouble: why the store cannot be written; None if it can.
    :ivar failures: unexpected errors, each with what was being done.
    :ivar more: whether old history remains to be deleted.
    :ivar lost: what happened to the open file, if :meth:`Writer.recover` must be called.
    """

    trouble: str | None
    failures: list[tuple[str, Failure]]
    more: bool = False
    lost: str | None = None


class Writer:
    """
    Writes one database.

    :param path: of the database.
    :param opened: that database.
    :param clock: the present time of the monotonic clock that :meth:`turn` is given.
    """

    def __init__(self, path: str, now: WallClock, opened: Opened, keep_days: float, clock: Seconds) -> None:
        self._path = path
        self._now = now
        self._keep_days = keep_days
        self._recorder = opened.recorder
        # None from when its file was lost until another one is open.
        self._open: Opened | None = opened
        self._lost: str | None = None
        self._recovered = clock - RETRY
        self._closed = False
        self._trouble: str | None = None
        self._tried = clock
        self._sweep: Iterator[None] | None = None
        self._sweeps = clock + FIRST_SWEEP

    def turn(self, calls: Iterable[Call], clock: Seconds, *, urgent: bool = False, last: bool = False) -> Turn:
        """
        Record the calls, and write what is pending.

        :param urgent: whether a caller waits until the calls are on the disk.
        :param last: whether the store closes after this turn.
        """
        failures = []
        for call, args in calls:
            try:
                call(self._recorder, *args)
            except Exception:
                failures.append((f"recording {call.__name__}", Failure()))
        before = self._trouble
        due = self._due(clock, urgent=urgent, last=last)
        problem = self._look(last=last)
        if problem is not None and not problem.final:
            self._trouble = problem.words
            return Turn(self._trouble, failures)
        if self._lost is not None:
            if not last:
                if clock >= self._recovered + RETRY:
                    return Turn(self._trouble, failures, lost=self._lost)
                self._trouble = self._trouble or self._lost
                return Turn(self._trouble, failures)
            self.recover(clock)
        if due and self._open is not None:
            self._tried = clock
            self._trouble = self._write(self._open, durable=urgent or last or before is not None)
        more = False
        if self._trouble is None and not urgent and not last:
            try:
                more = self._delete(clock)
            except Exception:
                self._sweep = None
                failures.append(("deleting old history", Failure()))
        return Turn(self._trouble, failures, more)

    def recover(self, clock: Seconds) -> Turn:
        """Leave the lost file, and open what is at the path now: see Note [Lost files]."""
        self._tried = self._recovered = clock
        if self._closed:
            return Turn(self._trouble, [])
        if self._open is not None:
            self._leave(self._open)
        try:
            self._open = open_store(self._path, millis(self._now()), self._recorder)
        except StoreError as error:
            self._trouble = f"{self._lost}; {str(error).removeprefix(f'[store] path {self._path}: ')}"
        except Exception:
            self._trouble = f"{self._lost}; unexpected error, see the log"
            return Turn(self._trouble, [("opening the store again", Failure())])
        else:
            self._recorder = self._open.recorder
            self._lost = self._trouble = None
        return Turn(self._trouble, [])

    def close(self) -> None:
        """Close the database."""
        self._closed = True
        if self._open is not None:
            if self._open.watch is not None:
                # The last connection to close writes the log into the file, and must be able to write.
                self._open.watch.close()
            self._open.tables.close()

    def _look(self, *, last: bool) -> FileProblem | None:
        """Whether the file is still ours."""
        if self._open is None or self._open.watch is None:
            return None
        problem = self._open.watch.look()
        if last and problem is not None and not problem.final:
            problem = self._open.watch.look()
        if problem is not None and problem.final:
            self._lost = problem.words
        return problem

    def _leave(self, opened: Opened) -> None:
        """Close the lost file without changing it; this must not fail."""
        self._open = self._sweep = None
        assert opened.watch is not None
        opened.watch.leave()
        opened.tables.close()
        opened.watch.close()
        opened.watch.clean()

    def _due(self, clock: Seconds, *, urgent: bool, last: bool) -> bool:
        if last:
            return True
        if self._trouble is not None:
            return clock >= self._tried + RETRY
        return urgent or clock >= self._tried + (BATCH if self._recorder.pending else PULSE)

    def _write(self, opened: Opened, *, durable: bool) -> str | None:
        tables, watch, pending = opened.tables, opened.watch, self._recorder.pending
        try:
            if watch is not None:
                watch.before_write()
            token = None if watch is None else watch.token
            tables.write(pending, millis(self._now()), durable=durable, token=token)
        except Exception as error:
            return str(error) or type(error).__name__
        pending.clear()
        if watch is not None:
            watch.after_write()
        return None

    def _delete(self, clock: Seconds) -> bool:
        """Delete some of the old history if it is time; returns whether some is left."""
        if self._open is None:
            return False
        if self._sweep is None:
            if clock < self._sweeps:
                return False
            self._sweeps = clock + SWEEP
            self._sweep = sweep(self._open.tables, self._recorder, self._keep_days, millis(self._now()))
        if next(self._sweep, self) is self:
            self._sweep = None
        return self._sweep is not None
