"""
When tasks are checked: one ``LoopingCall`` per task, and a timer for what must not wait for it.

:mod:`~pypinger.runtime.check` makes the checks.

Note [One check at a time]
~~~~~~~~~~~~~~~~~~~~~~~~~~
A task is checked by its loop every ``interval`` seconds and by its timer at its verdict's ``next_change``. Both call
:meth:`Monitor._begin`, which does nothing while a check of that task is under way: the end of a check sets the timer
again, so nothing is missed. A reminder also waits for a check under way.

A check has two halves. The first (waiting for a permit, fetching, asking other hosts) may be cancelled at any time. The
second (judging, recording) is never cancelled: once an alert is committed, the outbox must send it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from pypinger.domain.identity import task_of
from pypinger.domain.model import Instant, Seconds, Task, TaskState
from pypinger.domain.reminders import digest_span
from pypinger.domain.schedule import same_rules
from pypinger.ports.clock import WallClock
from pypinger.runtime.board import LiveBoard
from pypinger.runtime.check import Checker
from pypinger.runtime.clock import StepWatch
from pypinger.runtime.concurrency import after
from pypinger.runtime.fetches import CheckSettings
from pypinger.runtime.loops import Loops
from pypinger.runtime.outbox import Outbox
from pypinger.runtime.rounds import HostRounds
from pypinger.runtime.stuck import stuck
from pypinger.runtime.watch import MARGIN, Phase, Watch

#: Later than every moment.
INFINITY: Instant = float("inf")

#: How many overdue checks a second begin after blindness.
OVERDUE_RATE = 1000


class Monitor:
    """Checks every task on time."""

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        now: WallClock,
        tasks: Sequence[Task],
        checker: Checker,
        board: LiveBoard,
        outbox: Outbox,
    ) -> None:
        self._reactor = reactor
        self._now = now
        self._checker = checker
        self._board = board
        self._watches = {task.key: Watch(task, TaskState()) for task in tasks}
        self._loops = Loops(reactor, self._begin)
        self._rounds = HostRounds(outbox, self._begin)
        self._rounds.update(self._watches.values())
        self._steps = StepWatch(reactor, now, self._rearm)
        self._sweeping = LoopingCall(self._sweep)
        self._sweeping.clock = reactor
        self._stopping = False
        self._closing: list[Deferred[None]] = []
        self._started: Seconds = reactor.seconds()
        checker.blindness.update(tasks)
        board.add_source(self.stuck)

    def resume(self, states: Mapping[str, TaskState]) -> None:
        """Take up the states that the store kept, and close the incidents of tasks that are no longer configured."""
        for key, state in states.items():
            watch = self._watches.get(key)
            if watch is not None:
                watch.adopt(state)
                watch.mute(state.owed is not None or (state.incident is not None and not state.incident.told))
                self._board.show(watch.task, state)
            elif state.incident is not None or state.owed is not None or state.configured is not None:
                self._close(task_of(key), state)

    def start(self) -> None:
        """Begin to check, the first checks spread evenly."""
        self._started = self._reactor.seconds()
        self._steps.start()
        self._sweeping.start(1.0, now=False)
        self._checker.blindness.start(self._seen_again)
        self._spread(list(self._watches.values()))

    def update(self, tasks: Sequence[Task]) -> None:
        """
        Watch these tasks from now on (contract, section 8: a reload).

        Unchanged tasks keep everything, tasks with changed settings keep their state, removed tasks have their check
        cancelled and their incident closed. New ones, those whose check a shorter interval makes overdue, and those
        that are to be judged by other rules begin spread evenly.
        """
        before, self._watches = self._watches, {}
        begin, gone = [], dict(before)
        for task in tasks:
            watch = gone.pop(task.key, None)
            if watch is None:
                begin.append(watch := Watch(task, TaskState()))
            elif watch.task != task and self._change(watch, task):
                begin.append(watch)
            self._watches[task.key] = watch
        self._checker.blindness.update(tasks)
        self._rounds.update(self._watches.values())
        for watch in gone.values():
            self._end(watch)
        self._board.update(tasks)
        self._spread(begin)
        # There may be channels that are to be told of open incidents.
        self._rearm_all()

    def reconfigure(self, settings: CheckSettings) -> Deferred[None]:
        """
        Use other settings for checks to come; checks under way keep theirs.

        :returns: fires when no check uses the previous fetcher.
        """
        under_way = [watch.running for watch in self._watches.values() if watch.running is not None]
        self._checker.configure(settings)
        over: Deferred[None] = DeferredList([after(running) for running in under_way]).addCallback(lambda _: None)
        return over

    async def stop(self) -> None:
        """Begin no more checks, cancel those that fetch, and wait until the others are recorded."""
        self._stopping = True
        self._steps.stop()
        if self._sweeping.running:
            self._sweeping.stop()
        ending = [after(watch.running) for watch in self._watches.values() if watch.running is not None]
        ending += self._closing
        self._checker.fetches.stop()
        for watch in self._watches.values():
            self._loops.quiet(watch)
        self._checker.stop()
        await DeferredList(ending)

    def stuck(self) -> str | None:
        """Return a line about checks that make no progress, or None."""
        since = max(self._started, self._checker.fetches.progress)
        return stuck(self._watches.values(), self._reactor.seconds(), since)

    def _spread(self, watches: Sequence[Watch]) -> None:
        """Begin to check these, the first checks spread evenly; those that push are judged from what is kept."""
        self._loops.spread([watch for watch in watches if watch.task.url is not None])
        for watch in watches:
            if watch.task.url is None:
                watch.begin_pushes(self._reactor.seconds())
                if self._checker.misjudged(watch):
                    self._judge_again(watch)
            if not watch.busy:
                self._arm(watch)

    def _change(self, watch: Watch, task: Task) -> bool:
        """
        Use other settings; a new interval counts from the latest check.

        :returns: whether the next check is overdue, or to be made soon, so that it is still to be scheduled.
        """
        before, watch.task = watch.task, task
        if task.url is None:
            self._judge_again(watch)
            return False
        if watch.busy and not same_rules(before, task):
            watch.expire()
        elif not same_rules(before, task):
            self._loops.quiet(watch, cancel=False)
            return True
        if before.interval != task.interval:
            self._loops.quiet(watch, cancel=False)
            delay = watch.began + task.interval - self._reactor.seconds()
            if delay <= 0:
                return True
            self._loops.schedule(watch, delay)
        if not watch.busy:
            self._arm(watch)
        return False

    def _end(self, watch: Watch) -> None:
        """Stop checking, and close the incident once the check under way is recorded."""
        watch.gone = True
        running = watch.running
        self._loops.quiet(watch)
        if running is not None:
            after(running).addCallback(lambda _: self._close(watch.task, watch.state))
        else:
            self._close(watch.task, watch.state)

    def _close(self, task: Task, state: TaskState) -> None:
        closing = Deferred.fromCoroutine(self._checker.close(task, state))
        closing.addErrback(lambda failure: self._log.failure("closing {task}", failure, task=task.name))
        if not closing.called:
            self._closing.append(closing)
            closing.addBoth(lambda _: self._closing.remove(closing))

    def _begin(self, watch: Watch) -> Deferred[None] | None:
        """Begin a check unless one is under way: see Note [One check at a time]."""
        if watch.busy or watch.gone or self._stopping:
            return None
        watch.begin(self._reactor.seconds())
        return self._run(watch, self._checker.check(watch))

    def _run(self, watch: Watch, work: Coroutine[Deferred[Any], Any, None]) -> Deferred[None] | None:
        """
        Do `work` and nothing else with this task meanwhile.

        :returns: fires with None when it is over, whatever its result; None if it is over already.
        """
        watch.enter(Phase.QUEUED)
        running = Deferred.fromCoroutine(self._work(watch, work))
        if not watch.busy:
            return None
        watch.running = running
        return running

    async def _work(self, watch: Watch, work: Coroutine[Deferred[Any], Any, None]) -> None:
        before = watch.state.kind
        try:
            try:
                await work
                self._rounds.note(watch, before)
            finally:
                watch.enter(Phase.IDLE)
                watch.running = None
                self._arm(watch)
        except CancelledError:
            pass
        except Exception:
            # A bug must not end the loop.
            self._log.failure("checking {task}", task=watch.task.name)

    def _arm(self, watch: Watch) -> None:
        """Set the timer for the next check or reminder that the loop does not make."""
        gone, now = self._stopping or watch.gone, self._now()
        blind, muted = self._checker.condition.blind, self._board.muted(watch.task, watch.state)
        watch.mute(muted)
        joining = self._checker.next_joining(watch)
        seconds = self._reactor.seconds()
        delay = None if gone else watch.until_due(now, seconds, blind=blind, muted=muted, joining=joining)
        timer = watch.timer
        if delay is None:
            watch.set_timer(None)
        elif timer is None:
            watch.set_timer(self._reactor.callLater(delay, self._ring, watch))
        elif abs(timer.getTime() - seconds - delay) > MARGIN / 2:
            timer.reset(delay)

    def _ring(self, watch: Watch) -> None:
        watch.set_timer(None)
        if watch.busy:
            return
        now, seconds = self._now(), self._reactor.seconds()
        blind, muted = self._checker.condition.blind, self._board.muted(watch.task, watch.state)
        if watch.overdue(now) and seconds >= watch.rested():
            watch.take_turn(seconds)
            if watch.task.url is None:
                self._judge_again(watch)
            else:
                self._begin(watch)
        elif watch.untold(blind=blind, muted=muted):
            watch.hear_again()
            self._run(watch, self._checker.unmute(watch))
        elif not blind and not muted and watch.reminds(now):
            self._remind(digest_span(watch.task), now)
        elif not blind and not muted and (self._checker.next_joining(watch) or INFINITY) <= now:
            self._run(watch, self._checker.join(watch))
        else:
            if watch.task.url is None and not blind:
                self._checker.account(watch)
            self._arm(watch)

    def _remind(self, early: Seconds, now: Instant) -> None:
        """Send the reminders that are due, and those that are due soon with them, for one digest to tell all."""
        for watch in list(self._watches.values()):
            if watch.state.incident is None or watch.busy or self._board.muted(watch.task, watch.state):
                continue
            if watch.reminds(now, early):
                self._run(watch, self._checker.remind(watch, early))

    def silences_changed(self) -> None:
        """A silence has begun or ended."""
        self._board.silences_changed()
        self._rearm_all()

    def check_now(self, key: str) -> Deferred[None]:
        """Check a task now, or wait for the check that is under way; fires when it is recorded."""
        watch = self._watches[key]
        running = watch.running if watch.busy else self._begin(watch)
        return succeed(None) if running is None else after(running)

    async def perform(self, key: str, work: Callable[[Watch], Coroutine[Deferred[Any], Any, None]]) -> None:
        """Do something with a task once what is under way is recorded; nothing if it is no longer watched then."""
        await self._perform(self._watches[key], work)

    async def _perform(self, watch: Watch, work: Callable[[Watch], Coroutine[Deferred[Any], Any, None]]) -> None:
        while watch.busy and watch.running is not None:
            await after(watch.running)
        running = None if watch.gone or self._stopping else self._run(watch, work(watch))
        if running is not None:
            await after(running)

    async def acknowledge(self, key: str, by: str, reason: str) -> None:
        """Record that somebody takes care of a task's incident."""
        await self.perform(key, lambda watch: self._checker.acknowledge(watch, by, reason))

    def _judge_again(self, watch: Watch) -> None:
        """Judge a push task from what is kept."""
        judging = Deferred.fromCoroutine(self._perform(watch, self._checker.judge_again))
        judging.addErrback(lambda failure: self._log.failure("judging {task}", failure, task=watch.task.name))

    def _seen_again(self) -> None:
        """Set all timers after blindness; overdue checks are made at once, but at most OVERDUE_RATE a second."""
        now, seconds = self._now(), self._reactor.seconds()
        overdue = 0
        for watch in self._watches.values():
            if watch.busy:
                continue
            if watch.overdue(now):
                watch.let(seconds + overdue / OVERDUE_RATE)
                overdue += 1
            self._arm(watch)

    def _sweep(self, *, anew: bool = False) -> None:
        try:
            self._board.sweep(anew=anew)
        except Exception:
            self._log.failure("marking tasks that are not seen")

    def _rearm(self, step: Seconds) -> None:
        """Set all timers again after a step of the wall clock."""
        self._checker.clock_stepped(step)
        self._sweep(anew=True)
        self._rearm_all()

    def _rearm_all(self) -> None:
        for watch in self._watches.values():
            if not watch.busy:
                self._arm(watch)
