"""
Incidents and the alerts they cause (contract, section 4): pure reducers over a task's state.

An incident opens with the error verdict that completes a row of ``failures``, counts from the first of that row, and
ends with the next ``ok``. The runtime stores a state together with its alerts and sends them; it passes no check that
failed for a reason of our own (:attr:`pypinger.domain.model.Fault.OWN`).
"""

from __future__ import annotations

from hashlib import blake2b

from msgspec.structs import replace

from pypinger.domain.kinds import KINDS, Kind, Status
from pypinger.domain.model import Alert, Check, Event, Incident, Instant, Report, Reported, Task, TaskState
from pypinger.domain.schedule import merge


def step(
    task: Task, state: TaskState, check: Check, *, clock_wrong: bool = False
) -> tuple[TaskState, tuple[Alert, ...]]:
    """
    Apply a check: return the new state and the alerts it causes (at most one).

    :param clock_wrong: whether our wall clock is wrong (contract, section 3, "Whose clock"). Then ``late`` and
        ``future`` neither open an incident nor count in the row; an open incident continues as always.
    """
    verdict, now = check.verdict, check.at
    status = verdict.status
    doubtful = clock_wrong and KINDS[verdict.kind].timed
    report = state.report
    if isinstance(check.finding, Reported) and check.finding.report != report:
        # An equal report keeps its object: thousands of tasks hold one report each, not one per check.
        report = check.finding.report
    row, row_started, incident = state.row, state.row_started, state.incident
    event = None
    if status is Status.ERROR:
        if not doubtful:
            row += 1
            row_started = now if row_started is None else row_started
        if incident is not None:
            event, incident = _continue(task, incident, verdict.kind, now)
        elif row >= task.failures and not doubtful:
            assert row_started is not None
            event, incident = Event.PROBLEM, Incident(row_started, verdict.kind, reminded=now, alerts=1)
    elif status is Status.OK:
        row, row_started = 0, None
        if incident is not None:
            event, incident = Event.RECOVERED, _count_alert(incident, incident.reminded)
    after = TaskState(
        verdict=verdict,
        report=report,
        pings=state.pings + 1,
        errors=state.errors + (status is Status.ERROR),
        checked=now,
        since=state.since if status is state.status else now,
        latency=check.latency,
        row=row,
        row_started=row_started,
        incident=None if event is Event.RECOVERED else incident,
    )
    if event is None:
        return after, ()
    assert incident is not None
    before = None if state.incident is None or event is Event.REMINDER else state.incident.kind
    return after, (_verdict_alert(task, after, event, now, incident, before),)


def next_reminder(task: Task, state: TaskState, now: Instant) -> Instant | None:
    """
    Return when :func:`remind` gives an alert, seen from `now`; None without an incident, or while the task sleeps.

    While Py Pinger is blind only the last report shows that the task has fallen asleep: a reminder that would fall into
    that sleep waits for its end (contract, section 4).
    """
    if state.incident is None or task.error_interval <= 0 or state.status is Status.SLEEPING:
        return None
    due = state.incident.reminded + task.error_interval
    if KINDS[state.kind].reported and state.report is not None:
        period = merge(state.report.sleep).period_at(max(due, now))
        if period is not None:
            return period.end
    return due


def remind(task: Task, state: TaskState, now: Instant) -> tuple[TaskState, tuple[Alert, ...]]:
    """Let time pass: return the state and the reminder of an open incident, if one is due."""
    due = next_reminder(task, state, now)
    if due is None or now < due:
        return state, ()
    assert state.incident is not None
    incident = _count_alert(state.incident, now)
    return replace(state, incident=incident), (_verdict_alert(task, state, Event.REMINDER, now, incident),)


def close(task: Task, state: TaskState, now: Instant, why: str) -> tuple[TaskState, tuple[Alert, ...]]:
    """
    Close the open incident, if any, of a task that is no longer monitored.

    :param why: goes into the explanation, say ``it was removed from the configuration``.
    :returns: the state without an incident; the alert is ``recovered`` with the kind that the incident had.
    """
    if state.incident is None:
        return state, ()
    incident = _count_alert(state.incident, state.incident.reminded)
    alert = _alert(task, state.report, Event.RECOVERED, now, incident, incident.kind, f"no longer monitored: {why}")
    return replace(state, incident=None, row=0, row_started=None), (alert,)


def daemon_alert(event: Event, explanation: str, now: Instant) -> Alert:
    """Return an alert of Py Pinger itself: ``started``, ``stopped`` or ``test``."""
    return Alert(id=_id("", now, event.value), event=event, at=now, explanation=explanation)


def _continue(task: Task, incident: Incident, kind: Kind, now: Instant) -> tuple[Event | None, Incident]:
    """Apply another error verdict to an open incident: a change of kind, a reminder that is due, or no alert."""
    # If the clock was set back, the next reminder must not wait until it has caught up.
    reminded = min(incident.reminded, now)
    overdue = task.error_interval > 0 and now >= reminded + task.error_interval
    if kind is not incident.kind:
        # A change says all that a reminder would, and so replaces one that is due.
        return Event.CHANGED, Incident(incident.started, kind, now if overdue else reminded, incident.alerts + 1)
    if overdue:
        return Event.REMINDER, _count_alert(incident, now)
    return None, incident if reminded == incident.reminded else replace(incident, reminded=reminded)


def _count_alert(incident: Incident, reminded: Instant) -> Incident:
    """Return the incident after one more alert."""
    return Incident(incident.started, incident.kind, reminded, incident.alerts + 1)


def _verdict_alert(
    task: Task, state: TaskState, event: Event, now: Instant, incident: Incident, before: Kind | None = None
) -> Alert:
    """Return the alert that tells the verdict of a state."""
    verdict, report = state.verdict, state.report
    assert verdict is not None
    alert = _alert(task, report, event, now, incident, verdict.kind, verdict.explanation)
    return replace(alert, before=before, lastrun=None if report is None else report.lastrun, due=verdict.due)


def _alert(
    task: Task, report: Report | None, event: Event, now: Instant, incident: Incident, kind: Kind, explanation: str
) -> Alert:
    """Return an alert that the incident counts already."""
    return Alert(
        id=_id(task.url, incident.started, str(incident.alerts)),
        event=event,
        at=now,
        explanation=explanation,
        task=task.id,
        name=task.name,
        label=task.label,
        origin=task.origin,
        page=task.page,
        kind=kind,
        process=report.process if report else None,
        server=report.server if report else None,
        started=incident.started,
    )


def _id(*cause: str | Instant) -> str:
    """Return sixteen hex digits made from the cause of an alert: the same cause always has the same id."""
    text = "\n".join(each if isinstance(each, str) else str(round(each * 1000)) for each in cause)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
