"""
Moves an SQLite database into an empty PostgreSQL database, in one transaction.

Rows keep their ids. What SQLite stores and PostgreSQL cannot hold, U+0000 in texts, is replaced.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import psycopg
from psycopg.sql import SQL, Identifier

from pypinger.domain.databaseurl import shown
from pypinger.ports.storing import StoreError
from pypinger.store.postgres.connection import connect, unusable, words_of
from pypinger.store.postgres.refused import without_nul
from pypinger.store.postgres.upgrading import scripts, upgrade

#: How many rows are read at once.
ROWS = 5000


class _Table(NamedTuple):
    """
    A table that is moved.

    :ivar columns: those of both databases.
    :ivar instance: what the column ``instance`` holds in PostgreSQL; None if there is none. Empty for all instances.
    """

    name: str
    columns: Sequence[str]
    instance: str | None = None


_HOUR = ("checks", "errors", "up", "down", "asleep", "blind", "latency", "slowest")
_FINDING = ("shape", "figure", "began")

_DELIVERY = (
    *("id", "alert", "channel", "task", "incident", "at", "body", "attempts", "not_before", "words", "outcome"),
    *("settled", "reference", "progress"),
)

_TASK = ("id", "url", "state", "accounted", *_FINDING, "first", "last", "count", "hour", *_HOUR)

_TABLES = (
    _Table("task", _TASK),
    _Table("incident", ("id", "task", "started", "opened", "ended", "kinds", "explanation", "alerts")),
    _Table("delivery", _DELIVERY),
    _Table("silence", ("id", "selector", "start", "until", "reason", "by")),
    _Table("host", ("name", "address", "at")),
    _Table("verdict", ("id", "task", "at", "kind", "explanation")),
    _Table("shape", ("id", "digest", "finding", "seen")),
    _Table("run", ("task", "first", "length", "count", *_FINDING)),
    _Table("hour", ("task", "hour", *_HOUR)),
    _Table("blind", ("id", "start", "end"), ""),
)

# Tables whose ids an instance continues.
_COUNTED = ("task", "delivery", "verdict", "shape", "blind")


def move(source: sqlite3.Connection, url: str, name: str, moved: Callable[[str, int, int], None]) -> dict[str, int]:
    """
    Copy all rows.

    :param source: a database of the present schema.
    :param url: of the target, which is made ready first.
    :param name: of the instance that continues what this one did.
    :param moved: is called with a table, the rows of it that are copied, and all that there are.
    :returns: table -> its number of rows.
    :raises StoreError: it cannot be done, and nothing was written.
    :raises ValueError: a row of the source is damaged; nothing was written.
    """
    try:
        target = connect(url, f"{name} migrates")
        try:
            upgrade(target, url, scripts())
            return _move(source, target, url, name, moved)
        finally:
            target.close()
    except psycopg.DataError as error:
        raise ValueError(words_of(error, url)) from error
    except psycopg.Error as error:
        raise unusable(url, error) from error


def _move(
    source: sqlite3.Connection,
    target: psycopg.Connection,
    url: str,
    name: str,
    moved: Callable[[str, int, int], None],
) -> dict[str, int]:
    # Reading a large file takes as long as it takes.
    for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
        target.execute("SELECT set_config(%s, '0', false)", (setting,))
    counts = {}
    tables = (*_TABLES, _Table("blindness", ("id", "since", "words"), name))
    with target.transaction():
        # No instance can join meanwhile.
        target.execute("LOCK TABLE instance IN SHARE ROW EXCLUSIVE MODE")
        _empty(target, url)
        target.execute("DELETE FROM task")
        for table in tables:
            counts[table.name] = _copy(source, target, table, moved)
        target.execute("INSERT INTO ownership (task) SELECT id FROM task ON CONFLICT DO NOTHING")
        (alive,) = source.execute("SELECT max(alive) FROM life").fetchone()
        if alive is not None:
            target.execute(
                "INSERT INTO life (id, alive) VALUES (1, %s) ON CONFLICT (id) DO UPDATE SET alive = excluded.alive",
                (alive,),
            )
        _count_on(target)
    for name in (*counts, "ownership"):
        target.execute(SQL("ANALYZE {}").format(Identifier(name)))
    return counts


def _empty(target: psycopg.Connection, url: str) -> None:
    """Make sure that no instance uses the target, and that it holds nothing."""
    rows = target.execute("SELECT name FROM instance WHERE until > clock_timestamp() ORDER BY name").fetchall()
    if rows:
        names = ", ".join(name for (name,) in rows)
        raise StoreError(f"[store] url {shown(url)}: instances are running ({names}); stop them first")
    for query in ("FROM task WHERE state <> ''", "FROM delivery", "FROM incident"):
        if target.execute(SQL("SELECT 1 {} LIMIT 1").format(SQL(query))).fetchone():
            raise StoreError(
                f"[store] url {shown(url)}: it already holds tasks or alerts; create another database to move into"
            )


def _copy(
    source: sqlite3.Connection, target: psycopg.Connection, table: _Table, moved: Callable[[str, int, int], None]
) -> int:
    (total,) = source.execute(f'SELECT count(*) FROM "{table.name}"').fetchone()  # noqa: S608 a constant
    columns = list(table.columns)
    wanted = ", ".join(f'"{column}"' for column in columns)
    constant: tuple[object, ...] = ()
    if table.instance is not None:
        columns.append("instance")
        constant = (table.instance,)
    statement = SQL("COPY {} ({}) FROM STDIN").format(Identifier(table.name), SQL(", ").join(map(Identifier, columns)))
    done = 0
    with target.cursor() as cursor, cursor.copy(statement) as copy:
        for row in _rows(source, f'SELECT {wanted} FROM "{table.name}" ORDER BY 1'):  # noqa: S608 constants
            copy.write_row([*map(_fit, table.columns, row), *constant])
            done += 1
            if done % ROWS == 0:
                moved(table.name, done, total)
    moved(table.name, done, total)
    return done


def _rows(source: sqlite3.Connection, query: str) -> Iterator[Sequence[object]]:
    cursor = source.execute(query)
    while rows := cursor.fetchmany(ROWS):
        yield from rows


def _fit(column: str, value: object) -> object:
    if not isinstance(value, str):
        return value
    if column == "body":
        # Queries look into it.
        value = without_nul(value)
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _count_on(target: psycopg.Connection) -> None:
    """New rows get the ids that follow."""
    for name in _COUNTED:
        target.execute(
            SQL("SELECT setval(pg_get_serial_sequence({}, 'id'), 1 + coalesce(max(id), 0), false) FROM {}").format(
                name, Identifier(name)
            )
        )
    target.execute(
        "SELECT setval('incident_id', 1 + greatest((SELECT coalesce(max(id), 0) FROM incident),"
        " (SELECT coalesce(max(incident), 0) FROM delivery)), false)"
    )
