"""
Deletes old history in small steps.

The steps run between the writer's transactions. Free pages of the database are used again; the file does not shrink.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator

from pypinger.domain.model import Seconds
from pypinger.store.accounting import DAY, HOUR, Millis
from pypinger.store.recorder import Recorder
from pypinger.store.tables import Tables

#: For how many days hours, and tasks that are no longer checked, are kept.
HOURS_DAYS = 400

#: Seconds of work in one step.
STEP: Seconds = 0.005

#: The maximum number of rows that one statement deletes.
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
    # `seen` is exact to a day; one more day is a margin.
    "DELETE FROM shape WHERE id IN (SELECT id FROM shape"
    " WHERE seen < :unseen AND id NOT IN (SELECT shape FROM task WHERE shape IS NOT NULL) LIMIT :rows)",
    'DELETE FROM blind WHERE id IN (SELECT id FROM blind WHERE "end" < :far LIMIT :rows)',
)


def sweep(tables: Tables, recorder: Recorder, keep_days: float, now: Millis) -> Iterator[None]:
    """
    Delete old history; each step takes little more than :data:`STEP` seconds.

    :raises sqlite3.Error: it cannot be deleted at present.
    """
    connection = tables.connection
    connection.execute("PRAGMA synchronous = NORMAL")
    began = time.monotonic()
    for _ in _steps(connection, recorder, now - round(keep_days * DAY), now - HOURS_DAYS * DAY):
        if time.monotonic() - began >= STEP:
            yield
            # A transaction in between may have changed it.
            connection.execute("PRAGMA synchronous = NORMAL")
            began = time.monotonic()
    # Cached shapes may be gone.
    tables.shapes.clear()


def _steps(connection: sqlite3.Connection, recorder: Recorder, horizon: Millis, far: Millis) -> Iterator[None]:
    values = {"horizon": horizon, "unseen": horizon - 2 * DAY, "far": far, "hour": far // HOUR, "rows": ROWS}
    for record in list(recorder.tasks.values()):
        values["task"] = record.id
        for query in _OF_TASK:
            while connection.execute(query, values).rowcount == ROWS:
                yield
        if record.accounted is not None and record.accounted < far and not record.dirty:
            # With an incident that was never closed.
            connection.execute("DELETE FROM incident WHERE task = ?", (record.id,))
            connection.execute("DELETE FROM task WHERE id = ?", (record.id,))
            del recorder.tasks[record.key]
        yield
    for query in _OF_ALL:
        while connection.execute(query, values).rowcount == ROWS:
            yield
        yield
