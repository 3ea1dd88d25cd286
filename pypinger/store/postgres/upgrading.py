"""
The schema in the database: created, upgraded, or found to fit.

Note [Side by side]
~~~~~~~~~~~~~~~~~~~
Instances of an older version go on while a newer one upgrades the schema, and may start after it. So a script may add
tables, columns that are null or have a default, and indexes; what older programs read and write stays. A script that
cannot keep to this says in its first line which schema's program is the oldest that may run beside it::

    -- oldest: 7

It is applied only when no older instance is alive, and from then on older programs refuse to start.

Note [Restored dumps]
~~~~~~~~~~~~~~~~~~~~~
``changed`` is the id of the transaction that wrote a row. In a dump that is restored into another cluster it may be an
id that is still to come, so that the row would be new at every look. No row that a snapshot shows is that young.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files

import psycopg

from pypinger.domain.databaseurl import shown
from pypinger.ports.storing import StoreError

#: The key of the advisory lock that is held while the schema changes: "PyPi", as in the header of SQLite's files.
LOCK = 0x50795069

# See Note [Restored dumps].
_RESTORED = (
    "UPDATE task SET changed = pg_current_xact_id() WHERE changed >= pg_snapshot_xmax(pg_current_snapshot())",
    "UPDATE ownership SET changed = pg_current_xact_id() WHERE changed >= pg_snapshot_xmax(pg_current_snapshot())",
    "UPDATE delivery SET changed = pg_current_xact_id()"
    " WHERE outcome IS NULL AND changed >= pg_snapshot_xmax(pg_current_snapshot())",
)

_OLDEST = re.compile(r"-- oldest: (\d+)")


def scripts() -> Sequence[str]:
    """The numbered files of the schema; the first n of them make version n."""
    directory = files("pypinger.store.postgres") / "schema"
    names = sorted(each.name for each in directory.iterdir() if each.name.endswith(".sql"))
    return [(directory / name).read_text(encoding="utf-8") for name in names]


def upgrade(connection: psycopg.Connection, url: str, schema: Sequence[str]) -> None:
    """
    Create or upgrade the schema if need be, in one transaction. Instances that start at once wait for each other.

    :param schema: see :func:`scripts`.
    :raises psycopg.Error: the server refuses.
    :raises StoreError: a newer program uses the database, or older instances must be stopped first.
    """
    with connection.transaction():
        for setting in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            connection.execute("SELECT set_config(%s, '60s', true)", (setting,))
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        version, oldest = _present(connection, url)
        if len(schema) < oldest:
            raise StoreError(
                f"[store] url {shown(url)}: a newer Py Pinger uses it (schema {version}, this one knows {len(schema)},"
                f" {oldest} is needed); install that version"
            )
        for number, script in enumerate(schema[version:], version + 1):
            declared = _OLDEST.match(script)
            oldest = max(oldest, 1 if declared is None else int(declared[1]))
            if number > 1:
                _stopped(connection, url, oldest)
            connection.execute(script.encode())
            connection.execute(
                "INSERT INTO meta (version, oldest) VALUES (%s, %s) ON CONFLICT (one) DO UPDATE SET"
                " version = excluded.version, oldest = excluded.oldest",
                (number, oldest),
            )
        for query in _RESTORED:
            connection.execute(query.encode())


def _present(connection: psycopg.Connection, url: str) -> tuple[int, int]:
    """The version of the schema, and the oldest program that may use it; 0 if there is none yet."""
    (ours, foreign) = connection.execute("SELECT to_regclass('meta'), to_regclass('task')").fetchone() or (None, None)
    if ours is None and foreign is None:
        return 0, 0
    try:
        rows = [] if ours is None else connection.execute("SELECT version, oldest FROM meta").fetchall()
    except psycopg.errors.UndefinedColumn:
        rows = []
    if not rows:
        raise StoreError(
            f"[store] url {shown(url)}: its tables are those of another program; create a database for Py Pinger alone"
        )
    return int(rows[0][0]), int(rows[0][1])


def _stopped(connection: psycopg.Connection, url: str, oldest: int) -> None:
    """Make sure that no instance is alive whose program is older."""
    rows = connection.execute(
        "SELECT DISTINCT name FROM instance WHERE until > clock_timestamp() AND schema < %s ORDER BY name", (oldest,)
    ).fetchall()
    if rows:
        names = ", ".join(name for (name,) in rows)
        raise StoreError(
            f"[store] url {shown(url)}: this version changes the schema so that instances of older versions cannot go"
            f" on; stop {names} first"
        )
