"""
Incidents and the alerts they cause (contract, section 4): pure reducers over a task's state.

An incident opens with the error verdict that makes a row of ``failures``, and counts from the first of that row; it
ends with the next ``ok``. Storing a state together with its alerts, and sending these, is left to the runtime; so is
keeping away the checks that failed for reasons of our own (:attr:`pypinger.domain.model.Fault.OWN`).
"""

from __future__ import annotations

from hashlib import blake2b

from msgspec.structs import replace

from pypinger.domain.judge import judge
from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import Alert, Check, Event, Incident, Instant, Report, Reported, Task, TaskState
from pypinger.domain.schedule import merge

# Kinds whose explanations rest on nothing but the report and the time.
_TOLD_BY_THE_CLOCK = frozenset({Kind.LATE, Kind.FUTURE})

# Kinds that the last valid report has, so that the task sleeps when that says so.
_REPORTED = _TOLD_BY_THE_CLOCK | {Kind.FAILED}


def step(task: Task, state: TaskState, check: Check) -> tuple[TaskState, tuple[Alert, ...]]:
    """A check was made: the new state, and the alerts it causes (one at most)."""
    verdict, now = check.verdict, check.at
    status = verdict.status
    report = state.report
    if isinstance(check.finding, Reported) and check.finding.report != report:
        # While a report stays the same so does its object: thousands of tasks have one each, not one a check.
        report = check.finding.report
    row, row_started, incident = state.row, state.row_started, state.incident
    event = None
    if status is Status.ERROR:
        row += 1
        if row_started is None:
            row_started = now
        if incident is not None:
            event, incident = _go_on(task, incident, verdict.kind, now)
        elif row >= task.failures:
            event, incident = Event.PROBLEM, Incident(row_started, verdict.kind, reminded=now, alerts=1)
    elif status is Status.OK:
        row, row_started = 0, None
        if incident is not None:
            event, incident = Event.RECOVERED, _told(incident, incident.reminded)
    alerts: tuple[Alert, ...] = ()
    if event is not None:
        assert incident is not None
        before = None if state.incident is None or event is Event.REMINDER else state.incident.kind
        alerts = (_alert(task, report, event, now, incident, verdict.kind, verdict.explanation, before),)
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
    return after, alerts


def next_reminder(task: Task, state: TaskState, now: Instant) -> Instant | None:
    """
    When :func:`remind` has something to say, seen from `now`; None while there is no incident, or the task sleeps.

    While Py Pinger is blind nothing shows that the task has fallen asleep but its last report: a reminder that would
    fall into that sleep waits for its end (contract, section 4).
    """
    if state.incident is None or task.error_interval <= 0 or state.status is Status.SLEEPING:
        return None
    due = state.incident.reminded + task.error_interval
    if state.kind in _REPORTED and state.report is not None:
        nap = merge(state.report.sleep).nap_at(max(due, now))
        if nap is not None:
            return nap.end
    return due


def remind(task: Task, state: TaskState, now: Instant) -> tuple[TaskState, tuple[Alert, ...]]:
    """Time has passed: the reminder of an open incident, if one is due."""
    due = next_reminder(task, state, now)
    if due is None or now < due:
        return state, ()
    assert state.incident is not None
    assert state.verdict is not None
    incident, verdict = _told(state.incident, now), state.verdict
    explanation = verdict.explanation
    if verdict.kind in _TOLD_BY_THE_CLOCK and state.report is not None:
        # It may be an interval old: say how late the task is now, if it still is by all that is known.
        fresh = judge(Reported(200, state.report), task.grace, now)
        if fresh.kind is verdict.kind:
            explanation = fresh.explanation
    alert = _alert(task, state.report, Event.REMINDER, now, incident, verdict.kind, explanation)
    return replace(state, incident=incident), (alert,)


def close(task: Task, state: TaskState, now: Instant, why: str) -> tuple[TaskState, tuple[Alert, ...]]:
    """
    The task is no longer monitored: its open incident, if any, is closed with one message.

    :param why: goes into the explanation, say ``it was removed from the configuration``.
    :returns: the state without an incident; the alert is ``recovered`` with the kind that the incident had.
    """
    if state.incident is None:
        return state, ()
    incident = _told(state.incident, state.incident.reminded)
    alert = _alert(task, state.report, Event.RECOVERED, now, incident, incident.kind, f"no longer monitored: {why}")
    return replace(state, incident=None, row=0, row_started=None), (alert,)


def daemon_alert(event: Event, explanation: str, now: Instant) -> Alert:
    """An alert of Py Pinger itself: ``started``, ``stopped`` or ``test``."""
    return Alert(id=_id("", now, event.value), event=event, at=now, explanation=explanation)


def _go_on(task: Task, incident: Incident, kind: Kind, now: Instant) -> tuple[Event | None, Incident]:
    """Another error verdict in an open incident: a change of kind, a reminder that is due, or nothing to tell."""
    # If the clock was set back, the next reminder must not wait until it has caught up.
    reminded = min(incident.reminded, now)
    overdue = task.error_interval > 0 and now >= reminded + task.error_interval
    if kind is not incident.kind:
        # It says all that a reminder would, and so stands for one that is due.
        return Event.CHANGED, Incident(incident.started, kind, now if overdue else reminded, incident.alerts + 1)
    if overdue:
        return Event.REMINDER, _told(incident, now)
    return None, incident if reminded == incident.reminded else replace(incident, reminded=reminded)


def _told(incident: Incident, reminded: Instant) -> Incident:
    """The incident after one more alert."""
    return Incident(incident.started, incident.kind, reminded, incident.alerts + 1)


def _alert(
    task: Task,
    report: Report | None,
    event: Event,
    now: Instant,
    incident: Incident,
    kind: Kind,
    explanation: str,
    before: Kind | None = None,
) -> Alert:
    """The alert that an incident has just been charged with."""
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
        before=before,
    )


def _id(*cause: str | Instant) -> str:
    """Sixteen hex digits made from what caused the alert: the same cause has the same id, whenever it is asked for."""
    text = "\n".join(each if isinstance(each, str) else str(round(each * 1000)) for each in cause)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
