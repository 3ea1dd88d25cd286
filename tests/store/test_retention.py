"""Deleting old history."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import Any, cast

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Check, Delivery, Incident, Outcome, Report, Reported, TaskState, Verdict
from pypinger.store import queue, retention, writer
from pypinger.store.accounting import DAY, HOUR, millis
from pypinger.store.database import open_database, scripts
from pypinger.store.recorder import Recorder
from pypinger.store.sqlite import SqliteStore
from pypinger.store.tables import Tables
from pypinger.store.threads import Reactor
from tests.contracts.history import NOW
from tests.contracts.store import OTHER, TASK, alert
from tests.store.inline import InlineWorker


def check(at: float, reason: str | None = None, kind: Kind = Kind.OK) -> Check:
    return Check(at, 0.1, Reported(200, Report(True, at - 1, reason=reason)), Verdict(kind, "it is"))


class RetentionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = self.mktemp()
        self.tables = Tables(*open_database(self.path, scripts()))
        self.addCleanup(lambda: self.tables.close() if self.tables else None)
        self.recorder = Recorder()

    def write(self, now: float) -> None:
        self.tables.write(self.recorder.pending, millis(now), durable=False)
        self.recorder.pending.clear()

    def sweep(self, keep_days: float, now: float) -> int:
        return sum(1 for _ in retention.sweep(self.tables, self.recorder, keep_days, millis(now)))

    def rows(self, query: str) -> list[Any]:
        return self.tables.connection.execute(query).fetchall()

    def test_old_history_is_deleted(self) -> None:
        days = 10
        for hour in range(24 * days + 1):
            at = NOW + 3600.0 * hour
            kind = Kind.LATE if hour % 2 else Kind.OK
            incident = Incident(at, kind, at, 1) if hour % 2 else None
            state = TaskState(verdict=Verdict(kind, ""), incident=incident)
            delivery = Delivery(replace(alert(hour), at=at), "slack")
            self.recorder.commit(TASK, state, check(at, str(hour // 24), kind), [delivery], at)
            self.recorder.settle(delivery, Outcome.SENT, at)
            self.recorder.add_blind(at + 10, at + 20)
        end = NOW + 86_400.0 * days
        self.write(end)
        self.patch(retention, "ROWS", 10)
        self.patch(retention, "STEP", 0.0)
        steps = self.sweep(3, end)
        self.assertGreater(steps, 20)
        horizon = millis(end) - 3 * DAY
        for query in ("first + length FROM run", "at FROM verdict", "ended FROM incident", "at FROM delivery"):
            with self.subTest(query=query):
                times = [row[0] for row in self.rows(f"SELECT {query}")]
                self.assertGreaterEqual(min(times), horizon)
                self.assertGreaterEqual(len(times), 24)
        seen = self.rows("SELECT seen FROM shape")
        self.assertGreaterEqual(len(seen), 4)
        self.assertLess(len(seen), 10)
        self.assertGreaterEqual(len(self.rows("SELECT * FROM hour")), 24 * days)
        self.assertEqual(len(self.rows("SELECT * FROM blind")), 24 * days + 1)
        # The cache of shapes holds no deleted ones.
        self.recorder.note(TASK, TaskState(), check(end + 1, "0"))
        self.write(end)
        self.assertEqual(self.rows("SELECT count(*) FROM run WHERE shape NOT IN (SELECT id FROM shape)"), [(0,)])

    def test_open_incidents_and_pending_deliveries_stay(self) -> None:
        incident = Incident(NOW, Kind.LATE, NOW, 1)
        state = TaskState(incident=incident)
        pending = Delivery(alert(1), "slack")
        self.recorder.commit(TASK, state, check(NOW), [pending], NOW)
        later = NOW + 300 * 86_400.0
        self.write(NOW)
        self.sweep(3, later)
        self.assertEqual(len(self.rows("SELECT * FROM incident")), 1)
        self.assertEqual(len(self.rows("SELECT * FROM delivery")), 1)
        self.assertEqual(len(self.rows("SELECT * FROM task JOIN shape ON shape.id = task.shape")), 1)

    def test_tasks_are_deleted_after_400_days(self) -> None:
        for task in (TASK, OTHER):
            self.recorder.note(task, TaskState(), check(NOW))
        incident = Incident(NOW, Kind.LATE, NOW, 1)
        self.recorder.commit(TASK, TaskState(incident=incident), check(NOW + 3600), [], NOW)
        self.recorder.add_blind(NOW, NOW + 60)
        later = NOW + 401 * 86_400.0
        self.write(NOW)
        self.recorder.note(OTHER, TaskState(), check(later))
        self.sweep(3, later)
        self.assertEqual(self.rows("SELECT url FROM task"), [(OTHER.url,)])
        self.assertEqual(self.rows("SELECT * FROM incident"), [])
        self.assertEqual(self.rows("SELECT count(*) FROM hour") + self.rows("SELECT count(*) FROM blind"), [(0,), (0,)])
        self.write(later)
        self.recorder.note(TASK, TaskState(pings=1), check(later))
        self.write(later)
        self.assertEqual(self.rows("SELECT count(*) FROM task"), [(2,)])
        self.assertEqual(self.rows(f"SELECT max(hour) FROM task WHERE url = '{TASK.url}'"), [(millis(later) // HOUR,)])


class SweepingTests(SynchronousTestCase):
    """The writer deletes old history by itself."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.clock = Clock()
        reactor = cast(Reactor, self.clock)
        self.store = SqliteStore(reactor, time.time, self.path, keep_days=1, worker=InlineWorker)
        self.addCleanup(lambda: self.successResultOf(Deferred.fromCoroutine(self.store.close())))

    def count(self) -> int:
        with closing(sqlite3.connect(self.path)) as connection:
            (count,) = connection.execute("SELECT count(*) FROM run").fetchone()
            assert isinstance(count, int)
            return count

    def test_small_steps(self) -> None:
        self.patch(retention, "ROWS", 5)
        self.patch(retention, "STEP", 0.0)
        self.store.open()
        for number in range(100):
            self.store.note(TASK, TaskState(), check(NOW + number, str(number)))
        self.clock.advance(queue.TICK)
        self.assertEqual(self.count(), 99)
        counts = []
        self.clock.advance(writer.FIRST_SWEEP)
        for _ in range(100):
            self.clock.advance(queue.TICK if not counts else queue.DELETE_TICK)
            counts.append(self.count())
        self.assertEqual(counts[-1], 0)
        self.assertGreater(len(set(counts)), 15)

    def test_a_failure_is_retried_an_hour_later(self) -> None:
        tries = []

        def broken(*_: object) -> Any:
            tries.append(self.clock.seconds())
            raise sqlite3.OperationalError("disk I/O error")
            yield

        self.patch(writer, "sweep", broken)
        self.store.open()
        self.clock.pump([1.0] * int(writer.FIRST_SWEEP + writer.SWEEP + 2))
        self.assertEqual([round(tries[0]), round(tries[1] - tries[0])], [writer.FIRST_SWEEP, writer.SWEEP])
        self.assertEqual(len(self.flushLoggedErrors(sqlite3.OperationalError)), 2)
        self.assertIsNone(self.store.trouble())
