"""
Deletes old history from PostgreSQL in small steps, by one instance at a time.

Each step is a transaction of its own, which the writer makes between two of its others. An instance that deletes holds
an advisory lock of its session, so that the others leave it alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg

from pypinger.domain.model import Seconds
from pypinger.store.accounting import DAY, HOUR, Millis
from pypinger.store.retention import HOURS_DAYS

#: Seconds of work in one step.
STEP: Seconds = 0.01

#: The maximum number of rows that one statement deletes.
ROWS = 500

#: How many tasks are looked at in one statement.
TASKS = 100

#: The key of the advisory lock: "PyPr".
LOCK = 0x50795072

_TASKS = "SELECT id FROM task WHERE id > %(after)s ORDER BY id LIMIT %(tasks)s"

_OF_TASKS = (
    "DELETE FROM run WHERE (task, first) IN (SELECT task, first FROM run WHERE task = ANY(%(of)s)"
    " AND first < %(horizon)s AND first + length < %(horizon)s LIMIT %(rows)s)",
    "DELETE FROM hour WHERE (task, hour) IN (SELECT task, hour FROM hour WHERE task = ANY(%(of)s)"
    " AND hour < %(hour)s LIMIT %(rows)s)",
)

# Tasks that no instance lists, and their incidents that were never closed. They have no owner that could write to them,
# and get none meanwhile: both the deletion and who takes a task lock its row of `ownership`.
_LEFT = """
WITH gone AS (
    DELETE FROM ownership USING task WHERE ownership.task = task.id AND task.id = ANY(%(of)s) AND accounted < %(far)s
        AND (owner IS NULL OR unlisted IS NOT NULL)
    RETURNING ownership.task
), deleted AS (
    DELETE FROM task WHERE id IN (SELECT task FROM gone)
)
DELETE FROM incident WHERE task IN (SELECT task FROM gone)
"""

_OF_ALL = (
    "DELETE FROM verdict WHERE id IN (SELECT id FROM verdict WHERE at < %(horizon)s LIMIT %(rows)s)",
    "DELETE FROM incident WHERE id IN (SELECT id FROM incident WHERE ended < %(horizon)s LIMIT %(rows)s)",
    "DELETE FROM delivery WHERE id IN (SELECT id FROM delivery"
    " WHERE at < %(horizon)s AND outcome IS NOT NULL AND settled < %(horizon)s LIMIT %(rows)s)",
    # `seen` is exact to a day; one more day is a margin.
    "DELETE FROM shape WHERE id IN (SELECT id FROM shape WHERE seen < %(unseen)s"
    " AND NOT EXISTS (SELECT 1 FROM task WHERE task.shape = shape.id) LIMIT %(rows)s)",
    'DELETE FROM blind WHERE id IN (SELECT id FROM blind WHERE "end" < %(far)s LIMIT %(rows)s)',
)


def sweep(connection: psycopg.Connection, keep_days: float, now: Millis) -> Iterator[None]:
    """
    Delete old history, unless another instance does; each step takes little more than :data:`STEP` seconds.

    :param connection: in autocommit mode; between two steps it may be used for other things.
    :raises psycopg.Error: it cannot be deleted at present.
    """
    if connection.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,)).fetchone() != (True,):
        return
    try:
        began = time.monotonic()
        for _ in _steps(connection, now - round(keep_days * DAY), now - HOURS_DAYS * DAY):
            if time.monotonic() - began >= STEP:
                yield
                began = time.monotonic()
    finally:
        # If the connection is broken, the lock is gone with it.
        if not connection.broken and not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))


def _steps(connection: psycopg.Connection, horizon: Millis, far: Millis) -> Iterator[None]:
    values: dict[str, object] = {"horizon": horizon, "unseen": horizon - 2 * DAY, "far": far, "hour": far // HOUR}
    values |= {"rows": ROWS, "tasks": TASKS, "after": 0}
    while numbers := [number for (number,) in connection.execute(_TASKS, values)]:
        values |= {"of": numbers, "after": numbers[-1]}
        for query in _OF_TASKS:
            while connection.execute(query, values).rowcount == ROWS:
                yield
        connection.execute(_LEFT, values)
        yield
    for query in _OF_ALL:
        while connection.execute(query, values).rowcount == ROWS:
            yield
        yield
