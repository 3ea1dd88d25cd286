"""Loading a database after the clock was set."""

from __future__ import annotations

from msgspec.structs import replace

from pypinger.domain.model import Delivery, Outcome
from pypinger.store.sqlite import SqliteStore
from tests.contracts.store import alert
from tests.store.test_sqlite import SqliteTestCase

NOW = 1_800_000_000.0


class RestTests(SqliteTestCase):
    async def rest(self, later: float) -> float:
        """The rest of a pause of 40 s at a start that is `later` seconds after the attempt."""
        before = self.store(now=lambda: NOW)
        before.open()
        delivery = replace(Delivery(alert(1), "slack"), attempts=1, not_before=NOW + 40)
        await before.enqueue([delivery])
        await before.settle(delivery, Outcome.RETRY)
        await before.close()
        after: SqliteStore = self.store(now=lambda: NOW + later)
        (kept,) = after.open().deliveries
        return kept.not_before - (NOW + later)

    async def test_clock_as_expected(self) -> None:
        self.assertEqual(await self.rest(30), 10)

    async def test_clock_set_back(self) -> None:
        """The pause is not longer than planned."""
        self.assertEqual(await self.rest(-3600), 40)

    async def test_clock_set_forward(self) -> None:
        self.assertEqual(await self.rest(3600), -3560)
