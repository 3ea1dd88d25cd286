"""The shared store with one instance: the contracts of a store and of a history."""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from pypinger.ports.sharing import InstanceListing
from pypinger.ports.storing import StoreError
from pypinger.store.postgres.store import SWITCH, PostgresStore
from tests import postgres
from tests.contracts.history import HistoryContract
from tests.contracts.store import OTHER, TASK, StoreContract
from tests.store.postgres import emptied
from tests.store.postgres.direct import CHANNELS

LISTING = InstanceListing(tasks=frozenset((TASK.key, OTHER.key, f"{TASK.key}2")), channels=frozenset(CHANNELS))


class PostgresTestCase(TestCase):
    skip = postgres.missing()

    def setUp(self) -> None:
        self.url = emptied.database()

    def store(self, name: str = "a", listing: InstanceListing = LISTING) -> PostgresStore:
        store = PostgresStore(reactor, self.url, name=name, keep_days=90)  # type: ignore[arg-type]
        store.list(listing)
        self.addCleanup(store.close)
        return store


class PostgresStoreTests(StoreContract, PostgresTestCase):
    def make(self) -> Any:
        return self.store()


class PostgresHistoryTests(HistoryContract, PostgresTestCase):
    unmeasured = True

    def make(self) -> Any:
        store = self.store()
        store.open()
        return store


class ThreadTests(PostgresTestCase):
    def test_threads_of_the_store_wait_for_the_reactor_only_briefly(self) -> None:
        self.addCleanup(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(0.005)
        self.store().open()
        self.assertAlmostEqual(sys.getswitchinterval(), SWITCH)


class FaultTests(PostgresTestCase):
    async def test_a_backup_is_for_pg_dump(self) -> None:
        store = self.store()
        store.open()
        with self.assertRaises(StoreError) as caught:
            await store.copy_to(1)
        self.assertRegex(
            str(caught.exception), r"\Athe store is in postgresql://pinger@[^ ]*: back it up with pg_dump\Z"
        )

    async def test_history_before_and_after(self) -> None:
        """It cannot be read unless the store is open."""
        store = self.store()
        with self.assertRaises(StoreError) as caught:
            await store.tasks()
        self.assertRegex(str(caught.exception), r"\A\[store\] url postgresql://pinger@[^ ]*: it is not open\Z")
        store.open()
        self.assertEqual(list(await store.tasks()), [])
        await store.close()
        with self.assertRaises(StoreError):
            await store.tasks()

    def test_a_server_that_is_away_ends_the_start(self) -> None:
        self.url = "postgresql://u:pa55w0rd@127.0.0.1:1/d"
        with self.assertRaises(StoreError) as caught:
            self.store().open()
        words = str(caught.exception)
        self.assertRegex(words, r"\A\[store\] url postgresql://u@127.0.0.1:1/d: [^\n]*; start PostgreSQL, or correct")
        self.assertNotIn("pa55w0rd", words)
