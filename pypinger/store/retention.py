"""
Retention: history that is old enough is deleted, a little at a time.

It goes on between the writer's transactions and never takes it from its work for longer than a moment. Pages of the
database that become free are used again; the file does not shrink.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator

from pypinger.domain.model import Seconds
from pypinger.store.accounting import DAY, HOUR, Millis
from pypinger.store.recorder import Recorder
from pypinger.store.tables import Tables

#: For how many days the hours are kept; tasks that are checked no more, too.
HOURS_DAYS = 400

#: After how many seconds of work the writer gets its turn.
STEP: Seconds = 0.005

#: How many rows one statement deletes at most.
ROWS = 200

_OF_TASK = (
    "DELETE FROM run WHERE task = :task AND first IN (SELECT first FROM run"
    " WHERE task = :task AND first < :horizon AND first + length < :horizon LIMIT :rows)",
    "DELETE FROM hour WHERE task = :task AND hour IN (SELECT hour FROM hour"
    " WHERE task = :task AND hour < :hour LIMIT :rows)",
)

_OF_ALL = (
    "DELETE FROM verdict WHERE id IN (SELECT id FROM verdict WHERE at < :horizon LIMIT :rows)",
    "DELETE FROM incident WHERE id IN (SELECT id FROM incident WHERE ended < :horizon LIMIT :rows)",
    "DELETE FROM delivery WHERE id IN (SELECT id FROM delivery"
    " WHERE at < :horizon AND outcome IS NOT NULL AND settled < :horizon LIMIT :rows)",
    # A day is how exact `seen` is; one more for good measure.
    "DELETE FROM shape WHERE id IN (SELECT id FROM shape"
    " WHERE seen < :unseen AND id NOT IN (SELECT shape FROM task WHERE shape IS NOT NULL) LIMIT :rows)",
    'DELETE FROM blind WHERE id IN (SELECT id FROM blind WHERE "end" < :far LIMIT :rows)',
)


def sweep(tables: Tables, recorder: Recorder, keep_days: float, now: Millis) -> Iterator[None]:
    """
    Delete what is too old; each step takes little more than :data:`STEP` seconds.

    :raises sqlite3.Error: it cannot be deleted at present.
    """
    connection = tables.connection
    connection.execute("PRAGMA synchronous = NORMAL")
    began = time.monotonic()
    for _ in _steps(connection, recorder, now - round(keep_days * DAY), now - HOURS_DAYS * DAY):
        if time.monotonic() - began >= STEP:
            yield
            # A transaction in between may have set it otherwise.
            connection.execute("PRAGMA synchronous = NORMAL")
            began = time.monotonic()
    # Shapes may be gone that the writer still knows.
    tables.shapes.clear()


def _steps(connection: sqlite3.Connection, recorder: Recorder, horizon: Millis, far: Millis) -> Iterator[None]:
    values = {"horizon": horizon, "unseen": horizon - 2 * DAY, "far": far, "hour": far // HOUR, "rows": ROWS}
    for record in list(recorder.tasks.values()):
        values["task"] = record.id
        for query in _OF_TASK:
            while connection.execute(query, values).rowcount == ROWS:
                yield
        if record.accounted is not None and record.accounted < far and not record.dirty:
            # An incident that was never closed goes with it.
            connection.execute("DELETE FROM incident WHERE task = ?", (record.id,))
            connection.execute("DELETE FROM task WHERE id = ?", (record.id,))
            del recorder.tasks[record.url]
        yield
    for query in _OF_ALL:
        while connection.execute(query, values).rowcount == ROWS:
            yield
        yield
