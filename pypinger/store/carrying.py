"""
Carries the present over to another database, when the file of the store was deleted or replaced.

The recorder holds in memory all that alerts depend on: states, open incidents and pending deliveries. Together with
rows that are not written yet it becomes the present of the database that is at the path now: a new one, or one that the
operator put there. That one keeps its own history.
"""

from __future__ import annotations

from msgspec.structs import replace

from pypinger.domain.model import Outcome
from pypinger.store.accounting import Millis
from pypinger.store.recorder import Recorder
from pypinger.store.rows import DeliveryRow, IncidentRow, Settlement, TaskRecord

#: The words of a delivery that was settled before its database came back.
_SETTLED = "settled before this database was put in place"


def carry_over(old: Recorder, new: Recorder, now: Millis) -> None:
    """
    Make the present of `old` that of `new`, which was loaded from another database.

    Changes go to ``new.pending``. If these cannot be written, `old` can be carried over again.
    """
    carrier = _Carrier(old, new, now)
    carrier.tasks()
    carrier.incidents()
    carrier.deliveries()
    carrier.rest()


class _Carrier:
    def __init__(self, old: Recorder, new: Recorder, now: Millis) -> None:
        self._old = old
        self._new = new
        self._now = now
        # Ids of the old database -> rows and ids of the new one.
        self._tasks: dict[int, TaskRecord] = {}
        self._incidents: dict[int, int] = {}

    def tasks(self) -> None:
        pending = self._new.pending
        for record in self._old.tasks.values():
            task = self._tasks[record.id] = self._new.present(record.key)
            if task.run is not None and (record.run is None or task.run.first != record.run.first):
                pending.runs.append((task.id, task.run))
            if task.hour is not None and (record.hour is None or task.hour.hour != record.hour.hour):
                pending.account(task.id, task.hour)
            task.state, task.accounted, task.run, task.hour = record.state, record.accounted, record.run, record.hour
            if task.run is not None:
                task.run.shape = None
        for number, run in self._old.pending.runs:
            pending.runs.append((self._tasks[number].id, run))
        for (number, _), hour in self._old.pending.hours.items():
            pending.account(self._tasks[number].id, hour)
        for number, at, kind, explanation in self._old.pending.verdicts:
            pending.verdicts.append((self._tasks[number].id, at, kind, explanation))

    def incidents(self) -> None:
        for row in self._old.pending.incidents.values():
            if row.ended is not None:
                task = self._tasks[row.task]
                self._keep(row, task)
                task.incident = None
        for record in self._old.tasks.values():
            task = self._tasks[record.id]
            known = task.incident
            if known is not None and (record.incident is None or record.incident.started != known.started):
                known.ended = self._now
                self._new.pending.incidents[known.id] = known
                task.incident = None
            if record.incident is not None:
                task.incident = self._keep(record.incident, task)

    def _keep(self, row: IncidentRow, task: TaskRecord) -> IncidentRow:
        known = task.incident
        number = known.id if known is not None and known.started == row.started else self._new.new_incident()
        self._incidents[row.id] = number
        kept = self._new.pending.incidents[number] = replace(row, id=number, task=task.id)
        return kept

    def deliveries(self) -> None:
        pending, outbox = self._new.pending, self._old.outbox
        written = self._old.pending.settlements
        settled = [row for row in self._old.pending.deliveries if (row.alert.id, row.channel) not in outbox]
        for row in (*settled, *outbox.values()):
            pending.deliveries.append(self._moved(row))
        for settlement in written.values():
            pending.settle(settlement)
        for row in outbox.values():
            if row.attempts or row.progress is not None:
                # The database may hold the delivery with fewer attempts.
                pending.settle(_settlement(row, Outcome.RETRY, row.words, self._now))
        for key, row in self._new.outbox.items():
            if key not in outbox and key not in written:
                pending.settle(_settlement(row, Outcome.REPLACED, _SETTLED, self._now))
        self._new.outbox.clear()
        self._new.outbox.update((key, self._moved(row)) for key, row in outbox.items())

    def _moved(self, row: DeliveryRow) -> DeliveryRow:
        task = None if row.task is None else self._tasks.get(row.task)
        incident = None if row.incident is None else self._incidents.get(row.incident)
        return replace(row, task=None if task is None else task.id, incident=incident)

    def rest(self) -> None:
        old, new = self._old, self._new
        # The time since the database was last written is not blind: this process was running.
        new.pending.blind[:] = old.pending.blind
        new.take_blind_times(old)
        new.see_hosts(old.hosts)
        if new.blindness != old.blindness:
            new.set_blindness(old.blindness)
        if new.silences != old.silences:
            new.set_silences(old.silences)


def _settlement(row: DeliveryRow, outcome: Outcome, words: str, now: Millis) -> Settlement:
    return Settlement(row.alert.id, row.channel, row.attempts, row.not_before, words, outcome, now, row.progress)
