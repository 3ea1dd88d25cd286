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
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence

from twisted.internet.defer import CancelledError, Deferred, DeferredList, DeferredSemaphore
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from pypinger.domain import incidents, report
from pypinger.domain.judge import judge
from pypinger.domain.model import (
    Alert,
    Check,
    Event,
    Fault,
    NoAnswer,
    Observation,
    Seconds,
    Task,
    TaskState,
)
from pypinger.domain.redaction import redact
from pypinger.domain.times import iso, span
from pypinger.domain.urls import Secrets, origin
from pypinger.ports import Fetcher, Store, WallClock
from pypinger.runtime.board import Board
from pypinger.runtime.clock import StepWatch
from pypinger.runtime.outbox import Outbox
from pypinger.runtime.runs import RunFeed
from pypinger.runtime.sight import Sight, View

#: How long after a wall-clock moment its timer rings, in seconds, so that it never rings before it.
MARGIN: Seconds = 0.005

#: The least time in seconds between a check and the next one at its ``next_change``, so that no report can make a
#: task be checked without pause. Less than the second within which such a check is promised (contract, section 2).
BREATH: Seconds = 0.75

#: A check that takes this many seconds longer than its timeout is stuck.
STUCK: Seconds = 60.0

#: How many origins are asked at once whether they answer, before a failure is held to be the task's.
PROBES = 16

#: For how many seconds beyond its timeout a failure may be held back while others are asked.
PROBE_SLACK: Seconds = 5.0

# Failures that show that somebody was reached, and those that do not. With the others nobody was asked.
_REACHED = frozenset({Fault.TLS, Fault.REDIRECTS, Fault.TOO_LARGE, Fault.BROKEN})
_UNREACHED = frozenset({Fault.DNS, Fault.REFUSED, Fault.CONNECT, Fault.TIMEOUT, Fault.RESET})


class Watch:
    """
    A task under watch.

    :ivar running: fires when the check under way is over; None while there is none.
    :ivar fetching: the half of it that may be cancelled.
    :ivar began: when the latest check began, in seconds on the reactor's clock.
    :ivar rest: until when the timer must not check it again, in seconds on the reactor's clock.
    """

    __slots__ = ("began", "fetching", "first", "loop", "origin", "rest", "running", "state", "task", "timer")

    def __init__(self, task: Task, state: TaskState) -> None:
        self.task = task
        self.origin = origin(task.url)
        self.state = state
        self.loop: LoopingCall | None = None
        self.first: IDelayedCall | None = None
        self.timer: IDelayedCall | None = None
        self.running: Deferred[None] | None = None
        self.fetching: Deferred[Observation] | None = None
        self.began: Seconds = 0.0
        self.rest: Seconds = 0.0


def offsets(tasks: Sequence[Task]) -> list[Seconds]:
    """When each task is checked first, in seconds after the start (contract, section 3)."""
    count = len(tasks)
    return [index / count * min(task.interval, max(10.0, count / 100)) for index, task in enumerate(tasks)]


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
        self._now = now
        self._fetcher = fetcher
        self._store = store
        self._outbox = outbox
        self._board = board
        self._runs = runs
        self._places = DeferredSemaphore(concurrency)
        self._secrets = secrets
        self._log_judged = log_judged
        self._watches = [Watch(task, TaskState()) for task in tasks]
        self._steps = StepWatch(reactor, now, self._rearm)
        self._stopping = False
        self._progress: Seconds = 0.0
        shortest = min((2 * task.interval + task.timeout for task in tasks), default=0.0)
        self._patience = shortest + STUCK
        self._sight = Sight()
        self._suspicions: list[Deferred[bool]] = []
        self._blind_words = ""
        self._by_origin: dict[str, list[Watch]] = {}
        for watch in self._watches:
            self._by_origin.setdefault(watch.origin, []).append(watch)
        board.add_source(self.stuck)
        board.add_source(self._blind_trouble)

    def resume(self, states: Mapping[str, TaskState]) -> None:
        """Go on with the states that the store kept from before."""
        for watch in self._watches:
            state = states.get(watch.task.url)
            if state is not None:
                watch.state = state
                self._board.show(watch.task, state)

    def start(self) -> None:
        """Begin to check, the first checks spread evenly."""
        self._progress = self._reactor.seconds()
        self._steps.start()
        tasks = [watch.task for watch in self._watches]
        for watch, offset in zip(self._watches, offsets(tasks), strict=True):
            watch.loop = LoopingCall(self._begin, watch)
            watch.loop.clock = self._reactor
            watch.first = self._reactor.callLater(offset, self._start_loop, watch)
            self._arm(watch)

    async def stop(self) -> None:
        """Begin no more checks, cancel those under way, and wait until what they found is recorded."""
        self._stopping = True
        self._steps.stop()
        ending = []
        for watch in self._watches:
            for call in (watch.first, watch.timer):
                if call is not None and call.active():
                    call.cancel()
            if watch.loop is not None and watch.loop.running:
                watch.loop.stop()
            if watch.running is not None:
                ending.append(watch.running)
                if watch.fetching is not None:
                    watch.fetching.cancel()
        self._resolve(False)
        await DeferredList(ending)
        self._keep_blind_time()

    def stuck(self) -> str | None:
        """Say in words that checks make no progress, or None while they do."""
        if not self._watches:
            return None
        now = self._reactor.seconds()
        quiet = now - self._progress
        if quiet > self._patience:
            return f"checks are stuck: none has been completed for {span(quiet)}"
        hanging = [
            watch
            for watch in self._watches
            if watch.fetching is not None and now - watch.began > watch.task.timeout + STUCK
        ]
        if hanging:
            return f"{len(hanging)} checks are stuck, that of {hanging[0].task.name} for {span(now - hanging[0].began)}"
        return None

    def _start_loop(self, watch: Watch) -> None:
        assert watch.loop is not None
        watch.loop.start(watch.task.interval)

    def _begin(self, watch: Watch) -> Deferred[None] | None:
        """Begin a check unless one is under way: see Note [One check at a time]."""
        if watch.running is not None or self._stopping:
            return None
        watch.began = self._reactor.seconds()
        # A check that comes to no verdict must not be repeated at once.
        watch.rest = watch.began + watch.task.interval
        return self._run(watch, self._check(watch))

    def _run(self, watch: Watch, work: Coroutine[Deferred[object], object, None]) -> Deferred[None]:
        """Let nothing else touch the task until `work` is done; whatever it raises, the loop goes on."""
        running = watch.running = Deferred()
        working = Deferred.fromCoroutine(work)
        working.addErrback(lambda failure: self._log.failure("checking {task}", failure, task=watch.task.name))
        working.addBoth(self._over, watch, running)
        return running

    def _over(self, _: object, watch: Watch, running: Deferred[None]) -> None:
        watch.running = None
        self._arm(watch)
        running.callback(None)

    async def _check(self, watch: Watch) -> None:
        """One check, from the wire to the store."""
        task = watch.task
        watch.fetching = Deferred.fromCoroutine(self._fetch(watch))
        try:
            observation = await watch.fetching
        except CancelledError:
            return
        finally:
            watch.fetching = None
        self._progress = self._reactor.seconds()
        if not await self._is_theirs(watch, observation):
            return
        now = self._now()
        finding = redact(report.read(observation), self._secrets)
        verdict = judge(finding, task.grace, now)
        if self._log_judged:
            self._log.info("{task} judged at {now}: {kind}", task=task.name, now=iso(now), kind=verdict.kind.value)
        before = watch.state
        check = Check(now, observation.latency, finding, verdict)
        state, alerts = incidents.step(task, before, check)
        watch.rest = self._progress + BREATH
        await self._record(watch, state, check, alerts)
        self._board.checked(task, now)
        seen = state.report
        if seen is not None and (before.report is None or before.report.lastrun != seen.lastrun):
            self._runs.seen(task, seen, now)

    async def _fetch(self, watch: Watch) -> Observation:
        """Wait for a place, then fetch; waiting is not part of the task's timeout (contract, section 3)."""
        await self._places.acquire()
        try:
            if self._stopping:
                raise CancelledError
            watch.began = self._reactor.seconds()
            return await self._fetcher.fetch(watch.task)
        finally:
            self._places.release()

    async def _remind(self, watch: Watch) -> None:
        state, alerts = incidents.remind(watch.task, watch.state, self._now())
        if alerts:
            await self._record(watch, state, None, alerts)

    async def _record(self, watch: Watch, state: TaskState, check: Check | None, alerts: Sequence[Alert]) -> None:
        """Keep a new state and its alerts; only then show the one and send the others (contract, section 4)."""
        task, before = watch.task, watch.state
        deliveries = self._outbox.address(alerts)
        if check is None or alerts or state.kind is not before.kind or state.incident != before.incident:
            await self._store.commit(task, state, check, deliveries)
        else:
            self._store.note(task, state, check)
        watch.state = state
        self._board.show(task, state)
        self._outbox.accept(alerts, deliveries)

    def _arm(self, watch: Watch) -> None:
        """Set the timer for the next moment at which something is due."""
        if watch.timer is not None and watch.timer.active():
            watch.timer.cancel()
        watch.timer = None
        verdict = watch.state.verdict
        if self._stopping or verdict is None:
            return
        now = self._now()
        delays = []
        if verdict.next_change is not None:
            rest = watch.rest - self._reactor.seconds()
            delays.append(max(verdict.next_change + MARGIN - now, rest))
        reminder = incidents.next_reminder(watch.task, watch.state)
        if reminder is not None:
            delays.append(reminder + MARGIN - now)
        if delays:
            watch.timer = self._reactor.callLater(max(0.0, min(delays)), self._ring, watch)

    def _ring(self, watch: Watch) -> None:
        if watch.running is not None:
            return
        now = self._now()
        verdict = watch.state.verdict
        assert verdict is not None
        reminder = incidents.next_reminder(watch.task, watch.state)
        if verdict.next_change is not None and now >= verdict.next_change:
            self._begin(watch)
        elif reminder is not None and now >= reminder:
            self._run(watch, self._remind(watch))
        else:
            self._arm(watch)

    def _rearm(self) -> None:
        for watch in self._watches:
            if watch.running is None:
                self._arm(watch)

    async def _is_theirs(self, watch: Watch, observation: Observation) -> bool:
        """Decide whether the task answers for what was observed, or we do: see :mod:`pypinger.runtime.sight`."""
        now = self._reactor.seconds()
        if not isinstance(observation, NoAnswer) or observation.fault in _REACHED:
            self._sight.answered(watch.origin, now)
            if not self._sight.blind:
                self._resolve(True)
                self._see_again()
            return True
        if observation.fault is Fault.OWN:
            self._sight.own_fault(now)
            self._go_blind(observation.words)
            return False
        if observation.fault not in _UNREACHED:
            return not self._sight.blind
        match self._sight.failed(watch.origin, watch.began, now, watch.task.interval):
            case View.SUSPECT:
                return await self._suspect(watch)
            case View.OURS:
                self._go_blind(f"nothing that answered until now does, for example: {observation.words}")
                return False
        return True

    async def _suspect(self, watch: Watch) -> bool:
        """Hold a failure back until another origin has been asked: see Note [Blindness]."""
        suspicion: Deferred[bool] = Deferred()
        self._suspicions.append(suspicion)
        for place in self._sight.answering()[:PROBES]:
            probe = next((each for each in self._by_origin[place] if each.running is None), None)
            if probe is not None:
                self._begin(probe)
        limit = watch.task.timeout + PROBE_SLACK
        return await suspicion.addTimeout(limit, self._reactor, onTimeoutCancel=lambda *_: True)

    def _resolve(self, theirs: bool) -> None:
        suspicions, self._suspicions = self._suspicions, []
        for suspicion in suspicions:
            if not suspicion.called:
                suspicion.callback(theirs)

    def _go_blind(self, words: str) -> None:
        self._resolve(False)
        if self._board.blind is None:
            self._blind_words = self._secrets.scrub(words)
            self._board.blind = self._now()
            self._announce(Event.BLIND, f"{self._blind_words}; the tasks keep their last verdicts")

    def _see_again(self) -> None:
        if self._board.blind is not None:
            lasted = span(self._now() - self._board.blind)
            self._keep_blind_time()
            self._announce(Event.SIGHTED, f"it was blind for {lasted}: {self._blind_words}")

    def _keep_blind_time(self) -> None:
        if self._board.blind is not None:
            self._store.blind(self._board.blind, self._now())
            self._board.blind = None

    def _blind_trouble(self) -> str | None:
        return None if self._board.blind is None else f"blind: {self._blind_words}"

    def _announce(self, event: Event, explanation: str) -> None:
        announced = Deferred.fromCoroutine(
            self._outbox.announce(incidents.daemon_alert(event, explanation, self._now()))
        )
        announced.addErrback(lambda failure: self._log.failure("announcing {event}", failure, event=event.value))
