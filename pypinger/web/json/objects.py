"""
The JSON shapes of the pages (contract, section 7; ``docs/api.md``): values in, bytes out.

What is unknown is null, times are ISO 8601 in UTC with milliseconds and ``Z``. Which task is meant, and with which
status code it is sent, is left to :mod:`pypinger.web.app`.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import Seconds, TaskState, Verdict
from pypinger.domain.times import iso
from pypinger.ports.showing import DaemonState, Entry

#: ISO 8601 in UTC, with milliseconds and ``Z``.
Time: TypeAlias = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]

#: Stands for the verdict on a task that was not checked yet.
NO_VERDICT = Verdict(Kind.NEW, "not checked yet")

#: Where texts from reports are cut.
MAX_TEXT = 500

#: The answer for a URL that is not monitored.
NO_TASK = b'{"data":{}}'

#: Kinds of a verdict that rests on no valid report, so that the last report's ``reason`` has nothing to do with it.
_WITHOUT_REPORT = frozenset({Kind.NEW, Kind.UNREACHABLE, Kind.INVALID})


class IncidentObject(msgspec.Struct, frozen=True):
    """An open incident, as JSON."""

    started: Time | None
    kind: Kind


class TaskObject(msgspec.Struct, frozen=True):
    """A task and where it stands, as JSON; the members are those of the contract, in its order."""

    url: str
    id: str
    name: str
    status: Status
    kind: Kind
    explanation: str
    pings: int
    errors: int
    process: str | None
    server: str | None
    reason: str | None
    frequency: float | None
    lastrun: Time | None
    due: Time | None
    next_change: Time | None
    sleep_start: Time | None
    sleep_end: Time | None
    checked: Time | None
    since: Time | None
    incident: IncidentObject | None
    latency: Seconds | None


class SelfObject(msgspec.Struct, frozen=True):
    """Where Py Pinger itself stands, as JSON."""

    status: Status
    explanation: str
    started: Time | None
    blind: Time | None
    undelivered: int
    dead: int


class OwnReport(msgspec.Struct, frozen=True):
    """
    Py Pinger's report on itself, in the format of section 1; without `reason` while all is well, and without `dead`
    while no alert was given up.
    """

    status: Status
    lastrun: Time | None
    frequency: float
    process: str
    reason: str | msgspec.UnsetType = msgspec.UNSET
    dead: int | msgspec.UnsetType = msgspec.UNSET


class Health(msgspec.Struct, frozen=True):
    """Whether the process serves; `trouble` says what is wrong with it although it does."""

    status: str
    trouble: str | msgspec.UnsetType = msgspec.UNSET


def task_object(entry: Entry) -> TaskObject:
    """What JSON tells of one task."""
    task, state = entry.task, entry.state
    verdict, report, incident = state.verdict or NO_VERDICT, state.report, state.incident
    return TaskObject(
        url=sound(task.url),
        id=task.id,
        name=sound(task.name),
        status=state.status,
        kind=state.kind,
        explanation=sound(verdict.explanation),
        pings=state.pings,
        errors=state.errors,
        process=None if report is None else cut(report.process),
        server=None if report is None else cut(report.server),
        reason=cut(reason_of(state)),
        frequency=None if report is None else report.frequency,
        lastrun=None if report is None else iso(report.lastrun),
        due=iso(verdict.due),
        next_change=iso(verdict.next_change),
        sleep_start=iso(verdict.sleep_start),
        sleep_end=iso(verdict.sleep_end),
        checked=iso(state.checked),
        since=iso(state.since),
        incident=None if incident is None else IncidentObject(iso(incident.started), incident.kind),
        latency=state.latency,
    )


def task_row(entry: Entry) -> bytes:
    """One task as JSON text; it changes only with the task or its state, so it may be kept with them."""
    return msgspec.json.encode(task_object(entry))


def overview(rows: bytes, daemon: bytes) -> bytes:
    """
    The answer to ``GET /``.

    :param rows: what :func:`task_row` made of every task, joined by commas.
    :param daemon: what :func:`own_state` made.
    """
    # It may have megabytes, which are copied once.
    return b"".join((b'{"data":[', rows, b'],"self":', daemon, b"}"))


def own_state(daemon: DaemonState) -> bytes:
    """The overview's ``self``, as JSON text."""
    return msgspec.json.encode(self_object(daemon))


def one_task(row: bytes) -> bytes:
    """The answer to ``GET /task/…``."""
    return b'{"data":' + row + b"}"


def self_object(daemon: DaemonState) -> SelfObject:
    """What the overview tells of Py Pinger itself."""
    return SelfObject(
        status=daemon.status,
        explanation=sound(daemon.explanation),
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
            reason=_trouble(daemon),
            dead=daemon.dead or msgspec.UNSET,
        )
    )


def health(daemon: DaemonState) -> bytes:
    """The answer to ``GET /healthz``."""
    return msgspec.json.encode(Health("ok", _trouble(daemon)))


def reason_of(state: TaskState) -> str | None:
    """The ``reason`` of the report that the latest verdict rests on; None if it rests on none."""
    return None if state.report is None or state.kind in _WITHOUT_REPORT else state.report.reason


def _trouble(daemon: DaemonState) -> str | msgspec.UnsetType:
    return msgspec.UNSET if daemon.status is Status.OK else sound(daemon.explanation[:MAX_TEXT])


def sound(text: str) -> str:
    """`text` without lone surrogates, which no UTF-8 can carry."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def cut(text: str | None) -> str | None:
    """A text from a report or a service, as much of it as is sent."""
    return None if text is None else sound(text[:MAX_TEXT])
