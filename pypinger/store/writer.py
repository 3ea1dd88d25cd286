"""
The writer records calls and writes what they change, in one transaction a turn. It runs in a worker's thread.

Note [Failed writes]
~~~~~~~~~~~~~~~~~~~~
While the store cannot be written, checks and alerts continue from memory. The rows stay pending, coalesced, and are
tried again every :data:`RETRY` seconds; the first transaction that succeeds holds all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

from twisted.python.failure import Failure

from pypinger.domain.model import Seconds
from pypinger.ports.clock import WallClock
from pypinger.store.accounting import millis
from pypinger.store.recorder import Recorder
from pypinger.store.retention import sweep
from pypinger.store.tables import Tables

#: A method of :class:`Recorder`, and its arguments.
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
    """

    trouble: str | None
    failures: list[tuple[str, Failure]]
    more: bool


class Writer:
    """
    Writes one database.

    :param clock: the present time of the monotonic clock that :meth:`turn` is given.
    """

    def __init__(self, now: WallClock, recorder: Recorder, tables: Tables, keep_days: float, clock: Seconds) -> None:
        self._now = now
        self._recorder = recorder
        self._tables = tables
        self._keep_days = keep_days
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
        if self._due(clock, urgent=urgent, last=last):
            self._tried = clock
            self._trouble = self._write(durable=urgent or last or before is not None)
        more = False
        if self._trouble is None and not urgent and not last:
            try:
                more = self._delete(clock)
            except Exception:
                self._sweep = None
                failures.append(("deleting old history", Failure()))
        return Turn(self._trouble, failures, more)

    def close(self) -> None:
        """Close the database."""
        self._tables.close()

    def _due(self, clock: Seconds, *, urgent: bool, last: bool) -> bool:
        if last:
            return True
        if self._trouble is not None:
            return clock >= self._tried + RETRY
        return urgent or clock >= self._tried + (BATCH if self._recorder.pending else PULSE)

    def _write(self, *, durable: bool) -> str | None:
        pending = self._recorder.pending
        try:
            self._tables.write(pending, millis(self._now()), durable=durable)
        except Exception as error:
            return str(error) or type(error).__name__
        pending.clear()
        return None

    def _delete(self, clock: Seconds) -> bool:
        """Delete some of the old history if it is time; returns whether some is left."""
        if self._sweep is None:
            if clock < self._sweeps:
                return False
            self._sweeps = clock + SWEEP
            self._sweep = sweep(self._tables, self._recorder, self._keep_days, millis(self._now()))
        if next(self._sweep, self) is self:
            self._sweep = None
        return self._sweep is not None
