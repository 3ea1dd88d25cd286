"""
A database that the tests of a process share; it is emptied for each.

To create one, with its tables, and to remove it takes ten times as long. Tests that change the tables themselves use
:func:`tests.postgres.database`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pypinger.store.postgres.connection import connect
from pypinger.store.postgres.upgrading import scripts, upgrade
from tests import postgres

# Sessions that a test left open end, as they do when their database is removed. Foreign keys wait until all is gone.
_EMPTY = """
DO $$
DECLARE name text;
BEGIN
    PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend';
    SET LOCAL session_replication_role = replica;
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'meta' LOOP
        EXECUTE format('DELETE FROM %I', name);
    END LOOP;
    PERFORM setval(format('%I', sequencename)::regclass, start_value, false)
        FROM pg_sequences WHERE schemaname = 'public';
END $$
"""


def database() -> str:
    """Empty the database; returns its URL."""
    connection, url = _created()
    connection.execute(_EMPTY)
    return url


@cache
def _created() -> tuple[Any, str]:
    import psycopg

    server = postgres.server()
    url = server.url(server.create())
    with connect(url, "a") as connection:
        upgrade(connection, url, scripts())
    return psycopg.connect(url, autocommit=True), url
