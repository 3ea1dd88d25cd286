"""
Reads history from the database.

:class:`Reader` blocks: the store calls it in a thread, and commands without a reactor call it directly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Alert, Delivery, Instant, Outcome, TaskState
from pypinger.ports.history import (
    ALL_DELIVERIES,
    ALL_INCIDENTS,
    Day,
    DeliveryFilter,
    Gap,
    IncidentFilter,
    PastAlert,
    PastDelivery,
    PastIncident,
    Run,
    VerdictChange,
)
from pypinger.store import accounting, filtering
from pypinger.store.accounting import DAY, HOUR, BlindTime, millis
from pypinger.store.gaps import gaps_between
from pypinger.store.rows import finding, text
from pypinger.store.sources import Source

#: How many runs are searched at most for a page of gaps, and at a time.
LOOK = 5000
CHUNK = 500

#: The maximum number of alerts in a `PastIncident`.
TOLD = 20

#: How many earlier runs may reach into a period; more than one only after a step of the clock.
_EARLIER = 10

_NEWEST = 1 << 62

_BEGINNING = """
SELECT {greatest}(ends - known - blind, begins) FROM (
    SELECT hour * {length} AS begins, (hour + 1) * {length} AS ends, up + down + asleep AS known, blind
    FROM hour WHERE task = ?
    UNION ALL SELECT hour * {length}, {least}(accounted, (hour + 1) * {length}), up + down + asleep, blind
    FROM task WHERE id = ? AND hour IS NOT NULL
) AS hours WHERE known > 0 ORDER BY begins LIMIT 1
"""

_BLIND = 'SELECT start, "end" FROM blind WHERE {} AND "end" > ? AND start < ? ORDER BY start, id'

_ALERT = msgspec.json.Decoder(Alert)
_KINDS = msgspec.json.Decoder(tuple[Kind, ...])
_STATE = msgspec.json.Decoder(TaskState)


class Reader:
    """
    Reads a database, whether or not a daemon writes it.

    Its methods are those of :class:`pypinger.ports.history.History`, but they block; commands need three more.
    """

    def __init__(self, source: Source) -> None:
        self.source = source

    def close(self) -> None:
        """Close the connection, between two calls."""
        self.source.close()

    def interrupt(self) -> None:
        """Make a call that runs in another thread fail soon."""
        self.source.interrupt()

    def runs(self, task: str, before: int | None = None, limit: int = 50) -> Sequence[Run]:
        """See :meth:`pypinger.ports.history.History.runs`."""
        number = self._task(task)
        return [] if number is None else self._runs(number, _NEWEST if before is None else before, limit)

    def verdicts(self, task: str, before: int | None = None, limit: int = 50) -> Sequence[VerdictChange]:
        """See :meth:`pypinger.ports.history.History.verdicts`."""
        return [
            VerdictChange(key, at / 1000, Kind(kind), explanation)
            for key, at, kind, explanation in self._all(
                "SELECT id, at, kind, explanation FROM verdict WHERE task = ? AND id < ? ORDER BY id DESC LIMIT ?",
                self._task(task),
                _NEWEST if before is None else before,
                limit,
            )
        ]

    def incidents(
        self,
        task: str | None = None,
        before: int | None = None,
        limit: int = 50,
        which: IncidentFilter = ALL_INCIDENTS,
    ) -> Sequence[PastIncident]:
        """See :meth:`pypinger.ports.history.History.incidents`."""
        query = filtering.incidents(self.source.dialect, task, before, limit, which)
        return [
            PastIncident(
                key,
                name,
                started / 1000,
                opened / 1000,
                None if ended is None else ended / 1000,
                _KINDS.decode(kinds),
                explanation,
                alerts,
                self._past_alerts(key),
            )
            for key, name, started, opened, ended, kinds, explanation, alerts in self._all(query.sql, *query.values)
        ]

    def deliveries(
        self,
        task: str | None = None,
        before: int | None = None,
        limit: int = 50,
        which: DeliveryFilter = ALL_DELIVERIES,
    ) -> Sequence[PastDelivery]:
        """See :meth:`pypinger.ports.history.History.deliveries`."""
        query = filtering.deliveries(self.source.dialect, task, before, limit, which)
        return [
            PastDelivery(
                key,
                name,
                _ALERT.decode(body),
                channel,
                attempts,
                words,
                None if outcome is None else Outcome(outcome),
                None if settled is None else settled / 1000,
            )
            for key, name, body, channel, attempts, words, outcome, settled in self._all(query.sql, *query.values)
        ]

    def tasks(self) -> Sequence[str]:
        """See :meth:`pypinger.ports.history.History.tasks`."""
        return [url for (url,) in self._all("SELECT url FROM task WHERE state <> '' ORDER BY id")]

    def channels(self) -> Sequence[str]:
        """See :meth:`pypinger.ports.history.History.channels`."""
        return sorted(channel for (channel,) in self._all("SELECT DISTINCT channel FROM delivery"))

    def dead(self) -> Sequence[Delivery]:
        """See :meth:`pypinger.ports.storing.Store.dead`."""
        rows = self._all("SELECT body, channel, words, progress FROM delivery WHERE outcome = 'dead' ORDER BY id")
        return [
            Delivery(_ALERT.decode(body), channel, words=words, progress=progress)
            for body, channel, words, progress in rows
        ]

    def uptime(self, task: str, now: Instant) -> Mapping[str, float | None]:
        """See :meth:`pypinger.ports.history.History.uptime`."""
        of_task = self._task(task), accounting.first_hour(now)
        hours = self._all(
            "SELECT hour, up, down FROM hour WHERE task = ? AND hour >= ?"
            " UNION ALL SELECT hour, up, down FROM task WHERE id = ? AND hour >= ?",
            *of_task,
            *of_task,
        )
        return accounting.uptime(hours, now)

    def days(self, task: str, now: Instant, count: int = 90) -> Sequence[Day]:
        """See :meth:`pypinger.ports.history.History.days`."""
        of_task = self._task(task), (millis(now) // DAY - count) * (DAY // HOUR)
        hours = self._all(
            "SELECT hour, up, down, asleep FROM hour WHERE task = ? AND hour >= ?"
            " UNION ALL SELECT hour, up, down, asleep FROM task WHERE id = ? AND hour >= ?",
            *of_task,
            *of_task,
        )
        return accounting.days(hours, now, count)

    def beginning(self, task: str) -> Instant | None:
        """See :meth:`pypinger.ports.history.History.beginning`."""
        # The first hour was known, or blind, up to its end; the present one up to the latest check.
        number, dialect = self._task(task), self.source.dialect
        query = _BEGINNING.format(greatest=dialect.greatest, least=dialect.least, length=HOUR)
        hours = self._all(query, number, number)
        return hours[0][0] / 1000 if hours else None

    def gaps(self, task: str, limit: int = 50) -> Sequence[Gap]:
        """See :meth:`pypinger.ports.history.History.gaps`."""
        number = self._task(task)
        return [] if number is None else gaps_between(self._latest(number), limit)

    def findings(self, task: str, since: Instant, until: Instant) -> Sequence[Run]:
        """All that was found from `since` to before `until`, oldest first; the first may have begun earlier."""
        number, start, end = self._task(task), millis(since), millis(until)
        if number is None:
            return []
        earlier = self._runs(number, start, _EARLIER)
        within = self._all(
            "SELECT first, length, count, finding, figure, began FROM run JOIN shape ON shape.id = shape"
            " WHERE task = ? AND first >= ? AND first < ? ORDER BY first",
            number,
            start,
            end,
        )
        runs = [run for run in earlier if run.last >= since]
        runs += [_run(*row) for row in within]
        # If the open run began earlier, it is in `earlier` already.
        runs += [run for run in self._open(number) if start <= run.key < end]
        return sorted(runs, key=lambda run: run.key)

    def blind_times(self, since: Instant, until: Instant) -> Sequence[BlindTime]:
        """When no task was seen, from `since` to before `until`, oldest first."""
        return [
            BlindTime(start / 1000, end / 1000)
            for start, end in self._all(
                _BLIND.format(self.source.dialect.nowhere),
                millis(since),
                millis(until),
            )
        ]

    def alive(self) -> Instant:
        """When the daemon was last known to run."""
        return max((at / 1000 for (at,) in self._all("SELECT alive FROM life")), default=0.0)

    def state(self, task: str) -> TaskState | None:
        """The state of a task as it was written last; None if it is not known."""
        rows = self._all("SELECT state FROM task WHERE url = ?", text(task))
        try:
            return _STATE.decode(rows[0][0]) if rows else None
        except (ValueError, TypeError) as error:
            raise self.source.damaged(str(error)) from error

    def backup(self, path: str) -> None:
        """See :meth:`pypinger.store.sources.Source.backup`."""
        self.source.backup(path)

    def copy_to(self, descriptor: int) -> int:
        """See :meth:`pypinger.store.sources.Source.copy_to`."""
        return self.source.copy_to(descriptor)

    def _all(self, query: str, *values: object) -> list[Any]:
        return self.source.all(query, *values)

    def _task(self, key: str) -> int | None:
        # The column has the keys of tasks; it was named when all of them were URLs.
        rows = self._all("SELECT id FROM task WHERE url = ?", text(key))
        return rows[0][0] if rows else None

    def _open(self, task: int) -> list[Run]:
        """The run of the latest check."""
        return [
            _run(*row)
            for row in self._all(
                "SELECT first, last - first, count, finding, figure, began FROM task JOIN shape ON shape.id = shape"
                " WHERE task.id = ?",
                task,
            )
        ]

    def _runs(self, task: int, before: int, limit: int) -> list[Run]:
        rows = self._all(
            "SELECT first, length, count, finding, figure, began FROM run JOIN shape ON shape.id = shape"
            " WHERE task = ? AND first < ? ORDER BY first DESC LIMIT ?",
            task,
            before,
            limit,
        )
        runs = [run for run in self._open(task) if run.key < before]
        runs += [_run(*row) for row in rows]
        return sorted(runs, key=lambda run: -run.key)[:limit]

    def _latest(self, task: int) -> Iterator[Run]:
        """The latest runs, fetched as needed."""
        before = _NEWEST
        for _ in range(LOOK // CHUNK):
            page = self._runs(task, before, CHUNK)
            yield from page
            if len(page) < CHUNK:
                return
            before = page[-1].key

    def _past_alerts(self, incident: int) -> tuple[PastAlert, ...]:
        rows = self._all(
            "SELECT body FROM delivery WHERE id IN (SELECT min(id) FROM delivery WHERE incident = ? GROUP BY alert)"
            " ORDER BY id DESC LIMIT ?",
            incident,
            TOLD,
        )
        return tuple(past_alert(_ALERT.decode(body)) for (body,) in reversed(rows))


def past_alert(alert: Alert) -> PastAlert:
    """The record of an alert in its incident."""
    return PastAlert(alert.id, alert.event, alert.at, alert.explanation)


def _run(first: int, length: int, count: int, words: str, *figures: float | None) -> Run:
    return Run(first, first / 1000, (first + length) / 1000, count, finding(words, *figures))
