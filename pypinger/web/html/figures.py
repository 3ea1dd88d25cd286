"""
The overview's figures from the history: gaps between runs and the last 90 days, cached per task.

Reading them takes a moment for every task, so they are read only for the tasks on a page, one after the other, and
cached for a while. A page waits a little for figures that are not cached; those that come too late are there when the
page is loaded next.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Instant, Seconds
from pypinger.ports.clock import WallClock
from pypinger.ports.history import Day, Gap, History
from pypinger.ports.showing import Entry
from pypinger.ports.storing import StoreError

#: Seconds for which figures are valid, unless the task's state shows that they changed.
LASTING: Seconds = 300.0

#: Seconds after a check in which the history may not have it yet; figures read then are read again.
SETTLING: Seconds = 2.0

#: Seconds that a page waits for figures.
WAIT_LIMIT: Seconds = 0.4

#: Runs in a task's sparkline.
RUNS = 30


class Figures(msgspec.Struct, frozen=True):
    """
    The figures of one task.

    :ivar gaps: the last runs and the gaps between them, newest first.
    :ivar days: the last 90 days, oldest first.
    :ivar lastrun: the last run in the task's state when they were read, as `kind` is its kind then.
    """

    gaps: Sequence[Gap]
    days: Sequence[Day]
    at: Instant
    lastrun: Instant | None
    kind: Kind


class FigureCache:
    """
    Reads figures from a history and caches them.

    :param history: without one there are no figures.
    """

    _log = Logger()

    def __init__(self, history: History | None, now: WallClock, clock: IReactorTime) -> None:
        self._history = history
        self._now = now
        self._clock = clock
        self._kept: dict[str, Figures] = {}
        # Tasks whose figures are to be read, and pages that wait for them.
        self._wanted: dict[str, Entry] = {}
        self._reading = False
        self._waiting: set[Deferred[None]] = set()
        self._paused_until: Instant | None = None

    def of(self, entry: Entry) -> Figures | None:
        """The cached figures of a task, if there are any."""
        return self._kept.get(entry.task.id)

    def keep_only(self, entries: Sequence[Entry]) -> None:
        """Forget the tasks that are not among `entries`."""
        if len(self._kept) > len(entries):
            ids = {entry.task.id for entry in entries}
            self._kept = {task_id: kept for task_id, kept in self._kept.items() if task_id in ids}

    async def refresh(self, entries: Sequence[Entry]) -> bool:
        """
        Read the figures of these tasks where they are missing or outdated, and wait a little for missing ones.

        :returns: whether the figures of all of them are cached now.
        """
        if self._history is None:
            return True
        now = self._now()
        if self._paused_until is not None and now < self._paused_until:
            return True
        for entry in entries:
            if self._outdated(entry, now):
                self._wanted[entry.task.id] = entry
        if self._wanted and not self._reading:
            self._reading = True
            reading = Deferred.fromCoroutine(self._read(self._history))
            reading.addErrback(lambda failure: self._log.failure("reading the figures of the overview", failure))
        if self._reading and not self._has_all(entries):
            await self._wait()
        return self._has_all(entries)

    def _has_all(self, entries: Sequence[Entry]) -> bool:
        return all(entry.task.id in self._kept for entry in entries)

    def _outdated(self, entry: Entry, now: Instant) -> bool:
        kept, state = self._kept.get(entry.task.id), entry.state
        if kept is None:
            return True
        lastrun = None if state.report is None else state.report.lastrun
        return not 0 <= now - kept.at < LASTING or kept.lastrun != lastrun or kept.kind is not state.kind

    async def _read(self, history: History) -> None:
        try:
            while self._wanted:
                entry = self._wanted.pop(next(iter(self._wanted)))
                task, state, now = entry.task, entry.state, self._now()
                settled = state.checked is None or now - state.checked >= SETTLING
                self._kept[task.id] = Figures(
                    await history.gaps(task.key, RUNS),
                    await history.days(task.key, now),
                    now if settled else now - LASTING + SETTLING,
                    None if state.report is None else state.report.lastrun,
                    state.kind,
                )
        except StoreError as error:
            self._log.warn("the overview is shown without figures from the history: {error}", error=str(error))
            self._wanted.clear()
            self._paused_until = self._now() + LASTING
        finally:
            self._reading = False
            for waiting in tuple(self._waiting):
                waiting.callback(None)

    async def _wait(self) -> None:
        """Wait until all were read, at most :data:`WAIT_LIMIT`."""
        waiting: Deferred[None] = Deferred()
        self._waiting.add(waiting)
        timer = self._clock.callLater(WAIT_LIMIT, waiting.callback, None)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)
            if timer.active():
                timer.cancel()
