"""The loops: when each task's first check begins, and that the others follow at its interval (contract, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from pypinger.domain.model import Instant, Seconds, Task
from pypinger.runtime.watch import Phase, Watch

#: With at least this many tasks, first checks begin in slots, SLOTS a second.
MANY = 2000
SLOTS = 20

#: How late a loop may start, in seconds.
LATE: Seconds = 0.05


#: Multiples of it, without the whole, are evenly spread however many there are.
GOLDEN = 0.618033988749895

#: How many overdue checks a second begin after blindness, and after another instance.
OVERDUE_RATE = 1000


class Loops:
    """
    Starts and stops the loops.

    :param begin: begins a check, and returns when it is over.
    """

    def __init__(self, reactor: IReactorTime, begin: Callable[[Watch], Deferred[None] | None]) -> None:
        self._reactor = reactor
        self._begin = begin
        self._new = 0
        # When the next of many overdue checks may begin.
        self._overdue: Seconds = 0.0

    def spread(self, watches: Sequence[Watch]) -> None:
        """Start these at their offsets from now, regardless of how long the scheduling takes."""
        start = self._reactor.seconds()
        for watch, offset in zip(watches, offsets([watch.task for watch in watches]), strict=True):
            self.schedule(watch, max(0.0, start + offset - self._reactor.seconds()))

    def take_over(self, watch: Watch, now: Instant, count: int) -> None:
        """
        Start the loop of a task that another instance has checked so far.

        An overdue check is made at once, but at most OVERDUE_RATE a second; any other when it would have been made. New
        tasks begin spread evenly.

        :param now: the wall-clock time.
        :param count: how many tasks there are.
        """
        task, checked, seconds = watch.task, watch.state.checked, self._reactor.seconds()
        if checked is None:
            self._new += 1
            self.schedule(watch, self._new * GOLDEN % 1.0 * min(task.interval, max(10.0, count / 100)))
            return
        delay = min(checked + task.interval - now, task.interval)
        if delay > 0 and not watch.overdue(now):
            watch.continue_from(seconds + delay - task.interval)
        else:
            self._overdue = max(self._overdue, seconds)
            delay = int((self._overdue - seconds) * SLOTS) / SLOTS
            self._overdue += 1 / OVERDUE_RATE
        self.schedule(watch, delay)

    def schedule(self, watch: Watch, delay: Seconds) -> None:
        """Start one after so many seconds."""
        # The loop itself is made when it starts: another instance may hand over thousands of tasks at once.
        watch.set_loop(None, self._reactor.callLater(delay, self._start, watch, self._reactor.seconds() + delay))

    def quiet(self, watch: Watch, *, cancel: bool = True) -> None:
        """
        Stop the loop and the timers of a task.

        :param cancel: whether the work under way is cancelled, too, unless it is being recorded.
        """
        # A loop refers to the watch. What was frozen is freed only without a cycle: see pypinger.runtime.collector.
        watch.set_loop(None, None)
        watch.set_timer(None)
        if cancel and watch.phase is not Phase.RECORDING and watch.running is not None:
            watch.running.cancel()

    def _start(self, watch: Watch, due: Seconds) -> None:
        interval, late = watch.task.interval, self._reactor.seconds() - due
        if not LATE <= late < interval:
            loop = LoopingCall(self._begin, watch)
            loop.clock = self._reactor
            watch.set_loop(loop, None)
            loop.start(interval)
            return
        # A loop that starts late stays late by as much, so this one starts with the next check.
        first = self._reactor.callLater(interval - late, self._start, watch, due + interval)
        watch.set_loop(None, first)
        self._begin(watch)


def offsets(tasks: Sequence[Task]) -> list[Seconds]:
    """
    Return when each task is checked first, in seconds after the start (contract, section 3).

    The checks of thousands of tasks begin together in slots: each separate wake-up costs the process, and the server,
    about as much as a check.
    """
    count = len(tasks)
    exact = [index / count * min(task.interval, max(10.0, count / 100)) for index, task in enumerate(tasks)]
    return exact if count < MANY else [int(offset * SLOTS) / SLOTS for offset in exact]
