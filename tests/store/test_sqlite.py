"""The SQLite store: the contract, and that it goes on when its disk does not."""

from __future__ import annotations

import time

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from pypinger.ports import Store
from pypinger.store.sqlite import SqliteStore
from tests.contracts.history import HistoryContract
from tests.contracts.store import StoreContract


class SqliteStoreTests(StoreContract, TestCase):
    def setUp(self) -> None:
        self.path = self.mktemp()

    def make(self) -> Store:
        store = SqliteStore(reactor, time.time, self.path, keep_days=90)  # type: ignore[arg-type]
        self.addCleanup(store.close)
        return store


class SqliteHistoryTests(HistoryContract, TestCase):
    def make(self) -> SqliteStore:
        store = SqliteStore(reactor, time.time, self.mktemp(), keep_days=90)  # type: ignore[arg-type]
        self.addCleanup(store.close)
        store.open()
        return store
