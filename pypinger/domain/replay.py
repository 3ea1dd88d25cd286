"""
Replay (``pypinger replay``): judge recorded findings with other settings, and give the alerts of that.

The judge and the reducers are the daemon's own; this module works out when the daemon called them, or would have. The
caller reads the records. Pure, like all of the domain.

Note [When checks were made]
~~~~~~~~~~~~~~~~~~~~~~~~~~~~
The store keeps findings in runs (first, last, count), and every alert begins a run. So each verdict that mattered was
made at the beginning of a run, and with the same settings the runs are all there is to judge.

Other settings have other deadlines, at which the daemon would have made a check that it did not make. Within a run the
finding is known. Between two runs it is that of the earlier one, or that of the later one if that is a report of a task
run that was over by then. If the later run begins so soon after the deadline that its check may already have been
under way, that check *is* the check of the deadline. Answers are stored without their latency, so a check is assumed
to take its whole timeout.

Reminders work the same way with timers in place of checks: one that is due while a check may be under way is left to
that check. If the daemon gave a reminder at about that time, its moment is used, so that the delays of timers do not
add up over the days.

Note [Blind times]
~~~~~~~~~~~~~~~~~~
While Py Pinger was blind or did not run, nothing happened: no deadline was met, and reminders waited. The same holds
where two runs are further apart than a missed check can explain (the machine was suspended, the clock was stepped), and
from the removal of a task from the ini file to its next check.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

import msgspec

from pypinger.domain import incidents, reminders
from pypinger.domain.judge import judge
from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import (
    Alert,
    Check,
    Event,
    Finding,
    Incident,
    Instant,
    NoAnswer,
    Report,
    Reported,
    Seconds,
    Task,
    TaskState,
)
from pypinger.domain.recorded import BlindTimes, Checks, FindingRun

#: Alerts whose moments differ by at most this much are the same.
TOLERANCE: Seconds = 1.0

#: A check or a reminder begins at most this long after its moment.
_SLACK: Seconds = 1.0

#: A failure is held back for at most this long beyond its timeout, to see whether it was our own.
_HELD: Seconds = 5.0

#: A gap longer than two intervals, a timeout and this counts as blind time.
_MISSED: Seconds = 60.0


class Notice(msgspec.Struct, frozen=True):
    """An alert of a task that was given, or would have been."""

    at: Instant
    event: Event
    kind: Kind
    explanation: str


class Records(msgspec.Struct, frozen=True):
    """
    The records of a task in some period.

    :ivar runs: its findings, in order.
    :ivar blind: times in which nothing was seen; they may overlap.
    :ivar given: the alerts that were given, in order.
    :ivar removed: when it was removed from the configuration with an open incident, in order.
    :ivar incident: the incident that was open at the start of the period.
    :ivar report: the last valid report before the first run; it may let the task sleep.
    :ivar end: when Py Pinger is last known to have run; None if that is not known.
    :ivar configured: since when a push task is configured that has never reported.
    """

    runs: Sequence[FindingRun]
    blind: Sequence[tuple[Instant, Instant]] = ()
    given: Sequence[Notice] = ()
    removed: Sequence[Instant] = ()
    incident: Incident | None = None
    report: Report | None = None
    end: Instant | None = None
    configured: Instant | None = None


class Line(msgspec.Struct, frozen=True):
    """
    One line of a comparison.

    :ivar mark: ``=`` given, and would be again; ``-`` given, and would not be; ``+`` not given, and would be.
    """

    mark: str
    notice: Notice


def replay(task: Task, records: Records) -> list[Notice]:
    """Return the alerts that the task would have caused with these settings, in order."""
    return _Replay(task, records).run() if records.runs else []


def compare(given: Iterable[Notice], replayed: Iterable[Notice]) -> list[Line]:
    """
    Compare the alerts that were given with those that would have been, in order.

    Alerts of the same event and kind within :data:`TOLERANCE` are the same; the one that was given is shown.
    """
    waiting: dict[tuple[Event, Kind], deque[Notice]] = {}
    for notice in replayed:
        waiting.setdefault((notice.event, notice.kind), deque()).append(notice)
    lines = []
    for notice in given:
        others = waiting.get((notice.event, notice.kind), deque())
        while others and others[0].at < notice.at - TOLERANCE:
            lines.append(Line("+", others.popleft()))
        if others and others[0].at <= notice.at + TOLERANCE:
            others.popleft()
            lines.append(Line("=", notice))
        else:
            lines.append(Line("-", notice))
    lines += (Line("+", notice) for others in waiting.values() for notice in others)
    return sorted(lines, key=lambda line: line.notice.at)


class _Replay:
    """The replay of one task."""

    def __init__(self, task: Task, records: Records) -> None:
        self._task = task
        self._runs = records.runs
        self._blind = BlindTimes(_blind_times(task, records))
        self._reminders = [notice.at for notice in records.given if notice.event is Event.REMINDER]
        self._removed = deque(records.removed)
        self._state = initial_state(task, records)
        self._now = self._runs[0].first
        self._notices: list[Notice] = []

    def run(self) -> list[Notice]:
        for run, following in pairwise((*self._runs, None)):
            assert run is not None
            self._replay_run(run, following)
        return self._notices

    def _replay_run(self, run: FindingRun, following: FindingRun | None) -> None:
        """Replay from the beginning of a run to that of the next."""
        self._check(run.finding, run.first)
        checks = Checks(run, self._task.interval, self._blind)

        def at_deadline(at: Instant) -> None:
            self._check(_visible(run, following, at), at)
            checks.made_at_deadline(at, self._task.timeout + _SLACK)

        while True:
            steps: list[tuple[Instant, Callable[[Instant], None]]] = []
            if (at := self._deadline(run, following)) is not None:
                steps.append((at, at_deadline))
            # Only in a row of errors do further checks with the same finding matter.
            counted = self._state.status is Status.ERROR and self._state.incident is None
            if counted and (at := checks.after(self._now)) is not None:
                steps.append((at, lambda at: self._check(run.finding, at)))
            if (at := self._reminder(run, following)) is not None:
                steps.append((at, self._remind))
            if self._removed:
                steps.append((max(self._removed[0], self._now), self._remove))
            steps = [each for each in steps if following is None or each[0] < following.first]
            if not steps:
                return
            at, step = min(steps, key=lambda each: each[0])
            step(at)

    def _deadline(self, run: FindingRun, following: FindingRun | None) -> Instant | None:
        """Return when a check would be made at ``next_change``: see Note [When checks were made]."""
        verdict = self._state.verdict
        assert verdict is not None
        at = verdict.next_change
        if at is None or at <= self._now or self._blind.end(at, self._task.timeout + _SLACK) != at:
            return None
        if at <= run.last:
            return at
        # A check without a verdict may have postponed it by an interval.
        postponed = self._blind.length(at - self._task.interval, at) > 0
        return at if self._alone(at, following) and not postponed else None

    def _reminder(self, run: FindingRun, following: FindingRun | None) -> Instant | None:
        """Return when the next reminder is given, unless a check gives it."""
        due = reminders.next_reminder(self._task, self._state, self._now)
        if due is None:
            return None
        at = max(due, self._now)
        sees = self._blind.end(at, self._task.timeout + _SLACK)
        # It may have come early, in a digest with one of another task.
        index = bisect_left(self._reminders, max(self._now, at - reminders.digest_span(self._task)) - TOLERANCE)
        if index < len(self._reminders) and self._reminders[index] <= sees + 2 * self._task.timeout + _HELD + _SLACK:
            return max(self._now, self._reminders[index])
        # At the end of the records it may be missing.
        last = run.last if following is not None else run.last - _SLACK
        return sees if sees <= last or self._alone(sees, following) else None

    def _alone(self, at: Instant, following: FindingRun | None) -> bool:
        """Whether no recorded check can have been under way at this moment after the end of a run."""
        if following is None:
            return False
        took = self._task.timeout
        if isinstance(following.finding, NoAnswer):
            took += following.finding.latency + _HELD
        return following.first - at > took + _SLACK

    def _check(self, finding: Finding, at: Instant) -> None:
        check = Check(at, 0.0, finding, judge(finding, self._task, at))
        self._keep(at, incidents.step(self._task, self._state, check))

    def _remind(self, at: Instant) -> None:
        early = reminders.digest_span(self._task)
        self._keep(at, reminders.remind(self._task, self._state, at, early))

    def _remove(self, at: Instant) -> None:
        self._removed.popleft()
        why = "it was removed from the configuration"
        self._keep(at, incidents.close(self._task, self._state, at, why))

    def _keep(self, at: Instant, after: tuple[TaskState, tuple[Alert, ...]]) -> None:
        self._now = at
        self._state, alerts = after
        for alert in alerts:
            assert alert.kind is not None
            self._notices.append(Notice(alert.at, alert.event, alert.kind, alert.explanation))


def _blind_times(task: Task, records: Records) -> Iterator[tuple[Instant, Instant]]:
    yield from records.blind
    known = BlindTimes(records.blind)
    pairs = list(pairwise(records.runs))
    intervals = [(later.first - run.first - known.length(run.first, later.first)) / run.count for run, later in pairs]
    # The task may have been checked less often than the settings say; gaps of that length are no blind times.
    interval = max([task.interval, *sorted(intervals)[len(intervals) // 2 :][:1]])
    limit = 2 * interval + task.timeout + _MISSED
    for run, later in pairs:
        if later.first - run.last - known.length(run.last, later.first) > limit:
            yield run.last, later.first
    firsts = [run.first for run in records.runs]
    for at in records.removed:
        index = bisect_right(firsts, at)
        if index < len(firsts):
            yield at, firsts[index]


def initial_state(task: Task, records: Records) -> TaskState:
    """Return the state before the first run."""
    if records.incident is None:
        return TaskState(report=records.report)
    return TaskState(
        report=records.report, row=task.failures, row_started=records.incident.started, incident=records.incident
    )


def _visible(run: FindingRun, following: FindingRun | None, at: Instant) -> Finding:
    """Return what a check would have found between the beginning of a run and that of the next."""
    if following is not None and at > run.last and isinstance(following.finding, Reported):
        report = following.finding.report
        if run.last < report.latest <= at:
            return following.finding
    return run.finding
