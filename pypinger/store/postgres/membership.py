"""
Statements of membership: joining, renewing, burying, gaining and releasing. All in the writer's thread.

Changes of members exclude each other, and all changes of owners: they hold an advisory lock alone until their
transaction ends. Instances that gain and release share it. Who releases takes it after the rows that it writes, so who
holds it alone must wait for no row of an instance that is alive. Where two of them want the same rows, since they know
different members, the first to lock a row gets it; a deadlock is tried again (see Note [Attempts] in
:mod:`~pypinger.store.postgres.attempts`). Rows of ``ownership`` (of tasks) and ``channel`` without an owner are free.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import msgspec
import psycopg

from pypinger.domain.model import Instant, Seconds
from pypinger.store.postgres.keys import read_keys
from pypinger.store.postgres.lease import TTL
from pypinger.store.postgres.tables import Stale

#: The key of the advisory lock: "PyPm".
LOCK = 0x5079506D

#: Seconds after which a task or a channel that no instance lists is given to any of them.
UNLISTED: Seconds = 60.0

#: Seconds after which a request is deleted.
OLD: Seconds = 60.0

_UNTIL = f"clock_timestamp() + interval '{TTL} s'"

_ROWS = """
SELECT id, name, extract(epoch FROM joined)::double precision, until::text, until <= clock_timestamp(),
    extract(epoch FROM until - clock_timestamp())::double precision, process, digest, listed, blind, health
FROM instance ORDER BY name, id
"""

_LIFE = """
INSERT INTO life (id, alive) SELECT 1, extract(epoch FROM clock_timestamp()) * 1000
ON CONFLICT (id) DO UPDATE SET alive = greatest(life.alive, excluded.alive)
"""

_UNLISTED_TASKS = """
UPDATE ownership SET unlisted = coalesce(unlisted, clock_timestamp()) FROM task
WHERE task.id = ownership.task AND url = ANY(%s) AND owner IS NULL
    AND EXISTS (SELECT FROM incident WHERE incident.task = task.id AND ended IS NULL)
RETURNING url, unlisted <= clock_timestamp() - make_interval(secs => %s)
"""
_UNLISTED_CHANNELS = """
UPDATE channel SET unlisted = coalesce(unlisted, clock_timestamp())
WHERE name = ANY(%s) AND owner IS NULL
    AND EXISTS (SELECT FROM delivery WHERE delivery.channel = channel.name AND outcome IS NULL)
RETURNING name, unlisted <= clock_timestamp() - make_interval(secs => %s)
"""


class InstanceRow(NamedTuple):
    """
    A row of ``instance``.

    :ivar until: the end of the lease as text; `ended`: whether it has passed; `left`: seconds until it does.
    :ivar listed: a digest of what the instance lists.
    """

    id: str
    name: str
    joined: Instant
    until: str
    ended: bool
    left: Seconds
    process: str
    digest: str
    listed: str
    blind: bool
    health: str


class Applicant(NamedTuple):
    """What an instance says of itself when it joins; see the columns of ``instance``."""

    name: str
    process: str
    digest: str
    listed: str
    tasks: str
    channels: str
    schema: int


class Joined(NamedTuple):
    """
    How an instance has joined.

    :ivar name: its name now.
    :ivar now: the time of the server.
    :ivar alone: whether there is no other instance.
    """

    name: str
    now: Instant
    alone: bool


def lock(connection: psycopg.Connection) -> None:
    """Hold the lock of membership until the transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))


def share_lock(connection: psycopg.Connection) -> None:
    """Let other owners change, but not the members, until the transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", (LOCK,))


def notify(connection: psycopg.Connection, *what: str) -> None:
    """Notify all instances of these, once the transaction ends."""
    if what:
        connection.execute("SELECT pg_notify('pypinger', what) FROM unnest(%s::text[]) AS what", (list(what),))


def rows(connection: psycopg.Connection) -> list[InstanceRow]:
    """All instances that are not buried."""
    return [InstanceRow(*row) for row in connection.execute(_ROWS.encode())]


def join(connection: psycopg.Connection, me: str, applicant: Applicant, gone: Mapping[str, str]) -> Joined:
    """
    Join. Where another instance has the name, ``-2`` or the next number that is free is added.

    :param me: the new id.
    :param gone: see :func:`bury`.
    """
    with connection.transaction():
        lock(connection)
        _bury(connection, gone)
        names = {name for (name,) in connection.execute("SELECT name FROM instance")}
        name, number = applicant.name, 1
        while name in names:
            number += 1
            name = f"{applicant.name}-{number}"
        row = connection.execute(
            "INSERT INTO instance (id, name, until, process, digest, listed, tasks, channels, schema)"
            f" VALUES (%s, %s, {_UNTIL}, %s, %s, %s, %s, %s, %s)"
            " RETURNING extract(epoch FROM clock_timestamp())::double precision",
            (me, name, *applicant[1:]),
        ).fetchone()
        assert row is not None
        notify(connection, "members")
    return Joined(name, row[0], not names)


def life(connection: psycopg.Connection) -> None:
    """Record that an instance is alive."""
    connection.execute(_LIFE)


def renew(connection: psycopg.Connection, me: str, blind: bool, health: str, *, fenced: bool) -> Instant | None:
    """Renew a lease; returns the time of the server, or None if the lease is over."""
    row = connection.execute(
        f"UPDATE instance SET until = {_UNTIL}, blind = %s, health = %s WHERE id = %s"
        " AND (until > clock_timestamp() OR NOT %s)"
        " RETURNING extract(epoch FROM clock_timestamp())::double precision",
        (blind, health, me, fenced),
    ).fetchone()
    return None if row is None else row[0]


def relist(connection: psycopg.Connection, me: str, applicant: Applicant) -> None:
    """Tell the others what this instance lists now."""
    with connection.transaction():
        connection.execute(
            "UPDATE instance SET digest = %s, listed = %s, tasks = %s, channels = %s WHERE id = %s",
            (*applicant[2:6], me),
        )
        notify(connection, "members")


def bury(connection: psycopg.Connection, gone: Mapping[str, str]) -> None:
    """
    Remove instances whose leases are over, and free what they owned.

    :param gone: others that are known to be gone: id -> the end of the lease that they had then, as text.
    """
    with connection.transaction():
        lock(connection)
        _bury(connection, gone)


def _bury(connection: psycopg.Connection, gone: Mapping[str, str]) -> None:
    # One that writes just now has its row locked, and is left until the next look.
    found = connection.execute(
        "SELECT id, until::text, until <= clock_timestamp() FROM instance"
        " WHERE until <= clock_timestamp() OR id = ANY(%s) FOR UPDATE SKIP LOCKED",
        (list(gone),),
    )
    remove(connection, [id for id, until, ended in found if ended or gone.get(id) == until])


def remove(connection: psycopg.Connection, ids: Sequence[str]) -> None:
    """Delete instances, and free what they owned, in the caller's transaction."""
    if not ids:
        return
    values = (list(ids),)
    connection.execute(
        "UPDATE ownership SET owner = NULL, changed = pg_current_xact_id() WHERE owner = ANY(%s)", values
    )
    connection.execute("UPDATE channel SET owner = NULL WHERE owner = ANY(%s)", values)
    connection.execute("DELETE FROM request WHERE target = ANY(%s) OR sender = ANY(%s)", values * 2)
    connection.execute("DELETE FROM instance WHERE id = ANY(%s)", values)
    notify(connection, "members", "owners")


def quit(connection: psycopg.Connection, me: str) -> None:
    """Leave for good: others take over at once."""
    with connection.transaction():
        lock(connection)
        remove(connection, [me])


def free_tasks(connection: psycopg.Connection, known: dict[int, str], me: str | None = None) -> dict[str, int]:
    """
    The tasks without an owner, or with this one, and their ids.

    :param known: see :func:`~pypinger.store.postgres.keys.read_keys`.
    """
    found = connection.execute("SELECT task FROM ownership WHERE owner IS NULL OR owner = %s", (me,))
    # Row by row thousands take twice as long.
    free = [id for (id,) in found.fetchall()]
    read_keys(connection, known, free)
    return {known[id]: id for id in free if id in known}


def free_channels(connection: psycopg.Connection, me: str | None = None) -> set[str]:
    """The channels without an owner, or with this one."""
    return {name for (name,) in connection.execute("SELECT name FROM channel WHERE owner IS NULL OR owner = %s", (me,))}


def take_tasks(connection: psycopg.Connection, me: str, ids: Sequence[int], *, fenced: bool) -> dict[int, int]:
    """Own those of these tasks that are free, or owned, in the caller's transaction; returns id -> epoch."""
    _alive(connection, me, fenced=fenced)
    share_lock(connection)
    taken = connection.execute(
        "UPDATE ownership SET owner = %s, epoch = epoch + 1, unlisted = NULL, changed = pg_current_xact_id()"
        " WHERE task = ANY(%b::bigint[]) AND (owner IS NULL OR owner = %s) RETURNING task, epoch",
        (me, list(ids), me),
    )
    notify(connection, "owners")
    return dict(taken.fetchall())


def take_channels(connection: psycopg.Connection, me: str, names: Collection[str], *, fenced: bool) -> dict[str, int]:
    """Own those of these channels that are free, or owned, in the caller's transaction; returns their epochs."""
    _alive(connection, me, fenced=fenced)
    share_lock(connection)
    taken = connection.execute(
        "UPDATE channel SET owner = %s, epoch = epoch + 1, unlisted = NULL WHERE name = ANY(%s)"
        " AND (owner IS NULL OR owner = %s) RETURNING name, epoch",
        (me, list(names), me),
    )
    return dict(taken.fetchall())


def release(connection: psycopg.Connection, me: str, tasks: Sequence[int], channels: Collection[str]) -> None:
    """Free tasks, by their ids, and channels, in the caller's transaction, which is to notify of it."""
    share_lock(connection)
    connection.execute(
        "UPDATE ownership SET owner = NULL, changed = pg_current_xact_id()"
        " WHERE task = ANY(%b::bigint[]) AND owner = %s",
        (list(tasks), me),
    )
    if channels:
        connection.execute("UPDATE channel SET owner = NULL WHERE name = ANY(%s) AND owner = %s", (list(channels), me))


def snapshot(connection: psycopg.Connection) -> str:
    """What the database shows at present, as text."""
    row = connection.execute("SELECT pg_current_snapshot()::text").fetchone()
    assert row is not None
    return str(row[0])


def unlisted(
    connection: psycopg.Connection, tasks: Collection[str], channels: Collection[str]
) -> tuple[frozenset[str], frozenset[str]]:
    """
    Of keys that no instance lists, those that have been so for long and have something left to do: an open incident, or
    pending deliveries.
    """
    with connection.transaction():
        lock(connection)
        found = [
            connection.execute(statement, (list(keys), UNLISTED)).fetchall()
            for statement, keys in ((_UNLISTED_TASKS, tasks), (_UNLISTED_CHANNELS, channels))
        ]
    of_tasks, of_channels = (frozenset(key for key, due in part if due) for part in found)
    return of_tasks, of_channels


def clean(connection: psycopg.Connection) -> None:
    """Delete requests that are long over, and free what belongs to instances whose rows somebody has deleted."""
    connection.execute(f"DELETE FROM request WHERE at < clock_timestamp() - interval '{OLD} s'")
    with connection.transaction():
        lock(connection)
        for table in ("ownership", "channel"):
            connection.execute(
                f"UPDATE {table} SET owner = NULL WHERE owner IS NOT NULL"
                f" AND NOT EXISTS (SELECT FROM instance WHERE instance.id = owner)".encode()
            )


def listing_of(connection: psycopg.Connection, instance: InstanceRow) -> tuple[frozenset[str], frozenset[str]] | None:
    """The tasks and the channels that an instance lists; None if it has left, or lists others by now."""
    row = connection.execute(
        "SELECT tasks, channels FROM instance WHERE id = %s AND listed = %s", (instance.id, instance.listed)
    ).fetchone()
    return None if row is None else (frozenset(_LIST.decode(row[0])), frozenset(_LIST.decode(row[1])))


def _alive(connection: psycopg.Connection, me: str, *, fenced: bool) -> None:
    row = connection.execute(
        "SELECT FROM instance WHERE id = %s AND until > clock_timestamp() FOR SHARE", (me,)
    ).fetchone()
    if row is None and fenced:
        raise Stale("the lease of this instance ran out")


_LIST = msgspec.json.Decoder(list[str])
