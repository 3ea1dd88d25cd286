"""Deleting old history from PostgreSQL."""

from __future__ import annotations

from typing import Any

import psycopg
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Delivery, Incident, Outcome, Task, TaskState, Verdict
from pypinger.store.accounting import DAY, millis
from pypinger.store.postgres import retention
from pypinger.store.postgres.connection import connect
from tests import postgres
from tests.contracts.history import NOW
from tests.contracts.store import OTHER, TASK, alert
from tests.store.postgres import emptied
from tests.store.postgres.direct import DirectStore
from tests.store.test_retention import check


class RetentionTests(SynchronousTestCase):
    skip = postgres.missing()

    def setUp(self) -> None:
        self.url = emptied.database()
        self.store = DirectStore(self.url)
        self.store.open()
        self.store.note(TASK, TaskState(), check(NOW - 1))
        self.recorder = self.store.recorder
        self.addCleanup(self.store.connection.close)

    def sweep(self, keep_days: float, now: float) -> int:
        return sum(1 for _ in retention.sweep(self.store.connection, keep_days, millis(now)))

    def rows(self, query: str) -> list[Any]:
        return self.store.connection.execute(query.encode()).fetchall()

    def record(self, days: int) -> float:
        """A life of so many days; returns its end."""
        for hour in range(24 * days + 1):
            at = NOW + 3600.0 * hour
            kind = Kind.LATE if hour % 2 else Kind.OK
            incident = Incident(at, kind, at, 1) if hour % 2 else None
            state = TaskState(verdict=Verdict(kind, ""), incident=incident)
            delivery = Delivery(replace(alert(hour), at=at), "slack")
            self.recorder.commit(TASK, state, check(at, str(hour // 24), kind), [delivery], at)
            self.recorder.settle(delivery, Outcome.SENT, at)
            self.recorder.add_blind(at + 10, at + 20)
        self.store.write()
        return NOW + 86_400.0 * days

    def test_old_history_is_deleted(self) -> None:
        end = self.record(10)
        self.patch(retention, "ROWS", 10)
        self.patch(retention, "STEP", 0.0)
        self.assertGreater(self.sweep(3, end), 20)
        horizon = millis(end) - 3 * DAY
        for query in ("first + length FROM run", "at FROM verdict", "ended FROM incident", "at FROM delivery"):
            with self.subTest(query=query):
                times = [row[0] for row in self.rows(f"SELECT {query}") if row[0] is not None]
                self.assertGreaterEqual(min(times), horizon)
                self.assertGreaterEqual(len(times), 24)
        shapes = len(self.rows("SELECT seen FROM shape"))
        self.assertTrue(4 <= shapes < 10, shapes)
        self.assertGreaterEqual(len(self.rows("SELECT * FROM hour")), 24 * 9)
        self.assertEqual(len(self.rows("SELECT * FROM blind")), 24 * 10 + 1)
        # A shape that was deleted is added again.
        self.store.note(TASK, TaskState(), check(end + 1, "0"))
        self.store.note(TASK, TaskState(), check(end + 2, "1"))
        self.assertEqual(self.rows("SELECT count(*) FROM run WHERE shape NOT IN (SELECT id FROM shape)"), [(0,)])
        kept = self.rows("SELECT count(*) FROM run")
        self.sweep(3, end)
        self.assertEqual(self.rows("SELECT count(*) FROM run"), kept)

    def test_one_instance_at_a_time(self) -> None:
        end = self.record(4)
        before = self.rows("SELECT count(*) FROM run")
        self.patch(retention, "STEP", 0.0)
        other = connect(self.url, "b")
        self.addCleanup(other.close)
        sweep = retention.sweep(other, 1, millis(end))
        next(sweep)
        self.assertEqual(self.sweep(1, end), 0)
        sweep.close()
        self.assertGreater(self.sweep(1, end), 0)
        self.assertLess(self.rows("SELECT count(*) FROM run"), before)

    def test_open_incidents_and_pending_deliveries_stay(self) -> None:
        state = TaskState(incident=Incident(NOW, Kind.LATE, NOW, 1))
        self.recorder.commit(TASK, state, check(NOW), [Delivery(alert(1), "slack")], NOW)
        self.store.write()
        self.sweep(3, NOW + 300 * 86_400.0)
        for table in ("incident", "delivery", "task JOIN shape ON shape.id = task.shape"):
            self.assertEqual(self.rows(f"SELECT count(*) FROM {table}"), [(1,)])

    def test_tasks_that_no_instance_lists_are_deleted_after_400_days(self) -> None:
        free = Task(url="http://h/c", id="c3", name="c", label="http://h/c")
        for task in (OTHER, free):
            self.store.note(task, TaskState(incident=Incident(NOW, Kind.LATE, NOW, 1)), check(NOW))
        self.rows("UPDATE ownership SET owner = NULL WHERE task = 3 RETURNING task")
        self.rows("UPDATE ownership SET unlisted = now() WHERE task = 2 RETURNING task")
        self.sweep(3, NOW + 399 * 86_400.0)
        self.assertEqual(self.rows("SELECT id FROM task ORDER BY id"), [(1,), (2,), (3,)])
        self.sweep(3, NOW + 401 * 86_400.0)
        # The first has an owner, which may still write it.
        self.assertEqual(self.rows("SELECT id FROM task"), [(1,)])
        self.assertEqual(self.rows("SELECT count(*) FROM incident"), [(0,)])
        self.assertEqual(self.rows("SELECT task FROM ownership"), [(1,)])

    def test_a_task_that_is_being_taken_is_not_deleted(self) -> None:
        self.rows("UPDATE ownership SET owner = NULL RETURNING task")
        with connect(self.url, "b") as other:
            other.execute("SET lock_timeout = '100ms'")
            with other.transaction():
                other.execute("UPDATE ownership SET owner = 'i2', epoch = epoch + 1")
                self.store.connection.execute("SET lock_timeout = '100ms'")
                with self.assertRaises(psycopg.errors.LockNotAvailable):
                    self.sweep(3, NOW + 401 * 86_400.0)
        self.sweep(3, NOW + 401 * 86_400.0)
        self.assertEqual(self.rows("SELECT url, owner FROM task JOIN ownership ON task = id"), [(TASK.key, "i2")])
