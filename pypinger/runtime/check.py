"""
One check, from fetch to commit.

fetch -> blindness.attribute -> report.read -> judge -> incidents.step -> store.commit in one transaction -> outbox ->
board. If the answer is the same as before and its verdict still stands, incidents.repeat takes the place of the three
steps in the middle.

What a push task sends takes the same way from its judgement on; such a task is judged again, without a check, from what
is kept of it.

:mod:`~pypinger.runtime.monitor` decides when a check begins, and that a task has one check at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pypinger.domain import incidents, pushes, reminders, report
from pypinger.domain.clocks import Clocks
from pypinger.domain.judge import judge
from pypinger.domain.model import (
    Alert,
    Answer,
    Check,
    Contact,
    Finding,
    Instant,
    NoAnswer,
    Observation,
    Report,
    Seconds,
    Task,
    TaskState,
)
from pypinger.domain.pushes import Push
from pypinger.domain.redaction import Secrets
from pypinger.domain.signs import Sign, sign_of
from pypinger.domain.times import iso
from pypinger.ports.clock import WallClock
from pypinger.ports.storing import Kept, Store
from pypinger.runtime.blindness import Blindness
from pypinger.runtime.board import SHOWN, LiveBoard
from pypinger.runtime.condition import Condition
from pypinger.runtime.fetches import CheckSettings
from pypinger.runtime.outbox import Outbox
from pypinger.runtime.runs import RunFeed
from pypinger.runtime.watch import Phase, Watch

#: Seconds between a check and the next one at ``next_change``, so that no report can cause checks without pause. It is
#: less than the second within which such a check is promised (contract, section 2).
PAUSE: Seconds = 0.75


class Checker:
    """
    Makes checks, and the other changes of a task's state: reminders, and the end of a removed task.

    :ivar fetches: makes the fetches.
    :ivar blindness: finds out whose fault it is if there is no answer.
    :ivar condition: whether Py Pinger is blind, or its clock wrong.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        now: WallClock,
        store: Store,
        outbox: Outbox,
        board: LiveBoard,
        runs: RunFeed,
        settings: CheckSettings,
    ) -> None:
        self._reactor = reactor
        self._now = now
        self._store = store
        self._outbox = outbox
        self._board = board
        self._runs = runs
        self._clocks = Clocks()
        self.condition = Condition(reactor, now, store, outbox, board, settings)
        self.blindness = Blindness(reactor, now, store, self.condition, settings)
        self.fetches = self.blindness.fetches

    def resume(self, kept: Kept) -> None:
        """Take up what the store kept of hosts and of Py Pinger's own condition."""
        self.condition.resume(kept.blind, kept.clock, kept.blind_told)
        self._clocks.restore(wrong=self.condition.clock_wrong)
        self.blindness.resume(kept.hosts)

    def configure(self, settings: CheckSettings) -> None:
        """Use other settings for checks to come; checks under way keep theirs."""
        self.fetches.configure(settings)
        self.condition.configure(settings)

    def stop(self) -> None:
        """Begin no more fetches, drop held checks, and store what the next process needs."""
        self.blindness.stop()
        self.condition.stop()

    def clock_stepped(self, step: Seconds) -> None:
        """Compare the clocks again after a step of our wall clock."""
        self._clocks.stepped(step, self._reactor.seconds())
        self.condition.set_clock(self._clocks.wrong)

    async def check(self, watch: Watch) -> None:
        """Make one check. It may be cancelled until it is judged, not while it is recorded."""
        task, settings = watch.task, self.fetches.settings
        fetched = await self.fetches.regular(watch)
        watch.enter(Phase.ASKING)
        observation = await self.blindness.attribute(task, watch.began, fetched)
        if observation is None:
            watch.miss(self._now(), self._reactor.seconds() + PAUSE)
            self._board.missed(task)
            return
        watch.enter(Phase.RECORDING)
        now, before = self._now(), watch.state
        self._compare_clocks(task, observation.contact, now)
        basis = _basis(task, observation, settings.secrets)
        repeated = incidents.repeat(before, observation, now) if basis is not None and basis == watch.basis else None
        check, state, alerts = repeated or self._judge(watch, task, observation, now, settings.secrets)
        if settings.log_judged:
            self._log.info("{task} judged at {now}: {kind}", task=task.name, now=iso(now), kind=state.kind.value)
        rest = self._reactor.seconds() + PAUSE
        changed = state.kind is not before.kind or state.incident != before.incident or state.owed != before.owed
        if alerts or changed:
            state, _ = await self._commit(task, before, state, check, alerts)
        else:
            self._store.note(task, state, check)
        watch.finish(state, basis, rest)
        self._show(watch)
        self._board.checked(task, now, observation if isinstance(observation, Answer) else None)
        if state.report is not None and _is_run(before.report, state.report):
            self._runs.seen(task, state.report, now)

    def _judge(
        self, watch: Watch, task: Task, observation: Observation, now: Instant, secrets: Secrets
    ) -> tuple[Check, TaskState, tuple[Alert, ...]]:
        """Read and judge what was observed, and take it in."""
        if isinstance(observation, NoAnswer):
            finding: Finding = replace(observation, contact=None)
        else:
            finding = report.read(observation, secrets.scrub)
        contact = observation.contact
        skew = None if contact is None else self._clocks.skew(contact.host, self._reactor.seconds())
        check = Check(now, observation.latency, finding, judge(finding, task, now, skew=skew))
        state, alerts = self._step(watch, task, watch.state, check)
        if sign_of(observation) is Sign.ANSWERED:
            state = replace(state, seen=now)
        return check, state, alerts

    async def take(self, watch: Watch, push: Push) -> bool:
        """Judge what a task has sent; returns whether it is kept."""
        watch.enter(Phase.RECORDING)
        task, before, now = watch.task, watch.state, self._now()
        state, finding = pushes.take(before, push, now, self.fetches.settings.secrets.scrub)
        check: Check | None = None
        alerts: tuple[Alert, ...] = ()
        if finding is not None:
            verdict = pushes.judge_push(finding, task, before, now, self._ready(task))
            check = Check(now, 0.0, finding, verdict)
            state, alerts = self._step(watch, task, state, check)
        configured = before.configured if state.report is None else None
        kept = await self._finish(watch, replace(state, seen=now, configured=configured), check, alerts)
        self._board.pushed(task, now, push.body)
        return kept

    async def judge_again(self, watch: Watch) -> None:
        """Judge a push task from what is kept."""
        watch.enter(Phase.RECORDING)
        task, before, now = watch.task, watch.state, self._now()
        if before.report is None and before.configured is None:
            before = replace(before, configured=now)
        check = Check(now, 0.0, None, pushes.judge_again(task, before, now, self._ready(task)))
        state, alerts = self._step(watch, task, before, check)
        await self._finish(watch, state, check, alerts)

    def account(self, watch: Watch) -> None:
        """Record that the verdict on a push task still stands: its uptime is not to wait for the next push."""
        if watch.state.verdict is not None:
            self._store.note(watch.task, watch.state, Check(self._now(), 0.0, None, watch.state.verdict))

    def misjudged(self, watch: Watch) -> bool:
        """Whether a push task has no verdict yet, or one by other settings than those of today."""
        task, state, now = watch.task, watch.state, self._now()
        if state.verdict is None or (state.report is None and state.configured is None):
            return True
        verdict = pushes.judge_again(task, state, now, self._ready(task))
        known = state.verdict
        return (verdict.kind, verdict.explanation, verdict.due) != (known.kind, known.explanation, known.due)

    def _step(self, watch: Watch, task: Task, state: TaskState, check: Check) -> tuple[TaskState, tuple[Alert, ...]]:
        def muted(after: TaskState) -> bool:
            # Its end tells what was held back, and what is wrong by then, once; blindness delays that.
            held = self._board.muted(task, after)
            watch.mute(held)
            return held or (watch.silenced and not self.condition.blind)

        return incidents.step(task, state, check, muted=muted, clock_wrong=self.condition.clock_wrong)

    async def _finish(self, watch: Watch, state: TaskState, check: Check | None, alerts: Sequence[Alert]) -> bool:
        """Commit the state of a push task and show it; returns whether it is kept."""
        before = watch.state.report
        state, kept = await self._commit(watch.task, watch.state, state, check, alerts)
        watch.finish(state, None, self._reactor.seconds() + PAUSE)
        self._show(watch)
        ran = state.report
        if ran is not None and (before is None or (before.lastrun, before.started) != (ran.lastrun, ran.started)):
            self._runs.seen(watch.task, ran, self._now())
        return kept

    def _ready(self, task: Task) -> Instant:
        """When a push task may be found late: what it sent before the start is lost."""
        return self._board.listening + task.grace

    async def remind(self, watch: Watch, early: Seconds) -> None:
        """Send the reminder that is due, or will be within `early` seconds."""
        await self._move(watch, reminders.remind(watch.task, watch.state, self._now(), early))

    def next_joining(self, watch: Watch, now: Instant) -> Instant | None:
        """See :meth:`pypinger.domain.routing.Routing.next_joining`."""
        return self._outbox.routes.next_joining(watch.task, watch.state, now)

    async def join(self, watch: Watch) -> None:
        """Tell the open incident to the channels that join it now."""
        watch.enter(Phase.RECORDING)
        state, alerts, deliveries = self._outbox.routes.join(watch.task, watch.state, self._now())
        if alerts:
            await self._store.commit(watch.task, state, None, deliveries)
            self._outbox.accept(alerts, deliveries)
            watch.adopt(state)
            self._show(watch)

    async def unmute(self, watch: Watch) -> None:
        """Tell what is still wrong after a silence."""
        await self._move(watch, incidents.unmute(watch.task, watch.state, self._now()))

    async def acknowledge(self, watch: Watch, by: str, reason: str) -> None:
        """Record that somebody takes care of the open incident."""
        muted = self._board.muted(watch.task, watch.state)
        await self._move(watch, incidents.acknowledge(watch.task, watch.state, self._now(), by, reason, muted=muted))

    async def _move(self, watch: Watch, after: tuple[TaskState, tuple[Alert, ...]]) -> None:
        """Record what time or people changed."""
        watch.enter(Phase.RECORDING)
        state, alerts = after
        if alerts or state != watch.state:
            state, _ = await self._commit(watch.task, watch.state, state, None, alerts)
            watch.adopt(state)
            self._show(watch)

    async def close(self, task: Task, state: TaskState) -> None:
        """Close the incident of a task that is no longer configured, if it has one."""
        after, alerts = incidents.close(task, state, self._now(), "it was removed from the configuration")
        if alerts or after != state:
            await self._commit(task, state, after, None, alerts)

    def _compare_clocks(self, task: Task, contact: Contact | None, now: Instant) -> None:
        """Compare our clock with that of the host that answered."""
        if contact is not None and contact.date is not None:
            seconds = self._reactor.seconds()
            self._clocks.heard(contact.host, contact.date, now, seconds, task.interval + task.timeout)
            self.condition.set_clock(self._clocks.wrong)

    async def _commit(
        self, task: Task, before: TaskState, state: TaskState, check: Check | None, alerts: Sequence[Alert]
    ) -> tuple[TaskState, bool]:
        """
        Store a state and its alerts in one transaction, then send them (contract, section 4).

        :returns: the state, and whether it is kept.
        """
        state, deliveries = self._outbox.route(task, before, state, alerts)
        kept = await self._store.commit(task, state, check, deliveries)
        ended = before.incident is not None and state.incident is None
        self._outbox.accept(alerts, deliveries, task.id if ended else None)
        return state, kept

    def _show(self, watch: Watch) -> None:
        """Show a committed state, with the settings that a reload may have changed meanwhile."""
        if not watch.gone:
            self._board.show(watch.task, watch.state)


def _is_run(before: Report | None, report: Report) -> bool:
    """Whether a report tells of a run, ended or begun, that the one before did not."""
    if report is before:
        return False
    return before is None or (report.lastrun, report.started) != (before.lastrun, before.started)


def _basis(task: Task, observation: Observation, secrets: Secrets) -> tuple[object, ...] | None:
    """
    Return all that the verdict on an answer rests on, beside the time: an equal one makes the same verdict.

    :returns: None for a body too long to be kept, and if the host did not answer.
    """
    if not isinstance(observation, Answer) or len(observation.body) > SHOWN:
        return None
    return task, secrets.version, observation.code, observation.body
