"""
One check, from fetch to commit.

fetch -> report.read -> judge -> incidents.step -> store.commit in one transaction -> outbox -> board.

:mod:`~pypinger.runtime.monitor` decides when a check begins, and that a task has one check at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pypinger.domain import incidents, reminders, report
from pypinger.domain.judge import judge
from pypinger.domain.model import Alert, Check, Finding, NoAnswer, Observation, Seconds, Task, TaskState
from pypinger.domain.redaction import Secrets
from pypinger.domain.times import iso
from pypinger.ports.clock import WallClock
from pypinger.ports.fetching import Fetcher
from pypinger.ports.storing import Store
from pypinger.runtime.blindness import Blindness
from pypinger.runtime.board import Board
from pypinger.runtime.concurrency import Semaphore
from pypinger.runtime.outbox import Outbox
from pypinger.runtime.runs import RunFeed
from pypinger.runtime.watch import Phase, Watch

#: Seconds between a check and the next one at ``next_change``, so that no report can cause checks without pause. It is
#: less than the second within which such a check is promised (contract, section 2).
PAUSE: Seconds = 0.75


class CheckSettings(msgspec.Struct, frozen=True):
    """
    How checks are made; a reload replaces it.

    :ivar concurrency: how many checks may be under way at once.
    :ivar secrets: texts to mask in what endpoints answer.
    :ivar log_judged: whether each judged time is logged (``debug_now``).
    """

    fetcher: Fetcher
    concurrency: int
    secrets: Secrets
    log_judged: bool = False


class Checker:
    """Makes checks, and the other changes of a task's state: reminders, and the end of a removed task."""

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        now: WallClock,
        store: Store,
        outbox: Outbox,
        board: Board,
        runs: RunFeed,
        settings: CheckSettings,
    ) -> None:
        self._reactor = reactor
        self._now = now
        self._store = store
        self._outbox = outbox
        self._board = board
        self._runs = runs
        self._settings = settings
        self._permits = Semaphore(settings.concurrency)
        self._stopping = False
        self._progress: Seconds = reactor.seconds()
        self.blindness = Blindness(reactor, now, store, outbox, board)

    @property
    def progress(self) -> Seconds:
        """When a fetch ended last, on the reactor's clock."""
        return self._progress

    @property
    def concurrency(self) -> int:
        """How many checks may be under way at once."""
        return self._permits.limit

    def configure(self, settings: CheckSettings) -> None:
        """Use other settings for checks that have not begun to fetch."""
        self._settings = settings
        self._permits.resize(settings.concurrency)

    def stop(self) -> None:
        """Begin no more fetches."""
        self._stopping = True

    async def check(self, watch: Watch) -> None:
        """Make one check. It may be cancelled until the fetch is over, not while it is recorded."""
        task = watch.task
        observation = await self._fetch(watch)
        watch.enter(Phase.RECORDING)
        answer = None
        if isinstance(observation, NoAnswer):
            failure = replace(observation, words=self._settings.secrets.scrub(observation.words), contact=None)
            if not await self.blindness.is_theirs(task, task.origin, watch.began, failure):
                return
            finding: Finding = failure
        else:
            answer = observation
            self.blindness.answered(task.origin)
            finding = report.read(answer, self._settings.secrets.scrub)
        now, before = self._now(), watch.state
        verdict = judge(finding, task.grace, now)
        if self._settings.log_judged:
            self._log.info("{task} judged at {now}: {kind}", task=task.name, now=iso(now), kind=verdict.kind.value)
        check = Check(now, observation.latency, finding, verdict)
        state, alerts = incidents.step(task, before, check)
        rest = self._reactor.seconds() + PAUSE
        if alerts or state.kind is not before.kind or state.incident != before.incident:
            await self._commit(task, state, check, alerts)
        else:
            self._store.note(task, state, check)
        watch.finish(state, rest)
        self._show(watch)
        self._board.checked(task, now, answer)
        ran = state.report
        if ran is not None and (before.report is None or before.report.lastrun != ran.lastrun):
            self._runs.seen(task, ran, now)

    async def remind(self, watch: Watch) -> None:
        """Send the reminder that is due, if any."""
        watch.enter(Phase.RECORDING)
        state, alerts = reminders.remind(watch.task, watch.state, self._now())
        if alerts:
            await self._commit(watch.task, state, None, alerts)
            watch.adopt(state)
            self._show(watch)

    async def close(self, task: Task, state: TaskState) -> None:
        """Close the incident of a task that is no longer configured, if it has one."""
        state, alerts = incidents.close(task, state, self._now(), "it was removed from the configuration")
        if alerts:
            await self._commit(task, state, None, alerts)

    async def _fetch(self, watch: Watch) -> Observation:
        """Wait for a permit, then fetch; the wait is not part of the task's timeout (contract, section 3)."""
        if not self._permits.try_acquire():
            watch.enter(Phase.QUEUED)
            await self._permits.acquire()
        try:
            if self._stopping or watch.gone:
                raise CancelledError
            watch.fetch(self._reactor.seconds())
            return await self._settings.fetcher.fetch(watch.task)
        finally:
            self._progress = self._reactor.seconds()
            self._permits.release()

    async def _commit(self, task: Task, state: TaskState, check: Check | None, alerts: Sequence[Alert]) -> None:
        """Store a state and its alerts in one transaction, then send them (contract, section 4)."""
        deliveries = self._outbox.address(alerts)
        await self._store.commit(task, state, check, deliveries)
        self._outbox.accept(alerts, deliveries)

    def _show(self, watch: Watch) -> None:
        """Show a committed state, with the settings that a reload may have changed meanwhile."""
        if not watch.gone:
            self._board.show(watch.task, watch.state)
