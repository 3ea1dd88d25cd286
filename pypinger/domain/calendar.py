"""
What is expected of a task in a stretch of time: when it is due, and when it sleeps (``pypinger calendar``, timelines).

The present is known by the last report. What comes after the next due time is worked out as if each run ended at its
due time.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from itertools import islice

import msgspec

from pypinger.domain.model import Instant, Report, Seconds, Task
from pypinger.domain.schedule import EARLY, RESOLUTION, Basis, Due, Plan, plan_of
from pypinger.domain.sleep import Sleep, SleepPeriod
from pypinger.domain.times import DAY

#: A task that is due more often than this in a day, on average, has one entry for all: see :attr:`Entry.repeats`.
MOST_A_DAY = 48


class Happening(StrEnum):
    """What happens at a moment."""

    OVERDUE = "overdue"
    DUE = "due"
    ASLEEP = "asleep"
    AWAKE = "awake"


class CalendarEntry(msgspec.Struct, frozen=True):
    """
    A moment of a task.

    :ivar until: when sleep ends, or by when the run that is due should end; None if that is not known.
    :ivar running: since when the run lasts that should end at `at`; None for the beginning of one.
    :ivar repeats: how often it is due from then on, in words that follow "runs"; empty if each moment has an entry.
    """

    at: Instant
    what: Happening
    until: Instant | None = None
    running: Instant | None = None
    repeats: str = ""


def entries(task: Task, report: Report | None, since: Instant, until: Instant) -> list[CalendarEntry]:
    """
    Return the moments of a task from `since`, which is now, to before `until`, in order.

    :param report: its last valid report; without one, only what the ini file says is known.
    """
    plan = plan_of(task, report)
    due = list(_due(plan, report, task.grace, since, until))
    most = max(1, int((until - since) / DAY * MOST_A_DAY))
    if sum(entry.what is Happening.DUE for entry in due) > most:
        first = next(
            number for number, entry in enumerate(due) if entry.running is None and entry.what is Happening.DUE
        )
        due = [*due[:first], msgspec.structs.replace(due[first], repeats=plan.words)]
    return sorted([*due, *_sleep(plan.sleep, since, until)], key=lambda entry: entry.at)


def scheduled(plan: Plan, since: Instant, until: Instant, most: int) -> list[Instant]:
    """
    Return the moments at which a schedule has a task run, from `since` to before `until`; none without a schedule.

    :param most: if there are more, none are returned.
    """
    if plan.cron is None:
        return []
    found = list(islice(_chain(plan, _first(plan, since), until), most + 1))
    return [due.at for due in found if due.at is not None] if len(found) <= most else []


def naps(sleep: Sleep, since: Instant, until: Instant) -> Iterator[SleepPeriod]:
    """Yield the sleep between two moments, in order; the first may have started before, the last ends later."""
    at: Instant | None = since
    while at is not None and at < until:
        period = sleep.period_at(at)
        if period is not None:
            yield period
        at = sleep.next_start(at) if period is None else period.end


def _sleep(sleep: Sleep, since: Instant, until: Instant) -> Iterator[CalendarEntry]:
    for period in naps(sleep, since, until):
        yield CalendarEntry(max(period.start, since), Happening.ASLEEP, period.end)
        if period.end is not None and period.end < until:
            yield CalendarEntry(period.end, Happening.AWAKE)


def _due(plan: Plan, report: Report | None, grace: Seconds, since: Instant, until: Instant) -> Iterator[CalendarEntry]:
    """Yield when a task is due."""
    if report is None:
        following = _first(plan, since) if plan.cron is not None else Due(None)
    else:
        due = plan.due(report, grace)
        if due.at is None:
            return
        running = None if due.basis is Basis.RUN else report.started
        entry = CalendarEntry(due.at - due.allowed, Happening.DUE, due.at if due.allowed else None, running)
        if due.at < since:
            yield msgspec.structs.replace(entry, what=Happening.OVERDUE)
        elif entry.at < until:
            yield entry
        following = _following(plan, report, due, since)
    for due in _chain(plan, following, until):
        assert due.at is not None
        ends = None if plan.cron is None or plan.max_runtime is None else due.at + plan.max_runtime
        yield CalendarEntry(due.at, Happening.DUE, ends)


def _following(plan: Plan, report: Report, due: Due, since: Instant) -> Due:
    """Return the due time after the first, as if that run ended in time; if that is past, as if it ended now."""
    assert due.at is not None
    if plan.cron is None:
        return plan.due_after(max(due.at, since))
    if due.basis is Basis.RUNTIME:
        assert report.started is not None
        after = plan.due_after(report.started)
    else:
        after = _next(plan, due.at - due.allowed)
    return after if after.at is None or after.at >= since else _first(plan, since)


def _first(plan: Plan, since: Instant) -> Due:
    """Return the first due time by a schedule from a moment on, that moment included."""
    return plan.due_after(since - EARLY - RESOLUTION)


def _next(plan: Plan, due: Instant) -> Due:
    """Return the due time after one."""
    return plan.due_after(due if plan.cron is None else due - EARLY)


def _chain(plan: Plan, due: Due, until: Instant) -> Iterator[Due]:
    """Yield a due time and those that follow it, before `until`."""
    last: Instant | None = None
    while due.at is not None and due.at < until and (last is None or due.at > last):
        yield due
        last, due = due.at, _next(plan, due.at)
