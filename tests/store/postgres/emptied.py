"""
A database that the tests of a process share; it is emptied for each.

To create one, with its tables, and to remove it takes ten times as long. Tests that change the tables themselves use
:func:`tests.postgres.database`.
"""

from __future__ import annotations

from functools import cache

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
    name = _created()
    postgres.server().execute(_EMPTY, database=name)
    return postgres.server().url(name)


@cache
def _created() -> str:
    server = postgres.server()
    name = server.create()
    url = server.url(name)
    connection = connect(url, "a")
    upgrade(connection, url, scripts())
    connection.close()
    return name
