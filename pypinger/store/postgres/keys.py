"""The keys of tasks and channels, and the ids of tasks by which other rows refer to them. In any thread."""

from __future__ import annotations

from collections.abc import Collection

import psycopg

#: How many rows are added in one statement.
ADDED = 2000

# Statements that add rows for keys that are new.
_ADD_TASKS = """
WITH added AS (INSERT INTO task (url) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING RETURNING id)
INSERT INTO ownership (task) SELECT id FROM added
"""
_ADD_CHANNELS = "INSERT INTO channel (name) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING"


def add_rows(
    connection: psycopg.Connection, tasks: Collection[str], channels: Collection[str], known: dict[int, str]
) -> None:
    """
    Add rows for those that are new.

    :param known: keys by ids, to which those of the tasks that are there already are added.
    """
    tasks_present = connection.execute("SELECT id, url FROM task").fetchall()
    known.update(tasks_present)
    present = {name for (name,) in connection.execute("SELECT name FROM channel")}
    for new, statement in (
        (sorted(set(tasks) - {key for _, key in tasks_present}), _ADD_TASKS),
        (sorted(set(channels) - present), _ADD_CHANNELS),
    ):
        for start in range(0, len(new), ADDED):
            connection.execute(statement, (new[start : start + ADDED],))


def read_keys(connection: psycopg.Connection, known: dict[int, str], ids: Collection[int]) -> None:
    """
    Read the keys of tasks, but for those that have been deleted.

    :param known: keys by ids, to which those are added that it lacks: reading thousands of URLs takes long.
    """
    if new := [id for id in ids if id not in known]:
        # As text (%s) thousands of numbers take twice as long.
        known.update(connection.execute("SELECT id, url FROM task WHERE id = ANY(%b::bigint[])", (new,)))
