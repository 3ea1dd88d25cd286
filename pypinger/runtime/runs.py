"""
Reports every run of every task to the channels that observe runs (Sentry's cron monitors).

Best effort: a failure is logged and not retried, and a slow channel loses the oldest runs, because a late check-in is
worth little.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pypinger.domain.model import Instant, Report, Seconds, Task
from pypinger.ports.notifying import DeliveryError, RunObserver

#: How many runs may be queued.
CAPACITY = 10_000

#: Time limit for one report to one observer, in seconds.
LIMIT: Seconds = 20.0


class RunFeed:
    """Reports each run to each observer, one by one."""

    _log = Logger()

    def __init__(self, reactor: IReactorTime, observers: Sequence[RunObserver]) -> None:
        self._reactor = reactor
        self._observers = observers
        self._runs: deque[tuple[Task, Report, Instant]] = deque(maxlen=CAPACITY)
        self._working = False
        self._reporting: Deferred[None] | None = None

    def update(self, observers: Sequence[RunObserver]) -> None:
        """Report to these observers from now on."""
        self._observers = observers

    def seen(self, task: Task, report: Report, at: Instant) -> None:
        """Queue a run: a report with a new ``lastrun`` or ``started``."""
        if not self._observers:
            return
        self._runs.append((task, report, at))
        if not self._working:
            self._working = True
            working = Deferred.fromCoroutine(self._work())
            working.addErrback(lambda failure: self._log.failure("reporting runs", failure))

    def stop(self) -> None:
        """Drop the queued runs."""
        self._runs.clear()
        if self._reporting is not None:
            self._reporting.cancel()

    async def _work(self) -> None:
        try:
            while self._runs:
                task, report, at = self._runs.popleft()
                for observer in self._observers:
                    self._reporting = Deferred.fromCoroutine(observer.run_seen(task, report, at))
                    try:
                        await self._reporting.addTimeout(LIMIT, self._reactor)
                    except CancelledError:
                        return
                    except DeliveryError as error:
                        self._log.warn(
                            "a check-in of {task} was not accepted: {words}", task=task.name, words=error.words
                        )
                    except TimeoutError:
                        self._log.warn("a check-in of {task} was not accepted: no answer in time", task=task.name)
                    except Exception:
                        self._log.failure("unexpected error in a check-in of {task}", task=task.name)
        finally:
            self._working = False
            self._reporting = None
