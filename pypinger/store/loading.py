"""Opens a database and loads its present into a recorder."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Alert, Delivery, Event, Instant, Outcome, TaskState
from pypinger.domain.silence import Silence
from pypinger.ports.storing import Blind, HostSeen, Kept, Told
from pypinger.store.accounting import DAY, HOUR, Hour, Millis
from pypinger.store.carrying import carry_over
from pypinger.store.database import damaged, open_database, scripts, unusable
from pypinger.store.recorder import BLIND_TIMES, Recorder
from pypinger.store.rows import DeliveryRow, IncidentRow, OpenRun, TaskRecord, finding
from pypinger.store.tables import Tables
from pypinger.store.watching import FileWatch

#: For how many hours an incident that is over is loaded with its message.
TOLD_HOURS = 6

# The latest alert of each message and incident. A recovery that a silence held back is recorded with the incident that
# followed, so the message counts as well.
_TOLD = """
SELECT channel, reference, body, max(id) AS latest FROM delivery
WHERE reference IN (
    SELECT reference FROM delivery WHERE reference IS NOT NULL AND incident IN
        (SELECT id FROM incident WHERE ended IS NULL)
    UNION SELECT reference FROM delivery WHERE reference IS NOT NULL AND at >= ?
)
GROUP BY channel, reference, incident ORDER BY latest
"""

_BEFORE = "SELECT outcome, body FROM delivery WHERE incident = ? AND channel = ? AND id < ? ORDER BY id DESC"

_STATE = msgspec.json.Decoder(TaskState)
_ALERT = msgspec.json.Decoder(Alert)
_KINDS = msgspec.json.Decoder(list[Kind])


class Opened(NamedTuple):
    """
    An open database.

    :ivar watch: None for a database in memory.
    """

    tables: Tables
    watch: FileWatch | None
    recorder: Recorder
    kept: Kept


def open_store(path: str, now: Millis, present: Recorder | None = None) -> Opened:
    """
    Open a database, create or upgrade it if need be, and load its present.

    :param present: becomes the present of the database: see :mod:`pypinger.store.carrying`.
    :raises StoreError: it cannot be used.
    """
    connection, lock = open_database(path, scripts())
    tables, watch, recorder = Tables(connection, lock), None, Recorder()
    try:
        kept = load(connection, recorder, now)
        if present is not None:
            carry_over(present, recorder, now)
        if lock is not None:
            watch = FileWatch(path, connection, lock)
        tables.write(recorder.pending, now, durable=True, token=None if watch is None else watch.token)
    except (sqlite3.Error, ValueError, TypeError) as error:
        if watch is not None:
            watch.close()
        tables.close()
        raise (unusable(path, error) if isinstance(error, sqlite3.Error) else damaged(path, str(error))) from error
    if watch is not None:
        watch.after_write()
    recorder.pending.clear()
    return Opened(tables, watch, recorder, kept)


def load(connection: sqlite3.Connection, recorder: Recorder, now: Millis) -> Kept:
    """
    Load the present, and record the time since the previous process as blind.

    :raises sqlite3.Error: the database cannot be read.
    :raises ValueError: a row is damaged.
    """
    execute = connection.execute
    for row in execute(
        "SELECT task.id, url, state, accounted, finding, figure, began, first, last, count, shape, hour, checks,"
        " errors, up, down, asleep, blind, latency, slowest FROM task LEFT JOIN shape ON shape.id = task.shape"
        " ORDER BY task.id"
    ):
        record = recorder.tasks[row[1]] = TaskRecord(row[0], row[1])
        record.state = _STATE.decode(row[2])
        record.accounted = row[3]
        if row[4] is not None:
            record.run = OpenRun(finding(*row[4:7]), *row[7:11])
            record.hour = Hour(*row[11:])
    by_id = {record.id: record for record in recorder.tasks.values()}
    for number, task, started, opened, kinds, explanation, alerts in execute(
        "SELECT id, task, started, opened, kinds, explanation, alerts FROM incident WHERE ended IS NULL"
    ):
        if task in by_id:
            by_id[task].incident = IncidentRow(
                number, task, started, opened, None, _KINDS.decode(kinds), explanation, alerts
            )
    latest = max(
        number or 0
        for query in ("max(id) FROM incident", "max(incident) FROM delivery")
        for (number,) in execute(f"SELECT {query}")
    )
    recorder.count_from(1 + max(by_id, default=0), 1 + latest)
    recent = execute(
        'SELECT start, "end" FROM blind WHERE "end" > ? ORDER BY id DESC LIMIT ?', (now - DAY, BLIND_TIMES)
    ).fetchall()
    for span in reversed(recent):
        recorder.remember_blind(span)
    for row_id, body, *values in execute(
        # If the clock was set back since the latest attempt, the pause is not longer than planned.
        "SELECT id, body, channel, task, incident, attempts, not_before - max(0, coalesce(settled, 0) - ?) / 1000.0,"
        " words, progress FROM delivery WHERE outcome IS NULL ORDER BY id",
        (now,),
    ):
        row = DeliveryRow(_ALERT.decode(body), *values)
        if row.alert.event is Event.CHANGED:
            earlier = execute(_BEFORE, (row.incident, row.channel, row_id))
            row = replace(row, alert=replace(row.alert, before=told_before(row.alert, earlier)))
        recorder.outbox[row.alert.id, row.channel] = row
    told: dict[str, list[Told]] = {}
    for channel, reference, body, _ in execute(_TOLD, (now - TOLD_HOURS * HOUR,)):
        told.setdefault(channel, []).append(Told(reference, _ALERT.decode(body)))
    (dead,) = execute("SELECT count(*) FROM delivery WHERE outcome = 'dead'").fetchone()
    for name, address, at in execute("SELECT name, address, at FROM host WHERE at >= ?", ((now - DAY) / 1000,)):
        recorder.hosts[name] = HostSeen(address, at)
    lasting = {row: Blind(since, words) for row, since, words in execute("SELECT id, since, words FROM blindness")}
    silences = tuple(
        Silence(*row)
        for row in execute(
            "SELECT id, selector, start, until, reason, by FROM silence WHERE until > ? ORDER BY start, id",
            (now / 1000,),
        )
    )
    recorder.resume((lasting.get(1), lasting.get(2)), silences)
    # Beside max(), SQLite takes the columns of the row with the maximum.
    refusals = {
        channel: words
        for channel, outcome, words, _ in execute(
            "SELECT channel, outcome, words, max(printf('%015d%015d', settled, id)) FROM delivery"
            " WHERE outcome IN ('sent', 'dead') GROUP BY channel"
        )
        if outcome == "dead"
    }
    blind_told: frozenset[str] = frozenset()
    if lasting:
        since = int(min(condition.since for condition in lasting.values()) * 1000)
        rows = execute("SELECT channel, body FROM delivery WHERE task IS NULL AND at >= ?", (since,))
        blind_told = frozenset(channel for channel, body in rows if _ALERT.decode(body).event is Event.BLIND)
    last_alive: Instant | None = None
    for (alive,) in execute("SELECT alive FROM life"):
        last_alive = alive / 1000
        recorder.add_blind(last_alive, now / 1000)
    execute("DELETE FROM host WHERE at < ?", ((now - DAY) / 1000,))
    return Kept(
        states={key: record.state for key, record in recorder.tasks.items()},
        deliveries=[
            Delivery(row.alert, row.channel, row.attempts, row.not_before, row.words, row.progress)
            for row in recorder.outbox.values()
        ],
        dead=dead,
        last_alive=last_alive,
        hosts=dict(recorder.hosts),
        blind=recorder.blindness[0],
        clock=recorder.blindness[1],
        blind_told=blind_told,
        told=told,
        silences=recorder.silences,
        dead_channels=frozenset(refusals),
        refusals=refusals,
    )


def told_before(change: Alert, earlier: Iterable[tuple[str | None, str]]) -> Kind | None:
    """
    What the channel was told before a pending change: the changes that this one replaced were not sent.

    :param earlier: outcome and body of the incident's deliveries before it, newest first.
    """
    before = change.before
    for outcome, body in earlier:
        alert = _ALERT.decode(body)
        if alert.event is Event.REMINDER:
            continue
        if alert.event is not Event.CHANGED or outcome != Outcome.REPLACED:
            break
        before = alert.before
    return before
