"""
When a task is expected to run (contract, section 2): due, late, sleep and the next change, from its report and the ini
file.

A *plan* is what both say together: a frequency or a cron expression, how long a run may take, and when the task sleeps.
The ini file wins over the report. The plan and a report's moments give what is due.

Note [Which moment counts]
~~~~~~~~~~~~~~~~~~~~~~~~~~
1. The next due time is reckoned from ``lastrun``: ``frequency`` later, postponed by sleep, or the first scheduled
   moment outside sleep. A report that never tells when a run starts has ``max_runtime`` added to a scheduled moment.
2. A run under way that began no later than that moment and its grace is due at ``started + max_runtime``, or without
   ``max_runtime`` at the next due time reckoned from ``started``. So is the first run of all.
3. A run that began later changes nothing: a job that crashes and starts again is late although it is running.
"""

from __future__ import annotations

from datetime import UTC, tzinfo
from enum import Enum
from typing import NamedTuple

from pypinger.domain import cron, cronwords
from pypinger.domain.cron import Cron, CronError
from pypinger.domain.model import Instant, Report, Seconds, Task
from pypinger.domain.sleep import AWAKE, DUE_HORIZON, Sleep, SleepPeriod, merge
from pypinger.domain.times import MINUTE, clock, every, local_clock

#: A run may be reported this many seconds before its scheduled moment.
EARLY: Seconds = 60.0

#: How long after due + grace a task becomes late.
RESOLUTION: Seconds = 0.001

# How many scheduled moments are tried for one that is awake. No sleep that people configure has so many windows.
_TRIES = 700


class Basis(Enum):
    """
    What the due time is reckoned from: see Note [Which moment counts].

    :cvar RUN: the end of the last run.
    :cvar BEGIN: the beginning of the run under way, with the next due time.
    :cvar RUNTIME: the beginning of the run under way, with the time that it may take.
    """

    RUN = "run"
    BEGIN = "begin"
    RUNTIME = "runtime"


class Due(NamedTuple):
    """
    When a task is due.

    :ivar at: None for a task that sleeps all day, or that nothing is known of.
    :ivar postponed: whether sleep postponed it.
    :ivar allowed: the time for the run itself that is added to the scheduled moment, in seconds.
    """

    at: Instant | None
    basis: Basis = Basis.RUN
    postponed: bool = False
    allowed: Seconds = 0.0


class Plan(NamedTuple):
    """
    What is expected of a task.

    :ivar frequency: seconds between two runs; None beside a schedule, and if neither is known.
    :ivar cron: the schedule; None without one.
    :ivar max_runtime: seconds that a run may take; None if that is not known.
    :ivar sleep: when it sleeps.
    """

    frequency: Seconds | None
    cron: Cron | None
    max_runtime: Seconds | None
    sleep: Sleep

    def due_after(self, moment: Instant) -> Due:
        """Return the next due time reckoned from a moment: the end or the beginning of a run, say."""
        if self.cron is not None:
            return self._scheduled(self.cron, moment)
        if self.frequency is None:
            return Due(None)
        due = self.sleep.due(moment, self.frequency)
        return Due(due, postponed=due is not None and due != moment + self.frequency)

    def due(self, report: Report, grace: Seconds) -> Due:
        """
        Return when a task with this report is due: see Note [Which moment counts].

        :param grace: seconds after it in which a run may still begin.
        """
        lastrun, started = report.lastrun, report.started
        due = Due(None)
        if lastrun is not None:
            due = self.due_after(lastrun)
            if started is None:
                return self._with_time_to_run(due)
            if not report.running or due.at is None or started > due.at + grace:
                return due
        assert started is not None
        if self.sleep.always:
            return due
        if self.max_runtime is not None:
            return Due(started + self.max_runtime, Basis.RUNTIME)
        return self.due_after(started)._replace(basis=Basis.BEGIN)

    def credible(self, report: Report, grace: Seconds) -> Instant:
        """Return from when on the moments of a report are not in the future by more than is allowed."""
        return report.latest - self.ahead - grace

    @property
    def words(self) -> str:
        """How often the task runs, in words that follow "runs"; empty if that is not known."""
        if self.cron is not None:
            return cronwords.words(self.cron)
        return "" if self.frequency is None else every(self.frequency)

    @property
    def ahead(self) -> Seconds:
        """How many seconds a report's moments may be ahead of our clock, without the grace."""
        return EARLY if self.frequency is None else self.frequency

    def clock(self, instant: Instant, before: Instant | None = None) -> str:
        """Name a moment in the zone of the schedule, else of the sleep."""
        zone = self.sleep.zone if self.cron is None else self.cron.zone
        if self.cron is None and zone is UTC:
            return clock(instant, before)
        return local_clock(instant, zone, before)

    def _with_time_to_run(self, due: Due) -> Due:
        if self.cron is None or self.max_runtime is None or due.at is None:
            return due
        return due._replace(at=due.at + self.max_runtime, allowed=self.max_runtime)

    def _scheduled(self, cron: Cron, moment: Instant) -> Due:
        """Return the first scheduled moment outside sleep; the first of all if none follows within 14 days."""
        if self.sleep.always:
            return Due(None)
        first = due = cron.after(moment + EARLY)
        for _ in range(_TRIES):
            if first is None or due is None or due - first > DUE_HORIZON:
                break
            period = self.sleep.period_at(due)
            if period is None:
                return Due(due, postponed=due != first)
            assert period.end is not None
            # The moment of waking does.
            due = cron.after(period.end - RESOLUTION)
        return Due(first)


def plan_of(task: Task, report: Report | None = None) -> Plan:
    """
    Return what is expected of a task.

    :param report: its last valid report; without one only the ini file counts.
    """
    frequency, max_runtime, own = task.frequency, task.max_runtime, task.sleep
    schedule, timezone = task.schedule, task.timezone
    sleep = AWAKE
    if own is not None:
        sleep = merge(own, UTC if timezone is None else _zone(timezone))
    elif report is not None and report.sleep:
        sleep = merge(report.sleep)
    if report is not None:
        if max_runtime is None:
            max_runtime = report.max_runtime
        if schedule is None and frequency is None:
            schedule, frequency = report.schedule, report.frequency
            timezone = timezone or report.timezone
    rule = None if schedule is None else _cron(schedule, timezone or "UTC")
    return Plan(
        None if rule is not None or frequency is None else frequency * MINUTE,
        rule,
        None if max_runtime is None else max_runtime * MINUTE,
        sleep,
    )


def same_rules(one: Task, other: Task) -> bool:
    """Whether two settings of a task make the same verdict on each report."""
    return _rules(one) == _rules(other)


def _rules(task: Task) -> tuple[object, ...]:
    return task.grace, task.frequency, task.schedule, task.timezone, task.max_runtime, task.sleep


def sleep_at(task: Task, report: Report | None, instant: Instant) -> SleepPeriod | None:
    """Return the sleep that a task is in at a moment, by its last valid report or the ini file."""
    if task.sleep is None and (report is None or not report.sleep):
        return None
    return plan_of(task, report).sleep.period_at(instant)


# What was valid when it was read may be unknown now: the time zone database may have changed since a report was kept.


def _cron(expression: str, timezone: str) -> Cron | None:
    try:
        return cron.cron(expression, timezone)
    except CronError:
        return None


def _zone(name: str) -> tzinfo:
    try:
        return cron.zone(name)
    except CronError:
        return UTC
