"""What is old goes, what is needed stays, and the writer is never held up."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import Any

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Check, Delivery, Incident, Outcome, Report, Reported, TaskState, Verdict
from pypinger.store import retention, writer
from pypinger.store.accounting import DAY, HOUR, millis
from pypinger.store.database import open_database, scripts
from pypinger.store.recorder import Recorder
from pypinger.store.sqlite import SqliteStore
from pypinger.store.tables import Tables
from tests.contracts.history import NOW
from tests.contracts.store import OTHER, TASK, alert
from tests.store.pump import Pump


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

    def test_what_is_old_goes(self) -> None:
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
        # What the writer knew of is still found or made anew.
        self.recorder.note(TASK, TaskState(), check(end + 1, "0"))
        self.write(end)
        self.assertEqual(self.rows("SELECT count(*) FROM run WHERE shape NOT IN (SELECT id FROM shape)"), [(0,)])

    def test_what_is_open_stays(self) -> None:
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

    def test_after_four_hundred_days(self) -> None:
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
    def setUp(self) -> None:
        self.patch(writer, "FIRST_SWEEP", 0.0)
        self.patch(writer, "BATCH", 0.02)
        self.patch(writer, "BREATH", 0.001)
        self.path = self.mktemp()
        self.pump = Pump()
        self.store = SqliteStore(self.pump, time.time, self.path, keep_days=1)
        self.addCleanup(lambda: self.pump.wait(self.store.close()))

    def count(self) -> int:
        with closing(sqlite3.connect(self.path)) as connection:
            (count,) = connection.execute("SELECT count(*) FROM run").fetchone()
            assert isinstance(count, int)
            return count

    def test_the_writer_does_it(self) -> None:
        self.patch(retention, "ROWS", 5)
        self.patch(retention, "STEP", 0.0)
        self.patch(writer, "SWEEP", 0.05)
        self.store.open()
        for number in range(100):
            self.store.note(TASK, TaskState(), check(NOW + number))
        self.pump.wait(self.store.enqueue([]))
        self.pump.until(lambda: not self.count())
        sweeping = self.store._writer
        assert sweeping is not None
        self.pump.until(lambda: sweeping._sweep is None)

    def test_what_fails_is_tried_again_an_hour_later(self) -> None:
        def broken(*_: object) -> Any:
            raise sqlite3.OperationalError("disk I/O error")
            yield

        self.patch(writer, "sweep", broken)
        self.store.open()
        self.pump.until(lambda: self.flushLoggedErrors(sqlite3.OperationalError))
        self.pump.wait(self.store.enqueue([]))
        self.assertIsNone(self.store.trouble())
