"""The timers of tasks: checks at ``next_change``, reminders and all else that must not wait for a task's loop."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pypinger.domain.model import Instant, Seconds, TaskState
from pypinger.domain.reminders import digest_span
from pypinger.ports.clock import WallClock
from pypinger.runtime.board import LiveBoard
from pypinger.runtime.check import Checker
from pypinger.runtime.loops import OVERDUE_RATE
from pypinger.runtime.watch import MARGIN, Watch
from pypinger.runtime.work import Work

#: Later than every moment.
INFINITY: Instant = float("inf")


class Timers:
    """
    Sets the timer of each task.

    :param watches: returns the tasks under watch.
    :param noted: see :class:`~pypinger.runtime.work.Work`.
    :ivar work: does what the timers ask for, and what others do.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        now: WallClock,
        checker: Checker,
        board: LiveBoard,
        watches: Callable[[], Collection[Watch]],
        noted: Callable[[Watch, TaskState], None],
    ) -> None:
        self._reactor = reactor
        self._now = now
        self._checker = checker
        self._board = board
        self._watches = watches
        self.work = Work(reactor, checker, noted, self.arm)

    def arm(self, watch: Watch) -> None:
        """Set the timer for the next check or reminder that the loop does not make."""
        self._arm(watch, self._now(), over=not self.work.may_begin())

    def arm_each(self, watches: Iterable[Watch]) -> None:
        """Set the timers of those with which nothing is under way; of few tasks, as the clock is read once."""
        now, over = self._now(), not self.work.may_begin()
        for watch in watches:
            if not watch.busy:
                self._arm(watch, now, over=over)

    def _arm(self, watch: Watch, now: Instant, *, over: bool) -> None:
        blind, muted = self._checker.condition.blind, self._board.muted(watch.task, watch.state)
        watch.mute(muted)
        joining = self._checker.next_joining(watch, now)
        seconds = self._reactor.seconds()
        delay = None if over or watch.gone else watch.until_due(now, seconds, blind=blind, muted=muted, joining=joining)
        timer = watch.timer
        if delay is None:
            watch.set_timer(None)
        elif timer is None:
            watch.set_timer(self._reactor.callLater(delay, self._ring, watch))
        elif abs(timer.getTime() - seconds - delay) > MARGIN / 2:
            timer.reset(delay)

    def arm_all(self) -> None:
        """Set the timers of all tasks with which nothing is under way."""
        for watch in self._watches():
            if not watch.busy:
                self.arm(watch)

    def seen_again(self) -> None:
        """Set all timers after blindness; overdue checks are made at once, but at most OVERDUE_RATE a second."""
        now, seconds = self._now(), self._reactor.seconds()
        overdue = 0
        for watch in self._watches():
            if watch.busy:
                continue
            if watch.overdue(now):
                watch.let(seconds + overdue / OVERDUE_RATE)
                overdue += 1
            self.arm(watch)

    def judge_again(self, watch: Watch) -> None:
        """Judge a push task from what is kept."""
        judging = Deferred.fromCoroutine(self.work.perform(watch, self._checker.judge_again))
        judging.addErrback(lambda failure: self._log.failure("judging {task}", failure, task=watch.task.name))

    def _ring(self, watch: Watch) -> None:
        watch.set_timer(None)
        if watch.busy:
            return
        now, seconds = self._now(), self._reactor.seconds()
        blind, muted = self._checker.condition.blind, self._board.muted(watch.task, watch.state)
        if watch.overdue(now) and seconds >= watch.rested():
            watch.take_turn(seconds)
            if watch.task.url is None:
                self.judge_again(watch)
            else:
                self.work.begin(watch)
        elif watch.untold(blind=blind, muted=muted):
            watch.hear_again()
            self.work.run(watch, self._checker.unmute(watch))
        elif not blind and not muted and watch.reminds(now):
            self._remind(digest_span(watch.task), now)
        elif not blind and not muted and (self._checker.next_joining(watch, now) or INFINITY) <= now:
            self.work.run(watch, self._checker.join(watch))
        else:
            if watch.task.url is None and not blind:
                self._checker.account(watch)
            self.arm(watch)

    def _remind(self, early: Seconds, now: Instant) -> None:
        """Send the reminders that are due, and those that are due soon with them, for one digest to tell all."""
        for watch in list(self._watches()):
            if watch.state.incident is None or watch.busy or self._board.muted(watch.task, watch.state):
                continue
            if watch.silenced:
                # The end of its silence tells it.
                continue
            if watch.reminds(now, early):
                self.work.run(watch, self._checker.remind(watch, early))
