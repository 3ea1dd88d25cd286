"""When the reminders of an open incident are due (contract, section 4): later and later, and never while it sleeps."""

from __future__ import annotations

from msgspec.structs import replace

from pypinger.domain.alerting import task_alert
from pypinger.domain.kinds import Status
from pypinger.domain.model import Alert, Event, Incident, Instant, Seconds, Task, TaskState
from pypinger.domain.schedule import sleep_at

#: The longest time, in seconds, that a reminder comes early to go with others in one digest.
DIGEST: Seconds = 60.0

# Beyond this doubling no sensible limit is reached.
_MOST_DOUBLINGS = 40


def next_reminder(task: Task, state: TaskState, now: Instant) -> Instant | None:
    """
    When :func:`remind` has something to say, seen from `now`; None while there is nothing to remind of.

    A reminder that would fall into sleep, by the last valid report or the ini file, waits for its end.
    """
    incident = state.incident
    if incident is None or not incident.told or incident.acknowledged or state.status is Status.SLEEPING:
        return None
    if task.error_interval <= 0:
        return None
    due, _ = _due(task, incident, now)
    period = sleep_at(task, state.report, max(due, now))
    return due if period is None else period.end


def remind(task: Task, state: TaskState, now: Instant, early: Seconds = 0.0) -> tuple[TaskState, tuple[Alert, ...]]:
    """
    Make the reminder of an open incident, if one is due.

    :param early: how many seconds before its time it may be made, to go with one that is due now.
    """
    due = next_reminder(task, state, now)
    if due is None or due > now + early:
        return state, ()
    assert state.incident is not None
    assert state.verdict is not None
    incident = reminded(task, state.incident, now, due)
    incident = replace(incident, alerts=incident.alerts + 1)
    verdict = state.verdict
    alert = task_alert(
        task,
        state.report,
        Event.REMINDER,
        now,
        incident,
        verdict.explanation,
        due=verdict.due,
        kind=verdict.kind,
    )
    return replace(state, incident=incident), (alert,)


def reminded(task: Task, incident: Incident, now: Instant, due: Instant | None = None) -> Incident:
    """
    Return an incident after a reminder that was given now: those that were skipped before it count, too.

    :param due: when it was due, after any sleep; None if that is not known.
    """
    own, number = _due(task, incident, now)
    return replace(incident, reminded=max(now, own if due is None else due), reminders=number + 1)


def next_of_condition(since: Instant, now: Instant, first: Seconds, longest: Seconds) -> Instant | None:
    """
    When people are next reminded of a condition of Py Pinger itself: as often as of an incident.

    :param since: when it was announced.
    :param first: ``error_interval``; with 0 there is no reminder, which None says.
    :param longest: ``error_interval_max``.
    """
    if first <= 0:
        return None
    due, wait, longest = min(since, now) + first, first, max(first, longest)
    while due <= now:
        wait = min(2 * wait, longest)
        due += wait
    return due


def digest_span(task: Task) -> Seconds:
    """How many seconds early another task's reminder may go with one of this task."""
    return min(DIGEST, task.error_interval / 2)


def _due(task: Task, incident: Incident, now: Instant) -> tuple[Instant, int]:
    """When the next reminder is due, and how many came, or were skipped, before it."""
    base, number = incident.reminded, incident.reminders
    if base > now + DIGEST:
        # The clock was set back: the next reminder does not wait until it has caught up.
        base = now
    longest = max(task.error_interval, task.error_interval_max)
    while True:
        due = base + min(task.error_interval * 2.0 ** min(number, _MOST_DOUBLINGS), longest)
        changed = incident.changed
        if changed is None or due - changed >= task.error_interval / 2:
            return due, number
        base, number = due, number + 1
