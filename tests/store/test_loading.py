"""What a start takes up from a database, where the clock has not gone on as it should."""

from __future__ import annotations

from msgspec.structs import replace

from pypinger.domain.model import Delivery, Outcome
from pypinger.store.sqlite import SqliteStore
from tests.contracts.store import alert
from tests.store.test_sqlite import SqliteTestCase

NOW = 1_800_000_000.0


class RestTests(SqliteTestCase):
    async def rest(self, later: float) -> float:
        """How long a delivery rests that rested for 40 s when it was tried, at a start so many seconds later."""
        before = self.store(now=lambda: NOW)
        before.open()
        delivery = replace(Delivery(alert(1), "slack"), attempts=1, not_before=NOW + 40)
        await before.enqueue([delivery])
        await before.settle(delivery, Outcome.RETRY)
        await before.close()
        after: SqliteStore = self.store(now=lambda: NOW + later)
        (kept,) = after.open().deliveries
        return kept.not_before - (NOW + later)

    async def test_clock_that_goes_on(self) -> None:
        self.assertEqual(await self.rest(30), 10)

    async def test_clock_that_was_set_back(self) -> None:
        """It rests for no longer than it was to, and not for the hour too."""
        self.assertEqual(await self.rest(-3600), 40)

    async def test_clock_that_was_set_forward(self) -> None:
        self.assertEqual(await self.rest(3600), -3560)
