"""A store in PostgreSQL without threads and leases, for tests of tables, loading and reading."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from pypinger.domain.model import Check, Delivery, Outcome, Task, TaskState
from pypinger.domain.silence import Silence
from pypinger.ports.clock import WallClock
from pypinger.ports.storing import Blind, HostSeen, Kept
from pypinger.store.accounting import millis
from pypinger.store.history import ReadHistory
from pypinger.store.postgres.connection import connect
from pypinger.store.postgres.loading import load_channels, load_common, load_tasks
from pypinger.store.postgres.refused import parameter
from pypinger.store.postgres.source import PostgresSource
from pypinger.store.postgres.tables import PostgresTables
from pypinger.store.postgres.upgrading import scripts, upgrade
from pypinger.store.reading import Reader
from pypinger.store.recorder import Recorder

CHANNELS = ("slack", "sentry", "hipchat", "email", "early")

_SILENCE = """
INSERT INTO silence SELECT * FROM json_to_recordset(%s::json) AS j (id text, selector text, start double precision,
    until double precision, reason text, by text)
"""


class DirectStore(ReadHistory):
    """
    Owns all tasks and channels; each call is written when it returns.

    :param number: of the instance: another one takes over.
    """

    def __init__(self, url: str, number: int = 1, now: WallClock = time.time) -> None:
        self.url = url
        self.now = now
        self.instance = f"i{number}"
        self.connection = connect(url, "a")
        self.reader = Reader(PostgresSource(url, "a"))
        self.tables = PostgresTables("a")
        self.recorder = Recorder()

    def open(self) -> Kept:
        upgrade(self.connection, self.url, scripts())
        execute, now = self.connection.execute, millis(self.now())
        execute("UPDATE ownership SET owner = %s", (self.instance,))
        for name in CHANNELS:
            execute(
                "INSERT INTO channel (name, owner) VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET owner = %s",
                (name, self.instance, self.instance),
            )
        kept = load_common(self.connection, self.recorder, "a", now, alone=True)
        channels = load_channels(self.connection, CHANNELS, now)
        for record in load_tasks(self.connection, [number for (number,) in execute("SELECT id FROM task")]):
            self.recorder.tasks[record.key] = record
        (latest,) = execute("SELECT max(id) FROM incident").fetchone() or (0,)
        self.recorder.count_from(1, 1 + (latest or 0))
        return replace(
            kept,
            states={record.key: record.state for record in self.recorder.tasks.values()},
            deliveries=channels.deliveries,
            dead=channels.dead,
            told=channels.told,
            refusals=channels.refusals,
            dead_channels=frozenset(channels.refusals),
        )

    def note(self, task: Task, state: TaskState, check: Check) -> None:
        self._record(Recorder.note, task, state, check)

    async def commit(self, task: Task, state: TaskState, check: Check | None, deliveries: Sequence[Delivery]) -> bool:
        self._record(Recorder.commit, task, state, check, deliveries, self.now())
        return True

    async def enqueue(self, deliveries: Sequence[Delivery]) -> None:
        self._record(Recorder.enqueue, deliveries)

    async def settle(self, delivery: Delivery, outcome: Outcome) -> None:
        self._record(Recorder.settle, delivery, outcome, self.now())

    def blind(self, start: float, end: float) -> None:
        self._record(Recorder.add_blind, start, end)

    def hosts(self, seen: Mapping[str, HostSeen]) -> None:
        self._record(Recorder.see_hosts, seen)

    def blindness(self, blind: Blind | None, clock: Blind | None = None) -> None:
        self._record(Recorder.set_blindness, (blind, clock))

    async def silences(self, present: Sequence[Silence]) -> None:
        self.connection.execute("DELETE FROM silence")
        columns = ("id", "selector", "start", "until", "reason", "by")
        rows = [{name: getattr(each, name) for name in columns} for each in present]
        self.connection.execute(_SILENCE, (parameter(rows),))

    def trouble(self) -> str | None:
        return None

    async def close(self) -> None:
        self.connection.execute(
            "INSERT INTO life VALUES (1, %s) ON CONFLICT (id) DO UPDATE SET alive = %s",
            (millis(self.now()), millis(self.now())),
        )
        self.connection.close()
        self.reader.close()

    async def _read(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return method(self.reader, *args, **kwargs)

    def _record(self, call: Callable[..., None], *args: Any) -> None:
        if args and isinstance(args[0], Task) and args[0].key not in self.recorder.tasks:
            row = self.connection.execute(
                "WITH added AS (INSERT INTO task (url) VALUES (%s) RETURNING id)"
                " INSERT INTO ownership (task, owner) SELECT id, %s FROM added RETURNING task",
                (args[0].key, self.instance),
            ).fetchone()
            assert row is not None
            (record,) = load_tasks(self.connection, [row[0]])
            self.recorder.tasks[record.key] = record
        call(self.recorder, *args)
        self.write()

    def write(self) -> None:
        channels = dict.fromkeys(CHANNELS, 0)
        try:
            with self.connection.transaction():
                self.tables.write(self.connection, self.recorder.pending, self.instance, channels)
        except BaseException:
            self.tables.forget(self.recorder.pending)
            raise
        self.recorder.pending.clear()
