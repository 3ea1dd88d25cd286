"""
The JSON objects of the history: runs, changes of the verdict, incidents and deliveries (``docs/api.md``).

:mod:`pypinger.web.json.openapi` describes them from these classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

import msgspec

from pypinger.domain.identity import url_of
from pypinger.domain.kinds import Kind, Status, status_of
from pypinger.domain.model import Event, Fault, Invalid, Outcome, Report, Reported, Window
from pypinger.domain.times import iso
from pypinger.domain.url import task_id
from pypinger.ports.history import Gap, PastDelivery, PastIncident, Run, VerdictChange
from pypinger.web.json.objects import Time, cut, valid_text


class Keyed(Protocol):
    """An entry of the store after which the next page can begin."""

    @property
    def key(self) -> int:
        """Its position in its list."""


K = TypeVar("K", bound=Keyed)


class SleepObject(msgspec.Struct, frozen=True):
    """A daily sleep window in UTC, as tasks report it; `duration` is minutes."""

    start: str
    duration: float


class ReportObject(msgspec.Struct, frozen=True):
    """A task's report, in the format in which tasks publish it."""

    status: str
    lastrun: Time | None
    frequency: float | None
    reason: str | None
    sleep: list[SleepObject]
    process: str | None
    server: str | None
    schedule: str | None
    timezone: str | None
    started: Time | None
    max_runtime: float | None


class RunObject(msgspec.Struct, frozen=True):
    """
    Consecutive checks with the same result.

    With a valid report `report` is set; otherwise `problem` says what was wrong, and `fault` is set if there was no
    HTTP answer. `latency` is that of the first check, if known.
    """

    first: Time | None
    last: Time | None
    count: int
    code: int | None
    report: ReportObject | None
    fault: Fault | None
    problem: str | None
    latency: float | None


class ChangeObject(msgspec.Struct, frozen=True):
    """A change of the verdict's kind."""

    at: Time | None
    status: Status
    kind: Kind
    explanation: str


class GapObject(msgspec.Struct, frozen=True):
    """A run of the task itself; `gap` is the number of seconds since the run before."""

    lastrun: Time | None
    gap: float | None


class UptimeObject(msgspec.Struct, frozen=True):
    """The fraction of each period in which the task was on time, without sleep and blind time."""

    h24: float | None = msgspec.field(name="24h")
    d7: float | None = msgspec.field(name="7d")
    d30: float | None = msgspec.field(name="30d")
    d90: float | None = msgspec.field(name="90d")


class HistoryObject(msgspec.Struct, frozen=True):
    """The history of a task, newest first."""

    runs: list[RunObject]
    changes: list[ChangeObject]
    gaps: list[GapObject]
    uptime: UptimeObject


class AlertObject(msgspec.Struct, frozen=True):
    """An alert of an incident."""

    id: str
    event: Event
    at: Time | None
    explanation: str


class PastIncidentObject(msgspec.Struct, frozen=True):
    """
    An incident, open (`ended` is null) or closed.

    `url` and `task` are the task's URL and id, `kinds` the kinds of error in order, `alerts` the number of its alerts,
    and `told` the latest alerts that were addressed to a channel, oldest first.
    """

    url: str | None
    task: str
    started: Time | None
    opened: Time | None
    ended: Time | None
    kinds: list[Kind]
    explanation: str
    alerts: int
    told: list[AlertObject]


class DeliveryObject(msgspec.Struct, frozen=True):
    """
    The delivery of an alert to one channel; `outcome` is null while it is pending.

    `url` and `task` are null for an alert of Py Pinger itself. `words` is the latest answer of the channel's service,
    and `settled` its time.
    """

    url: str | None
    task: str | None
    alert: AlertObject
    channel: str
    attempts: int
    outcome: Outcome | None
    words: str
    settled: Time | None


class HistoryPage(msgspec.Struct, frozen=True):
    """A page of a task's history; `next` links to the next one."""

    data: HistoryObject
    next: str | None


class IncidentPage(msgspec.Struct, frozen=True):
    """A page of incidents; `next` links to the next one."""

    data: list[PastIncidentObject]
    next: str | None


class DeliveryPage(msgspec.Struct, frozen=True):
    """A page of deliveries; `next` links to the next one."""

    data: list[DeliveryObject]
    next: str | None


def cut_page(items: Sequence[K], limit: int) -> tuple[Sequence[K], int | None]:
    """The page out of ``limit + 1`` entries that were read, and the cursor of the next page if there is one."""
    page = items[:limit]
    return page, page[-1].key if len(items) > limit else None


def paired(runs: int | None, changes: int | None) -> str | None:
    """The cursor over two lists; 0 is the end of one, None the end of both."""
    return None if runs is changes is None else f"{runs or 0}-{changes or 0}"


def run_object(run: Run) -> RunObject:
    """A finding, as JSON."""
    finding = run.finding
    code = report = fault = problem = latency = None
    match finding:
        case Reported():
            code, report = finding.code, report_object(finding.report)
        case Invalid():
            code, problem = finding.code, cut(finding.problem)
        case _:
            fault, problem, latency = finding.fault, cut(finding.words), finding.latency
    return RunObject(iso(run.first), iso(run.last), run.count, code, report, fault, problem, latency)


def report_object(report: Report) -> ReportObject:
    """A report, as its task published it."""
    return ReportObject(
        status="ok" if report.ok else "error",
        lastrun=iso(report.lastrun),
        frequency=report.frequency if report.schedule is None else None,
        reason=cut(report.reason),
        sleep=[_sleep(window) for window in report.sleep],
        process=cut(report.process),
        server=cut(report.server),
        schedule=cut(report.schedule),
        timezone=cut(report.timezone),
        started=iso(report.started),
        max_runtime=report.max_runtime,
    )


def history_object(
    runs: Sequence[Run], changes: Sequence[VerdictChange], gaps: Sequence[Gap], uptime: Mapping[str, float | None]
) -> HistoryObject:
    """A page of history, as JSON."""
    return HistoryObject(
        runs=[run_object(run) for run in runs],
        changes=[
            ChangeObject(iso(each.at), status_of(each.kind), each.kind, valid_text(each.explanation))
            for each in changes
        ],
        gaps=[GapObject(iso(each.lastrun), each.gap) for each in gaps],
        uptime=UptimeObject(*(uptime.get(period) for period in ("24h", "7d", "30d", "90d"))),
    )


def incident_object(incident: PastIncident) -> PastIncidentObject:
    """An incident, as JSON."""
    return PastIncidentObject(
        url=_url(incident.task),
        task=task_id(incident.task),
        started=iso(incident.started),
        opened=iso(incident.opened),
        ended=iso(incident.ended),
        kinds=list(incident.kinds),
        explanation=valid_text(incident.explanation),
        alerts=incident.alerts,
        told=[AlertObject(told.id, told.event, iso(told.at), valid_text(told.explanation)) for told in incident.told],
    )


def delivery_object(delivery: PastDelivery) -> DeliveryObject:
    """A delivery, as JSON."""
    alert = delivery.alert
    return DeliveryObject(
        url=None if delivery.task is None else _url(delivery.task),
        task=None if delivery.task is None else task_id(delivery.task),
        alert=AlertObject(alert.id, alert.event, iso(alert.at), valid_text(alert.explanation)),
        channel=delivery.channel,
        attempts=delivery.attempts,
        outcome=delivery.outcome,
        words=valid_text(delivery.words),
        settled=iso(delivery.settled),
    )


def _url(key: str) -> str | None:
    url = url_of(key)
    return None if url is None else valid_text(url)


def _sleep(window: Window) -> SleepObject:
    minutes, seconds = divmod(window.start, 60)
    return SleepObject(f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}", window.duration / 60)
