"""
Read the store's records of a task for :mod:`pypinger.domain.replay`.

It may read while the daemon is running, and writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Protocol, TypeVar

from msgspec.structs import replace

from pypinger.domain.kinds import Kind, Status, status_of
from pypinger.domain.model import Alert, Event, Incident, Instant, Report, Reported, Task
from pypinger.domain.recorded import FindingRun
from pypinger.domain.reminders import reminded
from pypinger.domain.replay import Notice, Records
from pypinger.ports.history import PastIncident, Run, VerdictChange
from pypinger.store.accounting import millis
from pypinger.store.reading import Reader

#: How many entries one query reads.
PAGE = 500

#: Runs, verdicts and incidents are stored in milliseconds, alerts exactly.
MILLISECOND = 0.001


class _Keyed(Protocol):
    @property
    def key(self) -> int: ...


_Entry = TypeVar("_Entry", bound=_Keyed)


def records(
    reader: Reader, task: Task, since: Instant, until: Instant
) -> tuple[Records, Sequence[tuple[Instant, Instant]]]:
    """
    Read the records of a task, from the run or incident that was open at `since` to before `until`.

    :returns: the records, and the times of incidents that were sent to no channel: of these only the beginning, the
        changes and the end are stored.
    """
    of = task.key
    before = reader.runs(of, millis(since), 1)
    runs = reader.findings(of, before[0].first if before else since, until)
    begin = runs[0].first if runs else since
    past_incidents = _incidents(reader, of, begin, until)
    row = min((each.started for each in past_incidents if each.started < begin <= each.opened), default=None)
    if row is not None:
        # The row of errors that opened an incident of this period began earlier.
        runs = reader.findings(of, row, until)
        begin = runs[0].first
    earliest = min((each.opened for each in past_incidents), default=begin) - MILLISECOND
    changes = list(_back(lambda key: reader.verdicts(of, key, PAGE), lambda each: each.at >= earliest))[::-1]
    alerts = _alerts(reader, of, earliest)
    logged = [each for each in past_incidents if not each.told]
    given = [_notice(alert) for alert in alerts] + [notice for each in logged for notice in _logged(each, changes)]
    recoveries = {each.at for each in changes if each.kind is Kind.OK}
    read = Records(
        runs=_runs(runs, alerts),
        blind=[(span.start, span.end) for span in reader.blind_times(begin, until)],
        given=sorted((each for each in given if begin - MILLISECOND <= each.at < until), key=lambda notice: notice.at),
        removed=[each.ended for each in past_incidents if each.ended is not None and each.ended not in recoveries],
        incident=next(
            (_open(task, each, begin, changes, alerts) for each in past_incidents if each.opened < begin), None
        ),
        report=_report_before(reader, of, begin),
        end=min(until, reader.alive()),
        configured=None if (state := reader.state(of)) is None else state.configured,
    )
    return read, [(each.opened, inf if each.ended is None else each.ended) for each in logged]


def others(reader: Reader, known: Collection[str], since: Instant, until: Instant) -> Mapping[str, Sequence[Notice]]:
    """Return the alerts of tasks that are not in `known`, by key."""
    given: dict[str, dict[str, Alert]] = {}
    for each in _back(lambda key: reader.deliveries(None, key, PAGE), lambda each: each.alert.at >= since):
        if each.task is not None and each.task not in known and each.alert.at < until:
            given.setdefault(each.task, {})[each.alert.id] = each.alert
    return {key: _in_order(alerts.values()) for key, alerts in given.items()}


def _report_before(reader: Reader, of: str, at: Instant) -> Report | None:
    """Return the last valid report of the runs that began before a moment."""
    key = millis(at)
    while page := reader.runs(of, key, PAGE):
        for run in page:
            if isinstance(run.finding, Reported):
                return run.finding.report
        key = page[-1].key
    return None


def _open(
    task: Task, incident: PastIncident, at: Instant, changes: Sequence[VerdictChange], alerts: Sequence[Alert]
) -> Incident:
    """Return an incident as it was right before a moment."""
    kind = incident.kinds[0]
    for change in changes:
        if incident.opened < change.at < at and status_of(change.kind) is Status.ERROR:
            kind = change.kind
    flapping = any(alert.event is Event.FLAPPING for alert in alerts if alert.started == incident.started)
    found = Incident(incident.started, kind, incident.opened, incident.alerts, flapping=flapping)
    for alert in alerts:
        if not incident.opened - MILLISECOND <= alert.at < at - MILLISECOND:
            continue
        if alert.event is Event.CHANGED:
            found = replace(found, changed=alert.at)
        elif alert.event is Event.REMINDER:
            found = reminded(task, found, alert.at)
        elif alert.event in (Event.PROBLEM, Event.FLAPPING):
            found = replace(found, reminded=alert.at, reminders=0)
    return found


def _incidents(reader: Reader, of: str, since: Instant, until: Instant) -> list[PastIncident]:
    """Return the incidents of a task that were open in a period, in order."""
    pages = _back(lambda key: reader.incidents(of, key, PAGE), lambda each: each.ended is None or each.ended >= since)
    return [each for each in pages if each.opened < until][::-1]


def _runs(runs: Iterable[Run], alerts: Iterable[Alert]) -> list[FindingRun]:
    """Return runs; those that began with an alert begin at exactly its moment, so that deadlines are exact."""
    exact = {millis(alert.at): alert.at for alert in alerts}
    firsts = [(run, exact.get(millis(run.first), run.first)) for run in runs]
    return [FindingRun(first, max(first, run.last), run.count, run.finding) for run, first in firsts]


def _alerts(reader: Reader, of: str, since: Instant) -> list[Alert]:
    """Return the alerts of a task that were sent to any channel, in order."""
    deliveries = _back(lambda key: reader.deliveries(of, key, PAGE), lambda each: each.alert.at >= since)
    return sorted({each.alert.id: each.alert for each in deliveries}.values(), key=lambda alert: alert.at)


def _back(read: Callable[[int | None], Sequence[_Entry]], wanted: Callable[[_Entry], bool]) -> Iterator[_Entry]:
    """Yield entries from the newest back to the first that is not wanted."""
    before = None
    while page := read(before):
        for entry in page:
            if not wanted(entry):
                return
            yield entry
        before = page[-1].key


def _in_order(alerts: Iterable[Alert]) -> list[Notice]:
    return [_notice(alert) for alert in sorted(alerts, key=lambda alert: alert.at)]


def _notice(alert: Alert) -> Notice:
    assert alert.kind is not None
    return Notice(alert.at, alert.event, alert.kind, alert.explanation)


def _logged(incident: PastIncident, changes: Sequence[VerdictChange]) -> Iterator[Notice]:
    """Yield the logged alerts of an incident that was sent to no channel, without its reminders."""
    kind = incident.kinds[0]
    yield Notice(incident.opened, Event.PROBLEM, kind, incident.explanation)
    end = inf if incident.ended is None else incident.ended
    for change in changes:
        if incident.opened < change.at < end and status_of(change.kind) is Status.ERROR and change.kind is not kind:
            kind = change.kind
            yield Notice(change.at, Event.CHANGED, kind, change.explanation)
    if incident.ended is not None:
        recovery = next((each for each in changes if each.at == incident.ended and each.kind is Kind.OK), None)
        if recovery is None:
            yield Notice(incident.ended, Event.RECOVERED, kind, "no longer monitored")
        else:
            yield Notice(incident.ended, Event.RECOVERED, Kind.OK, recovery.explanation)
