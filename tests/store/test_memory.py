"""The memory store keeps the contract for as long as the process lives."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from pypinger.domain.kinds import Kind
from pypinger.domain.model import Delivery, Incident, Outcome
from pypinger.ports.storing import Store
from pypinger.store import memory
from pypinger.store.memory import MemoryStore
from tests.contracts.history import NOW, HistoryContract, Story
from tests.contracts.store import OTHER, TASK, StoreContract, alert


class MemoryStoreTests(StoreContract, TestCase):
    def setUp(self) -> None:
        self.store = MemoryStore()

    def make(self) -> Store:
        return self.store


class MemoryHistoryTests(HistoryContract, TestCase):
    def make(self) -> MemoryStore:
        return MemoryStore()


class LimitsTests(TestCase):
    """Memory is not without end: the oldest is forgotten, but never what is pending or open."""

    async def test_of_a_task(self) -> None:
        self.patch(memory, "OF_TASK", 3)
        store = MemoryStore()
        story = Story(store)
        kinds = (Kind.OK, Kind.LATE)
        for number in range(20):
            await story.check(NOW + 3600.0 * number, kinds[number % 2])
        self.assertEqual(
            [run.first - NOW for run in await store.runs(TASK.url)], [3600.0 * n for n in (19, 18, 17, 16)]
        )
        self.assertEqual(len(await store.verdicts(TASK.url)), 3)
        self.assertIsNotNone((await store.uptime(TASK.url, NOW + 20 * 3600))["7d"])

    async def test_of_all(self) -> None:
        self.patch(memory, "OF_ALL", 2)
        store = MemoryStore()
        open_one = Story(store, OTHER)
        await open_one.check(NOW, Kind.LATE, incident=Incident(NOW, Kind.LATE, NOW, 1), alerts=(alert(99),))
        story = Story(store)
        for number in range(5):
            at = NOW + 10 * number
            await story.check(at, Kind.LATE, incident=Incident(at, Kind.LATE, at, 1), alerts=(alert(number),))
            await store.settle(Delivery(alert(number), "slack"), Outcome.SENT)
            await story.check(at + 5)
        self.assertEqual([each.started - NOW for each in await store.incidents()], [40, 30, 0])
        self.assertEqual([int(each.alert.id, 16) for each in await store.deliveries()], [4, 3, 99])
        await store.settle(Delivery(alert(0), "slack"), Outcome.DEAD)
        self.assertEqual(store.open().dead, 0)

    async def test_an_hour_that_comes_twice(self) -> None:
        store = MemoryStore()
        story = Story(store)
        for at in (0, 60, 3600, 120, 3700, 3800):
            await story.check(NOW + at)
        self.assertEqual((await store.uptime(TASK.url, NOW + 3800))["24h"], 1.0)
