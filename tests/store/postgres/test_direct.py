"""Tables, loading and reading of PostgreSQL: the contracts, without threads and leases."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import TestCase

from tests import postgres
from tests.contracts.history import HistoryContract
from tests.contracts.store import StoreContract
from tests.store.postgres import emptied
from tests.store.postgres.direct import DirectStore


class DirectStoreTests(StoreContract, TestCase):
    unmeasured = True
    skip = postgres.missing()

    def setUp(self) -> None:
        self.url = emptied.database()

    def make(self) -> Any:
        return DirectStore(self.url)


class DirectHistoryTests(HistoryContract, TestCase):
    unmeasured = True
    skip = postgres.missing()

    def make(self) -> Any:
        store = DirectStore(emptied.database())
        store.open()
        self.addCleanup(store.close)
        return store
