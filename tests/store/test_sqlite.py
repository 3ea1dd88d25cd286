"""The SQLite store: the contract, restarts, and faults of the disk."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs
from twisted.trial.unittest import TestCase

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Delivery, Incident, Outcome, Report, Reported, Task, TaskState, Verdict, Window
from pypinger.ports.storing import Blind, Store, StoreError
from pypinger.store import queue, recorder, sqlite, tables, writer
from pypinger.store.accounting import BlindTime
from pypinger.store.reading import Reader
from pypinger.store.sources import SqliteSource
from pypinger.store.sqlite import SqliteStore
from pypinger.store.tables import Tables
from tests.contracts.history import NOW, HistoryContract, Story, reported
from tests.contracts.store import CHECK, STATE, TASK, StoreContract, alert
from tests.store.disks import small_disk
from tests.store.pump import Pump
from tests.store.test_database import python

KILLED = """
import sys, time
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred
from pypinger.domain.model import Delivery, TaskState
from pypinger.store.sqlite import SqliteStore
from tests.contracts.store import CHECK, TASK, OTHER, alert
store = SqliteStore(reactor, time.time, sys.argv[1], keep_days=90)
store.open()
async def one(lane):
    number = lane
    while True:
        await store.commit(TASK, TaskState(pings=number), CHECK, [Delivery(alert(number), "slack")])
        sys.stdout.write(f"{number}\\n")
        sys.stdout.flush()
        store.note(OTHER, TaskState(pings=number), CHECK)
        number += 10
for lane in range(10):
    Deferred.fromCoroutine(one(lane))
reactor.run()
"""


def pause(seconds: float) -> Deferred[None]:
    return deferLater(reactor, seconds)  # type: ignore[arg-type]


class SqliteTestCase(TestCase):
    def setUp(self) -> None:
        self.path = self.mktemp()

    def store(self, path: str | None = None, now: Callable[[], float] = time.time, keep: float = 90) -> SqliteStore:
        store = SqliteStore(reactor, now, path or self.path, keep_days=keep)  # type: ignore[arg-type]
        self.addCleanup(store.close)
        return store

    def reader(self) -> Reader:
        """A connection beside the store's own."""
        reader = Reader(SqliteSource(self.path))
        self.addCleanup(reader.close)
        return reader

    async def until(self, condition: Callable[[], Any]) -> None:
        for _ in range(3000):
            if condition():
                return
            await pause(0.01)
        raise AssertionError("the condition was not met in time")

    def connection(self, store: SqliteStore) -> sqlite3.Connection:
        assert store._queue is not None
        return store._queue._writer._open.tables.connection

    def rows(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(query).fetchall()


class SqliteStoreTests(StoreContract, SqliteTestCase):
    def make(self) -> Store:
        return self.store()


class SqliteHistoryTests(HistoryContract, SqliteTestCase):
    def make(self) -> SqliteStore:
        store = self.store()
        store.open()
        return store


class WritingTests(SqliteTestCase):
    async def test_a_note_is_written_soon(self) -> None:
        store = self.store()
        store.open()
        store.note(TASK, STATE, CHECK)
        await self.until(lambda: self.rows("SELECT url FROM task") == [(TASK.url,)])

    async def test_lone_surrogates_are_replaced(self) -> None:
        store = self.store()
        store.open()
        odd = Delivery(alert(1), "slack", words="no \ud800")
        report = Report(True, NOW, sleep=(Window(0, 1.0),), process="\ud801")
        state = TaskState(verdict=Verdict(Kind.LATE, "late \udfff"), report=report)
        await store.commit(TASK, state, CHECK, [odd])
        await store.close()
        kept = self.store().open()
        verdict = kept.states[TASK.url].verdict
        assert verdict is not None
        self.assertEqual((verdict.explanation, kept.deliveries[0].words), ("late ?", "no ?"))

    async def test_a_url_with_a_lone_surrogate(self) -> None:
        store = self.store()
        store.open()
        task = Task(url="http://h/\udc80", id="x", name="x", label="x")
        await Story(store, task).check(NOW)
        self.assertEqual(len(await store.runs(task.url)), 1)

    async def test_the_cache_of_shapes_is_limited(self) -> None:
        self.patch(tables, "SHAPES", 2)
        store = self.store()
        store.open()
        story = Story(store)
        for number in range(12):
            finding = Reported(200, Report(True, NOW, process=f"p{number % 4}"))
            await story.check(NOW + number, finding=finding)
        await store.enqueue([])
        self.assertEqual(self.rows("SELECT count(*) FROM shape"), [(4,)])
        self.assertEqual(len(await store.runs(TASK.url)), 12)

    async def test_the_kinds_of_an_incident_are_limited(self) -> None:
        self.patch(recorder, "KINDS", 3)
        store = self.store()
        store.open()
        story = Story(store)
        kinds = (Kind.LATE, Kind.FAILED)
        for number in range(9):
            kind = kinds[number % 2]
            await story.check(NOW + number, kind, incident=Incident(NOW, kind, NOW, number))
        (incident,) = await store.incidents()
        self.assertEqual((incident.kinds, incident.alerts), ((Kind.LATE, Kind.FAILED, Kind.LATE), 8))

    async def test_a_call_that_cannot_be_recorded_is_logged(self) -> None:
        store = self.store()
        store.open()
        store.blind(float("-inf"), float("inf"))
        await store.commit(TASK, STATE, CHECK, [])
        self.assertEqual(len(self.flushLoggedErrors(OverflowError)), 1)
        await store.close()
        self.assertEqual(self.store().open().states, {TASK.url: STATE})

    async def test_calls_after_closing(self) -> None:
        store = self.store()
        await store.close()
        store.open()
        await store.close()
        await store.close()
        store.note(TASK, STATE, CHECK)
        store.blind(1.0, 2.0)
        await store.commit(TASK, STATE, CHECK, [])
        with self.assertRaises(StoreError):
            await store.runs(TASK.url)
        self.assertEqual(self.store().open().states, {})

    async def test_callers_resume_in_order_a_few_per_turn(self) -> None:
        store = self.store()
        store.open()
        turns: list[int] = []
        turn = [0]

        def tick() -> None:
            turn[0] += 1
            if len(turns) < 200:
                reactor.callLater(0, tick)  # type: ignore[attr-defined]

        async def one(number: int) -> None:
            await store.enqueue([Delivery(alert(number), "slack")])
            turns.append(turn[0])
            order.append(number)

        def when_all_wait(*args: Any, **kwargs: Any) -> None:
            all_wait.wait(30)
            write(*args, **kwargs)

        order: list[int] = []
        all_wait, write = threading.Event(), Tables.write
        self.patch(Tables, "write", when_all_wait)
        waiting = [Deferred.fromCoroutine(one(number)) for number in range(200)]
        all_wait.set()
        tick()
        for each in waiting:
            await each
        self.assertEqual(order, list(range(200)))
        self.assertLessEqual(max(turns.count(each) for each in turns), 2 * queue.RESUMED)

    async def test_callers_that_wait_resume_at_closing(self) -> None:
        store = self.store()
        store.open()
        waiting = [Deferred.fromCoroutine(store.enqueue([Delivery(alert(number), "slack")])) for number in range(100)]
        await store.close()
        self.assertTrue(all(each.called for each in waiting))
        self.assertEqual(len(self.store().open().deliveries), 100)


class RestartTests(SqliteTestCase):
    unmeasured = True

    async def test_the_time_between_two_processes_is_blind(self) -> None:
        clock = [NOW]
        store = self.store(now=lambda: clock[0])
        self.assertIsNone(store.open().last_alive)
        story = Story(store)
        await story.check(NOW)
        await story.check(NOW + 60)
        clock[0] = NOW + 100
        await store.close()
        clock[0] = NOW + 3700
        again = self.store(now=lambda: clock[0])
        self.assertEqual(again.open().last_alive, NOW + 100)
        self.assertEqual(list(self.reader().blind_times(0.0, NOW * 2)), [BlindTime(NOW + 100, NOW + 3700)])
        story.store = again
        await story.check(NOW + 3720, Kind.LATE)
        await story.check(NOW + 3840)
        # 60 and 40 s before, 20 s after, then 2 min late.
        self.assertEqual((await again.uptime(TASK.url, NOW + 3840))["24h"], 0.5)

    async def test_the_clock_was_set_back_between_two_processes(self) -> None:
        store = self.store(now=lambda: NOW)
        store.open()
        await store.close()
        again = self.store(now=lambda: NOW - 3600)
        self.assertEqual(again.open().last_alive, NOW)
        self.assertEqual(list(self.reader().blind_times(0.0, NOW * 2)), [])

    async def test_the_pulse(self) -> None:
        self.patch(writer, "PULSE", 0.0)
        self.patch(queue, "TICK", 0.01)
        clock = [NOW]
        store = self.store(now=lambda: clock[0])
        store.open()
        clock[0] = NOW + 50
        await self.until(lambda: self.rows("SELECT alive FROM life") == [((NOW + 50) * 1000,)])

    async def test_an_incident_and_a_run_continue(self) -> None:
        store = self.store()
        store.open()
        story = Story(store)
        await story.check(NOW, Kind.LATE, incident=STATE.incident, alerts=(alert(1),))
        await story.check(NOW + 60, Kind.LATE, incident=STATE.incident)
        await store.close()
        again = story.store = self.store()
        again.open()
        await story.check(NOW + 120, Kind.LATE, incident=STATE.incident)
        await story.check(NOW + 180)
        (incident,) = await again.incidents()
        self.assertEqual((incident.opened, incident.ended), (NOW, NOW + 180))
        runs = await again.runs(TASK.url)
        self.assertEqual([(run.first, run.count) for run in runs], [(NOW + 180, 1), (NOW, 3)])
        (change,) = await again.verdicts(TASK.url, limit=1)
        self.assertEqual(change.kind, Kind.OK)

    def test_a_killed_process_keeps_what_was_committed(self) -> None:
        for lines in (1, 57, 211):
            path = self.mktemp()
            process = python(KILLED, path)
            assert process.stdout is not None
            said = [process.stdout.readline() for _ in range(lines)]
            process.kill()
            said += process.communicate()[0].splitlines(keepends=True)
            told = {f"{int(line):016x}" for line in said if line.endswith("\n")}
            self.assertGreaterEqual(len(told), lines)
            kept = self.store(path).open()
            self.assertLessEqual(told, {each.alert.id for each in kept.deliveries})
            self.assertIn(f"{kept.states[TASK.url].pings:016x}", {each.alert.id for each in kept.deliveries})


class TroubleTests(SqliteTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(writer, "RETRY", 0.05)
        self.patch(writer, "BATCH", 0.01)
        self.patch(queue, "TICK", 0.02)

    async def goes_on(self, store: SqliteStore, fill: Callable[[], None], empty: Callable[[], None]) -> str:
        """Assert that calls return while the disk is full and are written afterwards; return the trouble."""
        await store.commit(TASK, TaskState(pings=1), CHECK, [Delivery(alert(1), "slack")])
        with capturedLogs() as logs:
            fill()
            number = 1
            while store.trouble() is None:
                number += 1
                await store.enqueue([Delivery(alert(number), "slack")])
            words = store.trouble()
            assert words is not None
            await store.settle(Delivery(alert(1), "slack", 1), Outcome.SENT)
            await store.settle(Delivery(alert(2), "slack", 1), Outcome.RETRY)
            await store.settle(Delivery(alert(2), "slack", 2), Outcome.SENT)
            await store.settle(Delivery(alert(2), "slack", 3), Outcome.RETRY)
            for pings in range(2, 50):
                store.note(TASK, TaskState(pings=pings), CHECK)
            await pause(0.3)
            self.assertIsNotNone(store.trouble())
            empty()
            await self.until(lambda: store.trouble() is None)
        said = [each["log_format"] for each in logs if "the store" in (each["log_format"] or "")]
        self.assertEqual([line[:24] for line in said], ["the store cannot be writ", "the store can be written"])
        await store.close()
        kept = self.store(store._path).open()
        self.assertEqual(kept.states, {TASK.url: TaskState(pings=49)})
        expected = [f"{each:016x}" for each in range(3, number + 1)]
        self.assertEqual([each.alert.id for each in kept.deliveries], expected)
        return words

    async def test_the_page_limit(self) -> None:
        store = self.store()
        store.open()
        connection = self.connection(store)

        def fill() -> None:
            connection.execute("PRAGMA max_page_count = 1")

        def empty() -> None:
            connection.execute("PRAGMA max_page_count = 1000000")

        words = await self.goes_on(store, fill, empty)
        self.assertEqual(words, "the store cannot be written: database or disk is full")

    async def test_a_full_disk(self) -> None:
        directory = small_disk(self)
        store = self.store(str(directory / "pypinger.sqlite"))
        store.open()
        ballast = directory / "ballast"

        def fill() -> None:
            with ballast.open("wb", buffering=0) as file:
                try:
                    while file.write(b"x" * 4096):
                        pass
                except OSError:
                    pass

        words = await self.goes_on(store, fill, ballast.unlink)
        self.assertIn("disk", words)

    async def test_a_failed_transaction_writes_nothing(self) -> None:
        store = self.store()
        store.open()
        story = Story(store)
        self.connection(store).execute("ALTER TABLE verdict RENAME TO other")
        await story.check(NOW, Kind.LATE, incident=STATE.incident, alerts=(alert(1),))
        self.assertIn("no such table", store.trouble() or "")
        self.assertEqual(self.rows("SELECT * FROM task") + self.rows("SELECT * FROM shape"), [])
        # Between two turns of the writer, which rolls back.
        assert store._queue is not None
        await store._queue._worker.run(self.connection(store).execute, "ALTER TABLE other RENAME TO verdict")
        await self.until(lambda: store.trouble() is None)
        self.assertEqual(len(await store.runs(TASK.url)), 1)
        self.assertEqual([len(each.told) for each in await store.incidents()], [1])

    async def test_blindness_and_its_alert_are_one_transaction(self) -> None:
        store = self.store()
        store.open()
        write = Tables._write
        writes: list[tuple[int, int]] = []

        def count(tables: Tables, pending: Any) -> None:
            writes.append((len(pending.blindness), len(pending.deliveries)))
            write(tables, pending)

        self.patch(Tables, "_write", count)
        store.blindness(Blind(1.25, "no host answers"))
        await store.enqueue([Delivery(alert(1), "slack")])
        self.assertEqual(writes, [(1, 1)])

    def test_each_caller_has_its_own_time_limit(self) -> None:
        pump, turns = Pump(), threading.Semaphore(0)
        store = SqliteStore(pump, lambda: NOW, self.path, keep_days=90)
        store.open()
        self.addCleanup(lambda: pump.wait(store.close()))
        self.addCleanup(turns.release, 100)
        write = Tables.write

        def slow(*args: Any, **kwargs: Any) -> None:
            turns.acquire(timeout=30)
            write(*args, **kwargs)

        self.patch(Tables, "write", slow)
        early = Deferred.fromCoroutine(store.enqueue([]))
        pump.advance(queue.ANSWER_LIMIT / 2)
        late = Deferred.fromCoroutine(store.enqueue([]))
        turns.release()
        pump.until(lambda: early.called)
        pump.advance(queue.ANSWER_LIMIT / 2)
        self.assertEqual((store.trouble(), late.called), (None, False))
        pump.advance(queue.ANSWER_LIMIT / 2)
        self.assertIn("has not answered", store.trouble() or "")
        self.assertTrue(late.called)

    async def test_history_is_read_while_writing_fails(self) -> None:
        store = self.store()
        store.open()
        story = Story(store)
        await story.check(NOW)
        self.connection(store).execute("PRAGMA query_only = 1")
        await story.check(NOW + 60, Kind.LATE)
        self.assertIn("readonly", store.trouble() or "")
        self.assertEqual(len(await store.runs(TASK.url)), 1)

    async def test_closing_while_writing_fails(self) -> None:
        store = self.store()
        store.open()
        self.connection(store).execute("PRAGMA query_only = 1")
        await store.commit(TASK, STATE, CHECK, [])
        with capturedLogs() as logs:
            await store.close()
        self.assertIn("could not be written to the store", str([each["log_format"] for each in logs]))

    async def test_a_disk_that_does_not_answer(self) -> None:
        self.patch(queue, "ANSWER_LIMIT", 0.2)
        self.patch(queue, "TICK", 0.05)
        store = self.store()
        store.open()
        answers = threading.Event()
        self.addCleanup(answers.set)
        write = Tables.write

        def slow(*args: Any, **kwargs: Any) -> None:
            answers.wait(30)
            write(*args, **kwargs)

        self.patch(Tables, "write", slow)
        early = Deferred.fromCoroutine(store.commit(TASK, TaskState(pings=1), CHECK, []))
        await pause(0.1)
        await store.commit(TASK, TaskState(pings=2), CHECK, [Delivery(alert(1), "slack")])
        await early
        self.assertIn("has not answered", store.trouble() or "")
        self.patch(sqlite, "QUEUE", 1)
        store.note(TASK, TaskState(pings=3), CHECK)
        answers.set()
        await self.until(lambda: store.trouble() is None)
        await store.close()
        kept = self.store().open()
        self.assertEqual((len(kept.deliveries), kept.states[TASK.url].pings), (1, 2))

    async def test_trouble_is_over_once_all_is_written(self) -> None:
        self.patch(queue, "ANSWER_LIMIT", 0.1)
        self.patch(queue, "TICK", 0.05)
        store = self.store()
        store.open()
        answers = threading.Event()
        self.addCleanup(answers.set)
        write = Tables.write

        def slow(*args: Any, **kwargs: Any) -> None:
            answers.wait(30)
            write(*args, **kwargs)

        self.patch(Tables, "write", slow)
        await store.enqueue([])
        self.patch(queue, "TICK", 1000.0)
        await pause(0.2)
        await store.enqueue([Delivery(alert(1), "slack")])
        answers.set()
        await self.until(lambda: store.trouble() is None)
        self.assertEqual(self.rows("SELECT count(*) FROM delivery"), [(1,)])

    async def test_closing_has_a_time_limit(self) -> None:
        self.patch(sqlite, "CLOSING", 0.1)
        store = self.store()
        store.open()
        answers = threading.Event()
        self.patch(Tables, "write", lambda *args, **kwargs: answers.wait(30))
        waiting = [Deferred.fromCoroutine(store.commit(TASK, STATE, CHECK, [])) for _ in range(60)]
        with capturedLogs() as logs:
            await store.close()
        self.assertIn("could not be closed", str([each["log_format"] for each in logs]))
        self.assertTrue(all(each.called for each in waiting))
        answers.set()
        await self.until(lambda: not any(each.name == "pypinger-writer" for each in threading.enumerate()))
        await pause(0)

    async def test_closing_while_a_page_is_read(self) -> None:
        self.patch(sqlite, "CLOSING", 8.0)
        store = self.store()
        store.open()
        answers = threading.Event()
        self.patch(Reader, "runs", lambda *_: answers.wait(30))
        reading = Deferred.fromCoroutine(store.runs(TASK.url))
        store.note(TASK, STATE, CHECK)
        with capturedLogs() as logs:
            await store.close()
        self.assertEqual([each["log_format"] for each in logs], ["a page of history is still being read"])
        answers.set()
        await reading
        await self.until(lambda: not any(each.name == "pypinger-reader" for each in threading.enumerate()))
        self.assertEqual(self.store().open().states, {TASK.url: STATE})

    async def test_an_unexpected_error_in_the_writer(self) -> None:
        self.patch(queue, "TICK", 0.02)
        store = self.store()
        store.open()

        def fail(*_: object, **__: object) -> None:
            raise SystemExit

        broken = self.patch(writer.Writer, "turn", fail)
        await store.commit(TASK, STATE, CHECK, [])
        self.assertIn("unexpected error; see the log", store.trouble() or "")
        self.assertGreaterEqual(len(self.flushLoggedErrors(SystemExit)), 1)
        broken.restore()
        await self.until(lambda: store.trouble() is None)
        self.flushLoggedErrors(SystemExit)


class MemoryTests(SqliteTestCase):
    """``[store] path = :memory:``."""

    def make(self) -> SqliteStore:
        store = self.store(":memory:")
        store.open()
        return store

    async def test_a_restart_starts_empty(self) -> None:
        store = self.make()
        await store.commit(TASK, STATE, CHECK, [Delivery(alert(1), "slack")])
        await store.close()
        kept = self.store(":memory:").open()
        self.assertEqual((dict(kept.states), list(kept.deliveries), kept.last_alive), ({}, [], None))
        self.assertFalse(os.path.exists(":memory:"))

    async def test_two_stores_share_nothing(self) -> None:
        one, two = self.make(), self.make()
        await one.commit(TASK, STATE, CHECK, [Delivery(alert(1), "slack")])
        self.assertEqual(len(await one.deliveries()), 1)
        self.assertEqual(list(await two.deliveries()), [])

    async def test_history_of_two_days(self) -> None:
        self.patch(writer, "FIRST_SWEEP", 0.0)
        self.patch(writer, "SWEEP", 0.0)
        self.patch(queue, "TICK", 0.02)
        clock = [NOW]
        store = self.store(":memory:", now=lambda: clock[0])
        store.open()
        story = Story(store)
        for number in range(5):
            clock[0] = NOW + 86_400 * number
            await story.check(clock[0], finding=reported(clock[0]))
        await self.until(lambda: len(self.connection(store).execute("SELECT * FROM run").fetchall()) == 2)
        self.assertEqual([run.first for run in await store.runs(TASK.url)], [NOW + 86_400 * n for n in (4, 3, 2)])


class MemoryHistoryTests(HistoryContract, SqliteTestCase):
    def make(self) -> SqliteStore:
        store = self.store(":memory:")
        store.open()
        return store
