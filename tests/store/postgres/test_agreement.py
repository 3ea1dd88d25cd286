"""PostgreSQL remembers what SQLite does, however often tasks are taken over, and whatever the clock does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests import postgres
from tests.store.postgres import emptied
from tests.store.postgres.direct import DirectStore
from tests.store.test_agreement import TASKS, World, steps, unkeyed


class SharedWorld(World):
    """Each restart is a take-over by another instance."""

    def make(self) -> Any:
        store = DirectStore(self.path, now=lambda: self.now)
        self.kept = store.open()
        return store


class AgreementTests(SynchronousTestCase):
    skip = postgres.missing()

    @given(story=st.lists(steps, max_size=40))
    @settings(deadline=None, max_examples=30)
    def test_a_take_over_changes_nothing(self, story: list[Sequence[Any]]) -> None:
        world = SharedWorld(emptied.database())
        try:
            for step in story:
                world.perform(step)
            world.restart()
            kept = world.memory.open()
            self.assertEqual(world.kept.states, kept.states)
            self.assertEqual((list(world.kept.deliveries), world.kept.dead), (list(kept.deliveries), kept.dead))
            self.same(world.both("incidents"))
            self.same(world.both("deliveries"))
            for task in TASKS:
                for page in ("runs", "verdicts", "incidents", "deliveries"):
                    self.same(world.both(page, task.key, None, 100))
                self.assertEqual(*world.both("uptime", task.key, world.now))
                self.assertEqual(*map(list, world.both("gaps", task.key)))
                self.assertEqual(*map(list, world.both("days", task.key, world.now)))
                self.assertEqual(*world.both("beginning", task.key))
        finally:
            world.pump.wait(world.sqlite.close())

    def same(self, pair: tuple[Any, Any]) -> None:
        self.assertEqual(unkeyed(pair[0]), unkeyed(pair[1]))
