"""Reading a database beside the store that writes it, as ``pypinger replay`` does."""

from __future__ import annotations

import sqlite3

from twisted.internet.defer import Deferred

from pypinger.ports.storing import StoreError
from pypinger.store import reading
from pypinger.store.accounting import BlindTime
from pypinger.store.reading import Reader
from pypinger.store.sources import SqliteSource
from tests.contracts.history import NOW, Story, reported
from tests.contracts.store import TASK
from tests.store.test_sqlite import SqliteTestCase


class ReaderTests(SqliteTestCase):
    def test_missing_database(self) -> None:
        with self.assertRaises(StoreError):
            Reader(SqliteSource(self.path))

    async def test_missing_table(self) -> None:
        store = self.store()
        store.open()
        self.connection(store).execute("DROP TABLE verdict")
        with self.assertRaises(StoreError):
            await store.verdicts(TASK.url)

    async def test_gaps_are_searched_up_to_a_limit(self) -> None:
        self.patch(reading, "CHUNK", 4)
        self.patch(reading, "LOOK", 16)
        store = self.store()
        store.open()
        story = Story(store)
        for number in range(30):
            await story.check(NOW + number, finding=reported(NOW + number))
        await store.enqueue([])
        self.assertEqual(len(await store.gaps(TASK.url, 10)), 10)
        self.assertEqual(len(await store.gaps(TASK.url, 100)), 16)

    async def test_beside_a_store(self) -> None:
        store = self.store()
        store.open()
        await Story(store).check(NOW)
        reader = self.reader()
        self.assertEqual(len(reader.runs(TASK.url)), 1)

    async def test_foreign_database(self) -> None:
        sqlite3.connect(self.path).close()
        reader = self.reader()
        with self.assertRaises(StoreError):
            reader.runs(TASK.url)

    async def test_findings_of_a_period(self) -> None:
        store = self.store()
        store.open()
        story = Story(store)
        for number in range(5):
            await story.check(NOW + 100 * number, finding=reported(NOW + number))
            await story.check(NOW + 100 * number + 50, finding=reported(NOW + number))
        await store.enqueue([])
        reader = self.reader()

        def found(since: float, until: float) -> list[float]:
            return [run.first - NOW for run in reader.findings(TASK.url, NOW + since, NOW + until)]

        self.assertEqual(found(0, 500), [0, 100, 200, 300, 400])
        self.assertEqual(found(120, 300), [100, 200])
        self.assertEqual(found(151, 201), [200])
        self.assertEqual(found(420, 421), [400])
        self.assertEqual(found(451, 999), [])

    async def test_backup(self) -> None:
        for path in (self.path, ":memory:"):
            store = self.store(path)
            store.open()
            story = Story(store)
            await story.check(NOW)
            backup = self.mktemp()
            copying = Deferred.fromCoroutine(store.backup(backup))
            await story.check(NOW + 60)
            await copying
            await store.enqueue([])
            again = self.store(backup)
            self.assertEqual(list(again.open().states), [TASK.url])
            with self.assertRaises(StoreError) as caught:
                await store.backup(f"{backup}/none")
            self.assertEqual(str(caught.exception), f"the backup {backup}/none cannot be written: Not a directory")

    async def test_blind_times(self) -> None:
        store = self.store()
        store.open()
        store.blind(NOW, NOW + 10)
        store.blind(NOW + 20, NOW + 30)
        store.blind(NOW + 40, NOW + 40)
        await store.enqueue([])
        reader = self.reader()
        self.assertEqual(list(reader.blind_times(NOW + 10, NOW + 99)), [BlindTime(NOW + 20, NOW + 30)])
        both = [BlindTime(NOW, NOW + 10), BlindTime(NOW + 20, NOW + 30)]
        self.assertEqual(list(reader.blind_times(NOW + 9, NOW + 21)), both)
