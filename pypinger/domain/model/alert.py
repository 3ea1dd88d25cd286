"""Alerts, and their deliveries to channels."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from pypinger.domain.kinds import Kind
from pypinger.domain.model.units import Instant


class Event(StrEnum):
    """
    Why an alert is sent (contract, section 4).

    ``BLIND`` and ``SIGHTED`` are about Py Pinger itself (section 3); ``TEST`` is the alert of ``pypinger notify-test``.
    """

    PROBLEM = "problem"
    CHANGED = "changed"
    REMINDER = "reminder"
    RECOVERED = "recovered"
    FLAPPING = "flapping"
    ACKNOWLEDGED = "acknowledged"
    STARTED = "started"
    STOPPED = "stopped"
    BLIND = "blind"
    SIGHTED = "sighted"
    TEST = "test"


class Alert(msgspec.Struct, frozen=True, gc=False):
    """
    A message to people (contract, section 4). It holds no secret and all that a channel needs.

    :ivar id: stable over retries and restarts; every message carries it.
    :ivar at: when its cause was recorded.
    :ivar task: the task's id; empty for an alert of the daemon itself.
    :ivar name: how the task is shown, or ``Py Pinger``.
    :ivar label: the task's URL as it may be shown; empty for the daemon.
    :ivar origin: ``scheme://host:port`` of the task; empty for the daemon.
    :ivar page: the link to the task's page, if people can reach one.
    :ivar kind: the verdict's kind, None for the daemon.
    :ivar before: the kind that the incident had before, in ``changed``, ``recovered`` and the
        ``problem`` that ends flapping.
    :ivar explanation: the verdict's explanation, or the daemon's own line.
    :ivar started: when the incident started, None for the daemon.
    :ivar lastrun: when the task last ran by its last valid report, for ages.
    :ivar run_started: when its latest run began by that report, for ages; None if the report does not say.
    :ivar due: the verdict's due time.
    :ivar group: what the operator files the task under; empty for nothing.
    :ivar runbook: the link to the instructions for this task; None without one.
    :ivar note: the operator's line about the task; None without one.
    :ivar reason: why the task failed, by its last valid report.
    :ivar key: the task's name in other systems, which no report changes: the configured one, else ``label`` without
        its scheme. Empty for the daemon, and in alerts of earlier versions, which have it in ``name``.
    :ivar joining: whether it is the first alert to a channel that joins an open incident: a reminder, or what has taken
        its place.
    :ivar problem: the id of the incident's first alert; empty for the daemon, and in alerts of earlier versions.
    :ivar instance: of an alert of the daemon itself the name of its instance, where several share the tasks.
    """

    id: str
    event: Event
    at: Instant
    explanation: str
    task: str = ""
    name: str = "Py Pinger"
    label: str = ""
    origin: str = ""
    page: str | None = None
    kind: Kind | None = None
    process: str | None = None
    server: str | None = None
    started: Instant | None = None
    before: Kind | None = None
    lastrun: Instant | None = None
    due: Instant | None = None
    group: str = ""
    runbook: str | None = None
    note: str | None = None
    reason: str | None = None
    key: str = ""
    run_started: Instant | None = None
    joining: bool = False
    instance: str = ""
    problem: str = ""


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """
    One alert for one channel: a row of the outbox.

    :ivar channel: the channel's name, ``slack`` say.
    :ivar attempts: how often it has been tried.
    :ivar not_before: the earliest moment for the next attempt.
    :ivar words: the service's latest answer; empty before the first attempt.
    :ivar progress: which recipients were reached by a message that failed, in the channel's own form; None if none.
    :ivar reference: the message that shows the alert, as the channel refers to it; of a reply the message that it
        replies to. None before it is sent, and for channels without references.
    """

    alert: Alert
    channel: str
    attempts: int = 0
    not_before: Instant = 0.0
    words: str = ""
    progress: str | None = None
    reference: str | None = None


class Outcome(StrEnum):
    """The state of a delivery after an attempt, or without one."""

    SENT = "sent"
    RETRY = "retry"
    DEAD = "dead"
    REPLACED = "replaced"
