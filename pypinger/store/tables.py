"""Writes pending rows to the tables, in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from pypinger.domain.model import Finding, Outcome
from pypinger.domain.silence import Silence
from pypinger.store.accounting import DAY, Millis
from pypinger.store.lock import Lock
from pypinger.store.rows import Blindness, OpenRun, PendingRows, TaskRecord, encode, figures, shape, text

#: The maximum number of cached shapes.
SHAPES = 20_000

_TASK = """
UPDATE task SET state = ?, accounted = ?, shape = ?, figure = ?, began = ?, first = ?, last = ?, count = ?, hour = ?,
    checks = ?, errors = ?, up = ?, down = ?, asleep = ?, blind = ?, latency = ?, slowest = ?
WHERE id = ?
"""

_HOUR = """
INSERT INTO hour (task, hour, checks, errors, up, down, asleep, blind, latency, slowest)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (task, hour) DO UPDATE SET checks = checks + excluded.checks, errors = errors + excluded.errors,
    up = up + excluded.up, down = down + excluded.down, asleep = asleep + excluded.asleep,
    blind = blind + excluded.blind, latency = latency + excluded.latency, slowest = max(slowest, excluded.slowest)
"""

_INCIDENT = """
INSERT INTO incident (id, task, started, opened, ended, kinds, explanation, alerts) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET ended = excluded.ended, kinds = excluded.kinds, alerts = excluded.alerts
"""

_DELIVERY = """
INSERT INTO delivery (alert, channel, task, incident, at, body, attempts, not_before, words, progress)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (alert, channel) DO UPDATE SET outcome = NULL, attempts = 0, not_before = 0, words = '',
    progress = excluded.progress
WHERE outcome = 'dead'
"""

_SETTLE = """
UPDATE delivery SET attempts = ?, not_before = ?, words = ?, progress = ?, outcome = ?, settled = ?
WHERE alert = ? AND channel = ? AND outcome IS NULL
"""

_REFERENCE = "UPDATE delivery SET reference = ? WHERE alert = ? AND channel = ?"

_HOST = "INSERT OR REPLACE INTO host (name, address, at) VALUES (?, ?, ?)"

_NO_RUN = (None,) * 6
_NO_HOUR = (None,) * 9


class Tables:
    """
    Writes through one connection.

    :param lock: is released when the connection is closed.
    :ivar shapes: a cache: digest -> id and day; clear it when shapes have been deleted.
    """

    def __init__(self, connection: sqlite3.Connection, lock: Lock | None) -> None:
        self.connection = connection
        self._lock = lock
        self.shapes: dict[bytes, tuple[int, int]] = {}

    def write(self, pending: PendingRows, now: Millis, *, durable: bool, token: str | None = None) -> None:
        """
        Write all rows or none, and record that the process is alive `now`.

        :param durable: whether the rows must survive a power cut; they survive a killed process in any case.
        :param token: see :mod:`pypinger.store.watching`.
        :raises sqlite3.Error: nothing was written.
        """
        connection = self.connection
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._write(pending)
            connection.execute("INSERT OR REPLACE INTO life (id, alive, token) VALUES (1, ?, ?)", (now, token))
            connection.execute("COMMIT")
        except BaseException:
            # The shapes that it added are gone.
            self.shapes.clear()
            for record in pending.tasks:
                if record.run is not None:
                    record.run.shape = None
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close the connection and release the lock. The last connection to close writes the log into the file."""
        try:
            self.connection.close()
        finally:
            if self._lock is not None:
                self._lock.release()

    def _write(self, pending: PendingRows) -> None:
        many = self.connection.executemany
        if pending.born:
            rows = [(each.id, text(each.key), "") for each in pending.born]
            many("INSERT INTO task (id, url, state) VALUES (?, ?, ?)", rows)
        if pending.tasks:
            many(_TASK, [self._task(each) for each in pending.tasks])
        for task, run in pending.runs:
            self._run(task, run)
        if pending.hours:
            many(_HOUR, [(task, *hour.row()) for (task, _), hour in pending.hours.items()])
        if pending.verdicts:
            many("INSERT INTO verdict (task, at, kind, explanation) VALUES (?, ?, ?, ?)", pending.verdicts)
        if pending.blind:
            many('INSERT INTO blind (start, "end") VALUES (?, ?)', pending.blind)
        if pending.hosts:
            many(_HOST, [(text(name), host.address, host.at) for name, host in pending.hosts.items()])
        if pending.blindness:
            self._blindness(pending.blindness[-1])
        if pending.silences:
            self._silences(pending.silences[-1])
        if pending.incidents:
            many(
                _INCIDENT,
                [
                    (
                        row.id,
                        row.task,
                        row.started,
                        row.opened,
                        row.ended,
                        encode(row.kinds),
                        row.explanation,
                        row.alerts,
                    )
                    for row in pending.incidents.values()
                ],
            )
        if pending.deliveries:
            many(
                _DELIVERY,
                [
                    (
                        each.alert.id,
                        each.channel,
                        each.task,
                        each.incident,
                        round(each.alert.at * 1000),
                        encode(each.alert),
                        each.attempts,
                        each.not_before,
                        each.words,
                        each.progress,
                    )
                    for each in pending.deliveries
                ],
            )
        if pending.settlements:
            many(
                _SETTLE,
                [
                    (
                        each.attempts,
                        each.not_before,
                        each.words,
                        each.progress,
                        None if each.outcome is Outcome.RETRY else each.outcome.value,
                        each.at,
                        each.alert,
                        each.channel,
                    )
                    for each in pending.settlements.values()
                ],
            )
            referring = [each for each in pending.settlements.values() if each.reference is not None]
            many(_REFERENCE, [(each.reference, each.alert, each.channel) for each in referring])

    def _blindness(self, state: Blindness) -> None:
        self.connection.execute("DELETE FROM blindness")
        rows = [(row, each.since, text(each.words)) for row, each in enumerate(state, 1) if each is not None]
        self.connection.executemany("INSERT INTO blindness (id, since, words) VALUES (?, ?, ?)", rows)

    def _silences(self, present: Sequence[Silence]) -> None:
        self.connection.execute("DELETE FROM silence")
        self.connection.executemany(
            "INSERT INTO silence (id, selector, start, until, reason, by) VALUES (?, ?, ?, ?, ?, ?)",
            [
                (each.id, text(each.selector), each.start, each.until, text(each.reason), text(each.by))
                for each in present
            ],
        )

    def _task(self, record: TaskRecord) -> tuple[object, ...]:
        run, hour = record.run, record.hour
        state = encode(record.state)
        if run is None or hour is None:
            return (state, record.accounted, *_NO_RUN, *_NO_HOUR, record.id)
        number = run.shape
        if number is None:
            number = run.shape = self._shape(run.finding, run.last)
        return (
            state,
            record.accounted,
            number,
            *figures(run.finding),
            run.first,
            run.last,
            run.count,
            *hour.row(),
            record.id,
        )

    def _run(self, task: int, run: OpenRun) -> None:
        # Looking the shape up again marks it as seen.
        number = self._shape(run.finding, run.last)
        first = run.first
        while True:
            cursor = self.connection.execute(
                "INSERT INTO run (task, first, length, count, shape, figure, began) VALUES (?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                (task, first, run.last - run.first, run.count, number, *figures(run.finding)),
            )
            if cursor.rowcount:
                return
            # After a step of the clock two runs may begin in the same millisecond.
            first += 1

    def _shape(self, finding: Finding, seen: Millis) -> int:
        """The id of a finding's shape; a new shape is added."""
        digest, words = shape(finding)
        day = seen // DAY
        known = self.shapes.get(digest)
        if known is not None and known[1] >= day:
            return known[0]
        execute = self.connection.execute
        row = execute("SELECT id FROM shape WHERE digest = ?", (digest,)).fetchone()
        if row is None:
            number = execute(
                "INSERT INTO shape (digest, finding, seen) VALUES (?, ?, ?)", (digest, words, seen)
            ).lastrowid
            assert number is not None
        else:
            number = int(row[0])
            execute("UPDATE shape SET seen = max(seen, ?) WHERE id = ?", (seen, number))
        if len(self.shapes) >= SHAPES:
            self.shapes.clear()
        self.shapes[digest] = number, day
        return number
