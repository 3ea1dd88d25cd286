"""
Tells channels that want to know of every run of every task (Sentry's cron monitors). Best effort: what cannot be told
is logged and forgotten, and a channel that is slow loses the oldest, since a late check-in is worth little.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pypinger.domain.model import Instant, Report, Seconds, Task
from pypinger.ports.notifying import DeliveryError, RunObserver

#: How many runs may wait to be told.
ROOM = 10_000

#: How long telling one may take, in seconds.
LIMIT: Seconds = 20.0


class RunFeed:
    """Tells each run to each observer, one after the other."""

    _log = Logger()

    def __init__(self, reactor: IReactorTime, observers: Sequence[RunObserver]) -> None:
        self._reactor = reactor
        self._observers = observers
        self._runs: deque[tuple[Task, Report, Instant]] = deque(maxlen=ROOM)
        self._working = False
        self._telling: Deferred[None] | None = None

    def update(self, observers: Sequence[RunObserver]) -> None:
        """Tell these from now on."""
        self._observers = observers

    def seen(self, task: Task, report: Report, at: Instant) -> None:
        """A report with a ``lastrun`` not seen before has come."""
        if not self._observers:
            return
        self._runs.append((task, report, at))
        if not self._working:
            self._working = True
            working = Deferred.fromCoroutine(self._work())
            working.addErrback(lambda failure: self._log.failure("telling of runs", failure))

    def stop(self) -> None:
        """Forget what was not told yet."""
        self._runs.clear()
        if self._telling is not None:
            self._telling.cancel()

    async def _work(self) -> None:
        try:
            while self._runs:
                task, report, at = self._runs.popleft()
                for observer in self._observers:
                    self._telling = Deferred.fromCoroutine(observer.run_seen(task, report, at))
                    try:
                        await self._telling.addTimeout(LIMIT, self._reactor)
                    except CancelledError:
                        return
                    except DeliveryError as error:
                        self._log.warn("a check-in of {task} was not taken: {words}", task=task.name, words=error.words)
                    except TimeoutError:
                        self._log.warn("a check-in of {task} was not taken: no answer in time", task=task.name)
                    except Exception:
                        self._log.failure("a check-in of {task}", task=task.name)
        finally:
            self._working = False
            self._telling = None
