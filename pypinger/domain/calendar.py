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

from pypinger.domain.model import Instant, Report, Task
from pypinger.domain.schedule import EARLY, RESOLUTION, Basis, Due, Plan, plan_of
from pypinger.domain.sleep import Sleep, SleepPeriod


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


def entries(
    task: Task,
    report: Report | None,
    since: Instant,
    until: Instant,
    most: int = 5000,
    *,
    configured: Instant | None = None,
) -> list[CalendarEntry]:
    """
    Return the moments of a task from `since`, which is now, to before `until`, in order.

    :param report: its last valid report; without one, only what the ini file says is known.
    :param most: a task that is due more often has one entry for all: see :attr:`CalendarEntry.repeats`.
    :param configured: since when a task is configured whose first due time is reckoned from then; see contract,
        section 9, "Push".
    """
    plan = plan_of(task, report)
    if report is not None:
        first = plan.due(report, task.grace)
    elif configured is not None:
        first = plan.due_after(configured)
    else:
        first = Due(None) if plan.cron is None else _first(plan, since)
    started = None if report is None else report.started
    due = list(islice(_due(plan, first, started, since, until), most + 2))
    if sum(entry.what is Happening.DUE for entry in due) > most:
        begins = [entry.running is None and entry.what is Happening.DUE for entry in due].index(True)
        due = [*due[:begins], msgspec.structs.replace(due[begins], repeats=plan.words)]
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


def _due(plan: Plan, due: Due, started: Instant | None, since: Instant, until: Instant) -> Iterator[CalendarEntry]:
    """
    Yield when a task is due.

    :param due: the first time.
    :param started: when its latest run began.
    """
    if due.at is None:
        return
    at = due.at - due.allowed
    under_way = due.basis is not Basis.RUN
    entry = CalendarEntry(at, Happening.DUE, running=started) if under_way else _entry(plan, at)
    if due.at < since:
        yield msgspec.structs.replace(entry, what=Happening.OVERDUE)
    elif at < until:
        yield entry
    for following in _chain(plan, _following(plan, started, due, since), until):
        assert following.at is not None
        yield _entry(plan, following.at)


def _entry(plan: Plan, at: Instant) -> CalendarEntry:
    ends = None if plan.cron is None or plan.max_runtime is None else at + plan.max_runtime
    return CalendarEntry(at, Happening.DUE, ends)


def _following(plan: Plan, started: Instant | None, due: Due, since: Instant) -> Due:
    """Return the due time after the first, as if that run ended in time; if that is past, as if it ended now."""
    assert due.at is not None
    if plan.cron is None:
        return plan.due_after(max(due.at, since))
    if due.basis is Basis.RUNTIME:
        assert started is not None
        after = plan.due_after(started)
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
