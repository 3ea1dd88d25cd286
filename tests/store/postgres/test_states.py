"""The states that an instance knows of the tasks of others, and what it loads of those that it gains."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import Connection
from twisted.trial.unittest import TestCase

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Incident, TaskState
from pypinger.store.postgres import holding
from pypinger.store.postgres.connection import connect
from pypinger.store.postgres.loading import load_tasks
from pypinger.store.rows import TaskRecord, encode
from tests import postgres
from tests.store.postgres import emptied
from tests.store.postgres.members import Crowd, Runtime, check, listing, sleep, task, until

COUNT = 60


class StatesTests(TestCase):
    skip = postgres.missing()
    timeout = 120

    def setUp(self) -> None:
        self.url = emptied.database()
        self.crowd = Crowd(self, self.url)
        self.loaded: list[Sequence[int]] = []
        self.patch(holding, "load_tasks", self.load)

    def load(self, connection: Connection, ids: Sequence[int]) -> list[TaskRecord]:
        self.loaded.append(ids)
        return load_tasks(connection, ids)

    async def shared(self) -> tuple[Runtime, Runtime]:
        """Two instances, the first of which has checked each task once."""
        a = self.crowd.join("a", listing(COUNT))
        for number in range(COUNT):
            a.store.note(task(number), TaskState(pings=1), check())
        await a.store.commit(task(0), TaskState(pings=1), None, [])
        self.loaded.clear()
        b = self.crowd.join("b", listing(COUNT))
        await until(lambda: len(a.states) + len(b.states) == COUNT and b.states)
        return a, b

    def checks(self) -> list[tuple[str, int, int]]:
        """Each task, the checks of its run, and those of its hour."""
        with connect(self.url, "looks") as opened:
            return opened.execute("SELECT url, count, checks FROM task ORDER BY id").fetchall()

    async def test_the_rest_is_loaded_when_something_is_recorded(self) -> None:
        _, b = await self.shared()
        self.assertEqual(set(b.states.values()), {TaskState(pings=1)})
        self.assertEqual(self.loaded, [])
        numbers = [number for number in range(COUNT) if task(number).key in b.states]
        for number in numbers:
            b.store.note(task(number), TaskState(pings=2), check())
        self.assertTrue(await b.store.commit(task(numbers[0]), TaskState(pings=2), None, []))
        # One query for all of them.
        self.assertEqual([len(ids) for ids in self.loaded], [len(numbers)])
        counts = {key: (count, checks) for key, count, checks in self.checks()}
        self.assertEqual({counts[key] for key in b.states}, {(2, 2)})

    async def test_a_task_that_no_call_announces_is_loaded_too(self) -> None:
        _, b = await self.shared()
        recorder = b.store._sharing._writer._recorder
        key = next(iter(b.states))
        self.assertIn(key, recorder.partial)
        self.assertEqual(recorder.present(key).run.count, 1)
        self.assertNotIn(key, recorder.partial)

    async def test_only_what_has_changed_since_is_loaded(self) -> None:
        a, b = await self.shared()
        await until(lambda: b.states.keys() <= a.seen.keys())
        numbers = [number for number in range(COUNT) if task(number).key in b.states]
        for number in numbers[:10]:
            await b.store.commit(task(number), TaskState(pings=2), None, [])
        await until(lambda: sum(each.state == TaskState(pings=2) for each in a.seen.values()) == 10)
        # The look is over when the next one finds nothing.
        await sleep(1)
        self.loaded.clear()
        for number in numbers[10:15]:
            b.store.note(task(number), TaskState(pings=3), check())
        # What is noted is written when it stops.
        await b.store.close()
        await until(lambda: len(a.states) == COUNT)
        self.assertLessEqual(sum(map(len, self.loaded)), 15)
        gained = [a.states[task(number).key].pings for number in numbers]
        self.assertEqual(gained, [2] * 10 + [3] * 5 + [1] * (len(numbers) - 15))

    async def test_own_states_are_known_after_others_had_the_tasks(self) -> None:
        a, b = await self.shared()
        numbers = [number for number in range(COUNT) if task(number).key in b.states]
        await b.store.close()
        await until(lambda: len(a.states) == COUNT)
        for number in numbers:
            await a.store.commit(task(number), TaskState(pings=4), None, [])
        self.loaded.clear()
        c = self.crowd.join("b", listing(COUNT))
        await until(lambda: len(a.states) + len(c.states) == COUNT and c.states)
        await c.store.close()
        await until(lambda: len(a.states) == COUNT)
        self.assertEqual({a.states[task(number).key].pings for number in numbers}, {4})

    async def test_over_another_connection_nothing_is_relied_on(self) -> None:
        a, b = await self.shared()
        await until(lambda: b.states.keys() <= a.seen.keys())
        gained = len(b.states)
        self.patch(holding, "GAINED", 10)
        a.store._sharing._writer._attempts.link.abort()
        self.loaded.clear()
        await b.store.close()
        await until(lambda: len(a.states) == COUNT)
        # That server may have lost transactions, whose numbers others have now.
        self.assertEqual(sum(map(len, self.loaded)), gained)
        self.assertGreater(len(self.loaded), 1)

    async def test_many_are_loaded_in_parts(self) -> None:
        _, b = await self.shared()
        self.patch(holding, "GAINED", 7)
        b.store._sharing._writer._recorder._complete([*b.states])
        self.assertEqual(max(map(len, self.loaded)), 7)
        self.assertEqual(sum(map(len, self.loaded)), len(b.states))
        self.assertEqual(b.store._sharing._writer._recorder.partial, set())

    async def test_a_damaged_row_keeps_the_state_that_is_known_and_the_incident(self) -> None:
        incident = Incident(started=900.0, kind=Kind.LATE, reminded=900.0, alerts=1)
        a = self.crowd.join("a", listing(COUNT))
        for number in range(COUNT):
            await a.store.commit(task(number), TaskState(incident=incident), check(kind=Kind.LATE), [])
        b = self.crowd.join("b", listing(COUNT))
        await until(lambda: len(a.states) + len(b.states) == COUNT and b.states)
        with connect(self.url, "damages") as opened:
            opened.execute("UPDATE shape SET finding = '{}'")
        number = next(number for number in range(COUNT) if task(number).key in b.states)
        self.assertTrue(await b.store.commit(task(number), TaskState(), check(), []))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        with connect(self.url, "looks") as opened:
            rows = opened.execute(
                "SELECT kinds, ended IS NULL FROM incident JOIN task ON task.id = task WHERE url = %s",
                (task(number).key,),
            ).fetchall()
        self.assertEqual(rows, [(encode([Kind.LATE]), False)])
        # Else it would gain the damaged rows of the other while that closes.
        await a.store.close()
