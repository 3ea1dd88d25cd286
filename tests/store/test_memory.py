"""The memory store keeps the contract for as long as the process lives."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from pypinger.ports import Store
from pypinger.store.memory import MemoryStore
from tests.contracts.history import HistoryContract
from tests.contracts.store import StoreContract


class MemoryStoreTests(StoreContract, TestCase):
    def setUp(self) -> None:
        self.store = MemoryStore()

    def make(self) -> Store:
        return self.store


class MemoryHistoryTests(HistoryContract, TestCase):
    def make(self) -> MemoryStore:
        return MemoryStore()
