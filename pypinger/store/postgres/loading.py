"""Loads the present from PostgreSQL: of tasks and of channels that an instance takes over, and what is its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

import msgspec
import psycopg
from msgspec.structs import replace
from twisted.logger import Logger

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Alert, Delivery, Event, Instant, TaskState
from pypinger.domain.silence import Silence
from pypinger.ports.storing import Blind, HostSeen, Kept, Told
from pypinger.store.accounting import DAY, HOUR, Hour, Millis
from pypinger.store.loading import TOLD_HOURS, told_before
from pypinger.store.recorder import BLIND_TIMES, Recorder
from pypinger.store.rows import DeliveryRow, IncidentRow, OpenRun, TaskRecord, finding

_TASKS = """
SELECT task.id, url, epoch, state, accounted, finding, figure, began, first, last, count, shape, hour, checks, errors,
    up, down, asleep, blind, latency, slowest
FROM task JOIN ownership ON ownership.task = task.id LEFT JOIN shape ON shape.id = task.shape
WHERE task.id = ANY(%b::bigint[])
"""

_INCIDENTS = """
SELECT id, task, started, opened, kinds, explanation, alerts FROM incident
WHERE ended IS NULL AND task = ANY(%b::bigint[]) ORDER BY id
"""

# If the clock was set back since the latest attempt, the pause is not longer than planned.
_DELIVERIES = """
SELECT id, body, channel, task, incident, attempts,
    not_before - greatest(0, coalesce(settled, 0) - %s) / 1000.0::double precision, words,
    progress
FROM delivery WHERE outcome IS NULL AND channel = ANY(%s) ORDER BY id
"""

_BEFORE = """
SELECT outcome, body FROM delivery WHERE incident = %s AND channel = %s AND id < %s ORDER BY id DESC
"""

# The latest alert of each message and incident: see pypinger.store.loading.
_TOLD = """
SELECT channel, reference, body FROM delivery WHERE id IN (
    SELECT max(id) FROM delivery WHERE channel = ANY(%s) AND reference IN (
        SELECT reference FROM delivery WHERE reference IS NOT NULL AND incident IN
            (SELECT id FROM incident WHERE ended IS NULL)
        UNION SELECT reference FROM delivery WHERE reference IS NOT NULL AND at >= %s
    )
    GROUP BY channel, reference, incident
) ORDER BY id
"""

_DEAD = "SELECT count(*) FROM delivery WHERE outcome = 'dead' AND channel = ANY(%s)"

_LATEST = """
SELECT name, outcome, words FROM unnest(%s::text[]) AS c (name), LATERAL (
    SELECT outcome, words FROM delivery WHERE channel = c.name AND outcome IN ('sent', 'dead')
    ORDER BY settled DESC, id DESC LIMIT 1
) AS latest
"""

_BLIND = """
SELECT start, "end" FROM blind WHERE "end" > %s AND instance IN ('', %s) ORDER BY id DESC LIMIT %s
"""

_SILENCES = "SELECT id, selector, start, until, reason, by FROM silence WHERE until > %s ORDER BY start, id"

#: How many rows are fetched at once: one by one takes longer, and all at once keeps other threads waiting.
ROWS = 200

T = TypeVar("T")

_log = Logger()

_STATE = msgspec.json.Decoder(TaskState)
_ALERT = msgspec.json.Decoder(Alert)
_KINDS = msgspec.json.Decoder(list[Kind])


class KeptChannels(NamedTuple):
    """
    What is kept of some channels: see :class:`pypinger.ports.storing.Kept`.

    :ivar rows: of the pending deliveries, oldest first.
    :ivar dead: how many deliveries are dead.
    :ivar refusals: the channels whose latest delivery is dead, and why.
    """

    rows: Sequence[DeliveryRow]
    dead: int
    told: dict[str, list[Told]]
    refusals: dict[str, str]

    @property
    def deliveries(self) -> list[Delivery]:
        """The pending deliveries, oldest first."""
        return [
            Delivery(row.alert, row.channel, row.attempts, row.not_before, row.words, row.progress) for row in self.rows
        ]


def load_tasks(connection: psycopg.Connection, ids: Sequence[int]) -> list[TaskRecord]:
    """
    Load the present of tasks, in any order.

    :param ids: of their rows.
    :raises psycopg.Error: the database cannot be read.
    :raises ValueError: a row is damaged.
    """
    execute, wanted = connection.execute, list(ids)
    records = {}
    cursor = execute(_TASKS, (wanted,), binary=True)
    while rows := cursor.fetchmany(ROWS):
        for row in rows:
            record = records[row[0]] = TaskRecord(row[0], row[1], row[2])
            if row[3]:
                record.state = _STATE.decode(row[3])
            record.accounted = row[4]
            if row[5] is not None:
                record.run = OpenRun(finding(*row[5:8]), *row[8:12])
                record.hour = Hour(*row[12:])
    load_incidents(connection, records)
    return list(records.values())


def load_incidents(connection: psycopg.Connection, records: Mapping[int, TaskRecord]) -> None:
    """
    Load the open incidents of tasks.

    :param records: of the tasks by their ids.
    :raises psycopg.Error: the database cannot be read.
    :raises ValueError: a row is damaged.
    """
    for number, task, started, opened, kinds, explanation, alerts in connection.execute(_INCIDENTS, ([*records],)):
        records[task].incident = IncidentRow(
            number, task, started, opened, None, _KINDS.decode(kinds), explanation, alerts
        )


def load_channels(connection: psycopg.Connection, names: Sequence[str], now: Millis) -> KeptChannels:
    """
    Load what is kept of channels, but for alerts that are damaged.

    :raises psycopg.Error: the database cannot be read.
    """
    execute, wanted = connection.execute, list(names)
    rows = []
    for row_id, body, *values in execute(_DELIVERIES, (now, wanted)).fetchall():
        alert = decoded_or_none(_ALERT, body)
        if alert is None:
            continue
        row = DeliveryRow(alert, *values)
        if row.alert.event is Event.CHANGED:
            row = replace(row, alert=replace(alert, before=_before(connection, row, row_id)))
        rows.append(row)
    told: dict[str, list[Told]] = {}
    for channel, reference, body in execute(_TOLD, (wanted, now - TOLD_HOURS * HOUR)):
        alert = decoded_or_none(_ALERT, body)
        if alert is not None:
            told.setdefault(channel, []).append(Told(reference, alert))
    (dead,) = execute(_DEAD, (wanted,)).fetchone() or (0,)
    latest = execute(_LATEST, (wanted,))
    return KeptChannels(rows, dead, told, {name: words for name, outcome, words in latest if outcome == "dead"})


def load_common(
    connection: psycopg.Connection, recorder: Recorder, name: str, now: Millis, *, alone: bool = False
) -> Kept:
    """
    Load what belongs to no task and to no channel.

    :param name: of this instance.
    :param alone: whether no other instance runs: the time since one was last alive is blind.
    :raises psycopg.Error: the database cannot be read or written.
    :raises ValueError: a row is damaged.
    """
    execute = connection.execute
    last_alive: Instant | None = None
    for (alive,) in execute("SELECT alive FROM life").fetchall():
        last_alive = alive / 1000
        if alone and alive < now:
            execute('INSERT INTO blind (instance, start, "end") VALUES (%s, %s, %s)', ("", alive, now))
    recent = execute(_BLIND, (now - DAY, name, BLIND_TIMES)).fetchall()
    for span in reversed(recent):
        recorder.remember_blind(span)
    execute("DELETE FROM host WHERE at < %s", ((now - DAY) / 1000,))
    for host, address, at in execute("SELECT name, address, at FROM host"):
        recorder.hosts[host] = HostSeen(address, at)
    conditions = execute("SELECT id, since, words FROM blindness WHERE instance = %s", (name,))
    lasting = {row: Blind(since, words) for row, since, words in conditions}
    recorder.resume((lasting.get(1), lasting.get(2)), load_silences(connection, now))
    blind_told: frozenset[str] = frozenset()
    if lasting:
        since = int(min(condition.since for condition in lasting.values()) * 1000)
        rows = execute("SELECT channel, body FROM delivery WHERE task IS NULL AND at >= %s", (since,))
        alerts = [(channel, decoded_or_none(_ALERT, body)) for channel, body in rows]
        blind_told = frozenset(channel for channel, alert in alerts if alert and alert.event is Event.BLIND)
    return Kept(
        states={},
        deliveries=(),
        dead=0,
        last_alive=last_alive,
        hosts=dict(recorder.hosts),
        blind=recorder.blindness[0],
        clock=recorder.blindness[1],
        blind_told=blind_told,
        silences=recorder.silences,
        channels=frozenset(),
    )


def load_silences(connection: psycopg.Connection, now: Millis) -> tuple[Silence, ...]:
    """Load the silences that have not ended."""
    return tuple(Silence(*row) for row in connection.execute(_SILENCES, (now / 1000,)))


def decoded_or_none(decoder: msgspec.json.Decoder[T], words: str) -> T | None:
    """A value; None if it is damaged, or written by a later version, which must not hide all others."""
    try:
        return decoder.decode(words)
    except ValueError:
        _log.failure("a row of the database cannot be read")
        return None


def _before(connection: psycopg.Connection, row: DeliveryRow, row_id: int) -> Kind | None:
    try:
        return told_before(row.alert, connection.execute(_BEFORE, (row.incident, row.channel, row_id)))
    except ValueError:
        return row.alert.before
