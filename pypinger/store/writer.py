"""
The writer: the one thread that writes the database.

Note [One writer]
~~~~~~~~~~~~~~~~~
The reactor's thread only puts calls into a queue. The writer takes all there are, lets the recorder make rows of them,
and writes these in one transaction: at once if somebody waits for it, else within a second. So a storm of failures
becomes a handful of transactions, and a check that tells nothing new costs the reactor next to nothing.

Note [When it cannot be written]
~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
Nobody waits for a store that cannot write: checks and alerts go on from memory. The rows stay pending, coalesced, and
are tried again every few seconds; the first transaction that succeeds holds all of them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from threading import Event, Thread
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from pypinger.domain.model import Seconds
from pypinger.ports.clock import WallClock
from pypinger.store.accounting import millis
from pypinger.store.recorder import Recorder
from pypinger.store.retention import sweep
from pypinger.store.tables import Tables
from pypinger.store.threads import Reactor

#: How long what nobody waits for may lie about, in seconds.
BATCH: Seconds = 0.8

#: How often writing is tried again while it cannot be done, in seconds.
RETRY: Seconds = 3.0

#: How long after the start old history is deleted first, and how often then, in seconds.
FIRST_SWEEP: Seconds = 60.0
SWEEP: Seconds = 3600.0

#: How long the writer does nothing between two steps of that, in seconds.
BREATH: Seconds = 0.02

#: How often it is written down that the process lives, in seconds.
PULSE: Seconds = 10.0


class Writer:
    """
    Records and writes what it is given, until it is stopped.

    :param report: called in the reactor's thread after each attempt to write that matters to anybody: why it failed, or
        None, and those who waited for it.
    :param ended: called in the reactor's thread at the very end.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Reactor,
        now: WallClock,
        recorder: Recorder,
        tables: Tables,
        keep_days: float,
        report: Callable[[str | None, list[Deferred[None]]], None],
        ended: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._now = now
        self._recorder = recorder
        self._tables = tables
        self._keep_days = keep_days
        self._report = report
        self._ended = ended
        self._calls: deque[tuple[Callable[..., None], tuple[Any, ...], Deferred[None] | None]] = deque()
        self._wake = Event()
        self._stopping = False
        self._failing: str | None = None
        self._tried: Seconds = 0.0
        self._sweep: Iterator[None] | None = None
        self._sweeps = time.monotonic() + FIRST_SWEEP
        # A daemon thread: a disk that does not answer must not keep the process alive.
        self._thread = Thread(target=self._run, name="pypinger-writer", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """How many calls wait to be recorded."""
        return len(self._calls)

    def put(self, call: Callable[..., None], args: tuple[Any, ...], waiter: Deferred[None] | None = None) -> None:
        """Record something; `waiter` goes to ``report`` once it is written, or cannot be."""
        self._calls.append((call, args, waiter))
        if waiter is not None:
            self._wake.set()

    def stop(self) -> None:
        """Write the rest, try once if it cannot be written, and end."""
        self._stopping = True
        self._wake.set()

    def _run(self) -> None:
        try:
            while True:
                self._wake.wait(BATCH if self._sweep is None else BREATH)
                self._wake.clear()
                # In this order: what was put before the stop is still taken.
                stopping = self._stopping
                self._turn(self._record(), stopping)
                if stopping:
                    return
                self._clean()
        except BaseException:
            self._reactor.callFromThread(self._report, "its writer has died; Py Pinger's log says how", [])
            self._reactor.callFromThread(self._log.failure, "the store's writer", Failure())
        finally:
            self._tables.close()
            self._reactor.callFromThread(self._ended)

    def _record(self) -> list[Deferred[None]]:
        """Take what is in the queue; returns those who wait for it."""
        waiters = []
        for _ in range(len(self._calls)):
            call, args, waiter = self._calls.popleft()
            try:
                call(*args)
            except Exception:
                self._reactor.callFromThread(self._log.failure, "recording {call}", Failure(), call=call.__name__)
            if waiter is not None:
                waiters.append(waiter)
        return waiters

    def _turn(self, waiters: list[Deferred[None]], stopping: bool) -> None:
        """Write if it is time to."""
        clock, before = time.monotonic(), self._failing
        urgent = bool(waiters) or stopping
        if before is not None:
            due = stopping or clock >= self._tried + RETRY
        else:
            due = urgent or clock >= self._tried + (BATCH if self._recorder.pending else PULSE)
        if due:
            self._tried = clock
            self._failing = self._write(durable=urgent or before is not None)
        if waiters or self._failing != before:
            self._reactor.callFromThread(self._report, self._failing, waiters)

    def _write(self, *, durable: bool) -> str | None:
        """Write what is pending; returns why that failed."""
        pending = self._recorder.pending
        try:
            self._tables.write(pending, millis(self._now()), durable=durable)
        except Exception as error:
            return str(error) or type(error).__name__
        pending.clear()
        return None

    def _clean(self) -> None:
        """Go on deleting what is too old, or begin, if it is time to and the disk is well."""
        clock = time.monotonic()
        if self._failing is not None or (self._sweep is None and clock < self._sweeps):
            return
        try:
            if self._sweep is None:
                self._sweeps = clock + SWEEP
                self._sweep = sweep(self._tables, self._recorder, self._keep_days, millis(self._now()))
            if next(self._sweep, self) is self:
                self._sweep = None
        except Exception:
            self._sweep = None
            self._reactor.callFromThread(self._log.failure, "deleting old history", Failure())
