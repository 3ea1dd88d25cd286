"""Alerts made of what caused them, with ids that the same cause always gives (contract, section 4)."""

from __future__ import annotations

from hashlib import blake2b

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Alert, Event, Incident, Instant, Report, Task
from pypinger.domain.naming import shown_name
from pypinger.domain.texts import LIMIT

#: What the alert of an instance says whose database is away.
NO_TASKS = "it checks no tasks"


def task_alert(
    task: Task,
    report: Report | None,
    event: Event,
    now: Instant,
    incident: Incident,
    explanation: str,
    *,
    due: Instant | None = None,
    kind: Kind | None = None,
    before: Kind | None = None,
) -> Alert:
    """
    Make the alert that an incident has just been charged with.

    :param due: the verdict's due time.
    :param kind: of the verdict; None: that of the incident.
    :param before: the kind before a change or the end.
    """
    return Alert(
        id=alert_id(task.key, incident.started, str(incident.alerts)),
        event=event,
        at=now,
        explanation=explanation,
        task=task.id,
        name=shown_name(task, report),
        key=task.name,
        label=task.label,
        origin=task.origin,
        page=task.page,
        kind=incident.kind if kind is None else kind,
        process=report.process if report else None,
        server=report.server if report else None,
        started=incident.started,
        before=before,
        lastrun=None if report is None else report.lastrun,
        run_started=None if report is None else report.started,
        due=due,
        group=task.group,
        runbook=task.runbook,
        note=task.note or None,
        reason=None if report is None or report.reason is None else report.reason[:LIMIT],
        problem=alert_id(task.key, incident.started, "1"),
    )


def daemon_alert(event: Event, explanation: str, now: Instant, instance: str = "") -> Alert:
    """
    Make an alert of Py Pinger itself.

    :param instance: the name of the instance, where several share the tasks; empty for a single one.
    """
    words = f"instance {instance}: {explanation}" if instance else explanation
    return Alert(id=alert_id(instance, now, event.value), event=event, at=now, explanation=words, instance=instance)


def alert_id(*cause: str | Instant) -> str:
    """Return sixteen hex digits made from what caused the alert: the same cause gives the same id."""
    text = "\n".join(each if isinstance(each, str) else str(round(each * 1000)) for each in cause)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def task_key(alert: Alert) -> str:
    """Return the configured name of the alert's task, else its URL without query: a text that stays the same."""
    name = alert.key or alert.name
    return task_url(alert) if name in (alert.label, alert.label.partition("://")[2]) else name


def task_url(alert: Alert) -> str:
    """Return the URL of the alert's task without its query; empty if the task has none."""
    return alert.label.removesuffix("?…")


def incident_key(alert: Alert) -> str | None:
    """Return what all alerts of one incident have in common; None for an alert of the daemon itself."""
    if not alert.task or alert.started is None:
        return None
    return f"{alert.task}:{round(alert.started * 1000)}"
