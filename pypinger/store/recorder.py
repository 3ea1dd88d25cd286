"""
The recorder turns calls of the store into rows.

It holds the present of every task in memory (state, open run, open hour, open incident) and puts changed rows into
:class:`~pypinger.store.rows.PendingRows`. It does no I/O and knows no SQL.

Note [Present and past]
~~~~~~~~~~~~~~~~~~~~~~~
Nine of ten checks of a healthy task find nothing new. The present, which every check changes, is one row a task that
is updated in place; a run or an hour becomes a row of its own when it ends. Past hours are added to, not replaced: when
the wall clock is set back, an hour occurs twice.

Note [Time between two checks]
~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
It has the status of the first check, because a check is made whenever a verdict changes by itself. Known blind times
are left out. If two checks are further apart than one missed check explains, the rest counts as blind. Each moment is
accounted for once: after a step back, accounting waits until the clock has caught up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from pypinger.domain.kinds import Kind, Status
from pypinger.domain.model import Check, Delivery, Incident, Instant, NoAnswer, Outcome, Task, TaskState
from pypinger.domain.schedule import sleep_at
from pypinger.domain.silence import Silence
from pypinger.ports.storing import HostSeen
from pypinger.store.accounting import DAY, HOUR, Hour, Millis, hours, millis, stretches
from pypinger.store.rows import Blindness, DeliveryRow, IncidentRow, OpenRun, PendingRows, Settlement, TaskRecord, text

#: The maximum number of kinds in an incident's row.
KINDS = 100

#: How many blind times are held in memory: those that later checks may overlap.
BLIND_TIMES = 1000


class Recorder:
    """
    Turns calls into rows.

    :ivar tasks: the key of a task -> its present.
    :ivar blind: the latest blind times.
    :ivar outbox: (alert, channel) -> the delivery, for each that is pending.
    """

    def __init__(self) -> None:
        self.pending = PendingRows()
        self.tasks: dict[str, TaskRecord] = {}
        self.blind: list[tuple[Millis, Millis]] = []
        self.hosts: dict[str, HostSeen] = {}
        self.blindness: Blindness = (None, None)
        self.silences: tuple[Silence, ...] = ()
        self.outbox: dict[tuple[str, str], DeliveryRow] = {}
        self._next_task = 1
        self._next_incident = 1
        self._sighted: Millis = 0

    def resume(self, blindness: Blindness, silences: tuple[Silence, ...]) -> None:
        """Continue with a blindness and silences that are already written."""
        self.blindness, self.silences = blindness, silences

    def count_from(self, task: int, incident: int) -> None:
        """Give new tasks and new incidents ids from these on."""
        self._next_task, self._next_incident = task, incident

    def note(self, task: Task, state: TaskState, check: Check) -> None:
        """See :meth:`pypinger.ports.storing.Store.note`."""
        record = self.present(task.key)
        if check.finding is None:
            self._judged(record, task, check)
        else:
            self._check(record, task, check, event=False)
        self._change(record, state, check, check.at)

    def commit(
        self, task: Task, state: TaskState, check: Check | None, deliveries: Sequence[Delivery], now: Instant
    ) -> None:
        """See :meth:`pypinger.ports.storing.Store.commit`; `now` is used if there was no check."""
        record = self.present(task.key)
        incident = record.incident
        if check is not None:
            if check.finding is None:
                self._judged(record, task, check)
            else:
                self._check(record, task, check, event=True)
            now = check.at
        self._change(record, state, check, now)
        incident = record.incident or incident
        self._enqueue(deliveries, record.id, None if incident is None else incident.id)

    def enqueue(self, deliveries: Sequence[Delivery]) -> None:
        """See :meth:`pypinger.ports.storing.Store.enqueue`."""
        self._enqueue(deliveries, None, None)

    def settle(self, delivery: Delivery, outcome: Outcome, now: Instant) -> None:
        """See :meth:`pypinger.ports.storing.Store.settle`."""
        key = delivery.alert.id, delivery.channel
        words = text(delivery.words)
        progress, reference = (None if each is None else text(each) for each in (delivery.progress, delivery.reference))
        self.pending.settle(
            Settlement(*key, delivery.attempts, delivery.not_before, words, outcome, millis(now), progress, reference)
        )
        row = self.outbox.get(key)
        if outcome is not Outcome.RETRY:
            self.outbox.pop(key, None)
        elif row is not None:
            self.outbox[key] = replace(
                row, attempts=delivery.attempts, not_before=delivery.not_before, words=words, progress=progress
            )

    def add_blind(self, start: Instant, end: Instant) -> None:
        """See :meth:`pypinger.ports.storing.Store.blind`."""
        span = millis(start), millis(end)
        if span[0] < span[1]:
            self.pending.blind.append(span)
            self.remember_blind(span)

    def see_hosts(self, seen: Mapping[str, HostSeen]) -> None:
        """See :meth:`pypinger.ports.storing.Store.hosts`."""
        self.hosts.update(seen)
        self.pending.hosts.update(seen)

    def set_blindness(self, state: Blindness) -> None:
        """See :meth:`pypinger.ports.storing.Store.blindness`."""
        self.blindness = state
        self.pending.blindness.append(state)

    def set_silences(self, present: tuple[Silence, ...]) -> None:
        """See :meth:`pypinger.ports.storing.Store.silences`."""
        self.silences = present
        self.pending.silences.append(present)

    def remember_blind(self, span: tuple[Millis, Millis]) -> None:
        """Take account of a blind time that is already written."""
        self.blind.append(span)
        del self.blind[:-BLIND_TIMES]
        self._sighted = max(self._sighted, span[1])

    def take_blind_times(self, other: Recorder) -> None:
        """Use the blind times of another recorder."""
        self.blind = other.blind
        self._sighted = other._sighted

    def new_incident(self) -> int:
        """The id for a new incident."""
        self._next_incident += 1
        return self._next_incident - 1

    def present(self, key: str) -> TaskRecord:
        """The present of a task, to be written with the next transaction."""
        record = self.tasks.get(key)
        if record is None:
            record = self.tasks[key] = TaskRecord(self._next_task, key)
            self._next_task += 1
            self.pending.born.append(record)
        if not record.dirty:
            record.dirty = True
            self.pending.tasks.append(record)
        return record

    def _enqueue(self, deliveries: Sequence[Delivery], task: int | None, incident: int | None) -> None:
        for each in deliveries:
            row = DeliveryRow(
                *(each.alert, each.channel, task, incident, each.attempts, each.not_before, text(each.words)),
                None if each.progress is None else text(each.progress),
            )
            self.pending.deliveries.append(row)
            self.outbox.setdefault((each.alert.id, each.channel), row)

    def _check(self, record: TaskRecord, task: Task, check: Check, *, event: bool) -> None:
        """Count a check in its hour and in its run."""
        assert check.finding is not None
        at = millis(check.at)
        figures = self._judged(record, task, check)
        figures.checks += 1
        if check.verdict.status is Status.ERROR:
            figures.errors += 1
        latency = round(check.latency * 1_000_000)
        figures.latency += latency
        if latency > figures.slowest:
            figures.slowest = latency
        run = record.run
        if run is not None:
            if not event and at >= run.last and _same(run, check):
                run.last = at
                run.count += 1
                return
            self.pending.runs.append((record.id, run))
        record.run = OpenRun(check.finding, at, at)

    def _judged(self, record: TaskRecord, task: Task, check: Check) -> Hour:
        """Account for the time until a verdict; returns the hour that it was made in."""
        at = millis(check.at)
        hour = at // HOUR
        figures = record.hour
        if figures is None or figures.hour != hour:
            if figures is not None:
                self.pending.account(record.id, figures)
            figures = record.hour = Hour(hour)
        if record.accounted != at:
            self._account(record, figures, task, at)
        return figures

    def _account(self, record: TaskRecord, figures: Hour, task: Task, at: Millis) -> None:
        """Account for the time since the previous check: see Note [Time between two checks]."""
        since = record.accounted
        if since is None or at < since - DAY:
            # The clock was more than a day ahead: start anew instead of waiting until it has caught up.
            record.accounted = at
            return
        if at < since:
            return
        record.accounted = at
        kind = record.state.kind
        unreported = kind is Kind.UNREACHABLE or kind is Kind.INVALID
        if unreported and sleep_at(task, record.state.report, since / 1000) is not None:
            # Nothing is expected of it; it was checked when this sleep began, and is when it ends.
            kind = Kind.SLEEPING
        # A push task is judged when that is due, however far apart that is.
        limit = at if task.url is None else millis(2 * task.interval + task.timeout + 60)
        if since >= self._sighted and at - since <= limit and since // HOUR == figures.hour:
            figures.spend(kind, at - since)
            return
        for start, end, seen in stretches(since, at, self.blind, limit):
            for hour, length in hours(start, end, seen):
                if hour == figures.hour:
                    figures.spend(kind if seen else None, length)
                else:
                    past = Hour(hour)
                    past.spend(kind if seen else None, length)
                    self.pending.account(record.id, past)

    def _change(self, record: TaskRecord, state: TaskState, check: Check | None, now: Instant) -> None:
        """Record a new state: its verdict and its incident."""
        before, record.state = record.state, state
        if check is not None and check.verdict.kind is not before.kind:
            self.pending.verdicts.append(
                (record.id, millis(check.at), check.verdict.kind.value, text(check.verdict.explanation))
            )
        if state.incident is not before.incident and state.incident != before.incident:
            self._incident(record, state, state.incident, millis(now))

    def _incident(self, record: TaskRecord, state: TaskState, incident: Incident | None, now: Millis) -> None:
        row = record.incident
        if row is not None and (incident is None or millis(incident.started) != row.started):
            row.ended = now
            if incident is None:
                # The state no longer counts the alert that closes the incident.
                row.alerts += 1
            self.pending.incidents[row.id] = row
            row = record.incident = None
        if incident is None:
            return
        if row is None:
            explanation = "" if state.verdict is None else text(state.verdict.explanation)
            row = record.incident = IncidentRow(
                self.new_incident(), record.id, millis(incident.started), now, None, [incident.kind], explanation, 0
            )
        elif row.kinds[-1] is not incident.kind and len(row.kinds) < KINDS:
            row.kinds.append(incident.kind)
        row.alerts = incident.alerts
        self.pending.incidents[row.id] = row


def _same(run: OpenRun, check: Check) -> bool:
    """Whether a check has the same finding as a run; the latency of a failure does not matter."""
    known, found = run.finding, check.finding
    if isinstance(found, NoAnswer):
        return isinstance(known, NoAnswer) and known.words == found.words and known.fault is found.fault
    return known == found
