"""
The JSON objects of the present state (contract, section 7; ``docs/api.md``).

Unknown values are null; times are ISO 8601 in UTC with milliseconds and ``Z``.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from pypinger.domain.kinds import KINDS, Kind, Status
from pypinger.domain.model import Incident, Seconds, TaskState, Verdict
from pypinger.domain.moments import due_of, sleep_of
from pypinger.domain.schedule import plan_of
from pypinger.domain.silence import Muted
from pypinger.domain.times import MINUTE, iso
from pypinger.ports.showing import DaemonState, Entry, Sharing
from pypinger.web.instances import different

#: ISO 8601 in UTC, with milliseconds and ``Z``.
Time: TypeAlias = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]

#: The verdict on a task that is not checked yet.
NO_VERDICT = Verdict(Kind.NEW, "not checked yet")

#: Characters at which texts from reports are cut.
MAX_TEXT = 500

#: The answer for a URL that is not monitored.
NO_TASK = b'{"data":{}}'


class AcknowledgedObject(msgspec.Struct, frozen=True):
    """Who acknowledged an incident, and why, as JSON."""

    at: Time | None
    by: str
    reason: str | None


class IncidentObject(msgspec.Struct, frozen=True):
    """An open incident, as JSON."""

    started: Time | None
    kind: Kind
    flapping: bool = False
    acknowledged: AcknowledgedObject | None = None


class SilenceObject(msgspec.Struct, frozen=True):
    """What mutes a task's alerts, as JSON; `source` is ``silence ID`` or ``maintenance NAME``."""

    until: Time | None
    reason: str | None
    by: str | None
    source: str


class TaskObject(msgspec.Struct, frozen=True):
    """A task and its state, as JSON; the members of the contract are in its order, before those that it has not."""

    url: str | None
    id: str
    name: str
    group: str | None
    status: Status
    kind: Kind
    explanation: str
    pings: int
    errors: int
    process: str | None
    server: str | None
    reason: str | None
    frequency: float | None
    schedule: str | None
    lastrun: Time | None
    started: Time | None
    due: Time | None
    next_change: Time | None
    sleep_start: Time | None
    sleep_end: Time | None
    checked: Time | None
    seen: Time | None
    unseen: Time | None
    since: Time | None
    incident: IncidentObject | None
    silenced: SilenceObject | None
    latency: Seconds | None
    timezone: str | None
    max_runtime: float | None
    instance: str | None


class InstanceObject(msgspec.Struct, frozen=True):
    """
    An instance that shares the tasks, as JSON.

    `here` marks the one that answers; `other_ini` is whether an instance reads another ini file than that one.
    """

    name: str
    here: bool
    status: Status
    explanation: str
    version: str
    started: Time | None
    joined: Time | None
    blind: Time | None
    tasks: int
    channels: list[str]
    undelivered: int
    dead: int
    other_ini: bool


class SelfObject(msgspec.Struct, frozen=True):
    """The state of Py Pinger itself, as JSON."""

    status: Status
    explanation: str
    started: Time | None
    blind: Time | None
    undelivered: int
    dead: int


class OwnReport(msgspec.Struct, frozen=True):
    """
    Py Pinger's report on itself, in the format of section 1.

    `reason` and `dead` are there only if something is wrong, `server` only where instances share the tasks.
    """

    status: Status
    lastrun: Time | None
    frequency: float
    process: str
    server: str | msgspec.UnsetType = msgspec.UNSET
    reason: str | msgspec.UnsetType = msgspec.UNSET
    dead: int | msgspec.UnsetType = msgspec.UNSET


class Health(msgspec.Struct, frozen=True):
    """The process serves; `trouble` says what is wrong nevertheless."""

    status: str
    trouble: str | msgspec.UnsetType = msgspec.UNSET


def task_object(entry: Entry) -> TaskObject:
    """A task, as JSON."""
    task, state = entry.task, entry.state
    verdict, report, incident = state.verdict or NO_VERDICT, state.report, state.incident
    plan, sleep = plan_of(task, report), sleep_of(task, state)
    return TaskObject(
        url=None if task.url is None else valid_text(task.url),
        id=task.id,
        name=valid_text(entry.name),
        group=valid_text(task.group) or None,
        status=state.status,
        kind=state.kind,
        explanation=valid_text(verdict.explanation),
        pings=state.pings,
        errors=state.errors,
        process=None if report is None else cut(report.process),
        server=None if report is None else cut(report.server),
        reason=cut(reason_of(state)),
        frequency=_minutes(plan.frequency),
        schedule=None if plan.cron is None else plan.cron.expression,
        lastrun=None if report is None else iso(report.lastrun),
        started=None if report is None else iso(report.started),
        due=iso(due_of(task, state)),
        next_change=iso(verdict.next_change),
        sleep_start=None if sleep is None else iso(sleep.start),
        sleep_end=None if sleep is None else iso(sleep.end),
        checked=iso(state.checked),
        seen=iso(entry.seen),
        unseen=iso(entry.unseen),
        since=iso(state.since),
        incident=None if incident is None else incident_object(incident),
        silenced=None if entry.muted is None else silence_object(entry.muted),
        latency=state.latency,
        timezone=None if plan.cron is None else plan.cron.timezone,
        max_runtime=_minutes(plan.max_runtime),
        instance=None if entry.owner is None else valid_text(entry.owner),
    )


def instance_objects(sharing: Sharing | None) -> list[InstanceObject]:
    """The instances that share the tasks, as JSON; none on a single machine."""
    if sharing is None:
        return []
    others = {each.id for each in different(sharing)}
    return [
        InstanceObject(
            name=valid_text(each.name),
            here=each.name == sharing.here,
            status=each.health.status,
            explanation=valid_text(each.health.explanation[:MAX_TEXT]),
            version=valid_text(each.health.version),
            started=iso(each.health.started),
            joined=iso(each.joined),
            blind=iso(each.health.blind),
            tasks=each.tasks,
            channels=[valid_text(channel) for channel in each.channels],
            undelivered=each.health.undelivered,
            dead=each.health.dead,
            other_ini=each.id in others,
        )
        for each in sharing.members
    ]


def incident_object(incident: Incident) -> IncidentObject:
    """An open incident, as JSON."""
    taken = incident.acknowledged
    return IncidentObject(
        started=iso(incident.started),
        kind=incident.kind,
        flapping=incident.flapping,
        acknowledged=None
        if taken is None
        else AcknowledgedObject(iso(taken.at), valid_text(taken.by[:MAX_TEXT]), cut(taken.reason) or None),
    )


def silence_object(muted: Muted) -> SilenceObject:
    """What mutes a task's alerts, as JSON."""
    return SilenceObject(
        until=iso(muted.until),
        reason=cut(muted.reason) or None,
        by=cut(muted.by) or None,
        source=valid_text(muted.source),
    )


def task_row(entry: Entry) -> bytes:
    """A task as JSON text; it depends only on the task and its state."""
    return msgspec.json.encode(task_object(entry))


def overview(rows: bytes, daemon: bytes) -> bytes:
    """
    The answer to ``GET /``.

    :param rows: the :func:`task_row` of every task, joined by commas.
    :param daemon: see :func:`own_state`.
    """
    # Megabytes, perhaps: copied once.
    return b"".join((b'{"data":[', rows, b'],"self":', daemon, b"}"))


def own_state(daemon: DaemonState) -> bytes:
    """The overview's ``self``, as JSON text."""
    return msgspec.json.encode(self_object(daemon))


def one_task(row: bytes) -> bytes:
    """The answer to ``GET /task/…``."""
    return b'{"data":' + row + b"}"


def self_object(daemon: DaemonState) -> SelfObject:
    """The overview's ``self``."""
    return SelfObject(
        status=daemon.status,
        explanation=valid_text(daemon.explanation),
        started=iso(daemon.started),
        blind=iso(daemon.blind),
        undelivered=daemon.undelivered,
        dead=daemon.dead,
    )


def own_report(daemon: DaemonState) -> bytes:
    """The answer to ``GET /status``: a report that another Py Pinger can watch."""
    return msgspec.json.encode(
        OwnReport(
            status=daemon.status,
            lastrun=iso(daemon.lastrun),
            frequency=daemon.frequency,
            process="Py Pinger",
            server=msgspec.UNSET if daemon.sharing is None else valid_text(daemon.sharing.here),
            reason=_trouble(daemon),
            dead=daemon.dead or msgspec.UNSET,
        )
    )


def health(daemon: DaemonState) -> bytes:
    """The answer to ``GET /healthz``."""
    return msgspec.json.encode(Health("ok", _trouble(daemon)))


def reason_of(state: TaskState) -> str | None:
    """The ``reason`` of the report that the latest verdict rests on; None if it rests on none."""
    return state.report.reason if state.report is not None and KINDS[state.kind].reported else None


def _minutes(seconds: Seconds | None) -> float | None:
    """Minutes as they were given, without what the conversion added."""
    return None if seconds is None else round(seconds / MINUTE, 9)


def _trouble(daemon: DaemonState) -> str | msgspec.UnsetType:
    return msgspec.UNSET if daemon.status is Status.OK else valid_text(daemon.explanation[:MAX_TEXT])


def valid_text(text: str) -> str:
    """`text` with lone surrogates, which UTF-8 cannot encode, replaced."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def cut(text: str | None) -> str | None:
    """A text from a report or a service, cut at :data:`MAX_TEXT`."""
    return None if text is None else valid_text(text[:MAX_TEXT])
