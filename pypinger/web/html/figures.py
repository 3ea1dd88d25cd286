"""
The figures of the overview that come from the history: gaps between runs and the last 90 days, kept per task.

Asking the history takes a moment for every task, so only those that somebody looks at are asked for, one after the
other, and what was found is kept for a while. A page waits for figures that it never had, but not for long: what is
not there in time is there when the page is loaded next.
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

#: For how long figures are good, in seconds, unless the task's state tells that they changed.
LASTING: Seconds = 300.0

#: For how long after a check the history may not know of it yet, in seconds; what it says then is asked for again.
SETTLING: Seconds = 2.0

#: How long a page waits, in seconds.
PATIENCE: Seconds = 0.4

#: How many runs of a task its sparkline shows.
RUNS = 30


class Figures(msgspec.Struct, frozen=True):
    """
    What the history says of one task.

    :ivar gaps: the last runs and the gaps between them, newest first.
    :ivar days: the last 90 days, oldest first.
    :ivar lastrun: the last run that the task's state knew of when this was asked for, as `kind` is its kind.
    """

    gaps: Sequence[Gap]
    days: Sequence[Day]
    at: Instant
    lastrun: Instant | None
    kind: Kind


class FigureCache:
    """
    Gets figures from a history and keeps them.

    :param history: None if nothing is kept; then there are no figures.
    """

    _log = Logger()

    def __init__(self, history: History | None, now: WallClock, reactor: IReactorTime) -> None:
        self._history = history
        self._now = now
        self._reactor = reactor
        self._kept: dict[str, Figures] = {}
        # Those to be asked for, and what the pages wait for while that goes on.
        self._wanted: dict[str, Entry] = {}
        self._asking = False
        self._waiting: set[Deferred[None]] = set()
        self._silent_until: Instant | None = None

    def of(self, entry: Entry) -> Figures | None:
        """The figures of a task, None while there are none."""
        return self._kept.get(entry.task.id)

    def keep_only(self, entries: Sequence[Entry]) -> None:
        """Forget the tasks that are not among `entries` any more."""
        if len(self._kept) > len(entries):
            ids = {entry.task.id for entry in entries}
            self._kept = {task_id: kept for task_id, kept in self._kept.items() if task_id in ids}

    async def renew(self, entries: Sequence[Entry]) -> bool:
        """
        Have the figures of these tasks asked for where they are missing or old, and wait a little for missing ones.

        :returns: whether the figures of all of them are there now.
        """
        if self._history is None:
            return True
        now = self._now()
        if self._silent_until is not None and now < self._silent_until:
            return True
        for entry in entries:
            if self._old(entry, now):
                self._wanted[entry.task.id] = entry
        if self._wanted and not self._asking:
            self._asking = True
            asked = Deferred.fromCoroutine(self._ask(self._history))
            asked.addErrback(lambda failure: self._log.failure("The history could not be asked", failure))
        if self._asking and not self._has_all(entries):
            await self._patiently()
        return self._has_all(entries)

    def _has_all(self, entries: Sequence[Entry]) -> bool:
        return all(entry.task.id in self._kept for entry in entries)

    def _old(self, entry: Entry, now: Instant) -> bool:
        kept, state = self._kept.get(entry.task.id), entry.state
        if kept is None:
            return True
        lastrun = None if state.report is None else state.report.lastrun
        return not 0 <= now - kept.at < LASTING or kept.lastrun != lastrun or kept.kind is not state.kind

    async def _ask(self, history: History) -> None:
        try:
            while self._wanted:
                entry = self._wanted.pop(next(iter(self._wanted)))
                task, state, now = entry.task, entry.state, self._now()
                settled = state.checked is None or now - state.checked >= SETTLING
                self._kept[task.id] = Figures(
                    await history.gaps(task.url, RUNS),
                    await history.days(task.url, now),
                    now if settled else now - LASTING + SETTLING,
                    None if state.report is None else state.report.lastrun,
                    state.kind,
                )
        except StoreError as error:
            self._log.warn("The figures of the overview cannot be had: {error}", error=str(error))
            self._wanted.clear()
            self._silent_until = self._now() + LASTING
        finally:
            self._asking = False
            for waiting in tuple(self._waiting):
                waiting.callback(None)

    async def _patiently(self) -> None:
        """Wait until all has been asked for, at most :data:`PATIENCE`."""
        waiting: Deferred[None] = Deferred()
        self._waiting.add(waiting)
        enough = self._reactor.callLater(PATIENCE, waiting.callback, None)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)
            if enough.active():
                enough.cancel()
