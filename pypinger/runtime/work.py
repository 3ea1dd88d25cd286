"""
What is under way for each task: a check, or another change of its state.

Note [One check at a time]
~~~~~~~~~~~~~~~~~~~~~~~~~~
A task is checked by its loop every ``interval`` seconds and by its timer at its verdict's ``next_change``. Both call
:meth:`Work.begin`, which does nothing while a check of that task is under way: the end of a check sets the timer
again, so nothing is missed. A reminder also waits for a check under way.

A check has two halves. The first (waiting for a permit, fetching, asking other hosts) may be cancelled at any time. The
second (judging, recording) is never cancelled: once an alert is committed, the outbox must send it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pypinger.domain.model import TaskState
from pypinger.ports.sharing import LeaseLost
from pypinger.runtime.check import Checker
from pypinger.runtime.concurrency import after
from pypinger.runtime.watch import Phase, Watch


class Work:
    """
    Does one thing at a time with each task.

    :param noted: called after work that did not fail, with the state before it.
    :param over: called when work is over, whatever its result.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        checker: Checker,
        noted: Callable[[Watch, TaskState], None],
        over: Callable[[Watch], None],
    ) -> None:
        self._reactor = reactor
        self._checker = checker
        self._noted = noted
        self._over = over
        self._stopping = False
        self._alive: Callable[[], bool] = lambda: True
        # Whether something was not begun since this instance may not, and the checks among it.
        self._waiting = False
        self._skipped: list[Watch] = []

    def ask_before(self, alive: Callable[[], bool]) -> None:
        """Ask `alive` before each check; while it returns False, none begins."""
        self._alive = alive

    def may_begin(self) -> bool:
        """Whether anything may begin now; if not, :meth:`make_up` returns True once it may."""
        if not self._alive():
            self._waiting = True
        return not self._stopping and not self._waiting

    def make_up(self) -> bool:
        """Begin the checks that were skipped, if they may begin; returns whether timers are to be set again."""
        if not self._waiting or self._stopping or not self._alive():
            return False
        self._waiting = False
        skipped, self._skipped = self._skipped, []
        for watch in skipped:
            self.begin(watch)
        return True

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopping = True

    @property
    def stopping(self) -> bool:
        """Whether nothing more is begun."""
        return self._stopping

    def begin(self, watch: Watch) -> Deferred[None] | None:
        """Begin a check unless one is under way: see Note [One check at a time]."""
        if watch.busy or watch.gone or self._stopping:
            return None
        if not self.may_begin():
            self._skipped.append(watch)
            return None
        watch.begin(self._reactor.seconds())
        return self.run(watch, self._checker.check(watch))

    def run(self, watch: Watch, work: Coroutine[Deferred[Any], Any, None]) -> Deferred[None] | None:
        """
        Do `work` and nothing else with this task meanwhile.

        :returns: fires with None when it is over, whatever its result; None if it is over already.
        """
        watch.enter(Phase.QUEUED)
        running = Deferred.fromCoroutine(self._work(watch, work))
        if not watch.busy:
            return None
        watch.run(running)
        return running

    async def perform(self, watch: Watch, work: Callable[[Watch], Coroutine[Deferred[Any], Any, None]]) -> None:
        """Do something with a task once what is under way is recorded; nothing if it is no longer watched then."""
        while watch.busy and watch.running is not None:
            await after(watch.running)
        running = None if watch.gone or self._stopping else self.run(watch, work(watch))
        if running is not None:
            await after(running)

    async def _work(self, watch: Watch, work: Coroutine[Deferred[Any], Any, None]) -> None:
        before = watch.state
        try:
            try:
                await work
                self._noted(watch, before)
            finally:
                watch.idle()
                self._over(watch)
        except CancelledError:
            pass
        except LeaseLost as lost:
            self._log.debug("{task} is not recorded: {words}", task=watch.task.name, words=str(lost))
        except Exception:
            # A bug must not end the loop.
            self._log.failure("checking {task}", task=watch.task.name)
