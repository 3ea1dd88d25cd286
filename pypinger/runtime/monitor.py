"""
When tasks are checked: one ``LoopingCall`` per task, and a timer for what must not wait for it.

:mod:`~pypinger.runtime.work` does one thing at a time with each task, :mod:`~pypinger.runtime.timers` sets the timers,
and :mod:`~pypinger.runtime.check` makes the checks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from pypinger.domain.identity import task_of
from pypinger.domain.model import Seconds, Task, TaskState
from pypinger.domain.schedule import same_rules
from pypinger.ports.clock import WallClock
from pypinger.runtime.board import LiveBoard
from pypinger.runtime.check import Checker
from pypinger.runtime.clock import StepWatch
from pypinger.runtime.concurrency import after
from pypinger.runtime.fetches import CheckSettings
from pypinger.runtime.leases import unless_lost
from pypinger.runtime.loops import Loops
from pypinger.runtime.outbox import Outbox
from pypinger.runtime.rounds import HostRounds
from pypinger.runtime.stuck import stuck
from pypinger.runtime.timers import Timers
from pypinger.runtime.unseen import Unseen
from pypinger.runtime.watch import Phase, Watch


class Monitor:
    """
    Checks every task on time.

    :ivar rounds: checks the other tasks of a host that falls silent.
    """

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
        self._tasks = {task.key: task for task in tasks}
        self._watches = {task.key: Watch(task, TaskState()) for task in tasks}
        self._shared = False
        # Tasks that a reload removed and another instance may watch: the store has us leave them.
        self._unlisted: dict[str, Watch] = {}
        self._timers = Timers(reactor, now, checker, board, lambda: self._watches.values(), self._note)
        self._work = self._timers.work
        self._loops = Loops(reactor, self._work.begin)
        self.rounds = HostRounds(outbox, self._work.begin)
        self.rounds.update(self._watches.values())
        self._steps = StepWatch(reactor, now, self._rearm)
        self._unseen = Unseen(reactor, now, board, tasks)
        self._sweeping = LoopingCall(self._sweep)
        self._sweeping.clock = reactor
        self._closing: list[Deferred[None]] = []
        self._started: Seconds = reactor.seconds()
        checker.blindness.update(tasks)
        board.add_source(self.stuck)

    def resume(self, states: Mapping[str, TaskState]) -> None:
        """Take up the states that the store kept, and close the incidents of tasks that are no longer configured."""
        for key, state in states.items():
            watch = self._watches.get(key)
            if self._shared and key in self._tasks:
                self._add(Watch(self._tasks[key], state))
            elif watch is not None:
                watch.adopt(state)
                watch.recall_silence()
                self._board.show(watch.task, state)
            else:
                self._close_open(key, state)

    def share(self, alive: Callable[[], bool]) -> None:
        """
        Watch only the tasks that :meth:`resume` and :meth:`take` give from now on.

        :param alive: whether a check may begin now.
        """
        self._shared, self._watches = True, {}
        self.rounds.update(())
        self._work.ask_before(alive)

    def take(self, states: Mapping[str, TaskState], unlisted: Collection[str] = ()) -> None:
        """
        Watch these tasks, too, and close the incidents of those that are `unlisted`: no instance has configured them.

        A check that is due is made at once, any other when the instance that watched the task before would have.
        """
        now, taken = self._now(), []
        # One of these may be due much sooner than those before.
        self._started = self._reactor.seconds()
        for key, state in states.items():
            task = self._tasks.get(key)
            if task is None:
                if key in unlisted:  # Else a reload has just removed it, and another instance gets it.
                    self._close_open(key, state)
            elif key not in self._watches:
                watch = Watch(task, state)
                self._add(watch)
                if task.url is None:
                    self._begin_pushes(watch)
                else:
                    self._loops.take_over(watch, now, len(self._watches))
                taken.append(watch)
        self._timers.arm_each(taken)

    async def leave(self, keys: Collection[str]) -> None:
        """Watch these tasks no longer; returns when nothing of them is under way."""
        ending = list(self._closing)
        for key in keys:
            watch = self._watches.pop(key, None) or self._unlisted.pop(key, None)
            if watch is not None:
                watch.end()
                if watch.running is not None:
                    ending.append(after(watch.running))
                self._loops.quiet(watch)
                self.rounds.discard(watch)
                self._board.leave(watch.task)
        await DeferredList(ending)

    def watches(self, key: str) -> bool:
        """Whether the task is watched here."""
        return key in self._watches

    @property
    def keys(self) -> list[str]:
        """The tasks that are watched here, or were until a reload removed them."""
        return [*self._watches, *self._unlisted]

    def cancel_all(self) -> None:
        """Cancel the checks under way; what is being recorded will fail."""
        for watch in list(self._watches.values()):
            if watch.running is not None and watch.phase is not Phase.RECORDING:
                watch.running.cancel()

    def start(self) -> None:
        """Begin to check, the first checks spread evenly."""
        self._started = self._reactor.seconds()
        self._steps.start()
        self._sweeping.start(1.0, now=False)
        self._checker.blindness.start(self._timers.seen_again)
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
        self._tasks = {task.key: task for task in tasks}
        for task in tasks:
            watch = gone.pop(task.key, None)
            if watch is None and self._shared:
                self._list_again(task)
                continue
            if watch is None:
                begin.append(watch := Watch(task, TaskState()))
            elif watch.task != task and self._change(watch, task):
                begin.append(watch)
            self._watches[task.key] = watch
        self._checker.blindness.update(tasks)
        self.rounds.update(self._watches.values())
        for watch in gone.values():
            self._end(watch)
        self._board.update(tasks)
        self._unseen.look(anew=True)
        self._spread(begin)
        # There may be channels that are to be told of open incidents.
        self._timers.arm_all()

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
        self._work.stop()
        self._steps.stop()
        if self._sweeping.running:
            self._sweeping.stop()
        watches = [*self._watches.values(), *self._unlisted.values()]
        ending = [after(watch.running) for watch in watches if watch.running is not None]
        ending += self._closing
        self._checker.fetches.stop()
        for watch in self._watches.values():
            self._loops.quiet(watch)
        self._checker.stop()
        await DeferredList(ending)

    def stuck(self) -> str | None:
        """Return a line about checks that make no progress, or None."""
        fetches = self._checker.fetches
        since = max(self._started, fetches.progress)
        return stuck(self._board.checked_within, fetches.under_way, self._reactor.seconds(), since)

    def _spread(self, watches: Sequence[Watch]) -> None:
        """Begin to check these, the first checks spread evenly; those that push are judged from what is kept."""
        self._loops.spread([watch for watch in watches if watch.task.url is not None])
        for watch in watches:
            if watch.task.url is None:
                self._begin_pushes(watch)
            if not watch.busy:
                self._timers.arm(watch)

    def _begin_pushes(self, watch: Watch) -> None:
        watch.begin_pushes(self._reactor.seconds())
        if self._checker.misjudged(watch):
            self._timers.judge_again(watch)

    def _add(self, watch: Watch) -> None:
        self._watches[watch.task.key] = watch
        self.rounds.add(watch)
        self._board.take(watch.task, watch.state)
        watch.recall_silence()

    def _list_again(self, task: Task) -> None:
        """Watch a task that is back before the store had us leave it."""
        watch = self._unlisted.get(task.key)
        if watch is not None:
            ended = succeed(None) if watch.running is None else after(watch.running)
            ended.addCallback(lambda _: self._take_back(watch))

    def _take_back(self, watch: Watch) -> None:
        key = watch.task.key
        if self._unlisted.get(key) is watch and key in self._tasks:
            del self._unlisted[key]
            self.take({key: watch.state})

    def _change(self, watch: Watch, task: Task) -> bool:
        """
        Use other settings; a new interval counts from the latest check.

        :returns: whether the next check is overdue, or to be made soon, so that it is still to be scheduled.
        """
        before = watch.use(task)
        if task.url is None:
            self._timers.judge_again(watch)
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
            self._timers.arm(watch)
        return False

    def _end(self, watch: Watch) -> None:
        """Stop checking, and close the incident once the check under way is recorded, unless others may watch it."""
        watch.end()
        running = watch.running
        self._loops.quiet(watch)
        if self._shared:
            self._unlisted[watch.task.key] = watch
        elif running is not None:
            after(running).addCallback(lambda _: self._close(watch.task, watch.state))
        else:
            self._close(watch.task, watch.state)

    def _close_open(self, key: str, state: TaskState) -> None:
        """Close what is open of a task that is no longer configured."""
        if state.incident is not None or state.owed is not None or state.configured is not None:
            self._close(task_of(key), state)

    def _close(self, task: Task, state: TaskState) -> None:
        closing = Deferred.fromCoroutine(self._checker.close(task, state))
        closing.addErrback(unless_lost(lambda failure: self._log.failure("closing {task}", failure, task=task.name)))
        if not closing.called:
            self._closing.append(closing)
            closing.addBoth(lambda _: self._closing.remove(closing))

    def silences_changed(self) -> None:
        """A silence has begun or ended."""
        self._board.silences_changed()
        self._timers.arm_all()

    def check_now(self, key: str) -> Deferred[None]:
        """Check a task now, or wait for the check that is under way; fires when it is recorded."""
        watch = self._watches[key]
        running = watch.running if watch.busy else self._work.begin(watch)
        return succeed(None) if running is None else after(running)

    async def perform(self, key: str, work: Callable[[Watch], Coroutine[Deferred[Any], Any, None]]) -> None:
        """Do something with a task once what is under way is recorded; nothing if it is no longer watched then."""
        await self._work.perform(self._watches[key], work)

    async def acknowledge(self, key: str, by: str, reason: str) -> bool:
        """Record that somebody takes care of a task's incident; returns whether that was done."""
        done = False

        async def work(watch: Watch) -> None:
            nonlocal done
            await self._checker.acknowledge(watch, by, reason)
            done = True

        await self.perform(key, work)
        return done

    def _note(self, watch: Watch, before: TaskState) -> None:
        self.rounds.note(watch, before)

    def _sweep(self, *, anew: bool = False) -> None:
        try:
            if self._work.make_up():
                self._timers.arm_all()
            self._unseen.look(anew=anew)
        except Exception:
            self._log.failure("beginning checks that were skipped, or marking tasks that are not seen")

    def _rearm(self, step: Seconds) -> None:
        """Set all timers again after a step of the wall clock."""
        self._checker.clock_stepped(step)
        self._sweep(anew=True)
        self._timers.arm_all()
