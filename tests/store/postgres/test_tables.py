"""Writing rows to PostgreSQL: all or nothing, only what the instance owns, and any text."""

from __future__ import annotations

import random
import string
import threading
from typing import Any

import psycopg
from msgspec.structs import replace
from twisted.trial.unittest import TestCase

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Check, Delivery, Invalid, Outcome, TaskState, Verdict
from pypinger.ports.storing import Blind, HostSeen, Kept
from pypinger.store.postgres import tables
from pypinger.store.postgres.connection import connect
from pypinger.store.postgres.loading import load_tasks
from pypinger.store.postgres.tables import PostgresTables, Stale
from pypinger.store.recorder import Recorder
from tests import postgres
from tests.contracts.history import NOW
from tests.contracts.store import CHECK, OTHER, STATE, TASK, alert
from tests.store.postgres import emptied
from tests.store.postgres.direct import DirectStore

ODD = "nul \0, a lone \ud800, \\u0000 and ☃"

#: As PostgreSQL keeps it.
EVEN = "nul \N{REPLACEMENT CHARACTER}, a lone ?, \\u0000 and ☃"


def found(words: str, at: float = NOW) -> Check:
    return Check(at, 0.1, Invalid(200, words), Verdict(Kind.INVALID, words))


class TablesTestCase(TestCase):
    skip = postgres.missing()

    def setUp(self) -> None:
        self.url = emptied.database()
        self.store = self.open()

    def open(self) -> DirectStore:
        store = DirectStore(self.url)
        self.addCleanup(store.close)
        store.open()
        return store

    def open_again(self) -> Kept:
        store = DirectStore(self.url)
        self.addCleanup(store.close)
        return store.open()

    def rows(self, query: str) -> list[Any]:
        return postgres.server().execute(query, database=self.url.rpartition("/")[2])


class FenceTests(TablesTestCase):
    def stale(self, *, fenced: bool = True, channel: int = 0) -> None:
        """Write what is pending, as an instance that has lost something."""
        store = self.store
        try:
            with store.connection.transaction():
                store.tables.write(store.connection, store.recorder.pending, "i1", {"slack": channel}, fenced=fenced)
        except Stale:
            store.tables.forget(store.recorder.pending)
            raise

    def contents(self) -> list[Any]:
        tables = ("task", "run", "verdict", "delivery", "shape", "hour", "incident", "host")
        return [(name, self.rows(f"SELECT {name}::text FROM {name} ORDER BY 1")) for name in tables]

    async def test_a_task_with_another_owner_or_epoch(self) -> None:
        self.store.note(TASK, TaskState(), CHECK)
        self.store.note(OTHER, TaskState(), CHECK)
        row = f"task = (SELECT id FROM task WHERE url = '{OTHER.key}')"
        for lost in ("owner = 'i2'", "owner = NULL", "epoch = 7"):
            self.rows(f"UPDATE ownership SET owner = 'i1', epoch = 0 WHERE {row} RETURNING 1")
            self.rows(f"UPDATE ownership SET {lost} WHERE {row} RETURNING 1")
            before = self.contents()
            self.store.recorder.commit(TASK, STATE, found("new", 11.0), [Delivery(alert(1), "slack")], 11.0)
            self.store.recorder.note(OTHER, TaskState(pings=9), found("newer", 12.0))
            self.store.recorder.see_hosts({"a": HostSeen(None, 1.0)})
            with self.assertRaises(Stale):
                self.stale()
            self.assertEqual(self.contents(), before, lost)
        self.stale(fenced=False)
        self.assertNotEqual(self.contents(), before)

    async def test_a_channel_with_another_owner_or_epoch(self) -> None:
        await self.store.enqueue([Delivery(alert(1), "slack"), Delivery(alert(1), "email")])
        self.store.recorder.settle(Delivery(alert(1), "slack"), Outcome.SENT, NOW)
        with self.assertRaises(Stale):
            self.stale(channel=1)
        self.rows("UPDATE channel SET owner = 'i2' WHERE name = 'slack' RETURNING 1")
        with self.assertRaises(Stale):
            self.stale()
        self.assertEqual(self.rows("SELECT outcome FROM delivery"), [(None,), (None,)])
        # A new delivery may be for a channel of another instance.
        self.store.recorder.pending.settlements.clear()
        self.store.recorder.enqueue([Delivery(alert(2), "slack")])
        self.stale()
        self.assertEqual(self.rows("SELECT count(*) FROM delivery"), [(3,)])


class WritingTests(TablesTestCase):
    async def test_any_text(self) -> None:
        store = self.store
        state = TaskState(verdict=Verdict(Kind.INVALID, ODD))
        await store.commit(TASK, state, found(ODD), [Delivery(replace(alert(1), explanation=ODD), "slack", words=ODD)])
        store.hosts({ODD: HostSeen(None, NOW)})
        store.blindness(Blind(NOW, ODD))
        await store.settle(Delivery(alert(1), "slack", words=ODD, reference=ODD), Outcome.DEAD)
        (delivery,) = await store.deliveries()
        self.assertEqual((delivery.alert.explanation, delivery.words), (EVEN, EVEN))
        self.assertEqual([each.explanation for each in await store.verdicts(TASK.key)], [EVEN])
        self.assertEqual(self.rows("SELECT name FROM host"), [(EVEN,)])
        self.assertEqual(self.rows("SELECT words FROM blindness"), [(EVEN,)])
        self.assertEqual(self.rows("SELECT reference FROM delivery"), [(EVEN,)])
        # Queries that look into alerts read every row.
        self.assertEqual(self.rows("SELECT body::json ->> 'event' FROM delivery"), [("problem",)])

    async def test_what_a_failed_transaction_added_is_added_again(self) -> None:
        store = self.store
        store.note(TASK, TaskState(), CHECK)
        store.recorder.note(TASK, TaskState(), found("one", 11.0))
        with self.assertRaises(ZeroDivisionError):
            with store.connection.transaction():
                store.tables.write(store.connection, store.recorder.pending, "i1", {})
                raise ZeroDivisionError
        store.tables.forget(store.recorder.pending)
        store.write()
        self.assertEqual([each.finding for each in await store.runs(TASK.key, limit=1)], [Invalid(200, "one")])
        self.assertEqual(self.rows("SELECT count(*) FROM task WHERE shape NOT IN (SELECT id FROM shape)"), [(0,)])

    async def test_a_run_takes_the_next_millisecond_that_is_free(self) -> None:
        """Also where rows that are written already, and rows of the same transaction, have it."""
        store = self.store
        for number in range(6):
            if number == 0:
                store.note(TASK, TaskState(), found("0"))
            else:
                store.recorder.note(TASK, TaskState(), found(str(number)))
            if number == 3:
                store.write()
        store.write()
        runs = await store.runs(TASK.key)
        self.assertEqual({run.finding.problem for run in runs}, set("012345"))
        self.assertEqual(self.rows("SELECT count(DISTINCT first), max(first) - min(first) FROM run"), [(5, 4)])

    async def test_instances_that_write_the_same_shapes_and_hosts_wait_for_each_other(self) -> None:
        """In any order: none of them fails."""
        stores = [self.open() for _ in range(3)]
        for store, task in zip(stores, (TASK, OTHER, replace(TASK, url="http://h/third")), strict=True):
            store.note(task, TaskState(), CHECK)
        failures: list[Exception] = []

        def work(store: DirectStore, key: str, order: int) -> None:
            try:
                for turn in range(25):
                    numbers = list(range(20))[::order]
                    for number in numbers:
                        task = replace(TASK, url=key)
                        store.recorder.note(task, TaskState(), found(f"{turn} {number}", NOW + turn + number / 100))
                    store.recorder.see_hosts({f"h{number}": HostSeen(None, NOW + turn) for number in numbers})
                    store.write()
            except Exception as error:
                failures.append(error)

        threads = [
            threading.Thread(target=work, args=(store, next(iter(store.recorder.tasks)), order))
            for store, order in zip(stores, (1, -1, 1), strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(self.rows("SELECT count(*), count(DISTINCT digest) FROM shape"), [(501, 501)])

    async def test_the_cache_of_shapes_is_limited(self) -> None:
        self.patch(tables, "SHAPES", 3)
        for number in range(10):
            self.store.note(TASK, TaskState(), found(str(number % 5), NOW + number))
        self.assertLess(len(self.store.tables._shapes), 5)
        self.assertEqual(self.rows("SELECT count(*) FROM shape"), [(5,)])
        self.assertEqual(len(await self.store.runs(TASK.key)), 10)

    async def test_the_longest_url_and_a_long_reference(self) -> None:
        long = "http://h/" + "".join(random.choices(string.ascii_letters, k=8000))
        reference = "".join(random.choices(string.ascii_letters, k=8000))
        await self.store.commit(replace(TASK, url=long), STATE, CHECK, [Delivery(alert(1), "slack")])
        await self.store.settle(Delivery(alert(1), "slack", reference=reference), Outcome.SENT)
        self.assertEqual(len(await self.store.runs(long)), 1)
        with self.assertRaises(psycopg.errors.ExclusionViolation):
            self.store.connection.execute("INSERT INTO task (url) VALUES (%s)", (long,))
        self.assertEqual([told.reference for told in self.open_again().told["slack"]], [reference])

    def test_blind_times(self) -> None:
        """Only those in which no other instance saw anything count for all tasks."""
        store = self.store
        store.blind(NOW, NOW + 10)
        store.connection.execute(
            "INSERT INTO instance (id, name, until, process, digest, listed, tasks, channels, blind)"
            " VALUES ('i2', 'b', clock_timestamp() + interval '1 min', '', '', '', '[]', '[]', true)"
        )
        store.blind(NOW + 20, NOW + 30)
        store.connection.execute("UPDATE instance SET blind = false")
        store.blind(NOW + 40, NOW + 50)
        store.connection.execute("UPDATE instance SET until = clock_timestamp()")
        store.blind(NOW + 60, NOW + 70)
        self.assertEqual(
            self.rows("SELECT instance, (start - 1700002800000) / 1000 FROM blind ORDER BY id"),
            [("", 0), ("", 20), ("a", 40), ("", 60)],
        )
        self.assertEqual(
            [(span.start - NOW, span.end - NOW) for span in store.reader.blind_times(0, NOW + 100)],
            [(0.0, 10.0), (20.0, 30.0), (60.0, 70.0)],
        )

    def test_a_delivery_that_is_given_twice_is_one(self) -> None:
        recorder = self.store.recorder
        recorder.enqueue([Delivery(alert(1), "slack", words="first"), Delivery(alert(1), "slack", words="second")])
        self.store.write()
        self.assertEqual(self.rows("SELECT words FROM delivery"), [("first",)])

    def test_what_the_recorder_holds_is_loaded_again(self) -> None:
        store = self.store
        store.note(TASK, STATE, CHECK)
        store.recorder.commit(TASK, STATE, CHECK, [Delivery(alert(1), "slack")], NOW)
        store.write()
        known = store.recorder.tasks[TASK.key]
        (loaded,) = load_tasks(store.connection, [known.id])
        assert known.run is not None
        assert loaded.run is not None
        assert known.hour is not None
        assert loaded.hour is not None
        self.assertEqual(
            (loaded.key, loaded.state, loaded.accounted, loaded.incident, loaded.hour.row()),
            (known.key, known.state, known.accounted, known.incident, known.hour.row()),
        )
        for name in ("finding", "first", "last", "count", "shape"):
            self.assertEqual(getattr(loaded.run, name), getattr(known.run, name))

    def test_a_damaged_row(self) -> None:
        self.store.note(TASK, STATE, CHECK)
        self.rows('UPDATE task SET state = \'{"pings": "x"}\' RETURNING 1')
        with self.assertRaises(ValueError):
            load_tasks(self.store.connection, [self.store.recorder.tasks[TASK.key].id])

    def test_a_lost_connection(self) -> None:
        self.store.note(TASK, TaskState(), CHECK)
        self.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pypinger a'")
        with self.assertRaises(psycopg.OperationalError):
            self.store.note(TASK, TaskState(pings=1), CHECK)
        self.assertTrue(self.store.recorder.pending)
        self.store.connection = connect(self.url, "a")
        self.store.write()
        self.assertEqual(self.rows("SELECT state::json ->> 'pings' FROM task"), [("1",)])


class ForgetTests(TestCase):
    def test_tasks_without_a_run(self) -> None:
        recorder = Recorder()
        recorder.present(TASK.key)
        PostgresTables("a").forget(recorder.pending)
