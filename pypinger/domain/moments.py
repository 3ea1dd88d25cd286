"""
What the last valid report and the ini file say of a task beyond its verdict, which may rest on no report: when it is
due, its sleep, and when more changes by itself, as a hold or flapping ends (contract, sections 2 and 4).
"""

from __future__ import annotations

from pypinger.domain.kinds import KINDS, Kind, Status
from pypinger.domain.model import Instant, Report, Seconds, Task, TaskState
from pypinger.domain.schedule import plan_of, sleep_at
from pypinger.domain.sleep import SleepPeriod

#: How long a flapping task must keep one status, in seconds.
STEADY: Seconds = 1800.0

#: The kinds that rest on our clock.
CLOCKED = frozenset({Kind.LATE, Kind.FUTURE})


def next_change(task: Task, state: TaskState) -> Instant | None:
    """
    The ``next_change`` of the contract's section 2: the earliest of what the verdict, the sleep, a hold and flapping
    bring.
    """
    assert state.verdict is not None
    assert state.verdict_at is not None
    held = hold_end(task, state)
    moments = (
        state.verdict.next_change,
        # Once it has passed, the checks at the interval complete the row.
        held if held is not None and held > state.verdict_at else None,
        steady_end(task, state),
        _next_sleep_change(task, state),
        _next_count(task, state),
    )
    return min((moment for moment in moments if moment is not None), default=None)


def hold_end(task: Task, state: TaskState) -> Instant | None:
    """When the task will have been unreachable for long enough to open an incident; None where nothing is held."""
    if state.hold is None or state.incident is not None or task.unreachable_for <= 0:
        return None
    return state.hold + task.unreachable_for


def steady_end(task: Task, state: TaskState) -> Instant | None:
    """When a flapping task will have kept its status for long enough; None while it sleeps or does not flap."""
    if state.incident is None or not state.incident.flapping or state.verdict_at is None:
        return None
    return None if asleep(task, state) else state.verdict_at + STEADY - state.incident.steady


def asleep(task: Task, state: TaskState) -> bool:
    """Whether nothing was expected of a task at its latest verdict, be it that it gave no valid report."""
    if state.status is Status.SLEEPING:
        return True
    return state.verdict_at is not None and excused(task, state.kind, state.report, state.verdict_at)


def _next_count(task: Task, state: TaskState) -> Instant | None:
    """
    When a push task in error counts once more in the row that opens an incident: no check of it comes at its interval.

    The same holds until our clock is right again.
    """
    if task.url is not None or state.incident is not None or state.verdict_at is None:
        return None
    counts = state.kind in CLOCKED or (state.kind is Kind.INVALID and not asleep(task, state))
    return state.verdict_at + task.interval if counts else None


def due_of(task: Task, state: TaskState) -> Instant | None:
    """When a task is due, by its last valid report where it gives none now."""
    if state.report is not None and not KINDS[state.kind].reported:
        return plan_of(task, state.report).due(state.report, task.grace).at
    return None if state.verdict is None else state.verdict.due


def sleep_of(task: Task, state: TaskState) -> SleepPeriod | None:
    """The sleep that a task is in, by its last valid report or the ini file where it gives none now."""
    verdict = state.verdict
    if verdict is None or state.verdict_at is None:
        return None
    if not KINDS[verdict.kind].reported:
        return sleep_at(task, state.report, state.verdict_at)
    return None if verdict.sleep_start is None else SleepPeriod(verdict.sleep_start, verdict.sleep_end)


def excused(task: Task, kind: Kind, report: Report | None, now: Instant) -> bool:
    """Whether no report is expected of the task: its last valid one or the ini file says that it sleeps."""
    return not KINDS[kind].reported and sleep_at(task, report, now) is not None


def _next_sleep_change(task: Task, state: TaskState) -> Instant | None:
    """When a task that gives no valid report now falls asleep or wakes by its last one or the ini file."""
    if KINDS[state.kind].reported or state.verdict_at is None:
        return None
    sleep = plan_of(task, state.report).sleep
    period = sleep.period_at(state.verdict_at)
    return sleep.next_start(state.verdict_at) if period is None else period.end
