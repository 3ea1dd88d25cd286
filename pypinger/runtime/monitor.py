"""
The monitor: one ``LoopingCall`` per task, and a timer for what must not wait for it.

It owns each task's state and is the only one to change it: a check at a time, from the wire to the store. What a report
means is the domain's business, how it is fetched the client's, and what becomes of an alert the outbox's.

Note [One check at a time]
~~~~~~~~~~~~~~~~~~~~~~~~~~
A task is checked by its loop every ``interval`` seconds and by its timer at its verdict's ``next_change``. Both go
through :meth:`Monitor._begin`, which does nothing while a check of that task is under way: the end of the check arms
the timer anew, so that nothing is missed. A reminder, too, waits for a check under way: the check's own step reminds.

A check has two halves. The first (waiting for a place, fetching) may be cancelled at any time. The second (judging,
recording) is never cancelled: once an alert is committed, the outbox must hear of it.

This is the road that everything takes all day, so it is made of one Deferred: plain coroutines below it, and no call
back to wait for where nothing has to be waited for.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any, cast

from msgspec.structs import replace
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from pypinger.domain import incidents
from pypinger.domain.judge import judge
from pypinger.domain.model import Alert, Check, Finding, NoAnswer, Observation, Seconds, Task, TaskState
from pypinger.domain.redaction import Secrets
from pypinger.domain.times import iso, span
from pypinger.domain.url import label, task_id
from pypinger.ports.clock import WallClock
from pypinger.ports.fetching import Fetcher
from pypinger.ports.storing import Store
from pypinger.runtime.board import Board
from pypinger.runtime.clock import StepWatch
from pypinger.runtime.lookout import Lookout
from pypinger.runtime.outbox import Outbox
from pypinger.runtime.places import Places
from pypinger.runtime.runs import RunFeed
from pypinger.runtime.timetable import Timetable
from pypinger.runtime.watch import MARGIN, Watch, offsets

#: The least time in seconds between a check and the next one at its ``next_change``, so that no report can make a
#: task be checked without pause. Less than the second within which such a check is promised (contract, section 2).
BREATH: Seconds = 0.75

#: A check that takes this many seconds longer than its timeout is stuck.
STUCK: Seconds = 60.0


def _after(running: Deferred[None]) -> Deferred[None]:
    """Fire when `running` has, without taking its result from those who come later."""
    over: Deferred[None] = Deferred()
    running.chainDeferred(over)
    return over


class Monitor:
    """
    Checks every task on time.

    :param concurrency: how many checks may be under way at once.
    :param secrets: never to be shown, even if an endpoint says them back to us.
    :param log_judged: whether each judged time is logged (``debug_now``).
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        now: WallClock,
        tasks: Sequence[Task],
        fetcher: Fetcher,
        store: Store,
        outbox: Outbox,
        board: Board,
        runs: RunFeed,
        *,
        concurrency: int,
        secrets: Secrets,
        log_judged: bool = False,
    ) -> None:
        self._reactor = reactor
        self._timetable = Timetable(reactor)
        self._now = now
        self._fetcher = fetcher
        self._store = store
        self._outbox = outbox
        self._board = board
        self._runs = runs
        self._places = Places(concurrency)
        self._secrets = secrets
        self._log_judged = log_judged
        self._watches = {task.url: Watch(task, TaskState()) for task in tasks}
        self._by_origin: dict[str, list[Watch]] = {}
        for watch in self._watches.values():
            self._by_origin.setdefault(watch.origin, []).append(watch)
        self._steps = StepWatch(reactor, now, self._rearm)
        self._stopping = False
        self._closing: list[Deferred[None]] = []
        self._progress: Seconds = 0.0
        self._lookout = Lookout(reactor, now, store, outbox, board, self._probe)
        board.add_source(self.stuck)

    def resume(self, states: Mapping[str, TaskState]) -> None:
        """Go on with the states that the store kept from before; close the incidents of tasks that are gone."""
        for url, state in states.items():
            watch = self._watches.get(url)
            if watch is not None:
                watch.state = state
                self._board.show(watch.task, state)
            elif state.incident is not None:
                self._close(Task(url=url, id=task_id(url), name=label(url), label=label(url)), state)

    def start(self) -> None:
        """Begin to check, the first checks spread evenly."""
        self._progress = self._reactor.seconds()
        self._steps.start()
        self._spread(list(self._watches.values()))

    def update(self, tasks: Sequence[Task]) -> None:
        """
        Watch these tasks from now on (contract, section 8: a reload).

        Those that are the same keep everything, those whose settings changed keep their state, those that are gone
        lose their check under way and get their incident closed, and new ones begin spread evenly.
        """
        before, now_watched = self._watches, {}
        begin, gone = [], dict(before)
        for task in tasks:
            watch = gone.pop(task.url, None)
            if watch is None:
                begin.append(watch := Watch(task, TaskState()))
            elif watch.task != task:
                self._change(watch, task)
            now_watched[task.url] = watch
        self._watches = now_watched
        self._by_origin = {}
        for watch in now_watched.values():
            self._by_origin.setdefault(watch.origin, []).append(watch)
        for watch in gone.values():
            self._end(watch)
        self._lookout.forget({watch.origin for watch in gone.values()} - self._by_origin.keys())
        self._board.update(tasks)
        self._spread(begin)

    def reconfigure(self, fetcher: Fetcher, *, concurrency: int, secrets: Secrets, log_judged: bool) -> Deferred[None]:
        """
        Check in this way from now on; checks under way go on as they began.

        :returns: fires once none of them uses the fetcher from before.
        """
        under_way = [watch.running for watch in self._watches.values() if watch.running is not None]
        self._fetcher, self._secrets, self._log_judged = fetcher, secrets, log_judged
        self._places.limit = concurrency
        self._places.let_in()
        over: Deferred[None] = DeferredList([_after(running) for running in under_way]).addCallback(lambda _: None)
        return over

    async def stop(self) -> None:
        """Begin no more checks, cancel those under way, and wait until what they found is recorded."""
        self._stopping = True
        self._steps.stop()
        ending = [_after(watch.running) for watch in self._watches.values() if watch.running is not None]
        ending += self._closing
        for watch in self._watches.values():
            self._quiet(watch)
        self._lookout.stop()
        await DeferredList(ending)

    def stuck(self) -> str | None:
        """Say in words that checks make no progress, or None while they do."""
        if not self._watches:
            return None
        now = self._reactor.seconds()
        quiet = now - self._progress
        patience = min(2 * watch.task.interval + watch.task.timeout for watch in self._watches.values()) + STUCK
        if quiet > patience:
            return f"checks are stuck: none has been completed for {span(quiet)}"
        hanging = [
            watch
            for watch in self._watches.values()
            if watch.fetching and not watch.queued and now - watch.began > watch.task.timeout + STUCK
        ]
        if hanging:
            return f"{len(hanging)} checks are stuck, that of {hanging[0].task.name} for {span(now - hanging[0].began)}"
        return None

    def _spread(self, watches: Sequence[Watch]) -> None:
        """Begin to check these, at their offsets from now, however long it takes to schedule them all."""
        start = self._reactor.seconds()
        for watch, offset in zip(watches, offsets([watch.task for watch in watches]), strict=True):
            self._schedule(watch, max(0.0, start + offset - self._reactor.seconds()))
            self._arm(watch)

    def _schedule(self, watch: Watch, delay: Seconds) -> None:
        watch.loop = LoopingCall(self._begin, watch)
        watch.loop.clock = cast(IReactorTime, self._timetable)
        watch.first = self._reactor.callLater(delay, self._start_loop, watch)

    def _start_loop(self, watch: Watch) -> None:
        watch.first = None
        assert watch.loop is not None
        watch.loop.start(watch.task.interval)

    def _change(self, watch: Watch, task: Task) -> None:
        """Go on with other settings; a new interval counts from the latest check."""
        before, watch.task = watch.task, task
        watch.reading = None
        if before.interval != task.interval:
            self._quiet(watch, cancel=False)
            self._schedule(watch, max(0.0, watch.began + task.interval - self._reactor.seconds()))
        if not watch.busy:
            self._arm(watch)

    def _end(self, watch: Watch) -> None:
        """Check it no more, and close its incident once what is under way is recorded."""
        watch.gone = True
        running = watch.running
        self._quiet(watch)
        if running is not None:
            _after(running).addCallback(lambda _: self._close(watch.task, watch.state))
        else:
            self._close(watch.task, watch.state)

    def _close(self, task: Task, state: TaskState) -> None:
        state, alerts = incidents.close(task, state, self._now(), "it was removed from the configuration")
        if alerts:
            closing = Deferred.fromCoroutine(self._commit(task, state, None, alerts))
            closing.addErrback(lambda failure: self._log.failure("closing {task}", failure, task=task.name))
            self._closing.append(closing)
            closing.addBoth(lambda _: self._closing.remove(closing))

    def _quiet(self, watch: Watch, *, cancel: bool = True) -> None:
        """Let nothing begin by itself any more."""
        for call in (watch.first, watch.timer):
            if call is not None:
                call.cancel()
        watch.first = watch.timer = None
        if watch.loop is not None and watch.loop.running:
            watch.loop.stop()
        if cancel and watch.fetching and watch.running is not None:
            watch.running.cancel()

    def _probe(self, origins: Iterable[str]) -> None:
        for each in origins:
            idle = next((watch for watch in self._by_origin.get(each, ()) if not watch.busy), None)
            if idle is not None:
                self._begin(idle)

    def _begin(self, watch: Watch) -> Deferred[None] | None:
        """Begin a check unless one is under way: see Note [One check at a time]."""
        if watch.busy or watch.gone or self._stopping:
            return None
        watch.began = self._reactor.seconds()
        # A check that comes to no verdict must not be repeated at once.
        watch.rest = watch.began + watch.task.interval
        return self._run(watch, self._check(watch))

    def _run(self, watch: Watch, work: Coroutine[Deferred[Any], Any, None]) -> Deferred[None] | None:
        """
        Let nothing else touch the task until `work` is done.

        :returns: fires with None then, whatever happened; None if it is done already.
        """
        watch.busy = True
        running = Deferred.fromCoroutine(self._work(watch, work))
        if not watch.busy:
            return None
        watch.running = running
        return running

    async def _work(self, watch: Watch, work: Coroutine[Deferred[Any], Any, None]) -> None:
        try:
            try:
                await work
            finally:
                watch.busy = watch.fetching = False
                watch.running = None
                self._arm(watch)
        except CancelledError:
            pass
        except Exception:
            # Whatever it is, the loop goes on.
            self._log.failure("checking {task}", task=watch.task.name)

    async def _check(self, watch: Watch) -> None:
        """One check, from the wire to the store."""
        task = watch.task
        watch.fetching = True
        observation = await self._fetch(watch)
        watch.fetching = False
        self._progress = self._reactor.seconds()
        reading = None
        if isinstance(observation, NoAnswer):
            failure = replace(observation, words=self._secrets.scrub(observation.words))
            if not await self._lookout.is_theirs(task, watch.origin, watch.began, failure):
                return
            finding: Finding = failure
        else:
            self._lookout.answered(watch.origin)
            reading = watch.read(observation, self._secrets)
            finding = reading.finding
        now = self._now()
        before = watch.state
        verdict = judge(finding, task.grace, now)
        if self._log_judged:
            self._log.info("{task} judged at {now}: {kind}", task=task.name, now=iso(now), kind=verdict.kind.value)
        check = Check(now, observation.latency, finding, verdict)
        state, alerts = incidents.step(task, before, check)
        watch.rest = self._progress + BREATH
        await self._record(watch, state, check, alerts)
        # With settings that came in between, the same answer may lead to another verdict.
        watch.reading = reading if watch.task is task and reading is not None and reading.small else None
        self._board.checked(task, now, reading)
        seen = state.report
        if seen is not None and (before.report is None or before.report.lastrun != seen.lastrun):
            self._runs.seen(task, seen, now)

    async def _fetch(self, watch: Watch) -> Observation:
        """Wait for a place, then fetch; waiting is not part of the task's timeout (contract, section 3)."""
        places = self._places
        if not places.take_free():
            watch.queued = True
            try:
                await places.take()
            finally:
                watch.queued = False
        try:
            if self._stopping or watch.gone:
                raise CancelledError
            watch.began = self._reactor.seconds()
            return await self._fetcher.fetch(watch.task)
        finally:
            places.leave()

    async def _remind(self, watch: Watch) -> None:
        state, alerts = incidents.remind(watch.task, watch.state, self._now())
        if alerts:
            await self._record(watch, state, None, alerts)

    async def _record(self, watch: Watch, state: TaskState, check: Check | None, alerts: Sequence[Alert]) -> None:
        """Keep a new state and its alerts; only then show the one and send the others (contract, section 4)."""
        task, before = watch.task, watch.state
        if check is None or alerts or state.kind is not before.kind or state.incident != before.incident:
            await self._commit(task, state, check, alerts)
        else:
            self._store.note(task, state, check)
        watch.state = state
        if not watch.gone:
            # Not as it was configured when this began: a reload may have come in between.
            self._board.show(watch.task, state)

    async def _commit(self, task: Task, state: TaskState, check: Check | None, alerts: Sequence[Alert]) -> None:
        deliveries = self._outbox.address(alerts)
        await self._store.commit(task, state, check, deliveries)
        self._outbox.accept(alerts, deliveries)

    def _arm(self, watch: Watch) -> None:
        """Set the timer for the next moment at which something is due."""
        gone = self._stopping or watch.gone
        delay = None if gone else watch.until_due(self._now(), self._reactor.seconds())
        timer = watch.timer
        if delay is None:
            if timer is not None:
                timer.cancel()
                watch.timer = None
        elif timer is None:
            watch.timer = self._reactor.callLater(delay, self._ring, watch)
        elif abs(timer.getTime() - self._reactor.seconds() - delay) > MARGIN / 2:
            timer.reset(delay)

    def _ring(self, watch: Watch) -> None:
        watch.timer = None
        if watch.busy:
            return
        now = self._now()
        verdict = watch.state.verdict
        assert verdict is not None
        reminder = incidents.next_reminder(watch.task, watch.state, now)
        rested = self._reactor.seconds() >= watch.rest
        if verdict.next_change is not None and now >= verdict.next_change and rested:
            self._begin(watch)
        elif reminder is not None and now >= reminder:
            self._run(watch, self._remind(watch))
        else:
            self._arm(watch)

    def _rearm(self) -> None:
        for watch in self._watches.values():
            if not watch.busy:
                self._arm(watch)
