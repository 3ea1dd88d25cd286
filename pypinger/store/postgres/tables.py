"""
Writes pending rows to PostgreSQL: one statement a table, whose only parameter is JSON.

Tasks are updated only where owner and epoch are those that the instance knows, and deliveries settled only if it owns
their channels: see Note [Fence] in :mod:`pypinger.store.postgres.lease`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psycopg

from pypinger.domain.model import Finding, Outcome
from pypinger.store.accounting import DAY, Millis
from pypinger.store.postgres import statements
from pypinger.store.postgres.refused import ManyRows, RefusedRows, parameter, without_nul
from pypinger.store.rows import OpenRun, PendingRows, TaskRecord, encode, figures, shape

#: The maximum number of cached shapes.
SHAPES = 20_000

_HOURS = ("hour", "checks", "errors", "up", "down", "asleep", "blind", "latency", "slowest")


class Stale(Exception):
    """Another instance owns a task or a channel, so nothing may be written; ``str()`` is one line."""


class PostgresTables:
    """
    Writes rows.

    :param name: of this instance.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        # Digest -> id, and the day for which it is known to be marked as seen.
        self._shapes: dict[bytes, tuple[int, int]] = {}
        self._refusals = RefusedRows()

    def write(
        self,
        connection: psycopg.Connection,
        pending: PendingRows,
        instance: str,
        channels: Mapping[str, int],
        *,
        fenced: bool = True,
    ) -> None:
        """
        Write all rows but silences, in the transaction of the caller.

        If that is rolled back, call :meth:`forget`. In all instances the statements follow each other in one order, and
        so do the rows that several of them may write, so that instances wait for each other and not in a circle.

        :param instance: the id of this instance.
        :param channels: the channels that it owns -> their epochs.
        :param fenced: whether owners and epochs count.
        :raises Stale: roll back.
        :raises psycopg.Error: the server refuses, or cannot be reached.
        """
        if len(self._shapes) >= SHAPES:
            self._shapes.clear()
        if fenced and pending.settlements:
            _owns(connection, {channel for _, channel in pending.settlements}, instance, channels)
        with self._refusals.attempt(connection) as many:
            _Writing(connection, pending, self._name, self._shapes, many).write(instance, fenced=fenced)

    def forget(self, pending: PendingRows) -> None:
        """The shapes that the latest transaction added are gone."""
        self._shapes.clear()
        for record in pending.tasks:
            if record.run is not None:
                record.run.shape = None


def _owns(connection: psycopg.Connection, names: set[str], instance: str, channels: Mapping[str, int]) -> None:
    rows = [{"name": name, "epoch": channels.get(name, -1)} for name in names]
    if connection.execute(statements.CHANNELS, (parameter(rows), instance)).fetchone() != (len(rows),):
        raise Stale("another instance owns a channel")


class _Writing:
    """The statements of one transaction."""

    def __init__(
        self,
        connection: psycopg.Connection,
        pending: PendingRows,
        name: str,
        shapes: dict[bytes, tuple[int, int]],
        many: ManyRows,
    ) -> None:
        self._connection = connection
        self._pending = pending
        self._name = name
        self._known = shapes
        self._many = many

    def write(self, instance: str, *, fenced: bool) -> None:
        """Write all rows."""
        pending = self._pending
        shapes = self._shapes()
        self._tasks(shapes, instance if fenced else None)
        self._runs(shapes)
        self._many(statements.HOUR, ({"task": task, **_hour(hour.row())} for (task, _), hour in pending.hours.items()))
        columns = ("task", "at", "kind", "explanation")
        self._many(statements.VERDICT, (dict(zip(columns, row, strict=True)) for row in pending.verdicts))
        self._incidents()
        self._deliveries()
        self._settlements()
        self._daemon(instance)

    def _shapes(self) -> dict[bytes, int]:
        """The ids of the shapes of all findings; new ones are added, and old ones marked as seen."""
        wanted: list[tuple[Finding, Millis]] = [(run.finding, run.last) for _, run in self._pending.runs]
        wanted += [
            (run.finding, run.last)
            for run in (record.run for record in self._pending.tasks)
            if run is not None and run.shape is None
        ]
        seen: dict[bytes, tuple[str, Millis]] = {}
        for finding, last in wanted:
            digest, words = shape(finding)
            seen[digest] = words, max(last, seen[digest][1] if digest in seen else last)
        known = self._known
        ids = {digest: known[digest][0] for digest in seen if digest in known}
        rows = [
            {"digest": digest.hex(), "finding": words, "seen": last}
            for digest, (words, last) in sorted(seen.items())
            if digest not in known or known[digest][1] < last // DAY
        ]
        for number, digest in self._many(statements.SHAPE, rows).rows:
            ids[digest] = number
            known[digest] = number, seen[digest][1] // DAY
        return ids

    def _tasks(self, shapes: Mapping[bytes, int], owner: str | None) -> None:
        rows = [_task(record, shapes) for record in self._pending.tasks]
        if owner is None:
            self._many(statements.TASK, rows)
            return
        written = self._many(statements.TASK + statements.OWNED, rows, owner)
        if written.number + len(written.refused) != len(rows):
            raise Stale("another instance owns a task")

    def _runs(self, shapes: Mapping[bytes, int]) -> None:
        # After a step of the clock two runs may begin in the same millisecond.
        rows: dict[tuple[int, Millis], dict[str, object]] = {}
        for task, run in self._pending.runs:
            row = _run(run)
            row["shape"] = shapes.get(shape(run.finding)[0])
            if row["shape"] is not None:
                _place(rows, task, run.first, row)
        while rows:
            listed = ({"task": task, "first": first, **row} for (task, first), row in rows.items())
            written = self._many(statements.RUN, listed)
            done = {*written.rows, *((row["task"], row["first"]) for row in written.refused)}
            taken, rows = {key: row for key, row in rows.items() if key not in done}, {}
            for (task, first), row in taken.items():
                _place(rows, task, first + 1, row)

    def _incidents(self) -> None:
        self._many(
            statements.INCIDENT,
            (
                {
                    "id": row.id,
                    "task": row.task,
                    "started": row.started,
                    "opened": row.opened,
                    "ended": row.ended,
                    "kinds": encode(row.kinds),
                    "explanation": row.explanation,
                    "alerts": row.alerts,
                }
                for row in self._pending.incidents.values()
            ),
        )

    def _deliveries(self) -> None:
        # One statement cannot insert a row and meet it again.
        first = {(each.alert.id, each.channel): each for each in reversed(self._pending.deliveries)}
        self._many(
            statements.DELIVERY,
            (
                {
                    "alert": each.alert.id,
                    "channel": each.channel,
                    "task": each.task,
                    "incident": each.incident,
                    "at": round(each.alert.at * 1000),
                    "body": without_nul(encode(each.alert)),
                    "attempts": each.attempts,
                    "not_before": each.not_before,
                    "words": each.words,
                    "progress": each.progress,
                }
                for each in self._pending.deliveries
                if first[each.alert.id, each.channel] is each
            ),
        )

    def _settlements(self) -> None:
        settled = [each for _, each in sorted(self._pending.settlements.items())]
        self._many(
            statements.SETTLE,
            (
                {
                    "alert": each.alert,
                    "channel": each.channel,
                    "attempts": each.attempts,
                    "not_before": each.not_before,
                    "words": each.words,
                    "progress": each.progress,
                    "outcome": None if each.outcome is Outcome.RETRY else each.outcome.value,
                    "settled": each.at,
                }
                for each in settled
            ),
        )
        self._many(
            statements.REFERENCE,
            (
                {"alert": each.alert, "channel": each.channel, "reference": each.reference}
                for each in settled
                if each.reference is not None
            ),
        )

    def _daemon(self, instance: str) -> None:
        """What belongs to no task."""
        pending, name = self._pending, self._name
        hosts = sorted(pending.hosts.items())
        self._many(statements.HOST, ({"name": host, "address": seen.address, "at": seen.at} for host, seen in hosts))
        if pending.blind:
            spans = parameter([{"start": start, "end": end} for start, end in pending.blind])
            self._connection.execute(statements.BLIND, (instance, name, spans))
        if pending.blindness:
            self._connection.execute("DELETE FROM blindness WHERE instance = %s", (name,))
            self._many(
                statements.BLINDNESS,
                (
                    {"instance": name, "id": row, "since": each.since, "words": each.words}
                    for row, each in enumerate(pending.blindness[-1], 1)
                    if each is not None
                ),
            )


def _task(record: TaskRecord, shapes: Mapping[bytes, int]) -> dict[str, object]:
    row: dict[str, object] = {
        "id": record.id,
        "epoch": record.epoch,
        "state": encode(record.state),
        "accounted": record.accounted,
    }
    run, hour = record.run, record.hour
    if run is None or hour is None:
        return row
    if run.shape is None:
        run.shape = shapes.get(shape(run.finding)[0])
        if run.shape is None:
            return row
    row["shape"], row["first"], row["last"], row["count"] = run.shape, run.first, run.last, run.count
    row["figure"], row["began"] = figures(run.finding)
    return {**row, **_hour(hour.row())}


def _hour(figures: Sequence[int]) -> dict[str, object]:
    return dict(zip(_HOURS, figures, strict=True))


def _run(run: OpenRun) -> dict[str, object]:
    figure, began = figures(run.finding)
    return {"length": run.last - run.first, "count": run.count, "figure": figure, "began": began}


def _place(rows: dict[tuple[int, Millis], dict[str, object]], task: int, first: Millis, row: dict[str, object]) -> None:
    while (task, first) in rows:
        first += 1
    rows[task, first] = row
